//! CloudTrail log files into rows: management, data, network activity and Insights events; aggregated events; and
//! digests.
//!
//! One walk over the text: the keys of a record one after the other, every value straight into its column, text by its
//! number. There is no tape and no tree between. Must never re-serialize JSON: what is kept as JSON is a slice of the
//! source.

pub(super) mod fault;
mod keys;
mod nested;
mod outline;
mod rows;
pub(super) mod scan;
mod split;
pub(super) mod unescape;

use std::ops::Range;

use arrow::record_batch::RecordBatch;
use simdutf8::compat::{Utf8Error, from_utf8};

use super::columns::{AGGREGATED_EVENTS, CLOUDTRAIL, DIGESTS, Table};
use super::{Error, ErrorKind, fill, without_mark};
pub(super) use rows::MAX_DEPTH;
use rows::{Listed, MAX_RECORD_BYTES, Rows};
use scan::Inside;
use split::Documents;

/// Where less of a piece is left than this, it is not known yet what begins there.
const LEAST_OF_A_HEAD: usize = 64;

/// A list of records in less content than this may have other fields around it: only then is it looked at what follows
/// the list before its records are read.
const SMALL_BYTES: usize = 512 << 10;

/// A decoder with buffers that are reused from object to object: one per thread.
///
/// It gathers the rows of the objects that are appended to it, until they are taken as one batch.
#[derive(Debug)]
pub struct Decoder {
    rows: Rows,
    aggregated: Rows,
    digests: Rows,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder without rows.
    pub fn new() -> Self {
        let [rows, aggregated, digests] = [&CLOUDTRAIL, &AGGREGATED_EVENTS, &DIGESTS].map(Rows::new);
        Decoder { rows, aggregated, digests }
    }

    /// Decodes one object's content and adds its records, in source order, to the rows gathered so far; returns
    /// which rows they are.
    ///
    /// Accepts `{"Records":[...]}`, a bare array of records, a single record, an EventBridge event whose `detail` is
    /// one, and any number of these one after the other, on lines of their own or not. Strings that are no text (a
    /// surrogate without its other half) and numbers of any size are kept as the source writes them.
    /// Fails as a whole: no rows are added when any record cannot be read.
    pub fn append(&mut self, text: &[u8], source_object: &str) -> Result<Range<usize>, Error> {
        object(text, source_object, &mut self.rows)
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
        let taken = piece(pieces, text, is_last, &mut self.rows);
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

    /// Whether the last object has rows, and all are of event sources that no event of CloudTrail has: notifications of
    /// S3 and records of streams, which have `Records` and names of fields like events.
    pub fn is_of_notifications(&self) -> bool {
        self.rows.all_begin("event_source", "aws:")
    }

    /// Drops the rows of the last object: it is something else, or the rest of its pieces cannot be had.
    pub fn drop_object(&mut self) {
        self.rows.drop_object();
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
        alone(text, source_object, &mut self.digests)
    }

    /// Decodes an object of aggregated events into rows of the `aggregated_events` table; they come in the forms that
    /// [`Decoder::append`] takes, but for `EventBridge`.
    pub fn decode_aggregated(&mut self, text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
        alone(text, source_object, &mut self.aggregated)
    }

    /// Decodes texts that each hold one document, or none, into rows of `cloudtrail` or of `aggregated_events`; the
    /// record of an error is the number of its text, or in a list of records its own number among all of them.
    pub fn decode_each<'a>(
        &mut self,
        table: &'static Table,
        texts: impl IntoIterator<Item = &'a str>,
        source_object: &str,
    ) -> Result<RecordBatch, Error> {
        let mut rows = Rows::new(table);
        rows.begin();
        for (index, text) in texts.into_iter().enumerate() {
            let text = text.as_bytes();
            one_document(text, 0, &mut rows).map_err(|error| {
                let record = error.record.filter(|_| split::head(text).is_some());
                Error { record: Some(record.unwrap_or(index)), offset: None, ..fault::pinpoint(text, error) }
            })?;
        }
        rows.end(source_object);
        checked(table, &rows.finish()?)
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

/// What follows the brace that ends the object around a list, if that is what follows the list.
fn envelope_end(text: &[u8], after_list: usize) -> Option<usize> {
    let brace = scan::blank(text, after_list);
    (text.get(brace) == Some(&b'}')).then_some(brace + 1)
}

fn after_list() -> ErrorKind {
    ErrorKind::Json("expected `}` after the list of records".to_owned())
}

/// The records of one object's content as a batch of their own.
fn alone(text: &[u8], source_object: &str, rows: &mut Rows) -> Result<RecordBatch, Error> {
    let outcome = object(text, source_object, rows);
    // Taken in any case: of one that cannot be read, nothing stays behind.
    let batch = rows.finish();
    outcome.and_then(|_| checked(rows.table(), &batch?))
}

/// The rows, unless there is one among aggregated events that is none: any JSON object can be read as one.
fn checked(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let batch = unpacked(table, batch)?;
    if table.name == AGGREGATED_EVENTS.name {
        let told_by: Vec<_> =
            ["time_window", "summary"].iter().filter_map(|name| batch.column_by_name(name)).collect();
        let is_other = |row: &usize| told_by.iter().all(|column| column.is_null(*row));
        if let Some(row) = (0..batch.num_rows()).find(is_other) {
            let what = "no aggregated event: it has neither `timeWindow` nor `summary`".to_owned();
            return Err(Error { kind: ErrorKind::Shape(what), record: Some(row), offset: None });
        }
    }
    Ok(batch)
}

fn unpacked(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, Error> {
    fill::unpacked(table, batch)
        .map_err(|error| ErrorKind::Shape(format!("rows do not fit a batch: {error}")).nowhere())
}

/// Adds the records of one object's content, all or none.
fn object(text: &[u8], source_object: &str, rows: &mut Rows) -> Result<Range<usize>, Error> {
    rows.begin();
    let (mark, text) = without_mark(text);
    match content(text, rows) {
        Ok(()) => Ok(rows.end(source_object)),
        Err(error) => {
            rows.drop_object();
            Err(fault::pinpoint(text, error).shifted(mark))
        }
    }
}

fn content(text: &[u8], rows: &mut Rows) -> Result<(), Error> {
    // Nothing at all, of whatever kind.
    if text.trim_ascii().is_empty() {
        return Ok(());
    }
    let Some(head) = split::head(text).filter(|_| !rows.is_digest()) else {
        return documents(text, 0, rows);
    };
    let read = enveloped(text, 0, head, rows);
    if read.is_ok() || text.len() > SMALL_BYTES {
        return read;
    }
    // Something is around the list, or wrong with it.
    rows.drop_object();
    documents(text, 0, rows)
}

fn documents(text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
    for (start, end) in Documents::new(text) {
        one_document(&text[start..end], offset + start, rows)?;
    }
    Ok(())
}

/// Adds the records of one document: those of a long list one after the other.
fn one_document(text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
    match split::head(text).filter(|_| text.len() > SMALL_BYTES && !rows.is_digest()) {
        Some(head) => enveloped(text, offset, head, rows),
        None => document(text, offset, rows),
    }
}

/// Reads a list of records and the end of the object around it, and the documents that follow.
fn enveloped(text: &[u8], offset: usize, head: split::Head, rows: &mut Rows) -> Result<(), Error> {
    match list(utf8(text), text.len(), offset, head.start, false, rows)? {
        Listed::UpTo(_) => {
            Err(ErrorKind::Json("the list is not closed".to_owned()).at(None, offset + text.len()))
        }
        Listed::Whole(end) => {
            let mut after = end + 1;
            if head.is_enveloped {
                after = envelope_end(text, after).ok_or_else(|| after_list().at(None, offset + after))?;
            }
            documents(&text[after..], offset + after, rows)
        }
    }
}

/// Reads the records that end in a piece; returns where the first one begins that does not, with the comma or
/// bracket before it.
fn piece(pieces: &mut Pieces, text: &[u8], is_last: bool, rows: &mut Rows) -> Result<usize, Error> {
    let mut at = if pieces.offset == 0 { without_mark(text).0 } else { 0 };
    // Looked at once, however many lists there are.
    let mut known = None;
    loop {
        let (rest, offset) = (&text[at..], pieces.offset + at);
        match pieces.within {
            Within::Nothing => {
                let blank = scan::blank(rest, 0);
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
                document(&rest[start..end], offset + start, rows)?;
                at += end;
            }
            Within::List(head) => {
                let (known, broken) = *known.get_or_insert_with(|| utf8(text));
                let known = known.get(at..).unwrap_or_default();
                match list((known, broken), rest.len(), offset, 0, !is_last, rows)? {
                    Listed::UpTo(done) if !is_last => return Ok(at + done),
                    Listed::UpTo(_) => {
                        let what = "the list is not closed".to_owned();
                        return Err(ErrorKind::Json(what).at(None, pieces.offset + text.len()));
                    }
                    Listed::Whole(end) => at += end + 1,
                }
                pieces.within = if head.is_enveloped { Within::Envelope } else { Within::Nothing };
            }
            Within::Envelope => {
                if scan::blank(rest, 0) == rest.len() && !is_last {
                    return Ok(text.len());
                }
                at += envelope_end(rest, 0).ok_or_else(|| after_list().at(None, offset))?;
                pieces.within = Within::Nothing;
            }
        }
    }
}

/// Reads the records of a list from the bracket or comma at a byte, as far as they end in a text of so many bytes that
/// may go on. It is known up to its first byte that is not UTF-8.
fn list(
    (known, broken): (&str, Option<Utf8Error>),
    bytes: usize,
    offset: usize,
    start: usize,
    goes_on: bool,
    rows: &mut Rows,
) -> Result<Listed, Error> {
    let listed = rows.list(known, start, offset)?;
    let Listed::UpTo(before) = listed else { return Ok(listed) };
    if bytes - before > MAX_RECORD_BYTES {
        return Err(rows.too_large(MAX_RECORD_BYTES, offset + scan::blank(known.as_bytes(), before + 1)));
    }
    match broken {
        // A character that is cut is whole in the next piece.
        Some(error) if !goes_on || error.error_len().is_some() => {
            Err(ErrorKind::Utf8.at(Some(rows.of_object()), offset + known.len()))
        }
        _ => Ok(listed),
    }
}

/// The text up to the first byte that is not UTF-8, and what is wrong there.
pub(super) fn utf8(text: &[u8]) -> (&str, Option<Utf8Error>) {
    match from_utf8(text) {
        Ok(text) => (text, None),
        Err(error) => {
            let known = text.get(..error.valid_up_to()).and_then(|known| from_utf8(known).ok());
            (known.unwrap_or_default(), Some(error))
        }
    }
}

/// Reads one document, or a text of blanks alone, that begins at byte `offset` of the content.
fn document(text: &[u8], offset: usize, rows: &mut Rows) -> Result<(), Error> {
    if scan::blank(text, 0) == text.len() {
        return Ok(());
    }
    if text.len() > MAX_RECORD_BYTES {
        return Err(rows.too_large(MAX_RECORD_BYTES, offset));
    }
    match utf8(text) {
        (text, None) => rows.read(text, offset),
        (known, Some(_)) => Err(ErrorKind::Utf8.at(None, offset + known.len())),
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
    /// Aggregated events: counts of data events, with a schema of their own.
    Aggregated,
    /// None of these.
    Other,
}

/// In so many bytes, JSON that is a log has said what it is.
const HEAD_BYTES: usize = 4096;

/// What some JSON reads like, by its beginning.
pub fn likeness(text: &[u8]) -> Likeness {
    let head = &text[..text.len().min(HEAD_BYTES)];
    let has = |key: &[u8]| memchr::memmem::find(head, key).is_some();
    if (has(b"\"AwsAggregatedEvent\"") || !has(b"\"eventTime\"")) && begins_aggregated(text) {
        return Likeness::Aggregated;
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

/// Whether the first record of some JSON is an aggregated event.
fn begins_aggregated(text: &[u8]) -> bool {
    let list = split::head(text).map(|head| scan::blank(text, head.start + 1));
    let start = list.unwrap_or_else(|| scan::blank(text, 0));
    let mut record = Inside::new(text, start, MAX_DEPTH);
    let (mut has_window, mut has_others) = (false, false);
    while text.get(start) == Some(&b'{')
        && let Ok(Some(member)) = record.member()
    {
        match member.key.map(|key| &text[key.start..key.quoted.end]) {
            Some(b"\"timeWindow\"") => has_window = true,
            Some(b"\"summary\"" | b"\"eventType\"" | b"\"eventCategory\"") => has_others = true,
            Some(b"\"eventTime\"") => return false,
            _ => {}
        }
    }
    has_window && has_others
}

#[cfg(test)]
mod tests;
