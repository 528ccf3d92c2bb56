//! Printing result batches: table, ndjson, json, csv, parquet.
//!
//! Must never hold a whole result in memory: everything streams, and a table keeps a bounded number of rows.
//!
//! | format | nulls | timestamps | lists and structs |
//! |---|---|---|---|
//! | table | empty | `2026-01-31 12:00:00`, UTC unless an offset follows | JSON text |
//! | ndjson, json | left out | RFC 3339 with `Z` | JSON |
//! | csv | empty | RFC 3339 with `Z` | JSON text |
//! | parquet | null | as they are | as they are |
//!
//! Timestamps without a zone are UTC, as everything in the lake is; a time more than 200,000 years from 1970 prints as
//! null, in Parquet it stays. A value of mixed type, as `json_get` gives, is printed as text.

mod table;
mod text;

use std::collections::HashSet;
use std::io::{self, Write};

use arrow::csv::writer::Terminator;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::output::Output;
use table::Table;

/// RFC 3339 for timestamps without a zone, which are UTC.
const RFC_3339_UTC: &str = "%Y-%m-%dT%H:%M:%S%.fZ";
/// Parquet row groups are closed when they take this much memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for a person
    #[default]
    Table,
    /// One JSON object per line
    Ndjson,
    /// One JSON array
    Json,
    /// Comma separated, with a header
    Csv,
    /// A Parquet file
    Parquet,
}

impl Format {
    /// The format of that name, as on the command line.
    pub fn from_name(name: &str) -> Option<Format> {
        <Format as clap::ValueEnum>::from_str(name, false).ok()
    }

    /// The name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Ndjson => "ndjson",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }
}

/// How much room there is, and what is left as it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The width of the terminal in columns; `None` when the result does not go to one.
    pub width: Option<usize>,
    /// How many rows of a table are shown.
    pub max_rows: usize,
    /// Leaves cells of CSV as they are that a spreadsheet would run as a formula.
    pub raw_csv: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { width: None, max_rows: 10_000, raw_csv: false }
    }
}

impl Options {
    /// The defaults for what an output goes to.
    pub fn for_output(output: &Output) -> Options {
        Options { width: output.width(), ..Options::default() }
    }
}

/// Why a result could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Parquet is for files.
    #[error("parquet cannot be printed on a terminal")]
    ParquetOnTerminal,
    /// A reader of the format would keep one of them.
    #[error("two columns are called `{name}`, of which `{format}` holds one: give them names with `as`")]
    SameName {
        /// The name.
        name: String,
        /// The format's name.
        format: &'static str,
    },
    /// The result could not be written.
    #[error("cannot write the result")]
    Write(#[source] io::Error),
    /// The result could not be put into the format.
    #[error("cannot put the result into `{format}`")]
    Encode {
        /// The format's name.
        format: &'static str,
        /// The cause.
        #[source]
        source: ArrowError,
    },
    /// The result could not be put into Parquet.
    #[error("cannot put the result into `parquet`")]
    Parquet(#[source] ParquetError),
}

impl Error {
    fn encode(format: Format, error: ArrowError) -> Error {
        match error {
            ArrowError::IoError(_, source) => Error::Write(source),
            source => Error::Encode { format: format.name(), source },
        }
    }
}

type Writer = Box<dyn Write + Send>;

/// A name that two columns have.
fn repeated_name(schema: &Schema) -> Option<&str> {
    let mut names = HashSet::new();
    schema.fields().iter().map(|field| field.name().as_str()).find(|name| !names.insert(*name))
}

enum Encoder {
    Table(Table<Writer>),
    Ndjson(arrow::json::Writer<Writer, LineDelimited>),
    Json(arrow::json::Writer<Writer, JsonArray>),
    Csv(Box<arrow::csv::Writer<Writer>>),
    Parquet(Box<ArrowWriter<Writer>>),
}

/// Prints batches of one schema in one format.
pub struct Printer {
    format: Format,
    schema: SchemaRef,
    encoder: Encoder,
    plain: text::Plain,
    rows: u64,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer")
            .field("format", &self.format)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Printer {
    /// A printer for batches of a schema. Nothing is written yet.
    pub fn new(format: Format, schema: &Schema, writer: Writer, options: &Options) -> Result<Printer, Error> {
        if format == Format::Parquet && options.width.is_some() {
            return Err(Error::ParquetOnTerminal);
        }
        if matches!(format, Format::Ndjson | Format::Json | Format::Parquet)
            && let Some(name) = repeated_name(schema)
        {
            return Err(Error::SameName { name: name.to_owned(), format: format.name() });
        }
        let plain = text::Plain {
            nested: matches!(format, Format::Table | Format::Csv),
            formulas: format == Format::Csv && !options.raw_csv,
            times: format != Format::Parquet,
        };
        let schema = plain.schema(schema);
        let encoder = match format {
            Format::Table => Encoder::Table(Table::new(schema.clone(), writer, options)),
            Format::Ndjson => Encoder::Ndjson(json().build(writer)),
            Format::Json => Encoder::Json(json().build(writer)),
            Format::Csv => Encoder::Csv(Box::new(csv().build(writer))),
            Format::Parquet => Encoder::Parquet(Box::new(parquet(writer, schema.clone())?)),
        };
        Ok(Printer { format, schema, encoder, plain, rows: 0 })
    }

    /// Prints a batch; a table only takes it in.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let format = self.format;
        let encode = |error| Error::encode(format, error);
        let batch = self.plain.batch(&self.schema, batch).map_err(encode)?;
        self.rows += batch.num_rows() as u64;
        match &mut self.encoder {
            Encoder::Table(table) => table.take(&batch).map_err(encode),
            Encoder::Ndjson(writer) => writer.write(&batch).map_err(encode),
            Encoder::Json(writer) => writer.write(&batch).map_err(encode),
            Encoder::Csv(writer) => writer.write(&batch).map_err(encode),
            Encoder::Parquet(writer) => {
                writer.write(&batch).map_err(Error::Parquet)?;
                if writer.in_progress_size() > ROW_GROUP_BYTES {
                    writer.flush().map_err(Error::Parquet)?;
                }
                Ok(())
            }
        }
    }

    /// Ends the output and gives the number of rows that came, shown or not.
    pub fn finish(self) -> Result<u64, Error> {
        let Printer { format, schema, encoder, rows, .. } = self;
        let encode = |error| Error::encode(format, error);
        let mut writer = match encoder {
            Encoder::Table(table) => table.finish().map_err(Error::Write)?,
            Encoder::Ndjson(mut writer) => {
                writer.finish().map_err(encode)?;
                writer.into_inner()
            }
            Encoder::Json(mut writer) => {
                writer.finish().map_err(encode)?;
                let mut writer = writer.into_inner();
                writer.write_all(b"\n").map_err(Error::Write)?;
                writer
            }
            Encoder::Csv(mut writer) => {
                // An empty result has a header too.
                writer.write(&RecordBatch::new_empty(schema)).map_err(encode)?;
                return Ok(rows);
            }
            Encoder::Parquet(writer) => writer.into_inner().map_err(Error::Parquet)?,
        };
        writer.flush().map_err(Error::Write)?;
        Ok(rows)
    }
}

fn json() -> arrow::json::WriterBuilder {
    arrow::json::WriterBuilder::new().with_timestamp_format(RFC_3339_UTC.to_owned())
}

fn csv() -> arrow::csv::WriterBuilder {
    arrow::csv::WriterBuilder::new()
        .with_timestamp_format(RFC_3339_UTC.to_owned())
        .with_line_terminator(Terminator::CRLF)
}

fn parquet(writer: Writer, schema: SchemaRef) -> Result<ArrowWriter<Writer>, Error> {
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    ArrowWriter::try_new(writer, schema, Some(properties)).map_err(Error::Parquet)
}

#[cfg(test)]
mod tests;
