//! Adding objects to the lake: each exactly once, whoever else is adding.
//!
//! The identities of the objects are part of the commit that adds their rows. Before every try the log is read to
//! its head and objects that are there already are left out; after anything but success it is read again. A later
//! version is never tried before the next one was seen to be taken.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use serde::Serialize;
use serde_json::json;

use super::action::{Action, Add};
use super::file::{self, EncodedFile, Part};
use super::ledger::{self, ObjectId, ObjectName, ObjectRecord, Placed, State};
use super::log::TableLog;
use super::tables::OBJECTS;
use super::{Error, Lake};
use crate::decode::columns::Table;
use crate::failpoint;

/// Tries without the log moving on, after which a commit is given up and its objects are given back.
pub(super) const FUTILE_TRIES: u32 = 6;

/// Files of a commit, which are of as many days, that are put at the same time.
const PUTS_AT_ONCE: usize = 4;

/// Objects that one commit of the index holds, but for those of its last version: some hundred MB in memory.
const INDEX_ROWS: usize = 100_000;

/// Tries to bring the index up to date while others keep committing to it.
const INDEX_TRIES: u32 = 30;

/// An object that was read: what it is, and its rows.
#[derive(Debug, Clone)]
pub struct ReadObject {
    /// Identity and facts.
    pub record: ObjectRecord,
    /// Its rows; none unless the state is `Committed`.
    pub rows: Option<SharedRows>,
}

/// The rows of one object, in a batch that it may share with others.
#[derive(Debug, Clone)]
pub struct SharedRows {
    /// The table they are for.
    pub table: &'static Table,
    /// Columns in the table's order, text as strings or as dictionaries of them.
    pub batch: Arc<RecordBatch>,
    /// Which rows of the batch.
    pub range: Range<usize>,
}

impl SharedRows {
    /// All rows of a batch.
    pub fn all(table: &'static Table, batch: RecordBatch) -> Self {
        let range = 0..batch.num_rows();
        SharedRows { table, batch: Arc::new(batch), range }
    }

    /// The rows as a batch of their own.
    pub fn to_batch(&self) -> RecordBatch {
        self.batch.slice(self.range.start, self.range.len())
    }

    /// How many of the rows have no time.
    fn untimed(&self) -> usize {
        let times = self.batch.column_by_name(self.table.time_column).map(Array::logical_nulls);
        let nulls = |nulls: NullBuffer| nulls.slice(self.range.start, self.range.len()).null_count();
        times.flatten().map_or(0, nulls)
    }
}

/// Proof that objects are in the lake: made of a commit, or of what the logs name already. Only with one can messages be
/// acknowledged.
#[derive(Debug)]
pub struct Committed {
    objects: HashMap<ObjectId, State>,
}

impl Committed {
    /// Proof of nothing.
    pub fn nothing() -> Self {
        Committed { objects: HashMap::new() }
    }

    /// Whether an object is settled: its rows, or the fact that it has none, are in the lake.
    pub fn settles(&self, id: ObjectId) -> bool {
        self.objects.get(&id).is_some_and(|state| *state != State::Quarantined)
    }
}

/// What a commit notes of the objects it adds.
#[derive(Serialize)]
struct Noted<'a> {
    objects: Vec<&'a ObjectRecord>,
}

/// Files that no commit names yet.
struct Stored {
    /// Their paths below the table's directory.
    files: Vec<(String, EncodedFile)>,
    /// The time of the commit, in milliseconds, where rows of the files say it.
    said_at: Option<i64>,
}

/// What a commit did.
#[derive(Debug)]
pub struct Report {
    /// The proof.
    pub committed: Committed,
    /// The objects this commit added.
    pub added: Vec<ObjectRecord>,
    /// The objects that were in the lake already.
    pub known: Vec<ObjectId>,
    /// The rows this commit added, by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Those of them that have no time, by table: it is missing, or cannot be read.
    pub untimed: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Notes that objects were added to a table.
    fn note(&mut self, table: &'static str, group: Vec<ReadObject>) {
        for object in group {
            if let Some(rows) = &object.rows {
                let count = u64::try_from(object.record.row_count).unwrap_or(0);
                *self.rows.entry(table).or_default() += count;
                if let untimed @ 1.. = rows.untimed() {
                    *self.untimed.entry(table).or_default() += untimed as u64;
                }
            }
            self.committed.objects.insert(object.record.object_id, object.record.state);
            self.added.push(object.record);
        }
    }
}

impl Lake {
    /// The proof for those of some objects that are in the lake already, reading the logs to their heads first.
    ///
    /// Only final states count: what was not understood before may be by now, so it is to be read again.
    pub async fn known(&self, names: &[ObjectName<'_>]) -> Result<Committed, Error> {
        let states = self.states(names).await?;
        let known = names
            .iter()
            .zip(states)
            .filter_map(|(name, state)| Some((name.id(), state.filter(|s| s.is_final())?)));
        Ok(Committed { objects: known.collect() })
    }

    /// Adds objects to the lake, leaving out those it has; when it returns, all of them are settled and on disk.
    pub async fn commit(&self, objects: Vec<ReadObject>) -> Result<Report, Error> {
        let committed = Committed::nothing();
        let (rows, untimed) = (BTreeMap::new(), BTreeMap::new());
        let mut report = Report { committed, added: Vec::new(), known: Vec::new(), rows, untimed };
        let mut groups: BTreeMap<&'static str, Vec<ReadObject>> = BTreeMap::new();
        for object in objects {
            let table = object.rows.as_ref().map_or(OBJECTS.name, |rows| rows.table.name);
            groups.entry(table).or_default().push(object);
        }
        for (table, group) in groups {
            self.commit_group(self.log(table)?, group, &mut report).await?;
        }
        self.relieve_ledger().await;
        Ok(report)
    }

    async fn commit_group(
        &self,
        log: &TableLog,
        mut group: Vec<ReadObject>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut files: Option<Stored> = None;
        // The version the log was read to when they were stored.
        let mut stored_at = -1;
        let mut futile = 0;
        let mut last_head = None;
        let mut last_error = None;
        loop {
            let before = group.len();
            let (head, vacuumed, kept) = self.leave_out_known(log, group, report).await?;
            // Files stored before an announced deletion of unnamed files may be gone by now.
            if kept.len() != before || vacuumed > stored_at {
                files = None;
            }
            group = kept;
            if group.is_empty() {
                return Ok(());
            }
            if head < 0 {
                // A lake that an earlier version made lacks the tables it did not know.
                log.create_if_missing(self.now_millis()).await?;
                continue;
            }
            if last_head == Some(head) {
                futile += 1;
                if futile >= FUTILE_TRIES {
                    return Err(
                        last_error.unwrap_or(Error::Contended { table: log.table().name, tries: futile })
                    );
                }
                self.clock().sleep(pause(futile)).await;
            } else {
                futile = 0;
            }
            last_head = Some(head);
            let stored = match files.take() {
                Some(files) => files,
                None => match self.store_files(log, &group).await {
                    Ok(stored) => {
                        stored_at = head;
                        stored
                    }
                    Err(error) => {
                        last_error = Some(error);
                        continue;
                    }
                },
            };
            let actions = self.actions(log, &group, &stored)?;
            let turn = match log.table().name {
                name if name == OBJECTS.name => Some(self.objects_turn.lock().await),
                _ => None,
            };
            let tried = log.try_commit(head + 1, &actions).await;
            drop(turn);
            match tried {
                Ok(()) => {
                    report.note(log.table().name, group);
                    return Ok(());
                }
                // It landed where no reader will see it: found again, it would pass for a proof.
                Err(error @ Error::VersionGone { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(table = log.table().name, version = head + 1, %error, "commit not seen to succeed");
                    last_error = Some(error);
                    files = Some(stored);
                }
            }
        }
    }

    /// Reads the log to its head and leaves out what it holds; returns the head, the newest version that announced
    /// the deletion of unnamed files, and what is left.
    async fn leave_out_known(
        &self,
        log: &TableLog,
        group: Vec<ReadObject>,
        report: &mut Report,
    ) -> Result<(i64, i64, Vec<ReadObject>), Error> {
        let names: Vec<ObjectName<'_>> = group.iter().map(|object| object.record.name()).collect();
        let known = self.look_up(log.table().name, &names).await?;
        let mut kept: Vec<ReadObject> = Vec::with_capacity(group.len());
        let mut names = HashSet::new();
        for (object, states) in group.into_iter().zip(known.states) {
            let (id, state) = (object.record.object_id, object.record.state);
            if states.cover(state) || !names.insert(id) {
                let known = states.state().filter(|known| known.is_final());
                report.committed.objects.insert(id, known.unwrap_or(state));
                report.known.push(id);
            } else {
                kept.push(object);
            }
        }
        Ok((known.head, known.vacuumed, kept))
    }

    /// Encodes the rows of objects and stores the files under new names; a file no commit names is never read.
    async fn store_files(&self, log: &TableLog, group: &[ReadObject]) -> Result<Stored, Error> {
        if log.table().name != OBJECTS.name {
            let rows = group.iter().filter_map(|object| object.rows.clone()).collect();
            return Ok(Stored { files: self.encode_and_store(log, rows).await?, said_at: None });
        }
        let now = self.now_millis();
        let placed = |object: &ReadObject| Placed {
            record: object.record.clone(),
            rows_in: None,
            committed_at: now.checked_mul(1000),
        };
        let placed: Vec<Placed> = group.iter().map(placed).collect();
        let rows = vec![SharedRows::all(&OBJECTS, ledger::rows(&placed)?)];
        Ok(Stored { files: self.encode_and_store(log, rows).await?, said_at: Some(now) })
    }

    /// Encodes rows on CPU threads and stores the files; returns their paths below the table.
    pub(crate) async fn encode_and_store(
        &self,
        log: &TableLog,
        rows: Vec<SharedRows>,
    ) -> Result<Vec<(String, EncodedFile)>, Error> {
        let table = log.table();
        let encoded = super::on_cpu(move || {
            let parts: Vec<Part> =
                rows.iter().map(|rows| Part { batch: &rows.batch, rows: rows.range.clone() }).collect();
            file::encode_parts(table, &parts)
        })
        .await??;
        let has_failed = &AtomicBool::new(false);
        let puts = futures::stream::iter(encoded).map(|encoded| async move {
            if has_failed.load(Ordering::Relaxed) {
                return None;
            }
            let path = encoded.new_path();
            let put = log.put_file(&path, encoded.content.clone()).await;
            has_failed.fetch_or(put.is_err(), Ordering::Relaxed);
            Some(put.map(|()| (path, encoded)))
        });
        // Where one fails, no more are begun, and those under way are waited for: none goes on behind the next try.
        let puts: Vec<Option<Result<_, Error>>> = puts.buffered(PUTS_AT_ONCE).collect().await;
        puts.into_iter().flatten().collect()
    }

    fn actions(&self, log: &TableLog, group: &[ReadObject], stored: &Stored) -> Result<Vec<Action>, Error> {
        let now = stored.said_at.unwrap_or_else(|| self.now_millis());
        let objects = group.iter().map(|object| &object.record).collect();
        let mut actions = vec![log.info("WRITE", now, &Noted { objects })?];
        let adds = stored.files.iter().map(|(path, encoded)| -> Add { encoded.add(path, now) });
        actions.extend(adds.map(Action::add));
        Ok(actions)
    }

    /// Brings the `objects` table up to date with the commits of the data tables. Safe to repeat and to race.
    pub async fn update_index(&self) -> Result<(), Error> {
        while self.index_some().await? {}
        Ok(())
    }

    /// Adds what one commit of the index may hold; false when nothing was left to add.
    async fn index_some(&self) -> Result<bool, Error> {
        let objects = self.log(OBJECTS.name)?;
        let data: Vec<&TableLog> = self.data_logs().collect();
        let app_ids: Vec<String> = data.iter().map(|log| ledger::index_app_id(log.table().name)).collect();
        let mut last_error = None;
        let (mut futile, mut last_version) = (0, None);
        for attempt in 0..INDEX_TRIES {
            if attempt > 0 {
                self.clock().sleep(pause(attempt)).await;
            }
            // Only one that nobody was before: then the state of the table need not be read.
            let known = if attempt == 0 { self.index_head(objects).await } else { None };
            let _turn = self.objects_turn.lock().await;
            let (version, progress) = match known {
                Some(known) => known,
                None => objects.progress(&app_ids).await?,
            };
            // Where others keep committing, a try that failed was not in vain for everybody.
            futile = if last_version == Some(version) { futile + 1 } else { 0 };
            if futile >= FUTILE_TRIES {
                break;
            }
            last_version = Some(version);
            let mut placed = Vec::new();
            let mut actions = vec![objects.info("WRITE", self.now_millis(), &json!({ "index": true }))?];
            for ((log, app_id), done) in data.iter().zip(&app_ids).zip(progress) {
                let head = unindexed(log, done.unwrap_or(-1), &mut placed).await?;
                if Some(head) != done && head >= 0 {
                    actions.push(Action::txn(app_id, head));
                }
            }
            if actions.len() == 1 {
                return Ok(false);
            }
            let is_full = placed.len() >= INDEX_ROWS;
            failpoint::pass("before_index");
            if !placed.is_empty() {
                let now = self.now_millis();
                let files = self
                    .encode_and_store(objects, vec![SharedRows::all(&OBJECTS, ledger::rows(&placed)?)])
                    .await?;
                actions.extend(files.iter().map(|(path, encoded)| Action::add(encoded.add(path, now))));
            }
            match objects.try_commit(version + 1, &actions).await {
                Ok(()) => {
                    failpoint::pass("after_index_put");
                    return Ok(is_full);
                }
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.unwrap_or(Error::Contended { table: OBJECTS.name, tries: INDEX_TRIES }))
    }

    /// What the ledger knows of the index, read on to its head; none while others have the ledger, or it cannot tell.
    async fn index_head(&self, objects: &TableLog) -> Option<(i64, Vec<Option<i64>>)> {
        let mut ledger = self.ledger.try_lock().ok()?;
        let ledger = ledger.as_mut()?;
        match ledger.catch_up(&[objects]).await {
            // Of a table that is not there, nothing is known: it must be made before anything is added to it.
            Ok(()) => Some(ledger.index_head()).filter(|(version, _)| *version >= 0),
            Err(error) => {
                tracing::debug!(%error, "the ledger cannot tell how far the index is");
                None
            }
        }
    }
}

/// Collects the objects of the versions after `done`, as far as one commit of the index may hold them; returns the
/// newest of these versions.
async fn unindexed(log: &TableLog, done: i64, placed: &mut Vec<Placed>) -> Result<i64, Error> {
    let mut version = done;
    while placed.len() < INDEX_ROWS
        && let Some(actions) = log.actions_after(version).await?
    {
        version += 1;
        let rows_in = Some((log.table().name, version));
        log.check_actions(&actions)?;
        let committed_at = actions.iter().find_map(Action::committed_at);
        let records = log.objects_of(version, &actions)?;
        placed.extend(records.into_iter().map(|record| Placed { record, rows_in, committed_at }));
    }
    if version > done {
        log.check_read(done).await?;
        // The index must not name what the log may lose.
        log.settle().await?;
    }
    Ok(version)
}

/// The pause before a repeated try: 20 ms doubling to 640 ms.
pub(super) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(10 << attempt.min(6))
}
