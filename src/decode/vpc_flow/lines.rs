//! Lines of a flow log, and where their fields are.
//!
//! Must never copy text: a field is a span of the source.

use memchr::memchr;

use super::header::{self, Header};
use crate::decode::{Error, ErrorKind};

/// No record is anywhere near this long.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// The most records of one object; a delivered file has at most 75 MB of gzip, which is about eight million.
pub const MAX_RECORDS: usize = 10_000_000;

/// How many lines are split before their columns are filled: their text and spans stay in the cache.
const CHUNK_RECORDS: usize = 1024;

/// A slice of the source, as byte offsets; the source is under 2 GiB.
pub type Span = (u32, u32);

/// Bytes whose marks are looked for at once.
const BLOCK: usize = 64;

/// The lines of a text that are not blank.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    text: &'a str,
    /// Where the next line begins.
    at: usize,
    /// The bytes from here on whose marks were looked for, and those that were not passed yet.
    block: usize,
    marks: u64,
}

impl<'a> Lines<'a> {
    /// All lines of a text.
    pub fn new(text: &'a str) -> Self {
        Lines { text, at: 0, block: 0, marks: marks(text.as_bytes(), 0) }
    }

    /// Appends the spans of the next line's fields and returns where the line begins; `None` after the last line.
    pub fn next_fields(
        &mut self,
        record: Option<usize>,
        spans: &mut Vec<Span>,
    ) -> Result<Option<usize>, Error> {
        let before = spans.len();
        while self.at < self.text.len() {
            let start = self.at;
            if !self.line(spans) {
                return Err(too_long(record, start));
            }
            if spans.len() > before {
                return Ok(Some(start));
            }
        }
        Ok(None)
    }

    /// Appends the spans of a line's fields and goes on to the next; false when it is too long.
    #[inline]
    fn line(&mut self, spans: &mut Vec<Span>) -> bool {
        let bytes = self.text.as_bytes();
        let line = self.at;
        let mut start = line;
        loop {
            let (end, is_last) = match self.next_mark() {
                Some(mark) if bytes[mark] == b'\n' => (mark, true),
                Some(mark) if is_blank(bytes[mark]) => (mark, false),
                Some(_) => continue,
                None => (bytes.len(), true),
            };
            if end - line > MAX_LINE_BYTES {
                return false;
            }
            if end > start {
                spans.push((narrow(start), narrow(end)));
            }
            start = end + 1;
            if is_last {
                self.at = start;
                return true;
            }
        }
    }

    /// The next byte that is at most a blank.
    #[inline]
    fn next_mark(&mut self) -> Option<usize> {
        while self.marks == 0 {
            if self.block + BLOCK >= self.text.len() {
                return None;
            }
            self.block += BLOCK;
            self.marks = marks(self.text.as_bytes(), self.block);
        }
        let mark = self.block + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(mark)
    }

    /// The text of a span.
    pub fn field(&self, span: Span) -> &'a str {
        field(self.text, span)
    }
}

/// The error for a line that begins at a byte.
pub fn too_long(record: Option<usize>, start: usize) -> Error {
    ErrorKind::Shape(format!("a line longer than {MAX_LINE_BYTES} bytes")).at(record, start)
}

/// The text of a span.
#[inline]
pub fn field(text: &str, (start, end): Span) -> &str {
    &text[start as usize..end as usize]
}

/// The first line that is not blank.
pub fn first(text: &[u8]) -> Option<&[u8]> {
    let start = text.iter().position(|byte| !is_blank(*byte) && *byte != b'\n')?;
    let rest = &text[start..text.len().min(start + MAX_LINE_BYTES)];
    Some(&rest[..memchr(b'\n', rest).unwrap_or(rest.len())])
}

/// The fields of the first line that is not blank, of a text that may be cut off or be something else altogether.
pub fn first_fields(text: &[u8]) -> Option<Vec<&str>> {
    let line = std::str::from_utf8(first(text)?).ok()?;
    let mut spans = Vec::new();
    Lines::new(line).next_fields(None, &mut spans).ok()??;
    Some(spans.into_iter().map(|span| field(line, span)).collect())
}

/// Which of the bytes from a place on are at most a blank, one bit each; beyond the end there are none.
#[inline]
fn marks(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    if let Some(block) = rest.first_chunk() {
        return marks_of(block);
    }
    let mut block = [u8::MAX; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    marks_of(&block)
}

#[inline]
fn marks_of(block: &[u8; BLOCK]) -> u64 {
    // Brings the lowest bits of eight bytes together in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (words, _) = block.as_chunks::<8>();
    (0..).zip(words).fold(0, |marks, (at, word)| {
        let low = low_bytes(u64::from_le_bytes(*word)) >> 7;
        marks | (low.wrapping_mul(GATHER) >> 56) << (8 * at)
    })
}

/// The highest bit of each byte that is at most that of a blank.
#[inline]
fn low_bytes(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const LOW: u64 = EACH * 0x7f;
    // Adding 0x5f to the low seven bits carries into the highest one from 0x21 on.
    !(((word & LOW) + EACH * 0x5f) | word) & !LOW
}

/// A carriage return counts as a blank, which takes care of lines that end in CR LF.
#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Never cuts: the decoder refuses a text of 2 GiB.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the text is under 2 GiB, and this runs for every field")]
fn narrow(offset: usize) -> u32 {
    offset as u32
}

/// The spans of some records: a matrix of records by fields, in source order.
#[derive(Debug)]
pub struct Chunk {
    spans: Vec<Span>,
    width: usize,
}

impl Chunk {
    /// An empty chunk of records with `width` fields.
    pub fn new(width: usize) -> Self {
        Chunk { spans: Vec::with_capacity(width * CHUNK_RECORDS), width }
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        self.spans.len() / self.width.max(1)
    }

    /// How many bytes there are from the first field to the last.
    pub fn bytes(&self) -> usize {
        let ends = self.spans.first().zip(self.spans.last());
        ends.map_or(0, |(first, last)| (last.1 - first.0) as usize)
    }

    /// The spans of one field, record by record.
    pub fn column(&self, position: usize) -> impl Iterator<Item = Span> {
        self.spans.iter().skip(position).step_by(self.width.max(1)).copied()
    }

    /// The span of one field of one record.
    pub fn span(&self, record: usize, position: usize) -> Span {
        self.spans[record * self.width + position]
    }

    /// Replaces the content with the next records, which follow `before` records; false when there are none.
    ///
    /// A repeated header, as in files that were joined, is not a record. A different one is an error: it would give
    /// the fields that follow another meaning.
    pub fn fill(&mut self, lines: &mut Lines<'_>, header: &Header, before: usize) -> Result<bool, Error> {
        self.spans.clear();
        while self.records() < CHUNK_RECORDS {
            let first = self.spans.len();
            let record = before + self.records();
            let Some(offset) = lines.next_fields(Some(record), &mut self.spans)? else { break };
            let found = &self.spans[first..];
            if header.may_repeat(lines.field(found[0])) {
                let fields: Vec<&str> = found.iter().map(|span| lines.field(*span)).collect();
                if fields == header.names {
                    self.spans.truncate(first);
                    continue;
                }
                if header::table_of(&fields).is_some() {
                    return Err(shape("a second header that differs from the first", record, offset));
                }
            }
            if found.len() != self.width {
                let what = format!("{} fields where the header names {}", found.len(), self.width);
                return Err(shape(&what, record, offset));
            }
            if record == MAX_RECORDS {
                return Err(shape(&format!("more than {MAX_RECORDS} records"), record, offset));
            }
        }
        Ok(!self.spans.is_empty())
    }
}

fn shape(what: &str, record: usize, offset: usize) -> Error {
    ErrorKind::Shape(what.to_owned()).at(Some(record), offset)
}
