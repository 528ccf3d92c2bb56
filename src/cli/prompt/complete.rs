//! What the tab key offers: commands, tables, columns, keywords.
//!
//! Must never ask the engine: it works on the tables it was given.

use super::statements::{Place, statements};
use super::{COMMANDS, TableInfo};
use crate::cli::format::Format;

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CREATE",
    "CROSS",
    "CURRENT_DATE",
    "DATE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RECURSIVE",
    "RIGHT",
    "SELECT",
    "SHOW",
    "SIMILAR",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// The byte offset where the word begins that is to be completed, and what it could become, sorted.
pub(super) fn complete(text: &str, cursor: usize, tables: &[TableInfo]) -> (usize, Vec<String>) {
    let Some(before) = text.get(..cursor) else { return (cursor, Vec::new()) };
    if before.trim_start().starts_with('\\') {
        return complete_command(before, tables);
    }
    let start = word_start(before);
    if statements(before).place != Place::Code {
        return (start, Vec::new());
    }
    let word = &before[start..];
    let mentioned = mentioned(text, tables);
    if let Some(qualified) = before[..start].strip_suffix('.') {
        let qualifier = &qualified[word_start(qualified)..];
        return (start, columns_of(qualifier, word, &mentioned, tables));
    }
    let tables_only =
        matches!(last_word(&before[..start]).to_ascii_lowercase().as_str(), "from" | "join" | "describe");
    if word.is_empty() && !tables_only {
        return (start, Vec::new());
    }
    let mut found: Vec<String> =
        tables.iter().filter(|table| begins(&table.name, word)).map(|table| table.name.clone()).collect();
    if !tables_only {
        found.extend(columns_and_keywords(word, &mentioned, tables));
    }
    (start, sorted(found))
}

fn columns_and_keywords(word: &str, mentioned: &[(String, &TableInfo)], tables: &[TableInfo]) -> Vec<String> {
    // With no table named yet, any column may be meant.
    let tables: Vec<&TableInfo> = if mentioned.is_empty() {
        tables.iter().collect()
    } else {
        mentioned.iter().map(|(_, table)| *table).collect()
    };
    let columns = tables.iter().flat_map(|table| &table.columns).map(|column| column.name.clone());
    let small = word.chars().next().is_some_and(char::is_lowercase);
    let keywords =
        KEYWORDS.iter().map(|keyword| if small { keyword.to_lowercase() } else { (*keyword).to_owned() });
    columns.chain(keywords).filter(|name| begins(name, word)).collect()
}

fn columns_of(
    qualifier: &str,
    word: &str,
    mentioned: &[(String, &TableInfo)],
    tables: &[TableInfo],
) -> Vec<String> {
    let alias =
        mentioned.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(qualifier)).map(|(_, table)| *table);
    let table = alias.or_else(|| tables.iter().find(|table| table.name.eq_ignore_ascii_case(qualifier)));
    let columns = table.into_iter().flat_map(|table| &table.columns).map(|column| column.name.clone());
    sorted(columns.filter(|name| begins(name, word)).collect())
}

fn complete_command(before: &str, tables: &[TableInfo]) -> (usize, Vec<String>) {
    let command_start = before.len() - before.trim_start().len();
    let line = &before[command_start..];
    let Some((command, rest)) = line.split_once(char::is_whitespace) else {
        let found = COMMANDS.iter().map(|command| command.name).filter(|name| name.starts_with(line));
        return (command_start, found.map(str::to_owned).collect());
    };
    let word = rest.trim_start();
    let start = before.len() - word.len();
    let choices: Vec<String> = match command {
        "\\d" => tables.iter().map(|table| table.name.clone()).collect(),
        "\\format" => FORMATS.iter().map(|format| format.name().to_owned()).collect(),
        "\\timing" => vec!["on".to_owned(), "off".to_owned()],
        _ => Vec::new(),
    };
    (start, sorted(choices.into_iter().filter(|choice| begins(choice, word)).collect()))
}

/// The formats a prompt can print: Parquet is for files.
pub(super) const FORMATS: [Format; 4] = [Format::Table, Format::Ndjson, Format::Json, Format::Csv];

/// The tables that are named in the text, each under the name it goes by there: its alias if it has one.
fn mentioned<'t>(text: &str, tables: &'t [TableInfo]) -> Vec<(String, &'t TableInfo)> {
    let words: Vec<&str> = text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(table) = tables.iter().find(|table| table.name.eq_ignore_ascii_case(word)) else { continue };
        found.push((table.name.clone(), table));
        let mut after = words[at + 1..].iter().skip_while(|word| word.eq_ignore_ascii_case("as"));
        let alias = after.next().filter(|alias| !KEYWORDS.contains(&alias.to_ascii_uppercase().as_str()));
        if let Some(alias) = alias {
            found.push(((*alias).to_owned(), table));
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_start(text: &str) -> usize {
    text.char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(text.len(), |(at, _)| at)
}

fn last_word(text: &str) -> &str {
    let text = text.trim_end();
    &text[word_start(text)..]
}

fn begins(name: &str, word: &str) -> bool {
    name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::super::tests::tables;
    use super::*;

    /// `|` stands for the cursor.
    fn check(text: &str, expect: &[&str]) {
        let cursor = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let (start, found) = complete(&text, cursor, &tables());
        assert_eq!(found, expect, "{text}");
        assert!(start <= cursor && text.is_char_boundary(start), "{text}");
    }

    #[test]
    fn tables_after_from() {
        check("select * from |", &["cloudtrail", "vpc_flow"]);
        check("select * from cl|", &["cloudtrail"]);
        check("SELECT * FROM VP|", &["vpc_flow"]);
        check("select * from a join v|", &["vpc_flow"]);
        check("select * from x|", &[]);
    }

    #[test]
    fn columns_of_the_tables_that_are_named() {
        check("select event_| from cloudtrail", &["event_name", "event_time"]);
        check("select src|", &["srcaddr"]);
        check("select src| from cloudtrail", &[]);
        check("select * from cloudtrail where cloudtrail.ev|", &["event_name", "event_time"]);
        check("select * from cloudtrail c where c.|", &["event_name", "event_time"]);
        check("select f.| from cloudtrail as c, vpc_flow AS f where 1", &["srcaddr"]);
        check("select * from cloudtrail where where.|", &[]);
    }

    #[test]
    fn keywords_in_the_case_that_is_typed() {
        check("sel|", &["select"]);
        check("SEL|", &["SELECT"]);
        check("select * from cloudtrail wh|", &["when", "where"]);
        check("|", &[]);
        check("select |", &[]);
    }

    #[test]
    fn nothing_in_quotes_and_comments() {
        check("select * from cloudtrail where event_name = 'ev|", &[]);
        check("select 1 -- ev|", &[]);
        check("select 'ä' || ev|", &[]);
    }

    #[test]
    fn commands() {
        check("\\f|", &["\\format"]);
        check("\\d |", &["cloudtrail", "vpc_flow"]);
        check("\\d cl|", &["cloudtrail"]);
        check("\\format |", &["csv", "json", "ndjson", "table"]);
        check("\\timing o|", &["off", "on"]);
        check("\\q |", &[]);
    }
}
