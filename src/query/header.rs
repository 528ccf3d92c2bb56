//! The header of a rule file: the YAML in the block comment that a `.sql` file begins with.
//!
//! Knows nothing of what the keys mean: detections and saved queries bring their own structs.
//! Must never print a control character of a file, nor read one larger than [`MAX_FILE_BYTES`].

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The largest rule, query or tests file read, in bytes.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// The largest number of files read from one folder.
pub const MAX_FILES: usize = 4096;

/// A file in its two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The YAML, led by empty lines so that its line numbers are those of the file.
    pub yaml: String,
    /// The SQL after the header, trimmed, without a closing semicolon.
    pub sql: String,
}

/// What can be wrong with a file of rules, queries or tests before its meaning is looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or folder could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds more files than are read.
    #[error("`{}` holds more than {MAX_FILES} files", path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("`{file}` is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// The file.
        file: String,
    },
    /// The file does not begin with a block comment.
    #[error("`{file}` does not begin with a header, a block comment `/* ... */` of YAML")]
    NoHeader {
        /// The file.
        file: String,
    },
    /// The header has no end.
    #[error("the header of `{file}` is not closed with `*/`")]
    Unclosed {
        /// The file.
        file: String,
    },
    /// What follows the header is not one `select`.
    #[error("`{file}`: after the header there must be one `select` or `with` statement")]
    NotASelect {
        /// The file.
        file: String,
    },
    /// A key or a choice that does not exist.
    #[error("`{file}`{}: unknown {what} `{name}`, {advice}", at_line(*line))]
    Unknown {
        /// The file.
        file: String,
        /// The line in it, from 1.
        line: Option<usize>,
        /// `key` or `value`.
        what: &'static str,
        /// What was written, control characters escaped.
        name: String,
        /// The known name nearest to it, or all there are.
        advice: String,
    },
    /// The YAML does not parse or does not fit.
    #[error("`{file}` does not parse")]
    Yaml {
        /// The file.
        file: String,
        /// The cause, with the line.
        #[source]
        source: serde_norway::Error,
    },
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}

/// `did you mean ...?`, or the choices when none is near.
pub fn suggestion(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("expected one of `{}`", known.join("`, `")),
    }
}

/// The known name nearest to what was typed, if one is near enough to be meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let typed = typed.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&typed, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.to_owned())
}

/// Text of a file or a log as it may be shown: control and direction characters become `\u{..}`.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns_text =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns_text || c == '\u{feff}' {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Splits a file into header and SQL.
pub fn split(file: &str, text: &str) -> Result<Parts, Error> {
    let file = || printable(file);
    if text.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge { file: file() });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = text.trim_start();
    let Some(body) = start.strip_prefix("/*") else {
        return Err(Error::NoHeader { file: file() });
    };
    let Some((header, sql)) = body.split_once("*/") else {
        return Err(Error::Unclosed { file: file() });
    };
    let sql = sql.trim().trim_end_matches(';').trim_end();
    let verb = first_word(sql);
    if !verb.eq_ignore_ascii_case("select") && !verb.eq_ignore_ascii_case("with") {
        return Err(Error::NotASelect { file: file() });
    }
    let lines_before = text[..text.len() - start.len()].matches('\n').count();
    Ok(Parts { yaml: "\n".repeat(lines_before) + header, sql: sql.to_owned() })
}

/// The first word of a statement, past its leading comments.
fn first_word(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let skipped = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map(|(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else {
            break;
        };
        rest = skipped.unwrap_or("").trim_start();
    }
    rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("")
}

/// Reads YAML into `T`, naming the nearest right key or value where one is wrong.
pub fn read_yaml<T: DeserializeOwned>(file: &str, yaml: &str) -> Result<T, Error> {
    if yaml.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge { file: printable(file) });
    }
    serde_norway::from_str(yaml).map_err(|source| explain(file, source))
}

/// Turns serde's ``unknown field `x`, expected one of `a`, `b` `` into an error with a suggestion.
fn explain(file: &str, source: serde_norway::Error) -> Error {
    let text = source.to_string();
    let unknown = [("unknown field `", "key"), ("unknown variant `", "value")]
        .into_iter()
        .find_map(|(mark, what)| text.split_once(mark).map(|(_, rest)| (what, rest)));
    let Some((what, rest)) = unknown else {
        return Error::Yaml { file: printable(file), source };
    };
    let (name, expected) = rest.split_once("`, expected ").unwrap_or((rest, ""));
    let known: Vec<String> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Error::Unknown {
        file: printable(file),
        line: source.location().map(|place| place.line()),
        what,
        name: printable(name),
        advice: suggestion(nearest(name, known.iter().map(String::as_str)).as_deref(), &known),
    }
}

/// The text of a file, refused when it is too large.
pub fn read_file(path: &Path) -> Result<String, Error> {
    use std::io::Read;
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    if text.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge { file: printable(&path.display().to_string()) });
    }
    Ok(text)
}

/// The files of a folder whose names end in `suffix`, sorted by name; sub-folders are left alone.
pub fn files_of(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for (number, entry) in std::fs::read_dir(folder).map_err(failed)?.enumerate() {
        if number >= MAX_FILES {
            return Err(Error::TooManyFiles { path: folder.to_owned() });
        }
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(suffix) && !name.starts_with('.') && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn a_file_splits_into_header_and_sql() {
        let parts = split("x.sql", "\n/*\nid: a\n*/\n-- why\nselect 1;\n").unwrap();
        assert_eq!(parts.sql, "-- why\nselect 1");
        assert_eq!(parts.yaml, "\n\nid: a\n");
        assert!(split("x.sql", "\u{feff}/* id: a */ with t as (select 1) select * from t").is_ok());
    }

    #[test]
    fn a_file_that_is_no_rule_is_refused_with_its_name() {
        let check = |text: &str, expect: &str| {
            assert_eq!(split("x\u{1b}.sql", text).unwrap_err().to_string(), expect);
        };
        check("select 1", "`x\\u{1b}.sql` does not begin with a header, a block comment `/* ... */` of YAML");
        check("/* id: a", "the header of `x\\u{1b}.sql` is not closed with `*/`");
        let not_a_select = "`x\\u{1b}.sql`: after the header there must be one `select` or `with` statement";
        check("/* id: a */", not_a_select);
        check("/* id: a */ -- select", not_a_select);
        check("/* id: a */ drop table cloudtrail", not_a_select);
        check("/* id: a */ /* unclosed select", not_a_select);
        check(&" ".repeat(MAX_FILE_BYTES + 1), "`x\\u{1b}.sql` is larger than 262144 bytes");
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        title: String,
        #[allow(dead_code)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code)]
        tactics: Vec<String>,
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line_and_the_nearest_right_one() {
        let check = |yaml: &str, expect: &str| {
            assert_eq!(read_yaml::<Sample>("x.sql", yaml).unwrap_err().to_string(), expect);
        };
        check("\ntitel: a", "`x.sql` line 2: unknown key `titel`, did you mean `title`?");
        check(
            "title: a\ninner:\n  tactic: []",
            "`x.sql` line 3: unknown key `tactic`, did you mean `tactics`?",
        );
        check("\"\\e[2J\": a", "`x.sql` line 1: unknown key `\\u{1b}[2J`, expected one of `title`, `inner`");
        check("title: [", "`x.sql` does not parse");
    }

    #[test]
    fn text_is_shown_without_escape_sequences() {
        assert_eq!(printable("a\u{1b}[31m\n\u{202e}é"), "a\\u{1b}[31m\\u{a}\\u{202e}é");
    }
}
