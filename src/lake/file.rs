//! Rows into Parquet files: split by day, sorted by time, with the statistics of the log.
//!
//! Must never touch the store: bytes only, so that it can run on any thread.

mod bits;
mod column;
mod pages;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use super::Error;
use super::action::Add;
use super::ledger::day;
use super::tables::OBJECTS;
use crate::decode::columns::{Kind, Table};
use column::Wanted;
use pages::{Chunk, Pages};

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
            size: self.bytes.len() as u64,
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

/// Where a row is: which batch, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    source: u32,
    row: u32,
}

/// A row, after the time it is sorted by.
type Place = (i64, Row);

/// The time of rows that have none, which puts them last.
const NO_TIME: i64 = i64::MAX;

/// Encodes batches of a table into one file per day.
pub fn encode(table: &'static Table, batches: &[RecordBatch]) -> Result<Vec<EncodedFile>, Error> {
    let parts: Vec<Part> = batches.iter().map(|batch| Part { batch, rows: 0..batch.num_rows() }).collect();
    encode_parts(table, &parts)
}

/// Encodes rows of batches of a table into one file per day.
pub fn encode_parts(table: &'static Table, parts: &[Part]) -> Result<Vec<EncodedFile>, Error> {
    let time_index = table.index_of(table.time_column).unwrap_or(0);
    let mut sources: Vec<&RecordBatch> = Vec::new();
    let mut numbers: HashMap<*const RecordBatch, u32> = HashMap::new();
    let mut days: BTreeMap<Option<i32>, Vec<Place>> = BTreeMap::new();
    for Part { batch, rows } in parts {
        // Objects share batches, and those of several batches may come in turns.
        let source = *numbers.entry(std::ptr::from_ref(*batch)).or_insert_with(|| {
            sources.push(batch);
            narrow(sources.len() - 1)
        });
        let times = batch.column(time_index).as_primitive::<TimestampMicrosecondType>();
        let dates: &Date32Array = batch.column(batch.num_columns() - 1).as_primitive::<Date32Type>();
        let mut rows = rows.clone().peekable();
        while let Some(first) = rows.peek() {
            let day = (!dates.is_null(*first)).then(|| dates.value(*first));
            let is_same = |row: &usize| (!dates.is_null(*row)).then(|| dates.value(*row)) == day;
            let places = days.entry(day).or_default();
            while let Some(row) = rows.next_if(is_same) {
                let time = if times.is_null(row) { NO_TIME } else { times.value(row) };
                places.push((time, Row { source, row: narrow(row) }));
            }
        }
    }
    days.into_iter().map(|(day, places)| encode_day(table, day, places, &sources)).collect()
}

/// Batches and their rows are counted in 31 bits: Arrow's offsets have no more.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The bits of a sort key that hold where a row was before.
const PLACE_BITS: u32 = 24;

/// Sorts rows, which come in the order of their batches, by their time.
fn sort(places: &mut Vec<Place>) {
    let timed = || places.iter().map(|(time, _)| *time).filter(|time| *time != NO_TIME);
    let (first, last) = (timed().min().unwrap_or(0), timed().max().unwrap_or(0));
    // A day has 2^37 microseconds: time and place fit into one number, which is quicker to compare.
    let span = last.abs_diff(first).saturating_add(1);
    if span >= 1 << (u64::BITS - PLACE_BITS) || places.len() > 1 << PLACE_BITS {
        return places.sort_by_key(|(time, _)| *time);
    }
    let key = |(place, (time, _)): (u64, &Place)| {
        let time = if *time == NO_TIME { span } else { time.abs_diff(first) };
        time << PLACE_BITS | place
    };
    let mut keys: Vec<u64> = (0..).zip(places.iter()).map(key).collect();
    keys.sort_unstable();
    let place = |key: &u64| usize::try_from(key & ((1 << PLACE_BITS) - 1)).unwrap_or(usize::MAX);
    *places = keys.iter().map(|key| places[place(key)]).collect();
}

/// Writes the rows of one day in the order of their time, each column by itself.
fn encode_day(
    table: &'static Table,
    day: Option<i32>,
    mut places: Vec<Place>,
    sources: &[&RecordBatch],
) -> Result<EncodedFile, Error> {
    let failed = |error: ParquetError| Error::table(table, error);
    sort(&mut places);
    let rows: Vec<Row> = places.iter().map(|(_, row)| *row).collect();
    // The partition column is in the path and the log, not in the file.
    let stored = table.columns.len() - 1;
    let columns: Vec<usize> = (0..stored).collect();
    let schema = table.schema().project(&columns).map_err(|error| Error::table(table, error))?;
    let schema = ArrowSchemaConverter::new().convert(&schema).map_err(failed)?;
    let properties = properties(table);
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), properties.build().into())
            .map_err(failed)?;
    for rows in rows.chunks(ROW_GROUP_ROWS) {
        let chunks: Result<Vec<Chunk>, ParquetError> = columns
            .par_iter()
            .map_init(Compressor::default, |compressor, index| {
                compressor.set_compression_level(COMPRESSION_LEVEL)?;
                let arrays: Vec<&ArrayRef> = sources.iter().map(|batch| batch.column(*index)).collect();
                let pages = Pages::new(schema.column(*index), compressor);
                let of = schema.column(*index).physical_type();
                column::encode(&arrays, rows, wanted(table, *index, of), pages)
            })
            .collect();
        let chunks = chunks.map_err(failed)?;
        writer.inner_mut().reserve(chunks.iter().map(|chunk| chunk.bytes.len()).sum());
        let mut group = writer.next_row_group().map_err(failed)?;
        for chunk in chunks {
            group.append_column(&chunk.bytes, chunk.close).map_err(failed)?;
        }
        group.close().map_err(failed)?;
    }
    let bytes = Bytes::from(writer.into_inner().map_err(failed)?);
    Ok(EncodedFile {
        event_date: day.and_then(NaiveDate::from_epoch_days),
        sha256: hex(&Sha256::digest(&bytes)),
        bytes,
        rows: places.len(),
        mark: mark(table),
        stats: statistics(table, &places),
    })
}

/// What the names of files of a table say of their rows: those of `objects`, that their partition is the day of their
/// keys by this version's reading. Whoever writes them sees to it.
pub(super) fn mark(table: &Table) -> &'static str {
    if table.name == OBJECTS.name { day::RULE } else { "" }
}

/// The level of zstd for files that compaction will write again.
const COMPRESSION_LEVEL: i32 = 1;

fn wanted(table: &Table, index: usize, of: Type) -> Wanted {
    let column = &table.columns[index];
    Wanted {
        // The bounds of JSON text prune nothing.
        bounds: column.kind != Kind::Json,
        bloom_filter: BLOOM_COLUMNS.contains(&column.name),
        of,
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
        .set_created_by(concat!("trailhound ", env!("CARGO_PKG_VERSION")).to_owned())
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

/// The statistics of an `add` action for rows sorted by time, those without one last.
fn statistics(table: &Table, sorted: &[Place]) -> String {
    let nulls = sorted.iter().rev().take_while(|(time, _)| *time == NO_TIME).count();
    let timed = &sorted[..sorted.len() - nulls];
    let bounds = timed.first().zip(timed.last()).map(|((first, _), (last, _))| (*first, *last));
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

#[cfg(test)]
mod tests;
