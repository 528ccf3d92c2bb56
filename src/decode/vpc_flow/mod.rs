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
use super::{Decoded, Error, ErrorKind, check_offsets};
use header::Header;
use lines::{Chunk, Lines};
use rows::Rows;

/// Decodes one object's content into rows of the `vpc_flow` or the `transit_gateway_flow` table, in source order.
///
/// The first line that is not blank names the fields; without such a header the default format of version 2, or that
/// of transit gateway flow logs, is assumed, if the line reads as one. An empty text has no rows. Fails as a whole,
/// with the record and the byte offset, when a line has fewer or more fields than the header.
pub fn decode_any(text: &[u8], source_object: &str) -> Result<Decoded, Error> {
    let text = utf8(text)?;
    let mut lines = Lines::new(text);
    let header = Header::read(&mut lines)?;
    let mut rows = Rows::new(&header, text, source_object);
    let mut chunk = Chunk::new(header.names.len());
    while chunk.fill(&mut lines, &header, rows.count())? {
        rows.append(&chunk)?;
    }
    Ok(Decoded { table: header.table, batch: rows.finish()? })
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

fn utf8(text: &[u8]) -> Result<&str, Error> {
    check_offsets(text.len())?;
    std::str::from_utf8(text).map_err(|error| not_utf8(&text[..error.valid_up_to()]))
}

/// The error of a text that is UTF-8 up to some place and not further: what is wrong before that place comes first.
fn not_utf8(valid: &[u8]) -> Error {
    let lines = &valid[..memchr::memrchr(b'\n', valid).unwrap_or(0)];
    let Some(lines) = std::str::from_utf8(lines).ok().filter(|lines| !lines.trim().is_empty()) else {
        return ErrorKind::Utf8.at(None, valid.len());
    };
    match count_records(lines) {
        Ok(records) => ErrorKind::Utf8.at(Some(records), valid.len()),
        Err(earlier) => earlier,
    }
}

fn count_records(text: &str) -> Result<usize, Error> {
    let mut lines = Lines::new(text);
    let header = Header::read(&mut lines)?;
    let mut chunk = Chunk::new(header.names.len());
    let mut records = 0;
    while chunk.fill(&mut lines, &header, records)? {
        records += chunk.records();
    }
    Ok(records)
}

#[cfg(test)]
mod tests;
