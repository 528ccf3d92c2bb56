//! How much the pages of a Parquet file take when they are decompressed and decoded, before anybody does so.
//!
//! The reader takes a page's word for its size and its number of values, or none at all: a page of gzip is read to its
//! end, however long that is. Here the headers of the pages are walked (`PageHeader` of the Parquet specification),
//! and pages whose codec says nothing of their size are measured. Must never hold more than a page's header.

use parquet::basic::{Compression, Type as Physical};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::thrift::{self, Value};
use crate::decode::gzip;

/// The most pages of a file: flow logs of ten million rows have some ten thousand.
const MAX_PAGES: usize = 1 << 18;

/// What a text takes when it is read, besides its bytes.
const VIEW_BYTES: usize = 16;

/// What is wrong with the pages of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Their headers make no sense, or what they say is not so.
    Corrupt(String),
    /// They take more than they may.
    TooLarge,
}

/// Refuses a file whose pages take more than so many bytes when they are read.
pub fn check(file: &[u8], metadata: &ParquetMetaData, limit_bytes: usize) -> Result<(), Fault> {
    let mut left = Left { bytes: limit_bytes, pages: MAX_PAGES };
    for group in metadata.row_groups() {
        let rows = usize::try_from(group.num_rows()).map_err(|_| Fault::TooLarge)?;
        for column in group.columns() {
            let (start, length) = column.byte_range();
            let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
            let pages = range.and_then(|(start, end)| file.get(start..end));
            let pages = pages.ok_or_else(|| corrupt(column, "its pages are outside the file"))?;
            check_chunk(column, pages, rows, &mut left)?;
        }
    }
    Ok(())
}

/// What the pages to come may take.
struct Left {
    bytes: usize,
    pages: usize,
}

fn corrupt(column: &ColumnChunkMetaData, what: &str) -> Fault {
    Fault::Corrupt(format!("column `{}`: {what}", column.column_descr().name()))
}

/// Checks the pages of a column in a row group of so many rows.
fn check_chunk(
    column: &ColumnChunkMetaData,
    mut pages: &[u8],
    rows: usize,
    left: &mut Left,
) -> Result<(), Fault> {
    let mut values = 0_usize;
    while !pages.is_empty() {
        left.pages = left
            .pages
            .checked_sub(1)
            .ok_or_else(|| Fault::Corrupt(format!("more than {MAX_PAGES} pages")))?;
        let mut bytes = pages;
        let header = PageHeader::read(&mut bytes).ok_or_else(|| corrupt(column, "a page has no header"))?;
        let page = bytes.get(..header.compressed).ok_or_else(|| corrupt(column, "a page is cut off"))?;
        left.bytes = left.bytes.checked_sub(header.uncompressed).ok_or(Fault::TooLarge)?;
        check_encoding(column, &header)?;
        if header.is_dictionary {
            check_dictionary(column, &header, left)?;
        } else if header.values == 0 && rows > 0 {
            // The reader takes it for the end.
            return Err(corrupt(column, "a page of no values"));
        } else {
            values = values.saturating_add(header.values);
        }
        // The levels of a page of version 2 come before what is compressed.
        let content = page.get(header.levels..).ok_or_else(|| corrupt(column, "a page is cut off"))?;
        check_size(column, &header, content)?;
        pages = &bytes[header.compressed..];
    }
    // The reader would go on in the next row group, and put together what does not belong together.
    if values != rows {
        return Err(corrupt(column, &format!("pages of other than the {rows} values of its row group")));
    }
    Ok(())
}

/// Refuses encodings of which a few bytes can be any number of values, or any number of bytes.
fn check_encoding(column: &ColumnChunkMetaData, header: &PageHeader) -> Result<(), Fault> {
    let name = match header.encoding {
        // Plain, by dictionary (by two numbers), runs, and integers as deltas.
        0 | 2 | 3 | 5 | 8 => return Ok(()),
        6 => "DELTA_LENGTH_BYTE_ARRAY",
        7 => "DELTA_BYTE_ARRAY",
        9 => "BYTE_STREAM_SPLIT",
        _ => "something else",
    };
    Err(corrupt(column, &format!("a page is encoded with {name}, which no flow log is")))
}

/// Refuses a dictionary that has not the bytes for its values: the reader makes room for as many as it says.
fn check_dictionary(column: &ColumnChunkMetaData, header: &PageHeader, left: &mut Left) -> Result<(), Fault> {
    let bytes = match column.compression() {
        Compression::UNCOMPRESSED => header.compressed,
        _ => header.uncompressed,
    };
    let of_each = match column.column_type() {
        Physical::INT64 | Physical::DOUBLE => 8,
        // A text has its length in front.
        _ => 4,
    };
    if header.values > bytes / of_each {
        let what = format!("a dictionary of {} values in {bytes} bytes", header.values);
        return Err(corrupt(column, &what));
    }
    left.bytes = left.bytes.checked_sub(header.values * VIEW_BYTES).ok_or(Fault::TooLarge)?;
    Ok(())
}

/// Refuses a page that is not of the size it says, where nobody else would.
fn check_size(column: &ColumnChunkMetaData, header: &PageHeader, content: &[u8]) -> Result<(), Fault> {
    match column.compression() {
        // With these, the reader makes room for as much as the header says, and no more.
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) | Compression::LZ4_RAW => {
            Ok(())
        }
        Compression::GZIP(_) if content.is_empty() || !header.is_compressed => Ok(()),
        Compression::GZIP(_) => {
            let content_bytes = header.uncompressed.saturating_sub(header.levels);
            let limits =
                gzip::Limits { compressed_bytes: content.len(), content_bytes, ..gzip::Limits::default() };
            match gzip::measure(content, &limits) {
                Ok(_) => Ok(()),
                Err(error) => Err(corrupt(column, &format!("a page of gzip: {}", error.kind))),
            }
        }
        other => Err(corrupt(column, &format!("compressed with {other}, which no flow log is"))),
    }
}

/// What a page says of itself.
#[derive(Debug)]
struct PageHeader {
    is_dictionary: bool,
    uncompressed: usize,
    compressed: usize,
    values: usize,
    encoding: usize,
    /// Bytes of levels that are not compressed.
    levels: usize,
    is_compressed: bool,
}

impl PageHeader {
    /// Takes the header off the front of some bytes.
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (mut kind, mut uncompressed, mut compressed, mut of_kind) = (None, None, None, None);
        thrift::structure(bytes, &mut |id, value| {
            match id {
                1 => kind = Some(value.count()?),
                2 => uncompressed = Some(value.count()?),
                3 => compressed = Some(value.count()?),
                4 => drop(value.integer()?),
                // What there is besides the one of its kind, the reader would heed as well.
                5..=8 => of_kind.replace((id, value.structure()?)).is_none().then_some(())?,
                _ => {}
            }
            Some(())
        })?;
        let (uncompressed, compressed) = uncompressed.zip(compressed)?;
        let (numbers, mut inner) = match (kind?, of_kind?) {
            (0, (5, inner)) => (4, inner),
            (2, (7, inner)) => (2, inner),
            (3, (8, inner)) => (6, inner),
            _ => return None,
        };
        let (mut found, mut is_compressed) = ([None; 6], true);
        thrift::structure(&mut inner, &mut |id, value| {
            match usize::try_from(id - 1).ok()? {
                place if place < numbers => found[place] = Some(value.count()?),
                6 if numbers == 6 => match value {
                    Value::Bool(value) => is_compressed = value,
                    _ => return None,
                },
                _ => {}
            }
            Some(())
        })?;
        let is_version_2 = numbers == 6;
        let encoding = if is_version_2 { found[3] } else { found[1] };
        let levels = if is_version_2 { found[4]?.checked_add(found[5]?)? } else { 0 };
        Some(PageHeader {
            is_dictionary: numbers == 2,
            uncompressed,
            compressed,
            values: found[0]?,
            encoding: encoding?,
            levels,
            is_compressed,
        })
    }
}
