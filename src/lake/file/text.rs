//! Text of some rows, in whatever form it is held, as a dictionary or one after the other.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, UInt32Type};

use super::order::Run;
use crate::decode::numbering::Numbering;

/// A dictionary beyond this is given up: it is read whole, whichever row is asked for.
const MAX_DICTIONARY_BYTES: usize = 2 << 20;

/// After so many rows a dictionary that does not pay is given up.
const TRIAL_ROWS: usize = 4096;

/// One batch's column of text.
struct Source<'a> {
    /// For a dictionary, the number of each row's text; of rows that have none, any.
    numbers: Option<&'a [u32]>,
    nulls: Option<&'a NullBuffer>,
    /// None when no row has a text.
    texts: Option<&'a StringArray>,
}

impl<'a> Source<'a> {
    /// A column of strings, of strings in a dictionary, or of nothing.
    fn new(array: &'a dyn Array) -> Option<Self> {
        if array.data_type() == &DataType::Null {
            return Some(Source { numbers: None, nulls: None, texts: None });
        }
        if let Some(texts) = array.as_string_opt::<i32>() {
            return Some(Source { numbers: None, nulls: texts.nulls(), texts: Some(texts) });
        }
        let dictionary = array.as_dictionary_opt::<UInt32Type>()?;
        let texts = dictionary.values().as_string_opt::<i32>()?;
        Some(Source {
            numbers: Some(dictionary.keys().values()),
            nulls: dictionary.keys().nulls(),
            texts: Some(texts).filter(|texts| !texts.is_empty()),
        })
    }

    /// The number of a row's text among those of this source; none for null.
    #[inline]
    fn number(&self, row: usize) -> Option<usize> {
        if self.texts.is_none() || self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        Some(self.numbers.map_or(row, |numbers| numbers[row] as usize))
    }

    /// How many texts there are.
    fn len(&self) -> usize {
        self.texts.map_or(0, StringArray::len)
    }

    #[inline]
    fn text(&self, number: usize) -> &'a str {
        self.texts.map_or("", |texts| texts.value(number))
    }

    /// How many bytes they take.
    fn bytes(&self) -> usize {
        self.texts.map_or(0, |texts| texts.value_data().len())
    }

    /// Whether the texts are a dictionary, and mostly so short that they are compared by their keys.
    fn is_of_short_texts(&self) -> bool {
        self.texts.is_none_or(|texts| {
            let long = texts.offsets().lengths().filter(|length| *length > KEY_BYTES).count();
            self.numbers.is_some() && long * 8 <= texts.len()
        })
    }

    /// The first bytes of each text, with zeros for what is missing, and its length.
    fn firsts(&self) -> impl Iterator<Item = (u128, usize)> {
        let bytes = self.texts.map_or(&[][..], |texts| texts.value_data());
        let spans = self.texts.map_or(&[][..], |texts| texts.value_offsets()).windows(2);
        spans.map(|span| {
            // Offsets are not negative.
            let (start, end) = (span[0].cast_unsigned() as usize, span[1].cast_unsigned() as usize);
            let first = match bytes.get(start..).and_then(|rest| rest.first_chunk()) {
                Some(window) if end > start => {
                    let after = 8 * (16 - (end - start).min(16));
                    u128::from_be_bytes(*window) >> after << after
                }
                _ => first_bytes(&bytes[start..end]),
            };
            (first, end - start)
        })
    }

    /// Whether the texts consist of `.` to `9`, and none is longer than sixteen of them.
    fn is_of_digits(&self) -> bool {
        self.texts.is_none_or(|texts| {
            let others = texts
                .value_data()
                .iter()
                .fold(0, |others, byte| others | u8::from(byte.wrapping_sub(b'.') > b'9' - b'.'));
            others == 0 && texts.offsets().lengths().all(|length| length <= 16)
        })
    }

    /// Whether no row has a text.
    fn is_all_null(&self) -> bool {
        self.len() == 0 || self.nulls.is_some_and(|nulls| nulls.null_count() == nulls.len())
    }
}

/// Whether texts are known to be mostly distinct, so that a dictionary need not be tried: all together, since a few rows
/// hardly repeat in any column.
fn are_distinct(sources: &[Source]) -> bool {
    let (mut texts, mut there) = (0, 0);
    for source in sources {
        if let Some(numbers) = source.numbers {
            texts += source.len();
            there += numbers.len() - source.nulls.map_or(0, NullBuffer::null_count);
        }
    }
    texts * 3 > there * 2 && texts > 64
}

/// A column of text of some rows.
pub enum Text<'a> {
    /// All null.
    Nothing,
    /// Each text once, and for every row that has one its number.
    Dictionary {
        /// The texts, in their order if that was asked for.
        texts: Vec<&'a str>,
        /// For each row, the number of its text, or [`u32::MAX`].
        numbers: Vec<u32>,
    },
    /// For each row its text.
    Plain(Vec<Option<&'a str>>),
}

/// A column of text of several batches.
pub struct Texts<'a> {
    sources: Vec<Source<'a>>,
    runs: &'a [Run],
    /// The place of the first row of each run.
    starts: Vec<u32>,
    /// None when a dictionary is not to be tried.
    shared: Option<Shared<'a>>,
}

impl<'a> Texts<'a> {
    /// The text of runs of rows of these arrays, in dictionaries in the order of texts if they are to be sorted; none when
    /// an array has no text. Of their rows, groups of at most so many are asked for.
    pub fn new(arrays: &[&'a ArrayRef], runs: &'a [Run], is_sorted: bool, group_rows: usize) -> Option<Self> {
        let sources: Option<Vec<Source<'a>>> =
            arrays.iter().copied().map(|array: &'a ArrayRef| Source::new(array)).collect();
        let sources = sources?;
        let starts = runs.iter().scan(0, |place, run| {
            let start = *place;
            *place += run.rows.end - run.rows.start;
            Some(start)
        });
        let starts = starts.collect();
        let is_tried = !sources.iter().all(Source::is_all_null) && !are_distinct(&sources);
        let shared = if is_tried { Shared::new(&sources, runs, is_sorted, group_rows) } else { None };
        Some(Texts { sources, runs, starts, shared })
    }

    /// The text of the rows of these places.
    pub fn of(&self, places: &[u32]) -> Text<'_> {
        if self.sources.iter().all(Source::is_all_null) {
            return Text::Nothing;
        }
        match &self.shared {
            Some(shared) => shared.of(places),
            None => Text::Plain(places.iter().map(|place| self.text(*place)).collect()),
        }
    }

    #[inline]
    fn text(&self, place: u32) -> Option<&'a str> {
        let run = self.starts.partition_point(|start| *start <= place) - 1;
        let Run { source, rows } = &self.runs[run];
        let source = &self.sources[*source as usize];
        let row = rows.start + (place - self.starts[run]);
        source.number(row as usize).map(|number| source.text(number))
    }
}

/// The texts of all rows, each once.
struct Shared<'a> {
    texts: Once<'a>,
    /// For each row, in the order of places, the number of its text; if it has none, that after all. Empty when all have
    /// the only text.
    numbers: Vec<u32>,
}

/// In the place of a number that is not known yet.
const UNKNOWN: u32 = u32::MAX;

impl<'a> Shared<'a> {
    /// None when the texts are too many, or it shows that they hardly repeat.
    fn new(sources: &[Source<'a>], runs: &[Run], is_sorted: bool, group_rows: usize) -> Option<Self> {
        let mut asked = vec![0; sources.len()];
        for run in runs {
            asked[run.source as usize] += run.rows.len();
        }
        let rows: usize = asked.iter().sum();
        // Not all dictionaries can be within their bound if all texts together are not.
        let most = MAX_DICTIONARY_BYTES * rows.div_ceil(group_rows.max(1));
        // For each text of a source, its number among all: a text is looked at once a source.
        let mut known = Known::new(sources);
        let are_wanted = sources.iter().zip(&asked).all(|(source, asked)| source.len() <= asked * 2);
        let texts: Once<'a> = if is_sorted && are_wanted && sources.iter().all(Source::is_of_short_texts) {
            known.by_sorting(sources, most)?
        } else {
            let mut texts = known.by_hashing(sources, &asked, runs, most)?;
            if is_sorted {
                known.sort(&mut texts);
            }
            Once::There(texts)
        };
        // A number for each text but one.
        let none = u32::try_from(texts.len()).ok()?;
        let mut numbers = Vec::with_capacity(rows);
        for run in runs {
            let source = run.source as usize;
            append_numbers(&sources[source], known.of(source), run.range(), none, &mut numbers);
        }
        if none == 1 && numbers.iter().all(|number| *number == 0) {
            numbers.clear();
        }
        Some(Shared { texts, numbers })
    }

    /// The text of some rows as a dictionary, unless that would hardly be smaller.
    fn of(&self, places: &[u32]) -> Text<'_> {
        let count = self.texts.len();
        if self.numbers.is_empty() {
            return Text::Dictionary { texts: self.texts.chosen(&[1]), numbers: vec![0; places.len()] };
        }
        let mut is_used = vec![0_u8; count + 1];
        let used = |place: &u32| {
            let number = self.numbers[*place as usize];
            is_used[number as usize] = 1;
            number
        };
        let mut numbers: Vec<u32> = places.iter().map(used).collect();
        let texts = self.texts.chosen(&is_used);
        // Far fewer than 2^32, as they all are.
        let mut next = 0;
        let mut own = Vec::with_capacity(is_used.len());
        own.extend(is_used[..count].iter().map(|is_used| {
            let own = next;
            next += u32::from(*is_used);
            own
        }));
        own.push(u32::MAX);
        // Rows may have none of the texts of their batches.
        if texts.is_empty() {
            return Text::Nothing;
        }
        if texts.len() < count || is_used[count] == 1 {
            for number in &mut numbers {
                *number = own[*number as usize];
            }
        }
        if pays(&texts, &numbers) {
            return Text::Dictionary { texts, numbers };
        }
        Text::Plain(numbers.iter().map(|number| texts.get(*number as usize).copied()).collect())
    }
}

/// Some texts, each once.
enum Once<'a> {
    /// Where they stand.
    There(Vec<&'a str>),
    /// One after the other, and where each ends: they are looked at in this order.
    Here { text: String, ends: Vec<u32> },
}

impl Once<'_> {
    fn len(&self) -> usize {
        match self {
            Once::There(texts) => texts.len(),
            Once::Here { ends, .. } => ends.len(),
        }
    }

    /// Those that have a 1 here.
    fn chosen(&self, is_chosen: &[u8]) -> Vec<&str> {
        // Written over unless it is one.
        let mut chosen = vec![""; is_chosen.len() + 1];
        let mut count = 0;
        let mut choose = |text, is_chosen: u8| {
            chosen[count] = text;
            count += usize::from(is_chosen);
        };
        match self {
            Once::There(texts) => texts.iter().zip(is_chosen).for_each(|(text, is)| choose(text, *is)),
            Once::Here { text, ends } => {
                let mut start = 0;
                for (end, is) in ends.iter().zip(is_chosen) {
                    choose(&text[start..*end as usize], *is);
                    start = *end as usize;
                }
            }
        }
        chosen.truncate(count);
        chosen
    }
}

/// Appends a number for every one of some rows: that of its text, or `none`.
fn append_numbers(source: &Source, known: &[u32], rows: Range<usize>, none: u32, to: &mut Vec<u32>) {
    if source.texts.is_none() {
        to.resize(to.len() + rows.len(), none);
        return;
    }
    let start = to.len();
    match source.numbers {
        // What stands for nothing is written over.
        Some(numbers) => {
            to.extend(
                numbers[rows.clone()].iter().map(|number| known.get(*number as usize).unwrap_or(&none)),
            );
        }
        None => to.extend_from_slice(&known[rows.clone()]),
    }
    if let Some(nulls) = source.nulls {
        let nulls = nulls.inner().slice(rows.start, rows.len());
        (!&nulls).set_indices().for_each(|row| to[start + row] = none);
    }
}

/// For each text of each source, its number among all texts, or [`UNKNOWN`].
struct Known {
    numbers: Vec<u32>,
    /// How many texts there are before those of each source.
    before: Vec<usize>,
}

impl Known {
    fn new(sources: &[Source]) -> Self {
        let mut texts = 0;
        let mut before = Vec::with_capacity(sources.len());
        for source in sources {
            before.push(texts);
            texts += source.len();
        }
        Known { before, numbers: vec![UNKNOWN; texts] }
    }

    fn of(&self, source: usize) -> &[u32] {
        &self.numbers[self.before[source]..]
    }

    /// Numbers the texts of sources by hashing them, in the order in which they are first seen; none when they turn out to
    /// be too many.
    fn by_hashing<'a>(
        &mut self,
        sources: &[Source<'a>],
        asked: &[usize],
        runs: &[Run],
        most: usize,
    ) -> Option<Vec<&'a str>> {
        let mut trial = Trial { texts: Numbered::default(), most };
        let is_wanted = |source: usize| sources[source].len() <= asked[source] * 2;
        for (number, source) in sources.iter().enumerate() {
            // One after the other, if most of them are asked for.
            if is_wanted(number) {
                trial.add_all(source, &mut self.numbers[self.before[number]..][..source.len()])?;
            }
        }
        for run in runs.iter().filter(|run| !is_wanted(run.source as usize)) {
            let source = run.source as usize;
            trial.add_some(&sources[source], &mut self.numbers[self.before[source]..], run.range())?;
        }
        Some(trial.texts.texts)
    }

    /// Numbers the texts of sources by sorting them; none when they turn out to be too many.
    fn by_sorting<'a>(&mut self, sources: &[Source<'a>], most: usize) -> Option<Once<'a>> {
        if sources.iter().any(|source| source.bytes() > most) {
            return None;
        }
        let Known { numbers, before } = self;
        let (text, ends) = if sources.iter().all(Source::is_of_digits) {
            let mut order: Vec<(u64, u32)> = Vec::with_capacity(numbers.len());
            for (source, before) in sources.iter().zip(before) {
                let firsts = source.firsts().zip(u32::try_from(*before).ok()?..);
                order.extend(firsts.map(|((first, _), number)| (packed(first), number)));
            }
            order.sort_unstable_by_key(|(key, _)| *key);
            in_order(&order, |(_, number)| *number, |one, other| one.0 == other.0, append_unpacked, numbers)
        } else {
            let keys = sources.iter().flat_map(Source::firsts);
            let mut order: Vec<Key> =
                keys.zip(0..).map(|((first, length), number)| key(first, length, number)).collect();
            let text = |number: u32| {
                let source = before.partition_point(|before| *before <= number as usize) - 1;
                sources[source].text(number as usize - before[source])
            };
            order.sort_unstable_by(|one, other| compare(one, other, text));
            let append = |key: &Key, to: &mut Vec<u8>| {
                if is_long(key) {
                    to.extend_from_slice(text(key.2).as_bytes());
                } else {
                    append_first(first(key), length(key).into(), to);
                }
            };
            let is_same = |one: &Key, other: &Key| compare(one, other, text).is_eq();
            in_order(&order, |key| key.2, is_same, append, numbers)
        };
        let text = String::from_utf8(text).ok()?;
        (text.len() + ends.len() * 4 <= most).then_some(Once::Here { text, ends })
    }

    /// Puts texts that are numbered into their order.
    fn sort(&mut self, texts: &mut Vec<&str>) {
        let mut order: Vec<Key> = (0..)
            .zip(&*texts)
            .map(|(number, text)| key(first_bytes(text.as_bytes()), text.len(), number))
            .collect();
        let text = |number: u32| texts[number as usize];
        order.sort_unstable_by(|one, other| compare(one, other, text));
        let mut ranks = vec![0; texts.len()];
        for (rank, (_, _, number)) in (0..).zip(&order) {
            ranks[*number as usize] = rank;
        }
        let sorted = order.iter().map(|(_, _, number)| text(*number)).collect();
        *texts = sorted;
        let numbers = self.numbers.iter_mut().filter(|number| **number != UNKNOWN);
        numbers.for_each(|number| *number = ranks[*number as usize]);
    }
}

/// Numbers texts by keys of theirs that are in order; returns each of them once, and where it ends.
fn in_order<K>(
    order: &[K],
    number: impl Fn(&K) -> u32,
    is_same: impl Fn(&K, &K) -> bool,
    append: impl Fn(&K, &mut Vec<u8>),
    numbers: &mut [u32],
) -> (Vec<u8>, Vec<u32>) {
    let mut text = Vec::with_capacity(order.len() * 16);
    let mut ends = Vec::with_capacity(order.len());
    let mut last = None;
    for key in order {
        if last.is_none_or(|last| !is_same(last, key)) {
            append(key, &mut text);
            // Few texts of a batch are long, and its text is below 2 GiB.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        last = Some(key);
        // No more than there are of all sources.
        numbers[number(key) as usize] = u32::try_from(ends.len() - 1).unwrap_or(UNKNOWN);
    }
    (text, ends)
}

/// The first bytes of a text as a number that is less where the text comes first. What is missing counts as zeros.
fn first_bytes(text: &[u8]) -> u128 {
    let mut first = [0; 16];
    let length = text.len().min(first.len());
    first[..length].copy_from_slice(&text[..length]);
    u128::from_be_bytes(first)
}

/// Appends so many of a text's first bytes.
#[inline]
fn append_first(first: u128, length: usize, to: &mut Vec<u8>) {
    // A length that is known beforehand is written without a call.
    let end = to.len() + length;
    to.extend_from_slice(&first.to_be_bytes());
    to.truncate(end);
}

/// The first bytes of a text that consists of `.` to `9`, four bits each: in the same order as the texts, none of which
/// has more than sixteen.
#[inline]
fn packed(first: u128) -> u64 {
    const THREES: u128 = u128::from_le_bytes([3; 16]);
    const LOW: u128 = u128::from_le_bytes([0xf; 16]);
    // What is missing stays zero, and `.` becomes 1.
    let before = first.trailing_zeros() / 8 * 8;
    let low = if first == 0 { 0 } else { ((first + THREES) & LOW) >> before << before };
    let half = |bytes: u64| {
        let pairs = (bytes | bytes >> 4) & 0x00ff_00ff_00ff_00ff;
        let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
        (fours | fours >> 16) & 0xffff_ffff
    };
    let [high, low] = halves(low);
    half(high) << 32 | half(low)
}

/// Appends the text that was packed.
#[inline]
fn append_unpacked((packed, _): &(u64, u32), to: &mut Vec<u8>) {
    const FIRST: u128 = u128::from_le_bytes([b'.' - 1; 16]);
    let half = |bits: u64| {
        let fours = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
        let pairs = (fours | fours << 8) & 0x00ff_00ff_00ff_00ff;
        (pairs | pairs << 4) & 0x0f0f_0f0f_0f0f_0f0f
    };
    let bytes = u128::from(half(packed >> 32)) << 64 | u128::from(half(packed & 0xffff_ffff));
    append_first(bytes + FIRST, 16 - (packed.trailing_zeros() / 4) as usize, to);
}

fn halves(bytes: u128) -> [u64; 2] {
    let bytes = bytes.to_be_bytes();
    let (halves, _) = bytes.as_chunks();
    [u64::from_be_bytes(halves[0]), u64::from_be_bytes(halves[1])]
}

/// Bytes of a text that are compared as numbers; longer ones may have to be looked at.
const KEY_BYTES: usize = 15;

/// The first bytes of a text as two numbers, the last byte being its length, and a number of the text.
type Key = (u64, u64, u32);

/// In the place of the length of all texts that are longer than a key.
const LONG: u8 = 16;

/// The key of a text of so many bytes that begins with these.
#[inline]
fn key(first: u128, length: usize, number: u32) -> Key {
    let length = u8::try_from(length).unwrap_or(LONG).min(LONG);
    let [high, low] = halves(first & !0xff | u128::from(length));
    (high, low, number)
}

#[inline]
fn first(key: &Key) -> u128 {
    u128::from(key.0) << 64 | u128::from(key.1)
}

#[inline]
fn length(key: &Key) -> u8 {
    key.1.to_le_bytes()[0]
}

fn is_long(key: &Key) -> bool {
    length(key) == LONG
}

#[inline]
fn compare<'a>(one: &Key, other: &Key, text: impl Fn(u32) -> &'a str) -> Ordering {
    match first(one).cmp(&first(other)) {
        Ordering::Equal if is_long(one) => compare_whole(text(one.2), text(other.2)),
        found => found,
    }
}

/// Rarely asked for: the rest is short enough to stand where it is used.
#[cold]
#[inline(never)]
fn compare_whole(one: &str, other: &str) -> Ordering {
    one.cmp(other)
}

/// Whether a dictionary takes less than the texts of the rows, if there are enough of them to tell, and is not too large.
fn pays(texts: &[&str], numbers: &[u32]) -> bool {
    let length = |text: &&str| text.len() + 4;
    let bytes: usize = texts.iter().map(length).sum();
    let mut of_rows = 0;
    let is_less = |rows: &[u32]| {
        of_rows += rows.iter().filter_map(|number| texts.get(*number as usize)).map(length).sum::<usize>();
        bytes * 10 <= of_rows * 7
    };
    bytes <= MAX_DICTIONARY_BYTES && (numbers.len() < TRIAL_ROWS || numbers.chunks(TRIAL_ROWS).any(is_less))
}

/// Texts while they are numbered.
struct Trial<'a> {
    texts: Numbered<'a>,
    /// The most bytes of them.
    most: usize,
}

impl<'a> Trial<'a> {
    /// Numbers all texts of a source; none when they turn out to be too many.
    fn add_all(&mut self, source: &Source<'a>, known: &mut [u32]) -> Option<()> {
        // A text for each row: of those it is not known yet whether they repeat.
        let is_plain = source.numbers.is_none();
        let (before, mut seen) = (self.texts.bytes, 0);
        for (chunk, first) in known.chunks_mut(TRIAL_ROWS).zip((0..).step_by(TRIAL_ROWS)) {
            for (known, number) in chunk.iter_mut().zip(first..) {
                let text = source.text(number);
                seen += text.len() + 4;
                *known = self.texts.number(text);
            }
            let repeats = chunk.len() < TRIAL_ROWS || (self.texts.bytes - before) * 10 <= seen * 7;
            if self.texts.bytes > self.most || (is_plain && !repeats) {
                return None;
            }
        }
        Some(())
    }

    /// Numbers the texts that some rows have; none when they turn out to be too many.
    fn add_some(&mut self, source: &Source<'a>, known: &mut [u32], rows: Range<usize>) -> Option<()> {
        for number in rows.filter_map(|row| source.number(row)) {
            let known = &mut known[number];
            if *known == UNKNOWN {
                *known = self.texts.number(source.text(number));
            }
        }
        (self.texts.bytes <= self.most).then_some(())
    }
}

/// Texts with a number each.
#[derive(Default)]
struct Numbered<'a> {
    numbering: Numbering,
    texts: Vec<&'a str>,
    bytes: usize,
}

impl<'a> Numbered<'a> {
    #[inline]
    fn number(&mut self, text: &'a str) -> u32 {
        let Numbered { numbering, texts, bytes } = self;
        // Far fewer than 2^32: they are given up before.
        let next = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let (number, is_new) = numbering.number(text, next, |number| texts[number as usize]);
        if is_new {
            *bytes += text.len() + 4;
            texts.push(text);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, UInt32Array};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Short texts that are hard to tell apart, of few characters, and a few long ones.
    fn texts(random: &mut StdRng, characters: &[char]) -> Vec<String> {
        let mut text = |is_long: bool| {
            let longest = if characters.contains(&'.') { 17 } else { 18 };
            let length = if is_long { random.random_range(14..longest) } else { random.random_range(0..16) };
            (0..length).map(|_| characters[random.random_range(0..characters.len())]).collect()
        };
        (0..400).map(|number| text(number % 12 == 0)).collect()
    }

    #[test]
    fn most_rows_say_whether_texts_repeat() {
        let array = |rows: u32, texts: u32| -> ArrayRef {
            let numbers: UInt32Array = (0..rows).map(|row| Some(row % texts)).collect();
            let texts: StringArray = (0..texts).map(|text| Some(format!("text {texts} {text}"))).collect();
            Arc::new(DictionaryArray::<UInt32Type>::new(numbers, Arc::new(texts)))
        };
        let check = |arrays: [(u32, u32); 2], is_dictionary| {
            let runs = [0, 1].map(|source| Run { source, rows: 0..arrays[source as usize].0 });
            let found = arrays.map(|(rows, texts)| array(rows, texts));
            let found: Vec<&ArrayRef> = found.iter().collect();
            let places: Vec<u32> = (0..arrays[0].0 + arrays[1].0).collect();
            let texts = Texts::new(&found, &runs, true, usize::MAX).unwrap();
            assert_eq!(matches!(texts.of(&places), Text::Dictionary { .. }), is_dictionary, "{arrays:?}");
        };
        check([(4000, 40), (4000, 40)], true);
        check([(4000, 40), (100, 100)], true);
        check([(100, 10), (4000, 4000)], false);
        check([(4000, 4000), (4000, 4000)], false);
    }

    #[test]
    fn texts_are_numbered_the_same_sorted_or_hashed() {
        let mut random = StdRng::seed_from_u64(5);
        let mut digits = 0;
        for round in 0..80 {
            let characters =
                [&['\0', 'a', '\u{7f}'][..], &['.', '9', '/'], &['0', '1'], &['.', ':', '-']][round % 4];
            let batches: Vec<Vec<String>> = (0..3).map(|_| texts(&mut random, characters)).collect();
            let array = |texts: &Vec<String>| -> ArrayRef {
                let rows = (0..1200).map(|_| random.random_bool(0.9).then(|| random.random_range(0..400)));
                let numbers: UInt32Array = rows.collect();
                let texts = Arc::new(StringArray::from(texts.clone()));
                Arc::new(DictionaryArray::<UInt32Type>::new(numbers, texts))
            };
            let arrays: Vec<ArrayRef> = batches.iter().map(array).collect();
            let sources: Vec<Source> = arrays.iter().map(|array| Source::new(array).unwrap()).collect();
            assert!(sources.iter().all(Source::is_of_short_texts));
            let are_digits = characters.iter().all(|character| ('.'..='9').contains(character));
            let are_all = sources.iter().all(Source::is_of_digits);
            assert_eq!(are_all, are_digits && batches.iter().flatten().all(|text| text.len() <= 16));
            digits += usize::from(are_all);
            let mut sorted = Known::new(&sources);
            let texts = sorted.by_sorting(&sources, usize::MAX).unwrap();
            let texts = texts.chosen(&vec![1; texts.len()]);
            let mut hashed = Known::new(&sources);
            let mut others = hashed.by_hashing(&sources, &[1200; 3], &[], usize::MAX).unwrap();
            hashed.sort(&mut others);
            let mut expected: Vec<&str> = batches.iter().flatten().map(String::as_str).collect();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(texts, expected);
            assert_eq!((texts, sorted.numbers), (others, hashed.numbers));
            let bytes: usize = expected.iter().map(|text| text.len() + 4).sum();
            assert!(Known::new(&sources).by_sorting(&sources, bytes).is_some());
            assert!(Known::new(&sources).by_sorting(&sources, bytes - 1).is_none());
            // Those that only some rows ask for.
            let runs: Vec<Run> = (0..3).map(|source| Run { source, rows: 100..140 }).collect();
            let arrays: Vec<&ArrayRef> = arrays.iter().collect();
            let some = Texts::new(&arrays, &runs, true, 64).unwrap();
            let Text::Dictionary { texts, numbers } = some.of(&[0, 50, 119]) else { panic!("a dictionary") };
            let row = |place: usize| sources[place / 40].number(100 + place % 40);
            for (place, number) in [0, 50, 119].into_iter().zip(numbers) {
                let expected = row(place).map(|number| sources[place / 40].text(number));
                assert_eq!(texts.get(number as usize).copied(), expected);
            }
        }
        assert!(digits >= 20, "{digits}");
    }
}
