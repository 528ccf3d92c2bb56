//! CloudTrail log files into rows: management, data and network activity events.
//!
//! The path is tape, positions, columns: one pass over the keys of a document notes where every value is,
//! then one loop per column copies the values out. Must never re-serialize JSON: what is kept as JSON is a slice
//! of the source.

mod document;
mod keys;
mod rows;

use arrow::record_batch::RecordBatch;
use simd_json::{Buffers, INPUT_PADDING, Node, Tape};

use super::columns::CLOUDTRAIL;
use super::{Error, ErrorKind};
use document::Document;
use keys::Keys;
use rows::Rows;

/// Deeper JSON than this is refused; CloudTrail itself stays under 20.
const MAX_DEPTH: usize = 256;

/// A decoder with buffers that are reused from object to object: one per thread.
#[derive(Debug)]
pub struct Decoder {
    keys: Keys,
    buffers: ReusedBuffers,
}

/// simd-json's buffers and the copy of the source that it unescapes in place.
struct ReusedBuffers {
    simd: Buffers,
    scratch: Vec<u8>,
    /// Kept empty between documents: only its allocation is reused.
    tape: Vec<Node<'static>>,
}

impl std::fmt::Debug for ReusedBuffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReusedBuffers")
            .field("scratch_bytes", &self.scratch.capacity())
            .finish_non_exhaustive()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with empty buffers.
    pub fn new() -> Self {
        let simd = Buffers::with_max_depth(0, MAX_DEPTH);
        Decoder {
            keys: Keys::new(&CLOUDTRAIL),
            buffers: ReusedBuffers { simd, scratch: Vec::new(), tape: Vec::new() },
        }
    }

    /// Decodes one object's content into rows of the `cloudtrail` table, in source order.
    ///
    /// Accepts `{"Records":[...]}`, a bare array of records, a single record, and any of these one per line.
    /// Fails as a whole: no rows are returned when any record cannot be read.
    pub fn decode(&mut self, text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
        let mut rows = Rows::new(&CLOUDTRAIL, source_object);
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        match self.document(text, 0, &mut rows) {
            Ok(()) => {}
            Err(error) if is_lines(text) && matches!(error.kind, ErrorKind::Json(_)) => {
                rows = Rows::new(&CLOUDTRAIL, source_object);
                self.lines(text, &mut rows)?;
            }
            Err(error) => return Err(error),
        }
        rows.finish()
    }

    fn lines(&mut self, text: &[u8], rows: &mut Rows) -> Result<(), Error> {
        let mut start = 0;
        while start < text.len() {
            let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |at| start + at);
            if !text[start..end].trim_ascii().is_empty() {
                self.document(&text[start..end], start, rows)?;
            }
            start = end + 1;
        }
        Ok(())
    }

    /// Reads one JSON document that begins at byte `offset` of the content.
    fn document(&mut self, text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let ReusedBuffers { simd, scratch, tape } = &mut self.buffers;
        scratch.clear();
        scratch.extend_from_slice(text);
        scratch.resize(text.len() + INPUT_PADDING, 0);
        let mut filled = Tape(std::mem::take(tape));
        let parsed = simd_json::fill_tape_padded(scratch, text.len(), simd, &mut filled);
        let outcome = match parsed {
            Ok(()) => {
                let document = Document::new(text, offset, &filled.0, simd.structural_indexes());
                rows.read(&document, &self.keys)
            }
            Err(error) => Err(json_error(&error, text, offset)),
        };
        *tape = filled.reset().0;
        outcome
    }
}

/// Decodes one object's content with a decoder of its own: see [`Decoder::decode`].
pub fn decode(text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
    Decoder::new().decode(text, source_object)
}

/// Whether the beginning of some JSON reads like CloudTrail: a `Records` array, or fields of a record.
pub fn looks_like(head: &[u8]) -> bool {
    let has = |key: &[u8]| memchr::memmem::find(head, key).is_some();
    let start = head.trim_ascii_start();
    let envelope =
        start.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"Records\""));
    (envelope || has(b"\"eventVersion\"")) && !has(b"\"insightDetails\"")
}

/// Whether the content may be one document per line: a line that ends a value is followed by one that begins one.
fn is_lines(text: &[u8]) -> bool {
    let first = text.trim_ascii_start();
    let Some(end) = memchr::memchr(b'\n', first) else { return false };
    first.starts_with(b"{") && first[..end].trim_ascii_end().ends_with(b"}")
}

fn json_error(error: &simd_json::Error, text: &[u8], offset: usize) -> Error {
    if let Err(utf8) = std::str::from_utf8(text) {
        return ErrorKind::Utf8.at(None, offset + utf8.valid_up_to());
    }
    let mut words = format!("{:?}", error.error());
    words.make_ascii_lowercase();
    ErrorKind::Json(words).at(None, offset + error.index().min(text.len()))
}

#[cfg(test)]
mod tests;
