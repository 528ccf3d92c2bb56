//! The original record of a row: its columns put together again, as one JSON object.
//!
//! The object is the source's as a JSON value: nested values in the source's own bytes, every field there was, also
//! repeated ones and explicit nulls. The order of its fields is not the source's. Must never parse what is nested.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::DateTime;
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, ident,
};

use crate::decode::columns::{CLOUDTRAIL, Column, Kind};

/// The view of the rows of `cloudtrail` with their records.
pub const VIEW: &str = "cloudtrail_records";

/// The column of the view that holds the records.
pub const COLUMN: &str = "record";

/// The view over the rows of `cloudtrail`: all of its columns, and the record.
pub fn view(rows: DataFrame) -> Result<Arc<dyn TableProvider>> {
    let function =
        ScalarUDF::from(RecordJson { signature: Signature::any(parts().count(), Volatility::Immutable) });
    let record = function.call(parts().map(|column| ident(column.name)).collect());
    Ok(rows.with_column(COLUMN, record)?.into_view())
}

/// The records of rows of `cloudtrail`.
pub fn records(rows: &RecordBatch) -> Result<StringViewArray, ArrowError> {
    let arrays: Option<Vec<ArrayRef>> =
        parts().map(|column| rows.column_by_name(column.name).cloned()).collect();
    let arrays = arrays.ok_or_else(|| ArrowError::SchemaError("not rows of `cloudtrail`".to_owned()))?;
    put_together(&arrays, rows.num_rows())
}

/// The columns a record is made of: those of top-level fields, and what has no column.
fn parts() -> impl Iterator<Item = &'static Column> {
    CLOUDTRAIL.columns.iter().filter(|column| match column.kind {
        Kind::OtherFields | Kind::NullFields => true,
        _ => !column.source.is_empty() && !column.source.contains('.'),
    })
}

fn put_together(arrays: &[ArrayRef], rows: usize) -> Result<StringViewArray, ArrowError> {
    let views = parts().zip(arrays).map(|(column, array)| match array.data_type() {
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
            // A time whose text cannot be told from its value is among the others as well.
            let time = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if !has_key(other, column.source)
                && let Some(time) = DateTime::from_timestamp_micros(time)
            {
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

/// Whether an object has a field of its own by this name.
fn has_key(object: &str, name: &str) -> bool {
    // Most objects do not even hold the word; a key may be written with escapes, though.
    if object.is_empty() || !(object.contains(name) || object.contains('\\')) {
        return false;
    }
    let keys: Result<Keys<'_>, _> = serde_json::from_str(object);
    keys.is_ok_and(|keys| {
        keys.0.iter().any(|key| serde_json::from_str::<String>(key.get()).is_ok_and(|key| key == name))
    })
}

/// The keys of an object, as the source writes them.
struct Keys<'a>(Vec<&'a serde_json::value::RawValue>);

impl<'de> serde::Deserialize<'de> for Keys<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> serde::de::Visitor<'de> for KeysVisitor {
    type Value = Keys<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, _)) = map.next_entry::<_, serde::de::IgnoredAny>()? {
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}

/// The function behind the view.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RecordJson {
    signature: Signature,
}

impl ScalarUDFImpl for RecordJson {
    fn name(&self) -> &'static str {
        "record_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let arrays: Result<Vec<ArrayRef>> =
            arguments.args.into_iter().map(|column| column.into_array(rows)).collect();
        let arrays = arrays?;
        Ok(ColumnarValue::Array(Arc::new(put_together(&arrays, rows)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::cloudtrail;

    fn check(record: &str, expected: &str) {
        let rows = cloudtrail::decode(format!("[{record}]").as_bytes(), "o").unwrap();
        assert_eq!(records(&rows).unwrap().value(0), expected, "{record}");
    }

    #[test]
    fn a_record_is_put_together_from_its_columns() {
        check("{}", "{}");
        check(
            r#"{"eventTime":"2026-03-10T12:00:00Z","readOnly":true,"sessionCredentialFromConsole":"true",
                "errorCode":null,"x":1.0,"requestParameters":{ "b":1, "a":1e400},"eventName":"\u0041\n"}"#,
            r#"{"x":1.0,"eventTime":"2026-03-10T12:00:00Z","eventName":"A\n","readOnly":true,"sessionCredentialFromConsole":"true","requestParameters":{ "b":1, "a":1e400},"errorCode":null}"#,
        );
        check(r#"{"eventName":"\ud800","userIdentity":"x"}"#, r#"{"eventName":"\ud800","userIdentity":"x"}"#);
    }

    #[test]
    fn a_time_is_written_as_the_source_does() {
        for record in [
            r#"{"eventTime":"2026-03-10T12:00:00.5Z"}"#,
            r#"{"eventTime":"2026-03-10T12:00:00.0Z","eventTime":"2026-03-10T12:00:00Z"}"#,
            r#"{"eventTime":"2026-03-10T12:00:00Z","eventTime":"2026-03-10T12:00:00.0Z"}"#,
            r#"{"event\u0054ime":"2026-03-10T12:00:00.0Z"}"#,
            r#"{"eventTime":"soon"}"#,
            r#"{"eventTime":"0001-01-01T00:00:00Z"}"#,
            r#"{"eventTime":"2016-12-31T23:59:60Z"}"#,
            r#"{"eventTime":"2016-12-31T24:00:00Z"}"#,
        ] {
            check(record, record);
        }
        check(
            r#"{"eventTime":"2026-03-10T12:00:00Z","x":{"eventTime":"y"}}"#,
            r#"{"x":{"eventTime":"y"},"eventTime":"2026-03-10T12:00:00Z"}"#,
        );
    }
}
