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

/// The lines of a text that are not blank.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    /// All lines of a text.
    pub fn new(text: &'a str) -> Self {
        Lines { text, at: 0 }
    }

    /// Appends the spans of the next line's fields and returns where the line begins; `None` after the last line.
    pub fn next_fields(
        &mut self,
        record: Option<usize>,
        spans: &mut Vec<Span>,
    ) -> Result<Option<usize>, Error> {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            let start = self.at;
            let rest = &bytes[start..];
            let line = &rest[..memchr(b'\n', rest).unwrap_or(rest.len())];
            if line.len() > MAX_LINE_BYTES {
                return Err(too_long(record, start));
            }
            self.at = start + line.len() + 1;
            let before = spans.len();
            split(line, start, spans);
            if spans.len() > before {
                return Ok(Some(start));
            }
        }
        Ok(None)
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
    split(line.as_bytes(), 0, &mut spans);
    Some(spans.into_iter().map(|span| field(line, span)).collect())
}

/// Notes the fields of a line, eight bytes at a time.
#[inline]
fn split(line: &[u8], offset: usize, spans: &mut Vec<Span>) {
    let mut start = 0;
    let mut blank = |at: usize| {
        if at > start {
            spans.push((narrow(offset + start), narrow(offset + at)));
        }
        start = at + 1;
    };
    let (words, rest) = line.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let mut marks = low_bytes(u64::from_le_bytes(*word));
        while marks != 0 {
            let place = (marks.trailing_zeros() / 8) as usize;
            if is_blank(word[place]) {
                blank(number * 8 + place);
            }
            marks &= marks - 1;
        }
    }
    let done = words.len() * 8;
    for (at, byte) in rest.iter().enumerate() {
        if is_blank(*byte) {
            blank(done + at);
        }
    }
    blank(line.len());
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
