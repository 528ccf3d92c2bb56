//! How much the pages of a Parquet file take when they are decompressed, before anybody decompresses them.
//!
//! The reader takes a page's word for its size, or none at all: a page of gzip is read to its end, however long that
//! is. Here the headers of the pages are walked, which are structures of Thrift's compact protocol (`PageHeader`
//! of the Parquet specification), and pages whose codec says nothing of their size are measured. Must never hold more
//! than a page's header.

use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use crate::decode::gzip;

/// Structures inside one another, at most.
const MAX_DEPTH: u32 = 8;

/// What is wrong with the pages of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Their headers make no sense, or what they say is not so.
    Corrupt(String),
    /// They take more than they may.
    TooLarge,
}

/// Refuses a file whose pages take more than so many bytes when they are decompressed.
pub fn check(file: &[u8], metadata: &ParquetMetaData, limit_bytes: usize) -> Result<(), Fault> {
    let mut left = limit_bytes;
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let (start, length) = column.byte_range();
        let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
        let pages = range.and_then(|(start, end)| file.get(start..end));
        let pages = pages.ok_or_else(|| corrupt(column, "its pages are outside the file"))?;
        left = left.checked_sub(size_of(column, pages, left)?).ok_or(Fault::TooLarge)?;
    }
    Ok(())
}

fn corrupt(column: &ColumnChunkMetaData, what: &str) -> Fault {
    Fault::Corrupt(format!("column `{}`: {what}", column.column_path()))
}

/// What the pages of a column take, up to a limit.
fn size_of(column: &ColumnChunkMetaData, mut pages: &[u8], limit: usize) -> Result<usize, Fault> {
    let mut size = 0_usize;
    while !pages.is_empty() {
        let mut bytes = pages;
        let header = PageHeader::read(&mut bytes).ok_or_else(|| corrupt(column, "a page has no header"))?;
        let page = bytes.get(..header.compressed).ok_or_else(|| corrupt(column, "a page is cut off"))?;
        size = size.checked_add(header.uncompressed).filter(|size| *size <= limit).ok_or(Fault::TooLarge)?;
        // The levels of a page of version 2 come before what is compressed.
        let values = page.get(header.levels..).ok_or_else(|| corrupt(column, "a page is cut off"))?;
        check_page(column, &header, values)?;
        pages = &bytes[header.compressed..];
    }
    Ok(size)
}

/// Refuses a page that is not of the size it says, where nobody else would.
fn check_page(column: &ColumnChunkMetaData, header: &PageHeader, values: &[u8]) -> Result<(), Fault> {
    match column.compression() {
        // With these, the reader makes room for as much as the header says, and no more.
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) | Compression::LZ4_RAW => {
            Ok(())
        }
        Compression::GZIP(_) if values.is_empty() || !header.is_compressed => Ok(()),
        Compression::GZIP(_) => {
            let content_bytes = header.uncompressed.saturating_sub(header.levels);
            let limits =
                gzip::Limits { compressed_bytes: values.len(), content_bytes, ..gzip::Limits::default() };
            match gzip::measure(values, &limits) {
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
    uncompressed: usize,
    compressed: usize,
    /// Bytes of levels that are not compressed.
    levels: usize,
    is_compressed: bool,
}

impl PageHeader {
    /// Takes the header off the front of some bytes.
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (mut uncompressed, mut compressed, mut levels, mut is_compressed) = (None, None, 0_i64, true);
        structure(bytes, MAX_DEPTH, &mut |path, value| match path {
            [2] => uncompressed = Some(value),
            [3] => compressed = Some(value),
            [8, 5 | 6] => levels = levels.saturating_add(value.max(0)),
            [8, 7] => is_compressed = value != 0,
            _ => {}
        })?;
        Some(PageHeader {
            uncompressed: usize::try_from(uncompressed?).ok()?,
            compressed: usize::try_from(compressed?).ok()?,
            levels: usize::try_from(levels).ok()?,
            is_compressed,
        })
    }
}

/// Takes a structure off the front of some bytes; `found` hears of numbers and booleans by the ids of their fields.
fn structure(bytes: &mut &[u8], depth: u32, found: &mut dyn FnMut(&[i64], i64)) -> Option<()> {
    let mut id = 0_i64;
    loop {
        let first = byte(bytes)?;
        if first == 0 {
            return Some(());
        }
        id = match first >> 4 {
            0 => zigzag(varint(bytes)?),
            delta => id.checked_add(i64::from(delta))?,
        };
        let of_type = first & 0x0f;
        match of_type {
            1 | 2 => found(&[id], i64::from(of_type == 1)),
            4..=6 => found(&[id], zigzag(varint(bytes)?)),
            12 => structure(bytes, depth.checked_sub(1)?, &mut |path, value| {
                if let [inner] = path {
                    found(&[id, *inner], value);
                }
            })?,
            _ => skip(bytes, of_type, depth)?,
        }
    }
}

/// Takes a value of a type off the front of some bytes.
fn skip(bytes: &mut &[u8], of_type: u8, depth: u32) -> Option<()> {
    match of_type {
        1..=3 => byte(bytes).map(|_| ()),
        4..=6 => varint(bytes).map(|_| ()),
        7 => take(bytes, 8),
        8 => {
            let length = varint(bytes)?;
            take(bytes, length)
        }
        9 | 10 => {
            let first = byte(bytes)?;
            let count = if first >> 4 == 15 { varint(bytes)? } else { u64::from(first >> 4) };
            // Each takes a byte at least.
            (count <= bytes.len() as u64).then_some(())?;
            (0..count).try_for_each(|_| skip(bytes, first & 0x0f, depth.checked_sub(1)?))
        }
        12 => structure(bytes, depth.checked_sub(1)?, &mut |_, _| {}),
        // A page's header has no maps.
        _ => None,
    }
}

fn take(bytes: &mut &[u8], count: u64) -> Option<()> {
    *bytes = bytes.get(usize::try_from(count).ok()?..)?;
    Some(())
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(bytes)?;
        value |= u64::from(next & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
