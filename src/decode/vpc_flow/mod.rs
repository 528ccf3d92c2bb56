//! VPC and transit gateway flow logs in text form, driven by the header line.
//!
//! The path is spans, then columns: a pass over some thousand lines notes where every field is, then one loop per
//! column copies the values out. Must never drop a field silently: what has no column, or does not fit its column,
//! is kept in `other_fields`.
//!
//! The format is that of the VPC User Guide, "Flow log records": fields separated by blanks, the first line their
//! names in order, `-` for a value that does not apply.

mod header;
mod lines;
pub mod parquet;
mod rows;

use arrow::record_batch::RecordBatch;

use super::columns::{TRANSIT_GATEWAY_FLOW, Table, VPC_FLOW};
use super::{Decoded, Error, ErrorKind, check_offsets, fill};
use header::Header;
use lines::{Chunk, Lines};
use rows::Rows;

/// Decodes one object's content into rows of the `vpc_flow` or the `transit_gateway_flow` table, in source order.
///
/// The first line that is not blank names the fields; without such a header the default format of version 2, or that
/// of transit gateway flow logs, is assumed, if the line reads as one. An empty text has no rows. Fails as a whole,
/// with the record and the byte offset, when a line has fewer or more fields than the header.
pub fn decode_any(text: &[u8], source_object: &str) -> Result<Decoded, Error> {
    let Decoded { table, batch } = decode_packed(text, source_object)?;
    let failed = |error| ErrorKind::Shape(format!("the columns make no table: {error}")).nowhere();
    Ok(Decoded { table, batch: fill::unpacked(table, &batch).map_err(failed)? })
}

/// Like [`decode_any`], with text as dictionaries and columns without values of no type: cheaper, and what the lake
/// takes too.
pub fn decode_packed(text: &[u8], source_object: &str) -> Result<Decoded, Error> {
    check_offsets(text.len())?;
    let mut pieces = Pieces::new();
    pieces.append(text, true)?;
    pieces.finish(source_object)
}

/// The rows of one object whose content comes in pieces.
pub struct Pieces {
    read: Option<(Header, Rows, Chunk)>,
    /// Bytes of the content that are done with.
    offset: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Self::new()
    }
}

impl Pieces {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Pieces { read: None, offset: 0 }
    }

    /// Reads the lines that end in a piece, which begins where the last one was left; returns how much of it is done
    /// with: the next piece begins there.
    pub fn append(&mut self, text: &[u8], is_last: bool) -> Result<usize, Error> {
        let done = if is_last { text.len() } else { memchr::memrchr(b'\n', text).map_or(0, |end| end + 1) };
        if done == 0 && text.len() > lines::MAX_LINE_BYTES {
            return Err(lines::too_long(self.read.as_ref().map(|(_, rows, _)| rows.count()), self.offset));
        }
        let offset = self.offset;
        self.whole_lines(&text[..done]).map_err(|error| error.shifted(offset))?;
        self.offset += done;
        Ok(done)
    }

    /// Reads lines that may not be text; what is wrong before the byte that is none comes first.
    fn whole_lines(&mut self, text: &[u8]) -> Result<(), Error> {
        let valid_bytes = match std::str::from_utf8(text) {
            Ok(text) => return self.lines(text),
            Err(error) => error.valid_up_to(),
        };
        let before = memchr::memrchr(b'\n', &text[..valid_bytes]).map_or(0, |end| end + 1);
        self.lines(std::str::from_utf8(&text[..before]).unwrap_or_default())?;
        Err(ErrorKind::Utf8.at(self.read.as_ref().map(|(_, rows, _)| rows.count()), valid_bytes))
    }

    fn lines(&mut self, text: &str) -> Result<(), Error> {
        let mut lines = Lines::new(text);
        if self.read.is_none() && text.trim_ascii().is_empty() {
            return Ok(());
        }
        let (header, rows, chunk) = if let Some(read) = &mut self.read {
            read
        } else {
            let header = Header::read(&mut lines)?;
            let (rows, chunk) = (Rows::new(&header, text.len()), Chunk::new(header.names.len()));
            self.read.insert((header, rows, chunk))
        };
        while chunk.fill(&mut lines, header, rows.count())? {
            rows.append(text, chunk)?;
        }
        Ok(())
    }

    /// All rows, text as dictionaries and columns without values of no type.
    pub fn finish(self, source_object: &str) -> Result<Decoded, Error> {
        let (table, rows) = match self.read {
            Some((header, rows, _)) => (header.table, rows),
            None => (&VPC_FLOW, Rows::new(&Header::of(&VPC_FLOW, &[]), 0)),
        };
        Ok(Decoded { table, batch: rows.finish(source_object)? })
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

/// The table of the flow logs that a text begins like: with a header line of known field names, or a record in a
/// default format.
pub fn looks_like(text: &[u8]) -> Option<&'static Table> {
    let fields = lines::first_fields(text)?;
    if header::is_default_record(&fields) {
        return Some(&VPC_FLOW);
    }
    if header::is_default_gateway_record(&fields) {
        return Some(&TRANSIT_GATEWAY_FLOW);
    }
    header::table_of(&fields).filter(|_| fields.len() > 1)
}

#[cfg(test)]
mod tests;
