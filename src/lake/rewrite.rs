//! Putting files in the place of others: valid only while every file that goes is still live.
//!
//! Must never try a version before the one before it was read, nor go on once a file it takes away is gone.

use serde_json::{Value, json};

use super::action::{Action, Add, Remove};
use super::commit::{FUTILE_TRIES, pause};
use super::log::TableLog;
use super::rows::ObjectRows;
use super::{Error, Lake};

/// Files that take the place of others, and what the commit says about it.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// The commit's `operation`, a word of Delta: `OPTIMIZE`, `DELETE`.
    pub operation: &'static str,
    /// The version at which `remove` was live and before which nothing of `add` was stored.
    pub read_at: i64,
    /// Paths of the files that go.
    pub remove: Vec<String>,
    /// The files that come.
    pub add: Vec<Add>,
    /// The rows that are in the files that go and not in those that come.
    pub removal: Option<Removal>,
}

/// Rows that a commit took out of a table, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// `duplicate`, `deleted` or `expired`.
    pub reason: String,
    /// Which rows.
    pub rows: ObjectRows,
}

impl Removal {
    /// Rows of which another copy stays.
    pub fn duplicates(rows: ObjectRows) -> Self {
        Removal { reason: DUPLICATE.to_owned(), rows }
    }

    /// Rows that somebody wanted deleted.
    pub fn deleted(rows: ObjectRows) -> Self {
        Removal { reason: "deleted".to_owned(), rows }
    }

    /// Rows that were too old.
    pub fn expired(rows: ObjectRows) -> Self {
        Removal { reason: "expired".to_owned(), rows }
    }

    /// A duplicate is still there in another copy: readers of changes miss nothing without it.
    fn is_change(&self) -> bool {
        self.reason != DUPLICATE
    }
}

/// The reason of rows that were there twice.
const DUPLICATE: &str = "duplicate";

/// What came of a rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// It is this version.
    Committed(i64),
    /// Somebody changed the files it is about: nothing was done, and its files are orphans.
    Overtaken,
}

/// What the commits of a version took out: `Err` holds a text that is not understood.
pub fn removals(actions: &[Action]) -> impl Iterator<Item = Result<Removal, String>> + '_ {
    actions.iter().filter_map(|action| action.noted("removed")).map(|text| {
        let value: Value = serde_json::from_str(text.get()).unwrap_or_default();
        let reason = value.get("reason").and_then(Value::as_str);
        let rows = value.get("rows").and_then(ObjectRows::from_json);
        match (reason, rows) {
            (Some(reason), Some(rows)) => Ok(Removal { reason: reason.to_owned(), rows }),
            _ => Err(text.get().chars().take(200).collect()),
        }
    })
}

impl Lake {
    /// Commits a rewrite at the next version, reading the log up to it before each try.
    pub async fn rewrite(&self, log: &TableLog, rewrite: Rewrite) -> Result<Rewritten, Error> {
        let commit = uuid::Uuid::new_v4().to_string();
        let actions = self.rewrite_actions(log, &rewrite, &commit)?;
        let mut read = rewrite.read_at;
        let mut last_error = None;
        let mut futile = 0;
        while futile < FUTILE_TRIES {
            if futile > 0 {
                self.clock().sleep(pause(futile)).await;
            }
            while let Some(found) = log.actions_after(read).await? {
                read += 1;
                futile = 0;
                if found.iter().any(|action| action.is_commit(&commit)) {
                    log.check_read(rewrite.read_at).await?;
                    return Ok(Rewritten::Committed(read));
                }
                log.check_actions(&found)?;
                if overtakes(&found, &rewrite) {
                    return Ok(Rewritten::Overtaken);
                }
            }
            match log.try_commit(read + 1, &actions).await {
                Ok(()) => return Ok(Rewritten::Committed(read + 1)),
                // It landed where no reader will see it.
                Err(error @ Error::VersionGone { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(table = log.table().name, version = read + 1, %error, "rewrite not seen to succeed");
                    last_error = Some(error);
                    futile += 1;
                }
            }
        }
        Err(last_error.unwrap_or(Error::Contended { table: log.table().name, tries: FUTILE_TRIES }))
    }

    fn rewrite_actions(&self, log: &TableLog, rewrite: &Rewrite, commit: &str) -> Result<Vec<Action>, Error> {
        let now = self.now_millis();
        let data_change = rewrite.removal.as_ref().is_some_and(Removal::is_change);
        let mut noted = json!({ "commit": commit, "rewrite": true });
        if let Some(removal) = &rewrite.removal {
            noted["removed"] = json!({
                "reason": removal.reason,
                "count": removal.rows.count(),
                "rows": removal.rows.to_json(),
            });
        }
        let mut actions = vec![log.info(rewrite.operation, now, &noted)?];
        let remove = if data_change { Action::remove } else { Action::replace };
        actions.extend(rewrite.remove.iter().map(|path| remove(path, now)));
        let adds = rewrite.add.iter().map(|add| Add { data_change, ..add.clone() });
        actions.extend(adds.map(Action::add));
        Ok(actions)
    }
}

/// Whether a version makes a rewrite void: it takes away one of its files, changes the schema, or announces that
/// files without a name in the log, as those of the rewrite still are, will be deleted.
fn overtakes(found: &[Action], rewrite: &Rewrite) -> bool {
    found.iter().any(|action| {
        let gone = action.remove.as_ref().map(Remove::file_path);
        gone.is_some_and(|gone| rewrite.remove.contains(&gone))
            || action.meta_data.is_some()
            || action.is_vacuum()
    })
}
