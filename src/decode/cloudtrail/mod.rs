//! CloudTrail log files into rows: management, data, network activity and Insights events; and digests.
//!
//! The path is tape, positions, columns: one pass over the keys of a document notes where every value is,
//! then one loop per column copies the values out. Must never re-serialize JSON: what is kept as JSON is a slice
//! of the source.

mod document;
mod fault;
mod keys;
mod lenient;
mod rows;
mod split;

use arrow::record_batch::RecordBatch;
use simd_json::{Buffers, INPUT_PADDING, Node, Tape};

use super::columns::{CLOUDTRAIL, DIGESTS};
use super::{Error, ErrorKind, check_offsets, without_mark};
use document::Document;
use keys::Keys;
use rows::{Rows, Widths};
use split::Documents;

/// Records nested deeper than this are refused; CloudTrail itself stays under 20.
const MAX_DEPTH: usize = 256;

/// Documents of more values and keys than this are refused before they are parsed: each takes 32 bytes while it is,
/// so that a small object could take all memory. No log file comes near.
const MAX_VALUES: usize = 1 << 24;

/// The levels of `{"Records":[...]}` around a record.
const ENVELOPE_DEPTH: usize = 2;

/// A decoder with buffers that are reused from object to object: one per thread.
#[derive(Debug)]
pub struct Decoder {
    keys: Keys,
    digest_keys: Keys,
    widths: Widths,
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
        let simd = Buffers::with_max_depth(0, MAX_DEPTH + ENVELOPE_DEPTH);
        Decoder {
            keys: Keys::new(&CLOUDTRAIL),
            digest_keys: Keys::new(&DIGESTS),
            widths: Widths::new(&CLOUDTRAIL),
            buffers: ReusedBuffers { simd, scratch: Vec::new(), tape: Vec::new() },
        }
    }

    /// Decodes one object's content into rows of the `cloudtrail` table, in source order.
    ///
    /// Accepts `{"Records":[...]}`, a bare array of records, a single record, an EventBridge event whose `detail` is
    /// one, and any number of these one after the other, on lines of their own or not. Strings that are no text (a surrogate without its other half)
    /// and numbers beyond a double are kept as the source writes them.
    /// Fails as a whole: no rows are returned when any record cannot be read.
    pub fn decode(&mut self, text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
        check_offsets(text.len())?;
        let mut rows = Rows::new(&CLOUDTRAIL, source_object, &self.widths);
        let (mark, text) = without_mark(text);
        let outcome = match self.document(text, 0, &mut rows) {
            Err(error) if matches!(error.kind, ErrorKind::Json(_) | ErrorKind::TooMany { .. }) => {
                self.documents(text, error, &mut rows)
            }
            outcome => outcome,
        };
        outcome.map_err(|error| fault::pinpoint(text, error).shifted(mark))?;
        let batch = rows.finish()?;
        self.widths.learn(&batch);
        Ok(batch)
    }

    /// Decodes a digest into the one row of the `digests` table that it is.
    pub fn decode_digest(&mut self, text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
        let mut rows = Rows::new(&DIGESTS, source_object, &Widths::new(&DIGESTS));
        let (mark, text) = without_mark(text);
        self.any_document(text, 0, &mut rows).map_err(|error| fault::pinpoint(text, error).shifted(mark))?;
        rows.finish()
    }

    /// Decodes texts that each hold one document, or none; the record of an error is the number of its text.
    pub fn decode_each<'a>(
        &mut self,
        texts: impl IntoIterator<Item = &'a str>,
        source_object: &str,
    ) -> Result<RecordBatch, Error> {
        let mut rows = Rows::new(&CLOUDTRAIL, source_object, &self.widths);
        for (index, text) in texts.into_iter().enumerate() {
            let text = text.as_bytes();
            self.any_document(text, 0, &mut rows).map_err(|error| Error {
                record: Some(index),
                offset: None,
                ..fault::pinpoint(text, error)
            })?;
        }
        rows.finish()
    }

    /// How many bytes the buffers hold.
    pub fn held_bytes(&self) -> usize {
        let ReusedBuffers { simd, scratch, tape } = &self.buffers;
        scratch.capacity() + size_of_val(simd.structural_indexes()) + tape.capacity() * size_of::<Node>()
    }

    /// Reads what is not one document that the fast parser takes: several of them, or one with odd tokens.
    fn documents(&mut self, text: &[u8], refused: Error, rows: &mut Rows) -> Result<(), Error> {
        let mut parts = Documents::new(text);
        let (first, second) = (parts.next(), parts.next());
        let (Some(first), Some(second)) = (first, second) else {
            if !matches!(refused.kind, ErrorKind::Json(_)) {
                return Err(refused);
            }
            return self.lenient_document(text, 0, refused, rows);
        };
        for (start, end) in [first, second].into_iter().chain(parts) {
            self.any_document(&text[start..end], start, rows)?;
        }
        Ok(())
    }

    /// Reads one document, the fast way or the other.
    fn any_document(&mut self, text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
        match self.document(text, offset, rows) {
            Err(error) if matches!(error.kind, ErrorKind::Json(_)) => {
                self.lenient_document(text, offset, error, rows)
            }
            outcome => outcome,
        }
    }

    /// Reads one JSON document that begins at byte `offset` of the content.
    fn document(&mut self, text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        fault::count_values(text, MAX_VALUES).map_err(|error| error.shifted(offset))?;
        let keys = if rows.is_digest() { &self.digest_keys } else { &self.keys };
        self.buffers.copy(text);
        self.buffers.parse(text, offset, &[], keys, rows)
    }

    /// Reads a document that was refused, with the tokens replaced that the fast parser does not take.
    fn lenient_document(
        &mut self,
        text: &[u8],
        offset: usize,
        refused: Error,
        rows: &mut Rows,
    ) -> Result<(), Error> {
        self.buffers.copy(text);
        let patches = lenient::patch(&mut self.buffers.scratch[..text.len()]);
        if patches == lenient::Patches::default() {
            return Err(refused);
        }
        let keys = if rows.is_digest() { &self.digest_keys } else { &self.keys };
        self.buffers.parse(text, offset, &patches.escapes, keys, rows)
    }
}

impl ReusedBuffers {
    /// Copies a document to where the parser unescapes it in place.
    fn copy(&mut self, text: &[u8]) {
        self.scratch.clear();
        self.scratch.extend_from_slice(text);
        self.scratch.resize(text.len() + INPUT_PADDING, 0);
    }

    /// Parses the copy of a document, in which the escapes at these bytes were replaced, and adds its records.
    fn parse(
        &mut self,
        text: &[u8],
        offset: usize,
        escapes: &[u32],
        keys: &Keys,
        rows: &mut Rows,
    ) -> Result<(), Error> {
        let ReusedBuffers { simd, scratch, tape } = self;
        let mut filled = Tape(std::mem::take(tape));
        let parsed = simd_json::fill_tape_padded(scratch, text.len(), simd, &mut filled);
        let outcome = match parsed {
            Ok(()) => {
                let structurals = simd.structural_indexes();
                let spoiled = match escapes {
                    [] => Vec::new(),
                    escapes => lenient::spoiled(&filled.0, structurals, escapes),
                };
                // The copy that was parsed is UTF-8, so this is; what was replaced in it is ASCII in both.
                match std::str::from_utf8(text) {
                    Ok(text) => {
                        rows.read(&Document::new(text, offset, &filled.0, structurals, &spoiled), keys)
                    }
                    Err(_) => Err(ErrorKind::Utf8.at(None, offset)),
                }
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

/// What the beginning of some JSON reads like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Events: a `Records` array, or fields of a record.
    Events,
    /// A digest.
    Digest,
    /// Aggregates of data events, which are no events and have a schema of their own.
    Aggregates,
    /// None of these.
    Other,
}

/// What the beginning of some JSON reads like.
pub fn likeness(head: &[u8]) -> Likeness {
    let has = |key: &[u8]| memchr::memmem::find(head, key).is_some();
    if has(b"\"AwsAggregatedEvent\"") && has(b"\"timeWindow\"") && !has(b"\"eventTime\"") {
        return Likeness::Aggregates;
    }
    let start = head.trim_ascii_start();
    let envelope =
        start.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"Records\""));
    if envelope || has(b"\"eventVersion\"") {
        Likeness::Events
    } else if has(b"\"digestPublicKeyFingerprint\"") || has(b"\"digestS3Object\"") {
        Likeness::Digest
    } else {
        Likeness::Other
    }
}

fn json_error(error: &simd_json::Error, text: &[u8], offset: usize) -> Error {
    if let Err(utf8) = std::str::from_utf8(text) {
        return ErrorKind::Utf8.at(None, offset + utf8.valid_up_to());
    }
    let at = offset + error.index().min(text.len());
    if matches!(error.error(), simd_json::ErrorType::DepthLimitExceeded) {
        return ErrorKind::TooDeep { levels: MAX_DEPTH }.at(None, at);
    }
    let words = format!("{:?}", error.error()).to_ascii_lowercase();
    ErrorKind::Json(words).at(None, at)
}

#[cfg(test)]
mod tests;
