//! Rows into Parquet files: split by day, sorted by time, with the statistics of the log.
//!
//! Must never touch the store: bytes only, so that it can run on any thread.

mod bits;
mod column;
mod compress;
mod days;
mod frame;
mod order;
mod pages;
mod text;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, NaiveDate};
use object_store::PutPayload;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnDescPtr, ColumnPath};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use super::Error;
use super::action::Add;
use super::ledger::day;
use super::tables::OBJECTS;
use crate::decode::columns::{Kind, Table};
use column::{Rows, Wanted};
use compress::Repeats;
use order::{Run, Sorted};
use pages::Chunk;

/// Columns people hunt by, which get a Bloom filter where the table has them.
const BLOOM_COLUMNS: [&str; 5] = ["event_id", "access_key_id", "source_ip_address", "srcaddr", "dstaddr"];

/// A Parquet file that is not stored yet.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// The partition.
    pub event_date: Option<NaiveDate>,
    /// The file's content.
    pub content: PutPayload,
    /// How many rows.
    pub rows: usize,
    /// What the names of such files say of their rows.
    mark: &'static str,
    stats: String,
    sha256: String,
}

impl EncodedFile {
    /// A new unique path below the table's directory.
    pub fn new_path(&self) -> String {
        let day = self.event_date.map_or("__HIVE_DEFAULT_PARTITION__".to_owned(), |day| day.to_string());
        format!("event_date={day}/part-{}{}.parquet", self.mark, uuid::Uuid::new_v4())
    }

    /// The action that adds the file at a path.
    pub fn add(&self, path: &str, at_millis: i64) -> Add {
        let day = self.event_date.map_or(Value::Null, |day| json!(day.to_string()));
        Add {
            path: path.to_owned(),
            partition_values: Map::from_iter([("event_date".to_owned(), day)]),
            size: self.content.content_length() as u64,
            modification_time: at_millis,
            data_change: true,
            stats: Some(self.stats.clone()),
            tags: Some(Add::tags_of(&self.sha256)),
        }
    }
}

/// Rows of a row group, at most.
const ROW_GROUP_ROWS: usize = 256 << 10;

/// Some rows of a batch.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The batch: columns in the order of its table, text as strings or as dictionaries of them.
    pub batch: &'a RecordBatch,
    /// Which of its rows.
    pub rows: Range<usize>,
}

/// Encodes batches of a table into one file per day.
pub fn encode(table: &'static Table, batches: &[RecordBatch]) -> Result<Vec<EncodedFile>, Error> {
    let parts: Vec<Part> = batches.iter().map(|batch| Part { batch, rows: 0..batch.num_rows() }).collect();
    encode_parts(table, &parts)
}

/// Encodes rows of batches of a table into one file per day.
pub fn encode_parts(table: &'static Table, parts: &[Part]) -> Result<Vec<EncodedFile>, Error> {
    let (days, batches) = days::of_parts(parts);
    let of_day = |(day, mut runs): (Option<i32>, Vec<Run>)| {
        let sources = days::sources_of(&mut runs, &batches).map_err(|error| Error::table(table, error))?;
        let sources: Vec<&RecordBatch> = sources.iter().map(AsRef::as_ref).collect();
        encode_day(table, day, &runs, &sources)
    };
    days.into_iter().map(of_day).collect()
}

/// Writes the rows of one day in the order of their time, each column by itself.
fn encode_day(
    table: &'static Table,
    day: Option<i32>,
    runs: &[Run],
    sources: &[&RecordBatch],
) -> Result<EncodedFile, Error> {
    let failed = |error: ParquetError| Error::table(table, error);
    let time_index = table.index_of(table.time_column).unwrap_or(0);
    let times: Vec<&TimestampMicrosecondArray> =
        sources.iter().map(|batch| batch.column(time_index).as_primitive()).collect();
    let Sorted { places, untimed, bounds } = order::sort(runs, &times);
    // The partition column is in the path and the log, not in the file.
    let stored = table.columns.len() - 1;
    let columns: Vec<usize> = (0..stored).collect();
    let schema = table.schema().project(&columns).map_err(|error| Error::table(table, error))?;
    let schema = ArrowSchemaConverter::new().convert(&schema).map_err(failed)?;
    let rows = Rows::new(runs, &places, ROW_GROUP_ROWS);
    let groups = places.len().div_ceil(ROW_GROUP_ROWS);
    let chunks: Result<Vec<Vec<Chunk>>, ParquetError> = columns
        .par_iter()
        .map_init(Compressor::default, |compressor, index| {
            Repeats::of(table.columns[*index].kind).set(compressor)?;
            let arrays: Vec<&ArrayRef> = sources.iter().map(|batch| batch.column(*index)).collect();
            column::encode(&arrays, &rows, &wanted(table, *index, schema.column(*index)), compressor)
        })
        .collect();
    let mut chunks: Vec<_> = chunks.map_err(failed)?.into_iter().map(Vec::into_iter).collect();
    let groups = (0..groups).map(|_| chunks.iter_mut().filter_map(Iterator::next).collect()).collect();
    let parts = frame::file(&schema, properties(table).build(), groups).map_err(failed)?;
    let mut sha256 = Sha256::new();
    for part in &parts {
        sha256.update(part);
    }
    Ok(EncodedFile {
        event_date: day.and_then(NaiveDate::from_epoch_days),
        sha256: hex(&sha256.finalize()),
        content: parts.into_iter().collect(),
        rows: places.len(),
        mark: mark(table),
        stats: statistics(table, places.len(), untimed, bounds),
    })
}

/// What the names of files of a table say of their rows: those of `objects`, that their partition is the day of their
/// keys by this version's reading. Whoever writes them sees to it.
pub(super) fn mark(table: &Table) -> &'static str {
    if table.name == OBJECTS.name { day::RULE } else { "" }
}

fn wanted(table: &Table, index: usize, of: ColumnDescPtr) -> Wanted {
    let column = &table.columns[index];
    Wanted {
        column: of,
        // The bounds of JSON text prune nothing.
        bounds: column.kind != Kind::Json,
        bloom_filter: BLOOM_COLUMNS.contains(&column.name),
        grows: column.name == table.time_column || column.kind == Kind::SourceRow,
    }
}

/// How files of a table are written: in whose order, and by whom.
pub(super) fn properties(table: &Table) -> WriterPropertiesBuilder {
    let sorting = SortingColumn {
        column_idx: table
            .index_of(table.time_column)
            .and_then(|index| i32::try_from(index).ok())
            .unwrap_or(0),
        descending: false,
        nulls_first: false,
    };
    WriterProperties::builder()
        .set_sorting_columns(Some(vec![sorting]))
        // In the form of the specification: readers that cannot parse it refuse files with differences of texts.
        .set_created_by(concat!("trailhound version ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// The same for a writer that encodes the columns itself: what each of them is to have, for so many rows.
pub(super) fn column_properties(table: &Table, rows: usize) -> WriterPropertiesBuilder {
    let mut properties = properties(table)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page);
    for column in table.columns {
        let path = ColumnPath::from(column.name);
        if column.kind == Kind::Json {
            // JSON text hardly repeats and its bounds prune nothing.
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
        } else if BLOOM_COLUMNS.contains(&column.name) {
            let distinct = u64::try_from(rows.clamp(1, ROW_GROUP_ROWS)).unwrap_or(1);
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path, distinct);
        }
    }
    properties
}

/// The statistics of an `add` action: the number of rows and the bounds of the time column.
pub(super) fn statistics(table: &Table, rows: usize, nulls: usize, bounds: Option<(i64, i64)>) -> String {
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

#[cfg(test)]
mod tests;
