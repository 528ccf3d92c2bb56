//! Flow logs delivered as Parquet: the columns of the file by name, into the columns of the table.
//!
//! The file is written by others, so nothing it says of itself is believed: what it claims is held against its bytes
//! before the reader makes room for it, an Arrow schema inside it is ignored, and a panic of the reader is an error of
//! the object. Must never lose a value: what has no column, or does not fit its column, is kept in `other_fields`, as
//! text.
//!
//! Columns are named as in the text form, with underscores (`account_id`). Which null a writer uses where a field
//! does not apply is not documented, so a null and the text `-` count alike.

mod footer;
mod pages;
mod thrift;

use std::any::Any;
use std::cell::Cell;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

use super::header::{self, Header};
use super::rows::integer;
use crate::decode::columns::Kind;
use crate::decode::time::{event_date, from_unix_seconds};
use crate::decode::{Decoded, Error, ErrorKind};
use footer::Footer;

/// How many rows are read at a time.
const BATCH_ROWS: usize = 8192;

/// Whether the bytes claim to be a Parquet file.
pub fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1")
}

/// Decodes a Parquet file of flow logs, whose decompressed content may take `limit_bytes`; none when its columns are
/// not those of flow logs.
pub fn decode(bytes: &[u8], limit_bytes: usize, source_object: &str) -> Result<Option<Decoded>, Error> {
    let bytes = Bytes::copy_from_slice(bytes);
    // The reader was written for files that are well meant; one that is not must cost its own object at most.
    IS_READING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| read(bytes, limit_bytes, source_object)));
    IS_READING.set(false);
    outcome.unwrap_or_else(|panic| Err(corrupt(format!("the reader gave up: {}", words(&*panic)))))
}

thread_local! {
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread is caught and becomes an error of its file, which is then the place to tell it.
pub fn is_reading() -> bool {
    IS_READING.get()
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

fn corrupt(what: impl std::fmt::Display) -> Error {
    ErrorKind::Shape(format!("corrupt Parquet: {what}")).nowhere()
}

fn read(bytes: Bytes, limit_bytes: usize, source_object: &str) -> Result<Option<Decoded>, Error> {
    let footer = Footer::read(&bytes).map_err(corrupt)?;
    let names: Vec<String> = footer.names().map(|name| name.replace('_', "-")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(table) = header::table_of(&names) else { return Ok(None) };
    header::check_names(&names).map_err(|what| ErrorKind::Shape(what).nowhere())?;
    let metadata = Arc::new(footer.metadata(bytes.len()).map_err(corrupt)?);
    pages::check(&bytes, &metadata, limit_bytes).map_err(|fault| match fault {
        pages::Fault::TooLarge => too_large(limit_bytes),
        pages::Fault::Corrupt(what) => corrupt(what),
    })?;
    let header = Header::of(table, &names);
    let mut batches = Vec::new();
    let (mut rows, mut held) = (0, 0);
    let expected = metadata.file_metadata().num_rows();
    for batch in reader(bytes, metadata)? {
        let batch = batch.map_err(corrupt)?;
        // A text of a dictionary is there once, however many rows have it; a column of the table has it for each.
        let texts = batch.columns().iter().map(text_bytes).fold(held, usize::saturating_add);
        let room = limit_bytes.checked_sub(texts).ok_or_else(|| too_large(limit_bytes))?;
        let others = Others::new(batch.num_rows(), room);
        let converted = convert(&header, &batch, others, rows, source_object)?;
        let converted = converted.ok_or_else(|| too_large(limit_bytes))?;
        rows += converted.num_rows();
        held += converted.get_array_memory_size();
        if held > limit_bytes {
            return Err(too_large(limit_bytes));
        }
        batches.push(converted);
    }
    if usize::try_from(expected).ok() != Some(rows) {
        return Err(corrupt(format!("{rows} rows where the footer says {expected}")));
    }
    let batch = concat_batches(&table.schema(), &batches).map_err(corrupt)?;
    Ok(Some(Decoded { table, batch }))
}

fn too_large(limit_bytes: usize) -> Error {
    ErrorKind::TooLarge { limit_bytes }.nowhere()
}

/// The rows of a file whose footer and pages have been looked at.
fn reader(bytes: Bytes, metadata: Arc<ParquetMetaData>) -> Result<ParquetRecordBatchReader, Error> {
    let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options()).map_err(corrupt)?;
    let options = options().with_schema(viewed(plain.schema()));
    let metadata = ArrowReaderMetadata::try_new(metadata, options).map_err(corrupt)?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
    builder.with_batch_size(BATCH_ROWS).build().map_err(corrupt)
}

/// The schema to read a file with: its texts are views, which take no room of their own.
fn viewed(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, field.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// How many bytes the texts of a column take, row by row.
fn text_bytes(array: &ArrayRef) -> usize {
    // The length of a view is its first four bytes.
    let Some(texts) = array.as_string_view_opt() else { return 0 };
    texts.views().iter().map(|view| (view & u128::from(u32::MAX)) as usize).sum()
}

/// What has no column, by row, as JSON.
struct Others {
    rows: Vec<String>,
    /// How many bytes they may still take; none when they would have taken more.
    room: Option<usize>,
}

impl Others {
    fn new(rows: usize, room: usize) -> Self {
        Others { rows: vec![String::new(); rows], room: Some(room) }
    }

    /// Appends a value of a row, after its name as a key; nothing when there is no room.
    fn push(&mut self, row: usize, key: &str, value: &str) {
        let Some(room) = self.room else { return };
        let text = &mut self.rows[row];
        let before = text.len();
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(key);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", serde_json::Value::from(value));
        self.room = room.checked_sub(text.len() - before);
    }

    fn finish(&self) -> StringArray {
        self.rows.iter().map(|text| (!text.is_empty()).then(|| format!("{text}}}"))).collect()
    }
}

/// Rows of the table out of rows of the file, which follow `before` others; none when `others` has no room for what
/// has no column.
fn convert(
    header: &Header,
    batch: &RecordBatch,
    mut others: Others,
    before: usize,
    source_object: &str,
) -> Result<Option<RecordBatch>, Error> {
    let (table, count) = (header.table, batch.num_rows());
    let mut arrays: Vec<Option<ArrayRef>> = vec![None; table.columns.len()];
    for ((field, source), column) in batch.schema().fields().iter().zip(batch.columns()).zip(&header.columns)
    {
        let source = Source::new(source)?;
        let key = format!("{}:", serde_json::Value::from(field.name().as_str()));
        let mut misfit = |row: usize, value: &str| others.push(row, &key, value);
        match column {
            Some(column) => arrays[*column] = Some(source.fill(table.columns[*column].kind, &mut misfit)?),
            None => source.each_text(|row, value| {
                if let Some(value) = value {
                    misfit(row, value);
                }
            })?,
        }
        if others.room.is_none() {
            return Ok(None);
        }
    }
    let start = table.index_of(table.time_column).and_then(|index| arrays[index].clone());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(table.columns.len());
    for (column, array) in table.columns.iter().zip(arrays) {
        columns.push(match column.kind {
            Kind::OtherFields => Arc::new(others.finish()),
            Kind::SourceObject => {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(source_object, count)))
            }
            Kind::SourceRow => {
                Arc::new((before..before + count).map(|row| i32::try_from(row).ok()).collect::<Int32Array>())
            }
            Kind::EventDate => days(start.as_ref(), count),
            kind => array.unwrap_or_else(|| new_null_array(&kind.data_type(), count)),
        });
    }
    RecordBatch::try_new(table.schema(), columns).map(Some).map_err(corrupt)
}

fn days(start: Option<&ArrayRef>, count: usize) -> ArrayRef {
    let Some(times) = start.and_then(|times| times.as_any().downcast_ref::<TimestampMicrosecondArray>())
    else {
        return new_null_array(&DataType::Date32, count);
    };
    Arc::new(times.iter().map(|time| time.and_then(event_date)).collect::<Date32Array>())
}

/// The integer that a floating-point number is, where it can be no other: `pandas` makes such numbers of integers as soon
/// as one of a column is missing.
fn whole(value: f64, exact: f64) -> Option<i64> {
    let is_whole = value.fract() == 0.0 && value.abs() < exact && value.to_bits() != (-0.0_f64).to_bits();
    is_whole.then(|| format!("{value:.0}").parse().ok())?
}

/// A column of the file, in one of the forms that are read here.
enum Source {
    Text(StringArray),
    Integers(Int64Array),
    Other(ArrayRef),
}

impl Source {
    fn new(array: &ArrayRef) -> Result<Self, Error> {
        // A value that a cast cannot keep is an error, never a null.
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let cast = |to| cast_with_options(array, &to, &options).map_err(corrupt);
        Ok(match array.data_type() {
            DataType::Utf8View => Source::Text(cast(DataType::Utf8)?.as_string::<i32>().clone()),
            kind if kind.is_signed_integer()
                || matches!(kind, DataType::UInt8 | DataType::UInt16 | DataType::UInt32) =>
            {
                Source::Integers(cast(DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            _ => Source::Other(Arc::clone(array)),
        })
    }

    /// Calls `each` with every value as text; a dash is none.
    fn each_text(&self, mut each: impl FnMut(usize, Option<&str>)) -> Result<(), Error> {
        match self {
            Source::Text(values) => {
                for (row, value) in values.iter().enumerate() {
                    each(row, value.filter(|value| *value != "-"));
                }
            }
            Source::Integers(values) => {
                for (row, value) in values.iter().enumerate() {
                    each(row, value.map(|value| value.to_string()).as_deref());
                }
            }
            Source::Other(values) => {
                let formatter =
                    ArrayFormatter::try_new(values, &FormatOptions::default()).map_err(corrupt)?;
                for row in 0..values.len() {
                    let value = values.is_valid(row).then(|| formatter.value(row).try_to_string());
                    each(row, value.transpose().map_err(corrupt)?.as_deref());
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with every value as an integer, if it is one, and as text.
    fn each_integer(
        &self,
        mut each: impl FnMut(usize, Option<i64>, &dyn Fn() -> Option<String>),
    ) -> Result<(), Error> {
        match self {
            Source::Integers(values) => {
                for (row, value) in values.iter().enumerate() {
                    each(row, value, &|| value.map(|value| value.to_string()));
                }
                return Ok(());
            }
            Source::Other(values) if values.data_type().is_floating() => {
                // Below, integers are there one by one.
                let exact = match values.data_type() {
                    DataType::Float64 => 2_f64.powi(53),
                    DataType::Float32 => 2_f64.powi(24),
                    _ => 2_f64.powi(11),
                };
                let numbers = cast(values, &DataType::Float64).map_err(corrupt)?;
                let numbers = numbers.as_primitive::<Float64Type>();
                return self.each_text(|row, text| {
                    let value = numbers.is_valid(row).then(|| numbers.value(row));
                    let value = value.and_then(|value| whole(value, exact));
                    each(row, value, &|| text.map(str::to_owned));
                });
            }
            _ => {}
        }
        self.each_text(|row, value| each(row, value.and_then(integer), &|| value.map(str::to_owned)))
    }

    /// The values as a column of the table; `misfit` hears those that do not fit it.
    fn fill(&self, kind: Kind, misfit: &mut impl FnMut(usize, &str)) -> Result<ArrayRef, Error> {
        Ok(match kind {
            Kind::Int32 => {
                Arc::new(Int32Array::from(self.integers(|value| i32::try_from(value).ok(), misfit)?))
            }
            Kind::Int64 => Arc::new(Int64Array::from(self.integers(Some, misfit)?)),
            Kind::Seconds => Arc::new(
                TimestampMicrosecondArray::from(self.integers(from_unix_seconds, misfit)?)
                    .with_timezone("UTC"),
            ),
            _ => {
                let mut values = Vec::new();
                let is_text = matches!(self, Source::Text(_));
                self.each_text(|row, value| match value {
                    Some(value) if !is_text => {
                        misfit(row, value);
                        values.push(None);
                    }
                    value => values.push(value.map(str::to_owned)),
                })?;
                Arc::new(StringArray::from(values))
            }
        })
    }

    fn integers<T>(
        &self,
        fits: impl Fn(i64) -> Option<T>,
        misfit: &mut impl FnMut(usize, &str),
    ) -> Result<Vec<Option<T>>, Error> {
        let mut values = Vec::new();
        self.each_integer(|row, value, text| {
            let value = value.and_then(&fits);
            if value.is_none()
                && let Some(text) = text()
            {
                misfit(row, &text);
            }
            values.push(value);
        })?;
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, GzipLevel};
    use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};
    use parquet::file::properties::WriterProperties;

    use super::*;

    const LIMIT: usize = 1 << 30;

    fn file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let properties =
            WriterProperties::builder().set_compression(Compression::GZIP(GzipLevel::default())).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn sample() -> Vec<u8> {
        file(vec![
            ("version", Arc::new(Int32Array::from(vec![5, 5]))),
            ("account_id", text(&[Some("123456789010"), Some("-")])),
            ("srcaddr", text(&[Some("10.0.0.1"), None])),
            ("srcport", Arc::new(Int64Array::from(vec![Some(443), None]))),
            ("dstport", Arc::new(Int64Array::from(vec![Some(1 << 40), Some(22)]))),
            ("protocol", text(&[Some("6"), Some("tcp")])),
            ("bytes", Arc::new(Int64Array::from(vec![4249, 0]))),
            ("start", Arc::new(Int64Array::from(vec![1_418_530_010, i64::MAX]))),
            ("end", Arc::new(Int32Array::from(vec![1_418_530_070, 7]))),
            ("pkt_src_aws_service", text(&[Some("S3"), Some("-")])),
            ("type", Arc::new(Int32Array::from(vec![None, Some(4)]))),
            ("new_field", text(&[Some("a\"b"), Some("-")])),
            ("new_number", Arc::new(Float64Array::from(vec![None, Some(1.5)]))),
        ])
    }

    /// What the text decoder makes of the same flows is what the Parquet decoder has to make of them.
    #[test]
    fn the_columns_of_the_text_form() {
        let decoded = decode(&sample(), LIMIT, "o").unwrap().unwrap();
        let lines = "version account-id srcaddr srcport dstport protocol bytes start end pkt-src-aws-service type \
                     new-field new-number\n\
                     5 123456789010 10.0.0.1 443 1099511627776 6 4249 1418530010 1418530070 S3 - a\"b -\n\
                     5 - - - 22 tcp 0 9223372036854775807 7 - - - 1.5\n";
        let expected = super::super::decode_any(lines.as_bytes(), "o").unwrap();
        assert_eq!(decoded.table.name, "vpc_flow");
        for (column, (found, expected)) in
            decoded.table.columns.iter().zip(decoded.batch.columns().iter().zip(expected.batch.columns()))
        {
            if column.kind != Kind::OtherFields {
                assert_eq!(found, expected, "{}", column.name);
            }
        }
        let others = decoded.batch.column_by_name("other_fields").unwrap().as_string::<i32>();
        assert_eq!(others.value(0), r#"{"dstport":"1099511627776","new_field":"a\"b"}"#);
        assert_eq!(
            others.value(1),
            r#"{"protocol":"tcp","start":"9223372036854775807","type":"4","new_number":"1.5"}"#
        );
    }

    #[test]
    fn numbers_as_pandas_writes_them() {
        let numbers = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
        let large = 9_007_199_254_740_992.0;
        let decoded = decode(
            &file(vec![
                ("version", Arc::new(arrow::array::Float32Array::from(vec![Some(2.0), None, Some(5.5)]))),
                (
                    "packets",
                    Arc::new(arrow::array::Float32Array::from(vec![16_777_215.0, 16_777_216.0, 1e9])),
                ),
                ("srcport", numbers(&[443.0, -0.0, f64::NAN])),
                ("dstport", numbers(&[65_535.0, 1e10, f64::INFINITY])),
                ("bytes", numbers(&[large - 1.0, large, -1.0])),
                ("start", numbers(&[1_418_530_010.0, 1_418_530_010.5, 1e300])),
                ("region", Arc::new(arrow::array::NullArray::new(3))),
                ("new_one", Arc::new(arrow::array::NullArray::new(3))),
            ]),
            LIMIT,
            "o",
        );
        let rows = decoded.unwrap().unwrap().batch;
        let integers = |name: &str| {
            let column = cast(rows.column_by_name(name).unwrap(), &DataType::Int64).unwrap();
            column.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
        };
        assert_eq!(integers("version"), [Some(2), None, None]);
        assert_eq!(integers("packets"), [Some(16_777_215), None, None]);
        assert_eq!(integers("srcport"), [Some(443), None, None]);
        assert_eq!(integers("dstport"), [Some(65_535), None, None]);
        assert_eq!(integers("bytes"), [Some((1 << 53) - 1), None, Some(-1)]);
        assert_eq!(integers("start_time"), [Some(1_418_530_010_000_000), None, None]);
        assert_eq!(rows.column_by_name("region").unwrap().null_count(), 3);
        let others = rows.column_by_name("other_fields").unwrap().as_string::<i32>();
        assert!(others.is_null(0), "{}", others.value(0));
        let kept = r#"{"packets":"16777216.0","srcport":"-0.0","dstport":"10000000000.0","bytes":"9007199254740992.0","start":"1418530010.5"}"#;
        assert_eq!(others.value(1), kept);
        assert!(others.value(2).starts_with(
            r#"{"version":"5.5","packets":"1000000000.0","srcport":"NaN","dstport":"inf","start":"1e300"#
        ));
    }

    #[test]
    fn transit_gateways_have_their_table_and_other_files_none() {
        let gateway = file(vec![
            ("tgw_id", text(&[Some("tgw-1")])),
            ("packets_lost_no_route", Arc::new(Int64Array::from(vec![3]))),
        ]);
        let decoded = decode(&gateway, LIMIT, "o").unwrap().unwrap();
        assert_eq!((decoded.table.name, decoded.batch.num_rows()), ("transit_gateway_flow", 1));
        let other = file(vec![("name", text(&[Some("x")])), ("region", text(&[Some("y")]))]);
        assert!(decode(&other, LIMIT, "o").unwrap().is_none());
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(matches!(decode(&sample(), 100, "o"), Err(Error { kind: ErrorKind::TooLarge { .. }, .. })));
    }

    /// A text that is in the file once, and in every row of the table.
    #[test]
    fn what_rows_take_is_bounded() {
        let long = "x".repeat(10_000);
        let rows = 5000;
        let texts =
            |_| -> ArrayRef { Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&long, rows))) };
        let columns = ["srcaddr", "dstaddr", "pkt_srcaddr", "pkt_dstaddr"];
        let small = file(columns.map(|name| (name, texts(name))).to_vec());
        assert!(small.len() < 100_000);
        let held = columns.len() * rows * long.len();
        assert!(matches!(decode(&small, held - 1, "o"), Err(Error { kind: ErrorKind::TooLarge { .. }, .. })));
        assert_eq!(decode(&small, held * 2, "o").unwrap().unwrap().batch.num_rows(), rows);
    }

    /// Counted while it is put together: after it, it would be there already.
    #[test]
    fn what_has_no_column_stops_growing() {
        let mut others = Others::new(2, 100);
        for _ in 0..1000 {
            others.push(0, "\"key\":", "value");
            others.push(1, "\"key\":", "\u{1}");
        }
        assert_eq!(others.room, None);
        let bytes: usize = others.rows.iter().map(String::len).sum();
        assert!((100..120).contains(&bytes), "{bytes}");
    }

    /// A page of gzip that is longer than it says.
    #[test]
    fn what_pages_say_is_not_believed() {
        let values = StringArray::from_iter_values((0..20_000).map(|row| format!("{row:010}")));
        let whole = file(vec![("srcaddr", Arc::new(values)), ("dstaddr", text(&[None; 20_000]))]);
        let metadata = Footer::read(&whole).unwrap().metadata(whole.len()).unwrap();
        let check = |file: &[u8], limit| pages::check(file, &metadata, limit);
        // The pages, and a view for each text of their dictionaries.
        let claimed = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(whole.clone())).unwrap();
        let claimed: i64 = claimed.row_groups().iter().map(RowGroupMetaData::total_byte_size).sum();
        let claimed = usize::try_from(claimed).unwrap() + 20_000 * 16;
        assert_eq!(check(&whole, claimed), Ok(()));
        assert_eq!(check(&whole, claimed / 2), Err(pages::Fault::TooLarge));
        let start = whole.windows(2).position(|bytes| bytes == [0x1f, 0x8b]).unwrap();
        let mut refused = 0;
        // Somewhere in the header before the content is its size.
        for at in start - 20..start {
            let mut lie = whole.clone();
            lie[at] ^= 0x02;
            refused += usize::from(matches!(check(&lie, LIMIT), Err(pages::Fault::Corrupt(_))));
        }
        assert!(refused > 2, "{refused}");
        let cut: Vec<_> = (4..start).map(|end| check(&whole[..end], LIMIT)).collect();
        assert!(cut.iter().all(Result::is_err));
    }

    /// A file cut or damaged at any byte is refused or read; it never ends the program.
    #[test]
    fn damage_anywhere_is_an_error_or_harmless() {
        let whole = sample();
        let mut refused = 0;
        for at in 0..whole.len() {
            assert!(decode(&whole[..at], LIMIT, "o").is_err(), "cut at {at}");
            for flip in [0x01, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                refused += usize::from(decode(&damaged, 1 << 24, "o").is_err());
            }
        }
        assert!(refused > whole.len() / 4, "{refused} of {}", whole.len() * 2);
    }
}
