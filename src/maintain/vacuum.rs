//! Deleting data files that no version within a time names.
//!
//! The order makes it safe: files are listed first, then the log is read to its head, then a commit announces the
//! deletion, and only then are files deleted. Whoever stored a file before that commit and wants to name it after it
//! meets the commit first, and stores the file again. No clock is part of that argument; the least age of a day keeps
//! writers that do not know the rule, and the work of those that do, from harm.

use std::collections::HashSet;

use chrono::TimeDelta;
use object_store::ObjectMeta;
use serde_json::json;

use super::Error;
use crate::lake::{self, Action, Lake, TABLES, TableLog};

/// Files younger than this are never deleted, by the store's own clock.
pub const LEAST_AGE: TimeDelta = TimeDelta::hours(24);
/// Tries to announce a deletion while others keep committing.
const TRIES: u32 = 8;

/// What is deleted.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Files of versions younger than this stay: for readers of an older version.
    pub retain: TimeDelta,
    /// Only tell.
    pub dry_run: bool,
}

/// What was, or would be, deleted of one table.
#[derive(Debug, Clone)]
pub struct Vacuumed {
    /// The table.
    pub table: &'static str,
    /// The files.
    pub paths: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Files that could not be deleted, and why; the next run tries again.
    pub failed: Vec<String>,
}

/// Deletes what no version within the time names, in every table.
pub async fn run(
    lake: &Lake,
    settings: Settings,
    mut progress: impl FnMut(&Vacuumed),
) -> Result<Vec<Vacuumed>, Error> {
    let mut all = Vec::new();
    for table in TABLES {
        let log = lake.log(table.name)?;
        // An older lake may not have all tables.
        if log.actions(0).await?.is_none() {
            continue;
        }
        let vacuumed = vacuum_table(lake, log, settings).await?;
        progress(&vacuumed);
        all.push(vacuumed);
    }
    Ok(all)
}

async fn vacuum_table(lake: &Lake, log: &TableLog, settings: Settings) -> Result<Vacuumed, Error> {
    let table = log.table().name;
    let mut vacuumed = Vacuumed { table, paths: Vec::new(), bytes: 0, failed: Vec::new() };
    let listed = log.list_files().await?;
    let now = log.store_time().await?;
    let old: Vec<ObjectMeta> =
        listed.into_iter().filter(|file| file.last_modified < now - LEAST_AGE).collect();
    let mut last_error = None;
    for _ in 0..TRIES {
        if old.is_empty() {
            return Ok(vacuumed);
        }
        // The head is read after the files were listed.
        let (head, named) = named(log, now - settings.retain).await?;
        let doomed: Vec<&ObjectMeta> =
            old.iter().filter(|file| !named.contains(file.location.as_ref())).collect();
        vacuumed.paths = doomed.iter().map(|file| file.location.to_string()).collect();
        vacuumed.bytes = doomed.iter().map(|file| file.size).sum();
        if settings.dry_run || doomed.is_empty() {
            return Ok(vacuumed);
        }
        match announce(lake, log, head + 1, doomed.len()).await {
            Ok(true) => {
                let paths = doomed.into_iter().map(|file| file.location.clone()).collect();
                let errors = log.delete_files(paths).await;
                vacuumed.failed = errors.iter().map(ToString::to_string).collect();
                return Ok(vacuumed);
            }
            Ok(false) => {}
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or(lake::Error::Contended { table, tries: TRIES }).into())
}

/// The head, and the files that are live there or that a version since a time added or removed.
async fn named(
    log: &TableLog,
    since: chrono::DateTime<chrono::Utc>,
) -> Result<(i64, HashSet<String>), Error> {
    let snapshot = log.snapshot().await?;
    let mut named: HashSet<String> = snapshot.files.into_iter().map(|file| file.path).collect();
    let versions = log.list_versions().await?;
    let first = versions.iter().find(|(_, written)| *written >= since);
    let Some((first, _)) = first else { return Ok((snapshot.version, named)) };
    for version in *first..=snapshot.version {
        let actions = log
            .actions(version)
            .await?
            .ok_or(lake::Error::VersionGone { table: log.table().name, version })?;
        for action in actions {
            named.extend(action.add.iter().map(lake::Add::file_path));
            named.extend(action.remove.iter().map(lake::Remove::file_path));
        }
    }
    Ok((snapshot.version, named))
}

/// Commits that unnamed files are about to be deleted; false when somebody else has the version.
async fn announce(lake: &Lake, log: &TableLog, version: i64, files: usize) -> Result<bool, lake::Error> {
    let commit = uuid::Uuid::new_v4().to_string();
    let noted = json!({ "commit": commit, "files": files });
    let info = Action::info("VACUUM START", lake.clock().now().timestamp_millis(), noted);
    let Err(error) = log.try_commit(version, &[info]).await else { return Ok(true) };
    // Any error leaves the outcome open.
    match log.actions(version).await? {
        Some(found) => {
            Ok(found.iter().any(|action| action.noted("commit").is_some_and(|id| *id == json!(commit))))
        }
        None => Err(error),
    }
}
