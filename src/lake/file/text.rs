//! Text of some rows, in whatever form it is held, as a dictionary or one after the other.

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
    /// For a dictionary, the number of each row's text.
    numbers: Option<&'a [u32]>,
    nulls: Option<&'a NullBuffer>,
    /// None when no row has a text.
    texts: Option<&'a StringArray>,
}

impl<'a> Source<'a> {
    /// A column of strings, of strings in a dictionary, or of nothing.
    pub fn new(array: &'a dyn Array) -> Option<Self> {
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
            texts: Some(texts),
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
    let mut numbers = Vec::with_capacity(rows.len());
    let mut texts = Numbered::default();
    let mut bytes = 0;
    // What each source's own numbers are in this dictionary; a text is looked at once for each source.
    let mut known: Vec<Vec<u32>> = sources
        .iter()
        .map(|source| vec![u32::MAX; if source.numbers.is_some() { source.len() } else { 0 }])
        .collect();
    for rows in rows.chunks(TRIAL_ROWS) {
        for row in rows {
            let source = &sources[row.source as usize];
            let Some(number) = source.number(row.row as usize) else {
                numbers.push(u32::MAX);
                continue;
            };
            let found = match known[row.source as usize].get_mut(number) {
                Some(known) if *known != u32::MAX => *known,
                Some(known) => {
                    *known = texts.number(source.text(number));
                    *known
                }
                None => texts.number(source.text(number)),
            };
            numbers.push(found);
        }
        bytes += plain_bytes(&texts.texts, &numbers[numbers.len() - rows.len()..]);
        let does_not_pay = rows.len() == TRIAL_ROWS && texts.bytes * 10 > bytes * 7;
        if does_not_pay || texts.bytes > MAX_DICTIONARY_BYTES {
            return None;
        }
    }
    // Rows may have none of the texts of their batches.
    Some(if texts.texts.is_empty() {
        Text::Nothing
    } else {
        Text::Dictionary { texts: texts.texts, numbers }
    })
}

/// How many bytes the texts of rows take, each with its length.
fn plain_bytes(texts: &[&str], numbers: &[u32]) -> usize {
    numbers.iter().filter_map(|number| texts.get(*number as usize)).map(|text| text.len() + 4).sum()
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
