//! A file around column chunks whose bytes stay where they are.
//!
//! The writer of the `parquet` crate lays the file out and writes what is around the chunks; of the chunks it is told
//! how long they are. It would copy each of them, twice: without that, flows take 0.93 of the time (`benches/peers`). Must never let it write a byte of a chunk, nor lose one of what is around them.

use std::io::{Repeat, Write};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::pages::Chunk;

/// Puts a file together of its row groups, which have a chunk for each column; its parts, in their order.
pub fn file(
    schema: &SchemaDescriptor,
    properties: WriterProperties,
    groups: Vec<Vec<Chunk>>,
) -> Result<Vec<Bytes>> {
    let mut writer =
        SerializedFileWriter::new(Around::default(), schema.root_schema_ptr(), properties.into())?;
    let mut inside: Vec<Vec<Bytes>> = Vec::with_capacity(groups.len());
    for group in groups {
        // Whatever comes before the chunks has to be out, so that what comes next is theirs.
        writer.flush()?;
        writer.inner_mut().begin(&group);
        let mut row_group = writer.next_row_group()?;
        let mut of_group = Vec::with_capacity(group.len());
        for Chunk { bytes, close } in group {
            if u64::try_from(close.metadata.compressed_size()) != Ok(bytes.len() as u64) {
                return Err(ParquetError::General(format!(
                    "a column chunk of {} bytes says it has others",
                    bytes.len()
                )));
            }
            row_group.append_column(&Elsewhere { bytes: bytes.len() }, close)?;
            of_group.push(bytes);
        }
        row_group.close()?;
        inside.push(of_group);
    }
    let Around { written, joints, .. } = writer.into_inner()?;
    let written = Bytes::from(written);
    let mut parts = Vec::new();
    let mut start = 0;
    for (joint, chunks) in joints.into_iter().zip(inside) {
        parts.push(written.slice(start..joint));
        parts.extend(chunks);
        start = joint;
    }
    parts.push(written.slice(start..));
    Ok(parts)
}

/// What is written, but for the chunks.
#[derive(Default)]
struct Around {
    written: Vec<u8>,
    /// Where in this the chunks of each row group belong.
    joints: Vec<usize>,
    /// How many bytes of chunks are still to come.
    left_out: usize,
}

impl Around {
    /// From here on, the chunks of a row group come.
    fn begin(&mut self, group: &[Chunk]) {
        self.left_out = group.iter().map(|chunk| chunk.bytes.len()).sum();
        self.joints.push(self.written.len());
    }
}

impl Write for Around {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let left_out = self.left_out.min(bytes.len());
        self.left_out -= left_out;
        self.written.extend_from_slice(&bytes[left_out..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A chunk as the writer sees it: so many bytes, of which none matters.
struct Elsewhere {
    bytes: usize,
}

impl Length for Elsewhere {
    fn len(&self) -> u64 {
        self.bytes as u64
    }
}

impl ChunkReader for Elsewhere {
    type T = Repeat;

    fn get_read(&self, _: u64) -> Result<Repeat> {
        Ok(std::io::repeat(0))
    }

    fn get_bytes(&self, _: u64, _: usize) -> Result<Bytes> {
        Err(ParquetError::General("the bytes of a column chunk are elsewhere".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::ArrowSchemaConverter;
    use zstd::bulk::Compressor;

    use super::super::column::{self, Rows, Wanted};
    use super::super::order::Run;
    use super::*;

    /// Chunks of two columns in groups of at most 40,000 rows, one with Bloom filters.
    fn groups(schema: &SchemaDescriptor) -> Vec<Vec<Chunk>> {
        let arrays: [ArrayRef; 2] = [
            Arc::new(
                (0..100_000).map(|row| (row % 7 != 0).then_some(row % 9973 * 31)).collect::<Int32Array>(),
            ),
            Arc::new((0..100_000).map(|row| Some(format!("text {}", row % 500))).collect::<StringArray>()),
        ];
        let runs = [Run { source: 0, rows: 0..100_000 }];
        let places: Vec<u32> = (0..100_000).collect();
        let rows = Rows::new(&runs, &places, 40_000);
        let mut columns: Vec<_> = (0..)
            .zip(&arrays)
            .map(|(index, array)| {
                let wanted = Wanted {
                    column: schema.column(index),
                    bounds: true,
                    bloom_filter: index == 1,
                    grows: false,
                };
                column::encode(&[array], &rows, &wanted, &mut Compressor::default()).unwrap().into_iter()
            })
            .collect();
        (0..3).map(|_| columns.iter_mut().filter_map(Iterator::next).collect()).collect()
    }

    fn schema() -> SchemaDescriptor {
        let fields = [("number", DataType::Int32), ("text", DataType::Utf8)];
        let fields: Vec<Field> = fields.map(|(name, of)| Field::new(name, of, true)).to_vec();
        ArrowSchemaConverter::new().convert(&Schema::new(fields)).unwrap()
    }

    #[test]
    fn a_file_is_what_the_writer_makes_of_the_chunks() {
        let schema = schema();
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), Arc::default()).unwrap();
        for group in groups(&schema) {
            assert_eq!(group.len(), 2);
            let mut row_group = writer.next_row_group().unwrap();
            for chunk in group {
                row_group.append_column(&chunk.bytes, chunk.close).unwrap();
            }
            row_group.close().unwrap();
        }
        let expected = writer.into_inner().unwrap();
        let parts = file(&schema, WriterProperties::default(), groups(&schema)).unwrap();
        assert_eq!(parts.len(), 3 * 3 + 1);
        assert!(parts.concat() == expected);
    }

    #[test]
    fn a_chunk_that_is_not_as_long_as_it_says_makes_no_file() {
        let schema = schema();
        for (group, column) in [(0, 0), (1, 1), (2, 1)] {
            let mut groups = groups(&schema);
            let chunk = &mut groups[group][column];
            chunk.bytes = [&chunk.bytes[..], b"x"].concat().into();
            assert!(file(&schema, WriterProperties::default(), groups).is_err(), "{group} {column}");
        }
    }
}
