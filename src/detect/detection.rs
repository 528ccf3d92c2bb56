//! The parts of a detection: what a `.sql` file of `detections/` says, and the tests beside it.
//!
//! Must never run a rule: a detection is data. Must never accept a rule in part: every problem of a
//! file is an error that names the file and the key.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use serde_json::Value;

use crate::decode::columns::{CLOUDTRAIL, Table, VPC_FLOW};
use crate::query::header::{self, nearest, printable, suggestion};
use crate::severity::Severity;

/// The longest value of a column shown in a summary, in characters.
const MAX_VALUE_CHARS: usize = 200;

/// The most records or lines one test may stand for, `repeat` included.
const MAX_TEST_RECORDS: usize = 10_000;

/// The longest window and the longest look back.
const MAX_DURATION: TimeDelta = TimeDelta::days(400);

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/detections");

/// A rule: what it looks for, and what to say and do when it finds it.
#[derive(Debug, Clone)]
pub struct Detection {
    /// The file it was read from, for messages.
    pub file: String,
    /// The stable id, kebab-case: `aws-root-used`.
    pub id: String,
    /// One line.
    pub title: String,
    /// What it looks for, and why that matters.
    pub description: String,
    /// How bad it is if the alert is right.
    pub severity: Severity,
    /// Its place in MITRE ATT&CK.
    pub mitre: Mitre,
    /// The table it reads.
    pub table: &'static Table,
    /// Whether a row of its result is an event or already an alert.
    pub kind: Kind,
    /// The columns of the result that, with the window, identify an alert.
    pub entity: Vec<String>,
    /// Alerts about the same entity in the same window of event time are one; windows are counted from 1970-01-01.
    pub window: TimeDelta,
    /// How far before a window the rule reads; zero for rules without history.
    pub lookback: TimeDelta,
    /// What was seen, in words, with `{column}` for a column of the result; see [`Detection::render_summary`].
    pub summary: String,
    /// What harmless activity looks the same.
    pub false_positives: Vec<String>,
    /// What to do about an alert.
    pub next_steps: String,
    /// Where to read more.
    pub references: Vec<String>,
    /// The statement, without the header.
    pub sql: String,
}

/// How a detection's SQL is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A row of the result is one event: the rule reads new rows only.
    #[default]
    Event,
    /// A row of the result is one alert: the rule reads whole windows of event time.
    Aggregate,
}

/// A place in MITRE ATT&CK.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mitre {
    /// Tactics, `TA0003`.
    pub tactics: Vec<String>,
    /// Techniques and sub-techniques, `T1098` or `T1098.001`.
    pub techniques: Vec<String>,
}

/// What can be wrong with a detection or its tests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not a header followed by SQL, or its YAML does not fit.
    #[error(transparent)]
    Header(#[from] header::Error),
    /// A key has a value that cannot be.
    #[error("`{file}`: `{key}` {problem}")]
    Value {
        /// The file.
        file: String,
        /// The key of the header.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// A test is not right.
    #[error("`{file}`: test `{test}` {problem}")]
    Test {
        /// The tests file.
        file: String,
        /// The test's name, or its number from 1.
        test: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two rules have one id.
    #[error("`{file}`: the id `{id}` is already that of `{other}`")]
    SameId {
        /// The later file.
        file: String,
        /// The id.
        id: String,
        /// The earlier file.
        other: String,
    },
    /// A tests file has no rule beside it.
    #[error("`{file}` has no `{rule}` beside it")]
    Orphan {
        /// The tests file.
        file: String,
        /// The rule file that is missing.
        rule: String,
    },
}

/// The header as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    id: String,
    title: String,
    description: String,
    severity: Severity,
    mitre: Mitre,
    data_source: String,
    #[serde(default)]
    kind: Kind,
    entity: Vec<String>,
    window: Option<String>,
    lookback: Option<String>,
    summary: String,
    #[serde(default)]
    false_positives: Vec<String>,
    next_steps: String,
    #[serde(default)]
    references: Vec<String>,
}

/// Reads a detection; `file_name` is for messages.
pub fn parse(file_name: &str, text: &str) -> Result<Detection, Error> {
    let parts = header::split(file_name, text)?;
    let head: Header = header::read_yaml(file_name, &parts.yaml)?;
    let wrong = |key, problem: String| Error::Value { file: printable(file_name), key, problem };
    let window = match (&head.window, head.kind) {
        (Some(text), _) => parse_duration(text).map_err(|problem| wrong("window", problem))?,
        (None, Kind::Event) => TimeDelta::days(1),
        (None, Kind::Aggregate) => return Err(wrong("window", "is missing: an aggregate needs one".into())),
    };
    let lookback = match (&head.lookback, head.kind) {
        (None, _) => TimeDelta::zero(),
        (Some(text), Kind::Aggregate) => {
            parse_duration(text).map_err(|problem| wrong("lookback", problem))?
        }
        (Some(_), Kind::Event) => return Err(wrong("lookback", "is only for `kind: aggregate`".into())),
    };
    let detection = Detection {
        file: printable(file_name),
        table: table_of(&head.data_source).map_err(|problem| wrong("data_source", problem))?,
        id: head.id,
        title: head.title,
        description: head.description.trim().to_owned(),
        severity: head.severity,
        mitre: head.mitre,
        kind: head.kind,
        entity: head.entity,
        window,
        lookback,
        summary: head.summary,
        false_positives: head.false_positives,
        next_steps: head.next_steps.trim().to_owned(),
        references: head.references,
        sql: parts.sql,
    };
    detection.check().map_err(|(key, problem)| wrong(key, problem))?;
    Ok(detection)
}

impl Detection {
    /// The columns the result must have: the times, the counts, the entity and what the summary names.
    pub fn required_columns(&self) -> Vec<&str> {
        let mut columns = match self.kind {
            Kind::Event => vec![self.table.time_column],
            Kind::Aggregate => vec!["window_start", "first_time", "last_time", "event_count"],
        };
        if self.kind == Kind::Event && self.table.index_of("event_id").is_some() {
            columns.push("event_id");
        }
        let named = self.entity.iter().map(String::as_str);
        for column in named.chain(pieces(&self.summary).filter_map(Piece::column)) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// The summary in words; `value_of` gives the text of a column of the result, `None` when it is null.
    /// Control characters of values are escaped and long values cut.
    pub fn render_summary(&self, value_of: impl Fn(&str) -> Option<String>) -> String {
        let mut words = String::new();
        for piece in pieces(&self.summary) {
            match piece {
                Piece::Text(text) => words.push_str(text),
                Piece::Column(column) => {
                    words.push_str(
                        &value_of(column).map_or_else(|| "(none)".to_owned(), |value| shown(&value)),
                    );
                }
            }
        }
        words
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if !is_kebab_case(&self.id) {
            return Err(("id", format!("must be kebab-case, not `{}`", printable(&self.id))));
        }
        let required =
            [("title", &self.title), ("description", &self.description), ("next_steps", &self.next_steps)];
        for (key, text) in required {
            if text.trim().is_empty() {
                return Err((key, "is empty".into()));
            }
        }
        check_mitre(&self.mitre)?;
        if self.entity.is_empty() {
            return Err(("entity", "names no column".into()));
        }
        for column in &self.entity {
            if !is_column_name(column) {
                return Err(("entity", format!("holds `{}`, not a column name", printable(column))));
            }
        }
        check_summary(&self.summary).map_err(|problem| ("summary", problem))?;
        for reference in &self.references {
            if !reference.starts_with("https://") && !reference.starts_with("http://") {
                return Err(("references", format!("holds `{}`, not a web address", printable(reference))));
            }
        }
        Ok(())
    }
}

fn table_of(name: &str) -> Result<&'static Table, String> {
    let tables = [&CLOUDTRAIL, &VPC_FLOW];
    tables.into_iter().find(|table| table.name == name).ok_or_else(|| {
        let known: Vec<String> = tables.iter().map(|table| table.name.to_owned()).collect();
        let near = nearest(name, known.iter().map(String::as_str));
        format!("is `{}`, {}", printable(name), suggestion(near.as_deref(), &known))
    })
}

fn check_mitre(mitre: &Mitre) -> Result<(), (&'static str, String)> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    for tactic in &mitre.tactics {
        if !tactic.strip_prefix("TA").is_some_and(|number| digits(number, 4)) {
            return Err(("mitre.tactics", format!("holds `{}`, not like `TA0003`", printable(tactic))));
        }
    }
    for technique in &mitre.techniques {
        let right = technique.strip_prefix('T').is_some_and(|rest| match rest.split_once('.') {
            Some((number, sub)) => digits(number, 4) && digits(sub, 3),
            None => digits(rest, 4),
        });
        if !right {
            let problem = format!("holds `{}`, not like `T1098` or `T1098.001`", printable(technique));
            return Err(("mitre.techniques", problem));
        }
    }
    Ok(())
}

/// `90s`, `10m`, `6h`, `14d`.
fn parse_duration(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("is `{}`, not a duration like `90s`, `10m`, `6h` or `14d`", printable(text));
    let (number, seconds_each) = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))
        .ok_or_else(wrong)?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds = number.parse::<i64>().ok().and_then(|n| n.checked_mul(seconds_each)).ok_or_else(wrong)?;
    match TimeDelta::try_seconds(seconds) {
        Some(duration) if duration > TimeDelta::zero() && duration <= MAX_DURATION => Ok(duration),
        _ => Err(format!("is `{}`, not between `1s` and `{}d`", printable(text), MAX_DURATION.num_days())),
    }
}

fn is_kebab_case(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= 100 && text.split('-').all(word)
}

fn is_column_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A stretch of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Column(&'a str),
}

impl<'a> Piece<'a> {
    fn column(self) -> Option<&'a str> {
        match self {
            Piece::Column(column) => Some(column),
            Piece::Text(_) => None,
        }
    }
}

/// Splits `a {b} c` at its braces; an open brace without an end is text.
fn pieces(summary: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = summary;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((column, after)) = rest.strip_prefix('{').and_then(|open| open.split_once('}')) {
            rest = after;
            return Some(Piece::Column(column));
        }
        let end = rest.char_indices().skip(1).find(|(_, c)| *c == '{').map_or(rest.len(), |(at, _)| at);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(text))
    })
}

fn check_summary(summary: &str) -> Result<(), String> {
    if summary.trim().is_empty() {
        return Err("is empty".into());
    }
    for piece in pieces(summary) {
        match piece {
            Piece::Column(column) if !is_column_name(column) => {
                return Err(format!("holds `{{{}}}`, not a column name", printable(column)));
            }
            Piece::Text(text) if text.contains(['{', '}']) => {
                return Err(format!("has a brace without its pair in `{}`", printable(text)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn shown(value: &str) -> String {
    match value.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => printable(&value[..end]) + "...",
        None => printable(value),
    }
}

/// The tests of one detection.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTests {
    /// At least one hit and one miss, in the file's order.
    pub tests: Vec<RuleTest>,
}

/// One test: log records, and how many alerts they must raise.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// What it shows.
    pub name: String,
    /// The number of alerts.
    pub expect: usize,
    /// The log object, decompressed, as AWS would deliver it: `{"Records":[...]}`, or flow log text with its header.
    pub object: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestsFile {
    #[serde(default)]
    base: serde_json::Map<String, Value>,
    tests: Vec<WrittenTest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTest {
    name: String,
    expect: usize,
    repeat: Option<usize>,
    records: Option<Vec<serde_json::Map<String, Value>>>,
    header: Option<String>,
    lines: Option<Vec<String>>,
}

/// The header of a version 2 flow log, used for `lines` without one.
const FLOW_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                           start end action log-status";

/// Reads a tests file; `file_name` is for messages.
pub fn parse_tests(file_name: &str, text: &str) -> Result<RuleTests, Error> {
    let written: TestsFile = header::read_yaml(file_name, text)?;
    let wrong = |test: &str, problem: String| Error::Test {
        file: printable(file_name),
        test: printable(test),
        problem,
    };
    let mut names = HashSet::new();
    let mut tests = Vec::with_capacity(written.tests.len());
    for (number, test) in written.tests.into_iter().enumerate() {
        if test.name.trim().is_empty() {
            return Err(wrong(&(number + 1).to_string(), "has no name".into()));
        }
        if !names.insert(test.name.clone()) {
            return Err(wrong(&test.name, "is there twice".into()));
        }
        let object = test.object(&written.base).map_err(|problem| wrong(&test.name, problem))?;
        tests.push(RuleTest { name: test.name, expect: test.expect, object });
    }
    for (kind, present) in [
        ("hit (`expect: 1` or more)", tests.iter().any(|t| t.expect > 0)),
        ("miss (`expect: 0`)", tests.iter().any(|t| t.expect == 0)),
    ] {
        if !present {
            return Err(wrong("*", format!("is missing: there must be at least one {kind}")));
        }
    }
    Ok(RuleTests { tests })
}

impl WrittenTest {
    /// The log object the test describes.
    fn object(&self, base: &serde_json::Map<String, Value>) -> Result<Vec<u8>, String> {
        let repeat = self.repeat.unwrap_or(1);
        let written = self.records.as_ref().map_or(0, Vec::len) + self.lines.as_ref().map_or(0, Vec::len);
        if repeat == 0 || written.saturating_mul(repeat) > MAX_TEST_RECORDS {
            return Err(format!("stands for none or more than {MAX_TEST_RECORDS} records"));
        }
        match (&self.records, &self.lines) {
            (Some(records), None) if !records.is_empty() && self.header.is_none() => {
                Ok(records_object(records, base, repeat))
            }
            (None, Some(lines)) if !lines.is_empty() => {
                Ok(lines_object(self.header.as_deref().unwrap_or(FLOW_HEADER), lines, repeat))
            }
            _ => Err("needs either `records`, or `lines` with or without `header`".into()),
        }
    }
}

/// `{"Records":[...]}`: every record over `base`, `repeat` times, each with an id of its own.
fn records_object(
    records: &[serde_json::Map<String, Value>],
    base: &serde_json::Map<String, Value>,
    repeat: usize,
) -> Vec<u8> {
    let mut all = Vec::with_capacity(records.len() * repeat);
    for n in 1..=repeat {
        for record in records {
            let mut full = base.clone();
            full.extend(record.iter().map(|(key, value)| (key.clone(), value.clone())));
            let id = format!("00000000-0000-4000-8000-{:012}", all.len() + 1);
            full.entry("eventID").or_insert(Value::String(id));
            let mut full = Value::Object(full);
            number(&mut full, n);
            all.push(full);
        }
    }
    serde_json::json!({ "Records": all }).to_string().into_bytes()
}

fn lines_object(header: &str, lines: &[String], repeat: usize) -> Vec<u8> {
    let mut text = header.trim().to_owned() + "\n";
    for n in 1..=repeat {
        for line in lines {
            text.push_str(&numbered(line.trim(), n));
            text.push('\n');
        }
    }
    text.into_bytes()
}

/// Puts the number of the repetition for `{n}`, and with two digits for `{nn}`, in every string.
fn number(value: &mut Value, n: usize) {
    match value {
        Value::String(text) => *text = numbered(text, n),
        Value::Array(items) => items.iter_mut().for_each(|item| number(item, n)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| number(field, n)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn numbered(text: &str, n: usize) -> String {
    text.replace("{nn}", &format!("{n:02}")).replace("{n}", &n.to_string())
}

/// A rule that travels inside the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// The file's name, `root_used.sql`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The text of its tests file, `root_used.tests.yaml`; empty when there is none.
    pub tests: &'static str,
}

/// The detections that travel inside the binary, by file name.
pub fn built_in() -> impl Iterator<Item = BuiltIn> {
    let mut rules: Vec<BuiltIn> = BUILT_IN
        .files()
        .filter_map(|file| {
            let name = file.path().to_str()?;
            let stem = name.strip_suffix(".sql")?;
            let tests = BUILT_IN.get_file(format!("{stem}.tests.yaml")).and_then(|f| f.contents_utf8());
            Some(BuiltIn { file: name, text: file.contents_utf8()?, tests: tests.unwrap_or_default() })
        })
        .collect();
    rules.sort_by_key(|rule| rule.file);
    rules.into_iter()
}

/// A rule of the user's own, with its tests if there are any.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where it was read.
    pub path: PathBuf,
    /// The rule.
    pub detection: Detection,
    /// Its tests.
    pub tests: Option<RuleTests>,
}

/// Reads all rules of a folder, by file name; or says everything that is wrong with them.
pub fn load_folder(folder: &Path) -> Result<Vec<Loaded>, Vec<Error>> {
    let listed = header::files_of(folder, ".sql").map_err(|error| vec![error.into()])?;
    let test_files = header::files_of(folder, ".tests.yaml").map_err(|error| vec![error.into()])?;
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for path in &listed {
        match load_file(path) {
            Ok(rule) => {
                let file = rule.detection.file.clone();
                let id = rule.detection.id.clone();
                match ids.get(&id) {
                    Some(other) => problems.push(Error::SameId { file, id, other: other.clone() }),
                    None => _ = ids.insert(id, file),
                }
                rules.push(rule);
            }
            Err(error) => problems.push(error),
        }
    }
    for tests in test_files {
        let name = tests.to_string_lossy().into_owned();
        let rule = PathBuf::from(name.trim_end_matches(".tests.yaml").to_owned() + ".sql");
        if !listed.contains(&rule) {
            let (file, rule) = (printable(&name), printable(&rule.to_string_lossy()));
            problems.push(Error::Orphan { file, rule });
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

fn load_file(path: &Path) -> Result<Loaded, Error> {
    let detection = parse(&path.to_string_lossy(), &header::read_file(path)?)?;
    let tests_path = path.with_extension("tests.yaml");
    let tests = if tests_path.exists() {
        Some(parse_tests(&tests_path.to_string_lossy(), &header::read_file(&tests_path)?)?)
    } else {
        None
    };
    Ok(Loaded { path: path.to_owned(), detection, tests })
}

#[cfg(test)]
mod built_in_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "/*
id: test-rule
title: A title
description: What and why.
severity: high
mitre: {tactics: [TA0003], techniques: [T1098.001, T1098]}
data_source: cloudtrail
entity: [recipient_account_id, actor_arn]
summary: \"{actor_arn} called {event_name}\"
next_steps: Look.
*/
select event_id, event_time, recipient_account_id, actor_arn, event_name from cloudtrail;
";

    fn reason(error: &Error) -> String {
        use std::error::Error as _;
        match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn a_rule_is_read_whole() {
        let rule = parse("a.sql", RULE).unwrap();
        assert_eq!(rule.id, "test-rule");
        assert_eq!(rule.severity, Severity::High);
        assert_eq!(rule.kind, Kind::Event);
        assert_eq!(rule.table.name, "cloudtrail");
        assert_eq!((rule.window, rule.lookback), (TimeDelta::days(1), TimeDelta::zero()));
        assert!(rule.sql.starts_with("select event_id") && rule.sql.ends_with("from cloudtrail"));
        let required = ["event_time", "event_id", "recipient_account_id", "actor_arn", "event_name"];
        assert_eq!(rule.required_columns(), required);

        let aggregate = RULE.replace("entity", "kind: aggregate\nwindow: 10m\nlookback: 14d\nentity");
        let rule = parse("a.sql", &aggregate).unwrap();
        assert_eq!((rule.window, rule.lookback), (TimeDelta::minutes(10), TimeDelta::days(14)));
        assert_eq!(rule.required_columns()[..4], ["window_start", "first_time", "last_time", "event_count"]);
    }

    #[test]
    fn a_wrong_rule_is_refused_with_file_and_key() {
        let check = |from: &str, to: &str, expect: &str| {
            let text = RULE.replace(from, to);
            assert_ne!(text, RULE, "{from} is not in the rule");
            assert_eq!(reason(&parse("a.sql", &text).unwrap_err()), expect);
        };
        check("title:", "titel:", "`a.sql` line 3: unknown key `titel`, did you mean `title`?");
        check("tactics:", "tactic:", "`a.sql` line 6: unknown key `tactic`, did you mean `tactics`?");
        check(
            "severity: high",
            "severity: hihg",
            "`a.sql` line 5: unknown value `hihg`, did you mean `high`?",
        );
        check("title: A title\n", "", "`a.sql` does not parse: missing field `title` at line 2 column 1");
        check("test-rule", "Test_Rule", "`a.sql`: `id` must be kebab-case, not `Test_Rule`");
        check("TA0003", "T0003", "`a.sql`: `mitre.tactics` holds `T0003`, not like `TA0003`");
        check("T1098]", "T109]", "`a.sql`: `mitre.techniques` holds `T109`, not like `T1098` or `T1098.001`");
        check(
            "T1098.001",
            "T1098.1",
            "`a.sql`: `mitre.techniques` holds `T1098.1`, not like `T1098` or `T1098.001`",
        );
        let data_source = "`a.sql`: `data_source` is `cloudtrial`, did you mean `cloudtrail`?";
        check("source: cloudtrail", "source: cloudtrial", data_source);
        check("[recipient_account_id, actor_arn]", "[]", "`a.sql`: `entity` names no column");
        check("[recipient_account_id,", "[a b,", "`a.sql`: `entity` holds `a b`, not a column name");
        check(
            "{actor_arn}",
            "{actor",
            "`a.sql`: `summary` holds `{actor called {event_name}`, not a column name",
        );
        check(
            "{event_name}",
            "event}",
            "`a.sql`: `summary` has a brace without its pair in ` called event}`",
        );
        let window =
            |written: &str, expect: &str| check("entity:", &format!("window: {written}\nentity:"), expect);
        window("10", "`a.sql`: `window` is `10`, not a duration like `90s`, `10m`, `6h` or `14d`");
        window("-1d", "`a.sql`: `window` is `-1d`, not a duration like `90s`, `10m`, `6h` or `14d`");
        window("0s", "`a.sql`: `window` is `0s`, not between `1s` and `400d`");
        window(
            "9223372036854775807d",
            "`a.sql`: `window` is `9223372036854775807d`, not a duration like `90s`, `10m`, `6h` or `14d`",
        );
        check("entity:", "lookback: 1d\nentity:", "`a.sql`: `lookback` is only for `kind: aggregate`");
        check("entity:", "kind: aggregate\nentity:", "`a.sql`: `window` is missing: an aggregate needs one");
    }

    #[test]
    fn a_summary_holds_no_escape_sequence_and_no_endless_value() {
        let check = |summary: &str, value: &str, expect: &str| {
            let rule = parse("a.sql", &RULE.replace("{actor_arn} called {event_name}", summary)).unwrap();
            let value_of = |column: &str| (column == "actor_arn").then(|| value.to_owned());
            assert_eq!(rule.render_summary(value_of), expect);
        };
        check("{actor_arn} called", "a", "a called");
        check("who: {actor_arn}", "\u{1b}]0;x\u{7}\n", "who: \\u{1b}]0;x\\u{7}\\u{a}");
        check("{actor_arn}{event_name}", "{event_name}", "{event_name}(none)");
        check("{actor_arn}", &"é".repeat(300), &("é".repeat(200) + "..."));
    }

    #[test]
    fn tests_become_log_objects() {
        let text = "
base: {eventName: A, awsRegion: eu-west-1}
tests:
  - name: hit
    expect: 1
    repeat: 2
    records:
      - {eventName: 'B{n}', eventTime: '10:{nn}'}
  - name: miss
    expect: 0
    lines: ['2 - {n}']
";
        let tests = parse_tests("a.tests.yaml", text).unwrap().tests;
        let records = r#"{"Records":[{"eventName":"B1","awsRegion":"eu-west-1","eventTime":"10:01","eventID":"00000000-0000-4000-8000-000000000001"},{"eventName":"B2","awsRegion":"eu-west-1","eventTime":"10:02","eventID":"00000000-0000-4000-8000-000000000002"}]}"#;
        assert_eq!(std::str::from_utf8(&tests[0].object).unwrap(), records);
        let lines = format!("{FLOW_HEADER}\n2 - 1\n");
        assert_eq!(std::str::from_utf8(&tests[1].object).unwrap(), lines);
    }

    #[test]
    fn wrong_tests_are_refused_with_their_name() {
        let check = |text: &str, expect: &str| {
            assert_eq!(reason(&parse_tests("a.tests.yaml", text).unwrap_err()), expect);
        };
        let hit = "tests:\n- {name: hit, expect: 1, records: [{}]}\n";
        check(hit, "`a.tests.yaml`: test `*` is missing: there must be at least one miss (`expect: 0`)");
        let more = |test: &str| format!("{hit}- {test}\n");
        check(
            &more("{name: b, expects: 0}"),
            "`a.tests.yaml` line 3: unknown key `expects`, did you mean `expect`?",
        );
        check(&more("{name: hit, expect: 0, records: [{}]}"), "`a.tests.yaml`: test `hit` is there twice");
        let either = "`a.tests.yaml`: test `b` needs either `records`, or `lines` with or without `header`";
        check(&more("{name: b, expect: 0, records: [{}], lines: [a]}"), either);
        let many = "`a.tests.yaml`: test `b` stands for none or more than 10000 records";
        check(&more("{name: b, expect: 0, repeat: 10001, records: [{}]}"), many);
    }

    #[test]
    fn a_folder_reports_all_its_problems_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.sql", RULE);
        write(
            "a.tests.yaml",
            "tests:\n- {name: a, expect: 1, records: [{}]}\n- {name: b, expect: 0, records: [{}]}",
        );
        let rules = load_folder(folder.path()).unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].tests.as_ref().unwrap().tests.len(), 2);

        write("b.sql", RULE);
        write("c.sql", "select 1");
        write("d.tests.yaml", "tests: []");
        let problems: Vec<String> = load_folder(folder.path()).unwrap_err().iter().map(reason).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("the id `test-rule` is already that of"), "{problems:?}");
        assert!(problems[1].contains("does not begin with a header"), "{problems:?}");
        assert!(problems[2].contains("d.tests.yaml` has no"), "{problems:?}");
    }
}
