//! Saved queries: SQL with a name and typed parameters, one per file of `queries/`.
//!
//! Must never put a parameter's text into SQL: values are bound to `$name` placeholders.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use datafusion::scalar::ScalarValue;
use include_dir::{Dir, include_dir};
use serde::Deserialize;

use super::header::{self, nearest, printable, suggestion};

#[cfg(test)]
pub(crate) mod sample;

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

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number, 64 bits.
    Integer,
    /// A time: `2024-05-01`, `2024-05-01 10:30`, `2024-05-01T10:30:00Z`; UTC where no offset is given.
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
            Kind::Timestamp => match read_time(text.trim()) {
                Some(time) => {
                    Ok(ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into())))
                }
                None => Err("a time like `2024-05-01`, `2024-05-01 10:30` or `2024-05-01T10:30:00Z`"),
            },
        }
    }
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
    let used: HashSet<&str> = sql
        .split('$')
        .skip(1)
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        })
        .collect();
    for name in &used {
        if !parameters.iter().any(|parameter| parameter.name == *name) {
            return Err(format!("lack `{}`, which the SQL uses", printable(name)));
        }
    }
    match parameters.iter().find(|parameter| !used.contains(parameter.name.as_str())) {
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
                (Some(text), _) => parameter.kind.read(text).map_err(|expected| Error::WrongType {
                    query: query(),
                    name: name.clone(),
                    expected,
                    given: printable(&text.chars().take(100).collect::<String>()),
                })?,
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
        let hint = match known.is_empty() {
            true => ": it takes none".to_owned(),
            false => format!(", {}", suggestion(near.as_deref(), &known)),
        };
        Error::UnknownParameter { query: self.name.clone(), name: printable(name), hint }
    }
}

/// The saved queries that travel inside the binary, by file name: the name and the text of each file.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut queries: Vec<_> = BUILT_IN
        .files()
        .filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
        .filter(|(name, _)| name.ends_with(".sql"))
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
