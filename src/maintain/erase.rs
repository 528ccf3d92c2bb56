//! Taking rows out for good: whole days that are too old, and rows that fit a condition.
//!
//! Every commit says which rows of which objects it took out, so that the rest can still be proven whole. The ledger
//! keeps the objects: reading them again brings nothing back. Bytes are gone once `vacuum` deletes the old files.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use futures::StreamExt;

use super::{Error, day_name, provenance};
use crate::decode::columns::Table;
use crate::lake::{
    self, Add, DATA_TABLES, DataFile, DayWriter, Lake, ObjectRows, Removal, Rewrite, Rewritten, TableLog,
};
use crate::query::{Limits, Session};

/// How often a day is begun again when somebody changes its files meanwhile.
const TRIES: u32 = 4;
/// Files of a day go together in one commit until it names so many objects: some MB.
const OBJECTS_AT_ONCE: usize = 50_000;

/// A deletion is committed once the rows to take out make so many ranges: some megabytes in the log.
const RANGES_AT_ONCE: usize = 500_000;

/// What was, or would be, taken out of one day of a table.
#[derive(Debug, Clone)]
pub struct Erased {
    /// The table.
    pub table: &'static str,
    /// The partition.
    pub day: Option<NaiveDate>,
    /// Files that held such rows.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Rows taken out.
    pub rows: u64,
    /// The objects these rows came from, each counted once for each commit.
    pub objects: usize,
    /// The version that holds it, the last one of several; none when nothing was changed.
    pub version: Option<i64>,
}

impl Erased {
    fn nothing(table: &'static str, day: Option<NaiveDate>) -> Self {
        Erased { table, day, files: 0, bytes: 0, rows: 0, objects: 0, version: None }
    }

    fn note(&mut self, files: &[DataFile], rows: u64) {
        self.files += files.len();
        self.bytes += files.iter().map(|file| file.size_bytes).sum::<u64>();
        self.rows += rows;
    }
}

/// A day that was looked through for rows to delete.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'a> {
    /// Rows of its files, as far as the log knows.
    pub rows: u64,
    /// What was, or would be, taken out; none when it had no such rows, or when it failed.
    pub erased: Option<&'a Erased>,
}

/// Takes out the days before `first_kept` of the tables that hold rows of log objects; without `commit`, only tells.
///
/// `progress` hears of each day as it is done. A day that fails is no reason to leave the others: the errors come at
/// the end, and `progress` hears of what was taken out of it before.
pub async fn expire(
    lake: &Lake,
    first_kept: NaiveDate,
    commit: bool,
    mut progress: impl FnMut(&Erased),
) -> Result<Vec<Erased>, Error> {
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for table in DATA_TABLES {
        let log = lake.log(table.name)?;
        let files = log.snapshot().await?.files;
        if commit && files.iter().any(|file| file.event_date.is_some_and(|day| day < first_kept)) {
            log.check_writable().await?;
        }
        let mut days: Vec<NaiveDate> = files.iter().filter_map(|file| file.event_date).collect();
        days.sort_unstable();
        days.dedup();
        for day in days.into_iter().filter(|day| *day < first_kept) {
            let mut erased = Erased::nothing(table.name, Some(day));
            let at_once = commit.then_some(OBJECTS_AT_ONCE);
            failed.extend(expire_day(lake, log, day, at_once, &mut erased).await.err());
            if erased.files > 0 {
                progress(&erased);
                all.push(erased);
            }
        }
    }
    Error::of_all(failed).map_or(Ok(all), Err)
}

/// Takes out a day, some of its files after others, so that no commit grows beyond reading; with no number of objects
/// for a commit, only tells.
async fn expire_day(
    lake: &Lake,
    log: &TableLog,
    day: NaiveDate,
    objects_at_once: Option<usize>,
    erased: &mut Erased,
) -> Result<(), Error> {
    let table = log.table().name;
    let mut overtaken = 0;
    while overtaken < TRIES {
        let snapshot = log.snapshot().await?;
        let mut files: Vec<DataFile> =
            snapshot.files.into_iter().filter(|file| file.event_date == Some(day)).collect();
        let Some(objects_at_once) = objects_at_once else {
            erased.note(&files, files.iter().filter_map(|file| file.rows).sum());
            return Ok(());
        };
        if files.is_empty() {
            return Ok(());
        }
        let mut rows = ObjectRows::default();
        let mut taken = 0;
        while taken < files.len() && rows.objects() < objects_at_once {
            collect_rows(log, &files[taken], &mut rows).await?;
            taken += 1;
        }
        files.truncate(taken);
        let (count, objects) = (rows.count(), rows.objects());
        let rewrite = Rewrite {
            operation: "DELETE",
            read_at: snapshot.version,
            remove: files.iter().map(|file| file.path.clone()).collect(),
            add: Vec::new(),
            removal: Some(Removal::expired(rows)),
        };
        match lake.rewrite(log, rewrite).await? {
            Rewritten::Committed(version) => {
                erased.note(&files, count);
                erased.objects += objects;
                erased.version = Some(version);
                overtaken = 0;
            }
            Rewritten::Overtaken => overtaken += 1,
        }
    }
    Err(Error::Overtaken { table, day: day.to_string() })
}

/// Notes which rows of which objects a file holds.
async fn collect_rows(log: &TableLog, file: &DataFile, rows: &mut ObjectRows) -> Result<(), Error> {
    let mut unknown = false;
    let read = provenance::read(log.store(), &file.path, file.size_bytes, |batch| {
        for place in batch.places() {
            match place {
                Some((object, row)) => rows.insert(object, row),
                None => unknown = true,
            }
        }
    });
    let (_, says) = read.await.map_err(|error| crate::lake::Error::table(log.table(), error))?;
    if unknown || !says {
        return Err(Error::Unknown { table: log.table().name, path: file.path.clone() });
    }
    Ok(())
}

/// Rows that fit a condition, to be taken out of one table.
pub struct Deletion<'a> {
    lake: &'a Lake,
    table: &'static Table,
    session: Session,
    condition: String,
    ranges_at_once: usize,
}

impl<'a> Deletion<'a> {
    /// Checks the condition; reads nothing yet.
    pub fn new(
        lake: &'a Lake,
        table: &'static Table,
        condition: &str,
        limits: &Limits,
    ) -> Result<Self, Error> {
        // One thread reads a file from its begin to its end: its order stays.
        let session = Session::empty(lake, Limits { threads: Some(1), ..limits.clone() })?;
        let frame = session.read(lake, table, Vec::new())?;
        session.condition(&frame, condition)?;
        let condition = condition.to_owned();
        Ok(Deletion { lake, table, session, condition, ranges_at_once: RANGES_AT_ONCE })
    }

    /// Takes the rows out; without `commit`, only counts them.
    ///
    /// `progress` hears of each day as it is done. A day that fails is no reason to leave the others: the errors come
    /// at the end.
    pub async fn run(
        &self,
        commit: bool,
        mut progress: impl FnMut(Looked<'_>),
    ) -> Result<Vec<Erased>, Error> {
        let log = self.lake.log(self.table.name)?;
        let mut days: BTreeMap<Option<NaiveDate>, Vec<DataFile>> = BTreeMap::new();
        for file in log.snapshot().await?.files {
            days.entry(file.event_date).or_default().push(file);
        }
        if commit && !days.is_empty() {
            log.check_rewritable().await?;
        }
        let (mut all, mut failed) = (Vec::new(), Vec::new());
        for (day, files) in days {
            let found = match self.run_day(log, day, commit).await {
                Ok(found) => Some(found).filter(|found| found.rows > 0),
                Err(error) => {
                    failed.push(error);
                    None
                }
            };
            let rows = files.iter().filter_map(|file| file.rows).sum();
            progress(Looked { rows, erased: found.as_ref() });
            all.extend(found);
        }
        Error::of_all(failed).map_or(Ok(all), Err)
    }

    /// Takes rows out of a day, some of its files after others, so that no commit grows beyond reading.
    async fn run_day(&self, log: &TableLog, day: Option<NaiveDate>, commit: bool) -> Result<Erased, Error> {
        let table = self.table.name;
        let mut erased = Erased::nothing(table, day);
        // Files that hold no such row, or none any more.
        let mut cleared: HashSet<String> = HashSet::new();
        let mut overtaken = 0;
        while overtaken < TRIES {
            let snapshot = log.snapshot().await?;
            let of_day = snapshot.files.into_iter().filter(|file| file.event_date == day);
            let files: Vec<DataFile> = of_day.filter(|file| !cleared.contains(&file.path)).collect();
            let (hit, rows) = self.hit(log, files, &mut cleared).await?;
            let matched: u64 = hit.iter().map(|(_, matched)| matched).sum();
            // A row that is in two files cannot be accounted for.
            if rows.count() != matched {
                let (day, found) = (day_name(day), rows.count());
                return Err(Error::Count { table, day, expected: matched, found });
            }
            if hit.is_empty() {
                return Ok(erased);
            }
            let objects = rows.objects();
            let files: Vec<DataFile> = hit.iter().map(|(file, _)| file.clone()).collect();
            let remove: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
            if commit {
                let mut add = Vec::new();
                for (file, matched) in &hit {
                    add.extend(self.without(log, file, *matched).await?);
                }
                cleared.extend(add.iter().map(|add| add.path.clone()));
                let removal = Some(Removal::deleted(rows));
                let rewrite =
                    Rewrite { operation: "DELETE", read_at: snapshot.version, remove, add, removal };
                let Rewritten::Committed(version) = self.lake.rewrite(log, rewrite).await? else {
                    overtaken += 1;
                    continue;
                };
                erased.version = Some(version);
            } else {
                cleared.extend(remove);
            }
            overtaken = 0;
            erased.note(&files, matched);
            erased.objects += objects;
        }
        Err(Error::Overtaken { table, day: day_name(day) })
    }

    /// The first of some files that hold rows that fit, with how many, and these rows; those that hold none are noted.
    async fn hit(
        &self,
        log: &TableLog,
        files: Vec<DataFile>,
        cleared: &mut HashSet<String>,
    ) -> Result<(Vec<(DataFile, u64)>, ObjectRows), Error> {
        let mut rows = ObjectRows::default();
        let (mut hit, mut ranges) = (Vec::new(), 0);
        for file in files {
            let of_file = self.matching(log, &file).await?;
            let matched = of_file.count();
            if matched == 0 {
                cleared.insert(file.path);
                continue;
            }
            ranges += of_file.ranges();
            rows.extend(of_file);
            hit.push((file, matched));
            if ranges >= self.ranges_at_once {
                break;
            }
        }
        Ok((hit, rows))
    }

    fn frame(&self, file: &DataFile, wanted: impl FnOnce(Expr) -> Expr) -> Result<DataFrame, Error> {
        let frame = self.session.read(self.lake, self.table, vec![file.clone()])?;
        let condition = self.session.condition(&frame, &self.condition)?;
        frame.filter(wanted(condition)).map_err(|error| self.failed(file, error))
    }

    fn failed(&self, file: &DataFile, source: DataFusionError) -> Error {
        Error::Rows { table: self.table.name, day: day_name(file.event_date), source: Box::new(source) }
    }

    /// The rows of a file that fit.
    async fn matching(&self, log: &TableLog, file: &DataFile) -> Result<ObjectRows, Error> {
        let failed = |error| self.failed(file, error);
        let frame = self.frame(file, |condition| condition)?;
        let frame = frame.select_columns(&["source_object", "source_row"]).map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut rows = ObjectRows::default();
        let mut matched = 0;
        while let Some(batch) = stream.next().await.transpose().map_err(failed)? {
            matched += batch.num_rows() as u64;
            if !provenance::note(&batch, &mut rows) {
                return Err(Error::Unknown { table: log.table().name, path: file.path.clone() });
            }
        }
        // Nor can one that is there twice.
        if rows.count() == matched {
            return Ok(rows);
        }
        let (table, day) = (log.table().name, day_name(file.event_date));
        Err(Error::Count { table, day, expected: matched, found: rows.count() })
    }

    /// Writes a file again without the rows that fit, in the same order.
    async fn without(&self, log: &TableLog, file: &DataFile, matched: u64) -> Result<Vec<Add>, Error> {
        let failed = |error| self.failed(file, error);
        let stored = self.table.columns[..self.table.columns.len() - 1].iter().map(|column| column.name);
        let frame = self.frame(file, Expr::is_not_true)?;
        let frame = frame.select_columns(&stored.collect::<Vec<_>>()).map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let prefix = lake::prefix_of(&file.path);
        let now = self.lake.clock().now().timestamp_millis();
        let mut writer = DayWriter::new(log, file.event_date, u64::MAX, prefix, now);
        let mut kept = 0;
        while let Some(batch) = stream.next().await.transpose().map_err(failed)? {
            kept += batch.num_rows() as u64;
            writer.write(batch).await?;
        }
        let expected = log.count_rows(&file.path, file.size_bytes).await?;
        if kept + matched != expected {
            writer.abort().await;
            let (table, day) = (self.table.name, day_name(file.event_date));
            return Err(Error::Count { table, day, expected, found: kept + matched });
        }
        Ok(writer.finish().await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::clock::SystemClock;
    use crate::decode::columns::CLOUDTRAIL;
    use crate::decode::gzip;
    use crate::ingest::read::{Fetched, Reader};
    use crate::lake::ReadObject;
    use crate::store::{self, AwsSettings, Location};

    fn object(key: &str) -> ReadObject {
        let record =
            r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"E"}]}"#;
        let bytes = Bytes::from_static(record.as_bytes());
        let fetched = Fetched { bytes, ..Fetched::unread("b", key, Some("e")) };
        Reader::new(gzip::Limits::default(), Arc::new(SystemClock)).read(&fetched)
    }

    /// A lake with files of two objects each, and one of one.
    async fn lake(directory: &std::path::Path) -> Lake {
        let location = Location::Local(directory.to_owned());
        let place = store::lake(&location, &AwsSettings::default()).await.unwrap();
        let lake = Lake::create(place, Arc::new(SystemClock)).await.unwrap();
        for keys in [&["a", "b"][..], &["c", "d"], &["e"]] {
            lake.commit(keys.iter().map(|key| object(key)).collect()).await.unwrap();
        }
        lake
    }

    #[tokio::test]
    async fn a_large_day_goes_in_several_commits() {
        let directory = tempfile::tempdir().unwrap();
        let lake = lake(directory.path()).await;
        let log = lake.log(CLOUDTRAIL.name).unwrap();
        let day = NaiveDate::from_ymd_opt(2026, 3, 10).unwrap();
        let mut erased = Erased::nothing(CLOUDTRAIL.name, Some(day));
        expire_day(&lake, log, day, Some(2), &mut erased).await.unwrap();
        assert_eq!((erased.files, erased.rows, erased.objects), (3, 5, 5));
        let commits = erased.version.unwrap() - 3;
        assert!((2..=3).contains(&commits), "{commits} commits");
        assert!(log.snapshot().await.unwrap().files.is_empty());
    }

    #[tokio::test]
    async fn a_large_deletion_goes_in_several_commits() {
        let directory = tempfile::tempdir().unwrap();
        let lake = lake(directory.path()).await;
        let log = lake.log(CLOUDTRAIL.name).unwrap();
        let day = NaiveDate::from_ymd_opt(2026, 3, 10);
        let deletion = |condition: &str, ranges_at_once| {
            let deletion = Deletion::new(&lake, &CLOUDTRAIL, condition, &Limits::default()).unwrap();
            Deletion { ranges_at_once, ..deletion }
        };
        let all = deletion("event_name = 'E'", 2);
        let found = all.run_day(log, day, false).await.unwrap();
        assert_eq!((found.files, found.rows, found.objects, found.version), (3, 5, 5, None));
        assert_eq!(deletion("event_name = 'F'", 2).run_day(log, day, true).await.unwrap().files, 0);
        let erased = all.run_day(log, day, true).await.unwrap();
        assert_eq!((erased.files, erased.rows, erased.objects), (3, 5, 5));
        let commits = erased.version.unwrap() - 3;
        assert!((2..=3).contains(&commits), "{commits} commits");
        assert!(log.snapshot().await.unwrap().files.is_empty());
    }
}
