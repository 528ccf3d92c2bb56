//! What is different about the ledger's table: the day of its rows is that of their keys, and they are sorted by key.
//!
//! The day is found anew for every row, so that the rows of files that are not by day, written by an earlier version
//! or by another program, get to where they are looked for.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{DataType, Date32Type};
use arrow::record_batch::RecordBatch;
use chrono::NaiveDate;
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, Expr, SortExpr, Volatility, create_udf};

use crate::lake::{COMPACTED, DataFile, day};

/// The column sorted rows have after those of the table.
pub(super) const DAY: &str = "day_of_key";

/// The files of a day that compaction reads: those it did not write, and those of its own that are not much larger.
pub(super) fn inputs(files: &[DataFile], day: Option<NaiveDate>) -> Vec<DataFile> {
    let (new, compacted) = files.iter().filter(|file| file.event_date == day).cloned().partition(is_new);
    super::with_smaller(new, compacted)
}

fn is_new(file: &DataFile) -> bool {
    let is_compacted = file.path.rsplit('/').next().is_some_and(|name| name.starts_with(COMPACTED));
    !is_compacted || !day::is_marked(&file.path)
}

/// What the rows are sorted by, and the column that says in which day's file they go.
pub(super) fn order() -> (Expr, Vec<SortExpr>) {
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let day_of_key = create_udf(
        DAY,
        vec![DataType::Utf8View],
        DataType::Date32,
        Volatility::Immutable,
        Arc::new(|arguments: &[ColumnarValue]| Ok(ColumnarValue::Array(days(arguments)?))),
    );
    let keys = [DAY, "key", "object_id", "read_at"];
    let order = keys.into_iter().map(|key| column(key).sort(true, false)).collect();
    (day_of_key.call(vec![column("key")]), order)
}

fn days(arguments: &[ColumnarValue]) -> Result<ArrayRef, DataFusionError> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let keys = arrays.first().and_then(|keys| keys.as_string_view_opt());
    let keys = keys.ok_or_else(|| DataFusionError::Internal("keys are text".to_owned()))?;
    let days = keys.iter().map(|key| Some(day::of_key(key?)?.to_epoch_days()));
    Ok(Arc::new(days.collect::<Date32Array>()))
}

/// Sorted rows without the column of days, by day.
pub(super) fn by_day(batch: &RecordBatch) -> Vec<(Option<NaiveDate>, RecordBatch)> {
    let Some((days, columns)) = batch.columns().split_last() else { return Vec::new() };
    let days = days.as_primitive::<Date32Type>();
    let names: Vec<usize> = (0..columns.len()).collect();
    let Ok(rows) = batch.project(&names) else { return Vec::new() };
    let day = |row: usize| (!days.is_null(row)).then(|| days.value(row)).and_then(NaiveDate::from_epoch_days);
    let mut parts = Vec::new();
    let mut first = 0;
    while first < rows.num_rows() {
        let end = (first..rows.num_rows()).find(|row| day(*row) != day(first)).unwrap_or(rows.num_rows());
        parts.push((day(first), rows.slice(first, end - first)));
        first = end;
    }
    parts
}
