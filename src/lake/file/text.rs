//! Text of some rows, in whatever form it is held, as a dictionary or one after the other.

use std::ops::Range;

use arrow::array::{Array, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, UInt32Type};

use super::Row;
use crate::decode::numbering::Numbering;

/// A dictionary beyond this is given up: it is read whole, whichever row is asked for.
const MAX_DICTIONARY_BYTES: usize = 2 << 20;

/// After so many rows a dictionary that does not pay is given up.
const TRIAL_ROWS: usize = 4096;

/// One batch's column of text.
pub struct Source<'a> {
    rows: usize,
    /// For a dictionary, the number of each row's text; of rows that have none, nothing.
    numbers: Option<&'a [u32]>,
    nulls: Option<&'a NullBuffer>,
    /// None when no row has a text.
    texts: Option<&'a StringArray>,
}

impl<'a> Source<'a> {
    /// A column of strings, of strings in a dictionary, or of nothing.
    pub fn new(array: &'a dyn Array) -> Option<Self> {
        let rows = array.len();
        if array.data_type() == &DataType::Null {
            return Some(Source { rows, numbers: Some(&[]), nulls: None, texts: None });
        }
        if let Some(texts) = array.as_string_opt::<i32>() {
            return Some(Source { rows, numbers: None, nulls: texts.nulls(), texts: Some(texts) });
        }
        let dictionary = array.as_dictionary_opt::<UInt32Type>()?;
        let texts = dictionary.values().as_string_opt::<i32>()?;
        Some(Source {
            rows,
            numbers: Some(dictionary.keys().values()),
            nulls: dictionary.keys().nulls(),
            texts: Some(texts),
        })
    }

    /// The number of a row's text among those of this source; none for null.
    #[inline]
    fn number(&self, row: usize) -> Option<usize> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        match self.numbers {
            Some(numbers) => numbers.get(row).map(|number| *number as usize),
            None => Some(row),
        }
    }

    /// How many texts there are.
    fn len(&self) -> usize {
        self.texts.map_or(0, StringArray::len)
    }

    #[inline]
    fn text(&self, number: usize) -> &'a str {
        self.texts.map_or("", |texts| texts.value(number))
    }

    /// Whether no row has a text.
    fn is_all_null(&self) -> bool {
        self.len() == 0 || self.nulls.is_some_and(|nulls| nulls.null_count() == nulls.len())
    }

    /// Whether the texts are known to be mostly distinct, so that a dictionary need not be tried.
    fn is_distinct(&self) -> bool {
        let there = |numbers: &[u32]| numbers.len() - self.nulls.map_or(0, NullBuffer::null_count);
        self.numbers.is_some_and(|numbers| self.len() * 2 > there(numbers) && self.len() > 64)
    }
}

/// A column of text of some rows.
pub enum Text<'a> {
    /// All null.
    Nothing,
    /// Each text once, and for every row that has one its number.
    Dictionary {
        /// The texts.
        texts: Vec<&'a str>,
        /// For each row, the number of its text, or [`u32::MAX`].
        numbers: Vec<u32>,
    },
    /// For each row its text.
    Plain(Vec<Option<&'a str>>),
}

/// Collects the text of rows.
pub fn collect<'a>(sources: &'a [Source<'a>], rows: &[Row]) -> Text<'a> {
    if sources.iter().all(Source::is_all_null) {
        return Text::Nothing;
    }
    if !sources.iter().any(Source::is_distinct)
        && let Some(dictionary) = dictionary(sources, rows)
    {
        return dictionary;
    }
    let text = |row: &Row| {
        let source = &sources[row.source as usize];
        source.number(row.row as usize).map(|number| source.text(number))
    };
    Text::Plain(rows.iter().map(text).collect())
}

/// The text of rows as a dictionary, unless that would hardly be smaller.
fn dictionary<'a>(sources: &'a [Source<'a>], rows: &[Row]) -> Option<Text<'a>> {
    let mut trial = Trial::new(sources, rows.len());
    let all: usize = sources.iter().map(|source| source.rows).sum();
    if rows.len() < all {
        for rows in rows.chunks(TRIAL_ROWS) {
            trial.add(rows)?;
        }
        return Some(trial.end());
    }
    // All of them, in another order: numbered as they stand, and then put into that order.
    let mut starts = Vec::with_capacity(sources.len());
    for (source, Source { rows, .. }) in sources.iter().enumerate() {
        starts.push(trial.numbers.len());
        for start in (0..*rows).step_by(TRIAL_ROWS) {
            trial.add_run(source, start..(start + TRIAL_ROWS).min(*rows))?;
        }
    }
    let Trial { numbers, .. } = &mut trial;
    if numbers.iter().any(|number| *number != numbers[0]) {
        *numbers = rows.iter().map(|row| numbers[starts[row.source as usize] + row.row as usize]).collect();
    }
    Some(trial.end())
}

/// A dictionary while it is tried whether it pays.
struct Trial<'a> {
    sources: &'a [Source<'a>],
    /// What each source's own numbers are in this dictionary; a text is looked at once for each source.
    known: Vec<Vec<u32>>,
    texts: Numbered<'a>,
    /// For each row, the number of its text, or [`u32::MAX`].
    numbers: Vec<u32>,
    /// How many of the rows were looked at, and how many bytes their texts take, each with its length.
    looked_at: usize,
    bytes: usize,
}

impl<'a> Trial<'a> {
    fn new(sources: &'a [Source<'a>], rows: usize) -> Self {
        let known = |source: &Source| vec![u32::MAX; if source.numbers.is_some() { source.len() } else { 0 }];
        let known = sources.iter().map(known).collect();
        let (texts, numbers) = (Numbered::default(), Vec::with_capacity(rows));
        Trial { sources, known, texts, numbers, looked_at: 0, bytes: 0 }
    }

    /// Adds some rows; none when the dictionary is given up.
    fn add(&mut self, rows: &[Row]) -> Option<()> {
        let Trial { sources, known, texts, numbers, .. } = self;
        numbers.extend(rows.iter().map(|Row { source, row }| {
            let (source, known) = (&sources[*source as usize], &mut known[*source as usize]);
            source.number(*row as usize).map_or(u32::MAX, |number| match known.get_mut(number) {
                Some(known) if *known != u32::MAX => *known,
                Some(known) => {
                    *known = texts.number(source.text(number));
                    *known
                }
                None => texts.number(source.text(number)),
            })
        }));
        self.goes_on()
    }

    /// Adds rows of one source that follow one another; none when the dictionary is given up.
    fn add_run(&mut self, source: usize, rows: Range<usize>) -> Option<()> {
        let of_source = &self.sources[source];
        let (Some(numbers), Some(_)) = (of_source.numbers, of_source.texts) else {
            let texts = rows.map(|row| Some(of_source.text(of_source.number(row)?)));
            self.numbers.extend(texts.map(|text| text.map_or(u32::MAX, |text| self.texts.number(text))));
            return self.goes_on();
        };
        let (known, texts) = (&mut self.known[source], &mut self.texts);
        let mut number_of = |number: u32| {
            let known = &mut known[number as usize];
            if *known == u32::MAX {
                *known = texts.number(of_source.text(number as usize));
            }
            *known
        };
        match of_source.nulls {
            None => self.numbers.extend(numbers[rows].iter().map(|number| number_of(*number))),
            Some(nulls) => {
                let numbers = numbers[rows.clone()].iter().zip(rows);
                let numbers =
                    numbers.map(|(n, row)| if nulls.is_null(row) { u32::MAX } else { number_of(*n) });
                self.numbers.extend(numbers);
            }
        }
        self.goes_on()
    }

    fn goes_on(&mut self) -> Option<()> {
        (self.texts.bytes <= MAX_DICTIONARY_BYTES && self.pays()).then_some(())
    }

    /// Whether the dictionary takes less than the texts of the rows, once there are enough of them to tell.
    fn pays(&mut self) -> bool {
        let is_less = |bytes: usize| self.texts.bytes * 10 <= bytes * 7;
        let new = &self.numbers[self.looked_at..];
        if new.len() < TRIAL_ROWS || is_less(self.bytes) {
            return true;
        }
        let texts = &self.texts.texts;
        let lengths = new.iter().filter_map(|number| texts.get(*number as usize)).map(|text| text.len() + 4);
        let bytes = self.bytes + lengths.sum::<usize>();
        let pays = is_less(bytes);
        (self.looked_at, self.bytes) = (self.numbers.len(), bytes);
        pays
    }

    fn end(self) -> Text<'a> {
        // Rows may have none of the texts of their batches.
        if self.texts.texts.is_empty() {
            return Text::Nothing;
        }
        Text::Dictionary { texts: self.texts.texts, numbers: self.numbers }
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
        // Far fewer than 2^32: more than MAX_DICTIONARY_BYTES of texts are given up.
        let next = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let (number, is_new) = numbering.number(text, next, |number| texts[number as usize]);
        if is_new {
            *bytes += text.len() + 4;
            texts.push(text);
        }
        number
    }
}
