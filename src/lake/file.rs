//! Rows into Parquet files: split by day, sorted by time, with the statistics of the log.
//!
//! Must never touch the store: bytes only, so that it can run on any thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, UInt32Array};
use arrow::compute::{SortOptions, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};

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
        }
    }
}

/// Encodes batches of a table's schema into one file per day.
pub fn encode(table: &'static Table, batches: &[RecordBatch]) -> Result<Vec<EncodedFile>, Error> {
    let mut days: BTreeMap<Option<i32>, Vec<RecordBatch>> = BTreeMap::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        for (day, part) in split_by_day(table, batch)? {
            days.entry(day).or_default().push(part);
        }
    }
    days.into_iter().map(|(day, parts)| encode_day(table, day, &parts)).collect()
}

/// The rows of a batch by the day of their partition column; one day is the usual case and costs nothing.
fn split_by_day(table: &Table, batch: &RecordBatch) -> Result<Vec<(Option<i32>, RecordBatch)>, Error> {
    let days: &Date32Array = batch.column(batch.num_columns() - 1).as_primitive::<Date32Type>();
    let mut rows: BTreeMap<Option<i32>, Vec<u32>> = BTreeMap::new();
    for (row, day) in (0_u32..).zip(days.iter()) {
        rows.entry(day).or_default().push(row);
    }
    if let (1, Some((day, _))) = (rows.len(), rows.first_key_value()) {
        return Ok(vec![(*day, batch.clone())]);
    }
    let part = |(day, rows): (Option<i32>, Vec<u32>)| {
        let part =
            take_record_batch(batch, &UInt32Array::from(rows)).map_err(|error| Error::table(table, error))?;
        Ok((day, part))
    };
    rows.into_iter().map(part).collect()
}

fn encode_day(table: &'static Table, day: Option<i32>, parts: &[RecordBatch]) -> Result<EncodedFile, Error> {
    let failed = |error| Error::table(table, error);
    let whole = concat_batches(&table.schema(), parts).map_err(failed)?;
    // The partition column is in the path and the log, not in the file.
    let columns: Vec<usize> = (0..whole.num_columns() - 1).collect();
    let whole = whole.project(&columns).map_err(failed)?;
    let time_index = table.index_of(table.time_column).unwrap_or(0);
    let ascending = SortOptions { descending: false, nulls_first: false };
    let order = sort_to_indices(whole.column(time_index), Some(ascending), None).map_err(failed)?;
    let sorted = take_record_batch(&whole, &order).map_err(failed)?;
    let bytes = write(table, &sorted, time_index)?;
    Ok(EncodedFile {
        event_date: day.and_then(NaiveDate::from_epoch_days),
        bytes: Bytes::from(bytes),
        rows: sorted.num_rows(),
        stats: statistics(table, &sorted, time_index),
    })
}

fn write(table: &'static Table, batch: &RecordBatch, time_index: usize) -> Result<Vec<u8>, Error> {
    let failed = |error: parquet::errors::ParquetError| Error::table(table, error);
    let mut writer = ArrowWriter::try_new(
        Vec::new(),
        batch.schema(),
        Some(properties(table, batch.num_rows(), time_index)),
    )
    .map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

fn properties(table: &Table, rows: usize, time_index: usize) -> WriterProperties {
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
    properties.build()
}

/// The statistics of an `add` action: the number of rows and the bounds of the time column.
fn statistics(table: &Table, batch: &RecordBatch, time_index: usize) -> String {
    let times: &ArrayRef = batch.column(time_index);
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let mut minimum = Map::new();
    let mut maximum = Map::new();
    let text = |micros: Option<i64>| {
        let time = DateTime::from_timestamp_micros(micros?)?;
        Some(json!(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
    };
    if let (Some(low), Some(high)) = (text(arrow::compute::min(times)), text(arrow::compute::max(times))) {
        minimum.insert(table.time_column.to_owned(), low);
        maximum.insert(table.time_column.to_owned(), high);
    }
    let nulls = json!({ table.time_column: times.null_count() });
    json!({
        "numRecords": batch.num_rows(),
        "minValues": minimum,
        "maxValues": maximum,
        "nullCount": nulls,
    })
    .to_string()
}

/// Builds a batch from columns in table order.
pub fn batch(table: &'static Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    RecordBatch::try_new(Arc::clone(&table.schema()), columns).map_err(|error| Error::table(table, error))
}
