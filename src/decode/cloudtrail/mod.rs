//! CloudTrail log files into rows: management, data, network activity and Insights events; and digests.
//!
//! The path is tape, keys, columns: one walk over the keys of a record puts every value into its column, text by its
//! number. Long lists of records are parsed in parts. Must never re-serialize JSON: what is kept as JSON is a slice of
//! the source.

mod document;
mod fault;
mod keys;
mod lenient;
mod rows;
mod split;

use std::ops::Range;

use arrow::record_batch::RecordBatch;
use simd_json::{Buffers, INPUT_PADDING, Node, Tape};

use super::columns::{CLOUDTRAIL, DIGESTS, Table};
use super::{Error, ErrorKind, fill, without_mark};
use document::Document;
use rows::Rows;
use split::{Cut, Documents};

/// Records nested deeper than this are refused; CloudTrail itself stays under 20.
const MAX_DEPTH: usize = 256;

/// Where less of a piece is left than this, it is not known yet what begins there.
const LEAST_OF_A_HEAD: usize = 64;

/// The levels of `{"Records":[...]}` around a record.
const ENVELOPE_DEPTH: usize = 2;

/// Larger lists of records are parsed in parts of about this size, which stay in the processor's cache.
const PART_BYTES: usize = 512 << 10;

/// A part or a document of more values and keys than this is refused before it is parsed: each takes 32 bytes while it
/// is, so that a small object could take much memory.
const MAX_VALUES: usize = 1 << 22;

/// The most bytes of one record, and of a document that is no list of records; CloudTrail's own limit is 1 MB.
const MAX_RECORD_BYTES: usize = 32 << 20;

/// A decoder with buffers that are reused from object to object: one per thread.
///
/// It gathers the rows of the objects that are appended to it, until they are taken as one batch.
#[derive(Debug)]
pub struct Decoder {
    rows: Rows,
    digests: Rows,
    buffers: ReusedBuffers,
}

/// simd-json's buffers and the copy of the source that it unescapes in place.
struct ReusedBuffers {
    simd: Buffers,
    /// For lists of records alone, which have one level less around a record.
    simd_of_parts: Buffers,
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
        let simd_of_parts = Buffers::with_max_depth(0, MAX_DEPTH + ENVELOPE_DEPTH - 1);
        Decoder {
            rows: Rows::new(&CLOUDTRAIL),
            digests: Rows::new(&DIGESTS),
            buffers: ReusedBuffers { simd, simd_of_parts, scratch: Vec::new(), tape: Vec::new() },
        }
    }

    /// Decodes one object's content and adds its records, in source order, to the rows gathered so far; returns
    /// which rows they are.
    ///
    /// Accepts `{"Records":[...]}`, a bare array of records, a single record, an EventBridge event whose `detail` is
    /// one, and any number of these one after the other, on lines of their own or not. Strings that are no text (a
    /// surrogate without its other half) and numbers beyond a double are kept as the source writes them.
    /// Fails as a whole: no rows are added when any record cannot be read.
    pub fn append(&mut self, text: &[u8], source_object: &str) -> Result<Range<usize>, Error> {
        self.buffers.object(text, source_object, &mut self.rows)
    }

    /// Begins an object that comes in pieces, for [`Decoder::append_piece`].
    pub fn begin(&mut self) -> Pieces {
        self.rows.begin();
        Pieces { offset: 0, within: Within::Nothing }
    }

    /// Adds the records of an object that end in a piece of its content, which begins where the last one was left;
    /// returns how much of it is done with: the next piece begins there. After an error nothing of the object is
    /// left, and it has ended.
    pub fn append_piece(&mut self, pieces: &mut Pieces, text: &[u8], is_last: bool) -> Result<usize, Error> {
        let taken = self.buffers.piece(pieces, text, is_last, &mut self.rows);
        match &taken {
            Ok(taken) => pieces.offset += taken,
            Err(_) => self.rows.drop_object(),
        }
        taken
    }

    /// Ends an object that came in pieces; returns which rows it has.
    pub fn end(&mut self, source_object: &str) -> Range<usize> {
        self.rows.end(source_object)
    }

    /// Whether the last object has rows, but nothing of an event in them: any list of JSON objects can be read as
    /// records.
    pub fn is_strange(&self) -> bool {
        self.rows.lacks(&["event_version", "event_time", "event_name"])
    }

    /// Drops the rows of the last object: it is something else, or the rest of its pieces cannot be had.
    pub fn drop_object(&mut self) {
        self.rows.drop_object();
    }

    /// How many bytes the buffers hold, without the rows.
    pub fn held_bytes(&self) -> usize {
        let ReusedBuffers { simd, simd_of_parts, scratch, tape } = &self.buffers;
        let indexes =
            size_of_val(simd.structural_indexes()) + size_of_val(simd_of_parts.structural_indexes());
        scratch.capacity() + indexes + tape.capacity() * size_of::<Node>()
    }

    /// How many bytes of text the rows gathered so far take.
    pub fn gathered_bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The rows gathered so far, none of which are left: columns in the order of the `cloudtrail` table, text as
    /// dictionaries of 32-bit numbers.
    pub fn take(&mut self) -> Result<RecordBatch, Error> {
        self.rows.finish()
    }

    /// Decodes one object's content into rows of the `cloudtrail` table, in its schema; see [`Decoder::append`].
    pub fn decode(&mut self, text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
        let gathered = std::mem::replace(&mut self.rows, Rows::new(&CLOUDTRAIL));
        let outcome = self.append(text, source_object).and_then(|_| self.take());
        self.rows = gathered;
        unpacked(&CLOUDTRAIL, &outcome?)
    }

    /// Decodes a digest into the one row of the `digests` table that it is.
    pub fn decode_digest(&mut self, text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
        let outcome = self.buffers.object(text, source_object, &mut self.digests);
        // Taken in any case: of one that cannot be read, nothing stays behind.
        let batch = self.digests.finish();
        outcome.and_then(|_| unpacked(&DIGESTS, &batch?))
    }

    /// Decodes texts that each hold one document, or none; the record of an error is the number of its text.
    pub fn decode_each<'a>(
        &mut self,
        texts: impl IntoIterator<Item = &'a str>,
        source_object: &str,
    ) -> Result<RecordBatch, Error> {
        let mut rows = Rows::new(&CLOUDTRAIL);
        rows.begin();
        for (index, text) in texts.into_iter().enumerate() {
            let text = text.as_bytes();
            self.buffers.any_document(text, 0, &mut rows).map_err(|error| Error {
                record: Some(index),
                offset: None,
                ..fault::pinpoint(text, error)
            })?;
        }
        rows.end(source_object);
        unpacked(&CLOUDTRAIL, &rows.finish()?)
    }
}

/// How far an object that comes in pieces has come.
#[derive(Debug)]
pub struct Pieces {
    /// Bytes of its content that are done with.
    offset: usize,
    within: Within,
}

/// What the next piece begins in.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// Between documents.
    Nothing,
    /// A list: with its bracket, or with the comma before its next record.
    List(split::Head),
    /// The rest of the object around a list that has ended.
    Envelope,
}

/// How far a list was read.
enum Listed {
    /// Up to the comma or bracket before this record; what follows is in the next piece.
    UpTo(usize),
    /// To its closing bracket.
    Whole(usize),
}

/// What follows the brace that ends the object around a list, if that is what follows the list.
fn envelope_end(text: &[u8], after_list: usize) -> Option<usize> {
    let rest = text[after_list..].trim_ascii_start();
    rest.starts_with(b"}").then(|| text.len() - rest.len() + 1)
}

fn after_list() -> ErrorKind {
    ErrorKind::Json("expected `}` after the list of records".to_owned())
}

fn unpacked(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, Error> {
    fill::unpacked(table, batch)
        .map_err(|error| ErrorKind::Shape(format!("rows do not fit a batch: {error}")).nowhere())
}

impl ReusedBuffers {
    /// Adds the records of one object's content, all or none.
    fn object(&mut self, text: &[u8], source_object: &str, rows: &mut Rows) -> Result<Range<usize>, Error> {
        rows.begin();
        let (mark, text) = without_mark(text);
        match self.content(text, rows) {
            Ok(()) => Ok(rows.end(source_object)),
            Err(error) => {
                rows.drop_object();
                Err(fault::pinpoint(text, error).shifted(mark))
            }
        }
    }

    fn content(&mut self, text: &[u8], rows: &mut Rows) -> Result<(), Error> {
        if text.len() > PART_BYTES {
            return self.large(text, 0, rows);
        }
        match self.document(text, 0, rows) {
            Err(error) if matches!(error.kind, ErrorKind::Json(_)) => self.several(text, error, rows),
            outcome => outcome,
        }
    }

    /// Reads what is not one document that the fast parser takes: several of them, or one with odd tokens.
    fn several(&mut self, text: &[u8], refused: Error, rows: &mut Rows) -> Result<(), Error> {
        if Documents::new(text).nth(1).is_none() {
            return self.lenient_document(text, 0, refused, rows);
        }
        self.documents(text, 0, rows)
    }

    fn documents(&mut self, text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
        for (start, end) in Documents::new(text) {
            let document = &text[start..end];
            match split::list(document).filter(|_| document.len() > PART_BYTES && !rows.is_digest()) {
                Some(_) => self.large(document, offset + start, rows)?,
                None => self.any_document(document, offset + start, rows)?,
            }
        }
        Ok(())
    }

    /// Reads content of more than a part: a list of records, and whatever follows it, or documents.
    fn large(&mut self, text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
        let list = split::list(text).filter(|_| !rows.is_digest());
        let (Some(list), Some(head)) = (list, split::head(text)) else {
            return self.documents(text, offset, rows);
        };
        match self.list(text, offset, list, false, rows)? {
            Listed::UpTo(at) => {
                Err(ErrorKind::Json("the list is not closed".to_owned()).at(None, offset + at))
            }
            Listed::Whole(end) => {
                let mut after = end + 1;
                if head.is_enveloped {
                    after = envelope_end(text, after).ok_or_else(|| after_list().at(None, offset + after))?;
                }
                self.documents(&text[after..], offset + after, rows)
            }
        }
    }

    /// Reads the records that end in a piece; returns where the first one begins that does not, with the comma or
    /// bracket before it.
    fn piece(
        &mut self,
        pieces: &mut Pieces,
        text: &[u8],
        is_last: bool,
        rows: &mut Rows,
    ) -> Result<usize, Error> {
        let mut at = if pieces.offset == 0 { without_mark(text).0 } else { 0 };
        loop {
            let (rest, offset) = (&text[at..], pieces.offset + at);
            match pieces.within {
                Within::Nothing => {
                    let blank = rest.len() - rest.trim_ascii_start().len();
                    if blank == rest.len() || (!is_last && rest.len() - blank < LEAST_OF_A_HEAD) {
                        return Ok(at + blank);
                    }
                    if let Some(head) = split::head(rest) {
                        pieces.within = Within::List(head);
                        at += head.start;
                        continue;
                    }
                    let Some((start, end)) = Documents::new(rest).next() else { return Ok(text.len()) };
                    if end == rest.len() && !is_last {
                        return if end - start > MAX_RECORD_BYTES {
                            Err(rows.too_large(MAX_RECORD_BYTES, offset + start))
                        } else {
                            Ok(at + start)
                        };
                    }
                    self.any_document(&rest[start..end], offset + start, rows)?;
                    at += end;
                }
                Within::List(head) => {
                    let end = if is_last { split::tail(rest, &head) } else { None };
                    let list = split::List { start: 0, end: end.unwrap_or(rest.len()) };
                    match self.list(rest, offset, list, !is_last, rows)? {
                        Listed::UpTo(done) => return Ok(at + done),
                        Listed::Whole(end) => at += end + 1,
                    }
                    pieces.within = if head.is_enveloped { Within::Envelope } else { Within::Nothing };
                }
                Within::Envelope => {
                    if rest.trim_ascii_start().is_empty() && !is_last {
                        return Ok(text.len());
                    }
                    at += envelope_end(rest, 0).ok_or_else(|| after_list().at(None, offset))?;
                    pieces.within = Within::Nothing;
                }
            }
        }
    }

    /// Reads a list of records, part by part; of one that goes on after its text, what is certain to end before.
    fn list(
        &mut self,
        text: &[u8],
        offset: usize,
        list: split::List,
        goes_on: bool,
        rows: &mut Rows,
    ) -> Result<Listed, Error> {
        let mut start = list.start;
        loop {
            // One further away than this does not pay: it may turn out to be inside a record.
            let quick = split::quick_cut(text, start, &list, PART_BYTES, 4 * PART_BYTES);
            let quick = quick.filter(|end| *end < text.len());
            if let Some(end) = quick
                && self.part(&text[start..=end], offset + start, rows).is_ok()
            {
                if end == list.end {
                    return Ok(Listed::Whole(end));
                }
                start = end;
                continue;
            }
            if goes_on && quick.is_none() && start > list.start {
                return Ok(Listed::UpTo(start));
            }
            // The cut was inside a record, or there is something wrong with one, or the list ends before its text.
            let mut cut = split::exact_cut(text, start, PART_BYTES);
            let size = |cut| match cut {
                Cut::Comma(at) | Cut::Closing(at) => at - start,
                Cut::None => text.len() - start,
            };
            if size(cut) > MAX_RECORD_BYTES {
                cut = split::exact_cut(text, start, 1);
            }
            if size(cut) > MAX_RECORD_BYTES {
                return Err(rows.too_large(MAX_RECORD_BYTES, offset + start + 1));
            }
            let (Cut::Comma(end) | Cut::Closing(end)) = cut else {
                return if goes_on {
                    Ok(Listed::UpTo(start))
                } else {
                    self.part(&text[start..], offset + start, rows)?;
                    Err(ErrorKind::Json("the list is not closed".to_owned()).at(None, offset + text.len()))
                };
            };
            let before = rows.count();
            self.part(&text[start..=end], offset + start, rows)?;
            if rows.count() == before && start > list.start {
                let what = "expected a record after a comma".to_owned();
                return Err(ErrorKind::Json(what).at(None, offset + start));
            }
            if let Cut::Closing(end) = cut {
                return Ok(Listed::Whole(end));
            }
            start = end;
        }
    }

    /// Reads some records with the bracket or comma before and after them.
    fn part(&mut self, text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
        let many = fault::count_values(text, MAX_VALUES);
        many.map_err(|error| Error { record: Some(rows.of_object()), ..error.shifted(offset + 1) })?;
        self.copy(text, Some([b'[', b']']));
        match self.parse(text, offset, true, &[], rows) {
            Err(error) if matches!(error.kind, ErrorKind::Json(_)) => {
                self.copy(text, Some([b'[', b']']));
                self.patched(text, offset, true, error, rows)
            }
            outcome => outcome,
        }
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
        if text.len() > MAX_RECORD_BYTES {
            return Err(rows.too_large(MAX_RECORD_BYTES, offset));
        }
        fault::count_values(text, MAX_VALUES).map_err(|error| error.shifted(offset))?;
        self.copy(text, None);
        self.parse(text, offset, false, &[], rows)
    }

    /// Reads a document that was refused, with the tokens replaced that the fast parser does not take.
    fn lenient_document(
        &mut self,
        text: &[u8],
        offset: usize,
        refused: Error,
        rows: &mut Rows,
    ) -> Result<(), Error> {
        self.copy(text, None);
        self.patched(text, offset, false, refused, rows)
    }

    fn patched(
        &mut self,
        text: &[u8],
        offset: usize,
        is_part: bool,
        refused: Error,
        rows: &mut Rows,
    ) -> Result<(), Error> {
        let patches = lenient::patch(&mut self.scratch[..text.len()]);
        if patches == lenient::Patches::default() {
            return Err(refused);
        }
        self.parse(text, offset, is_part, &patches.escapes, rows)
    }

    /// Copies a document to where the parser unescapes it in place; its first and last byte may be others there.
    fn copy(&mut self, text: &[u8], ends: Option<[u8; 2]>) {
        self.scratch.clear();
        self.scratch.extend_from_slice(text);
        self.scratch.resize(text.len() + INPUT_PADDING, 0);
        if let (Some([first, last]), Some(end)) = (ends, text.len().checked_sub(1)) {
            self.scratch[0] = first;
            self.scratch[end] = last;
        }
    }

    /// Parses the copy of a document, in which the escapes at these bytes were replaced, and adds its records.
    fn parse(
        &mut self,
        text: &[u8],
        offset: usize,
        is_part: bool,
        escapes: &[u32],
        rows: &mut Rows,
    ) -> Result<(), Error> {
        let ReusedBuffers { simd, simd_of_parts, scratch, tape } = self;
        let simd = if is_part { simd_of_parts } else { simd };
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
                    Ok(text) => rows.read(&Document::new(text, offset, &filled.0, structurals, &spoiled)),
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
    let words = match error.error() {
        simd_json::ErrorType::DepthLimitExceeded => {
            return ErrorKind::TooDeep { levels: MAX_DEPTH }.at(None, at);
        }
        simd_json::ErrorType::InternalError => "unexpected character".to_owned(),
        other => format!("{other:?}").to_ascii_lowercase(),
    };
    ErrorKind::Json(words).at(None, at)
}

#[cfg(test)]
mod tests;
