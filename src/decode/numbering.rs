//! Which number a text has: each text once, in the order in which they are first seen.
//!
//! Most texts of logs are short (names, regions, addresses, ids of resources): those of up to 32 bytes are compared as
//! a few numbers, without looking at the text they were numbered with. Must never keep a text: whoever numbers them
//! holds them.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Room for more texts than this is not kept when they are forgotten.
const KEPT_TEXTS: usize = 1 << 15;

/// The numbers of texts.
#[derive(Debug, Default)]
pub struct Numbering {
    state: RandomState,
    short: Words<2>,
    medium: Words<4>,
    long: HashTable<Long>,
    last_long: Option<u32>,
}

/// Texts as words: their bytes in order, with zeros after the last.
#[derive(Debug, Default)]
struct Words<const N: usize> {
    table: HashTable<Word<N>>,
    last: Option<Word<N>>,
}

/// A text and its number. There can be very many, so it is no larger than it must be.
#[derive(Debug, Clone, Copy)]
struct Word<const N: usize> {
    words: [u64; N],
    length: u32,
    number: u32,
}

/// A longer text.
#[derive(Debug, Clone, Copy)]
struct Long {
    hash: u64,
    number: u32,
}

/// The numbers of short texts that were numbered lately. One that comes again after many others gets another number, so
/// that what is looked through stays small.
#[derive(Debug, Default)]
pub struct Recent {
    state: RandomState,
    /// Counts up when all are forgotten, instead of the length of each.
    generation: u32,
    short: Slots<2>,
    medium: Slots<4>,
}

/// Each text in the slot that it alone can be in; none until the first one.
#[derive(Debug, Default)]
struct Slots<const N: usize> {
    slots: Vec<Word<N>>,
    last: Option<Word<N>>,
}

/// A power of two; 48 KiB of short texts in each column. With more, what is inflated between two objects takes them from
/// the cache: reading takes 0.97 of the time of a table that grows with 8,192, and 0.94 with these (benches/README.md).
const SLOTS: usize = 1 << 11;

/// The lowest bits of what stands for a length hold it; the others the generation.
const LENGTH_BITS: u32 = 8;

impl Recent {
    /// The number of a part of a text, in bytes of it and of whole characters: `next` if it is not known; and whether it
    /// was. None of parts that are longer than 32 bytes, or have too little after them.
    #[expect(clippy::inline_always, reason = "it is called for every row, in one loop")]
    #[inline(always)]
    pub fn number_in(&mut self, text: &str, part: Range<usize>, next: u32) -> Option<(u32, bool)> {
        let rest = text.as_bytes().get(part.start..).unwrap_or_default();
        let bytes = part.len();
        // At most 32 where it is asked for.
        let length = u32::try_from(bytes).unwrap_or(u32::MAX) | self.generation << LENGTH_BITS;
        if bytes <= 16 {
            let words = first_words(rest.first_chunk()?, bytes);
            return Some(self.short.number(Word { words, length, number: next }, &self.state));
        }
        if bytes > 32 {
            return None;
        }
        let (first, rest) = rest.split_first_chunk()?;
        let ([a, b], [c, d]) = (first_words(first, 16), first_words(rest.first_chunk()?, bytes - 16));
        Some(self.medium.number(Word { words: [a, b, c, d], length, number: next }, &self.state))
    }

    /// Forgets all texts.
    pub fn clear(&mut self) {
        self.generation += 1;
        if self.generation >> (u32::BITS - LENGTH_BITS) > 0 {
            *self = Recent::default();
        }
    }
}

impl<const N: usize> Slots<N> {
    #[expect(clippy::inline_always, reason = "its words are compared where they are made, in registers")]
    #[inline(always)]
    fn number(&mut self, text: Word<N>, state: &RandomState) -> (u32, bool) {
        // The record before is the likeliest to have the same.
        if let Some(last) = &self.last
            && last.is_same(&text)
        {
            return (last.number, false);
        }
        if self.slots.is_empty() {
            // No text has this length.
            self.slots.resize(SLOTS, Word { words: [0; N], length: u32::MAX, number: 0 });
        }
        let slot = &mut self.slots[(text.hash(state) >> 32) as usize % SLOTS];
        let is_new = !slot.is_same(&text);
        if is_new {
            *slot = text;
        }
        self.last = Some(*slot);
        (slot.number, is_new)
    }
}

impl Numbering {
    /// The number of a text, and whether it is new: then it is `next`. The texts before are asked for by their number.
    #[inline]
    pub fn number<'a>(&mut self, text: &str, next: u32, known: impl Fn(u32) -> &'a str) -> (u32, bool) {
        let bytes = text.as_bytes();
        // At most 32 where it is asked for.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if let Some(words) = short(bytes) {
            self.short.number(Word { words, length, number: next }, &self.state)
        } else if let Some(words) = medium(bytes) {
            self.medium.number(Word { words, length, number: next }, &self.state)
        } else {
            self.long(text, next, known)
        }
    }

    /// How many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let Numbering { short, medium, long, .. } = self;
        short.table.allocation_size() + medium.table.allocation_size() + long.allocation_size()
    }

    /// Forgets all texts, and keeps the room for as many, if they took some of it and it is not large.
    pub fn clear(&mut self) {
        self.short.clear();
        self.medium.clear();
        self.long = HashTable::new();
        self.last_long = None;
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

impl<const N: usize> Word<N> {
    /// Word by word: read together right after they were written one by one, they would have to be waited for.
    #[inline]
    fn is_same(&self, other: &Self) -> bool {
        let words = self.words.iter().zip(&other.words);
        words.fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
            && self.length == other.length
    }

    /// Word by word: as a slice they would be hashed as bytes, which takes longer.
    #[inline]
    fn hash(&self, state: &RandomState) -> u64 {
        let mut hasher = state.build_hasher();
        self.words.iter().for_each(|word| hasher.write_u64(*word));
        hasher.finish()
    }
}

impl<const N: usize> Words<N> {
    /// The number of a text, which is the one it has here when it is new, and whether it is.
    #[expect(clippy::inline_always, reason = "its words are compared where they are made, in registers")]
    #[inline(always)]
    fn number(&mut self, text: Word<N>, state: &RandomState) -> (u32, bool) {
        // The record before is the likeliest to have the same.
        match &self.last {
            Some(last) if last.is_same(&text) => (last.number, false),
            _ => self.look_up(text, state),
        }
    }

    fn clear(&mut self) {
        let is_used = self.table.len() * 8 >= self.table.capacity();
        if is_used && self.table.capacity() <= KEPT_TEXTS {
            self.table.clear();
        } else {
            self.table = HashTable::new();
        }
        self.last = None;
    }

    #[expect(
        clippy::inline_always,
        reason = "its words need not go through memory, where they would be waited for"
    )]
    #[inline(always)]
    fn look_up(&mut self, text: Word<N>, state: &RandomState) -> (u32, bool) {
        let hash = text.hash(state);
        let known = self.table.find(hash, |known| known.is_same(&text)).copied();
        if known.is_none() {
            self.table.insert_unique(hash, text, |known| known.hash(state));
        }
        let found = known.unwrap_or(text);
        self.last = Some(found);
        (found.number, known.is_none())
    }
}

/// The words of a text of up to 16 bytes.
#[inline]
fn short(bytes: &[u8]) -> Option<[u64; 2]> {
    Some(match bytes.len() {
        8..=16 => {
            let (first, last) = (bytes.first_chunk()?, u64::from_le_bytes(*bytes.last_chunk()?));
            [u64::from_le_bytes(*first), beyond(last, bytes.len() - 8)]
        }
        4..8 => {
            let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
            let last = u64::from(u32::from_le_bytes(*last)) << (8 * (bytes.len() - 4));
            [u64::from(u32::from_le_bytes(*first)) | last, 0]
        }
        0..4 => [bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0],
        _ => return None,
    })
}

/// The words of a text of 17 to 32 bytes.
#[inline]
fn medium(bytes: &[u8]) -> Option<[u64; 4]> {
    let after = bytes.len().checked_sub(16).filter(|after| (1..=16).contains(after))?;
    let [a, b] = first_words(bytes.first_chunk()?, 16);
    // Without what is in the first two words.
    let last = u128::from_le_bytes(*bytes.last_chunk()?) >> (8 * (16 - after));
    let [c, d] = first_words(&last.to_le_bytes(), 16);
    Some([a, b, c, d])
}

/// Of a text's last eight bytes, the last so many.
#[inline]
fn beyond(last: u64, bytes: usize) -> u64 {
    if bytes == 0 { 0 } else { last >> (8 * (8 - bytes)) }
}

/// The words of the first so many of these bytes.
#[inline]
fn first_words(window: &[u8; 16], bytes: usize) -> [u64; 2] {
    /// For each number of bytes, those of two words.
    const FIRST: [[u64; 2]; 17] = {
        let mut first = [[u64::MAX; 2]; 17];
        let mut bytes = 0;
        while bytes < 8 {
            first[bytes] = [(1 << (8 * bytes)) - 1, 0];
            first[bytes + 8][1] = first[bytes][0];
            bytes += 1;
        }
        first
    };
    let first = FIRST[bytes.min(16)];
    let (low, high) = window.split_at(8);
    let word = |half: &[u8]| half.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    [word(low) & first[0], word(high) & first[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_one_number_each() {
        let pieces = [
            "",
            "a",
            "b",
            "\0",
            "ab",
            "aaaaaaa",
            "aaaaaaaa",
            "10.0.0.1",
            "0123456789abcdef",
            "é",
            "0123456789abcdefghijklmnopqrstu",
        ];
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
        for text in all.iter().chain(&all) {
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

    #[test]
    fn recent_texts_have_numbers_of_theirs() {
        let mut recent = Recent::default();
        for round in 0..3 {
            let (mut texts, mut again): (Vec<String>, usize) = (Vec::new(), 0);
            for at in 0..40_000_u32 {
                // Mostly some of a few, in all lengths, with NULs, and with little or much after them.
                let few = at.wrapping_mul(2_654_435_761) >> 22;
                let text = match at % 3 {
                    0 => "\0".repeat(few as usize % 40),
                    1 => format!("{few:0width$}", width = few as usize % 33),
                    _ => format!("{at}"),
                };
                let after = ["", "0", "0123456789abcdef0123456789abcdef"][at as usize / 3 % 3];
                let longer = format!("é{text}{after}");
                let next = u32::try_from(texts.len()).unwrap();
                let Some((number, is_new)) = recent.number_in(&longer, 2..2 + text.len(), next) else {
                    assert!(text.len() > 32 || longer.len() < 2 + text.len().next_multiple_of(16).max(16));
                    continue;
                };
                if is_new {
                    assert_eq!(number, next);
                    texts.push(text);
                } else {
                    assert_eq!(texts[number as usize], text, "round {round}");
                    again += 1;
                }
            }
            // Of a third there is enough after them, and a third of those are often the same.
            assert!(again > 3_000, "{again}");
            recent.clear();
        }
    }
}
