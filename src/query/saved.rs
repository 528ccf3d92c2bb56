//! Saved queries: SQL with a name and typed parameters, one per file of `queries/`.
//!
//! Must never put a parameter's text into SQL: values are bound to `$name` placeholders.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use include_dir::{Dir, include_dir};
use serde::Deserialize;

use super::header::{self, nearest, printable, suggestion};

#[cfg(test)]
pub(crate) mod sample;

/// The value of a time that is no bound.
const ANY: &str = "any";

/// What a time looks like.
const A_TIME: &str = "a time like `2024-05-01`, `2024-05-01 10:30` or `2024-05-01T10:30:00Z`";

/// The longest value of a parameter, in bytes.
const MAX_VALUE_BYTES: usize = 64 * 1024;

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/queries");

/// A query by name.
#[derive(Debug, Clone)]
pub struct SavedQuery {
    /// What the user types, kebab-case: `access-key`.
    pub name: String,
    /// One line.
    pub title: String,
    /// What it shows and how to read it.
    pub description: String,
    /// Its parameters, in the order of the file.
    pub parameters: Vec<Parameter>,
    /// A command line that runs it.
    pub example: String,
    /// The statement, with `$name` for a parameter.
    pub sql: String,
}

/// A parameter of a saved query.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The name, without the `$`.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// The value when none is given; without one the parameter must be given.
    pub default: Option<ScalarValue>,
    /// One line.
    pub doc: String,
}

impl Parameter {
    /// The default as it would be given.
    pub fn default_text(&self) -> Option<String> {
        match self.default.as_ref()? {
            ScalarValue::TimestampMicrosecond(None, _) => Some(ANY.to_owned()),
            ScalarValue::TimestampMicrosecond(Some(micros), _) => {
                DateTime::from_timestamp_micros(*micros).map(|time| time.to_rfc3339())
            }
            other => Some(other.to_string()),
        }
    }
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number, 64 bits.
    Integer,
    /// A time: `2024-05-01`, `2024-05-01 10:30`, `2024-05-01T10:30:00Z`; UTC where no offset is given. Null for `any`, so
    /// that rows without a time need not be left out.
    Timestamp,
}

impl Kind {
    /// The word for it in headers and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Timestamp => "timestamp",
        }
    }

    /// Reads a value; the error says what a right one looks like.
    fn read(self, text: &str) -> Result<ScalarValue, &'static str> {
        match self {
            Kind::Text if text.len() > MAX_VALUE_BYTES => Err("a text of at most 65536 bytes"),
            Kind::Text => Ok(ScalarValue::Utf8(Some(text.to_owned()))),
            Kind::Integer => match text.trim().parse() {
                Ok(number) => Ok(ScalarValue::Int64(Some(number))),
                Err(_) => Err("a whole number like `30`"),
            },
            Kind::Timestamp if text.trim() == ANY => {
                Ok(ScalarValue::TimestampMicrosecond(None, Some("UTC".into())))
            }
            Kind::Timestamp => match read_time(text.trim()) {
                Some(time) => {
                    Ok(ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into())))
                }
                None => Err(A_TIME),
            },
        }
    }
}

/// Reads a value that was given; one that is no bound only where the default is one, so that the SQL knows of it.
fn read_given(kind: Kind, default: Option<&ScalarValue>, text: &str) -> Result<ScalarValue, &'static str> {
    let value = kind.read(text)?;
    if value.is_null() && !default.is_some_and(ScalarValue::is_null) { Err(A_TIME) } else { Ok(value) }
}

fn read_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_hms_opt(0, 0, 0)?.and_utc());
    }
    ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc())
}

/// What can be wrong with a saved query or with the values given for it.
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
    /// Two queries have one name.
    #[error("`{file}`: the name `{name}` is already that of `{other}`")]
    SameName {
        /// The later file.
        file: String,
        /// The name.
        name: String,
        /// The earlier file.
        other: String,
    },
    /// A value was given for a parameter that does not exist.
    #[error("query `{query}` has no parameter `{name}`{hint}")]
    UnknownParameter {
        /// The query.
        query: String,
        /// The name that was given.
        name: String,
        /// The nearest right one, or all there are.
        hint: String,
    },
    /// A parameter without default was not given.
    #[error("query `{query}` needs `-p {name}=...`: {doc}")]
    MissingParameter {
        /// The query.
        query: String,
        /// The parameter.
        name: String,
        /// What it is.
        doc: String,
    },
    /// A parameter was given twice.
    #[error("parameter `{name}` of query `{query}` is given twice")]
    RepeatedParameter {
        /// The query.
        query: String,
        /// The parameter.
        name: String,
    },
    /// A value is not of the parameter's type.
    #[error("parameter `{name}` of query `{query}` is {expected}, not `{given}`")]
    WrongType {
        /// The query.
        query: String,
        /// The parameter.
        name: String,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        given: String,
    },
}

/// The header as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    title: String,
    description: String,
    #[serde(default)]
    parameters: Vec<WrittenParameter>,
    example: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenParameter {
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    default: Option<WrittenDefault>,
    doc: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WrittenDefault {
    Integer(i64),
    Text(String),
}

/// Reads a saved query; `file_name` is for messages.
pub fn parse(file_name: &str, text: &str) -> Result<SavedQuery, Error> {
    let parts = header::split(file_name, text)?;
    let head: Header = header::read_yaml(file_name, &parts.yaml)?;
    let wrong = |key, problem: String| Error::Value { file: printable(file_name), key, problem };
    if !head.name.split('-').all(is_name) {
        return Err(wrong("name", format!("must be kebab-case, not `{}`", printable(&head.name))));
    }
    let texts = [("title", &head.title), ("description", &head.description), ("example", &head.example)];
    for (key, text) in texts {
        if text.trim().is_empty() {
            return Err(wrong(key, "is empty".into()));
        }
    }
    let parameters = read_parameters(head.parameters).map_err(|problem| wrong("parameters", problem))?;
    check_placeholders(&parts.sql, &parameters).map_err(|problem| wrong("parameters", problem))?;
    Ok(SavedQuery {
        name: head.name,
        title: head.title,
        description: head.description.trim().to_owned(),
        parameters,
        example: head.example.trim().to_owned(),
        sql: parts.sql,
    })
}

fn is_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn read_parameters(written: Vec<WrittenParameter>) -> Result<Vec<Parameter>, String> {
    let mut names = HashSet::new();
    let mut parameters = Vec::with_capacity(written.len());
    for parameter in written {
        let name = printable(&parameter.name);
        if !is_name(&parameter.name) || parameter.name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("holds `{name}`, not a snake_case name"));
        }
        if !names.insert(parameter.name.clone()) {
            return Err(format!("holds `{name}` twice"));
        }
        let default = match parameter.default {
            None => None,
            Some(WrittenDefault::Integer(number)) => Some(number.to_string()),
            Some(WrittenDefault::Text(text)) => Some(text),
        };
        let default = default
            .map(|text| parameter.kind.read(&text))
            .transpose()
            .map_err(|expected| format!("gives `{name}` a default that is not {expected}"))?;
        parameters.push(Parameter {
            name: parameter.name,
            kind: parameter.kind,
            default,
            doc: parameter.doc,
        });
    }
    Ok(parameters)
}

/// Every `$name` of the SQL must be declared, and every declared name used.
fn check_placeholders(sql: &str, parameters: &[Parameter]) -> Result<(), String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|error| format!("cannot be looked for in the SQL: {}", printable(&error.to_string())))?;
    let mut used = HashSet::new();
    for token in tokens {
        if let Token::Placeholder(name) = token {
            used.insert(name.trim_start_matches('$').to_owned());
        }
    }
    for name in &used {
        if !parameters.iter().any(|parameter| parameter.name == *name) {
            return Err(format!("lack `{}`, which the SQL uses", printable(name)));
        }
    }
    match parameters.iter().find(|parameter| !used.contains(&parameter.name)) {
        Some(unused) => Err(format!("hold `{}`, which the SQL does not use", unused.name)),
        None => Ok(()),
    }
}

impl SavedQuery {
    /// The value of every parameter, in the query's order, from what was given and the defaults.
    pub fn bind(&self, given: &[(String, String)]) -> Result<Vec<(String, ScalarValue)>, Error> {
        let query = || self.name.clone();
        let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, text) in given {
            if !self.parameters.iter().any(|parameter| parameter.name == *name) {
                return Err(self.unknown_parameter(name));
            }
            if texts.insert(name, text).is_some() {
                return Err(Error::RepeatedParameter { query: query(), name: name.clone() });
            }
        }
        let mut values = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            let name = parameter.name.clone();
            let value = match (texts.get(name.as_str()), &parameter.default) {
                // As where a variable of the shell is not set: an answer would be that of another question.
                (Some(text), None) if text.trim().is_empty() => {
                    return Err(Error::MissingParameter { query: query(), name, doc: parameter.doc.clone() });
                }
                (Some(text), default) => {
                    read_given(parameter.kind, default.as_ref(), text).map_err(|expected| {
                        Error::WrongType {
                            query: query(),
                            name: name.clone(),
                            expected,
                            given: printable(&text.chars().take(100).collect::<String>()),
                        }
                    })?
                }
                (None, Some(default)) => default.clone(),
                (None, None) => {
                    return Err(Error::MissingParameter { query: query(), name, doc: parameter.doc.clone() });
                }
            };
            values.push((name, value));
        }
        Ok(values)
    }

    fn unknown_parameter(&self, name: &str) -> Error {
        let known: Vec<String> = self.parameters.iter().map(|parameter| parameter.name.clone()).collect();
        let near = nearest(name, known.iter().map(String::as_str));
        let hint = if known.is_empty() {
            ": it takes none".to_owned()
        } else {
            format!(", {}", suggestion(near.as_deref(), &known))
        };
        Error::UnknownParameter { query: self.name.clone(), name: printable(name), hint }
    }
}

/// The saved queries that travel inside the binary, by file name: the name and the text of each file.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut queries: Vec<_> = BUILT_IN
        .files()
        .filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
        .filter(|(name, _)| name.strip_suffix(".sql").is_some())
        .collect();
    queries.sort_unstable();
    queries.into_iter()
}

/// Reads all saved queries of a folder, by file name; or says everything that is wrong with them.
pub fn load_folder(folder: &Path) -> Result<Vec<(PathBuf, SavedQuery)>, Vec<Error>> {
    let files = header::files_of(folder, ".sql").map_err(|error| vec![error.into()])?;
    let mut queries = Vec::new();
    let mut problems = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for path in files {
        let file = printable(&path.to_string_lossy());
        let text = header::read_file(&path).map_err(Error::from);
        match text.and_then(|text| parse(&file, &text)) {
            Ok(query) => {
                if let Some(other) = names.insert(query.name.clone(), file.clone()) {
                    problems.push(Error::SameName { file, name: query.name.clone(), other });
                }
                queries.push((path, query));
            }
            Err(error) => problems.push(error),
        }
    }
    if problems.is_empty() { Ok(queries) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::columns::{CLOUDTRAIL, Table, VPC_FLOW};

    const QUERY: &str = "/*
name: access-key
title: A title
description: What it shows.
parameters:
  - {name: key, type: text, doc: the key}
  - {name: days, type: integer, default: 30, doc: how many}
  - {name: since, type: timestamp, default: \"2024-05-01\", doc: from}
example: trailhound query access-key -p key=AKIA
*/
select * from cloudtrail where access_key_id = $key and event_time >= $since and 1 < $days;
";

    fn reason(error: &Error) -> String {
        use std::error::Error as _;
        match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }
    }

    fn micros(micros: i64) -> ScalarValue {
        ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
    }

    #[test]
    fn a_wrong_query_is_refused_with_file_and_key() {
        let check = |from: &str, to: &str, expect: &str| {
            let text = QUERY.replace(from, to);
            assert_ne!(text, QUERY, "{from} is not in the query");
            assert_eq!(reason(&parse("a.sql", &text).unwrap_err()), expect);
        };
        check("example:", "exmaple:", "`a.sql` line 9: unknown key `exmaple`, did you mean `example`?");
        check("type: text", "typ: text", "`a.sql` line 6: unknown key `typ`, did you mean `type`?");
        check("type: text", "type: txt", "`a.sql` line 6: unknown value `txt`, did you mean `text`?");
        check("name: access-key", "name: Access", "`a.sql`: `name` must be kebab-case, not `Access`");
        check("title: A title", "title: ' '", "`a.sql`: `title` is empty");
        check("name: key", "name: 1key", "`a.sql`: `parameters` holds `1key`, not a snake_case name");
        check("name: days", "name: key", "`a.sql`: `parameters` holds `key` twice");
        check(
            "default: 30",
            "default: x",
            "`a.sql`: `parameters` gives `days` a default that is not a whole number like `30`",
        );
        check("= $key", "= $kee", "`a.sql`: `parameters` lack `kee`, which the SQL uses");
        check("= $key", "= ''", "`a.sql`: `parameters` hold `key`, which the SQL does not use");
    }

    #[test]
    fn values_are_bound_by_type() {
        let query = parse("a.sql", QUERY).unwrap();
        let bind = |given: &[(&str, &str)]| {
            let given: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            query.bind(&given).map_err(|error| reason(&error))
        };
        let first_of_may = 1_714_521_600_000_000;
        let bound = |key: &str, days, since| {
            let text = ScalarValue::Utf8(Some(key.to_owned()));
            Ok(vec![
                ("key".to_owned(), text),
                ("days".to_owned(), ScalarValue::Int64(Some(days))),
                ("since".to_owned(), micros(since)),
            ])
        };
        assert_eq!(bind(&[("key", "' or 1=1")]), bound("' or 1=1", 30, first_of_may));
        assert_eq!(bind(&[("days", "-1"), ("key", "-")]), bound("-", -1, first_of_may));
        for since in
            ["2024-05-01 01:00", "2024-05-01T01:00:00", "2024-05-01T01:00:00Z", "2024-05-01T03:00:00+02:00"]
        {
            assert_eq!(bind(&[("key", "a"), ("since", since)]), bound("a", 30, first_of_may + 3_600_000_000));
        }
        let check = |given: &[(&str, &str)], expect: &str| assert_eq!(bind(given), Err(expect.to_owned()));
        check(&[], "query `access-key` needs `-p key=...`: the key");
        let any = bind(&[("key", "a"), ("since", "any")]).unwrap_err();
        assert!(any.contains("a time like `2024-05-01`"), "{any}");
        check(&[("key", " ")], "query `access-key` needs `-p key=...`: the key");
        check(&[("kye", "a")], "query `access-key` has no parameter `kye`, did you mean `key`?");
        check(
            &[("zzz", "a")],
            "query `access-key` has no parameter `zzz`, expected one of `key`, `days`, `since`",
        );
        check(&[("key", "a"), ("key", "b")], "parameter `key` of query `access-key` is given twice");
        check(
            &[("key", "a"), ("days", "a\u{1b}")],
            "parameter `days` of query `access-key` is a whole number like `30`, not `a\\u{1b}`",
        );
        check(
            &[("key", "a"), ("since", "yesterday")],
            "parameter `since` of query `access-key` is a time like `2024-05-01`, `2024-05-01 10:30` or \
             `2024-05-01T10:30:00Z`, not `yesterday`",
        );
    }

    #[test]
    fn a_folder_reports_all_its_problems_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.sql", QUERY);
        write("notes.txt", "not a query");
        assert_eq!(load_folder(folder.path()).unwrap().len(), 1);
        write("b.sql", QUERY);
        write("c.sql", "select 1");
        let problems: Vec<String> = load_folder(folder.path()).unwrap_err().iter().map(reason).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("the name `access-key` is already that of"), "{problems:?}");
        assert!(problems[1].contains("does not begin with a header"), "{problems:?}");
    }

    fn queries() -> Vec<(&'static str, SavedQuery)> {
        built_in().map(|(file, text)| (file, parse(file, text).unwrap())).collect()
    }

    /// The values of a `trailhound query NAME -p a=b -p c=d` command line.
    fn given(example: &str) -> Vec<(String, String)> {
        let words: Vec<&str> = example.split_whitespace().collect();
        let values = words.windows(2).filter(|pair| pair[0] == "-p");
        values
            .map(|pair| pair[1].split_once('=').unwrap())
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect()
    }

    /// Runs a built-in query over one log object and gives the result as rows of text, `|` between columns.
    async fn rows(
        name: &str,
        given: &[(String, String)],
        table: &'static Table,
        object: &[u8],
    ) -> Vec<String> {
        let (_, query) = queries().into_iter().find(|(_, query)| query.name == name).unwrap();
        let frame =
            sample::session(table, object).sql(&query.sql).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let frame =
            frame.with_param_values(query.bind(given).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let batches = frame.collect().await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut rows = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let text = |column: &arrow::array::ArrayRef| {
                    arrow::util::display::array_value_to_string(column, row).unwrap()
                };
                rows.push(batch.columns().iter().map(text).collect::<Vec<_>>().join("|"));
            }
        }
        rows
    }

    #[tokio::test]
    async fn every_built_in_query_runs_as_its_example_says() {
        let mut names = HashSet::new();
        for (file, query) in queries() {
            assert_eq!(file, query.name.replace('-', "_") + ".sql");
            assert!(query.example.starts_with(&format!("trailhound query {}", query.name)), "{file}");
            assert!(names.insert(query.name.clone()), "{file}");
            let found = rows(&query.name, &given(&query.example), &CLOUDTRAIL, b"").await;
            assert_eq!(found, [""; 0], "{file}: rows out of nothing");
        }
        assert!(names.len() >= 21, "{}", names.len());
    }

    const TRAIL: &str = r#"{"Records":[
{"eventID":"1","eventTime":"2024-05-01T10:00:00Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","awsRegion":"eu-west-1",
 "sourceIPAddress":"198.51.100.7","recipientAccountId":"111122223333","readOnly":true,"eventCategory":"Management",
 "userIdentity":{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::111122223333:user/alice","accessKeyId":"AKIA1"},
 "requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/admin","roleSessionName":"s1"},
 "responseElements":{"credentials":{"accessKeyId":"ASIA1"}}},
{"eventID":"2","eventTime":"2024-05-20T10:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1",
 "sourceIPAddress":"203.0.113.9","recipientAccountId":"111122223333","readOnly":false,"eventCategory":"Management","errorCode":"AccessDenied",
 "userIdentity":{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::111122223333:user/alice","accessKeyId":"AKIA1"},
 "requestParameters":{"userName":"bob"}},
{"eventID":"3","eventTime":"2024-05-01T11:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-1",
 "sourceIPAddress":"198.51.100.7","recipientAccountId":"111122223333","readOnly":false,"eventCategory":"Management",
 "userIdentity":{"type":"IAMUser","userName":"carol","arn":"arn:aws:iam::111122223333:user/carol","accessKeyId":"AKIA2"}}
]}"#;

    #[tokio::test]
    async fn queries_find_what_they_promise() {
        let check = async |command: &str, expect: &[&str]| {
            let name = command.split_whitespace().next().unwrap();
            let found = rows(name, &given(command), &CLOUDTRAIL, TRAIL.as_bytes()).await;
            assert_eq!(found.len(), expect.len(), "{command}: {found:#?}");
            for (found, expect) in found.iter().zip(expect) {
                assert!(
                    expect.split('|').all(|part| found.contains(part)),
                    "{command}: {found}, not {expect}"
                );
            }
        };
        check("access-key -p key=AKIA1", &["198.51.100.7|1|0", "203.0.113.9|iam.amazonaws.com"]).await;
        check("principal -p principal=alice", &["CreateUser|AccessDenied", "AssumeRole"]).await;
        check("principal-timeline -p principal=alice -p limit=1", &["AssumeRole"]).await;
        check("principal-timeline -p principal=alice -p reads=no", &["CreateUser"]).await;
        check("principal-timeline -p principal=alice -p since=2024-05-02", &["CreateUser"]).await;
        check("principal-timeline -p principal=alice -p until=2024-05-02", &["AssumeRole"]).await;
        check("failed-calls", &["CreateUser|AccessDenied"]).await;
        check("failed-calls -p principal=carol", &[]).await;
        check("new-regions -p days=7", &["us-east-1|CreateUser"]).await;
        check("new-regions -p days=30", &["us-east-1", "eu-west-1"]).await;
        check("role-assumptions -p role=admin", &["user/alice|s1|ASIA1"]).await;
        check("role-assumptions -p role=min", &[]).await;
        check("resource -p resource=role/admin", &["AssumeRole"]).await;
        check("source-address -p address=198.51.100.7", &["alice", "carol"]).await;
        check("shared-access-keys", &["AKIA1|2|198.51.100.7|203.0.113.9"]).await;
        check("iam-changes", &["CreateUser|bob|AccessDenied"]).await;
        check("event -p id=3", &["RunInstances"]).await;
        check("coverage", &["us-east-1|2024-05-20", "eu-west-1|2024-05-01|2"]).await;
    }

    #[tokio::test]
    async fn events_without_a_time_are_left_out_only_where_a_time_is_asked_for() {
        let trail = TRAIL.replace(r#""eventTime":"2024-05-01T10:00:00Z","#, "");
        let found = async |command: &str| {
            let name = command.split_whitespace().next().unwrap();
            rows(name, &given(command), &CLOUDTRAIL, trail.as_bytes()).await.join("\n")
        };
        for (command, expected) in [
            ("access-key -p key=AKIA1", "198.51.100.7"),
            ("principal -p principal=alice", "AssumeRole"),
            ("principal-timeline -p principal=alice", "AssumeRole"),
            ("role-assumptions -p role=admin", "user/alice"),
            ("resource -p resource=role/admin", "AssumeRole"),
            ("source-address -p address=198.51.100.7", "alice"),
        ] {
            assert!(found(command).await.contains(expected), "{command}");
            assert!(found(&format!("{command} -p since=any")).await.contains(expected), "{command}");
            for span in ["since=0001-01-01", "until=9999-12-31"] {
                let found = found(&format!("{command} -p {span}")).await;
                assert!(!found.contains(expected), "{command} -p {span}: {found}");
            }
        }
    }

    #[tokio::test]
    async fn flow_queries_find_what_they_promise() {
        let lines = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
2 111122223333 eni-1 198.51.100.7 10.0.0.5 45000 22 6 20 4000 1714557600 1714557610 ACCEPT OK
2 111122223333 eni-1 198.51.100.7 10.0.0.5 45000 23 6 1 40 1714557600 1714557610 REJECT OK
2 111122223333 eni-1 203.0.113.80 10.0.0.5 443 50000 6 20 90000 1714557600 1714557610 ACCEPT OK
2 111122223333 eni-1 - - - - - - - 1714557600 1714557610 - NODATA
";
        let check = async |command: &str, expect: &[&str]| {
            let name = command.split_whitespace().next().unwrap();
            let found = rows(name, &given(command), &VPC_FLOW, lines.as_bytes()).await;
            assert_eq!(found.len(), expect.len(), "{command}: {found:#?}");
            for (found, expect) in found.iter().zip(expect) {
                assert!(found.contains(expect), "{command}: {found}, not {expect}");
            }
        };
        check("top-talkers", &["203.0.113.80|10.0.0.5|90000", "198.51.100.7|10.0.0.5|4000"]).await;
        check("rejected-flows", &["198.51.100.7|1|1|1"]).await;
        check("flows-of-address -p address=198.51.100.7", &["22", "23"]).await;
        check("internet-accepted", &["10.0.0.5|22|6|1|1|4000"]).await;
        check("ports-touched -p address=198.51.100.7", &["22|6|1|1|0", "23|6|1|0|1"]).await;
    }
}
