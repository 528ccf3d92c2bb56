//! Which number a text has: each text once, in the order in which they are first seen.
//!
//! Most texts of logs are short (names, regions, addresses): those of up to 16 bytes are compared as two numbers,
//! without looking at the text they were numbered with. Must never keep a text: whoever numbers them holds them.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The numbers of texts.
#[derive(Debug, Default)]
pub struct Numbering {
    state: RandomState,
    short: HashTable<(Short, u32)>,
    long: HashTable<Long>,
    last: Option<(Short, u32)>,
    last_long: Option<u32>,
}

/// A text of up to 16 bytes: its first and its last eight, which may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Short {
    first: u64,
    last: u64,
    length: u32,
}

/// A longer text.
#[derive(Debug, Clone, Copy)]
struct Long {
    hash: u64,
    number: u32,
}

impl Numbering {
    /// The number of a text, and whether it is new: then it is `next`. The texts before are asked for by their number.
    #[inline]
    pub fn number<'a>(&mut self, text: &str, next: u32, known: impl Fn(u32) -> &'a str) -> (u32, bool) {
        let Some(short) = Short::of(text) else { return self.long(text, next, known) };
        // The record before is the likeliest to have the same.
        if let Some((last, number)) = self.last
            && last == short
        {
            return (number, false);
        }
        let Numbering { state, short: table, .. } = self;
        let hash = |short: &Short| state.hash_one((short.first, short.last));
        let found = table.entry(hash(&short), |(known, _)| *known == short, |(known, _)| hash(known));
        let is_new = matches!(found, Entry::Vacant(_));
        let number = found.or_insert((short, next)).get().1;
        self.last = Some((short, number));
        (number, is_new)
    }

    fn long<'a>(&mut self, text: &str, next: u32, known: impl Fn(u32) -> &'a str) -> (u32, bool) {
        if let Some(last) = self.last_long
            && known(last) == text
        {
            return (last, false);
        }
        let hash = self.state.hash_one(text.as_bytes());
        let is_same = |entry: &Long| entry.hash == hash && known(entry.number) == text;
        let found = self.long.entry(hash, is_same, |entry| entry.hash);
        let is_new = matches!(found, Entry::Vacant(_));
        let number = found.or_insert(Long { hash, number: next }).get().number;
        self.last_long = Some(number);
        (number, is_new)
    }
}

impl Short {
    #[inline]
    fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (first, last) = match bytes.len() {
            8..=16 => {
                let (first, last) = bytes.first_chunk().zip(bytes.last_chunk())?;
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            }
            4..8 => {
                let (first, last) = bytes.first_chunk().zip(bytes.last_chunk())?;
                (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
            }
            0..4 => (bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
            _ => return None,
        };
        // At most 16.
        Some(Short { first, last, length: u32::try_from(bytes.len()).unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_one_number_each() {
        let pieces = ["", "a", "b", "\0", "ab", "aaaaaaa", "aaaaaaaa", "10.0.0.1", "0123456789abcdef", "é"];
        let mut all: Vec<String> = Vec::new();
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    all.push([first, second, third].concat());
                }
            }
        }
        let mut numbering = Numbering::default();
        let mut texts: Vec<&str> = Vec::new();
        for _ in 0..2 {
            for text in &all {
                let next = u32::try_from(texts.len()).unwrap();
                let expected = texts.iter().position(|known| known == text);
                let (number, is_new) = numbering.number(text, next, |number| texts[number as usize]);
                assert_eq!(number as usize, expected.unwrap_or(texts.len()), "{text}");
                assert_eq!(is_new, expected.is_none());
                if is_new {
                    texts.push(text);
                }
            }
        }
    }
}
