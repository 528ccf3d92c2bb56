//! The table for a person: aligned columns, or a line per value where those do not fit.
//!
//! Must never print a control character of a value, nor keep more rows than it shows.

use std::io::{self, Write};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthChar;

use super::Options;
use crate::cli::output::human_count;

/// The text a table keeps at most, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// The text of a cell that is kept at most, in bytes.
const MAX_CELL_BYTES: usize = 1 << 20;
/// A text column is not made narrower than this: then a line per value reads better.
const MIN_COLUMN: usize = 12;
/// Between two columns.
const GUTTER: &str = "  ";

/// A table that takes batches in and is written once at the end.
pub(super) struct Table<W> {
    schema: SchemaRef,
    writer: W,
    width: Option<usize>,
    max_rows: usize,
    rows: Vec<Vec<String>>,
    bytes: usize,
    left_out: u64,
}

impl<W: Write> Table<W> {
    pub fn new(schema: SchemaRef, writer: W, options: &Options) -> Table<W> {
        Table {
            schema,
            writer,
            width: options.width,
            max_rows: options.max_rows,
            rows: Vec::new(),
            bytes: 0,
            left_out: 0,
        }
    }

    /// Keeps the rows there is room for, and counts the rest.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let formats: Vec<FormatOptions<'static>> =
            self.schema.fields().iter().map(|field| format(field.data_type())).collect();
        let columns = batch
            .columns()
            .iter()
            .zip(&formats)
            .map(|(column, format)| ArrayFormatter::try_new(column, format));
        let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            if self.rows.len() >= self.max_rows || self.bytes >= MAX_BYTES {
                self.left_out += (batch.num_rows() - row) as u64;
                break;
            }
            let cells: Vec<String> =
                columns.iter().map(|column| cell(&column.value(row).to_string())).collect();
            self.bytes += cells.iter().map(String::len).sum::<usize>();
            self.rows.push(cells);
        }
        Ok(())
    }

    /// Writes the table and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        let names: Vec<String> = self.schema.fields().iter().map(|field| cell(field.name())).collect();
        if !names.is_empty() {
            match self.layout(&names) {
                Some(widths) => self.write_columns(&names, &widths)?,
                None => self.write_expanded(&names)?,
            }
        }
        if self.left_out > 0 {
            let count = human_count(self.left_out);
            writeln!(self.writer, "... {count} more rows; use --format ndjson or add LIMIT")?;
        }
        Ok(self.writer)
    }

    /// The widths of the columns, or `None` when they do not fit side by side.
    fn layout(&self, names: &[String]) -> Option<Vec<usize>> {
        let mut widths: Vec<usize> = names.iter().map(|name| width(name)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        let Some(room) = self.width else { return Some(widths) };
        if total(&widths) <= room {
            return Some(widths);
        }
        // A single row is better read whole, line by line.
        if self.rows.len() == 1 {
            return None;
        }
        let cuttable: Vec<bool> =
            self.schema.fields().iter().map(|field| is_cuttable(field.data_type())).collect();
        let cut = |most: usize| -> Vec<usize> {
            widths
                .iter()
                .zip(&cuttable)
                .map(|(width, cuttable)| if *cuttable { (*width).min(most) } else { *width })
                .collect()
        };
        let most = (MIN_COLUMN..=room).rev().find(|most| total(&cut(*most)) <= room)?;
        Some(cut(most))
    }

    fn write_columns(&mut self, names: &[String], widths: &[usize]) -> io::Result<()> {
        let right: Vec<bool> =
            self.schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let rows = std::mem::take(&mut self.rows);
        for row in [names, &rule].into_iter().chain(rows.iter().map(Vec::as_slice)) {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(widths).zip(&right) {
                pad(&mut line, cell, *width, *right);
                line.push_str(GUTTER);
            }
            writeln!(self.writer, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn write_expanded(&mut self, names: &[String]) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let widest = names.iter().map(|name| width(name)).max().unwrap_or(0);
        // One row is shown whole; of many, each value has one line.
        let room =
            self.width.filter(|_| rows.len() > 1).map(|room| room.saturating_sub(widest + 3).max(MIN_COLUMN));
        for (number, row) in rows.iter().enumerate() {
            if rows.len() > 1 {
                writeln!(self.writer, "-- row {} --", number + 1)?;
            }
            for (name, cell) in names.iter().zip(row) {
                let mut line = String::new();
                pad(&mut line, name, widest, false);
                line.push_str(" | ");
                line.push_str(&room.map_or_else(|| cell.clone(), |room| shortened(cell, room)));
                writeln!(self.writer, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

fn format(data_type: &DataType) -> FormatOptions<'static> {
    const PLAIN: &str = "%Y-%m-%d %H:%M:%S%.f";
    let zone = match data_type {
        DataType::Timestamp(_, Some(zone)) if !matches!(zone.as_ref(), "UTC" | "Z" | "+00:00") => {
            "%Y-%m-%d %H:%M:%S%.f%:z"
        }
        _ => PLAIN,
    };
    FormatOptions::new().with_timestamp_format(Some(PLAIN)).with_timestamp_tz_format(Some(zone))
}

/// Half a number or half a time would be a lie.
fn is_cuttable(data_type: &DataType) -> bool {
    !data_type.is_numeric() && !data_type.is_temporal() && *data_type != DataType::Boolean
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GUTTER.len() * widths.len().saturating_sub(1)
}

/// A value on one line, safe on a terminal.
fn cell(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        // The marks that turn the direction of writing would move the cells beside it.
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        if text.len() >= MAX_CELL_BYTES {
            text.push('…');
            break;
        }
    }
    text
}

fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(|c| c.width().unwrap_or(0)).sum() }
}

/// The text, or as much of it as fits with a `…` at the end.
fn shortened(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > most.saturating_sub(1) {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

fn pad(line: &mut String, text: &str, to: usize, right: bool) {
    let text = shortened(text, to);
    let space = " ".repeat(to.saturating_sub(width(&text)));
    let (first, second) = if right { (space, text) } else { (text, space) };
    line.push_str(&first);
    line.push_str(&second);
}
