//! One column of some rows into the pages of a column chunk.
//!
//! What repeats becomes a dictionary, times and counters become differences, the rest stands as it is. Must never
//! lose a value: a type it does not know is an error.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parquet::basic::{Encoding, Type};
use parquet::bloom_filter::Sbbf;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;
use std::hash::BuildHasher;
use std::ops::Range;
use zstd::bulk::Compressor;

use super::bits;
use super::order::Row;
use super::pages::{Bounds, Chunk, PAGE_ROWS, PageOf, Pages};
use super::text::{Text, Texts};

/// Bytes of the values of a page, at most, but for the last value.
const PAGE_BYTES: usize = 1 << 20;

/// Bytes of a bound; longer text is cut.
const BOUND_BYTES: usize = 64;

/// How often a Bloom filter may say that a value is there which is not.
const FALSE_POSITIVES: f64 = 0.02;

/// More distinct numbers than this get no dictionary when they have to be looked up by hash.
const MAX_DISTINCT_NUMBERS: usize = 1 << 14;

/// More numbers than this that could be are looked up by hash.
const MAX_STEPS: usize = 1 << 16;

/// What a column's chunks are to have.
#[derive(Debug)]
pub struct Wanted {
    /// The column.
    pub column: ColumnDescPtr,
    /// Least and greatest values, of pages and of the chunk.
    pub bounds: bool,
    /// A Bloom filter.
    pub bloom_filter: bool,
    /// Differences in the place of a dictionary: the values grow from row to row.
    pub grows: bool,
}

/// Encodes the values of groups of rows, which are taken from these arrays of one type: a chunk for each group.
pub fn encode(
    arrays: &[&ArrayRef],
    groups: &[&[Row]],
    wanted: &Wanted,
    compressor: &mut Compressor<'static>,
) -> Result<Vec<Chunk>> {
    // Of a column that some batches have no values for, those batches do not know the type.
    let mut types = arrays.iter().map(Array::data_type).filter(|found| **found != DataType::Null);
    let data_type = types.next().unwrap_or(&DataType::Null);
    let is_text = |of: &DataType| matches!(of, DataType::Utf8 | DataType::Dictionary(..));
    if let Some(other) = types.find(|other| *other != data_type && !(is_text(other) && is_text(data_type))) {
        return Err(unknown(other));
    }
    let texts = match data_type {
        of if is_text(of) => Some(Texts::new(arrays, groups).ok_or_else(|| unknown(of))?),
        _ => None,
    };
    let chunk = |rows: &&[Row]| {
        let pages = Pages::new(wanted.column.clone(), compressor);
        if let Some(texts) = &texts {
            return text(texts.of(rows), rows.len(), wanted, pages);
        }
        match data_type {
            DataType::Null => nothing(rows.len(), wanted.column.physical_type(), pages),
            DataType::Boolean => booleans(arrays, rows, pages),
            DataType::Int32 => numbers::<Int32Type>(arrays, rows, wanted, pages),
            DataType::Date32 => numbers::<Date32Type>(arrays, rows, wanted, pages),
            DataType::Int64 => numbers::<Int64Type>(arrays, rows, wanted, pages),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                numbers::<TimestampMicrosecondType>(arrays, rows, wanted, pages)
            }
            other => Err(unknown(other)),
        }
    };
    groups.iter().map(chunk).collect()
}

fn unknown(data_type: &DataType) -> ParquetError {
    ParquetError::NYI(format!("columns of type {data_type}"))
}

fn text(text: Text, rows: usize, wanted: &Wanted, pages: Pages) -> Result<Chunk> {
    match text {
        Text::Nothing => nothing(rows, Type::BYTE_ARRAY, pages),
        Text::Dictionary { texts, numbers } => dictionary(&texts, &numbers, wanted, pages),
        Text::Plain(texts) => plain(&texts, wanted, pages),
    }
}

/// A column without values: one page, however many rows.
fn nothing(rows: usize, of: Type, mut pages: Pages) -> Result<Chunk> {
    let page = PageOf { rows, nulls: rows, bounds: None, encoding: Encoding::PLAIN };
    pages.page(page, &[], |_| {})?;
    let nulls = Some(rows as u64);
    let statistics = match of {
        Type::BOOLEAN => Statistics::Boolean(ValueStatistics::new(None, None, None, nulls, false)),
        Type::INT32 => Statistics::Int32(ValueStatistics::new(None, None, None, nulls, false)),
        Type::INT64 => Statistics::Int64(ValueStatistics::new(None, None, None, nulls, false)),
        _ => text_statistics(None, rows),
    };
    pages.finish(Some(statistics), None)
}

fn dictionary(texts: &[&str], numbers: &[u32], wanted: &Wanted, mut pages: Pages) -> Result<Chunk> {
    let mut values = Vec::new();
    for text in texts {
        append_plain(text, &mut values);
    }
    pages.dictionary(&values, texts.len())?;
    let order = Order::new(texts, wanted.bounds);
    let width = bits::width_of(texts.len().saturating_sub(1) as u64);
    let nulls = numbers.iter().filter(|number| **number == u32::MAX).count();
    for rows in numbers.chunks(PAGE_ROWS) {
        let (levels, some) = if nulls == 0 { Default::default() } else { levels_of_numbers(rows) };
        let there = if nulls == 0 { rows } else { &some };
        let bounds = order.bounds(there).and_then(|(least, most)| bounds_of(least, most));
        let nulls = rows.len() - there.len();
        let of = PageOf { rows: rows.len(), nulls, bounds, encoding: Encoding::RLE_DICTIONARY };
        pages.page(of, &levels, |out| {
            out.push(width);
            bits::hybrid(there, width, out);
        })?;
    }
    let bounds = order.by_rank.first().zip(order.by_rank.last()).map(|(least, most)| (*least, *most));
    let filter =
        if wanted.bloom_filter { Some(bloom_filter(texts.iter().copied(), texts.len())?) } else { None };
    pages.finish(Some(text_statistics(bounds, nulls)), filter)
}

/// The order of a dictionary's texts.
struct Order<'a> {
    by_rank: Vec<&'a str>,
    ranks: Vec<u32>,
}

impl<'a> Order<'a> {
    fn new(texts: &[&'a str], is_wanted: bool) -> Self {
        if !is_wanted {
            return Order { by_rank: Vec::new(), ranks: Vec::new() };
        }
        // Most texts differ in their first bytes, which are compared as one number.
        let mut order: Vec<(u128, usize)> =
            texts.iter().enumerate().map(|(number, text)| (first_bytes(text), number)).collect();
        order.sort_unstable_by(|(a, first), (b, second)| {
            a.cmp(b).then_with(|| texts[*first].cmp(texts[*second]))
        });
        let mut ranks = vec![0; texts.len()];
        for (rank, (_, number)) in (0..).zip(&order) {
            ranks[*number] = rank;
        }
        Order { by_rank: order.into_iter().map(|(_, number)| texts[number]).collect(), ranks }
    }

    /// The least and the greatest of the texts with these numbers.
    fn bounds(&self, numbers: &[u32]) -> Option<(&'a str, &'a str)> {
        if self.ranks.is_empty() {
            return None;
        }
        let mut ranks = numbers.iter().map(|number| self.ranks[*number as usize]);
        let first = ranks.next()?;
        let (least, most) =
            ranks.fold((first, first), |(least, most), rank| (least.min(rank), most.max(rank)));
        Some((self.by_rank[least as usize], self.by_rank[most as usize]))
    }
}

/// The first sixteen bytes as a number that is less where they come first; what is missing counts as zeros.
fn first_bytes(text: &str) -> u128 {
    let mut first = [0; 16];
    let length = text.len().min(first.len());
    first[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(first)
}

fn plain(texts: &[Option<&str>], wanted: &Wanted, mut pages: Pages) -> Result<Chunk> {
    let mut all: Option<(&str, &str)> = None;
    let mut rest = texts;
    while !rest.is_empty() {
        let mut bytes = 0;
        let page = rest.iter().take(PAGE_ROWS).take_while(|text| {
            let is_within = bytes < PAGE_BYTES;
            bytes += text.map_or(0, |text| text.len() + 4);
            is_within
        });
        let (rows, after) = rest.split_at(page.count());
        rest = after;
        let (levels, there) = levels(rows, |text| *text);
        let found = if wanted.bounds { there.iter().min().zip(there.iter().max()) } else { None };
        if let Some((least, most)) = found {
            all = Some(all.map_or((*least, *most), |(low, high)| (low.min(least), high.max(most))));
        }
        let bounds = found.and_then(|(least, most)| bounds_of(least, most));
        let nulls = rows.len() - there.len();
        let of = PageOf { rows: rows.len(), nulls, bounds, encoding: Encoding::PLAIN };
        pages.page(of, &levels, |out| {
            out.reserve(bytes);
            for text in there {
                append_plain(text, out);
            }
        })?;
    }
    let there = || texts.iter().flatten().copied();
    let count = there().count();
    let filter = if wanted.bloom_filter { Some(bloom_filter(there(), count)?) } else { None };
    pages.finish(Some(text_statistics(all, texts.len() - count)), filter)
}

/// Definition levels, and the values that are there.
fn levels<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> Option<V>) -> (Vec<u32>, Vec<V>) {
    let mut levels = Vec::with_capacity(rows.len());
    let mut there = Vec::with_capacity(rows.len());
    for row in rows {
        let value = value(row);
        levels.push(u32::from(value.is_some()));
        there.extend(value);
    }
    (levels, there)
}

/// The same of the numbers of texts, without a branch for each.
fn levels_of_numbers(rows: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let levels: Vec<u32> = rows.iter().map(|number| u32::from(*number != u32::MAX)).collect();
    let mut there = vec![0; rows.len()];
    let mut count = 0;
    for (number, level) in rows.iter().zip(&levels) {
        there[count] = *number;
        count += *level as usize;
    }
    there.truncate(count);
    (levels, there)
}

fn append_plain(text: &str, out: &mut Vec<u8>) {
    // Columns of a batch have 31-bit offsets, so no text is longer.
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn bloom_filter<'a>(texts: impl Iterator<Item = &'a str>, count: usize) -> Result<Sbbf> {
    let mut filter = Sbbf::new_with_ndv_fpp(count.max(1) as u64, FALSE_POSITIVES)?;
    texts.for_each(|text| filter.insert(text));
    Ok(filter)
}

/// Bounds in the length that an index holds; none when nothing short is above the greatest.
fn bounds_of(least: &str, most: &str) -> Option<Bounds> {
    Some((cut(least).as_bytes().to_vec(), above(most)?.into_bytes()))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(BOUND_BYTES)]
}

/// The text, or a shorter one that no text with the same beginning is greater than.
fn above(text: &str) -> Option<String> {
    if text.len() <= BOUND_BYTES {
        return Some(text.to_owned());
    }
    let mut bound = cut(text).to_owned();
    while let Some(last) = bound.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32)
            && next.len_utf8() == last.len_utf8()
        {
            bound.push(next);
            return Some(bound);
        }
    }
    None
}

fn text_statistics(bounds: Option<(&str, &str)>, nulls: usize) -> Statistics {
    let least = bounds.map(|(least, _)| ByteArray::from(cut(least)));
    let most = bounds.and_then(|(_, most)| above(most)).map(|most| ByteArray::from(most.into_bytes()));
    let is_whole = |text: fn((&str, &str)) -> usize| bounds.is_some_and(|bounds| text(bounds) <= BOUND_BYTES);
    Statistics::ByteArray(
        ValueStatistics::new(least, most, None, Some(nulls as u64), false)
            .with_min_is_exact(is_whole(|(least, _)| least.len()))
            .with_max_is_exact(is_whole(|(_, most)| most.len())),
    )
}

fn booleans(arrays: &[&ArrayRef], rows: &[Row], mut pages: Pages) -> Result<Chunk> {
    let sources: Vec<_> = arrays.iter().map(|array| array.as_boolean_opt()).collect();
    let value = |row: &Row| {
        let (array, row) = (sources[row.source as usize]?, row.row as usize);
        array.is_valid(row).then(|| array.value(row))
    };
    let (mut seen, mut nulls) = ((None::<bool>, None::<bool>), 0);
    for rows in rows.chunks(PAGE_ROWS) {
        let (levels, there) = levels(rows, value);
        let (least, most) = (there.iter().min().copied(), there.iter().max().copied());
        seen = (seen.0.into_iter().chain(least).min(), seen.1.max(most));
        let bounds = least.zip(most).map(|(least, most)| (vec![u8::from(least)], vec![u8::from(most)]));
        let of_page = rows.len() - there.len();
        nulls += of_page;
        let of = PageOf { rows: rows.len(), nulls: of_page, bounds, encoding: Encoding::PLAIN };
        pages.page(of, &levels, |out| {
            bits::pack(there.iter().map(|value| u64::from(*value)), there.len(), 1, out);
        })?;
    }
    let statistics = ValueStatistics::new(seen.0, seen.1, None, Some(nulls as u64), false);
    pages.finish(Some(Statistics::Boolean(statistics)), None)
}

/// A number that is stored in four or in eight bytes.
trait Stored: ArrowPrimitiveType {
    const IS_NARROW: bool;
    fn wide(value: Self::Native) -> i64;
}

impl Stored for Int32Type {
    const IS_NARROW: bool = true;
    fn wide(value: i32) -> i64 {
        i64::from(value)
    }
}

impl Stored for Date32Type {
    const IS_NARROW: bool = true;
    fn wide(value: i32) -> i64 {
        i64::from(value)
    }
}

impl Stored for Int64Type {
    const IS_NARROW: bool = false;
    fn wide(value: i64) -> i64 {
        value
    }
}

impl Stored for TimestampMicrosecondType {
    const IS_NARROW: bool = false;
    fn wide(value: i64) -> i64 {
        value
    }
}

fn numbers<T: Stored>(
    arrays: &[&ArrayRef],
    rows: &[Row],
    wanted: &Wanted,
    mut pages: Pages,
) -> Result<Chunk> {
    let (levels, values) = numbers_of::<T>(arrays, rows);
    let parts = parts(rows.len(), &levels, &values);
    let bounds = parts.iter().filter_map(|part| part.bounds).reduce(wider);
    let distinct =
        bounds.filter(|_| !wanted.grows).and_then(|(least, most)| Distinct::of(&values, least, most));
    if let Some(distinct) = &distinct {
        let mut plain = Vec::new();
        distinct.values.iter().for_each(|value| append_number::<T>(*value, &mut plain));
        pages.dictionary(&plain, distinct.values.len())?;
    }
    let encoding = if distinct.is_some() { Encoding::RLE_DICTIONARY } else { Encoding::DELTA_BINARY_PACKED };
    for Part { rows: of_part, there, bounds } in parts {
        let bytes = |value: i64| {
            let mut bytes = Vec::new();
            append_number::<T>(value, &mut bytes);
            bytes
        };
        let bounds = bounds.map(|(least, most)| (bytes(least), bytes(most)));
        let of = PageOf { rows: of_part.len(), nulls: of_part.len() - there.len(), bounds, encoding };
        pages.page(of, levels.get(of_part).unwrap_or_default(), |out| match &distinct {
            Some(distinct) => distinct.append(there, out),
            None => bits::deltas(&values[there], T::IS_NARROW, out),
        })?;
    }
    pages.finish(Some(number_statistics::<T>(bounds, rows.len() - values.len())), None)
}

/// Rows of one page.
struct Part {
    rows: Range<usize>,
    /// Which of the values are theirs.
    there: Range<usize>,
    /// The least and the greatest of these.
    bounds: Option<(i64, i64)>,
}

/// Rows by page, with the bounds of each: all that is to be known of them is found in one go.
fn parts(rows: usize, levels: &[u32], values: &[i64]) -> Vec<Part> {
    let mut done = 0;
    let part = |start: usize| {
        let rows = start..(start + PAGE_ROWS).min(rows);
        let there = match levels.get(rows.clone()) {
            None | Some([]) => rows.len(),
            Some(levels) => levels.iter().map(|level| *level as usize).sum(),
        };
        let there = done..done + there;
        done = there.end;
        Part { rows, bounds: least_and_most(&values[there.clone()]), there }
    };
    (0..rows).step_by(PAGE_ROWS).map(part).collect()
}

fn wider(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    (one.0.min(other.0), one.1.max(other.1))
}

/// Definition levels, empty when there are no nulls, and the numbers that are there.
fn numbers_of<T: Stored>(arrays: &[&ArrayRef], rows: &[Row]) -> (Vec<u32>, Vec<i64>) {
    let sources: Vec<Option<&PrimitiveArray<T>>> =
        arrays.iter().map(|array| array.as_primitive_opt::<T>()).collect();
    // Without nulls there is nothing to ask of each row.
    let whole: Option<Vec<&[T::Native]>> = sources
        .iter()
        .map(|array| array.filter(|array| array.null_count() == 0).map(|array| &array.values()[..]))
        .collect();
    match whole.as_deref() {
        Some([only]) => {
            return (Vec::new(), rows.iter().map(|row| T::wide(only[row.row as usize])).collect());
        }
        Some(whole) => {
            let value = |row: &Row| T::wide(whole[row.source as usize][row.row as usize]);
            return (Vec::new(), rows.iter().map(value).collect());
        }
        None => {}
    }
    let sources: Vec<_> =
        sources.iter().map(|array| Some((&array.as_ref()?.values()[..], array.as_ref()?.nulls()))).collect();
    let mut levels = Vec::with_capacity(rows.len());
    // Those that are not there are written over by the next.
    let mut there = vec![0; rows.len()];
    let mut count = 0;
    for Row { source, row } in rows {
        let (level, value) = sources[*source as usize].map_or((0, 0), |(values, nulls)| {
            let is_there = nulls.is_none_or(|nulls| nulls.is_valid(*row as usize));
            (u32::from(is_there), T::wide(values[*row as usize]))
        });
        levels.push(level);
        there[count] = value;
        count += level as usize;
    }
    there.truncate(count);
    (levels, there)
}

/// Four at a time: one comparison does not wait for the one before it.
fn least_and_most(values: &[i64]) -> Option<(i64, i64)> {
    let first = *values.first()?;
    let (fours, rest) = values.as_chunks::<4>();
    let mut lanes = [(first, first); 4];
    for four in fours {
        for (lane, value) in lanes.iter_mut().zip(four) {
            *lane = wider(*lane, (*value, *value));
        }
    }
    lanes.into_iter().chain(rest.iter().map(|value| (*value, *value))).reduce(wider)
}

fn append_number<T: Stored>(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes()[..if T::IS_NARROW { 4 } else { 8 }]);
}

fn number_statistics<T: Stored>(bounds: Option<(i64, i64)>, nulls: usize) -> Statistics {
    let (least, most) = bounds.unzip();
    let nulls = Some(nulls as u64);
    if T::IS_NARROW {
        let narrow = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
        Statistics::Int32(ValueStatistics::new(narrow(least), narrow(most), None, nulls, false))
    } else {
        Statistics::Int64(ValueStatistics::new(least, most, None, nulls, false))
    }
}

/// Numbers, each once, and for every row which it is.
struct Distinct {
    values: Vec<i64>,
    numbers: Vec<u32>,
}

impl Distinct {
    /// Appends the numbers of some of the values, as a page of a dictionary's column holds them.
    fn append(&self, values: Range<usize>, out: &mut Vec<u8>) {
        let width = bits::width_of(self.values.len().saturating_sub(1) as u64);
        out.push(width);
        bits::hybrid(&self.numbers[values], width, out);
    }

    /// The numbers of values between these two; none when there are many.
    fn of(values: &[i64], least: i64, most: i64) -> Option<Self> {
        let distinct = match Steps::of(values, least, most) {
            Some(steps) => Distinct::of_steps(values, steps)?,
            None => Distinct::hashed(values)?,
        };
        Some(distinct).filter(|distinct| !distinct.values.is_empty())
    }

    fn of_steps(values: &[i64], steps: Steps) -> Option<Self> {
        let mut numbers_of = vec![u32::MAX; steps.count];
        let mut distinct = Distinct { values: Vec::new(), numbers: Vec::with_capacity(values.len()) };
        for value in values {
            let number = &mut numbers_of[steps.step(*value)];
            if *number == u32::MAX {
                // At most as many as there are steps.
                *number = u32::try_from(distinct.values.len()).unwrap_or(u32::MAX);
                distinct.values.push(*value);
            }
            distinct.numbers.push(*number);
        }
        Some(distinct).filter(|distinct| distinct.values.len() <= (values.len() / 4).max(16))
    }

    fn hashed(values: &[i64]) -> Option<Self> {
        let state = RandomState::default();
        let mut found: HashTable<u32> = HashTable::new();
        let mut distinct = Distinct { values: Vec::new(), numbers: Vec::with_capacity(values.len()) };
        let most = (values.len() / 4).clamp(16, MAX_DISTINCT_NUMBERS);
        let mut last = None;
        for value in values {
            if let Some((before, number)) = last
                && before == *value
            {
                distinct.numbers.push(number);
                continue;
            }
            let Distinct { values, numbers } = &mut distinct;
            let entry = found.entry(
                state.hash_one(*value),
                |number| values[*number as usize] == *value,
                |number| state.hash_one(values[*number as usize]),
            );
            let number = *entry.or_insert_with(|| u32::try_from(values.len()).unwrap_or(u32::MAX)).get();
            if number as usize == values.len() {
                values.push(*value);
            }
            numbers.push(number);
            last = Some((*value, number));
            if values.len() > most {
                return None;
            }
        }
        Some(distinct)
    }
}

/// Few numbers that could be: ports, protocols, the seconds of some hours. What has been seen of them is a table.
#[derive(Debug, Clone, Copy)]
struct Steps {
    least: i64,
    /// 1, or a second for times in microseconds.
    size: u64,
    count: usize,
}

impl Steps {
    /// None when there could be many.
    fn of(values: &[i64], least: i64, most: i64) -> Option<Self> {
        let of_size = |size: u64| {
            let count = usize::try_from(most.abs_diff(least) / size).ok()?.checked_add(1)?;
            (count <= MAX_STEPS).then_some(Steps { least, size, count })
        };
        let is_seconds = || values.iter().all(|value| value.abs_diff(least) % MICROS == 0);
        of_size(1).or_else(|| of_size(MICROS).filter(|_| is_seconds()))
    }

    #[inline]
    fn step(self, value: i64) -> usize {
        let steps =
            if self.size == 1 { value.abs_diff(self.least) } else { value.abs_diff(self.least) / MICROS };
        // No more than `count`, which is one.
        usize::try_from(steps).unwrap_or(usize::MAX)
    }
}

const MICROS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_long_texts_are_above_them() {
        let letters = |count| "a".repeat(count);
        for (text, bound) in [
            (letters(64), Some(letters(64))),
            (letters(65), Some(letters(63) + "b")),
            // What is cut may end between two characters, and the last one may have none after it.
            (letters(63) + "üx", Some(letters(62) + "b")),
            (letters(60) + "\u{10ffff}x", Some(letters(59) + "b")),
            (letters(63) + "\u{7f}x", Some(letters(62) + "b")),
            (letters(61) + "\u{d7ff}x", Some(letters(61) + "\u{e000}")),
            ("\u{10ffff}".repeat(17), None),
        ] {
            assert_eq!(above(&text), bound, "{text}");
            assert!(bound.is_none_or(|bound| bound >= text && bound.len() <= BOUND_BYTES));
        }
    }
}
