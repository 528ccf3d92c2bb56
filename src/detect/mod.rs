//! Findings from rules: which rows a rule reads, and what its result means.
//!
//! A rule has one meaning in every mode: over what came in since a table version, over a span of the past, or over
//! the records of its own tests. Must never write: findings are values, and raising alerts from them is not done here.

pub mod detection;
mod finding;
pub mod pack;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, col, lit};

use crate::decode::columns::Table;
use crate::decode::{self, cloudtrail, vpc_flow};
use crate::lake::{self, Action, DataFile, Lake, ObjectId, ObjectRecord, TableLog};
use crate::query::{self, Limits, Session, query_schema, timestamp};
use detection::{Detection, Kind, RuleTest};
use finding::Gatherer;
pub use finding::{Finding, Findings, MAX_EVENT_IDS, floor};

/// At most so many findings of one rule are kept in one run; more are counted.
pub const MAX_FINDINGS: usize = 1_000;

/// More spans of touched time than this are read as one.
const MAX_SPANS: usize = 32;

/// Why a rule could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The query failed.
    #[error("rule `{rule}` failed")]
    Query {
        /// The rule.
        rule: String,
        /// The cause.
        #[source]
        source: query::Error,
    },
    /// The result lacks a column.
    #[error("the result of rule `{rule}` has no column `{column}`")]
    NoColumn {
        /// The rule.
        rule: String,
        /// The column.
        column: String,
    },
    /// A column has a type that cannot be used.
    #[error("column `{column}` of the result of rule `{rule}` has the wrong type")]
    ColumnType {
        /// The rule.
        rule: String,
        /// The column.
        column: String,
        /// The cause.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// The records of a test cannot be read.
    #[error("the records of test `{test}` of rule `{rule}` cannot be read")]
    Records {
        /// The rule.
        rule: String,
        /// The test.
        test: String,
        /// The cause.
        #[source]
        source: decode::Error,
    },
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] lake::Error),
}

/// A span of event time, microseconds since the epoch: from `start`, up to and not including `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first microsecond.
    pub start: i64,
    /// The first microsecond after it.
    pub end: i64,
}

/// What a rule is to look at.
#[derive(Debug, Clone)]
pub enum Scope {
    /// What was added to the table after a version, up to another.
    Added {
        /// The files the new rows are in.
        files: Vec<DataFile>,
        /// When those files hold other rows too: the objects the new rows are of.
        objects: Option<Vec<ObjectId>>,
    },
    /// What happened in a span of time, whenever it came in.
    Past(Span),
}

impl Scope {
    /// What the versions after `after`, up to `head`, brought into a table, in the files that hold it at `head`.
    ///
    /// Rows that were only written again are not new; rows that were written again after they came in are read from
    /// where they are now.
    pub async fn added(log: &TableLog, after: i64, head: i64) -> Result<Self, lake::Error> {
        let mut added = Added::default();
        for version in after + 1..=head {
            // A version that is gone was cleaned up by a foreign writer: reading on would skip its rows silently.
            let actions = log
                .actions(version)
                .await?
                .ok_or_else(|| lake::Error::VersionGone { table: log.table().name, version })?;
            added.note(log, &actions, log.objects_of(version, &actions)?);
        }
        if head > after {
            log.check_read(after).await?;
        }
        Ok(added.scope(after))
    }

    /// The windows of event time it touches, merged.
    fn windows(&self, window: i64) -> Vec<Span> {
        let spans = match self {
            Scope::Past(span) => vec![*span],
            Scope::Added { files, .. } => files
                .iter()
                .filter_map(|file| Some(Span { start: file.min_time?, end: file.max_time? + 1 }))
                .collect(),
        };
        merge(spans.into_iter().map(|span| widen(span, window)).collect())
    }
}

/// Where the rows are that some versions brought in, while the versions are read one after another.
#[derive(Default)]
struct Added {
    /// By path; `true` when nothing but new rows is in the file.
    files: BTreeMap<String, (DataFile, bool)>,
    objects: Vec<ObjectId>,
}

impl Added {
    fn note(&mut self, log: &TableLog, actions: &[Action], objects: Vec<ObjectRecord>) {
        self.objects.extend(objects.into_iter().map(|record| record.object_id));
        let mut days = BTreeSet::new();
        let mut only_new = true;
        for remove in actions.iter().filter_map(|action| action.remove.as_ref()) {
            match self.files.remove(&remove.file_path()) {
                Some((file, new)) => {
                    only_new &= new;
                    days.insert(file.event_date);
                }
                None => only_new = false,
            }
        }
        let rewrite = actions.iter().any(|action| action.noted("rewrite").is_some());
        for add in actions.iter().filter_map(|action| action.add.as_ref()) {
            let file = log.added_file(add);
            if add.data_change && !rewrite {
                self.files.insert(file.path.clone(), (file, true));
            } else if days.contains(&file.event_date) {
                self.files.insert(file.path.clone(), (file, only_new));
            }
        }
    }

    /// To a rule that begins with the first version, every row is new.
    fn scope(self, after: i64) -> Scope {
        let mixed = after > 0 && self.files.values().any(|(_, only_new)| !only_new);
        let files = self.files.into_values().map(|(file, _)| file).collect();
        Scope::Added { files, objects: mixed.then_some(self.objects) }
    }
}

/// The span from the start of the window a span begins in to the end of the one it ends in.
fn widen(span: Span, window: i64) -> Span {
    let window = window.max(1);
    Span { start: floor(span.start, window), end: floor(span.end - 1, window).saturating_add(window) }
}

fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    if merged.len() > MAX_SPANS {
        let end = merged.iter().map(|span| span.end).max().unwrap_or(i64::MAX);
        return vec![Span { start: merged[0].start, end }];
    }
    merged
}

/// Runs one rule over part of a lake; `live` are all files of the rule's table.
pub async fn evaluate(
    lake: &Lake,
    detection: &Detection,
    scope: &Scope,
    live: &[DataFile],
    limits: &Limits,
) -> Result<Findings, Error> {
    let failed = |source| Error::Query { rule: detection.id.clone(), source };
    let session = Session::empty(lake, limits.clone()).map_err(failed)?;
    let table = detection.table;
    if let (Kind::Event, Scope::Added { files, objects }) = (detection.kind, scope) {
        match objects {
            None => session.register(lake, table, files.clone()),
            Some(objects) => session.register_where(lake, table, files.clone(), of_objects(objects)),
        }
        .map_err(failed)?;
        return run(&session, detection, |_| true).await;
    }
    let window = micros(detection.window);
    let (touched, read) = if let (Kind::Event, Scope::Past(span)) = (detection.kind, scope) {
        (vec![], vec![*span])
    } else {
        let touched = scope.windows(window);
        let lookback = micros(detection.lookback);
        let back = |span: &Span| Span { start: span.start.saturating_sub(lookback), end: span.end };
        let read = merge(touched.iter().map(back).collect());
        (touched, read)
    };
    if read.is_empty() {
        return Ok(Findings::default());
    }
    session.register_where(lake, table, live.to_vec(), within(table, &read)).map_err(failed)?;
    let aggregate = detection.kind == Kind::Aggregate;
    let keep = |start: i64| !aggregate || touched.iter().any(|span| span.start <= start && start < span.end);
    run(&session, detection, keep).await
}

/// Runs one test of a rule; returns what it found.
pub async fn evaluate_test(
    detection: &Detection,
    test: &RuleTest,
    limits: &Limits,
) -> Result<Findings, Error> {
    let failed = |source| Error::Query { rule: detection.id.clone(), source };
    let unreadable = |source| Error::Records { rule: detection.id.clone(), test: test.name.clone(), source };
    let decoded = if detection.table.name == decode::columns::CLOUDTRAIL.name {
        cloudtrail::decode(&test.object, "test")
    } else {
        vpc_flow::decode(&test.object, "test")
    };
    let batch = decoded.map_err(unreadable)?;
    let session = Session::detached(limits.clone()).map_err(failed)?;
    let rows = memory_table(detection.table, &batch).map_err(|source| Error::ColumnType {
        rule: detection.id.clone(),
        column: "*".to_owned(),
        source,
    })?;
    session.register_provider(detection.table.name, rows).map_err(failed)?;
    run(&session, detection, |_| true).await
}

fn memory_table(
    table: &'static Table,
    batch: &RecordBatch,
) -> Result<Arc<MemTable>, arrow::error::ArrowError> {
    let schema = query_schema(table);
    let fields = batch.columns().iter().zip(schema.fields());
    let columns = fields.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)?;
    MemTable::try_new(schema, vec![vec![batch]])
        .map(Arc::new)
        .map_err(|error| arrow::error::ArrowError::ExternalError(Box::new(error)))
}

async fn run(
    session: &Session,
    detection: &Detection,
    keep: impl Fn(i64) -> bool,
) -> Result<Findings, Error> {
    let failed = |source| Error::Query { rule: detection.id.clone(), source };
    let query = session.query(&detection.sql, Vec::new()).await.map_err(failed)?;
    let mut gatherer = Gatherer::new(detection, MAX_FINDINGS);
    query.for_each(|batch| gatherer.take(batch, &keep).map_err(Stop::Rule)).await.map_err(
        |stop| match stop {
            Stop::Rule(error) => error,
            Stop::Query(source) => failed(source),
        },
    )?;
    Ok(gatherer.finish())
}

/// Why the reading of a result stopped.
enum Stop {
    Rule(Error),
    Query(query::Error),
}

impl From<query::Error> for Stop {
    fn from(error: query::Error) -> Self {
        Stop::Query(error)
    }
}

/// Rows whose time lies in one of the spans.
fn within(table: &Table, spans: &[Span]) -> Expr {
    let time = || col(table.time_column);
    let one = |span: &Span| {
        let from = time().gt_eq(lit(timestamp(Some(span.start))));
        from.and(time().lt(lit(timestamp(Some(span.end)))))
    };
    spans.iter().map(one).reduce(Expr::or).unwrap_or_else(|| lit(false))
}

/// Rows of some objects.
fn of_objects(objects: &[ObjectId]) -> Expr {
    col("source_object").in_list(objects.iter().map(|id| lit(id.to_string())).collect(), false)
}

fn micros(delta: chrono::TimeDelta) -> i64 {
    delta.num_microseconds().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_windows_are_whole_and_merged() {
        let span = |start, end| Span { start, end };
        for (spans, window, expected) in [
            (vec![], 10, vec![]),
            (vec![span(3, 4)], 10, vec![span(0, 10)]),
            (vec![span(3, 10)], 10, vec![span(0, 10)]),
            (vec![span(3, 11)], 10, vec![span(0, 20)]),
            (vec![span(55, 56), span(3, 4), span(12, 13)], 10, vec![span(0, 20), span(50, 60)]),
            (vec![span(-3, -2)], 10, vec![span(-10, 0)]),
        ] {
            let widened = spans.iter().map(|span| widen(*span, window)).collect();
            assert_eq!(merge(widened), expected, "{spans:?}");
        }
        let many = (0..100).map(|at| span(at * 100, at * 100 + 1)).collect();
        assert_eq!(merge(many), vec![span(0, 9_901)]);
    }
}
