//! What a Parquet file says of itself at its end: its columns, and where the pages of each are.
//!
//! The reader's own way of reading it makes room for what is only claimed, and goes as deep as the schema does. So the
//! footer (`FileMetaData` of the Parquet specification) is read here, and the reader gets what was found to be sound:
//! flat columns of the types that flow logs have, and pages inside the file, none of them twice. Statistics and page
//! indexes are left out. Must never keep more than the schema and a bounded number of column chunks.

use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, GzipLevel, Repetition, Type as Physical, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::thrift::{self, Value};
use crate::decode::vpc_flow::lines::MAX_RECORDS;

/// The most elements of a schema, groups and columns; those of other logs are nested, and have some thousand.
const MAX_ELEMENTS: usize = 1 << 16;

/// The most column chunks: of the columns of a flow log, more than a thousand row groups.
const MAX_CHUNKS: usize = 1 << 17;

const NO_SENSE: &str = "the footer makes no sense";

/// The footer of a file.
#[derive(Debug)]
pub struct Footer<'a> {
    /// Columns and groups at the top of the schema.
    fields: Vec<Element<'a>>,
    is_nested: bool,
    row_groups: &'a [u8],
}

/// An element of a schema, with the numbers that the specification gives types.
#[derive(Debug, Clone, Default)]
struct Element<'a> {
    physical: Option<i64>,
    repetition: Option<i64>,
    name: &'a str,
    children: usize,
    converted: Option<i64>,
    scale: i32,
    precision: i32,
    has_logical: bool,
}

impl<'a> Footer<'a> {
    /// Reads the footer of a file.
    pub fn read(file: &'a [u8]) -> Result<Self, String> {
        let (mut schema, mut row_groups) = (None, None);
        let mut footer = tail(file)?;
        thrift::structure(&mut footer, &mut |id, value| {
            match id {
                2 => schema = Some(value.structures()?),
                4 => row_groups = Some(value.structures()?),
                _ => {}
            }
            Some(())
        })
        .ok_or(NO_SENSE)?;
        let (fields, is_nested) = fields(&elements(schema.ok_or(NO_SENSE)?)?)?;
        Ok(Footer { fields, is_nested, row_groups: row_groups.ok_or(NO_SENSE)? })
    }

    /// The names of the columns and groups at the top of the schema.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.fields.iter().map(|field| field.name)
    }

    /// What the reader has to know of the file; the names have been looked at, and are fit to be shown.
    pub fn metadata(&self, file_bytes: usize) -> Result<ParquetMetaData, String> {
        if self.is_nested {
            return Err("nested columns, which no flow log has".to_owned());
        }
        let columns = self.fields.iter().map(|field| field.column().map(Arc::new));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let root = Type::group_type_builder("schema").with_fields(columns).build().map_err(said)?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        let (mut rest, mut row_groups, mut rows) = (self.row_groups, Vec::new(), 0);
        while !rest.is_empty() {
            let group = row_group(&mut rest, &schema)?;
            rows += usize::try_from(group.num_rows()).map_err(|_| NO_SENSE)?;
            // Some writers leave groups without rows, and say of their pages only that there are none.
            let has_pages = group.columns().iter().any(|chunk| chunk.data_page_offset() > 0);
            if group.num_rows() > 0 || has_pages {
                row_groups.push(group);
            }
            if rows > MAX_RECORDS {
                return Err(format!("more than {MAX_RECORDS} records"));
            }
            if row_groups.len() * self.fields.len() > MAX_CHUNKS {
                return Err(format!("more than {MAX_CHUNKS} column chunks"));
            }
        }
        check_places(&row_groups, file_bytes)?;
        let rows = i64::try_from(rows).map_err(|_| NO_SENSE)?;
        Ok(ParquetMetaData::new(FileMetaData::new(1, rows, None, None, schema, None), row_groups))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn said(error: ParquetError) -> String {
    error.to_string()
}

/// The bytes of the footer, whose length is before the mark at the end.
fn tail(file: &[u8]) -> Result<&[u8], &'static str> {
    let end = file.last_chunk::<8>().ok_or("no footer")?;
    let [length @ .., b'P', b'A', b'R', b'1'] = end else { return Err("no footer") };
    let length = u32::from_le_bytes(*length) as usize;
    let before = &file[..file.len() - end.len()];
    let start = before.len().checked_sub(length).ok_or("the footer is cut off")?;
    Ok(&before[start..])
}

fn elements(mut schema: &[u8]) -> Result<Vec<Element<'_>>, String> {
    let mut elements = Vec::new();
    while !schema.is_empty() {
        if elements.len() == MAX_ELEMENTS {
            return Err(format!("a schema of more than {MAX_ELEMENTS} elements"));
        }
        elements.push(Element::read(&mut schema).ok_or(NO_SENSE)?);
    }
    Ok(elements)
}

/// The elements right below the first one, and whether any of them has others below it.
fn fields<'a>(elements: &[Element<'a>]) -> Result<(Vec<Element<'a>>, bool), String> {
    let (root, below) = elements.split_first().ok_or(NO_SENSE)?;
    // How many are still to come, of each group that is open.
    let mut open = vec![root.children];
    let mut fields = Vec::new();
    for element in below {
        while open.pop_if(|left| *left == 0).is_some() {}
        *open.last_mut().ok_or(NO_SENSE)? -= 1;
        if open.len() == 1 {
            fields.push(element.clone());
        }
        if element.children > 0 {
            open.push(element.children);
        }
    }
    if open.iter().any(|left| *left > 0) {
        return Err("the schema is cut off".to_owned());
    }
    let is_nested = fields.len() < below.len();
    Ok((fields, is_nested))
}

impl<'a> Element<'a> {
    fn read(bytes: &mut &'a [u8]) -> Option<Self> {
        let (mut element, mut name) = (Element::default(), None);
        let small = |value: Value<'a>| i32::try_from(value.integer()?).ok();
        thrift::structure(bytes, &mut |id, value| {
            match id {
                1 => element.physical = Some(value.integer()?),
                3 => element.repetition = Some(value.integer()?),
                4 => name = Some(std::str::from_utf8(value.bytes()?).ok()?),
                5 => element.children = value.count()?,
                6 => element.converted = Some(value.integer()?),
                7 => element.scale = small(value)?,
                8 => element.precision = small(value)?,
                10 => element.has_logical = value.structure().is_some_and(|kind| !is_of_nulls(kind)),
                _ => {}
            }
            Some(())
        })?;
        element.name = name?;
        Some(element)
    }

    /// The column of the schema that the reader gets.
    fn column(&self) -> Result<Type, String> {
        let unknown = || format!("column `{}` is of a type that no flow log has", self.name);
        let repetition = match self.repetition {
            Some(0) => Repetition::REQUIRED,
            Some(1) => Repetition::OPTIONAL,
            _ => return Err(unknown()),
        };
        let (physical, converted) = self.types().ok_or_else(unknown)?;
        Type::primitive_type_builder(self.name, physical)
            .with_repetition(repetition)
            .with_converted_type(converted)
            .with_scale(self.scale)
            .with_precision(self.precision)
            .build()
            .map_err(said)
    }

    /// The physical type, and what it stands for. Newer annotations count only where they have an older one beside
    /// them, which all have that flow logs may need.
    fn types(&self) -> Option<(Physical, ConvertedType)> {
        let physical = match self.physical? {
            0 => Physical::BOOLEAN,
            1 => Physical::INT32,
            2 => Physical::INT64,
            4 => Physical::FLOAT,
            5 => Physical::DOUBLE,
            6 => Physical::BYTE_ARRAY,
            _ => return None,
        };
        let converted = match (physical, self.converted) {
            (Physical::BYTE_ARRAY, Some(5 | 21)) => return None,
            // The reader makes text of other annotations too, and only here looks whether it is UTF-8.
            (Physical::BYTE_ARRAY, _) => ConvertedType::UTF8,
            (_, None) if self.has_logical => return None,
            (_, None) => ConvertedType::NONE,
            (Physical::INT32 | Physical::INT64, Some(5)) => ConvertedType::DECIMAL,
            (Physical::INT32, Some(6)) => ConvertedType::DATE,
            (Physical::INT32, Some(7)) => ConvertedType::TIME_MILLIS,
            (Physical::INT64, Some(8)) => ConvertedType::TIME_MICROS,
            (Physical::INT64, Some(9)) => ConvertedType::TIMESTAMP_MILLIS,
            (Physical::INT64, Some(10)) => ConvertedType::TIMESTAMP_MICROS,
            (Physical::INT32, Some(11)) => ConvertedType::UINT_8,
            (Physical::INT32, Some(12)) => ConvertedType::UINT_16,
            (Physical::INT32, Some(13)) => ConvertedType::UINT_32,
            (Physical::INT64, Some(14)) => ConvertedType::UINT_64,
            (Physical::INT32, Some(15)) => ConvertedType::INT_8,
            (Physical::INT32, Some(16)) => ConvertedType::INT_16,
            (Physical::INT32, Some(17)) => ConvertedType::INT_32,
            (Physical::INT64, Some(18)) => ConvertedType::INT_64,
            _ => return None,
        };
        Some((physical, converted))
    }
}

/// Whether a `LogicalType` is `UNKNOWN`, as of a column that a writer found only nulls for: then nothing else is said.
fn is_of_nulls(mut kind: &[u8]) -> bool {
    const UNKNOWN: i64 = 11;
    let mut is_unknown = false;
    let read = thrift::structure(&mut kind, &mut |id, _| {
        is_unknown = id == UNKNOWN;
        Some(())
    });
    read.is_some() && is_unknown
}

fn row_group(bytes: &mut &[u8], schema: &Arc<SchemaDescriptor>) -> Result<RowGroupMetaData, String> {
    let (mut chunks, mut rows) = (None, None);
    thrift::structure(bytes, &mut |id, value| {
        match id {
            1 => chunks = Some(value.structures()?),
            3 => rows = Some(value.integer()?),
            _ => {}
        }
        Some(())
    })
    .ok_or(NO_SENSE)?;
    let (mut chunks, rows) = chunks.zip(rows).ok_or(NO_SENSE)?;
    let mut columns = Vec::with_capacity(schema.num_columns());
    for place in 0..schema.num_columns() {
        let chunk = Chunk::read(&mut chunks).ok_or(NO_SENSE)?;
        let builder = ColumnChunkMetaData::builder(schema.column(place))
            .set_compression(compression(chunk.codec).ok_or(NO_SENSE)?)
            .set_num_values(rows)
            .set_total_compressed_size(chunk.bytes)
            .set_data_page_offset(chunk.data_page)
            .set_dictionary_page_offset(chunk.dictionary_page);
        columns.push(builder.build().map_err(said)?);
    }
    if !chunks.is_empty() {
        return Err(NO_SENSE.to_owned());
    }
    RowGroupMetaData::builder(Arc::clone(schema))
        .set_num_rows(rows)
        .set_column_metadata(columns)
        .build()
        .map_err(said)
}

fn compression(codec: i64) -> Option<Compression> {
    Some(match codec {
        0 => Compression::UNCOMPRESSED,
        1 => Compression::SNAPPY,
        2 => Compression::GZIP(GzipLevel::default()),
        3 => Compression::LZO,
        4 => Compression::BROTLI(parquet::basic::BrotliLevel::default()),
        5 => Compression::LZ4,
        6 => Compression::ZSTD(ZstdLevel::default()),
        7 => Compression::LZ4_RAW,
        _ => return None,
    })
}

/// Where the pages of a column are, in one row group.
struct Chunk {
    codec: i64,
    bytes: i64,
    data_page: i64,
    dictionary_page: Option<i64>,
}

impl Chunk {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut inner = None;
        thrift::structure(bytes, &mut |id, value| {
            if id == 3 {
                inner = Some(value.structure()?);
            }
            Some(())
        })?;
        let (mut codec, mut length, mut data_page, mut dictionary_page) = (None, None, None, None);
        thrift::structure(&mut inner?, &mut |id, value| {
            match id {
                4 => codec = Some(value.integer()?),
                7 => length = Some(value.integer()?),
                9 => data_page = Some(value.integer()?),
                11 => dictionary_page = Some(value.integer()?),
                _ => {}
            }
            Some(())
        })?;
        let (data_page, bytes) =
            data_page.zip(length).filter(|(start, length)| *start >= 0 && *length >= 0)?;
        // Some writers write a zero where there is none.
        let dictionary_page = dictionary_page.filter(|start| (1..data_page).contains(start));
        Some(Chunk { codec: codec?, bytes, data_page, dictionary_page })
    }
}

/// Refuses chunks that are not in the file, or in one another: read again and again, a small file would be a large one.
fn check_places(row_groups: &[RowGroupMetaData], file_bytes: usize) -> Result<(), String> {
    let chunks = row_groups.iter().flat_map(RowGroupMetaData::columns);
    let mut places: Vec<(u64, u64)> = chunks
        .map(ColumnChunkMetaData::byte_range)
        .filter(|(_, length)| *length > 0)
        .map(|(start, length)| (start, start.saturating_add(length)))
        .collect();
    places.sort_unstable();
    if places.last().is_some_and(|(_, end)| *end > file_bytes as u64) {
        return Err("pages outside the file".to_owned());
    }
    if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err("column chunks that overlap".to_owned());
    }
    Ok(())
}
