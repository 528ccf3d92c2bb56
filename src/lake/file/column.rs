//! One column of some rows into the pages of a column chunk.
//!
//! What repeats becomes a dictionary, times and counters become differences, the rest stands as it is. Must never
//! lose a value: a type it does not know is an error.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use fearless_simd::{Level, dispatch};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parquet::basic::{Encoding, Type};
use parquet::bloom_filter::Sbbf;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;
use std::borrow::Cow;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;
use zstd::bulk::Compressor;

use super::bits;
use super::order::Run;
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

impl Wanted {
    /// The pages of a chunk of the rows of these places.
    fn pages<'a>(&self, places: &[u32], compressor: &'a mut Compressor<'static>) -> Pages<'a> {
        Pages::new(self.column.clone(), places.len(), compressor)
    }
}

/// The rows of a file: as they come in runs, and in the order they are written in.
#[derive(Debug)]
pub struct Rows<'a> {
    /// As they come: which rows of which array.
    runs: &'a [Run],
    /// In order: the place of each.
    places: &'a [u32],
    /// The rows of a group, at most.
    of_group: usize,
    /// For each place, where it is in order; made where it is asked for.
    inverse: OnceLock<Vec<u32>>,
}

impl<'a> Rows<'a> {
    /// Rows whose places are these, in groups of so many.
    pub fn new(runs: &'a [Run], places: &'a [u32], of_group: usize) -> Self {
        Rows { runs, places, of_group, inverse: OnceLock::new() }
    }

    fn inverse(&self) -> &[u32] {
        self.inverse.get_or_init(|| {
            let mut inverse = vec![0; self.places.len()];
            for (at, place) in (0..).zip(self.places) {
                inverse[*place as usize] = at;
            }
            inverse
        })
    }
}

/// Encodes the values of rows, which are taken from these arrays of one type: a chunk for each group of rows.
pub fn encode(
    arrays: &[&ArrayRef],
    rows: &Rows,
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
    let groups = rows.places.chunks(rows.of_group);
    match data_type {
        DataType::Null => {
            let of = wanted.column.physical_type();
            groups.map(|places| nothing(places.len(), of, wanted.pages(places, compressor))).collect()
        }
        of if is_text(of) => {
            let texts = Texts::new(arrays, rows.runs, wanted.bounds, rows.of_group);
            let texts = texts.ok_or_else(|| unknown(of))?;
            groups
                .map(|places| text(texts.of(places), places.len(), wanted, wanted.pages(places, compressor)))
                .collect()
        }
        DataType::Boolean => {
            let values = flat_booleans(arrays, rows.runs);
            groups.map(|places| booleans(&values, places, wanted.pages(places, compressor))).collect()
        }
        DataType::Int32 => numbers::<Int32Type>(arrays, rows, wanted, compressor),
        DataType::Date32 => numbers::<Date32Type>(arrays, rows, wanted, compressor),
        DataType::Int64 => numbers::<Int64Type>(arrays, rows, wanted, compressor),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            numbers::<TimestampMicrosecondType>(arrays, rows, wanted, compressor)
        }
        other => Err(unknown(other)),
    }
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
    let mut values = Vec::with_capacity(texts.iter().map(|text| text.len() + 4).sum());
    for text in texts {
        append_plain(text, &mut values);
    }
    pages.dictionary(&values, texts.len(), wanted.bounds)?;
    let width = bits::width_of(texts.len().saturating_sub(1) as u64);
    let nulls = numbers.iter().filter(|number| **number == u32::MAX).count();
    for rows in numbers.chunks(PAGE_ROWS) {
        let (levels, some) = if nulls == 0 { Default::default() } else { levels_of_numbers(rows) };
        let there = if nulls == 0 { rows } else { &some };
        // The texts are in order where bounds are wanted.
        let wider = |(least, most): (u32, u32), number: &u32| (least.min(*number), most.max(*number));
        let found = dispatch!(Level::new(), _ => there.iter().fold((u32::MAX, 0), wider));
        let text = |number: u32| texts.get(number as usize).filter(|_| wanted.bounds);
        let bounds = text(found.0).zip(text(found.1)).and_then(|(least, most)| bounds_of(least, most));
        let nulls = rows.len() - there.len();
        let of = PageOf { rows: rows.len(), nulls, bounds, encoding: Encoding::RLE_DICTIONARY };
        pages.page(of, &levels, |out| {
            out.push(width);
            bits::hybrid(there, width, out);
        })?;
    }
    let bounds = texts.first().zip(texts.last()).filter(|_| wanted.bounds);
    let bounds = bounds.map(|(least, most)| (*least, *most));
    let filter =
        if wanted.bloom_filter { Some(bloom_filter(plain_texts(&values), texts.len())?) } else { None };
    pages.finish(Some(text_statistics(bounds, nulls)), filter)
}

fn plain(texts: &[Option<&str>], wanted: &Wanted, mut pages: Pages) -> Result<Chunk> {
    let mut all: Option<(&str, &str)> = None;
    let mut rest = texts;
    while !rest.is_empty() {
        let mut bytes = 0;
        let page = rest.iter().take(PAGE_ROWS).take_while(|text| {
            let is_within = bytes < PAGE_BYTES;
            if is_within {
                bytes += text.map_or(0, |text| text.len() + 4);
            }
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
    let filter =
        if wanted.bloom_filter { Some(bloom_filter(there().map(str::as_bytes), count)?) } else { None };
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

/// The texts that [`append_plain`] wrote.
fn plain_texts(mut plain: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = plain.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        plain = rest;
        Some(text)
    })
}

fn bloom_filter<'a>(texts: impl Iterator<Item = &'a [u8]>, count: usize) -> Result<Sbbf> {
    let mut filter = Sbbf::new_with_ndv_fpp(count.max(1) as u64, FALSE_POSITIVES)?;
    dispatch!(Level::new(), _ => texts.for_each(|text| filter.insert(text)));
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

/// The values of all rows as they come.
fn flat_booleans(arrays: &[&ArrayRef], runs: &[Run]) -> Vec<Option<bool>> {
    let sources: Vec<_> = arrays.iter().map(|array| array.as_boolean_opt()).collect();
    let of_run = |run: &Run| {
        let array = sources[run.source as usize];
        run.range().map(move |row| array.filter(|array| array.is_valid(row)).map(|array| array.value(row)))
    };
    runs.iter().flat_map(of_run).collect()
}

fn booleans(values: &[Option<bool>], places: &[u32], mut pages: Pages) -> Result<Chunk> {
    let (mut seen, mut nulls) = ((None::<bool>, None::<bool>), 0);
    for rows in places.chunks(PAGE_ROWS) {
        let (levels, there) = levels(rows, |place| values[*place as usize]);
        let (least, most) = (there.iter().min().copied(), there.iter().max().copied());
        seen = (seen.0.into_iter().chain(least).min(), seen.1.max(most));
        let bounds = least.zip(most).map(|(least, most)| (vec![u8::from(least)], vec![u8::from(most)]));
        let of_page = rows.len() - there.len();
        nulls += of_page;
        let of = PageOf { rows: rows.len(), nulls: of_page, bounds, encoding: Encoding::PLAIN };
        pages.page(of, &levels, |out| {
            bits::booleans(&there, out);
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
    rows: &Rows,
    wanted: &Wanted,
    compressor: &mut Compressor<'static>,
) -> Result<Vec<Chunk>> {
    let flat = Flat::<T>::new(arrays, rows);
    let groups = rows.places.chunks(rows.of_group).zip((0..).step_by(rows.of_group));
    let group = |(places, start): (&[u32], usize)| {
        let levels = flat.levels.get(start..start + places.len()).unwrap_or_default();
        numbers_of_group::<T>(
            places.len(),
            levels,
            &flat.of(places, levels),
            wanted,
            wanted.pages(places, compressor),
        )
    };
    groups.map(group).collect()
}

/// The numbers of all rows.
struct Flat<'a, T: Stored> {
    /// As they come; of rows that have none, any.
    values: Cow<'a, [T::Native]>,
    /// In order, a 1 for those that have one; empty when all have.
    levels: Vec<u32>,
}

impl<'a, T: Stored> Flat<'a, T> {
    fn new(arrays: &[&'a ArrayRef], rows: &Rows) -> Self {
        let sources: Vec<Option<&'a PrimitiveArray<T>>> =
            arrays.iter().map(|array| array.as_primitive_opt::<T>()).collect();
        let source = |run: &Run| sources[run.source as usize];
        let values = match rows.runs {
            [only] if let Some(array) = source(only) => Cow::Borrowed(&array.values()[only.range()]),
            runs => {
                let mut values = Vec::with_capacity(rows.places.len());
                for run in runs {
                    match source(run) {
                        Some(array) => values.extend_from_slice(&array.values()[run.range()]),
                        None => values.resize(values.len() + run.range().len(), T::Native::default()),
                    }
                }
                Cow::Owned(values)
            }
        };
        let mut flat = Flat { values, levels: Vec::new() };
        let mut start = 0;
        for run in rows.runs {
            match source(run) {
                Some(array) if array.null_count() == 0 => {}
                Some(array) => {
                    let nulls = array.slice(run.range().start, run.range().len());
                    let nulls = nulls.nulls().map(|nulls| !nulls.inner());
                    nulls
                        .iter()
                        .flat_map(|nulls| nulls.set_indices())
                        .for_each(|row| flat.clear(start + row, rows));
                }
                None => (start..start + run.range().len()).for_each(|place| flat.clear(place, rows)),
            }
            start += run.range().len();
        }
        flat
    }

    /// Notes that the row of a place has none.
    fn clear(&mut self, place: usize, rows: &Rows) {
        if self.levels.is_empty() {
            self.levels = vec![1; rows.places.len()];
        }
        self.levels[rows.inverse()[place] as usize] = 0;
    }

    /// The numbers of a group of rows that have one.
    fn of(&self, places: &[u32], levels: &[u32]) -> Vec<i64> {
        let value = |place: &u32| T::wide(self.values[*place as usize]);
        if levels.is_empty() {
            return places.iter().map(value).collect();
        }
        // Those that are not there are written over by the next.
        let mut there = vec![0; places.len()];
        let mut count = 0;
        for (place, level) in places.iter().zip(levels) {
            there[count] = value(place);
            count += *level as usize;
        }
        there.truncate(count);
        there
    }
}

fn numbers_of_group<T: Stored>(
    rows: usize,
    levels: &[u32],
    values: &[i64],
    wanted: &Wanted,
    mut pages: Pages,
) -> Result<Chunk> {
    let parts = parts(rows, levels, values);
    let bounds = parts.iter().filter_map(|part| part.bounds).reduce(wider);
    let distinct =
        bounds.filter(|_| !wanted.grows).and_then(|(least, most)| Distinct::of(values, least, most));
    if let Some(distinct) = &distinct {
        let mut plain = Vec::new();
        for value in &distinct.values {
            append_number::<T>(*value, &mut plain);
        }
        pages.dictionary(&plain, distinct.values.len(), false)?;
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
    pages.finish(Some(number_statistics::<T>(bounds, rows - values.len())), None)
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
        let bounds = dispatch!(Level::new(), _ => least_and_most(&values[there.clone()]));
        Part { rows, there, bounds }
    };
    (0..rows).step_by(PAGE_ROWS).map(part).collect()
}

fn wider(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    (one.0.min(other.0), one.1.max(other.1))
}

/// Four at a time: one comparison does not wait for the one before it.
#[expect(clippy::inline_always, reason = "it is compiled for what each processor can do")]
#[inline(always)]
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
        let mut is_used = vec![0_u8; steps.count];
        let mut numbers: Vec<u32> = Vec::with_capacity(values.len());
        numbers.extend(values.iter().map(|value| {
            let step = steps.step(*value);
            is_used[step as usize] = 1;
            step
        }));
        let mut own = Vec::with_capacity(steps.count);
        let mut distinct = Vec::new();
        for (step, is_used) in (0..).zip(is_used) {
            // At most as many as there are steps.
            own.push(u32::try_from(distinct.len()).unwrap_or(u32::MAX));
            distinct.extend((is_used == 1).then(|| steps.value(step)));
        }
        if distinct.len() > (values.len() / 4).max(16) {
            return None;
        }
        for number in &mut numbers {
            *number = own[*number as usize];
        }
        Some(Distinct { values: distinct, numbers })
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
    fn step(self, value: i64) -> u32 {
        let steps =
            if self.size == 1 { value.abs_diff(self.least) } else { value.abs_diff(self.least) / MICROS };
        // No more than `count`, which is one.
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    fn value(self, step: u64) -> i64 {
        self.least.saturating_add_unsigned(step * self.size)
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
