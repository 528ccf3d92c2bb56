//! Proving from the data that a lake holds each object once and whole.
//!
//! The commits say how many rows each object has and which of them were taken out again; the files say which rows
//! are there. Each row of each object must be in exactly one of the two, once. A bit per row is kept in memory, and
//! of the files only the two columns are read that say where a row is from.

mod files;
mod index;
mod objects;

use std::fmt::Display;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::Error;
use crate::lake::{self, DATA_TABLES, Lake, OBJECTS, TABLES, TableLog};
use files::TableFiles;
use objects::Objects;

/// More problems than this are only counted.
pub const MAX_PROBLEMS: usize = 10_000;
/// Versions of a log that are read at once.
const VERSIONS_AT_ONCE: usize = 16;

/// How a lake is checked.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether every file is read whole and its hash compared.
    pub hashes: bool,
    /// Files read at once.
    pub at_once: usize,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The table.
    pub table: &'static str,
    /// A word for the kind: `rows-missing`, `file-missing`, ...
    pub kind: &'static str,
    /// False when nothing is wrong with what the lake says, as with files that nothing names.
    pub is_error: bool,
    /// The object, file or version it is about.
    pub subject: String,
    /// What is wrong.
    pub detail: String,
}

/// What was seen of one table.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The table.
    pub table: &'static str,
    /// The version that was checked.
    pub version: i64,
    /// Live files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Objects the commits name.
    pub objects: u64,
    /// Rows in the files.
    pub rows: u64,
    /// Rows that commits took out.
    pub removed: u64,
    /// Files whose hash was compared.
    pub hashed: usize,
    /// Files whose commit says no hash: another program wrote them.
    pub without_hash: usize,
    /// Files that were live once and wait for `vacuum`.
    pub retired: usize,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// By table.
    pub tables: Vec<Seen>,
    /// At most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many problems there are in all.
    pub count: u64,
    /// How many of them are errors.
    pub errors: u64,
}

impl Report {
    fn add(&mut self, problem: Problem) {
        self.count += 1;
        self.errors += u64::from(problem.is_error);
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn error(
        &mut self,
        table: &'static str,
        kind: &'static str,
        subject: &dyn Display,
        detail: impl Into<String>,
    ) {
        let (subject, detail) = (subject.to_string(), detail.into());
        self.add(Problem { table, kind, is_error: true, subject, detail });
    }

    fn note(
        &mut self,
        table: &'static str,
        kind: &'static str,
        subject: &dyn Display,
        detail: impl Into<String>,
    ) {
        let (subject, detail) = (subject.to_string(), detail.into());
        self.add(Problem { table, kind, is_error: false, subject, detail });
    }
}

/// Checks a lake; `progress` hears of rows that were read, and before that how many there are.
pub async fn run(lake: &Lake, settings: Settings, progress: &Arc<dyn Progress>) -> Result<Report, Error> {
    let mut report = Report::default();
    // First: the commits and the index are then at least as far as this says.
    let indexed = index::progress(lake).await?;
    let mut objects = Objects::default();
    let mut tables = Vec::new();
    for table in TABLES {
        let log = lake.log(table.name)?;
        // An older lake may not have all tables.
        if !log.exists().await? {
            continue;
        }
        tables.push((log, read_log(log, &mut objects, &mut report).await?));
    }
    objects.allocate();
    objects.take_out(&mut report);
    let objects = Arc::new(objects);
    progress.expect(tables.iter().map(|(_, (files, _))| files.rows()).sum());
    for (log, (files, mut seen)) in tables {
        let rows_wanted = DATA_TABLES.iter().any(|table| table.name == log.table().name);
        files.check(log, rows_wanted.then_some(&objects), settings, progress, &mut seen, &mut report).await?;
        if log.table().name == OBJECTS.name {
            index::check(log, &files, &objects, &indexed, &mut report).await?;
        }
        report.tables.push(seen);
    }
    objects.report(&mut report);
    Ok(report)
}

/// Told how far a check is.
pub trait Progress: Send + Sync {
    /// So many rows are to be read.
    fn expect(&self, rows: u64);
    /// So many more were read.
    fn read(&self, rows: u64);
}

/// Reads a log from its first version to its head: the files that are live, and what the commits say of objects.
async fn read_log(
    log: &TableLog,
    objects: &mut Objects,
    report: &mut Report,
) -> Result<(TableFiles, Seen), Error> {
    let table = log.table().name;
    let before = objects.count();
    // Files are listed before the log is read: what is stored meanwhile is not taken for an orphan.
    let listed = log.list_files().await?;
    let (snapshot, trouble) = log.snapshot_and_trouble().await?;
    if let Some(error) = trouble {
        let error = files::chain(&error);
        let detail = format!("cannot be read, and all commits can: the next checkpoint cures it: {error}");
        report.error(table, "checkpoint-wrong", &"_delta_log/_last_checkpoint", detail);
    }
    let mut files = TableFiles::new(listed);
    let mut gone = 0_u64;
    let mut versions = futures::stream::iter(0..=snapshot.version)
        .map(|version| async move { Ok::<_, lake::Error>((version, log.actions(version).await?)) })
        .buffered(VERSIONS_AT_ONCE);
    while let Some((version, actions)) = versions.try_next().await? {
        let Some(actions) = actions else {
            if gone == 0 {
                report.error(
                    table,
                    "version-gone",
                    &version,
                    "the commit is no longer in the log: what it added cannot be proven",
                );
            }
            gone += 1;
            continue;
        };
        files.note(&actions);
        objects.note(log.table(), version, &actions, report);
    }
    files.compare(table, &snapshot, gone > 0, report);
    let seen = Seen {
        table,
        version: snapshot.version,
        objects: objects.count() - before,
        removed: objects.removed_of(table),
        ..Seen::default()
    };
    Ok((files, seen))
}
