//! Deleting data files that no version within a time names.
//!
//! The order makes it safe: files are listed first, then the log is read to its head, then a commit announces the
//! deletion, and only then are files deleted. Whoever stored a file before that commit and wants to name it after it
//! meets the commit first, and stores the file again. No clock is part of that argument; the least age of a day keeps
//! writers that do not know the rule, and the work of those that do, from harm.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use serde_json::json;

use super::Error;
use crate::lake::{self, Action, Lake, TABLES, TableLog};
use crate::store::Leftover;

/// Files younger than this are never deleted, by the store's own clock.
pub const LEAST_AGE: TimeDelta = TimeDelta::hours(24);
/// Tries to announce a deletion while others keep committing.
const TRIES: u32 = 30;
/// Versions of a log that are read at once.
const VERSIONS_AT_ONCE: usize = 16;

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
    /// Why files could not be deleted, which are not among those above; the next run tries again.
    pub failed: Vec<String>,
}

/// Deletes what no version within the time names, in every table. `progress` hears of each table as it is done; one that
/// fails is no reason to leave the others: the errors come at the end.
pub async fn run(
    lake: &Lake,
    settings: Settings,
    mut progress: impl FnMut(&Vacuumed),
) -> Result<Vec<Vacuumed>, Error> {
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for table in TABLES {
        let log = lake.log(table.name)?;
        match vacuum_table(lake, log, settings).await {
            Ok(Some(vacuumed)) => {
                progress(&vacuumed);
                all.push(vacuumed);
            }
            Ok(None) => {}
            Err(error) => failed.push(error),
        }
    }
    Error::of_all(failed).map_or(Ok(all), Err)
}

/// None when an older lake does not have the table.
async fn vacuum_table(lake: &Lake, log: &TableLog, settings: Settings) -> Result<Option<Vacuumed>, Error> {
    let table = log.table().name;
    if !log.exists().await? {
        return Ok(None);
    }
    let mut vacuumed = Vacuumed { table, paths: Vec::new(), bytes: 0, failed: Vec::new() };
    let listed = log.list_files().await?;
    let now = log.store_time().await?;
    let least_age = before(now, LEAST_AGE);
    delete_leftovers(log, least_age, settings.dry_run, &mut vacuumed).await?;
    let old: Vec<ObjectMeta> = listed.into_iter().filter(|file| file.last_modified < least_age).collect();
    if old.is_empty() {
        return Ok(Some(vacuumed));
    }
    log.check_writable().await?;
    // The log is read after the files were listed.
    let mut seen = Seen::read(log, before(now, settings.retain)).await?;
    let mut last_error = None;
    for _ in 0..TRIES {
        // Only what others committed meanwhile: where they commit all the time, the time until the announcement counts.
        seen.read_on(log).await?;
        let doomed: Vec<&ObjectMeta> =
            old.iter().filter(|file| !seen.named.contains(file.location.as_ref())).collect();
        if !settings.dry_run && !doomed.is_empty() && !seen.announced {
            match announce(lake, log, &seen, doomed.len()).await {
                Ok(()) => {}
                // It landed where no reader will see it.
                Err(error @ lake::Error::VersionGone { .. }) => return Err(error.into()),
                Err(error) => {
                    last_error = Some(error);
                    continue;
                }
            }
        }
        let mut gone: HashSet<String> = doomed.iter().map(|file| file.location.to_string()).collect();
        if !settings.dry_run {
            let paths = doomed.iter().map(|file| file.location.clone()).collect();
            let errors;
            (gone, errors) = log.delete_files(paths).await;
            vacuumed.failed.extend(errors.iter().map(ToString::to_string));
        }
        for file in doomed.into_iter().filter(|file| gone.contains(file.location.as_ref())) {
            vacuumed.paths.push(file.location.to_string());
            vacuumed.bytes += file.size;
        }
        return Ok(Some(vacuumed));
    }
    Err(last_error.unwrap_or(lake::Error::Contended { table, tries: TRIES }).into())
}

/// Deletes what writers that were killed left behind. No version can name it: a file has its name once it is whole.
async fn delete_leftovers(
    log: &TableLog,
    since: DateTime<Utc>,
    dry_run: bool,
    vacuumed: &mut Vacuumed,
) -> Result<(), Error> {
    let found = log.leftovers(since).await?;
    let deleted = if dry_run {
        found.into_iter().map(|leftover| (leftover, Ok(true))).collect()
    } else {
        log.delete_leftovers(found).await?
    };
    for (Leftover { path, size_bytes }, deleted) in deleted {
        let path = path.display().to_string();
        match deleted {
            Ok(true) => {
                vacuumed.paths.push(path);
                vacuumed.bytes += size_bytes;
            }
            Ok(false) => {}
            Err(error) => vacuumed.failed.push(format!("cannot delete `{path}`: {error}")),
        }
    }
    Ok(())
}

/// A time so long before another, or the beginning of the calendar.
fn before(now: DateTime<Utc>, how_long: TimeDelta) -> DateTime<Utc> {
    now.checked_sub_signed(how_long).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// What was read of a log.
struct Seen {
    head: i64,
    /// The files that are live at the head or that a version since a time added or removed.
    named: HashSet<String>,
    /// The id by which the announcement is known, if its answer is lost.
    commit: String,
    /// Whether the announcement is in the log.
    announced: bool,
}

impl Seen {
    /// Reads a log to its head, with the versions since a time.
    async fn read(log: &TableLog, since: DateTime<Utc>) -> Result<Self, Error> {
        let snapshot = log.snapshot().await?;
        let named = snapshot.files.into_iter().map(|file| file.path).collect();
        let commit = uuid::Uuid::new_v4().to_string();
        let mut seen = Seen { head: snapshot.version, named, commit, announced: false };
        let listed = log.list_versions().await?;
        let Some((first, _)) = listed.into_iter().find(|(_, written)| *written >= since) else {
            return Ok(seen);
        };
        let mut versions = futures::stream::iter(first..=seen.head)
            .map(|version| async move { Ok::<_, lake::Error>((version, log.actions(version).await?)) })
            .buffered(VERSIONS_AT_ONCE);
        while let Some((version, actions)) = versions.try_next().await? {
            let table = log.table().name;
            seen.note(&actions.ok_or(lake::Error::VersionGone { table, version })?);
        }
        Ok(seen)
    }

    /// Reads the versions that are new.
    async fn read_on(&mut self, log: &TableLog) -> Result<(), Error> {
        let before = self.head;
        while let Some(actions) = log.actions_after(self.head).await? {
            log.check_actions(&actions)?;
            self.note(&actions);
            self.head += 1;
        }
        if self.head > before {
            log.check_read(before).await?;
        }
        Ok(())
    }

    fn note(&mut self, actions: &[Action]) {
        for action in actions {
            self.named.extend(action.add.iter().map(lake::Add::file_path));
            self.named.extend(action.remove.iter().map(lake::Remove::file_path));
            self.announced |= action.is_commit(&self.commit);
        }
    }
}

/// Commits that unnamed files are about to be deleted. Any error leaves the outcome open: reading on tells it.
async fn announce(lake: &Lake, log: &TableLog, seen: &Seen, files: usize) -> Result<(), lake::Error> {
    let noted = json!({ "commit": seen.commit, "files": files });
    let info = log.info("VACUUM START", lake.clock().now().timestamp_millis(), &noted)?;
    log.try_commit(seen.head + 1, &[info]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_may_be_longer_than_the_calendar() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(before(now, TimeDelta::hours(1)), now - TimeDelta::hours(1));
        assert_eq!(before(now, TimeDelta::MAX), DateTime::<Utc>::MIN_UTC);
    }
}
