//! Fields into columns: one builder per column of the header, one loop per builder.
//!
//! Must never lose what does not fit: it goes to `other_fields`, as the source wrote it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanBufferBuilder, Date32Array, Int32Array, NullArray,
    PrimitiveArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::header::Header;
use super::lines::{Chunk, MAX_RECORDS, Span, field};
use crate::decode::columns::{Kind, Table};
use crate::decode::fill::{self, TextColumn};
use crate::decode::time::{event_date, from_unix_seconds};
use crate::decode::{Error, ErrorKind};

/// The most bytes of one text column: Arrow's offsets are 32-bit.
const MAX_COLUMN_BYTES: usize = i32::MAX as usize;

/// The most bytes of fields without a column in one object. Each is there with its name, however short the text is:
/// a small object could take all memory.
const MAX_OTHER_BYTES: usize = 512 << 20;

/// Rows to make room for at first, at most: the first line says little about the others.
const MAX_FIRST_ROWS: usize = 1 << 20;

/// The rows read so far, of one object after the other.
pub struct Rows {
    table: &'static Table,
    count: usize,
    /// Where the rows of the object at hand begin.
    begin: usize,
    /// How many rows the batch before had: this one will have about as many.
    room: usize,
    filled: Vec<Filled>,
    /// Header positions with no column.
    unplaced: Vec<usize>,
    other_fields: OtherFields,
    objects: TextColumn,
    numbers_in_object: Vec<i32>,
}

/// A column that the header names.
struct Filled {
    column: usize,
    position: usize,
    values: Values,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each column of a header")]
enum Values {
    Text(TextColumn),
    Int32(Numbers<i32>),
    Int64(Numbers<i64>),
    Seconds(Numbers<i64>),
}

/// Numbers, and the rows that have none.
struct Numbers<T> {
    values: Vec<T>,
    nulls: Vec<u32>,
}

impl<T: ArrowNativeType> Numbers<T> {
    fn new(capacity: usize) -> Self {
        Numbers { values: Vec::with_capacity(capacity), nulls: Vec::new() }
    }

    /// Appends the numbers that a text holds in these places, each as `of` makes it; `misfit` learns which of them are
    /// there and are none.
    #[inline]
    fn append(
        &mut self,
        text: &str,
        spans: impl Iterator<Item = Span>,
        of: impl Fn(i64) -> Option<T>,
        mut misfit: impl FnMut(usize),
    ) {
        let Numbers { values, nulls } = self;
        let before = values.len();
        let mut otherwise = |record: usize, span| {
            let value = integer(field(text, span)).and_then(&of);
            if value.is_none() {
                // A batch has far fewer than 2^32 rows.
                nulls.push(u32::try_from(before + record).unwrap_or(u32::MAX));
                if !is_null(text, span) {
                    misfit(record);
                }
            }
            value.unwrap_or_default()
        };
        values.extend(spans.enumerate().map(|(record, span)| {
            integer_at(text.as_bytes(), span).and_then(&of).unwrap_or_else(|| otherwise(record, span))
        }));
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(self.nulls.partition_point(|null| (*null as usize) < rows));
    }

    fn finish<A: ArrowPrimitiveType<Native = T>>(&mut self) -> PrimitiveArray<A> {
        let nulls = (!self.nulls.is_empty()).then(|| {
            let mut there = BooleanBufferBuilder::new(self.values.len());
            there.append_n(self.values.len(), true);
            self.nulls.drain(..).for_each(|row| there.set_bit(row as usize, false));
            NullBuffer::new(there.finish())
        });
        PrimitiveArray::new(std::mem::take(&mut self.values).into(), nulls)
    }
}

impl Rows {
    /// No rows yet, of a text of about so many bytes with this header.
    pub fn new(header: &Header, text_bytes: usize) -> Self {
        let capacity = (text_bytes / (header.names.len().max(1) * 6)).min(MAX_FIRST_ROWS);
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
        Rows {
            table: header.table,
            count: 0,
            begin: 0,
            room: 0,
            filled,
            unplaced,
            other_fields,
            objects: TextColumn::new(),
            numbers_in_object: Vec::new(),
        }
    }

    /// How many rows the object at hand has.
    pub fn of_object(&self) -> usize {
        self.count - self.begin
    }

    /// How many bytes of text the rows take.
    pub fn bytes(&self) -> usize {
        let of_column = |filled: &Filled| match &filled.values {
            Values::Text(column) => column.bytes(),
            _ => 0,
        };
        self.filled.iter().map(of_column).sum::<usize>() + self.other_fields.values.bytes()
    }

    /// Ends the object at hand; returns which rows it has.
    pub fn end(&mut self, source_object: &str) -> Range<usize> {
        const { assert!(MAX_RECORDS <= i32::MAX as usize) };
        let rows = self.begin..self.count;
        self.objects.append_run(source_object, rows.len());
        self.numbers_in_object.extend((0..i32::MAX).take(rows.len()));
        self.begin = self.count;
        self.other_fields.begin();
        rows
    }

    /// Drops the rows of the object at hand.
    pub fn drop_object(&mut self) {
        self.count = self.begin;
        for filled in &mut self.filled {
            filled.values.truncate(self.count);
        }
        self.other_fields.places.clear();
        self.other_fields.values.truncate(self.count);
        self.other_fields.begin();
    }

    /// Appends the records of a chunk. More text than Arrow's offsets reach is an error.
    pub fn append(&mut self, text: &str, chunk: &Chunk) -> Result<(), Error> {
        self.check_room(chunk)?;
        if self.count == 0 {
            let room = std::mem::take(&mut self.room);
            self.filled.iter_mut().for_each(|filled| filled.values.reserve(room));
            self.numbers_in_object.reserve(room);
        }
        for filled in &mut self.filled {
            filled.append(text, chunk, &mut self.other_fields.places);
        }
        for position in &self.unplaced {
            for (record, span) in chunk.column(*position).enumerate() {
                if !is_null(text, span) {
                    self.other_fields.places.push((record, *position));
                }
            }
        }
        self.other_fields.append(text, chunk, self.of_object())?;
        self.count += chunk.records();
        Ok(())
    }

    /// Refuses a chunk that might take a column of text beyond what Arrow's offsets reach.
    fn check_room(&self, chunk: &Chunk) -> Result<(), Error> {
        for filled in &self.filled {
            if let Values::Text(column) = &filled.values
                && column.bytes() + chunk.bytes() > MAX_COLUMN_BYTES
            {
                let name = self.table.columns[filled.column].name;
                let what = format!("column `{name}` takes more than {MAX_COLUMN_BYTES} bytes");
                return Err(ErrorKind::Shape(what).at(Some(self.of_object()), chunk.span(0, 0).0 as usize));
            }
        }
        Ok(())
    }

    /// All rows of objects that have ended, and none are left: columns in the order of the table, text as dictionaries,
    /// those without values of no type.
    pub fn finish(&mut self) -> Result<RecordBatch, Error> {
        let count = std::mem::take(&mut self.count);
        self.begin = 0;
        self.room = (count + count / 4).min(MAX_FIRST_ROWS);
        let failed = |error| ErrorKind::Shape(format!("the columns make no table: {error}")).nowhere();
        let table = self.table;
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; table.columns.len()];
        for filled in &mut self.filled {
            arrays[filled.column] = Some(filled.values.finish().map_err(failed)?);
        }
        let dates = table.index_of(table.time_column).and_then(|start| event_dates(arrays[start].as_ref()?));
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(arrays.len());
        for (column, array) in table.columns.iter().zip(arrays) {
            let made = match column.kind {
                Kind::OtherFields => Some(self.other_fields.values.finish().map_err(failed)?),
                Kind::SourceObject => Some(self.objects.finish().map_err(failed)?),
                Kind::SourceRow => {
                    let rows: ArrayRef =
                        Arc::new(Int32Array::from(std::mem::take(&mut self.numbers_in_object)));
                    Some(rows)
                }
                Kind::EventDate => {
                    Some(dates.clone().unwrap_or_else(|| new_null_array(&DataType::Date32, count)))
                }
                kind if table.time_column == column.name => {
                    Some(array.unwrap_or_else(|| new_null_array(&kind.data_type(), count)))
                }
                _ => array,
            };
            columns.push(made.unwrap_or_else(|| Arc::new(NullArray::new(count))));
        }
        self.other_fields.begin();
        fill::batch(table, columns).map_err(failed)
    }
}

impl Values {
    fn new(kind: Kind, capacity: usize) -> Self {
        match kind {
            Kind::Int32 => Values::Int32(Numbers::new(capacity)),
            Kind::Int64 => Values::Int64(Numbers::new(capacity)),
            Kind::Seconds => Values::Seconds(Numbers::new(capacity)),
            _ => Values::Text(TextColumn::new()),
        }
    }

    fn reserve(&mut self, rows: usize) {
        match self {
            Values::Text(column) => column.reserve(rows),
            Values::Int32(numbers) => numbers.values.reserve(rows),
            Values::Int64(numbers) | Values::Seconds(numbers) => numbers.values.reserve(rows),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Values::Text(column) => column.truncate(rows),
            Values::Int32(numbers) => numbers.truncate(rows),
            Values::Int64(numbers) | Values::Seconds(numbers) => numbers.truncate(rows),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Values::Text(column) => column.finish()?,
            Values::Int32(numbers) => Arc::new(numbers.finish::<Int32Type>()),
            Values::Int64(numbers) => Arc::new(numbers.finish::<Int64Type>()),
            Values::Seconds(numbers) => {
                Arc::new(numbers.finish::<TimestampMicrosecondType>().with_timezone("UTC"))
            }
        })
    }
}

impl Filled {
    /// Appends one column of a chunk; notes the places of values that do not fit.
    fn append(&mut self, text: &str, chunk: &Chunk, misfits: &mut Vec<(usize, usize)>) {
        let position = self.position;
        let spans = chunk.column(position);
        let misfit = |record| misfits.push((record, position));
        match &mut self.values {
            Values::Text(column) => {
                let part = |span: Span| (!is_null(text, span)).then_some(span.0 as usize..span.1 as usize);
                column.append_parts(text, spans.map(part));
            }
            Values::Int32(numbers) => numbers.append(text, spans, |value| i32::try_from(value).ok(), misfit),
            Values::Int64(numbers) => numbers.append(text, spans, Some, misfit),
            Values::Seconds(numbers) => numbers.append(text, spans, from_unix_seconds, misfit),
        }
    }
}

#[inline]
fn is_null(text: &str, (start, end): Span) -> bool {
    end - start == 1 && text.as_bytes()[start as usize] == b'-'
}

/// Like [`integer`], for up to sixteen digits that are not the first bytes of the text: eight digits at a time. None
/// for everything else.
#[expect(clippy::inline_always, reason = "it runs for every number, and is called in few places")]
#[inline(always)]
pub fn integer_at(text: &[u8], (start, end): Span) -> Option<i64> {
    let end = end as usize;
    let length = end - start as usize;
    match length {
        1..=8 => {
            let (digits, first) = digits(*text[..end].last_chunk()?, length)?;
            (first > 0 || length == 1).then(|| number(digits))
        }
        9..=16 => {
            let (high, first) = digits(*text[..end - 8].last_chunk()?, length - 8)?;
            let (low, _) = digits(*text[..end].last_chunk()?, 8)?;
            (first > 0).then(|| number(high) * 100_000_000 + number(low))
        }
        _ => None,
    }
}

/// The last `length` of these bytes as digits, one in a byte and zeros before them, and the first of them alone, still in
/// its byte; none when they are no digits. `length` is 1 to 8.
#[inline]
fn digits(bytes: [u8; 8], length: usize) -> Option<(u64, u64)> {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    const BEYOND: u64 = u64::from_le_bytes([0x80 - 10; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The first byte is the lowest.
    let before = 8 * (8 - length);
    let digits = (u64::from_le_bytes(bytes) ^ ZEROS) >> before << before;
    let is_beyond = (digits | digits.wrapping_add(BEYOND)) & HIGH;
    (is_beyond == 0).then_some((digits, digits & (0xff << before)))
}

/// The number of eight digits, one in a byte and the first in the lowest.
#[inline]
fn number(digits: u64) -> i64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    // Digits to pairs of them, then two pairs at a time, each times what its place is worth.
    let pairs = digits * 10 + (digits >> 8);
    let low = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    (low.wrapping_add(high) >> 32).cast_signed()
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
    values: TextColumn,
    /// Bytes of the values before the object at hand.
    before_object: usize,
    /// The most bytes of one object.
    most: usize,
}

impl OtherFields {
    fn new(names: &[String]) -> Self {
        let keys = names.iter().map(|name| format!("{}:", serde_json::Value::from(name.as_str()))).collect();
        let (places, json, values) = (Vec::new(), Vec::new(), TextColumn::new());
        OtherFields { keys, places, json, values, before_object: 0, most: MAX_OTHER_BYTES }
    }

    /// Another object begins.
    fn begin(&mut self) {
        self.before_object = self.values.bytes();
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
            let bytes = self.values.bytes() + self.json.len();
            let limit = MAX_COLUMN_BYTES.min(self.before_object + self.most);
            if bytes > limit {
                let most = limit - self.before_object;
                let what = format!("fields without a column take more than {most} bytes");
                return Err(
                    ErrorKind::Shape(what).at(Some(before + record), chunk.span(record, 0).0 as usize)
                );
            }
            // Keys and values are JSON in UTF-8, so nothing is ever replaced.
            self.values.push(Some(&String::from_utf8_lossy(&self.json)));
            done = record + 1;
        }
        self.values.append_nulls(chunk.records() - done);
        self.places.clear();
        Ok(())
    }
}

/// Appends a text as a JSON string.
fn append_json(text: &str, json: &mut Vec<u8>) {
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(json, text);
}

fn event_dates(start: &ArrayRef) -> Option<ArrayRef> {
    let times = start.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
    // The day of the time before, and where it begins: most are of the same.
    let mut last = (0, event_date(0));
    let mut date = |time: i64| {
        if !(0..MICROS_PER_DAY).contains(&time.wrapping_sub(last.0)) {
            last = (time.div_euclid(MICROS_PER_DAY).wrapping_mul(MICROS_PER_DAY), event_date(time));
        }
        last.1
    };
    // Mostly all that have a time have a date.
    let date_of = |row: usize| if times.is_null(row) { Some(0) } else { date(times.value(row)) };
    let dates: Option<Vec<i32>> = (0..times.len()).map(date_of).collect();
    let dates = dates.map(|dates| Date32Array::new(dates.into(), times.nulls().cloned()));
    Some(Arc::new(dates.unwrap_or_else(|| times.iter().map(|time| date(time?)).collect())))
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::super::Formats;
    use super::super::lines::Lines;
    use super::*;

    /// Appends an object, whole.
    fn append(rows: &mut Rows, object: &str) -> Result<Range<usize>, String> {
        let outcome = append_lines(rows, object);
        if outcome.is_err() {
            rows.drop_object();
        }
        outcome.map(|()| rows.end("o"))
    }

    fn append_lines(rows: &mut Rows, object: &str) -> Result<(), String> {
        let mut lines = Lines::new(object);
        let header = Header::read(&mut lines, &Formats::default()).unwrap();
        let mut chunk = Chunk::new(header.names.len());
        while chunk.fill(&mut lines, &header, rows.of_object()).unwrap() {
            rows.append(object, &chunk).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[test]
    fn a_column_takes_room_from_its_first_text_on() {
        let object = |source: &str, lines: usize| {
            let line = format!("{source} 10.0.0.1 443\n");
            format!("srcaddr dstaddr srcport\n{}", line.repeat(lines))
        };
        let none = object("-", 3000);
        let mut rows = Rows::new(&Header::read(&mut Lines::new(&none), &Formats::default()).unwrap(), 0);
        let numbers_of_source = |rows: &mut Rows| match &mut rows.filled[0].values {
            Values::Text(column) => {
                let numbers = column.numbers().to_vec();
                numbers.len()
            }
            _ => unreachable!("addresses are text"),
        };
        let source_of = |rows: &mut Rows| {
            let batch = rows.finish().unwrap();
            let source = batch.column_by_name("srcaddr").unwrap();
            (source.data_type() == &DataType::Null, source.len() - source.logical_null_count())
        };
        assert_eq!(append(&mut rows, &none), Ok(0..3000));
        assert_eq!(numbers_of_source(&mut rows), 0);
        // Of an object that is refused, nothing is left, not even a type.
        append_lines(&mut rows, &object("10.0.0.9", 3000)).unwrap();
        rows.drop_object();
        assert_eq!(append(&mut rows, &none), Ok(3000..6000));
        assert_eq!(source_of(&mut rows), (true, 0));
        assert_eq!(append(&mut rows, &none), Ok(0..3000));
        assert_eq!(append(&mut rows, &object("10.0.0.9", 2000)), Ok(3000..5000));
        assert_eq!(append(&mut rows, &none), Ok(5000..8000));
        assert_eq!(numbers_of_source(&mut rows), 8000);
        assert_eq!(source_of(&mut rows), (false, 2000));
    }

    #[test]
    fn fields_without_a_column_are_bounded_by_object() {
        let object = |from: usize, lines: usize| {
            let lines = (from..from + lines).map(|line| format!("1 2 {line:06}\n"));
            format!("srcaddr dstaddr other\n{}", lines.collect::<String>())
        };
        let bytes_of_each = r#"{"other":"000000"}"#.len();
        let first = object(0, 5000);
        let mut rows = Rows::new(&Header::read(&mut Lines::new(&first), &Formats::default()).unwrap(), 0);
        rows.other_fields.most = 5000 * bytes_of_each;
        assert_eq!(append(&mut rows, &first), Ok(0..5000));
        // What others take, or took before they were refused, is not counted.
        let refused = format!("fields without a column take more than {} bytes", 5000 * bytes_of_each);
        let place = "srcaddr dstaddr other\n".len() + 5000 * "1 2 000000\n".len();
        let refused = Err(format!("{refused} (record 5000, byte {place})"));
        assert_eq!(append(&mut rows, &object(10_000, 5001)), refused);
        assert_eq!(append(&mut rows, &object(20_000, 5000)), Ok(5000..10_000));
        assert_eq!(rows.finish().unwrap().num_rows(), 10_000);
        assert_eq!(append(&mut rows, &object(30_000, 5000)), Ok(0..5000));
        assert_eq!(append(&mut rows, &object(40_000, 5001)), refused);
    }
}
