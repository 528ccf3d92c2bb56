//! Columns while they are being filled: text is kept once however often it repeats, rows hold a number for it.
//!
//! Logs repeat endlessly: a name, a region, a whole identity. Whoever reads the finished columns works on the numbers.
//! Must never keep a column without bounds of its own: who fills it watches [`Column::bytes`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, DictionaryArray, Int32Array, Int64Array, NullArray,
    PrimitiveArray, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::columns::{Kind, Table};
use super::numbering::{Numbering, Recent};

/// The number of a text that is not there.
pub const NULL: u32 = u32::MAX;

/// The time that is not there; no time that is read comes near.
pub const NO_TIME: i64 = i64::MIN;

/// The value that is not there, of those that [`Column::set_cell`] takes.
pub const NO_CELL: i64 = NO_TIME;

/// A column of which this many in a hundred texts are distinct does not repeat.
const DISTINCT_PERCENT: usize = 66;

/// Fewer texts than this say nothing about a column.
const TELLING_ROWS: usize = 512;

/// A longer text gets no number: whoever fills the columns refuses its record.
pub const MAX_TEXT_BYTES: usize = 32 << 20;

/// A column with this much text makes room for as much again, up to a bound: one strange object says little.
const MUCH_TEXT_BYTES: usize = 256 << 10;
const MOST_ROOM_BYTES: usize = 16 << 20;

/// After so many batches it is tried again whether a column repeats.
const RETRY_BATCHES: u32 = 32;

/// Texts by number, each kept once while that pays.
#[derive(Debug)]
pub struct Texts {
    numbering: Numbering,
    /// Of parts of texts: equal ones that are far apart may be kept twice.
    recent: Recent,
    /// Where each text ends; the first is 0, where the first text begins.
    ends: Vec<i32>,
    text: String,
    is_shared: bool,
    /// The last text with each mark, by number; empty until one is to be found again. A column uses either kind of mark.
    marked: Vec<u32>,
}

/// Marks of texts that may repeat: a power of two.
const MARKS: usize = 64;

impl Texts {
    /// With room for so many bytes of them.
    fn new(is_shared: bool, bytes: usize) -> Self {
        let (text, marked) = (String::with_capacity(bytes), Vec::new());
        Texts {
            numbering: Numbering::default(),
            recent: Recent::default(),
            ends: vec![0],
            text,
            is_shared,
            marked,
        }
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// How many bytes it takes to know them again, besides their text.
    pub fn bytes_of_numbers(&self) -> usize {
        self.numbering.bytes() + self.ends.len() * size_of::<i32>()
    }

    /// Whether equal texts have one number.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// The text of a number; empty for [`NULL`].
    #[inline]
    pub fn get(&self, number: u32) -> &str {
        text_of(&self.ends, &self.text, number)
    }

    /// The number of a text, a new one when it is not there yet; [`NULL`] for one of more than [`MAX_TEXT_BYTES`].
    #[inline]
    pub fn number(&mut self, text: &str) -> u32 {
        let Texts { numbering, ends, text: all, is_shared, .. } = self;
        if text.len() > MAX_TEXT_BYTES {
            return NULL;
        }
        let next = u32::try_from(ends.len() - 1).unwrap_or(NULL);
        if *is_shared {
            let (number, is_new) = numbering.number(text, next, |number| text_of(ends, all, number));
            if !is_new {
                return number;
            }
        }
        self.add(text)
    }

    /// The number of a part of a text, a new one when it is not known, see [`Recent`].
    #[expect(clippy::inline_always, reason = "it is called for every row, in one loop")]
    #[inline(always)]
    fn number_in(&mut self, text: &str, part: Range<usize>) -> u32 {
        let next = u32::try_from(self.len()).unwrap_or(NULL);
        if self.is_shared {
            match self.recent.number_in(text, part.clone(), next) {
                Some((number, false)) => return number,
                Some((_, true)) => {}
                None => return self.number(&text[part]),
            }
        }
        self.add(&text[part])
    }

    /// Adds a text; returns its number.
    fn add(&mut self, text: &str) -> u32 {
        let number = u32::try_from(self.len()).unwrap_or(NULL);
        self.text.push_str(text);
        // Whoever fills the column refuses what would take it to 2 GiB.
        self.ends.push(i32::try_from(self.text.len()).unwrap_or(i32::MAX));
        number
    }

    /// The number of a text that is a JSON value, which [`Texts::container`] may find again.
    #[inline]
    pub fn number_container(&mut self, text: &str) -> u32 {
        let number = self.number(text);
        self.remember(mark_of_container(text.as_bytes()), number);
        number
    }

    /// A JSON object or array that some bytes begin with and that was numbered not long ago: its number and its length.
    /// What ends with its own bracket cannot go on.
    #[inline]
    pub fn container(&self, bytes: &[u8]) -> Option<(u32, usize)> {
        let number = *self.marked.get(mark_of_container(bytes)?)?;
        let text = self.get(number).as_bytes();
        (number != NULL && begins_with(bytes, text)).then_some((number, text.len()))
    }

    /// The number of a text that may have been numbered not long ago.
    #[inline]
    pub fn number_again(&mut self, text: &str) -> u32 {
        let mark = mark_of(text.as_bytes());
        if let Some(number) = mark.and_then(|mark| self.marked.get(mark))
            && *number != NULL
            && is_same(self.get(*number).as_bytes(), text.as_bytes())
        {
            return *number;
        }
        let number = self.number(text);
        self.remember(mark, number);
        number
    }

    #[inline]
    fn remember(&mut self, mark: Option<usize>, number: u32) {
        if let (true, Some(mark)) = (self.is_shared, mark) {
            self.marked.resize(MARKS, NULL);
            self.marked[mark] = number;
        }
    }

    fn into_array(self) -> Result<StringArray, ArrowError> {
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        StringArray::try_new(ends, Buffer::from_vec(self.text.into_bytes()), None)
    }
}

/// Whether some bytes begin with a text.
#[inline]
pub fn begins_with(bytes: &[u8], text: &[u8]) -> bool {
    bytes.get(..text.len()).is_some_and(|bytes| is_same(bytes, text))
}

/// Whether two texts are the same. Most are short: they are compared as two numbers, for which no call is needed.
#[inline]
fn is_same(bytes: &[u8], text: &[u8]) -> bool {
    if bytes.len() != text.len() {
        return false;
    }
    match text.len() {
        8..16 => {
            bytes.first_chunk::<8>() == text.first_chunk() && bytes.last_chunk::<8>() == text.last_chunk()
        }
        16..32 => {
            bytes.first_chunk::<16>() == text.first_chunk() && bytes.last_chunk::<16>() == text.last_chunk()
        }
        _ => bytes == text,
    }
}

/// Where a container is remembered, by some of its bytes; short ones are not.
#[inline]
fn mark_of_container(bytes: &[u8]) -> Option<usize> {
    let bytes: &[u8; 96] = bytes.first_chunk()?;
    let mut mark = 0_u64;
    for at in [8, 40, 56, 72, 88] {
        mark = mixed(mark, *bytes[at..].first_chunk()?);
    }
    Some((mark >> 32) as usize % MARKS)
}

/// Where a text is remembered, by its first bytes and its last; the shortest are not.
#[inline]
fn mark_of(bytes: &[u8]) -> Option<usize> {
    let mark = mixed(mixed(bytes.len() as u64, *bytes.first_chunk()?), *bytes.last_chunk()?);
    Some((mark >> 32) as usize % MARKS)
}

#[inline]
fn mixed(mark: u64, word: [u8; 8]) -> u64 {
    (mark ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn text_of<'a>(ends: &[i32], text: &'a str, number: u32) -> &'a str {
    let number = number as usize;
    let span = ends.get(number).zip(ends.get(number + 1));
    span.and_then(|(start, end)| text.get(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?))
        .unwrap_or_default()
}

/// A column of text.
#[derive(Debug)]
pub struct TextColumn {
    /// For each row the number of its text, or [`NULL`]; rows beyond its end are null.
    rows: Vec<u32>,
    len: usize,
    /// The texts.
    pub texts: Texts,
    /// Batches until it is tried again whether the column repeats.
    unshared_batches: u32,
}

impl Default for TextColumn {
    fn default() -> Self {
        Self::new()
    }
}

impl TextColumn {
    /// An empty column.
    pub fn new() -> Self {
        TextColumn { rows: Vec::new(), len: 0, texts: Texts::new(true, 0), unshared_batches: 0 }
    }

    /// Sets the text of a row.
    #[inline]
    pub fn set(&mut self, row: usize, text: &str) {
        let number = self.texts.number(text);
        self.set_number(row, number);
    }

    /// Sets a row to the text of a number, or to [`NULL`].
    #[inline]
    pub fn set_number(&mut self, row: usize, number: u32) {
        if row >= self.rows.len() {
            if number == NULL {
                return;
            }
            self.rows.resize(self.len, NULL);
        }
        self.rows[row] = number;
    }

    /// Sets rows to one text.
    pub fn fill(&mut self, rows: Range<usize>, text: &str) {
        let number = self.texts.number(text);
        self.rows.resize(self.len, NULL);
        self.rows[rows].fill(number);
    }

    /// Appends a row.
    #[inline]
    pub fn push(&mut self, text: Option<&str>) {
        let row = self.len;
        self.len += 1;
        if let Some(text) = text {
            let number = self.texts.number(text);
            self.rows.resize(row, NULL);
            self.rows.push(number);
        }
    }

    /// Appends rows that have parts of a text, in bytes of it and each of whole characters, or nothing.
    #[inline]
    pub fn append_parts(&mut self, text: &str, mut parts: impl Iterator<Item = Option<Range<usize>>>) {
        let TextColumn { rows, len, texts, .. } = self;
        if rows.is_empty() {
            // Before the first that has a text, rows take no room.
            let first = loop {
                match parts.next() {
                    Some(Some(part)) => break part,
                    Some(None) => *len += 1,
                    None => return,
                }
            };
            rows.resize(*len, NULL);
            rows.push(texts.number_in(text, first));
        } else {
            rows.resize(*len, NULL);
        }
        rows.extend(parts.map(|part| part.map_or(NULL, |part| texts.number_in(text, part))));
        *len = rows.len();
    }

    /// Makes room for so many more rows.
    pub fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
    }

    /// Appends rows of one text.
    pub fn append_run(&mut self, text: &str, count: usize) {
        let number = if count == 0 { NULL } else { self.texts.number(text) };
        self.rows.resize(self.len, NULL);
        self.len += count;
        self.rows.resize(self.len, number);
    }

    /// Appends rows without a text.
    pub fn append_nulls(&mut self, count: usize) {
        self.len += count;
    }

    /// Drops the rows beyond so many.
    pub fn truncate(&mut self, rows: usize) {
        self.len = self.len.min(rows);
        self.rows.truncate(rows);
    }

    /// How many bytes the texts take.
    pub fn bytes(&self) -> usize {
        self.texts.text.len()
    }

    /// For each row the number of its text, or [`NULL`]; empty when all are.
    pub fn numbers(&mut self) -> &[u32] {
        if !self.rows.is_empty() {
            self.rows.resize(self.len, NULL);
        }
        &self.rows
    }

    /// The text of a row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&str> {
        let number = self.rows.get(row).copied().unwrap_or(NULL);
        (number != NULL).then(|| self.texts.get(number))
    }

    /// The rows as a dictionary, or as nothing when all are null; the column is empty again, and shares equal texts
    /// if that paid.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let len = std::mem::take(&mut self.len);
        let there = self.rows.iter().filter(|number| **number != NULL).count();
        if there == 0 {
            self.rows.clear();
            // Texts that no row has are those of rows that were dropped.
            if self.texts.len() > 0 {
                self.texts = Texts::new(self.texts.is_shared, 0);
            }
            return Ok(Arc::new(NullArray::new(len)));
        }
        self.rows.resize(len, NULL);
        if self.texts.is_shared {
            let is_telling = there >= TELLING_ROWS;
            let repeats = self.texts.len() * 100 < there * DISTINCT_PERCENT;
            self.unshared_batches = if is_telling && !repeats { RETRY_BATCHES } else { 0 };
        } else {
            self.unshared_batches = self.unshared_batches.saturating_sub(1);
        }
        // A column that holds much holds about as much the next time: growing to it again would copy most of it.
        let much = Some(self.bytes()).filter(|bytes| *bytes >= MUCH_TEXT_BYTES);
        let room = much.map_or(0, |bytes| (bytes + bytes / 8).min(MOST_ROOM_BYTES));
        let new = Texts::new(self.unshared_batches == 0, room);
        let mut texts = std::mem::replace(&mut self.texts, new);
        if self.texts.is_shared {
            self.texts.numbering = std::mem::take(&mut texts.numbering);
            self.texts.numbering.clear();
            self.texts.recent = std::mem::take(&mut texts.recent);
            self.texts.recent.clear();
        }
        let mut rows = std::mem::take(&mut self.rows);
        let nulls = (there < rows.len())
            .then(|| NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |row| rows[row] != NULL)));
        if nulls.is_some() {
            rows.iter_mut().filter(|number| **number == NULL).for_each(|number| *number = 0);
        }
        let numbers = PrimitiveArray::<UInt32Type>::try_new(ScalarBuffer::from(rows), nulls)?;
        Ok(Arc::new(DictionaryArray::try_new(numbers, Arc::new(texts.into_array()?))?))
    }
}

/// One column being filled.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each column of a table, and most are of text"
)]
pub enum Column {
    /// Text.
    Text(TextColumn),
    /// Booleans: 0 false, 1 true, 2 null.
    Bool(Vec<u8>),
    /// Times in microseconds, or [`NO_TIME`].
    Time(Vec<i64>),
    /// Numbers.
    Int32(Vec<i32>),
    /// Numbers, or null.
    Int64(Vec<Option<i64>>),
    /// Days, or null.
    Date(Vec<Option<i32>>),
}

/// Null in a column of booleans.
pub const NO_BOOL: u8 = 2;

impl Column {
    /// An empty column of a kind.
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Bool | Kind::BoolText => Column::Bool(Vec::new()),
            Kind::Timestamp | Kind::Seconds => Column::Time(Vec::new()),
            Kind::Int32 | Kind::SourceRow => Column::Int32(Vec::new()),
            Kind::Int64 => Column::Int64(Vec::new()),
            Kind::Date | Kind::EventDate => Column::Date(Vec::new()),
            Kind::Text
            | Kind::Json
            | Kind::Derived
            | Kind::OtherFields
            | Kind::NullFields
            | Kind::SourceObject => Column::Text(TextColumn::new()),
        }
    }

    /// Makes the column this long: rows that are new are null, those beyond are dropped.
    pub fn resize(&mut self, rows: usize) {
        match self {
            Column::Text(column) => {
                column.len = rows;
                column.rows.truncate(rows);
            }
            Column::Bool(values) => values.resize(rows, NO_BOOL),
            Column::Time(values) => values.resize(rows, NO_TIME),
            Column::Int32(values) => values.resize(rows, 0),
            Column::Int64(values) => values.resize(rows, None),
            Column::Date(values) => values.resize(rows, None),
        }
    }

    /// Sets a row to null.
    pub fn clear(&mut self, row: usize) {
        self.set_cell(row, NO_CELL);
    }

    /// Sets a row to the number of a text, to a boolean or to a time, by what the column holds; or to null.
    #[inline]
    pub fn set_cell(&mut self, row: usize, cell: i64) {
        match self {
            Column::Text(column) => column.set_number(row, u32::try_from(cell).unwrap_or(NULL)),
            Column::Bool(values) => values[row] = u8::try_from(cell).unwrap_or(NO_BOOL),
            Column::Time(values) => values[row] = cell,
            Column::Int32(values) => values[row] = i32::try_from(cell).unwrap_or_default(),
            Column::Int64(values) => values[row] = (cell != NO_CELL).then_some(cell),
            Column::Date(values) => values[row] = i32::try_from(cell).ok(),
        }
    }

    /// Sets all rows, each to the cell of a number or, of [`NULL`], to null.
    pub fn set_cells(&mut self, numbers: &[u32], cells: &[i64]) {
        let cells = numbers.iter().map(|number| cells.get(*number as usize).copied().unwrap_or(NO_CELL));
        match self {
            Column::Text(column) => {
                column.rows.clear();
                column.rows.extend(cells.map(|cell| u32::try_from(cell).unwrap_or(NULL)));
                if column.rows.iter().all(|number| *number == NULL) {
                    column.rows.clear();
                }
            }
            Column::Bool(values) => {
                let values = values.iter_mut().zip(cells);
                values.for_each(|(value, cell)| *value = u8::try_from(cell).unwrap_or(NO_BOOL));
            }
            Column::Time(values) => values.iter_mut().zip(cells).for_each(|(value, cell)| *value = cell),
            Column::Int32(_) | Column::Int64(_) | Column::Date(_) => {
                (0..).zip(cells).for_each(|(row, cell)| self.set_cell(row, cell));
            }
        }
    }

    /// Whether none of these rows has a value.
    pub fn is_null_in(&self, rows: Range<usize>) -> bool {
        match self {
            Column::Text(column) => rows.into_iter().all(|row| column.get(row).is_none()),
            Column::Bool(values) => values[rows].iter().all(|value| *value == NO_BOOL),
            Column::Time(values) => values[rows].iter().all(|value| *value == NO_TIME),
            Column::Int32(_) => rows.is_empty(),
            Column::Int64(values) => values[rows].iter().all(Option::is_none),
            Column::Date(values) => values[rows].iter().all(Option::is_none),
        }
    }

    /// How many bytes of text the column holds.
    pub fn bytes(&self) -> usize {
        if let Column::Text(column) = self { column.bytes() } else { 0 }
    }

    /// The rows as an array; the column is empty again.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Column::Text(column) => column.finish()?,
            Column::Bool(values) => {
                let values = std::mem::take(values);
                let bits = BooleanBuffer::collect_bool(values.len(), |row| values[row] == 1);
                Arc::new(BooleanArray::new(bits, nulls(&values, |value| *value != NO_BOOL)))
            }
            Column::Time(values) => {
                let values = std::mem::take(values);
                let nulls = nulls(&values, |value| *value != NO_TIME);
                Arc::new(TimestampMicrosecondArray::try_new(values.into(), nulls)?.with_timezone("UTC"))
            }
            Column::Int32(values) => Arc::new(Int32Array::from(std::mem::take(values))),
            Column::Int64(values) => Arc::new(Int64Array::from(std::mem::take(values))),
            Column::Date(values) => Arc::new(Date32Array::from(std::mem::take(values))),
        })
    }
}

fn nulls<T>(values: &[T], is_there: impl Fn(&T) -> bool) -> Option<NullBuffer> {
    values
        .iter()
        .any(|value| !is_there(value))
        .then(|| NullBuffer::new(BooleanBuffer::collect_bool(values.len(), |row| is_there(&values[row]))))
}

/// A batch of finished columns, in the table's order; text columns are dictionaries.
pub fn batch(table: &Table, arrays: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = table
        .columns
        .iter()
        .zip(&arrays)
        .map(|(column, array)| Field::new(column.name, array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// A batch in the table's schema: its text columns are no dictionaries, its empty ones have a type.
pub fn unpacked(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let arrays = batch.columns().iter().zip(table.columns).map(|(array, column)| {
        if array.data_type() == &DataType::Null {
            return Ok(new_null_array(&column.kind.data_type(), array.len()));
        }
        let Some(dictionary) = array.as_dictionary_opt::<UInt32Type>() else { return Ok(Arc::clone(array)) };
        take(dictionary.values(), dictionary.keys(), None)
    });
    RecordBatch::try_new(table.schema(), arrays.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(column: &mut Column) -> &mut TextColumn {
        let Column::Text(column) = column else { panic!("a column of text") };
        column
    }

    #[test]
    fn texts_are_kept_once_until_they_turn_out_distinct() {
        let mut column = Column::new(Kind::Text);
        for round in 0..3 {
            let rows = TELLING_ROWS * 2;
            column.resize(rows);
            let of_text = text(&mut column);
            assert_eq!(of_text.texts.is_shared(), round == 0);
            (0..rows).filter(|row| row % 7 != 0).for_each(|row| of_text.set(row, &format!("text {row}")));
            let array = column.finish().unwrap();
            let array = array.as_dictionary::<UInt32Type>().downcast_dict::<StringArray>().unwrap();
            for (row, found) in array.into_iter().enumerate() {
                assert_eq!(found, (row % 7 != 0).then(|| format!("text {row}")).as_deref());
            }
        }
        // Tried again at last, and found to repeat.
        for _ in 0..RETRY_BATCHES {
            column.resize(1);
            text(&mut column).set(0, "x");
            column.finish().unwrap();
        }
        column.resize(1000);
        (0..1000).for_each(|row| text(&mut column).set(row, ["a", "b", ""][row % 3]));
        assert_eq!((text(&mut column).texts.len(), column.bytes()), (3, 2));
        column.finish().unwrap();
        assert!(text(&mut column).texts.is_shared());
    }

    #[test]
    fn a_beginning_is_found_in_any_length() {
        let bytes: Vec<u8> = (0..60).collect();
        for length in 0..50 {
            let mut text = bytes[..length].to_vec();
            assert!(begins_with(&bytes, &text) && begins_with(&bytes[..length], &text));
            assert!(length == 0 || !begins_with(&bytes[..length - 1], &text));
            for at in 0..length {
                text[at] ^= 1;
                assert!(!begins_with(&bytes, &text), "{length} {at}");
                text[at] ^= 1;
            }
        }
    }

    #[test]
    fn rows_beyond_are_dropped_and_new_ones_null() {
        for kind in [Kind::Text, Kind::Bool, Kind::Timestamp, Kind::Int64, Kind::Date] {
            let mut column = Column::new(kind);
            column.resize(9);
            column.resize(4);
            let array = column.finish().unwrap();
            assert_eq!((array.len(), array.logical_null_count()), (4, 4), "{kind:?}");
            assert_eq!(array.data_type() == &DataType::Null, kind == Kind::Text);
        }
    }
}
