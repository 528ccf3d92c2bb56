//! Compaction: the files of a closed day become few, sorted by time, without events that were delivered twice.
//!
//! While a day is open, the many small files of an hour of it may become one, so that a row is written again twice at
//! the most: with its hour, and with its day.
//!
//! Must never drop a record that differs from the one that stays, nor commit when the number of rows is not right.

mod objects;

use std::collections::{BTreeMap, BTreeSet};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, DurationRound, NaiveDate, TimeDelta, Utc};
use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, SortExpr};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::duplicates::Duplicates;
use super::{Error, day_name, merge};
use crate::decode::columns::Table;
use crate::lake::{
    self, ALERTS, Add, COMPACTED, DataFile, DayWriter, HOURLY, Lake, OBJECTS, ObjectRows, Removal, Rewrite,
    Rewritten, TABLES, TableLog,
};
use crate::query::{Limits, Session};

/// Rows of a batch while sorting: rows take up to several KB, and a merge holds two batches of each run it reads.
const BATCH_ROWS: usize = 1024;
/// Batches between the sort and the encoder.
const BATCHES_AHEAD: usize = 2;

/// An hour is closed when it ended so long ago: CloudTrail delivers within about five minutes, mostly.
const HOUR_CLOSED_AFTER: TimeDelta = TimeDelta::minutes(15);

/// What is compacted, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A day is closed when it ended so long ago.
    pub closed_after: TimeDelta,
    /// So many files of a closed hour are made into one while their day is open; none when open days are left alone.
    pub hour_files: Option<usize>,
    /// About how large files become.
    pub target_bytes: u64,
    /// Whether files that are sorted by time are merged, not sorted anew.
    pub merge: bool,
    /// What the sort may use.
    pub limits: Limits,
}

/// A day of a table, or an hour of one, that has files to compact.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// The table.
    pub table: &'static Table,
    /// The partition.
    pub day: Option<NaiveDate>,
    /// The beginning of the hour, when only an hour of the day is meant.
    pub hour: Option<DateTime<Utc>>,
    /// Rows in the files to read, as far as the log knows.
    pub rows: u64,
}

impl Job {
    /// The day, or the hour of it, for a person.
    pub fn name(&self) -> String {
        self.hour.map_or_else(|| day_name(self.day), |hour| hour.format("%Y-%m-%d %H:00").to_string())
    }

    /// The files to read, of all that are live.
    fn inputs(&self, files: &[DataFile], settings: &Settings) -> Vec<DataFile> {
        match self.hour {
            None => inputs_of(self.table, files, self.day),
            Some(hour) => hours(files, self.day, settings).remove(&hour).unwrap_or_default(),
        }
    }
}

/// What became of a day.
#[derive(Debug, Clone)]
pub struct Compacted {
    /// The table.
    pub table: &'static str,
    /// The day, or the hour of it, for a person.
    pub name: String,
    /// Files before and after.
    pub files: (usize, usize),
    /// Bytes before and after.
    pub bytes: (u64, u64),
    /// Rows that were read.
    pub rows: u64,
    /// Events that were there twice and are there once now.
    pub duplicates: u64,
    /// The version that holds it; none when another program changed the same files meanwhile, and nothing was done.
    pub version: Option<i64>,
}

/// The days that have something to compact, by table, and the hours of open ones.
pub async fn jobs(lake: &Lake, settings: &Settings, only: Option<&str>) -> Result<Vec<Job>, Error> {
    let now = lake.clock().now();
    let mut jobs = Vec::new();
    // The files of `alerts` are written anew whenever one of the day changes.
    let tables = TABLES.into_iter().filter(|table| table.name != ALERTS.name);
    for table in tables.filter(|table| only.is_none_or(|only| only == table.name)) {
        let files = lake.log(table.name)?.snapshot().await?.files;
        jobs.extend(jobs_of(table, &files, settings, now));
    }
    Ok(jobs)
}

fn jobs_of(table: &'static Table, files: &[DataFile], settings: &Settings, now: DateTime<Utc>) -> Vec<Job> {
    let closed = closed_before(now, settings.closed_after);
    let rows = |inputs: &[DataFile]| inputs.iter().filter_map(|file| file.rows).sum();
    let days: BTreeSet<Option<NaiveDate>> = files.iter().map(|file| file.event_date).collect();
    let mut jobs = Vec::new();
    for day in days {
        if day.is_none_or(|day| day < closed) {
            let inputs = inputs_of(table, files, day);
            if !inputs.is_empty() {
                jobs.push(Job { table, day, hour: None, rows: rows(&inputs) });
            }
        } else {
            let hours = hours(files, day, settings);
            let closed =
                hours.iter().filter(|(hour, _)| **hour + TimeDelta::hours(1) + HOUR_CLOSED_AFTER <= now);
            jobs.extend(closed.map(|(hour, inputs)| Job {
                table,
                day,
                hour: Some(*hour),
                rows: rows(inputs),
            }));
        }
    }
    jobs
}

/// The files of each hour of a day, by the last time in them, where there are so many and so small ones that it pays
/// to write them again before their day is closed. What was written by compaction is left to that of the day.
fn hours(
    files: &[DataFile],
    day: Option<NaiveDate>,
    settings: &Settings,
) -> BTreeMap<DateTime<Utc>, Vec<DataFile>> {
    let Some(least) = settings.hour_files else { return BTreeMap::new() };
    let mut hours: BTreeMap<DateTime<Utc>, Vec<DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.event_date == day && !is_rewritten(file)) {
        let time = file.max_time.and_then(DateTime::from_timestamp_micros);
        if let Some(hour) = time.and_then(|time| time.duration_trunc(TimeDelta::hours(1)).ok()) {
            hours.entry(hour).or_default().push(file.clone());
        }
    }
    hours.retain(|_, files| {
        files.len() >= least.max(2)
            && files.iter().map(|file| file.size_bytes).sum::<u64>() < settings.target_bytes
    });
    hours
}

/// Whether compaction wrote the file, of an hour or of a day.
fn is_rewritten(file: &DataFile) -> bool {
    [COMPACTED, HOURLY].contains(&lake::prefix_of(&file.path))
}

/// The first day that is not closed yet.
fn closed_before(now: DateTime<Utc>, closed_after: TimeDelta) -> NaiveDate {
    // A day ends when the next begins.
    now.checked_sub_signed(closed_after).unwrap_or(DateTime::<Utc>::MIN_UTC).date_naive()
}

fn inputs_of(table: &Table, files: &[DataFile], day: Option<NaiveDate>) -> Vec<DataFile> {
    if is_ledger(table) { objects::inputs(files, day) } else { inputs(table, files, day) }
}

fn is_ledger(table: &Table) -> bool {
    table.name == OBJECTS.name
}

/// Compacted files are written again with new ones that have at least one row for so many of theirs, where nothing but the
/// number of files is gained by it: each row is written a few times only, and few files stay.
const MERGED_FROM: u64 = 4;

/// The files of a day that compaction reads: those it did not write, and those of its own that overlap one of them in
/// time, since only there can another copy of the same event be. Rows without a time, and without an id to be there
/// twice, are written again only where that makes fewer files: otherwise all of them would be for each new file. With an
/// id, they may be in any file without a day, whatever the times of other rows in it.
fn inputs(table: &Table, files: &[DataFile], day: Option<NaiveDate>) -> Vec<DataFile> {
    let is_new = |file: &DataFile| lake::prefix_of(&file.path) != COMPACTED;
    let of_day = files.iter().filter(|file| file.event_date == day).cloned();
    let (mut new, compacted): (Vec<DataFile>, Vec<DataFile>) = of_day.partition(is_new);
    if day.is_none() && table.index_of("event_id").is_none() {
        return with_smaller(new, compacted);
    }
    let from = |file: &DataFile| file.min_time.filter(|_| day.is_some()).unwrap_or(i64::MIN);
    let to = |file: &DataFile| file.max_time.filter(|_| day.is_some()).unwrap_or(i64::MAX);
    let overlaps = |file: &DataFile| new.iter().any(|new| from(file) <= to(new) && from(new) <= to(file));
    let overlapping: Vec<DataFile> = compacted.into_iter().filter(overlaps).collect();
    new.extend(overlapping);
    new
}

/// New files, if there are any, and the compacted ones that are not much larger.
fn with_smaller(mut new: Vec<DataFile>, mut compacted: Vec<DataFile>) -> Vec<DataFile> {
    if new.is_empty() {
        return new;
    }
    // Where the log does not say, a row takes at least that much.
    let rows = |file: &DataFile| file.rows.unwrap_or(file.size_bytes / 16);
    compacted.sort_by_key(rows);
    let mut total: u64 = new.iter().map(rows).sum();
    for file in compacted {
        if rows(&file) > total.saturating_mul(MERGED_FROM) {
            break;
        }
        total += rows(&file);
        new.push(file);
    }
    new
}

/// Compacts one day; `progress` hears of rows that were read and sorted.
pub async fn run(
    lake: &Lake,
    job: Job,
    settings: &Settings,
    mut progress: impl FnMut(u64),
) -> Result<Option<Compacted>, Error> {
    let log = lake.log(job.table.name)?;
    log.check_rewritable().await?;
    let snapshot = log.snapshot().await?;
    let inputs = job.inputs(&snapshot.files, settings);
    if inputs.is_empty() {
        return Ok(None);
    }
    let (writer, merged) = match rewrite(lake, job, settings, &inputs, true, &mut progress).await {
        Err(Error::Rows { source, .. }) if merge::is_unsorted(&source) => {
            tracing::debug!(
                table = job.table.name,
                job = job.name(),
                "files are not sorted by time: sorting"
            );
            rewrite(lake, job, settings, &inputs, false, &mut progress).await?
        }
        rewritten => rewritten?,
    };
    let add = writer.finish().await?;
    let (rows, removed) = merged;
    let written: u64 = add.iter().filter_map(Add::rows).sum();
    let expected = log_rows(log, &inputs).await?;
    if rows != expected || written + removed.count() != rows {
        return Err(Error::Count { table: job.table.name, day: job.name(), expected, found: rows });
    }
    let mut done = Compacted {
        table: job.table.name,
        name: job.name(),
        files: (inputs.len(), add.len()),
        bytes: (inputs.iter().map(|file| file.size_bytes).sum(), add.iter().map(|add| add.size).sum()),
        rows,
        duplicates: removed.count(),
        version: None,
    };
    let rewrite = Rewrite {
        operation: "OPTIMIZE",
        read_at: snapshot.version,
        remove: inputs.into_iter().map(|file| file.path).collect(),
        add,
        removal: (!removed.is_empty()).then(|| Removal::duplicates(removed)),
    };
    if let Rewritten::Committed(version) = lake.rewrite(log, rewrite).await? {
        done.version = Some(version);
    }
    Ok(Some(done))
}

/// Writes the rows of files again; returns the writer, how many rows were read and which were left out. Files that are
/// sorted by time are merged, if they may be.
async fn rewrite<'a>(
    lake: &'a Lake,
    job: Job,
    settings: &Settings,
    inputs: &[DataFile],
    may_merge: bool,
    progress: &mut impl FnMut(u64),
) -> Result<(Writer<'a>, (u64, ObjectRows)), Error> {
    let failed = |error: DataFusionError| rows_failed(job, error);
    // One sort, which spills and merges by itself: several would need a merge above them, which cannot spill.
    let limits = Limits { threads: Some(1), ..settings.limits.clone() };
    let session = Session::empty(lake, limits)?.with_batch_rows(BATCH_ROWS);
    let may_merge = may_merge && settings.merge && !is_ledger(job.table);
    let chains = merge::chains(inputs, settings.limits.memory_bytes).filter(|_| may_merge);
    let rows = if let Some(chains) = chains {
        let frame = |file| rows_of(&session, lake, job, vec![file]);
        let chain = |files: Vec<DataFile>| files.into_iter().map(frame).collect::<Result<Vec<_>, _>>();
        let frames = chains.into_iter().map(chain).collect::<Result<Vec<_>, _>>()?;
        merge::merge(frames, &sort_keys(job.table), BATCH_ROWS).map_err(failed)?
    } else {
        let frame = sorted(&session, lake, job, inputs.to_vec())?;
        frame.execute_stream().await.map_err(failed)?
    };
    let prefix = if job.hour.is_some() { HOURLY } else { COMPACTED };
    let now_millis = lake.clock().now().timestamp_millis();
    let (log, target_bytes) = (lake.log(job.table.name)?, settings.target_bytes);
    let mut writer = Writer { log, target_bytes, prefix, now_millis, open: None, done: Vec::new() };
    match write_rows(job, rows, &mut writer, progress).await {
        Ok(merged) => Ok((writer, merged)),
        Err(error) => {
            writer.abort().await;
            Err(error)
        }
    }
}

/// How many rows files hold, by the log, or by their own word where the log does not say.
async fn log_rows(log: &TableLog, files: &[DataFile]) -> Result<u64, Error> {
    let mut rows = 0;
    for file in files {
        rows += match file.rows {
            Some(rows) => rows,
            None => log.count_rows(&file.path, file.size_bytes).await?,
        };
    }
    Ok(rows)
}

/// By what rows are sorted: time, event id and where they come from. Of two copies, always the same one comes first.
fn sort_keys(table: &'static Table) -> Vec<&'static str> {
    let stored = &table.columns[..table.columns.len() - 1];
    let keys = [table.time_column, "event_id", "object_id", "source_object", "source_row"];
    keys.into_iter().filter(|key| stored.iter().any(|column| column.name == *key)).collect()
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// The rows of files in the order in which they are written.
fn sorted(session: &Session, lake: &Lake, job: Job, files: Vec<DataFile>) -> Result<DataFrame, Error> {
    let failed = |error: DataFusionError| rows_failed(job, error);
    let frame = rows_of(session, lake, job, files)?;
    if is_ledger(job.table) {
        let (day, order) = objects::order();
        return frame.with_column(objects::DAY, day).map_err(failed)?.sort(order).map_err(failed);
    }
    let order: Vec<SortExpr> =
        sort_keys(job.table).into_iter().map(|key| column(key).sort(true, false)).collect();
    frame.sort(order).map_err(failed)
}

/// The rows of files, with the columns that files have.
fn rows_of(session: &Session, lake: &Lake, job: Job, files: Vec<DataFile>) -> Result<DataFrame, Error> {
    let stored = &job.table.columns[..job.table.columns.len() - 1];
    let frame = session.read(lake, job.table, files)?;
    frame.select(stored.iter().map(|stored| column(stored.name))).map_err(|error| rows_failed(job, error))
}

fn rows_failed(job: Job, source: DataFusionError) -> Error {
    Error::Rows { table: job.table.name, day: job.name(), source: Box::new(source) }
}

/// Writes sorted rows without their duplicates; returns how many were read and which were left out.
async fn write_rows(
    job: Job,
    mut stream: SendableRecordBatchStream,
    writer: &mut Writer<'_>,
    progress: &mut impl FnMut(u64),
) -> Result<(u64, ObjectRows), Error> {
    let failed = |error| rows_failed(job, error);
    let schema = stream.schema();
    let mut duplicates = Duplicates::new(&schema, job.table.time_column).map_err(|e| failed(e.into()))?;
    let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
    // Sorting goes on while rows are encoded.
    let reading = tokio::spawn(async move {
        while let Some(batch) = stream.next().await {
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    let mut rows = 0;
    while let Some(batch) = receiver.recv().await {
        let batch = batch.map_err(failed)?;
        let read = batch.num_rows() as u64;
        rows += read;
        let batch = match &mut duplicates {
            Some(duplicates) => duplicates.filter(&batch).map_err(|error| failed(error.into()))?,
            None => batch,
        };
        if is_ledger(job.table) {
            for (day, rows) in objects::by_day(&batch) {
                writer.write(day, rows).await?;
            }
        } else {
            writer.write(job.day, batch).await?;
        }
        progress(read);
    }
    reading.await.map_err(|_| crate::lake::Error::Worker)?;
    Ok((rows, duplicates.map(Duplicates::removed).unwrap_or_default()))
}

/// Writes the files of one day after the other.
struct Writer<'a> {
    log: &'a TableLog,
    target_bytes: u64,
    prefix: &'static str,
    now_millis: i64,
    open: Option<(Option<NaiveDate>, DayWriter<'a>)>,
    done: Vec<Add>,
}

impl Writer<'_> {
    async fn write(&mut self, day: Option<NaiveDate>, rows: RecordBatch) -> Result<(), Error> {
        let mut writer = match self.open.take() {
            Some((open, writer)) if open == day => writer,
            other => {
                if let Some((_, writer)) = other {
                    self.done.extend(writer.finish().await?);
                }
                DayWriter::new(self.log, day, self.target_bytes, self.prefix, self.now_millis)
            }
        };
        let written = writer.write(rows).await;
        self.open = Some((day, writer));
        Ok(written?)
    }

    /// Ends the last file and returns the actions that add all of them.
    async fn finish(mut self) -> Result<Vec<Add>, Error> {
        if let Some((_, writer)) = self.open.take() {
            self.done.extend(writer.finish().await?);
        }
        Ok(self.done)
    }

    /// Gives up the file that is open.
    async fn abort(self) {
        if let Some((_, writer)) = self.open {
            writer.abort().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::decode::columns::{CLOUDTRAIL, VPC_FLOW};

    use super::*;

    fn file(name: &str, day: u32, from: i64, to: i64) -> DataFile {
        DataFile {
            path: format!("event_date=2026-03-{day:02}/{name}.parquet"),
            size_bytes: 1,
            event_date: NaiveDate::from_ymd_opt(2026, 3, day),
            rows: Some(1),
            min_time: Some(from),
            max_time: Some(to),
        }
    }

    #[test]
    fn a_day_is_read_as_far_as_it_has_new_files() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 1);
        for (files, expected) in [
            (vec![file("part-1", 1, 0, 9)], vec!["part-1"]),
            (vec![file("compact-1", 1, 0, 9)], vec![]),
            (vec![file("compact-1", 1, 0, 9), file("part-2", 2, 0, 9)], vec![]),
            (
                vec![file("compact-1", 1, 0, 9), file("compact-2", 1, 10, 19), file("part-1", 1, 5, 10)],
                vec!["part-1", "compact-1", "compact-2"],
            ),
            (
                vec![file("compact-1", 1, 0, 9), file("compact-2", 1, 10, 19), file("part-1", 1, 12, 13)],
                vec!["part-1", "compact-2"],
            ),
            // What is between two late files is not looked at.
            (
                vec![
                    file("compact-1", 1, 0, 9),
                    file("compact-2", 1, 10, 19),
                    file("compact-3", 1, 20, 29),
                    file("part-1", 1, 1, 2),
                    file("part-2", 1, 28, 40),
                ],
                vec!["part-1", "part-2", "compact-1", "compact-3"],
            ),
        ] {
            assert_eq!(names(&inputs(&VPC_FLOW, &files, day)), expected);
        }
    }

    fn names(files: &[DataFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.split(['/', '.']).nth(1).unwrap()).collect()
    }

    #[test]
    fn rows_without_a_time_are_written_again_a_few_times_only() {
        let timeless = |name: &str, rows| DataFile {
            event_date: None,
            min_time: None,
            max_time: None,
            rows: Some(rows),
            ..file(name, 1, 0, 0)
        };
        let files = [
            timeless("compact-1", 1000),
            timeless("compact-2", 30),
            timeless("part-1", 5),
            timeless("part-2", 5),
        ];
        assert_eq!(names(&inputs(&VPC_FLOW, &files, None)), ["part-1", "part-2", "compact-2"]);
        assert!(inputs(&VPC_FLOW, &files[..2], None).is_empty());
        // Of events, each may be there twice; of those without a time, whatever the absurd times are of others there.
        assert_eq!(inputs(&CLOUDTRAIL, &files, None).len(), 4);
        let absurd = |name: &str, at| DataFile { event_date: None, ..file(name, 1, at, at) };
        let files = [absurd("compact-1", 0), absurd("part-1", 100)];
        assert_eq!(names(&inputs(&CLOUDTRAIL, &files, None)), ["part-1", "compact-1"]);
    }

    #[test]
    fn the_files_of_a_closed_hour_are_read_where_there_are_many_small_ones() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let minute = |text: &str, name: &str, size_bytes| {
            let time = at(&format!("2026-03-10T{text}:00Z")).timestamp_micros();
            DataFile { size_bytes, ..file(name, 10, time - 600_000_000, time) }
        };
        let files = [
            minute("10:01", "part-1", 4),
            minute("10:30", "part-2", 4),
            minute("10:59", "part-3", 4),
            minute("10:59", "hour-1", 4),
            minute("11:10", "part-4", 4),
            minute("11:20", "part-5", 4),
            minute("12:10", "part-6", 50),
            minute("12:20", "part-7", 50),
            minute("12:20", "part-8", 50),
            minute("13:10", "part-9", 4),
        ];
        let settings = |hour_files| Settings {
            closed_after: TimeDelta::hours(6),
            hour_files,
            merge: true,
            target_bytes: 100,
            limits: Limits::default(),
        };
        let jobs = |now: &str, least| -> Vec<String> {
            let settings = settings(least);
            jobs_of(&lake::OBJECTS, &files, &settings, at(now))
                .iter()
                .map(|job| {
                    let names = job.inputs(&files, &settings);
                    let names = names.iter().map(|file| file.path.split(['/', '.']).nth(1).unwrap());
                    format!("{}: {}", job.name(), names.collect::<Vec<_>>().join(" "))
                })
                .collect()
        };
        let ten = "2026-03-10 10:00: part-1 part-2 part-3".to_owned();
        let eleven = "2026-03-10 11:00: part-4 part-5".to_owned();
        for (now, least, expected) in [
            ("2026-03-10T11:14:59Z", Some(3), vec![]),
            ("2026-03-10T11:15:00Z", Some(3), vec![ten.clone()]),
            ("2026-03-10T23:00:00Z", Some(3), vec![ten.clone()]),
            ("2026-03-10T23:00:00Z", Some(2), vec![ten.clone(), eleven]),
            // One file is never written again by itself, however few it may take.
            ("2026-03-10T11:15:00Z", Some(1), vec![ten.clone()]),
            ("2026-03-10T23:00:00Z", None, vec![]),
            ("2026-03-11T05:59:59Z", Some(3), vec![ten]),
        ] {
            assert_eq!(jobs(now, least), expected, "{now} {least:?}");
        }
        let day = jobs("2026-03-11T06:00:00Z", Some(3));
        assert_eq!(
            (day.len(), day[0].split(' ').count()),
            (1, 11),
            "then the day with all of its files: {day:?}"
        );
    }

    #[test]
    fn a_day_closes_some_time_after_its_end() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        for (now, hours, first_open) in [
            ("2026-03-02T05:59:00Z", 6, "2026-03-01"),
            ("2026-03-02T06:00:00Z", 6, "2026-03-02"),
            ("2026-03-02T00:00:00Z", 0, "2026-03-02"),
        ] {
            assert_eq!(closed_before(at(now), TimeDelta::hours(hours)).to_string(), first_open);
        }
        assert_eq!(closed_before(at("2026-03-02T05:59:00Z"), TimeDelta::MAX), NaiveDate::MIN);
    }
}
