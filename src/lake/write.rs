//! Writing the rows of one day as a stream: files of bounded size, sent to the store while they grow.
//!
//! Must never hold more of a file in memory than a row group and the parts under way.

use arrow::array::{Array, AsArray};
use arrow::compute::{max, min};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono::NaiveDate;
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::action::Add;
use super::file::{column_properties, hex, mark, statistics};
use super::log::TableLog;
use super::tables::OBJECTS;
use super::{Error, on_cpu};
use crate::decode::columns::{Kind, Table};

/// How the names of files begin that hold sorted rows of a day without duplicates.
pub const COMPACTED: &str = "compact-";
/// How the names of files begin that hold the sorted rows of about an hour: they are not compacted again before their
/// day is.
pub const HOURLY: &str = "hour-";
/// How the names of other files begin.
const PLAIN: &str = "part-";

/// How the name of a file begins that takes the place of another: what was done to its rows is still so.
pub fn prefix_of(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    [COMPACTED, HOURLY].into_iter().find(|prefix| name.starts_with(prefix)).unwrap_or(PLAIN)
}
/// A part of an upload. S3 takes ten thousand: files of 80 GB.
const PART_BYTES: usize = 8 << 20;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 4;
/// The compression level of files that are written once and read for years; see `benches/README.md`.
const ZSTD_LEVEL: i32 = 6;
/// Sorted by time, the rows of a row group are of many principals and objects: with the usual dictionary of 1 MiB
/// their columns fall back to plain text, and compacted files were larger than those they were made of.
const DICTIONARY_BYTES: usize = 4 << 20;
/// The column files of `objects` are sorted by.
const KEY: &str = "key";
/// Columns of `objects` that hold hexadecimal digits of hashes.
const HEX_COLUMNS: [&str; 4] = ["object_id", "etag", "version_id", "sha256"];
/// The compression level of such digits: higher ones find repetitions by chance, which cost more than they save.
const HEX_LEVEL: i32 = 1;
/// The compression level of keys, of which only the ends are written: 13.8 bytes each at level 6.
const KEY_LEVEL: i32 = 9;
/// Rows of a page of `objects`: one is read to look for an object.
const KEY_PAGE_ROWS: usize = 8 << 10;
/// Columns of which every row has a value of its own: a dictionary would only cost.
const DISTINCT_COLUMNS: [&str; 2] = ["event_id", "request_id"];

/// Writes rows of one day, in the order they come, to files that no commit names yet.
pub struct DayWriter<'a> {
    log: &'a TableLog,
    day: Option<NaiveDate>,
    target_bytes: usize,
    prefix: &'static str,
    now_millis: i64,
    open: Option<OpenFile>,
    done: Vec<Add>,
}

/// A file that grows.
struct OpenFile {
    path: String,
    encoder: Option<ArrowWriter<Vec<u8>>>,
    upload: WriteMultipart,
    hash: Sha256,
    size: u64,
    rows: usize,
    nulls: usize,
    bounds: Option<(i64, i64)>,
}

impl<'a> DayWriter<'a> {
    /// A writer of files of about `target_bytes`, with names that begin with `prefix`. The day of rows of `objects` is
    /// that of their keys.
    pub fn new(
        log: &'a TableLog,
        day: Option<NaiveDate>,
        target_bytes: u64,
        prefix: &'static str,
        now_millis: i64,
    ) -> Self {
        let target_bytes = usize::try_from(target_bytes).unwrap_or(usize::MAX);
        DayWriter { log, day, target_bytes, prefix, now_millis, open: None, done: Vec::new() }
    }

    /// Writes rows; their columns are those of the table without the partition column.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<(), Error> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(batch.schema()).await?,
        };
        let written = open.write(self.log.table(), batch).await;
        match written {
            Ok(size) if size >= self.target_bytes => self.end(open).await,
            Ok(_) => {
                self.open = Some(open);
                Ok(())
            }
            Err(error) => {
                open.abort().await;
                Err(error)
            }
        }
    }

    /// Ends the last file and returns the actions that add all of them.
    pub async fn finish(mut self) -> Result<Vec<Add>, Error> {
        if let Some(open) = self.open.take() {
            self.end(open).await?;
        }
        Ok(self.done)
    }

    /// Gives up the file that is open; those that are complete stay as orphans, since no commit will name them.
    pub async fn abort(mut self) {
        if let Some(open) = self.open.take() {
            open.abort().await;
        }
    }

    async fn begin(&mut self, schema: SchemaRef) -> Result<OpenFile, Error> {
        let table = self.log.table();
        let day = self.day.map_or("__HIVE_DEFAULT_PARTITION__".to_owned(), |day| day.to_string());
        let path = format!("event_date={day}/{}{}{}.parquet", self.prefix, mark(table), uuid::Uuid::new_v4());
        let properties = compacted_properties(table).map_err(|error| Error::table(table, error))?.build();
        // Engines that do not know string views would be told of them by Arrow's own schema.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let encoder = ArrowWriter::try_new_with_options(Vec::new(), schema, options)
            .map_err(|error| Error::table(table, error))?;
        let upload = self.log.store().put_multipart(&Path::from(path.as_str())).await;
        let upload = upload.map_err(|error| Error::table(table, error))?;
        Ok(OpenFile {
            path,
            encoder: Some(encoder),
            upload: WriteMultipart::new_with_chunk_size(upload, PART_BYTES),
            hash: Sha256::new(),
            size: 0,
            rows: 0,
            nulls: 0,
            bounds: None,
        })
    }

    async fn end(&mut self, open: OpenFile) -> Result<(), Error> {
        let day = self.day.map_or(Value::Null, |day| json!(day.to_string()));
        let table = self.log.table();
        let (path, stats) = (open.path.clone(), statistics(table, open.rows, open.nulls, open.bounds));
        let (size, sha256) = open.finish(table).await?;
        self.done.push(Add {
            path,
            partition_values: Map::from_iter([("event_date".to_owned(), day)]),
            size,
            modification_time: self.now_millis,
            data_change: true,
            stats: Some(stats),
            tags: Some(Add::tags_of(&sha256)),
        });
        Ok(())
    }
}

/// How files are written that are written once and read for years.
fn compacted_properties(table: &Table) -> Result<WriterPropertiesBuilder, ParquetError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL)?;
    let mut properties = column_properties(table, usize::MAX)
        .set_compression(Compression::ZSTD(level))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES);
    for column in DISTINCT_COLUMNS {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    if table.name == OBJECTS.name { sorted_by_key(table, properties) } else { Ok(properties) }
}

/// Files of `objects` are sorted by key: their pages are found by it, and what is alike stands together.
fn sorted_by_key(
    table: &Table,
    mut properties: WriterPropertiesBuilder,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    let keys = Compression::ZSTD(ZstdLevel::try_new(KEY_LEVEL)?);
    let digits = Compression::ZSTD(ZstdLevel::try_new(HEX_LEVEL)?);
    let index = table.index_of(KEY).and_then(|index| i32::try_from(index).ok()).unwrap_or(0);
    let sorting = SortingColumn { column_idx: index, descending: false, nulls_first: false };
    for column in table.columns {
        let path = ColumnPath::from(column.name);
        // In the order of keys, the bounds of a page of any other column are those of the file.
        if column.name != KEY {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk);
        }
        let encoding = match column.kind {
            _ if column.name == KEY => {
                properties = properties.set_column_compression(path.clone(), keys);
                Encoding::DELTA_BYTE_ARRAY
            }
            _ if HEX_COLUMNS.contains(&column.name) => {
                properties = properties.set_column_compression(path.clone(), digits);
                // Without the lengths between them, digits take four bits each.
                Encoding::DELTA_LENGTH_BYTE_ARRAY
            }
            Kind::Int64 | Kind::Timestamp => Encoding::DELTA_BINARY_PACKED,
            _ => continue,
        };
        properties =
            properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
    }
    Ok(properties
        .set_sorting_columns(Some(vec![sorting]))
        .set_data_page_row_count_limit(KEY_PAGE_ROWS)
        // Keys differ late: bounds that are cut would be those of many pages.
        .set_column_index_truncate_length(None))
}

impl OpenFile {
    /// Encodes rows; returns about how large the file would be if it ended here.
    async fn write(&mut self, table: &'static Table, batch: RecordBatch) -> Result<usize, Error> {
        self.note_times(table, &batch);
        let mut encoder = self.encoder.take().ok_or(Error::Worker)?;
        let (encoder, bytes) = on_cpu(move || {
            let written = encoder.write(&batch);
            let bytes = std::mem::take(encoder.inner_mut());
            written.map(|()| (encoder, bytes))
        })
        .await?
        .map_err(|error| Error::table(table, error))?;
        let size = encoder.bytes_written() + encoder.in_progress_size();
        self.encoder = Some(encoder);
        self.send(table, bytes).await?;
        Ok(size)
    }

    fn note_times(&mut self, table: &Table, batch: &RecordBatch) {
        self.rows += batch.num_rows();
        let Some(column) = batch.column_by_name(table.time_column) else { return };
        let times = column.as_primitive::<TimestampMicrosecondType>();
        self.nulls += times.null_count();
        if let (Some(low), Some(high)) = (min(times), max(times)) {
            let (lowest, highest) = self.bounds.unwrap_or((low, high));
            self.bounds = Some((lowest.min(low), highest.max(high)));
        }
    }

    async fn send(&mut self, table: &'static Table, bytes: Vec<u8>) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.size += bytes.len() as u64;
        let bytes = Bytes::from(bytes);
        let (mut hash, hashed) = (std::mem::take(&mut self.hash), bytes.clone());
        self.hash = on_cpu(move || {
            hash.update(&hashed);
            hash
        })
        .await?;
        self.upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(|error| Error::table(table, error))?;
        self.upload.put(bytes);
        Ok(())
    }

    async fn finish(mut self, table: &'static Table) -> Result<(u64, String), Error> {
        let encoder = self.encoder.take().ok_or(Error::Worker)?;
        let last = on_cpu(move || encoder.into_inner()).await?.map_err(|error| Error::table(table, error));
        let sent = match last {
            Ok(bytes) => self.send(table, bytes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            self.abort().await;
            return Err(error);
        }
        let OpenFile { upload, hash, size, .. } = self;
        upload.finish().await.map_err(|error| Error::table(table, error))?;
        Ok((size, hex(&hash.finalize())))
    }

    async fn abort(self) {
        // What stays behind is not in the table; the store's own rules clean up unfinished uploads.
        if let Err(error) = self.upload.abort().await {
            tracing::debug!(path = self.path, %error, "an upload could not be given up");
        }
    }
}
