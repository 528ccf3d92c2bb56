//! The ledger: which objects the lake knows, and what became of them.
//!
//! The commits are the one system of record: each names the objects whose rows it adds. The `objects` table is an
//! index of them, brought up to date after a commit and made again from the log when it is behind.
//!
//! What is known is the union of the index as it was at some version and of what the logs say since. An object's key
//! says in which part of the index it is ([`day`]), so that a lookup needs no more than one day of it. No part of the
//! argument is a clock, and none is the order of rows: what is known is a set that only grows.

pub mod day;
mod fresh;
mod index;
mod object;
mod read;
mod rows;
mod states;

use std::collections::{HashMap, HashSet};
use std::error::Error as _;

use futures::future::join_all;

use super::Error;
use super::action::Action;
use super::log::TableLog;
use super::tables::{DATA_TABLES, OBJECTS};
use crate::decode::columns::Table;
use fresh::Fresh;
use index::Index;
pub use object::{ObjectId, ObjectName, ObjectRecord, State, objects_of};
pub use rows::{Placed, index_app_id, rows};
pub(super) use states::States;

/// What a ledger may hold in memory.
#[derive(Debug, Clone, Copy)]
pub struct LedgerLimits {
    /// Bytes of what was read of the index: 16 for each object of the days that are in memory.
    pub index_bytes: usize,
    /// Objects the logs named since the index was looked at; beyond that they are looked up in the index.
    pub fresh_objects: usize,
    /// An index that lacks so many versions of a log is brought up to date before the log is read on from it.
    pub versions_behind: i64,
}

impl Default for LedgerLimits {
    /// Two weeks of 250,000 objects a day, and as much of one more: some 130 MB with what is needed to read them.
    fn default() -> Self {
        LedgerLimits { index_bytes: 64 << 20, fresh_objects: 400_000, versions_behind: 200 }
    }
}

/// What came of a look for objects.
pub(super) enum LookUp {
    /// What is known of each.
    Found(Vec<States>),
    /// Files of the index were deleted since it was looked at: it was looked at again, and the logs must be read on
    /// before the same is asked again.
    Gone(Error),
}

/// What a log says of the version after those that were read.
enum Next {
    /// It is this one, and changed this.
    Version(i64, Vec<Action>),
    /// Nobody wrote it yet; what was read until there is the log, and stays.
    Head,
    /// Nobody wrote it yet, and what was read is not the log: this version of it is gone.
    Broken(i64),
}

/// What is known of every object, as far as the logs were read.
#[derive(Debug)]
pub struct Ledger {
    limits: LedgerLimits,
    index: Index,
    fresh: Fresh,
    /// More objects than this are looked for in the index: grows when it does not hold them.
    most_fresh: usize,
    seen: HashMap<&'static str, i64>,
    /// How far the index holds the data tables' logs, as far as its own was read.
    indexed: HashMap<&'static str, i64>,
    vacuumed: HashMap<&'static str, i64>,
    /// The versions after which logs were read without a proof yet that nothing was gone there.
    unproven: HashMap<&'static str, i64>,
    /// Logs of which what was read cannot be relied on, with the version that is gone.
    broken: HashMap<&'static str, i64>,
    /// Logs of which versions were read that may not be on disk yet.
    unsettled: HashSet<&'static str>,
}

impl Ledger {
    /// Reads what the `objects` table holds of recent days; the logs are read on from there before anything is looked up.
    pub async fn load(objects: &TableLog, limits: LedgerLimits) -> Result<Self, Error> {
        let mut ledger = Ledger {
            limits,
            index: Index::new(limits.index_bytes),
            fresh: Fresh::default(),
            most_fresh: limits.fresh_objects,
            seen: HashMap::new(),
            indexed: HashMap::new(),
            vacuumed: HashMap::new(),
            unproven: HashMap::new(),
            broken: HashMap::new(),
            unsettled: HashSet::new(),
        };
        ledger.renew(objects).await?;
        // Whoever wrote what the index holds may have died before it was on disk.
        ledger.unsettled.insert(OBJECTS.name);
        ledger.seen.insert(OBJECTS.name, ledger.index.version());
        for table in DATA_TABLES {
            ledger.seen.insert(table.name, ledger.index.progress(table.name));
        }
        Ok(ledger)
    }

    /// Reads the versions of logs that were not read yet, and makes sure that they stay.
    ///
    /// The logs are asked side by side, each for one version after the other: what was in any of them when this was
    /// called is known after it. Nor need the log that is added to be the last that is read, since its next version can
    /// be created only if nobody wrote it since.
    pub(super) async fn catch_up(&mut self, logs: &[&TableLog]) -> Result<(), Error> {
        let mut open: Vec<&TableLog> = logs.to_vec();
        let mut is_renewed = false;
        while !open.is_empty() {
            let found = join_all(open.iter().map(|log| self.next(log))).await;
            let (mut outcome, mut without_index) = (Ok(()), None);
            for (log, next) in std::mem::take(&mut open).into_iter().zip(found) {
                match next.and_then(|next| self.note(log, next)) {
                    Ok(true) => open.push(log),
                    Ok(false) => {}
                    Err(Error::VersionGone { .. }) if log.table().name == OBJECTS.name && !is_renewed => {
                        without_index = Some(log);
                    }
                    // What the others said is noted all the same.
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
            outcome?;
            if let Some(objects) = without_index {
                is_renewed = true;
                self.skip_to_index(objects).await?;
                open = logs.to_vec();
            }
        }
        Ok(())
    }

    /// The newest version of a log that was read.
    pub(super) fn seen(&self, table: &str) -> i64 {
        self.seen.get(table).copied().unwrap_or(-1)
    }

    /// The newest version of the index that was read, and how far it holds the logs of the data tables.
    pub(super) fn index_head(&self) -> (i64, Vec<Option<i64>>) {
        let indexed = |table: &&Table| self.indexed.get(table.name).copied();
        (self.seen(OBJECTS.name), DATA_TABLES.iter().map(indexed).collect())
    }

    /// Asks a log for the version after those that were read.
    async fn next(&self, log: &TableLog) -> Result<Next, Error> {
        let name = log.table().name;
        if let Some(version) = self.broken.get(name) {
            return Err(Error::VersionGone { table: name, version: *version });
        }
        let seen = self.seen(name);
        if let Some(actions) = log.actions_after(seen).await? {
            return Ok(Next::Version(seen + 1, actions));
        }
        if let Some(unproven) = self.unproven.get(name) {
            match log.check_read(*unproven).await {
                Err(Error::VersionGone { version, .. }) => return Ok(Next::Broken(version)),
                checked => checked?,
            }
        }
        if self.unsettled.contains(name) {
            log.settle().await?;
        }
        Ok(Next::Head)
    }

    /// Notes what a log said; true when there may be more.
    fn note(&mut self, log: &TableLog, next: Next) -> Result<bool, Error> {
        let table = log.table().name;
        match next {
            Next::Version(version, actions) => {
                self.take(log, version, &actions)?;
                Ok(true)
            }
            Next::Head => {
                self.unproven.remove(table);
                self.unsettled.remove(table);
                Ok(false)
            }
            Next::Broken(version) => {
                if table != OBJECTS.name {
                    // What was noted of it cannot be told from the rest any more.
                    self.broken.insert(table, version);
                }
                Err(Error::VersionGone { table, version })
            }
        }
    }

    /// Notes what a version of a log says.
    fn take(&mut self, log: &TableLog, version: i64, actions: &[Action]) -> Result<(), Error> {
        let name = log.table().name;
        log.check_actions(actions)?;
        let objects: Vec<ObjectRecord> = log.objects_of(version, actions)?;
        if actions.iter().any(Action::is_vacuum) {
            let newest = self.vacuumed.entry(name).or_insert(version);
            *newest = version.max(*newest);
        }
        self.unsettled.insert(name);
        let unproven = self.unproven.entry(name).or_insert(version - 1);
        *unproven = (*unproven).min(version - 1);
        for record in objects {
            self.fresh.note(name, version, record.object_id, record.state);
        }
        for txn in actions.iter().filter_map(|action| action.txn.as_ref()).filter(|_| name == OBJECTS.name) {
            let of_table = DATA_TABLES.iter().find(|table| index_app_id(table.name) == txn.app_id);
            self.indexed.extend(of_table.map(|table| (table.name, txn.version)));
        }
        self.seen.insert(name, version);
        Ok(())
    }

    /// Goes on from what the index holds: its log was cleaned up, or it was lost and made again. It may hold less of the
    /// other logs than before, so all are to be read on.
    async fn skip_to_index(&mut self, objects: &TableLog) -> Result<(), Error> {
        let next = self.seen(OBJECTS.name) + 1;
        self.renew(objects).await?;
        self.seen.insert(OBJECTS.name, self.index.version());
        self.unproven.remove(OBJECTS.name);
        self.unsettled.insert(OBJECTS.name);
        // Deletions may have been announced in what was skipped.
        self.vacuumed.insert(OBJECTS.name, self.index.version().max(next));
        Ok(())
    }

    /// The newest version that announced the deletion of files without a name in the log, as far as it was read.
    pub fn vacuumed(&self, table: &str) -> i64 {
        self.vacuumed.get(table).copied().unwrap_or(-1)
    }

    /// What became of objects, as far as the logs were read.
    pub(super) async fn look_up(
        &mut self,
        objects: &TableLog,
        names: &[ObjectName<'_>],
    ) -> Result<LookUp, Error> {
        let mut known: Vec<States> = names.iter().map(|name| self.fresh.get(name.id())).collect();
        let open: Vec<usize> = (0..names.len()).filter(|at| !known[*at].are_final()).collect();
        let wanted: Vec<ObjectName<'_>> = open.iter().map(|at| names[*at]).collect();
        match self.index.look_up(objects, &wanted).await {
            Ok(found) => {
                for (at, states) in open.into_iter().zip(found) {
                    known[at] = known[at].and(states);
                }
                Ok(LookUp::Found(known))
            }
            Err(error) if is_gone(&error) => {
                tracing::debug!(%error, "files of the index are gone; looking at it again");
                self.renew(objects).await?;
                Ok(LookUp::Gone(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether more objects are held that the index may hold by now than there should be.
    pub fn is_crowded(&self) -> bool {
        self.fresh.len() > self.most_fresh
    }

    /// Looks at the index again and lets go what it holds.
    pub async fn renew(&mut self, objects: &TableLog) -> Result<(), Error> {
        let app_ids: Vec<String> = DATA_TABLES.iter().map(|table| index_app_id(table.name)).collect();
        let (snapshot, found) = objects.state(&app_ids).await?;
        let found = DATA_TABLES.iter().zip(found);
        self.indexed = found.clone().filter_map(|(table, version)| Some((table.name, version?))).collect();
        let progress: HashMap<&'static str, i64> =
            found.map(|(table, version)| (table.name, version.unwrap_or(-1))).collect();
        let indexed: Vec<(&'static str, i64)> = progress
            .iter()
            .map(|(table, version)| (*table, *version))
            .chain([(OBJECTS.name, snapshot.version)])
            .collect();
        for (table, indexed) in &indexed {
            let is_index = *table == OBJECTS.name;
            let before = if is_index { self.index.version() } else { self.index.progress(table) };
            // An index that was lost and made again holds less than before: the logs say the rest.
            if *indexed < before
                && let Some(seen) = self.seen.get_mut(table)
            {
                *seen = (*indexed).min(*seen);
            }
        }
        self.index.renew(objects, snapshot, progress).await?;
        for (table, version) in indexed {
            self.fresh.let_go(table, version);
        }
        self.most_fresh = self.limits.fresh_objects.max(self.fresh.len().saturating_mul(2));
        Ok(())
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        // A slot of a hash table that is two thirds full.
        self.index.bytes() + self.fresh.len() * 72
    }
}

/// Whether an error means that a file is no longer there.
fn is_gone(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(found) = cause {
        if matches!(found.downcast_ref(), Some(object_store::Error::NotFound { .. })) {
            return true;
        }
        cause = found.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::lake::Lake;
    use crate::store::{self, AwsSettings, Location};

    #[tokio::test]
    async fn what_the_index_says_is_on_disk_before_it_is_relied_on() {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Local(directory.path().to_owned());
        let place = store::lake(&location, &AwsSettings::default()).await.unwrap();
        let lake = Lake::create(place, Arc::new(SystemClock)).await.unwrap();
        let objects = lake.log(OBJECTS.name).unwrap();
        let mut ledger = Ledger::load(objects, LedgerLimits::default()).await.unwrap();
        for skips in [false, true] {
            if skips {
                ledger.skip_to_index(objects).await.unwrap();
            }
            assert!(ledger.unsettled.contains(OBJECTS.name), "{skips}");
            ledger.catch_up(&[objects]).await.unwrap();
            assert!(ledger.unsettled.is_empty(), "{skips}");
        }
    }
}
