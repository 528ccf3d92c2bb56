//! The pages of one column of one row group, and what is known of them.
//!
//! Pages, dictionaries and levels are laid out as the Parquet specification says; headers, indexes and Bloom filters
//! are those of the `parquet` crate. Must never hold more than one page of a column besides those that are written.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::bits;

/// Rows of a page, at most, unless none of them has a value.
pub const PAGE_ROWS: usize = 20_000;

/// A column whose first page takes more than this of its size when it is compressed is not: reading it is cheaper then.
const SHRUNK_PERCENT: usize = 90;

/// A first page of less says nothing of those after it: hardly any of its rows has a value.
const TELLING_BYTES: usize = 4096;

/// The least and the greatest value of a page, as the page index holds them.
pub type Bounds = (Vec<u8>, Vec<u8>);

/// What a page holds besides its values.
pub struct PageOf {
    /// How many rows.
    pub rows: usize,
    /// How many of them are null.
    pub nulls: usize,
    /// The bounds of the others; none when they are not kept.
    pub bounds: Option<Bounds>,
    /// How the values are encoded.
    pub encoding: Encoding,
}

/// A column chunk, ready for a file.
pub struct Chunk {
    /// Its pages.
    pub bytes: Bytes,
    /// What is known of them.
    pub close: ColumnCloseResult,
}

/// The pages of a column chunk while they are written.
pub struct Pages<'a> {
    column: ColumnDescPtr,
    compressor: &'a mut Compressor<'static>,
    /// How many rows all pages are to have.
    of_rows: usize,
    /// The pages that are written.
    done: TrackedWrite<Vec<u8>>,
    /// How much they would take without compression.
    uncompressed: usize,
    encodings: Vec<Encoding>,
    has_dictionary: bool,
    /// Where the first page of rows begins.
    first_page: Option<i64>,
    offsets: OffsetIndexBuilder,
    index: IndexOf,
    /// How many rows are written.
    rows: usize,
    /// The page at hand, before compression.
    page: Vec<u8>,
    /// Whether pages are compressed: not if the first of them hardly shrinks.
    is_compressed: bool,
}

impl<'a> Pages<'a> {
    /// No pages yet of a chunk of so many rows.
    pub fn new(column: ColumnDescPtr, of_rows: usize, compressor: &'a mut Compressor<'static>) -> Self {
        Pages {
            index: IndexOf::new(column.physical_type()),
            column,
            compressor,
            of_rows,
            done: TrackedWrite::new(Vec::new()),
            uncompressed: 0,
            encodings: vec![Encoding::RLE],
            has_dictionary: false,
            first_page: None,
            offsets: OffsetIndexBuilder::new(),
            rows: 0,
            page: Vec::new(),
            is_compressed: true,
        }
    }

    /// Adds the dictionary, before all pages: `count` values, encoded plain, and whether they are in their order.
    pub fn dictionary(&mut self, values: &[u8], count: usize, is_sorted: bool) -> Result<()> {
        let page = Page::DictionaryPage {
            buf: self.compressor.compress(values)?.into(),
            num_values: narrow(count)?,
            encoding: Encoding::PLAIN,
            is_sorted,
        };
        self.has_dictionary = true;
        self.write(CompressedPage::new(page, values.len()))?;
        Ok(())
    }

    /// Adds a page of rows that have a value where `is_there` has a 1; `values` appends these. Where no row is null, or
    /// all are, nothing need be said.
    pub fn page(&mut self, of: PageOf, is_there: &[u32], values: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.page.clear();
        self.page.extend_from_slice(&[0; 4]);
        match of.nulls {
            0 => bits::repeated(1, of.rows, 1, &mut self.page),
            nulls if nulls == of.rows => bits::repeated(0, nulls, 1, &mut self.page),
            _ => bits::hybrid(is_there, 1, &mut self.page),
        }
        let levels = narrow(self.page.len() - 4)?;
        self.page[..4].copy_from_slice(&levels.to_le_bytes());
        values(&mut self.page);
        let bytes = self.page.len();
        let compressed = if self.is_compressed { Some(self.compressor.compress(&self.page)?) } else { None };
        let is_first = !self.has_dictionary && self.rows == 0;
        let is_telling = is_first && (bytes >= TELLING_BYTES || of.rows == self.of_rows);
        self.is_compressed = compressed
            .as_ref()
            .is_some_and(|compressed| !is_telling || compressed.len() * 100 < bytes * SHRUNK_PERCENT);
        let page = Page::DataPage {
            buf: compressed
                .filter(|_| self.is_compressed)
                .unwrap_or_else(|| std::mem::take(&mut self.page))
                .into(),
            num_values: narrow(of.rows)?,
            encoding: of.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written = self.write(CompressedPage::new(page, bytes))?;
        let offset = signed(written.offset)?;
        self.first_page.get_or_insert(offset);
        self.offsets.append_offset_and_size(offset, narrow(written.compressed_size)?.cast_signed());
        self.offsets.append_row_count(signed(of.rows as u64)?);
        self.rows += of.rows;
        self.index.append(of);
        Ok(())
    }

    fn write(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        if !self.encodings.contains(&page.encoding()) {
            self.encodings.push(page.encoding());
        }
        let written = SerializedPageWriter::new(&mut self.done).write_page(page)?;
        self.uncompressed += written.uncompressed_size;
        Ok(written)
    }

    /// Puts the pages together.
    pub fn finish(self, statistics: Option<Statistics>, bloom_filter: Option<Sbbf>) -> Result<Chunk> {
        let bytes = self.done.into_inner()?;
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let compression = if self.is_compressed { zstd } else { Compression::UNCOMPRESSED };
        let rows = self.rows as u64;
        let mut metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(compression)
            .set_encodings(self.encodings)
            .set_total_compressed_size(signed(bytes.len() as u64)?)
            .set_total_uncompressed_size(signed(self.uncompressed as u64)?)
            .set_num_values(signed(rows)?)
            .set_data_page_offset(self.first_page.unwrap_or(0))
            .set_dictionary_page_offset(self.has_dictionary.then_some(0));
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows,
            metadata: metadata.build()?,
            bloom_filter,
            column_index: self.index.builder.map(ColumnIndexBuilder::build).transpose()?,
            offset_index: Some(self.offsets.build()),
        };
        Ok(Chunk { bytes: bytes.into(), close })
    }
}

/// The index of a column's pages, given up as soon as one has values without bounds.
struct IndexOf {
    builder: Option<ColumnIndexBuilder>,
}

impl IndexOf {
    fn new(physical_type: Type) -> Self {
        IndexOf { builder: Some(ColumnIndexBuilder::new(physical_type)) }
    }

    fn append(&mut self, page: PageOf) {
        let is_null = page.nulls == page.rows;
        match (self.builder.as_mut(), page.bounds) {
            (Some(builder), Some((least, most))) => {
                builder.append(is_null, least, most, i64::try_from(page.nulls).unwrap_or(i64::MAX));
            }
            (Some(builder), None) if is_null => {
                builder.append(true, Vec::new(), Vec::new(), i64::try_from(page.nulls).unwrap_or(i64::MAX));
            }
            _ => self.builder = None,
        }
    }
}

fn narrow(value: usize) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|value| i32::try_from(*value).is_ok())
        .ok_or_else(|| ParquetError::General(format!("a page of {value} is too large")))
}

fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| ParquetError::General(format!("{value} is too large")))
}
