//! Bytes to `RecordBatch`: pure, with no tokio, no AWS and no clock.
//!
//! Must never drop a record silently: an object decodes whole or not at all.

pub mod cloudtrail;
pub mod columns;
pub mod envelope;
mod fill;
pub mod gzip;
pub(crate) mod numbering;
pub mod time;
pub mod vpc_flow;

use arrow::record_batch::RecordBatch;

use columns::Table;

/// The rows of one object, in the table's schema.
#[derive(Debug)]
pub struct Decoded {
    /// The table the rows belong to.
    pub table: &'static Table,
    /// The rows, in source order; `source_row` counts from 0.
    pub batch: RecordBatch,
}

/// Why an object could not be decoded: what, and where in it.
#[derive(Debug, thiserror::Error)]
#[error("{kind}{}", place(*.record, *.offset))]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The record it was found in, from 0.
    pub record: Option<usize>,
    /// The byte offset in the decompressed content.
    pub offset: Option<usize>,
}

/// What can be wrong with the content of an object.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The gzip data is corrupt or ends early.
    #[error("corrupt gzip: {0}")]
    Gzip(String),
    /// The content would be larger than the limit.
    #[error("content is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// The content is not valid JSON.
    #[error("invalid JSON: {0}")]
    Json(String),
    /// The content is JSON of more levels than are read.
    #[error("nested deeper than {levels} levels")]
    TooDeep {
        /// The limit.
        levels: usize,
    },
    /// The content is not UTF-8.
    #[error("not valid UTF-8")]
    Utf8,
    /// The content is well formed but not of the expected shape.
    #[error("{0}")]
    Shape(String),
}

impl ErrorKind {
    /// The error with no place.
    pub fn nowhere(self) -> Error {
        Error { kind: self, record: None, offset: None }
    }

    /// The error at a record and a byte offset of the decompressed content.
    pub fn at(self, record: Option<usize>, offset: usize) -> Error {
        Error { kind: self, record, offset: Some(offset) }
    }
}

impl Error {
    /// The same error in content that has so many bytes more at its beginning.
    #[must_use]
    pub fn shifted(self, bytes: usize) -> Error {
        Error { offset: self.offset.map(|offset| offset + bytes), ..self }
    }
}

/// Refuses content of which one column could be larger than Arrow's 32-bit offsets reach.
fn check_offsets(content_bytes: usize) -> Result<(), Error> {
    let limit_bytes = i32::MAX as usize;
    if content_bytes > limit_bytes { Err(ErrorKind::TooLarge { limit_bytes }.nowhere()) } else { Ok(()) }
}

/// The content without the mark of its byte order, and how long that was.
fn without_mark(text: &[u8]) -> (usize, &[u8]) {
    match text.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (text.len() - rest.len(), rest),
        None => (0, text),
    }
}

fn place(record: Option<usize>, offset: Option<usize>) -> String {
    match (record, offset) {
        (Some(record), Some(offset)) => format!(" (record {record}, byte {offset})"),
        (Some(record), None) => format!(" (record {record})"),
        (None, Some(offset)) => format!(" (byte {offset})"),
        (None, None) => String::new(),
    }
}
