//! Records put together from the columns of rows: see `record`.
//!
//! Must never know of a query engine: rows in, text out.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::DateTime;
use serde_json::value::RawValue;

use crate::decode::columns::{Column, Kind, Table};

/// The records of rows of a table whose source is JSON.
pub fn records(table: &'static Table, rows: &RecordBatch) -> Result<StringViewArray, ArrowError> {
    let arrays: Option<Vec<ArrayRef>> =
        parts(table).map(|column| rows.column_by_name(column.name).cloned()).collect();
    let arrays = arrays.ok_or_else(|| ArrowError::SchemaError(format!("not rows of `{}`", table.name)))?;
    put_together(table, &arrays, rows.num_rows())
}

/// The columns a record is made of: those of top-level fields, and what has no column.
pub(super) fn parts(table: &'static Table) -> impl Iterator<Item = &'static Column> {
    table.columns.iter().filter(|column| match column.kind {
        Kind::OtherFields | Kind::NullFields => true,
        _ => !column.source.is_empty() && !column.source.contains('.'),
    })
}

/// The records, from the arrays of these columns.
pub(super) fn put_together(
    table: &'static Table,
    arrays: &[ArrayRef],
    rows: usize,
) -> Result<StringViewArray, ArrowError> {
    let views = parts(table).zip(arrays).map(|(column, array)| match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => Ok((column, cast(array, &DataType::Utf8View)?)),
        _ => Ok((column, Arc::clone(array))),
    });
    let (others, columns): (Vec<_>, Vec<_>) = views
        .collect::<Result<Vec<(&Column, ArrayRef)>, ArrowError>>()?
        .into_iter()
        .partition(|(column, _)| column.kind == Kind::OtherFields);
    let others = others.first().map(|(_, array)| array.as_string_view());
    let mut records = StringViewBuilder::with_capacity(rows);
    let mut record = String::new();
    for row in 0..rows {
        let other = others.filter(|others| others.is_valid(row)).map_or("", |others| others.value(row));
        record.clear();
        record.push('{');
        // Of a repeated field all but the last are among the others, so these come first.
        record.push_str(other.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(other));
        for (column, array) in &columns {
            if array.is_valid(row) {
                append(&mut record, column, array, row, other);
            }
        }
        record.push('}');
        records.append_value(&record);
    }
    Ok(records.finish())
}

/// Appends the field, or the fields, that a column holds.
fn append(record: &mut String, column: &Column, array: &ArrayRef, row: usize, other: &str) {
    let text = || array.as_string_view().value(row);
    // A value whose text cannot be told from it is among the others as well.
    if column.kind.has_forms() && is_among(other, column, array, row) {
        return;
    }
    match column.kind {
        Kind::NullFields => {
            for name in text().split(',') {
                append_field(record, name, "null");
            }
        }
        Kind::Json => append_field(record, column.source, text()),
        Kind::Bool => append_field(record, column.source, &array.as_boolean().value(row).to_string()),
        Kind::BoolText => {
            append_field(record, column.source, &format!("\"{}\"", array.as_boolean().value(row)));
        }
        Kind::Timestamp => {
            let time = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if let Some(time) = DateTime::from_timestamp_micros(time) {
                append_field(record, column.source, &format!("\"{}\"", time.format("%Y-%m-%dT%H:%M:%SZ")));
            }
        }
        _ => append_field(record, column.source, &serde_json::Value::from(text()).to_string()),
    }
}

fn append_field(record: &mut String, name: &str, value: &str) {
    let comma = if record.len() > 1 { "," } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(record, "{comma}\"{name}\":{value}");
}

/// Whether the value of a column is a field of its own of an object: the last by that name. Booleans were not always
/// kept there when they are repeated, so the one that is there has to be the same.
fn is_among(object: &str, column: &Column, array: &ArrayRef, row: usize) -> bool {
    let last = last_of(object, column.source);
    match column.kind {
        Kind::Bool | Kind::BoolText => last.is_some_and(|last| {
            let text = serde_json::from_str::<String>(last).unwrap_or_else(|_| last.to_owned());
            text == array.as_boolean().value(row).to_string()
        }),
        _ => last.is_some(),
    }
}

/// The last value that an object has under this name, as the source writes it.
fn last_of<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    // Most objects do not even hold the word; a key may be written with escapes, though.
    if object.is_empty() || !(object.contains(name) || object.contains('\\')) {
        return None;
    }
    let fields: Fields<'a> = serde_json::from_str(object).ok()?;
    let is_named = |key: &RawValue| serde_json::from_str::<String>(key.get()).is_ok_and(|key| key == name);
    fields.0.into_iter().rfind(|(key, _)| is_named(key)).map(|(_, value)| value.get())
}

/// The keys and values of an object, as the source writes them.
struct Fields<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> serde::de::Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
