//! Rows into Parquet files: split by day, sorted by time, with the statistics of the log.
//!
//! Must never touch the store: bytes only, so that it can run on any thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Error;
use super::log::Add;
use crate::decode::columns::{Kind, Table};

/// Columns people hunt by, which get a Bloom filter where the table has them.
const BLOOM_COLUMNS: [&str; 5] = ["event_id", "access_key_id", "source_ip_address", "srcaddr", "dstaddr"];

/// A Parquet file that is not stored yet.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// The partition.
    pub event_date: Option<NaiveDate>,
    /// The file's content.
    pub bytes: Bytes,
    /// How many rows.
    pub rows: usize,
    stats: String,
    sha256: String,
}

impl EncodedFile {
    /// A new unique path below the table's directory.
    pub fn new_path(&self) -> String {
        let day = self.event_date.map_or("__HIVE_DEFAULT_PARTITION__".to_owned(), |day| day.to_string());
        format!("event_date={day}/part-{}.parquet", uuid::Uuid::new_v4())
    }

    /// The action that adds the file at a path.
    pub fn add(&self, path: &str, at_millis: i64) -> Add {
        let day = self.event_date.map_or(Value::Null, |day| json!(day.to_string()));
        Add {
            path: path.to_owned(),
            partition_values: Map::from_iter([("event_date".to_owned(), day)]),
            size: self.bytes.len() as u64,
            modification_time: at_millis,
            data_change: true,
            stats: Some(self.stats.clone()),
            tags: Some(Add::tags_of(&self.sha256)),
        }
    }
}

/// Rows that are gathered and written at once: few enough to stay in the processor's cache.
const ROWS_AT_ONCE: usize = 1024;

/// Where a row is: which batch, and its number there; before it the time it is sorted by, nulls last.
type Place = ((bool, i64), (usize, usize));

/// Batches of fewer rows are joined first: gathering from very many costs more than the copy.
const LEAST_ROWS: usize = 8192;

/// Joins small batches that follow one another.
fn join_small(table: &'static Table, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, Error> {
    let mut joined = Vec::new();
    let (mut start, mut rows) = (0, 0);
    for (at, batch) in batches.iter().enumerate() {
        rows += batch.num_rows();
        if rows >= LEAST_ROWS || at + 1 == batches.len() {
            let whole = concat_batches(&table.schema(), &batches[start..=at]);
            joined.push(whole.map_err(|error| Error::table(table, error))?);
            (start, rows) = (at + 1, 0);
        }
    }
    Ok(joined)
}

/// Encodes batches of a table's schema into one file per day.
pub fn encode(table: &'static Table, batches: &[RecordBatch]) -> Result<Vec<EncodedFile>, Error> {
    let batches = join_small(table, batches)?;
    let time_index = table.index_of(table.time_column).unwrap_or(0);
    let mut days: BTreeMap<Option<i32>, Vec<Place>> = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        let times = batch.column(time_index).as_primitive::<TimestampMicrosecondType>();
        let dates: &Date32Array = batch.column(batch.num_columns() - 1).as_primitive::<Date32Type>();
        for (row, (time, date)) in times.iter().zip(dates.iter()).enumerate() {
            let place = ((time.is_none(), time.unwrap_or(0)), (number, row));
            days.entry(date).or_default().push(place);
        }
    }
    // The partition column is in the path and the log, not in the file.
    let columns: Vec<usize> = (0..table.columns.len() - 1).collect();
    let stored = batches.iter().map(|batch| batch.project(&columns));
    let stored: Vec<RecordBatch> =
        stored.collect::<Result<_, _>>().map_err(|error| Error::table(table, error))?;
    days.into_iter().map(|(day, places)| encode_day(table, day, places, &stored)).collect()
}

/// Writes the rows of one day in the order of their time, gathered a few at a time from where they are.
fn encode_day(
    table: &'static Table,
    day: Option<i32>,
    mut places: Vec<Place>,
    stored: &[RecordBatch],
) -> Result<EncodedFile, Error> {
    let failed = |error: parquet::errors::ParquetError| Error::table(table, error);
    places.sort_unstable();
    let time_index = table.index_of(table.time_column).unwrap_or(0);
    let schema = stored.first().map_or_else(|| table.schema(), RecordBatch::schema);
    let properties = properties(table, places.len(), time_index).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(failed)?;
    let sources: Vec<&RecordBatch> = stored.iter().collect();
    let mut indices = Vec::with_capacity(ROWS_AT_ONCE);
    for chunk in places.chunks(ROWS_AT_ONCE) {
        indices.clear();
        indices.extend(chunk.iter().map(|(_, place)| *place));
        let rows = interleave_record_batch(&sources, &indices).map_err(|error| Error::table(table, error))?;
        writer.write(&rows).map_err(failed)?;
    }
    let bytes = Bytes::from(writer.into_inner().map_err(failed)?);
    Ok(EncodedFile {
        event_date: day.and_then(NaiveDate::from_epoch_days),
        sha256: hex(&Sha256::digest(&bytes)),
        bytes,
        rows: places.len(),
        stats: statistics(table, &places),
    })
}

/// How files of a table are written.
pub(super) fn properties(table: &Table, rows: usize, time_index: usize) -> WriterPropertiesBuilder {
    let sorting = SortingColumn {
        column_idx: i32::try_from(time_index).unwrap_or(0),
        descending: false,
        nulls_first: false,
    };
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(256 * 1024))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(vec![sorting]))
        .set_created_by(concat!("trailhound ", env!("CARGO_PKG_VERSION")).to_owned());
    for column in table.columns {
        let path = ColumnPath::from(column.name);
        if column.kind == Kind::Json {
            // JSON text hardly repeats and its bounds prune nothing.
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
        } else if BLOOM_COLUMNS.contains(&column.name) {
            let distinct = u64::try_from(rows.clamp(1, 256 * 1024)).unwrap_or(1);
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path, distinct);
        }
    }
    properties
}

/// The statistics of an `add` action for rows sorted by time, those without one last.
fn statistics(table: &Table, sorted: &[Place]) -> String {
    let nulls = sorted.iter().rev().take_while(|((is_null, _), _)| *is_null).count();
    let timed = &sorted[..sorted.len() - nulls];
    let bounds = timed.first().zip(timed.last()).map(|(((_, first), _), ((_, last), _))| (*first, *last));
    statistics_text(table, sorted.len(), nulls, bounds)
}

/// The statistics of an `add` action: the number of rows and the bounds of the time column.
pub(super) fn statistics_text(
    table: &Table,
    rows: usize,
    nulls: usize,
    bounds: Option<(i64, i64)>,
) -> String {
    let mut minimum = Map::new();
    let mut maximum = Map::new();
    let text = |micros: i64| {
        let time = DateTime::from_timestamp_micros(micros)?;
        Some(json!(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
    };
    if let Some((low, high)) = bounds.and_then(|(low, high)| Some((text(low)?, text(high)?))) {
        minimum.insert(table.time_column.to_owned(), low);
        maximum.insert(table.time_column.to_owned(), high);
    }
    json!({
        "numRecords": rows,
        "minValues": minimum,
        "maxValues": maximum,
        "nullCount": { table.time_column: nulls },
    })
    .to_string()
}

/// A hash as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Builds a batch from columns in table order.
pub fn batch(table: &'static Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    RecordBatch::try_new(Arc::clone(&table.schema()), columns).map_err(|error| Error::table(table, error))
}
