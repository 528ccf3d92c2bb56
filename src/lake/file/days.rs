//! Rows by their day: which rows of which batches.
//!
//! An object may have a few rows of each of very many days, and a batch has the texts of all of them. Must never let what
//! a day takes depend on the rows of other days.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, DictionaryArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Date32Type, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::Part;
use super::order::Run;

/// A batch of which a day has fewer than one in so many rows is cut down to these.
const SPARSE: usize = 16;

/// The rows of some parts, by the day in the last column, and the batches they are of.
pub fn of_parts<'a>(parts: &[Part<'a>]) -> (BTreeMap<Option<i32>, Vec<Run>>, Vec<&'a RecordBatch>) {
    let mut sources: Vec<&RecordBatch> = Vec::new();
    let mut numbers: HashMap<*const RecordBatch, u32> = HashMap::new();
    let mut days: BTreeMap<Option<i32>, Vec<Run>> = BTreeMap::new();
    for Part { batch, rows } in parts {
        // Objects share batches, and those of several batches may come in turns.
        let source = *numbers.entry(std::ptr::from_ref(*batch)).or_insert_with(|| {
            sources.push(batch);
            narrow(sources.len() - 1)
        });
        let dates: &Date32Array = batch.column(batch.num_columns() - 1).as_primitive::<Date32Type>();
        let day_of = |row: usize| (!dates.is_null(row)).then(|| dates.value(row));
        let mut start = rows.start;
        while start < rows.end {
            let day = day_of(start);
            let end = (start..rows.end).find(|row| day_of(*row) != day).unwrap_or(rows.end);
            let runs = days.entry(day).or_default();
            match runs.last_mut() {
                Some(last) if last.source == source && last.rows.end == narrow(start) => {
                    last.rows.end = narrow(end);
                }
                _ => runs.push(Run { source, rows: narrow(start)..narrow(end) }),
            }
            start = end;
        }
    }
    (days, sources)
}

/// Batches and their rows are counted in 31 bits: Arrow's offsets have no more.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The batches that runs of rows are of, and no others; the runs are of these then.
pub fn sources_of<'a>(
    runs: &mut [Run],
    batches: &[&'a RecordBatch],
) -> Result<Vec<Cow<'a, RecordBatch>>, ArrowError> {
    let mut by_source: BTreeMap<u32, Vec<&mut Run>> = BTreeMap::new();
    for run in runs {
        by_source.entry(run.source).or_default().push(run);
    }
    let mut sources = Vec::with_capacity(by_source.len());
    for (source, runs) in by_source {
        let batch = batches[source as usize];
        let asked: usize = runs.iter().map(|run| run.rows.len()).sum();
        let is_cut = asked * SPARSE < batch.num_rows();
        let rows = is_cut.then(|| runs.iter().flat_map(|run| run.rows.clone()).collect::<UInt32Array>());
        let mut start = 0;
        for run in runs {
            run.source = narrow(sources.len());
            if is_cut {
                let end = start + narrow(run.rows.len());
                run.rows = start..end;
                start = end;
            }
        }
        sources.push(match rows {
            Some(rows) => Cow::Owned(cut(batch, &rows)?),
            None => Cow::Borrowed(batch),
        });
    }
    Ok(sources)
}

/// Some rows of a batch, with no texts in its dictionaries but theirs.
fn cut(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch, ArrowError> {
    let of_column = |array: &ArrayRef| -> Result<ArrayRef, ArrowError> {
        let Some(dictionary) = array.as_dictionary_opt::<UInt32Type>() else {
            return take(array, rows, None);
        };
        let keys = take(dictionary.keys(), rows, None)?;
        let keys = keys.as_primitive::<UInt32Type>();
        let mut used: Vec<u32> = keys.iter().flatten().collect();
        used.sort_unstable();
        used.dedup();
        let place = |number| used.binary_search(&number).ok().map(narrow);
        let own: UInt32Array = keys.iter().map(|number| number.and_then(place)).collect();
        let texts = take(dictionary.values(), &UInt32Array::from(used.clone()), None)?;
        Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(own, texts)?))
    };
    let columns: Result<_, _> = batch.columns().iter().map(of_column).collect();
    RecordBatch::try_new(batch.schema(), columns?)
}
