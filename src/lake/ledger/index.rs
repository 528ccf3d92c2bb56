//! The `objects` table as it was at one version: its files by the day their rows are of, and what was read of them.
//!
//! A lookup reads only files that may hold the object: those of its key's day, and those that are not by day, whose
//! rows are all in memory. What is read stays there within a limit; of the days, those that were not used for the
//! longest time go first. Must never answer from part of a day's files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};
use parquet::file::metadata::ParquetMetaData;

use super::object::ObjectName;
use super::states::{Found, Part, States};
use super::{day, read};
use crate::lake::log::{DataFile, Snapshot, TableLog};
use crate::lake::{Error, on_cpu};

/// Files that are read at the same time.
const FILES_AT_ONCE: usize = 8;
/// In a day of more files, looking for single objects costs more than reading it.
const FEW_FILES: usize = 8;
/// What a look into a file costs, whatever it finds: as much as reading so many rows.
const ROWS_PER_LOOK: u64 = 1024;
/// The newest days are read whole at once: most lookups are about them.
const RECENT_DAYS: usize = 2;

/// What is known of the table.
#[derive(Debug, Default)]
pub(super) struct Index {
    version: i64,
    /// How far it holds the logs of the other tables.
    progress: HashMap<&'static str, i64>,
    days: BTreeMap<Option<NaiveDate>, Day>,
    /// Files whose rows may be of any day.
    loose: HashSet<String>,
    loose_part: Part,
    /// Bytes that what was read may take, without the rows of loose files.
    most_bytes: usize,
    bytes: usize,
    uses: u64,
}

/// The files of a day, and what was read of them.
#[derive(Debug, Default)]
struct Day {
    files: Vec<DataFile>,
    rows: u64,
    /// Rows of all the files.
    part: Option<Part>,
    footers: HashMap<String, Arc<ParquetMetaData>>,
    bytes: usize,
    /// Rows that were read to look for single objects.
    looked_at: u64,
    used: u64,
}

impl Day {
    fn of(files: Vec<DataFile>) -> Self {
        // Where the log does not say, as many as the bytes could hold.
        let rows = files.iter().map(|file| file.rows.unwrap_or(file.size_bytes / 16)).sum();
        Day { files, rows, ..Day::default() }
    }

    fn forget(&mut self) -> usize {
        self.part = None;
        self.footers = HashMap::new();
        self.looked_at = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Bytes of its rows in memory.
    fn part_bytes(&self) -> usize {
        usize::try_from(self.rows).map_or(usize::MAX, |rows| rows.saturating_mul(size_of::<u128>()))
    }
}

impl Index {
    /// An index of nothing that keeps up to so many bytes of what it reads.
    pub(super) fn new(most_bytes: usize) -> Self {
        Index { version: -1, most_bytes, ..Index::default() }
    }

    /// The version of `objects`.
    pub(super) fn version(&self) -> i64 {
        self.version
    }

    /// How far it holds the log of a table.
    pub(super) fn progress(&self, table: &str) -> i64 {
        self.progress.get(table).copied().unwrap_or(-1)
    }

    /// Bytes of what was read.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.loose_part.bytes()
    }

    /// Goes on to another state of the table; what was read of days whose files are the same stays.
    pub(super) async fn renew(
        &mut self,
        log: &TableLog,
        snapshot: Snapshot,
        progress: HashMap<&'static str, i64>,
    ) -> Result<(), Error> {
        let (by_day, loose): (Vec<DataFile>, Vec<DataFile>) =
            snapshot.files.into_iter().partition(|file| day::is_marked(&file.path));
        let paths: HashSet<String> = loose.iter().map(|file| file.path.clone()).collect();
        if paths != self.loose {
            self.loose_part = part(load(log, &loose).await?).await?;
            self.loose = paths;
        }
        let mut files: BTreeMap<Option<NaiveDate>, Vec<DataFile>> = BTreeMap::new();
        for file in by_day {
            files.entry(file.event_date).or_default().push(file);
        }
        let mut old = std::mem::take(&mut self.days);
        for (day, files) in files {
            let same = old.remove(&day).filter(|old| old.files == files);
            self.days.insert(day, same.unwrap_or_else(|| Day::of(files)));
        }
        self.bytes = self.days.values().map(|day| day.bytes).sum();
        (self.version, self.progress) = (snapshot.version, progress);
        for day in self.recent() {
            self.load_day(log, day).await?;
        }
        Ok(())
    }

    /// What is known of objects, as far as the table says.
    pub(super) async fn look_up(
        &mut self,
        log: &TableLog,
        names: &[ObjectName<'_>],
    ) -> Result<Vec<States>, Error> {
        let mut known: Vec<States> = names.iter().map(|name| self.loose_part.get(name.id())).collect();
        let mut days: BTreeMap<Option<NaiveDate>, Vec<usize>> = BTreeMap::new();
        for (at, (name, states)) in names.iter().zip(&known).enumerate() {
            if !states.are_final() {
                days.entry(day::of_key(name.key())).or_default().push(at);
            }
        }
        for (day, places) in days {
            if !self.days.contains_key(&day) {
                continue;
            }
            let wanted: Vec<ObjectName<'_>> =
                places.iter().filter_map(|at| names.get(*at).copied()).collect();
            let found = self.look_up_in_day(log, day, &wanted).await?;
            for (at, states) in places.into_iter().zip(found) {
                known[at] = known[at].and(states);
            }
        }
        Ok(known)
    }

    async fn look_up_in_day(
        &mut self,
        log: &TableLog,
        key: Option<NaiveDate>,
        wanted: &[ObjectName<'_>],
    ) -> Result<Vec<States>, Error> {
        self.uses += 1;
        let (uses, most_bytes, is_recent) = (self.uses, self.most_bytes, self.recent().contains(&key));
        let Some(day) = self.days.get_mut(&key) else { return Ok(vec![States::default(); wanted.len()]) };
        day.used = uses;
        if day.part.is_none() {
            let fits = day.part_bytes() <= most_bytes / 2;
            let is_whole = (is_recent && fits) || day.files.len() > FEW_FILES;
            if !is_whole && let Some(found) = self.probe(log, key, wanted).await? {
                return Ok(found);
            }
            if !fits {
                let files = self.days.get(&key).map_or(&[][..], |day| day.files.as_slice());
                return scan(log, files, wanted).await;
            }
            self.load_day(log, key).await?;
        }
        let part = self.days.get(&key).and_then(|day| day.part.as_ref());
        let Some(part) = part else { return Err(Error::Worker) };
        Ok(wanted.iter().map(|name| part.get(name.id())).collect())
    }

    /// The newest days, by what the table holds.
    fn recent(&self) -> Vec<Option<NaiveDate>> {
        self.days.keys().rev().filter(|day| day.is_some()).take(RECENT_DAYS).copied().collect()
    }

    /// Reads all rows of a day.
    async fn load_day(&mut self, log: &TableLog, key: Option<NaiveDate>) -> Result<(), Error> {
        let Some(day) = self.days.get(&key) else { return Ok(()) };
        let bytes = day.part_bytes();
        if day.part.is_some() || bytes > self.most_bytes / 2 {
            return Ok(());
        }
        let files = day.files.clone();
        self.make_room(bytes, key);
        let part = part(load(log, &files).await?).await?;
        if let Some(day) = self.days.get_mut(&key) {
            self.bytes -= day.forget();
            day.bytes = part.bytes();
            self.bytes += day.bytes;
            day.part = Some(part);
        }
        Ok(())
    }

    /// Looks for objects in the pages of a day's files that may hold them; none when it is time to read the day whole:
    /// once as many rows were read by looking as it has. So both together cost at most twice what the better would.
    async fn probe(
        &mut self,
        log: &TableLog,
        key: Option<NaiveDate>,
        wanted: &[ObjectName<'_>],
    ) -> Result<Option<Vec<States>>, Error> {
        let Some(day) = self.days.get_mut(&key) else { return Ok(None) };
        let keys: Vec<&str> = wanted.iter().map(ObjectName::key).collect();
        let mut looks = Vec::with_capacity(day.files.len());
        let mut rows = 0;
        for file in &day.files {
            let footer = if let Some(footer) = day.footers.get(&file.path) {
                Arc::clone(footer)
            } else {
                let footer = read::footer(log, file).await?;
                day.bytes += footer.memory_size();
                self.bytes += footer.memory_size();
                day.footers.insert(file.path.clone(), Arc::clone(&footer));
                footer
            };
            let selection = read::of_keys(&footer, &keys);
            rows += ROWS_PER_LOOK + selection.row_count() as u64;
            looks.push((file, footer, selection));
        }
        // Of rows that cannot be kept, having read them once is no help the next time.
        let before = if day.part_bytes() <= self.most_bytes / 2 { day.looked_at } else { 0 };
        day.looked_at = before.saturating_add(rows);
        if day.looked_at > day.rows {
            return Ok(None);
        }
        let mut seen = Seen::new(wanted);
        for (file, footer, selection) in looks {
            read::some(log, file, &footer, selection, |id, state| seen.note(id, state)).await?;
        }
        self.make_room(0, key);
        Ok(Some(seen.into_states(wanted)))
    }

    /// Forgets the days that were not used for the longest time, but one, until so many bytes more have room.
    fn make_room(&mut self, bytes: usize, but: Option<NaiveDate>) {
        while self.bytes.saturating_add(bytes) > self.most_bytes {
            let held = self.days.iter_mut().filter(|(key, day)| **key != but && day.bytes > 0);
            let Some((_, oldest)) = held.min_by_key(|(_, day)| day.used) else { return };
            self.bytes -= oldest.forget();
        }
    }
}

/// What was seen of some objects.
struct Seen(HashMap<u128, States>);

impl Seen {
    fn new(wanted: &[ObjectName<'_>]) -> Self {
        Seen(wanted.iter().map(|name| (name.id().number(), States::default())).collect())
    }

    fn note(&mut self, id: super::object::ObjectId, state: super::object::State) {
        if let Some(known) = self.0.get_mut(&id.number()) {
            *known = known.and(States::of(state));
        }
    }

    fn into_states(self, wanted: &[ObjectName<'_>]) -> Vec<States> {
        wanted.iter().map(|name| self.0.get(&name.id().number()).copied().unwrap_or_default()).collect()
    }
}

/// Looks for objects in all rows of files that are too many to be kept.
async fn scan(log: &TableLog, files: &[DataFile], wanted: &[ObjectName<'_>]) -> Result<Vec<States>, Error> {
    let mut seen = Seen::new(wanted);
    for file in files {
        read::all(log, file, |id, state| seen.note(id, state)).await?;
    }
    Ok(seen.into_states(wanted))
}

/// All rows of files.
async fn load(log: &TableLog, files: &[DataFile]) -> Result<Vec<Found>, Error> {
    futures::stream::iter(files.to_vec())
        .map(|file| async move {
            let mut found = Found::default();
            read::all(log, &file, |id, state| found.push(id, state)).await?;
            Ok(found)
        })
        .buffer_unordered(FILES_AT_ONCE)
        .try_collect()
        .await
}

async fn part(found: Vec<Found>) -> Result<Part, Error> {
    on_cpu(move || Part::new(found.into_iter().fold(Found::default(), Found::and))).await
}
