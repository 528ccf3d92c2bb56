//! Fields into columns: one builder per column of the header, one loop per builder.
//!
//! Must never lose what does not fit: it goes to `other_fields`, as the source wrote it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, Int32Array, Int32Builder, Int64Builder, StringArray, StringBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use super::header::Header;
use super::lines::{Chunk, MAX_RECORDS, Span, field};
use crate::decode::columns::{Kind, Table};
use crate::decode::time::{event_date, from_unix_seconds};
use crate::decode::{Error, ErrorKind};

/// The most bytes of one text column: Arrow's offsets are 32-bit.
const MAX_COLUMN_BYTES: usize = i32::MAX as usize;

/// Rows to make room for at first, at most: the first line says little about the others.
const MAX_FIRST_ROWS: usize = 1 << 20;

/// The rows read so far.
pub struct Rows<'a> {
    table: &'static Table,
    text: &'a str,
    source_object: &'a str,
    count: usize,
    filled: Vec<Filled>,
    /// Header positions with no column.
    unplaced: Vec<usize>,
    other_fields: OtherFields,
}

/// A column that the header names.
struct Filled {
    column: usize,
    position: usize,
    values: Values,
}

enum Values {
    Text(StringBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Seconds(TimestampMicrosecondBuilder),
}

impl<'a> Rows<'a> {
    /// No rows yet, of a text with this header.
    pub fn new(header: &Header<'_>, text: &'a str, source_object: &'a str) -> Self {
        let capacity = (text.len() / (header.names.len().max(1) * 6)).min(MAX_FIRST_ROWS);
        let mut filled = Vec::new();
        let mut unplaced = Vec::new();
        for (position, column) in header.columns.iter().enumerate() {
            match *column {
                Some(column) => {
                    let values = Values::new(header.table.columns[column].kind, capacity);
                    filled.push(Filled { column, position, values });
                }
                None => unplaced.push(position),
            }
        }
        let other_fields = OtherFields::new(&header.names);
        Rows { table: header.table, text, source_object, count: 0, filled, unplaced, other_fields }
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Appends the records of a chunk.
    pub fn append(&mut self, chunk: &Chunk) -> Result<(), Error> {
        for filled in &mut self.filled {
            filled.append(self.text, chunk, &mut self.other_fields.places);
        }
        for position in &self.unplaced {
            for (record, span) in chunk.column(*position).enumerate() {
                if !is_null(self.text, span) {
                    self.other_fields.places.push((record, *position));
                }
            }
        }
        self.other_fields.append(self.text, chunk, self.count)?;
        self.count += chunk.records();
        Ok(())
    }

    /// All rows, in the table's schema.
    pub fn finish(mut self) -> Result<RecordBatch, Error> {
        if self.count.saturating_mul(self.source_object.len()) > MAX_COLUMN_BYTES {
            return Err(ErrorKind::TooLarge { limit_bytes: MAX_COLUMN_BYTES }.nowhere());
        }
        let table = self.table;
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; table.columns.len()];
        for filled in &mut self.filled {
            arrays[filled.column] = Some(filled.values.finish());
        }
        let dates = table.index_of(table.time_column).and_then(|start| event_dates(arrays[start].as_ref()?));
        let mut columns = Vec::with_capacity(arrays.len());
        // Columns that are not in the header share their nulls: of short records they would be most of what is held.
        let mut nulls: HashMap<DataType, ArrayRef> = HashMap::new();
        for (column, array) in table.columns.iter().zip(arrays) {
            let made = match column.kind {
                Kind::OtherFields => Some(self.other_fields.finish()),
                Kind::SourceObject => Some(constant(self.source_object, self.count)),
                Kind::SourceRow => Some(numbers(self.count)),
                Kind::EventDate => dates.clone(),
                _ => array,
            };
            columns.push(made.unwrap_or_else(|| {
                let data_type = column.kind.data_type();
                let array = nulls.entry(data_type.clone());
                Arc::clone(array.or_insert_with(|| new_null_array(&data_type, self.count)))
            }));
        }
        RecordBatch::try_new(table.schema(), columns)
            .map_err(|error| ErrorKind::Shape(format!("the columns make no table: {error}")).nowhere())
    }
}

impl Values {
    fn new(kind: Kind, capacity: usize) -> Self {
        match kind {
            Kind::Int32 => Values::Int32(Int32Builder::with_capacity(capacity)),
            Kind::Int64 => Values::Int64(Int64Builder::with_capacity(capacity)),
            Kind::Seconds => Values::Seconds(
                TimestampMicrosecondBuilder::with_capacity(capacity).with_data_type(kind.data_type()),
            ),
            _ => Values::Text(StringBuilder::with_capacity(capacity, capacity * 8)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Text(builder) => Arc::new(builder.finish()),
            Values::Int32(builder) => Arc::new(builder.finish()),
            Values::Int64(builder) => Arc::new(builder.finish()),
            Values::Seconds(builder) => Arc::new(builder.finish()),
        }
    }
}

impl Filled {
    /// Appends one column of a chunk; notes the places of values that do not fit.
    fn append(&mut self, text: &str, chunk: &Chunk, misfits: &mut Vec<(usize, usize)>) {
        let position = self.position;
        let spans = chunk.column(position);
        let mut misfit = |record| misfits.push((record, position));
        match &mut self.values {
            Values::Text(builder) => {
                for span in spans {
                    if is_null(text, span) {
                        builder.append_null();
                    } else {
                        builder.append_value(field(text, span));
                    }
                }
            }
            Values::Int32(builder) => each_integer(text, spans, &mut misfit, |value| {
                let value = value.and_then(|value| i32::try_from(value).ok());
                builder.append_option(value);
                value.is_some()
            }),
            Values::Int64(builder) => each_integer(text, spans, &mut misfit, |value| {
                builder.append_option(value);
                value.is_some()
            }),
            Values::Seconds(builder) => each_integer(text, spans, &mut misfit, |value| {
                let value = value.and_then(from_unix_seconds);
                builder.append_option(value);
                value.is_some()
            }),
        }
    }
}

/// Calls `append` with each value; when it returns false for one that is there, the value is a misfit.
#[inline]
fn each_integer(
    text: &str,
    spans: impl Iterator<Item = Span>,
    misfit: &mut impl FnMut(usize),
    mut append: impl FnMut(Option<i64>) -> bool,
) {
    for (record, span) in spans.enumerate() {
        let fits = append(integer(field(text, span)));
        if !fits && !is_null(text, span) {
            misfit(record);
        }
    }
}

#[inline]
fn is_null(text: &str, (start, end): Span) -> bool {
    end - start == 1 && text.as_bytes()[start as usize] == b'-'
}

/// An integer in the one way of writing it that can be told from its value: no plus sign, no leading zeros.
#[inline]
pub fn integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [] | [b'0', ..] => return None,
        _ => {}
    }
    // Eighteen digits cannot overflow.
    if digits.len() > 18 {
        return if digits.iter().all(u8::is_ascii_digit) { text.parse().ok() } else { None };
    }
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// The column of fields that have none.
struct OtherFields {
    /// For each header position, the name as a JSON key with its colon.
    keys: Vec<String>,
    /// Record and header position of what the chunk at hand adds.
    places: Vec<(usize, usize)>,
    json: Vec<u8>,
    values: StringBuilder,
}

impl OtherFields {
    fn new(names: &[&str]) -> Self {
        let keys = names.iter().map(|name| format!("{}:", serde_json::Value::from(*name))).collect();
        OtherFields { keys, places: Vec::new(), json: Vec::new(), values: StringBuilder::new() }
    }

    /// Appends one value per record of the chunk, which follows `before` records, and forgets the places.
    fn append(&mut self, text: &str, chunk: &Chunk, before: usize) -> Result<(), Error> {
        self.places.sort_unstable();
        let mut done = 0;
        for of_record in self.places.chunk_by(|a, b| a.0 == b.0) {
            let record = of_record[0].0;
            self.values.append_nulls(record - done);
            self.json.clear();
            for (_, position) in of_record {
                self.json.push(if self.json.is_empty() { b'{' } else { b',' });
                self.json.extend_from_slice(self.keys[*position].as_bytes());
                append_json(field(text, chunk.span(record, *position)), &mut self.json);
            }
            self.json.push(b'}');
            if self.values.values_slice().len() + self.json.len() > MAX_COLUMN_BYTES {
                let what = format!("fields without a column take more than {MAX_COLUMN_BYTES} bytes");
                return Err(
                    ErrorKind::Shape(what).at(Some(before + record), chunk.span(record, 0).0 as usize)
                );
            }
            // Keys and values are JSON in UTF-8, so nothing is ever replaced.
            self.values.append_value(String::from_utf8_lossy(&self.json));
            done = record + 1;
        }
        self.values.append_nulls(chunk.records() - done);
        self.places.clear();
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}

/// Appends a text as a JSON string.
fn append_json(text: &str, json: &mut Vec<u8>) {
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(json, text);
}

fn event_dates(start: &ArrayRef) -> Option<ArrayRef> {
    let times = start.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
    let dates: Date32Array = times.iter().map(|time| time.and_then(event_date)).collect();
    Some(Arc::new(dates))
}

fn constant(value: &str, count: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, count)))
}

/// 0, 1, 2, ...
fn numbers(count: usize) -> ArrayRef {
    const { assert!(MAX_RECORDS <= i32::MAX as usize) };
    Arc::new(Int32Array::from_iter_values((0..i32::MAX).take(count)))
}
