//! Text of some rows, in whatever form it is held, as a dictionary or one after the other.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, UInt32Type};

use super::order::Row;
use crate::decode::numbering::Numbering;

/// A dictionary beyond this is given up: it is read whole, whichever row is asked for.
const MAX_DICTIONARY_BYTES: usize = 2 << 20;

/// After so many rows a dictionary that does not pay is given up.
const TRIAL_ROWS: usize = 4096;

/// One batch's column of text.
struct Source<'a> {
    rows: usize,
    /// For a dictionary, the number of each row's text; of rows that have none, any.
    numbers: Option<&'a [u32]>,
    nulls: Option<&'a NullBuffer>,
    /// None when no row has a text.
    texts: Option<&'a StringArray>,
}

impl<'a> Source<'a> {
    /// A column of strings, of strings in a dictionary, or of nothing.
    fn new(array: &'a dyn Array) -> Option<Self> {
        let rows = array.len();
        if array.data_type() == &DataType::Null {
            return Some(Source { rows, numbers: None, nulls: None, texts: None });
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

    /// Whether no row has a text.
    fn is_all_null(&self) -> bool {
        self.len() == 0 || self.nulls.is_some_and(|nulls| nulls.null_count() == nulls.len())
    }

    /// Whether the texts are known to be mostly distinct, so that a dictionary need not be tried.
    fn is_distinct(&self) -> bool {
        let there = |numbers: &[u32]| numbers.len() - self.nulls.map_or(0, NullBuffer::null_count);
        self.numbers.is_some_and(|numbers| self.len() * 2 > there(numbers) && self.len() > 64)
    }

    /// Whether the texts are not a dictionary, each row having one of its own.
    fn is_plain(&self) -> bool {
        self.texts.is_some() && self.numbers.is_none()
    }

    /// Appends a number for every row: that of its text after this many others, or `none`.
    fn append_numbers(&self, before: u32, none: u32, to: &mut Vec<u32>) {
        let start = to.len();
        match (self.numbers, self.texts) {
            // What stands for nothing is written over.
            (Some(numbers), Some(_)) => to.extend(numbers.iter().map(|number| before.wrapping_add(*number))),
            _ => to.resize(start + self.rows, none),
        }
        if let Some(nulls) = self.nulls {
            (!nulls.inner()).set_indices().for_each(|row| to[start + row] = none);
        }
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

/// A column of text of several batches.
pub struct Texts<'a> {
    sources: Vec<Source<'a>>,
    /// Whether a dictionary is to be tried.
    is_tried: bool,
    /// None when not all sources are dictionaries.
    numbers: Option<Numbers>,
}

/// Numbers of the texts of several sources, which count on from one to the next; the number after all is that of none.
struct Numbers {
    /// How many texts there are before those of each source.
    before: Vec<u32>,
    none: u32,
    /// None when few of the rows are asked for.
    of_rows: Option<OfRows>,
}

/// The numbers of the texts of all rows, source by source.
struct OfRows {
    numbers: Vec<u32>,
    /// Where the rows of each source begin.
    starts: Vec<usize>,
}

impl OfRows {
    #[inline]
    fn place(&self, row: Row) -> usize {
        self.starts[row.source as usize] + row.row as usize
    }
}

impl<'a> Texts<'a> {
    /// The text of these arrays, of which groups of rows are to be asked for; none when an array has none.
    pub fn new(arrays: &[&'a ArrayRef], groups: &[&[Row]]) -> Option<Self> {
        let sources: Option<Vec<Source<'a>>> =
            arrays.iter().copied().map(|array: &'a ArrayRef| Source::new(array)).collect();
        let sources = sources?;
        let is_tried = !sources.iter().all(Source::is_all_null) && !sources.iter().any(Source::is_distinct);
        let asked = groups.iter().map(|rows| rows.len()).sum();
        let is_numbered = is_tried && !sources.iter().any(Source::is_plain);
        let numbers = if is_numbered { Numbers::new(&sources, asked) } else { None };
        Some(Texts { sources, is_tried, numbers })
    }

    /// The text of rows.
    pub fn of(&self, rows: &[Row]) -> Text<'a> {
        if self.sources.iter().all(Source::is_all_null) {
            return Text::Nothing;
        }
        if let Some(dictionary) = self.dictionary(rows) {
            return dictionary;
        }
        Text::Plain(rows.iter().map(|row| self.text(*row)).collect())
    }

    #[inline]
    fn text(&self, Row { source, row }: Row) -> Option<&'a str> {
        let source = &self.sources[source as usize];
        source.number(row as usize).map(|number| source.text(number))
    }

    /// The text of rows as a dictionary, unless that would hardly be smaller.
    fn dictionary(&self, rows: &[Row]) -> Option<Text<'a>> {
        if !self.is_tried {
            return None;
        }
        let mut trial = Trial::new(rows.len());
        let Some(numbers) = &self.numbers else {
            trial.add(rows, |texts, row| self.text(*row).map_or(u32::MAX, |text| texts.number(text)))?;
            return Some(trial.end());
        };
        // For each number among those of all sources, the one in this dictionary: a text is looked at once a source.
        let mut known = vec![UNKNOWN; numbers.none as usize];
        known.push(u32::MAX);
        let mut number_of = |texts: &mut Numbered<'a>, number: u32| {
            let known = &mut known[number as usize];
            if *known == UNKNOWN {
                *known = texts.number(numbers.text(&self.sources, number));
            }
            *known
        };
        match &numbers.of_rows {
            None => trial.add(rows, |texts, row| number_of(texts, numbers.of(&self.sources, *row)))?,
            Some(of_rows) if of_rows.numbers.len() > rows.len() => {
                trial.add(rows, |texts, row| number_of(texts, of_rows.numbers[of_rows.place(*row)]))?;
            }
            Some(of_rows) => {
                // All of them, in another order: numbered as they stand, and then put into that order.
                trial.add(&of_rows.numbers, |texts, number| number_of(texts, *number))?;
                let numbers = &trial.numbers;
                if numbers.iter().any(|number| *number != numbers[0]) {
                    trial.numbers = rows.iter().map(|row| numbers[of_rows.place(*row)]).collect();
                }
            }
        }
        Some(trial.end())
    }
}

impl Numbers {
    /// Numbers, also for every row if most of them are asked for; none when there are too many texts for 32 bits.
    fn new(sources: &[Source], asked: usize) -> Option<Self> {
        let mut before = Vec::with_capacity(sources.len());
        let mut none = 0_u32;
        for source in sources {
            before.push(none);
            none = none.checked_add(u32::try_from(source.len()).ok()?).filter(|none| *none < UNKNOWN)?;
        }
        let all: usize = sources.iter().map(|source| source.rows).sum();
        let of_rows = (asked >= all / 2).then(|| {
            let (mut starts, mut numbers) = (Vec::with_capacity(sources.len()), Vec::with_capacity(all));
            for (source, before) in sources.iter().zip(&before) {
                starts.push(numbers.len());
                source.append_numbers(*before, none, &mut numbers);
            }
            OfRows { numbers, starts }
        });
        Some(Numbers { before, none, of_rows })
    }

    fn of(&self, sources: &[Source], Row { source, row }: Row) -> u32 {
        let number =
            sources[source as usize].number(row as usize).and_then(|number| u32::try_from(number).ok());
        number.map_or(self.none, |number| self.before[source as usize] + number)
    }

    /// The text of a number.
    fn text<'a>(&self, sources: &[Source<'a>], number: u32) -> &'a str {
        let source = self.before.partition_point(|before| *before <= number) - 1;
        sources[source].text((number - self.before[source]) as usize)
    }
}

/// In the place of a number that is not known yet.
const UNKNOWN: u32 = u32::MAX - 1;

/// A dictionary while it is tried whether it pays.
struct Trial<'a> {
    texts: Numbered<'a>,
    /// For each row, the number of its text, or [`u32::MAX`].
    numbers: Vec<u32>,
    /// How many of the rows were looked at, and how many bytes their texts take, each with its length.
    looked_at: usize,
    bytes: usize,
}

impl<'a> Trial<'a> {
    fn new(rows: usize) -> Self {
        Trial { texts: Numbered::default(), numbers: Vec::with_capacity(rows), looked_at: 0, bytes: 0 }
    }

    /// Adds rows by the numbers of their texts; none when the dictionary is given up.
    fn add<T>(&mut self, rows: &[T], mut number_of: impl FnMut(&mut Numbered<'a>, &T) -> u32) -> Option<()> {
        for rows in rows.chunks(TRIAL_ROWS) {
            let texts = &mut self.texts;
            self.numbers.extend(rows.iter().map(|row| number_of(texts, row)));
            if !self.goes_on() {
                return None;
            }
        }
        Some(())
    }

    /// Whether the dictionary is not to be given up.
    fn goes_on(&mut self) -> bool {
        self.texts.bytes <= MAX_DICTIONARY_BYTES && self.pays()
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
