//! VPC and transit gateway flow logs in text form, driven by the header line.
//!
//! The path is spans, then columns: a pass over some thousand lines notes where every field is, then one loop per
//! column copies the values out. Must never drop a field silently: what has no column, or does not fit its column,
//! is kept in `other_fields`.
//!
//! The format is that of the VPC User Guide, "Flow log records": fields separated by blanks, the first line their
//! names in order, `-` for a value that does not apply.

mod formats;
mod header;
mod lines;
pub mod parquet;
mod rows;

use std::ops::Range;

use arrow::record_batch::RecordBatch;

use super::columns::VPC_FLOW;
use super::{Decoded, Error, ErrorKind, check_offsets, fill, without_mark};
pub use formats::Formats;
use header::Header;
use lines::{Chunk, Lines};
use rows::Rows;

/// Decodes one object's content into rows of the `vpc_flow` or the `transit_gateway_flow` table, in source order.
///
/// The first line that is not blank names the fields; without such a header the default format of version 2, or that
/// of transit gateway flow logs, is assumed, if the line reads as one; the time that an export of a log group puts before
/// each record is kept as the field `timestamp`. An empty text has no rows. Fails as a whole,
/// with the record and the byte offset, when a line has fewer or more fields than the header.
pub fn decode_any(text: &[u8], source_object: &str) -> Result<Decoded, Error> {
    decode_any_in(&Formats::default(), text, source_object)
}

/// Like [`decode_any`], of text that may also be records without a header in one of these formats. Then a record that
/// does not fit the format of the first ones is an error too.
pub fn decode_any_in(formats: &Formats, text: &[u8], source_object: &str) -> Result<Decoded, Error> {
    let Decoded { table, batch } = decode_packed(formats, text, source_object)?;
    let failed = |error| ErrorKind::Shape(format!("the columns make no table: {error}")).nowhere();
    Ok(Decoded { table, batch: fill::unpacked(table, &batch).map_err(failed)? })
}

/// Like [`decode_any_in`], with text as dictionaries and columns without values of no type: cheaper, and what the lake
/// takes too.
pub fn decode_packed(formats: &Formats, text: &[u8], source_object: &str) -> Result<Decoded, Error> {
    check_offsets(text.len())?;
    let mut pieces = Pieces::new(formats.clone());
    pieces.append(text, true)?;
    pieces.finish(source_object)
}

/// The rows of objects whose content comes in pieces, one object after the other, all with the same header.
pub struct Pieces {
    formats: Formats,
    read: Option<Read>,
    /// Whether the header of the object at hand was read.
    is_begun: bool,
    /// Bytes of its content that are done with.
    offset: usize,
}

/// What was read.
struct Read {
    header: Header,
    rows: Rows,
    chunk: Chunk,
}

impl Pieces {
    /// Nothing was read yet, of records that may be without a header in one of these formats.
    pub fn new(formats: Formats) -> Self {
        Pieces { formats, read: None, is_begun: false, offset: 0 }
    }

    /// Reads the lines that end in a piece, which begins where the last one was left; returns how much of it is done
    /// with: the next piece begins there.
    pub fn append(&mut self, text: &[u8], is_last: bool) -> Result<usize, Error> {
        let done = if is_last { text.len() } else { memchr::memrchr(b'\n', text).map_or(0, |end| end + 1) };
        if done == 0 && text.len() > lines::MAX_LINE_BYTES {
            return Err(lines::too_long(self.record(), self.offset));
        }
        let offset = self.offset;
        self.whole_lines(&text[..done]).map_err(|error| error.shifted(offset))?;
        self.offset += done;
        Ok(done)
    }

    /// The number of the next record of the object at hand.
    fn record(&self) -> Option<usize> {
        self.read.as_ref().filter(|_| self.is_begun).map(|read| read.rows.of_object())
    }

    /// Reads lines that may not be text; what is wrong before the byte that is none comes first.
    fn whole_lines(&mut self, text: &[u8]) -> Result<(), Error> {
        // Only an object begins with a mark of its byte order.
        let (mark, text) = if self.offset == 0 { without_mark(text) } else { (0, text) };
        self.unmarked_lines(text).map_err(|error| error.shifted(mark))
    }

    fn unmarked_lines(&mut self, text: &[u8]) -> Result<(), Error> {
        let valid_bytes = match simdutf8::compat::from_utf8(text) {
            Ok(text) => return self.lines(text),
            Err(error) => error.valid_up_to(),
        };
        let before = memchr::memrchr(b'\n', &text[..valid_bytes]).map_or(0, |end| end + 1);
        self.lines(std::str::from_utf8(&text[..before]).unwrap_or_default())?;
        Err(ErrorKind::Utf8.at(self.record(), valid_bytes))
    }

    fn lines(&mut self, text: &str) -> Result<(), Error> {
        let mut lines = Lines::new(text);
        if !self.is_begun {
            if lines::first(text.as_bytes()).is_none() {
                return Ok(());
            }
            let header = Header::read(&mut lines, &self.formats)?;
            self.is_begun = true;
            match &self.read {
                Some(read) if read.header != header => {
                    let what = "a header that differs from that of the rows it would be added to".to_owned();
                    return Err(ErrorKind::Shape(what).at(None, 0));
                }
                Some(_) => {}
                None => {
                    let (rows, chunk) = (Rows::new(&header, text.len()), Chunk::new(header.names.len()));
                    self.read = Some(Read { header, rows, chunk });
                }
            }
        }
        let Some(Read { header, rows, chunk }) = &mut self.read else { return Ok(()) };
        while chunk.fill(&mut lines, header, rows.of_object())? {
            rows.append(text, chunk)?;
        }
        Ok(())
    }

    /// Ends the object at hand; returns which rows it has. The next piece begins another.
    fn end(&mut self, source_object: &str) -> Range<usize> {
        self.offset = 0;
        match &mut self.read {
            Some(read) if std::mem::take(&mut self.is_begun) => read.rows.end(source_object),
            _ => 0..0,
        }
    }

    /// Drops the rows of the object at hand.
    fn drop_object(&mut self) {
        (self.offset, self.is_begun) = (0, false);
        if let Some(read) = &mut self.read {
            read.rows.drop_object();
        }
    }

    /// The rows of the object at hand, text as dictionaries and columns without values of no type.
    pub fn finish(mut self, source_object: &str) -> Result<Decoded, Error> {
        self.end(source_object);
        self.take()
    }

    fn take(&mut self) -> Result<Decoded, Error> {
        let (table, batch) = match &mut self.read {
            Some(Read { header, rows, .. }) => (header.table, rows.finish()?),
            None => (&VPC_FLOW, Rows::new(&Header::of(&VPC_FLOW, &[]), 0).finish()?),
        };
        Ok(Decoded { table, batch })
    }
}

/// Headers whose rows are gathered at the same time, at most.
const GATHERED_HEADERS: usize = 4;

/// Of a batch of more rows, or of more bytes of text, nothing is kept for the next.
const SPARED_ROWS: usize = 1 << 19;
const SPARED_BYTES: usize = 16 << 20;

/// Gathers the rows of many objects: those with the same header share a batch.
#[derive(Default)]
pub struct Gatherer {
    formats: Formats,
    by_header: Vec<Pieces>,
    /// Of what was taken last, the first, without its rows: most objects have the header of those before.
    spare: Option<Pieces>,
}

impl std::fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gatherer").field("headers", &self.by_header.len()).finish_non_exhaustive()
    }
}

/// Where the rows of an object are.
#[derive(Debug)]
pub struct Gathered {
    /// Which of the batches that [`Gatherer::take`] gives.
    pub batch: usize,
    /// Which of its rows.
    pub rows: Range<usize>,
}

impl Gatherer {
    /// Nothing yet, of records that may be without a header in one of these formats.
    pub fn new(formats: Formats) -> Self {
        Gatherer { formats, ..Gatherer::default() }
    }

    /// Adds the rows of an object, all or none, see [`decode_any`]; none when there are too many different headers,
    /// until those that are gathered are taken.
    pub fn append(&mut self, text: &[u8], source_object: &str) -> Result<Option<Gathered>, Error> {
        check_offsets(text.len())?;
        let header = header::of_text(without_mark(text).1, &self.formats);
        let is_same = |pieces: &Pieces| {
            header.as_ref().is_some_and(|header| pieces.read.as_ref().is_some_and(|r| r.header == *header))
        };
        let batch = match self.by_header.iter().position(is_same) {
            Some(batch) => batch,
            None if self.by_header.len() >= GATHERED_HEADERS => return Ok(None),
            None => {
                let spare = self.spare.take_if(|spare| is_same(spare));
                self.by_header.push(spare.unwrap_or_else(|| Pieces::new(self.formats.clone())));
                self.by_header.len() - 1
            }
        };
        let pieces = &mut self.by_header[batch];
        let outcome = pieces.append(text, true);
        if outcome.is_err() {
            pieces.drop_object();
        }
        let rows = pieces.end(source_object);
        if pieces.read.is_none() {
            // Of an object without a header, nothing is left to be taken.
            self.by_header.pop();
        }
        outcome.map(|_| Some(Gathered { batch, rows }))
    }

    /// Whether there is nothing to take, not even of an object that was refused.
    pub fn is_empty(&self) -> bool {
        self.by_header.is_empty()
    }

    /// How many bytes of text the rows gathered so far take.
    pub fn bytes(&self) -> usize {
        self.by_header.iter().filter_map(|pieces| pieces.read.as_ref()).map(|read| read.rows.bytes()).sum()
    }

    /// The rows gathered so far, none of which are left, by header: text as dictionaries and columns without values
    /// of no type.
    pub fn take(&mut self) -> Vec<Result<Decoded, Error>> {
        let mut taken = Vec::with_capacity(self.by_header.len());
        for mut pieces in self.by_header.drain(..) {
            let bytes = pieces.read.as_ref().map_or(0, |read| read.rows.bytes());
            let decoded = pieces.take();
            if taken.is_empty() {
                let is_usual = |decoded: &Decoded| decoded.batch.num_rows() <= SPARED_ROWS;
                let is_kept = bytes <= SPARED_BYTES && decoded.as_ref().is_ok_and(is_usual);
                self.spare = is_kept.then_some(pieces);
            }
            taken.push(decoded);
        }
        taken
    }
}

/// Decodes one object's content into rows of the `vpc_flow` table: see [`decode_any`].
pub fn decode(text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
    let Decoded { table, batch } = decode_any(text, source_object)?;
    if table.name != VPC_FLOW.name {
        return Err(ErrorKind::Shape("a transit gateway flow log, not one of a VPC".to_owned()).nowhere());
    }
    Ok(batch)
}

/// Why a text is refused that is no flow log by [`Formats::looks_like`], but begins with what may be a record of one.
pub fn of_no_format(text: &[u8]) -> Option<String> {
    header::of_no_format(&lines::first_fields(text)?)
}

#[cfg(test)]
mod tests;
