//! The lake: Delta tables in a directory or a bucket, and the protocol that adds each object exactly once.
//!
//! Must never acknowledge anything: it returns [`Committed`], and the queue's side asks for one.

mod action;
mod commit;
mod commits_only;
mod file;
mod head;
mod ledger;
mod log;
mod reader;
#[cfg(debug_assertions)]
mod replay;
mod rewrite;
mod rows;
mod tables;
mod write;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chrono::DateTime;
use futures::future::try_join_all;
use object_store::ObjectStore;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use url::Url;

pub use action::{Action, Add, CommitInfo, Remove};
pub use commit::{Committed, ReadObject, Report, SharedRows};
pub(crate) use file::hex;
pub use file::{EncodedFile, batch, encode};
pub use ledger::{
    Ledger, LedgerLimits, ObjectId, ObjectName, ObjectRecord, Placed, State, day, index_app_id, objects_of,
    rows as object_rows,
};
pub use log::{DataFile, Snapshot, TableLog};
pub use reader::FileReader;
#[cfg(debug_assertions)]
pub use replay::replay_logs;
pub use rewrite::{Removal, Rewrite, Rewritten, removals};
pub use rows::ObjectRows;
pub use tables::{ALERTS, DATA_TABLES, LATER_TABLES, OBJECTS, TABLES, delta_schema, table};
pub use write::{COMPACTED, DayWriter, HOURLY, prefix_of};

use crate::clock::Clock;
use crate::decode::columns::Table;
use crate::store::{self, LakeStore};
use ledger::{LookUp, States};

/// What can go wrong with the lake.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no lake at the place named.
    #[error("no lake at `{place}`")]
    Missing {
        /// The directory or S3 URL.
        place: String,
    },
    /// A table could not be read or written.
    #[error("table `{table}` of the lake failed")]
    Table {
        /// The table.
        table: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A version of the log is not what the Delta protocol says.
    #[error("version {version} of table `{table}` is not a valid commit")]
    Log {
        /// The table.
        table: &'static str,
        /// The version.
        version: i64,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A commit names an object in a form this version does not know: a newer one wrote it.
    #[error("version {version} of table `{table}` names an object in a form this version does not know")]
    UnknownObject {
        /// The table.
        table: &'static str,
        /// The version.
        version: i64,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A version's commit is gone, so what it changed cannot be told.
    #[error("version {version} of table `{table}` is no longer in the log")]
    VersionGone {
        /// The table.
        table: &'static str,
        /// The version.
        version: i64,
    },
    /// A value of a table of ours is not of the form this version writes.
    #[error("column `{column}` of table `{table}` {problem}")]
    Value {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// Others kept committing first.
    #[error("table `{table}` took no commit in {tries} tries")]
    Contended {
        /// The table.
        table: &'static str,
        /// How many tries.
        tries: u32,
    },
    /// A table has columns this version does not know: it can add rows, but not write rows again.
    #[error(
        "table `{table}` has columns this version does not know (`{}`): writing its rows again would lose them",
        columns.join("`, `")
    )]
    UnknownColumns {
        /// The table.
        table: &'static str,
        /// The columns.
        columns: Vec<String>,
    },
    /// A table asks for a Delta protocol this version does not speak.
    #[error(
        "table `{table}` asks for readers of version {reader} and writers of version {writer} of the Delta protocol, and this program speaks 1 and 2"
    )]
    Protocol {
        /// The table.
        table: &'static str,
        /// The least version of a reader.
        reader: i32,
        /// The least version of a writer.
        writer: i32,
    },
    /// The store of the lake cannot be used.
    #[error(transparent)]
    Store(Box<store::Error>),
    /// A worker thread ended before its work was done.
    #[error("a worker thread ended early")]
    Worker,
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Error::Store(Box::new(error))
    }
}

impl Error {
    pub(crate) fn table(table: &Table, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Table { table: table.name, source: source.into() }
    }
}

/// Looks at the index, each of which finds that files of it were deleted since the one before, until a lookup fails.
const INDEX_LOOKS: u32 = 5;

/// What is known of some objects at the heads of the logs.
struct Known {
    states: Vec<States>,
    /// The head of the table's log, as far as it was read.
    head: i64,
    /// The newest version of it that announced the deletion of unnamed files.
    vacuumed: i64,
}

/// A lake, opened.
pub struct Lake {
    place: LakeStore,
    logs: Vec<TableLog>,
    ledger: Mutex<Option<Ledger>>,
    ledger_limits: LedgerLimits,
    /// Held while objects or the index are committed to `objects`, so that loads do not race themselves there: an index
    /// that comes too late leaves its files behind. All others are met as anywhere, by the version that is taken.
    /// Whoever holds it must not wait for the ledger.
    objects_turn: Mutex<()>,
    clock: Arc<dyn Clock>,
}

impl Lake {
    /// Opens a lake for writing: tables that are missing are created.
    pub async fn create(place: LakeStore, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        place.check_create().await?;
        let lake = Self::at(place, clock)?;
        try_join_all(lake.logs.iter().map(|log| log.create_if_missing(lake.now_millis()))).await?;
        Ok(lake)
    }

    /// Opens a lake that exists; tables that its version did not have yet are empty.
    pub async fn open(place: LakeStore, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let lake = Self::at(place, clock)?;
        // One that is being made at this moment counts as missing.
        let is_later = |log: &&TableLog| LATER_TABLES.iter().any(|table| table.name == log.table().name);
        let there = lake.logs.iter().filter(|log| !is_later(log)).map(TableLog::exists);
        if try_join_all(there).await?.contains(&false) {
            return Err(Error::Missing { place: lake.place.to_string() });
        }
        Ok(lake)
    }

    fn at(place: LakeStore, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let logs: Result<_, _> =
            TABLES.into_iter().map(|table| TableLog::new(table, &place.store, &place.url)).collect();
        let ledger_limits = LedgerLimits::default();
        let (ledger, objects_turn) = (Mutex::new(None), Mutex::new(()));
        Ok(Lake { logs: logs?, place, ledger, ledger_limits, objects_turn, clock })
    }

    /// The same lake with other limits of what its ledger holds in memory.
    #[must_use]
    pub fn with_ledger_limits(self, ledger_limits: LedgerLimits) -> Self {
        Lake { ledger_limits, ..self }
    }

    /// The log of a table.
    pub fn log(&self, table: &str) -> Result<&TableLog, Error> {
        self.logs
            .iter()
            .find(|log| log.table().name == table)
            .ok_or_else(|| Error::Missing { place: format!("{}/{table}", self.place) })
    }

    /// The object store and the URL the lake's paths are below.
    pub fn store(&self) -> (&Arc<dyn ObjectStore>, &Url) {
        (&self.place.store, &self.place.url)
    }

    /// Where the lake is, for a person.
    pub fn place(&self) -> String {
        self.place.to_string()
    }

    /// What is known of objects, reading the logs to their heads first.
    pub async fn states(&self, names: &[ObjectName<'_>]) -> Result<Vec<Option<State>>, Error> {
        let known = self.look_up(OBJECTS.name, names).await?;
        // Also whoever adds nothing learns of what others add.
        self.relieve_ledger().await;
        Ok(known.states.into_iter().map(States::state).collect())
    }

    /// About how many bytes the ledger holds in memory.
    pub async fn ledger_bytes(&self) -> usize {
        self.ledger.lock().await.as_ref().map_or(0, Ledger::bytes)
    }

    /// Reads the logs to their heads, and looks up objects that are to be added to a table.
    async fn look_up(&self, table: &str, names: &[ObjectName<'_>]) -> Result<Known, Error> {
        let objects = self.log(OBJECTS.name)?;
        // An object may be settled in any table: a file can turn out to be something else after an upgrade.
        let logs: Vec<&TableLog> = self.logs().collect();
        debug_assert!(logs.iter().any(|log| log.table().name == table), "`{table}` names no objects");
        let mut ledger = self.ledger().await?;
        let mut last_gone = None;
        for _ in 0..INDEX_LOOKS {
            ledger.catch_up(&logs).await?;
            match ledger.look_up(objects, names).await? {
                LookUp::Found(states) => {
                    let (head, vacuumed) = (ledger.seen(table), ledger.vacuumed(table));
                    return Ok(Known { states, head, vacuumed });
                }
                LookUp::Gone(error) => last_gone = Some(error),
            }
        }
        Err(last_gone.unwrap_or(Error::Contended { table: OBJECTS.name, tries: INDEX_LOOKS }))
    }

    /// Lets go of what the ledger holds in memory and the index could say, once that is much.
    async fn relieve_ledger(&self) {
        if !self.ledger.lock().await.as_ref().is_some_and(Ledger::is_crowded) {
            return;
        }
        let relieved = async {
            self.update_index().await?;
            self.ledger().await?.renew(self.log(OBJECTS.name)?).await
        };
        if let Err(error) = relieved.await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the ledger could not let go of what the `objects` table holds");
        }
    }

    /// The logs that name objects: those of the data tables and of `objects`.
    fn logs(&self) -> impl Iterator<Item = &TableLog> {
        self.logs.iter().filter(|log| log.table().name != ALERTS.name)
    }

    fn data_logs(&self) -> impl Iterator<Item = &TableLog> {
        self.logs.iter().filter(|log| DATA_TABLES.iter().any(|table| table.name == log.table().name))
    }

    async fn ledger(&self) -> Result<MappedMutexGuard<'_, Ledger>, Error> {
        let mut guard = self.ledger.lock().await;
        if guard.is_none() {
            *guard = Some(self.load_ledger().await?);
        }
        MutexGuard::try_map(guard, Option::as_mut).map_err(|_| Error::Worker)
    }

    async fn load_ledger(&self) -> Result<Ledger, Error> {
        let objects = self.log(OBJECTS.name)?;
        let mut ledger = Ledger::load(objects, self.ledger_limits).await?;
        if self.catch_up_index(&ledger).await {
            // One at a time: they are as large as they may be.
            drop(ledger);
            ledger = Ledger::load(objects, self.ledger_limits).await?;
        }
        // The ledger goes on from its index: what changed in a log before is seen only here.
        let begun = self.data_logs().filter(|log| ledger.seen(log.table().name) >= 0);
        try_join_all(begun.map(TableLog::check_writable)).await?;
        Ok(ledger)
    }

    /// Brings the index up to date where it is far behind, as one that was lost is: a piece at a time, where the ledger
    /// would hold all of it in memory. A failure only costs that memory. True when the index is another one now.
    async fn catch_up_index(&self, ledger: &Ledger) -> bool {
        let updated = async {
            if ledger.seen(OBJECTS.name) < 0 {
                return Ok(false);
            }
            let far = |log: &TableLog| ledger.seen(log.table().name) + self.ledger_limits.versions_behind;
            let is_far = try_join_all(self.data_logs().map(|log| log.has_version(far(log)))).await?;
            let is_behind = is_far.contains(&true);
            if is_behind {
                self.update_index().await?;
            }
            Ok(is_behind)
        };
        let updated: Result<bool, Error> = updated.await;
        updated.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the table `objects` is far behind and could not be brought up to date");
            // Some of it may have been.
            true
        })
    }

    pub(crate) fn now_millis(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// The clock of this lake.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// Runs CPU work on the rayon pool, so that it never blocks a thread that serves I/O.
pub(crate) async fn on_cpu<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    rayon::spawn(move || {
        // A panic here would end the process; without an answer the caller learns of it as `Error::Worker`.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
            // A receiver that is gone was cancelled: nobody waits for the result.
            let _ = sender.send(result);
        }
    });
    receiver.await.map_err(|_| Error::Worker)
}

/// A time in microseconds as a person reads it.
pub fn time_text(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_on_a_cpu_thread_is_an_error_and_the_pool_lives_on() {
        assert!(matches!(on_cpu(|| panic!("of a test")).await, Err::<(), _>(Error::Worker)));
        assert!(matches!(on_cpu(|| 7).await, Ok(7)));
    }
}
