//! Columns that a format cannot hold as text that it can.
//!
//! Must never change the number of rows or columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, StringBuilder, StringViewArray, UnionArray, make_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Field, FieldRef, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampSecondType, UnionMode,
};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::RFC_3339_UTC;

/// What becomes text. Values of mixed type always do: no format but our own eyes can read them.
pub(super) struct Plain {
    /// Lists, structs and maps, as JSON.
    pub nested: bool,
    /// Text that a spreadsheet would run as a formula gets a `'` before it.
    pub formulas: bool,
    /// Times that no calendar writes become null.
    pub times: bool,
}

impl Plain {
    /// The schema of what `batch` gives.
    pub fn schema(&self, schema: &Schema) -> SchemaRef {
        let fields = schema.fields().iter().map(|field| self.field(field));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn field(&self, field: &FieldRef) -> FieldRef {
        if self.becomes_text(field.data_type()) {
            return Arc::new(Field::new(field.name(), DataType::Utf8, true));
        }
        field.clone()
    }

    fn becomes_text(&self, data_type: &DataType) -> bool {
        let mixed = matches!(data_type, DataType::Union(..));
        mixed || (self.nested && data_type.is_nested()) || (self.formulas && is_text(data_type))
    }

    /// The batch with its columns in the schema this made.
    pub fn batch(&self, schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let fields = batch.schema_ref().fields();
        let columns = batch.columns().iter().zip(fields).map(|(column, field)| self.column(field, column));
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &options)
    }

    fn column(&self, field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let text = match column.data_type() {
            DataType::Union(..) => mixed(column.as_union())?,
            data_type if self.nested && data_type.is_nested() => nested(field, column)?,
            data_type if self.times && data_type.is_temporal() => on_the_calendar(column),
            _ => column.clone(),
        };
        if self.formulas && is_text(text.data_type()) { defused(&text) } else { Ok(text) }
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        _ => false,
    }
}

fn options() -> FormatOptions<'static> {
    FormatOptions::new().with_timestamp_format(Some(RFC_3339_UTC))
}

/// Each value of a union as its own type prints.
fn mixed(union: &UnionArray) -> Result<ArrayRef, ArrowError> {
    let DataType::Union(fields, mode) = union.data_type() else {
        return Ok(make_array(union.to_data()));
    };
    let options = options();
    let mut children: Vec<Option<(&ArrayRef, ArrayFormatter<'_>)>> = Vec::new();
    for (id, _) in fields.iter() {
        let child = union.child(id);
        let position = usize::try_from(id).unwrap_or_default();
        children.resize_with(children.len().max(position + 1), || None);
        children[position] = Some((child, ArrayFormatter::try_new(child.as_ref(), &options)?));
    }
    let mut text = StringBuilder::new();
    for row in 0..union.len() {
        let position = usize::try_from(union.type_id(row)).unwrap_or_default();
        let row = if *mode == UnionMode::Dense { union.value_offset(row) } else { row };
        match children.get(position) {
            Some(Some((child, formatter))) if !is_null(child, row) => {
                text.append_value(formatter.value(row).try_to_string()?);
            }
            _ => text.append_null(),
        }
    }
    Ok(Arc::new(text.finish()))
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(row)
}

/// Lists, structs and maps as JSON; what JSON cannot hold as Arrow prints it.
fn nested(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default().with_timestamp_format(RFC_3339_UTC.to_owned());
    let mut text = StringBuilder::new();
    let Ok(mut encoder) = make_encoder(field, column.as_ref(), &options) else {
        return printed(column);
    };
    let mut json = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            text.append_null();
            continue;
        }
        json.clear();
        encoder.encode(row, &mut json);
        text.append_value(String::from_utf8_lossy(&json));
    }
    Ok(Arc::new(text.finish()))
}

fn printed(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = options();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut text = StringBuilder::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            text.append_null();
        } else {
            text.append_value(formatter.value(row).try_to_string()?);
        }
    }
    Ok(Arc::new(text.finish()))
}

/// About 200,000 years either way, in seconds: what can be written with every offset, with room to spare.
const CALENDAR_SECONDS: i64 = 6_300_000_000_000;

/// The times with those beyond the calendar as null: formatting them fails, and one log must not end an export.
fn on_the_calendar(column: &ArrayRef) -> ArrayRef {
    const DAYS: i32 = 73_000_000;
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => within::<TimestampSecondType>(column, CALENDAR_SECONDS),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            within::<TimestampMillisecondType>(column, CALENDAR_SECONDS * 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            within::<TimestampMicrosecondType>(column, CALENDAR_SECONDS * 1_000_000)
        }
        DataType::Date32 => within::<Date32Type>(column, DAYS),
        DataType::Date64 => within::<Date64Type>(column, CALENDAR_SECONDS * 1_000),
        _ => column.clone(),
    }
}

fn within<T: ArrowPrimitiveType>(column: &ArrayRef, limit: T::Native) -> ArrayRef
where
    T::Native: PartialOrd + std::ops::Neg<Output = T::Native>,
{
    let fits = |value: T::Native| -limit <= value && value <= limit;
    let times = column.as_primitive::<T>();
    if times.values().iter().all(|value| fits(*value)) {
        return column.clone();
    }
    let kept = times.unary_opt::<_, T>(|value| fits(value).then_some(value));
    Arc::new(kept.with_data_type(column.data_type().clone()))
}

/// A spreadsheet runs a cell that begins so: a `'` before it makes it text again.
fn defused(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let column = cast(column, &DataType::Utf8View)?;
    let values: &StringViewArray = column.as_string_view();
    let mut text = StringBuilder::with_capacity(values.len(), values.total_buffer_bytes_used());
    for value in values {
        match value {
            None => text.append_null(),
            Some(value) if value.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
                text.append_value(format!("'{value}"));
            }
            Some(value) => text.append_value(value),
        }
    }
    Ok(Arc::new(text.finish()))
}
