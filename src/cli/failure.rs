//! One place where an error becomes `error:` and `hint:` lines and an exit code.

use std::error::Error;
use std::io::ErrorKind;

use super::ingest::lake_option;
use super::output::{Outcome, Output};
use crate::lake::TABLES;
use crate::{alert, config, generate, ingest, lake, maintain, query, service, store};

/// A verb that could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    outcome: Outcome,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with no hint.
    pub fn new(outcome: Outcome, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Failure { outcome, error: error.into(), hint: None }
    }

    /// The same failure with a hint: best a command to paste.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error with its causes and the hint, on lines of their own.
    pub fn text(&self) -> String {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            text.push_str("\n  because: ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }

    /// Tells a person; returns how the program ends. A reader of standard output that has gone is no failure.
    pub fn tell(&self, output: &Output) -> Outcome {
        if output.closed() {
            return Outcome::Done;
        }
        output.report(self.error.as_ref());
        if let Some(hint) = &self.hint {
            output.hint(hint);
        }
        self.outcome
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Failure::new(Outcome::WrongUse, error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let hint = matches!(error, store::Error::Unconditional { .. }).then(|| {
            "keep the lake on AWS S3, on a store with conditional writes, or in a directory: \
             `trailhound run --lake ./lake`"
                .to_owned()
        });
        Failure { outcome: Outcome::Failed, error: error.into(), hint }
    }
}

impl From<lake::Error> for Failure {
    fn from(error: lake::Error) -> Self {
        let error = match error {
            lake::Error::Store(error) => return (*error).into(),
            error => error,
        };
        let hint = match &error {
            lake::Error::Missing { place } => {
                let lake = lake_option(place);
                Some(format!("`trailhound ingest ./AWSLogs{lake}` makes one, `trailhound demo` shows how"))
            }
            lake::Error::VersionGone { .. } => Some(
                "another program cleaned up the log: stop that, then start again, since what `objects` holds is known; \
                 `trailhound lake check` tells what cannot be proven any more, \
                 `trailhound detect --since DATE --save` runs over what is there"
                    .to_owned(),
            ),
            lake::Error::UnknownObject { .. } => Some(
                "a newer version of trailhound wrote to this lake: use one that is as new; \
                 `trailhound lake check` tells which commits are not understood"
                    .to_owned(),
            ),
            lake::Error::UnknownColumns { .. } | lake::Error::Protocol { .. } => Some(
                "a newer version of trailhound wrote to this lake: use one that is as new; where it was another \
                 program, undo the change there, as with `alter table ... drop feature` or `drop column`"
                    .to_owned(),
            ),
            error if is_disk_full(error) => {
                Some("make room where the lake is, then run the same again: what was begun is not in the lake".to_owned())
            }
            _ => None,
        };
        Failure { outcome: Outcome::Failed, error: error.into(), hint }
    }
}

/// Whether an error goes back to a disk without room.
fn is_disk_full(error: &lake::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<maintain::Error> for Failure {
    fn from(error: maintain::Error) -> Self {
        match error {
            maintain::Error::Lake(error) => error.into(),
            maintain::Error::Query(error) => error.into(),
            error @ (maintain::Error::Count { .. }
            | maintain::Error::Rows { .. }
            | maintain::Error::Unknown { .. }) => {
                Failure::new(Outcome::Failed, error).hint("`trailhound lake check` tells what is wrong")
            }
            error => Failure::new(Outcome::Failed, error).hint(
                "run the same again: what is done stays done; `trailhound lake check` tells what is wrong",
            ),
        }
    }
}

impl From<ingest::Error> for Failure {
    fn from(error: ingest::Error) -> Self {
        match error {
            ingest::Error::Lake(error) => error.into(),
            error @ ingest::Error::Path { .. } => Failure::new(Outcome::WrongUse, error),
            error @ ingest::Error::List { .. } => Failure::new(Outcome::Failed, error)
                .hint("check the bucket, the region and the credentials: `aws sts get-caller-identity`"),
        }
    }
}

impl From<query::Error> for Failure {
    fn from(error: query::Error) -> Self {
        match error {
            query::Error::Lake(error) => error.into(),
            error => {
                let outcome = match error {
                    query::Error::Run(_) | query::Error::Timeout(_) => Outcome::Failed,
                    _ => Outcome::WrongUse,
                };
                let hint = hint_for_query(&error);
                Failure { outcome, error: error.into(), hint }
            }
        }
    }
}

fn hint_for_query(error: &query::Error) -> Option<String> {
    let hint = match error {
        query::Error::NotAQuery { .. } => {
            "`trailhound ingest` adds rows; `trailhound sql --describe cloudtrail` shows what can be asked"
        }
        query::Error::Plan(text) if text.contains("No field named") => {
            // The field, or those there are, come with their table.
            let places =
                TABLES.iter().filter_map(|table| Some((text.find(&format!("{}.", table.name))?, table)));
            let table = places.min_by_key(|(place, _)| *place).map_or("cloudtrail", |(_, table)| table.name);
            return Some(format!("`trailhound sql --describe {table}` lists the columns"));
        }
        query::Error::Plan(text) if text.contains("not found") => {
            "`trailhound sql --describe` lists the tables"
        }
        query::Error::Timeout(_) => {
            "narrow the time range, or allow more: `timeout_seconds` in `[query]`, or `--timeout-seconds 3600` where a verb takes it"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

impl From<service::Error> for Failure {
    fn from(error: service::Error) -> Self {
        match error {
            service::Error::Config(error) => error.into(),
            service::Error::Sink(error) => error.into(),
            service::Error::Store(error) => error.into(),
            service::Error::Lake(error) => error.into(),
            error @ service::Error::Detections(_) => Failure::new(Outcome::WrongUse, error)
                .hint("`trailhound rules test` tells when they are right"),
            error @ service::Error::NoSource => Failure::new(Outcome::WrongUse, error)
                .hint("add `[[source]]` to trailhound.toml; `trailhound config reference` has the keys"),
            error @ service::Error::FlowFormats(_) => Failure::new(Outcome::WrongUse, error).hint(
                "give it in single quotes, as a shell has its own use for `${...}`; \
                 `aws ec2 describe-flow-logs --query 'FlowLogs[].[LogFormat]' --output text` prints yours",
            ),
            error @ service::Error::SecretText { .. } => Failure::new(Outcome::WrongUse, error),
            error @ service::Error::Queue(_) => Failure::new(Outcome::Failed, error)
                .hint("check the queue's URL, the region and the credentials: `aws sts get-caller-identity`"),
            error => Failure::new(Outcome::Failed, error),
        }
    }
}

impl From<alert::sinks::Error> for Failure {
    fn from(error: alert::sinks::Error) -> Self {
        Failure::new(Outcome::WrongUse, error)
    }
}

impl From<generate::Error> for Failure {
    fn from(error: generate::Error) -> Self {
        Failure::new(Outcome::Failed, error)
    }
}

impl From<super::format::Error> for Failure {
    fn from(error: super::format::Error) -> Self {
        let hint = matches!(error, super::format::Error::ParquetOnTerminal)
            .then(|| "`trailhound sql --format parquet ... > result.parquet`".to_owned());
        Failure { outcome: Outcome::Failed, error: error.into(), hint }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(Outcome::Failed, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::ALERTS;

    #[test]
    fn a_commit_of_a_newer_version_is_told_with_what_to_do() {
        let source = serde_json::from_str::<bool>("7").expect_err("is no bool");
        let text =
            Failure::from(lake::Error::UnknownObject { table: ALERTS.name, version: 7, source }).text();
        assert!(text.contains("hint: a newer version of trailhound wrote to this lake"), "{text}");
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let of = |kind| {
            let cause = std::io::Error::new(kind, "a file");
            let source = object_store::Error::Generic { store: "local", source: Box::new(cause) };
            Failure::from(lake::Error::Table { table: ALERTS.name, source: Box::new(source) }).text()
        };
        assert!(of(ErrorKind::StorageFull).contains("hint: make room"));
        assert!(!of(ErrorKind::PermissionDenied).contains("hint"));
    }
}
