//! Compaction: the files of a closed day become few, sorted by time, without events that were delivered twice.
//!
//! Must never drop a record that differs from the one that stays, nor commit when the number of rows is not right.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, SortExpr};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::duplicates::Duplicates;
use super::{Error, day_name};
use crate::decode::columns::Table;
use crate::lake::{
    ALERTS, COMPACTED, DataFile, DayWriter, Lake, ObjectRows, Removal, Rewrite, Rewritten, TABLES, TableLog,
};
use crate::query::{Limits, Session};

/// Rows of a batch while sorting: rows take up to several KB, and a merge holds two batches of each run it reads.
const BATCH_ROWS: usize = 1024;
/// Batches between the sort and the encoder.
const BATCHES_AHEAD: usize = 2;

/// What is compacted, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A day is closed when it ended so long ago.
    pub closed_after: TimeDelta,
    /// About how large files become.
    pub target_bytes: u64,
    /// What the sort may use.
    pub limits: Limits,
}

/// A day of a table that has files to compact.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// The table.
    pub table: &'static Table,
    /// The partition.
    pub day: Option<NaiveDate>,
    /// Rows in the files to read, as far as the log knows.
    pub rows: u64,
}

/// What became of a day.
#[derive(Debug, Clone)]
pub struct Compacted {
    /// The table.
    pub table: &'static str,
    /// The partition.
    pub day: Option<NaiveDate>,
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

/// The days that have something to compact, by table.
pub async fn jobs(lake: &Lake, settings: &Settings, only: Option<&str>) -> Result<Vec<Job>, Error> {
    let closed = closed_before(lake.clock().now(), settings.closed_after);
    let mut jobs = Vec::new();
    // The files of `alerts` are written anew whenever one of the day changes.
    let tables = TABLES.into_iter().filter(|table| table.name != ALERTS.name);
    for table in tables.filter(|table| only.is_none_or(|only| only == table.name)) {
        let files = lake.log(table.name)?.snapshot().await?.files;
        let mut days: Vec<Option<NaiveDate>> = files.iter().map(|file| file.event_date).collect();
        days.sort_unstable();
        days.dedup();
        for day in days.into_iter().filter(|day| day.is_none_or(|day| day < closed)) {
            let inputs = inputs(&files, day);
            if !inputs.is_empty() {
                let rows = inputs.iter().filter_map(|file| file.rows).sum();
                jobs.push(Job { table, day, rows });
            }
        }
    }
    Ok(jobs)
}

/// The first day that is not closed yet.
fn closed_before(now: DateTime<Utc>, closed_after: TimeDelta) -> NaiveDate {
    // A day ends when the next begins.
    now.checked_sub_signed(closed_after).unwrap_or(DateTime::<Utc>::MIN_UTC).date_naive()
}

/// The files of a day that compaction reads: those it did not write, and those of its own that overlap them in time,
/// since only there can another copy of the same event be.
fn inputs(files: &[DataFile], day: Option<NaiveDate>) -> Vec<DataFile> {
    let is_new =
        |file: &DataFile| !file.path.rsplit('/').next().is_some_and(|name| name.starts_with(COMPACTED));
    let of_day: Vec<&DataFile> = files.iter().filter(|file| file.event_date == day).collect();
    let new: Vec<&DataFile> = of_day.iter().copied().filter(|file| is_new(file)).collect();
    if new.is_empty() {
        return Vec::new();
    }
    let bound = |time: Option<i64>, unknown: i64| time.unwrap_or(unknown);
    let from = new.iter().map(|file| bound(file.min_time, i64::MIN)).min().unwrap_or(i64::MIN);
    let to = new.iter().map(|file| bound(file.max_time, i64::MAX)).max().unwrap_or(i64::MAX);
    let overlaps =
        |file: &DataFile| bound(file.min_time, i64::MIN) <= to && from <= bound(file.max_time, i64::MAX);
    of_day.into_iter().filter(|file| is_new(file) || overlaps(file)).cloned().collect()
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
    let inputs = inputs(&snapshot.files, job.day);
    if inputs.is_empty() {
        return Ok(None);
    }
    // One sort, which spills and merges by itself: several would need a merge above them, which cannot spill.
    let limits = Limits { threads: Some(1), ..settings.limits.clone() };
    let session = Session::empty(lake, limits)?.with_batch_rows(BATCH_ROWS);
    let sorted = sorted(&session, lake, job.table, inputs.clone())?;
    let mut writer =
        DayWriter::new(log, job.day, settings.target_bytes, true, lake.clock().now().timestamp_millis());
    let merged = match merge(job, sorted, &mut writer, &mut progress).await {
        Ok(merged) => merged,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    let add = writer.finish().await?;
    let (rows, removed) = merged;
    let written: u64 = add.iter().filter_map(crate::lake::Add::rows).sum();
    let expected = log_rows(log, &inputs).await?;
    if rows != expected || written + removed.count() != rows {
        return Err(Error::Count { table: job.table.name, day: day_name(job.day), expected, found: rows });
    }
    let mut done = Compacted {
        table: job.table.name,
        day: job.day,
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

/// The rows of files by time, event id and where they come from: of two copies, always the same one comes first.
fn sorted(
    session: &Session,
    lake: &Lake,
    table: &'static Table,
    files: Vec<DataFile>,
) -> Result<DataFrame, Error> {
    let frame = session.read(lake, table, files)?;
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let stored = &table.columns[..table.columns.len() - 1];
    let keys = [table.time_column, "event_id", "object_id", "source_object", "source_row"];
    let keys = keys.into_iter().filter(|key| stored.iter().any(|column| column.name == *key));
    let order: Vec<SortExpr> = keys.map(|key| column(key).sort(true, false)).collect();
    let columns: Vec<Expr> = stored.iter().map(|stored| column(stored.name)).collect();
    let failed = |error: DataFusionError| rows_failed(Job { table, day: None, rows: 0 }, error);
    frame.select(columns).map_err(failed)?.sort(order).map_err(failed)
}

fn rows_failed(job: Job, source: DataFusionError) -> Error {
    Error::Rows { table: job.table.name, day: day_name(job.day), source: Box::new(source) }
}

/// Writes sorted rows without their duplicates; returns how many were read and which were left out.
async fn merge(
    job: Job,
    sorted: DataFrame,
    writer: &mut DayWriter<'_>,
    progress: &mut impl FnMut(u64),
) -> Result<(u64, ObjectRows), Error> {
    let failed = |error| rows_failed(job, error);
    let mut stream = sorted.execute_stream().await.map_err(failed)?;
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
        writer.write(batch).await?;
        progress(read);
    }
    reading.await.map_err(|_| crate::lake::Error::Worker)?;
    Ok((rows, duplicates.map(Duplicates::removed).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
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
                vec!["compact-1", "compact-2", "part-1"],
            ),
            (
                vec![file("compact-1", 1, 0, 9), file("compact-2", 1, 10, 19), file("part-1", 1, 12, 13)],
                vec!["compact-2", "part-1"],
            ),
        ] {
            let names: Vec<String> = inputs(&files, day)
                .iter()
                .map(|file| file.path.split(['/', '.']).nth(1).unwrap().to_owned())
                .collect();
            assert_eq!(names, expected);
        }
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
