//! A small lake in memory for tests of SQL: tables with the columns of the real ones, filled from
//! log objects by a slow and obvious reader.
//!
//! Must never leave the tests.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::{Map, Value};

use crate::decode::columns::{CLOUDTRAIL, Column, Kind, Table, VPC_FLOW};
use crate::query::json;

type Record = Map<String, Value>;

/// A session over one object of `table`; the other table is empty. Text is read as string views, as from Parquet.
pub(crate) fn session(table: &'static Table, object: &[u8]) -> SessionContext {
    let mut config = SessionConfig::new();
    // Off as in the lake: it would read JSON out of every row before the filters.
    config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
    let mut session = SessionContext::new_with_config(config);
    json::register(&mut session).unwrap();
    for each in [&CLOUDTRAIL, &VPC_FLOW] {
        let rows = if std::ptr::eq(each, table) { records(each, object) } else { Vec::new() };
        let batch = with_views(&batch(each, &rows));
        let memory = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        session.register_table(each.name, Arc::new(memory)).unwrap();
    }
    session
}

fn with_views(batch: &RecordBatch) -> RecordBatch {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let kind = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            other => other.clone(),
        };
        columns.push(arrow::compute::cast(column, &kind).unwrap());
        fields.push(Field::new(field.name(), kind, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn records(table: &Table, object: &[u8]) -> Vec<Record> {
    if object.is_empty() {
        return Vec::new();
    }
    if table.name == CLOUDTRAIL.name {
        let whole: Value = serde_json::from_slice(object).unwrap();
        return whole["Records"].as_array().unwrap().iter().map(|r| r.as_object().unwrap().clone()).collect();
    }
    let text = std::str::from_utf8(object).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    lines
        .map(|line| {
            let fields = header.iter().zip(line.split_whitespace()).filter(|(_, value)| *value != "-");
            fields.map(|(name, value)| ((*name).to_owned(), Value::String(value.to_owned()))).collect()
        })
        .collect()
}

fn batch(table: &'static Table, rows: &[Record]) -> RecordBatch {
    let columns = table.columns.iter().map(|column| array(table, column, rows)).collect();
    RecordBatch::try_new(table.schema(), columns).unwrap()
}

fn array(table: &Table, column: &Column, rows: &[Record]) -> ArrayRef {
    let values: Vec<Option<Value>> = rows.iter().map(|row| value(table, column, row)).collect();
    let texts = || values.iter().map(|v| v.as_ref().map(text)).collect::<Vec<_>>();
    let integers = || texts().into_iter().map(|v| v.map(|v| v.parse::<i64>().unwrap())).collect::<Vec<_>>();
    match column.kind {
        Kind::Bool | Kind::BoolText => {
            Arc::new(texts().into_iter().map(|v| v.map(|v| v == "true")).collect::<BooleanArray>())
        }
        Kind::Int32 | Kind::SourceRow => Arc::new(
            integers().into_iter().map(|v| v.map(|v| i32::try_from(v).unwrap())).collect::<Int32Array>(),
        ),
        Kind::Int64 => Arc::new(Int64Array::from(integers())),
        Kind::Timestamp | Kind::Seconds => {
            let micros: Vec<Option<i64>> =
                texts().iter().map(|v| Some(time(v.as_ref()?).timestamp_micros())).collect();
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
        }
        Kind::Date | Kind::EventDate => {
            let days = texts()
                .into_iter()
                .map(|v| Some(i32::try_from(time(&v?).timestamp().div_euclid(86_400)).unwrap()));
            Arc::new(days.collect::<Date32Array>())
        }
        _ => Arc::new(StringArray::from(texts())),
    }
}

fn value(table: &Table, column: &Column, row: &Record) -> Option<Value> {
    let at = |path: &str| {
        let mut parts = path.split('.');
        let mut value = row.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        (!value.is_null()).then(|| value.clone())
    };
    match column.kind {
        Kind::Derived => at("userIdentity.sessionContext.sessionIssuer.arn")
            .or_else(|| at("userIdentity.arn"))
            .or_else(|| at("userIdentity.principalId"))
            .or_else(|| at("userIdentity.invokedBy")),
        Kind::EventDate => at(table.columns.iter().find(|c| c.name == table.time_column)?.source),
        Kind::OtherFields | Kind::NullFields | Kind::SourceObject | Kind::SourceRow => None,
        _ => at(column.source),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn time(text: &str) -> DateTime<Utc> {
    match text.parse::<i64>() {
        Ok(seconds) => DateTime::from_timestamp(seconds, 0).unwrap(),
        Err(_) => text.parse().unwrap(),
    }
}
