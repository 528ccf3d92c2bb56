//! VPC Flow Logs in text form, driven by the header line.
//!
//! The path is spans, then columns: a pass over some thousand lines notes where every field is, then one loop per
//! column copies the values out. Must never drop a field silently: what has no column, or does not fit its column,
//! is kept in `other_fields`.
//!
//! The format is that of the VPC User Guide, "Flow log records": fields separated by blanks, the first line their
//! names in order, `-` for a value that does not apply.

mod header;
mod lines;
mod rows;

use arrow::record_batch::RecordBatch;

use super::{Error, ErrorKind};
use header::Header;
use lines::{Chunk, Lines};
use rows::Rows;

/// Decodes one object's content into rows of the `vpc_flow` table, in source order.
///
/// The first line that is not blank names the fields; without such a header the default format of version 2 is
/// assumed, if the line reads as one. An empty text has no rows. Fails as a whole, with the record and the byte
/// offset, when a line has fewer or more fields than the header.
pub fn decode(text: &[u8], source_object: &str) -> Result<RecordBatch, Error> {
    let text = utf8(text)?;
    let mut lines = Lines::new(text);
    let header = Header::read(&mut lines)?;
    let mut rows = Rows::new(&header, text, source_object);
    let mut chunk = Chunk::new(header.names.len());
    while chunk.fill(&mut lines, &header, rows.count())? {
        rows.append(&chunk)?;
    }
    rows.finish()
}

/// Whether the text begins like VPC Flow Logs: a header line of known field names, or a record in the default format.
/// False for transit gateway flow logs.
pub fn looks_like(text: &[u8]) -> bool {
    lines::first_fields(text).is_some_and(|fields| {
        !header::is_transit_gateway(&fields)
            && (fields.len() > 1 && header::is_header(&fields) || header::is_default_record(&fields))
    })
}

/// Whether the text begins like transit gateway flow logs, which are of the same family but have no table yet.
pub fn is_transit_gateway(text: &[u8]) -> bool {
    lines::first_fields(text).is_some_and(|fields| header::is_transit_gateway(&fields))
}

fn utf8(text: &[u8]) -> Result<&str, Error> {
    if i32::try_from(text.len()).is_err() {
        return Err(ErrorKind::TooLarge { limit_bytes: i32::MAX as usize }.nowhere());
    }
    std::str::from_utf8(text).map_err(|error| ErrorKind::Utf8.at(None, error.valid_up_to()))
}

#[cfg(test)]
mod tests;
