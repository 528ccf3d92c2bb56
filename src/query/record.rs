//! The original record of a row: its columns put together again, as one JSON object.
//!
//! The object is the source's as a JSON value: nested values in the source's own bytes, every field there was, also
//! repeated ones and explicit nulls. The order of its fields is not the source's. Must never parse what is nested.

mod rebuild;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, ident,
};

pub use rebuild::records;

use crate::decode::columns::CLOUDTRAIL;
use rebuild::{parts, put_together};

/// The view of the rows of `cloudtrail` with their records.
pub const VIEW: &str = "cloudtrail_records";

/// What the view is, for a person.
pub const VIEW_DOC: &str =
    "The rows of `cloudtrail` with all of its columns, and the whole record of each: a view.";

/// The column of the view that holds the records.
pub const COLUMN: &str = "record";

/// What the column is, for a person.
pub const COLUMN_DOC: &str = "The event as CloudTrail wrote it, put together again as one JSON object: every field, \
    nested values in their own bytes; the order of the fields is not the source's.";

/// The view over the rows of `cloudtrail`: all of its columns, and the record.
pub fn view(rows: DataFrame) -> Result<Arc<dyn TableProvider>> {
    let columns: Vec<_> = parts(&CLOUDTRAIL).map(|column| ident(column.name)).collect();
    let function =
        ScalarUDF::from(RecordJson { signature: Signature::any(columns.len(), Volatility::Immutable) });
    let record = function.call(columns);
    Ok(rows.with_column(COLUMN, record)?.into_view())
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
        Ok(ColumnarValue::Array(Arc::new(put_together(&CLOUDTRAIL, &arrays, rows)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::cloudtrail;

    fn check(record: &str, expected: &str) {
        let rows = cloudtrail::decode(format!("[{record}]").as_bytes(), "o").unwrap();
        assert_eq!(records(&CLOUDTRAIL, &rows).unwrap().value(0), expected, "{record}");
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
    fn a_boolean_is_written_as_the_source_does() {
        for record in [
            r#"{"readOnly":"true"}"#,
            r#"{"readOnly":"true","readOnly":true}"#,
            r#"{"readOnly":false,"readOnly":"true"}"#,
            r#"{"sessionCredentialFromConsole":true}"#,
            r#"{"sessionCredentialFromConsole":"true","sessionCredentialFromConsole":"true"}"#,
            r#"{"readOnly":"True"}"#,
            r#"{"readOnly":"tru\u0065"}"#,
            r#"{"read\u004fnly":"true"}"#,
            r#"{"readOnly":null,"readOnly":"true","readOnly":true}"#,
        ] {
            check(record, record);
        }
    }

    #[test]
    fn a_time_is_written_as_the_source_does() {
        for record in [
            r#"{"eventTime":"2026-03-10T12:00:00.5Z"}"#,
            r#"{"eventTime":"2026-03-10T12:00:00.0Z","eventTime":"2026-03-10T12:00:00Z"}"#,
            r#"{"eventTime":"2026-03-10T12:00:00Z","eventTime":"2026-03-10T12:00:00.0Z"}"#,
            r#"{"event\u0054ime":"2026-03-10T12:00:00.0Z"}"#,
            r#"{"eventTime":"2026-03-10 12:00:00Z"}"#,
            r#"{"eventTime":"2026-03-10T12:00:00+0000"}"#,
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
