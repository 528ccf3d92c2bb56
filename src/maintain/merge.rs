//! Rows of files that are sorted by time already, merged: nothing is sorted anew and nothing spills.
//!
//! Files that follow one another in time form a chain, of which one file is open at a time. That the rows come in the
//! order of time is checked, not believed: files of other programs may be in any order.

use std::sync::Arc;

use arrow::array::{AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions::col};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

use crate::lake::DataFile;

/// Chains that are merged: each has a file open.
const MOST_CHAINS: usize = 32;
/// Memory that reading a file takes, by its size: its row group as stored, and pages of it decompressed.
const MEMORY_OF_SIZE: u64 = 2;
/// Rows of the same time, which are held to be put in order.
const MOST_TIES: usize = 500_000;

/// The rows are not in the order of time, or too many have the same: they have to be sorted.
#[derive(Debug, thiserror::Error)]
#[error("the rows are not sorted by time")]
pub(super) struct Unsorted;

/// Whether rows could not be merged because of their order.
pub(super) fn is_unsorted(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::External(error) => error.is::<Unsorted>(),
        _ => false,
    }
}

/// Files in chains, each file of which ends before the next one begins; none when they would be too many chains or
/// take more memory than this, or when the times in a file are not known.
pub(super) fn chains(files: &[DataFile], memory_bytes: usize) -> Option<Vec<Vec<DataFile>>> {
    let mut files: Vec<&DataFile> = files.iter().collect();
    files.sort_by_key(|file| file.min_time);
    let mut chains: Vec<(i64, Vec<DataFile>)> = Vec::new();
    for file in files {
        let (first, last) = (file.min_time?, file.max_time?);
        let before = chains.iter_mut().filter(|(end, _)| *end < first).max_by_key(|(end, _)| *end);
        match before {
            Some((end, chain)) => {
                *end = last;
                chain.push(file.clone());
            }
            None => chains.push((last, vec![file.clone()])),
        }
        if chains.len() > MOST_CHAINS {
            return None;
        }
    }
    let largest = |chain: &[DataFile]| chain.iter().map(|file| file.size_bytes).max().unwrap_or(0);
    let bytes: u64 = chains.iter().map(|(_, chain)| largest(chain) * MEMORY_OF_SIZE).sum();
    (bytes <= memory_bytes as u64).then(|| chains.into_iter().map(|(_, chain)| chain).collect())
}

/// The rows of chains of frames, each sorted by the first key, in the order of all keys.
pub(super) fn merge(
    chains: Vec<Vec<DataFrame>>,
    keys: &[&str],
    batch_rows: usize,
) -> Result<SendableRecordBatchStream> {
    let first = chains
        .iter()
        .flatten()
        .next()
        .ok_or_else(|| DataFusionError::Internal("nothing to merge".to_owned()))?;
    let schema: SchemaRef = Arc::clone(first.schema().inner());
    let pool = Arc::clone(&first.task_ctx().runtime_env().memory_pool);
    let streams = chains.into_iter().map(|chain| {
        let rows = futures::stream::iter(chain).then(DataFrame::execute_stream).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows)) as SendableRecordBatchStream
    });
    let time = keys.first().copied().unwrap_or_default();
    let options = SortOptions { descending: false, nulls_first: false };
    let order = LexOrdering::new([PhysicalSortExpr::new(col(time, &schema)?, options)]);
    let order = order.ok_or_else(|| DataFusionError::Internal("no order".to_owned()))?;
    let merged = StreamingMergeBuilder::new()
        .with_streams(streams.collect())
        .with_schema(Arc::clone(&schema))
        .with_expressions(&order)
        .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
        .with_batch_size(batch_rows)
        .with_reservation(MemoryConsumer::new("merge").register(&pool))
        .build()?;
    let mut ties = Ties::new(&schema, keys)?;
    // The last batch is followed by the end, which gives out what is held.
    let ends = merged.map(|batch| batch.map(Some)).chain(futures::stream::iter([Ok(None)]));
    let rows = ends.filter_map(move |batch| {
        let rows = batch.and_then(|batch| match batch {
            Some(batch) => ties.push(&batch),
            None => Ok(ties.give_out(None)?),
        });
        std::future::ready(rows.transpose())
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Puts rows of the same time in the order of the other keys.
struct Ties {
    schema: SchemaRef,
    /// The columns to sort by; the time first.
    keys: Vec<usize>,
    /// Rows of one time, of which more may come.
    held: Vec<RecordBatch>,
    held_rows: usize,
    /// The last time that was seen.
    last: Option<i64>,
}

impl Ties {
    fn new(schema: &SchemaRef, keys: &[&str]) -> Result<Self, ArrowError> {
        let keys = keys.iter().map(|key| schema.index_of(key)).collect::<Result<_, _>>()?;
        Ok(Ties { schema: Arc::clone(schema), keys, held: Vec::new(), held_rows: 0, last: None })
    }

    /// Takes rows sorted by time; gives out those that no others of the same time can follow.
    fn push(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let unsorted = || DataFusionError::External(Box::new(Unsorted));
        let times: &PrimitiveArray<TimestampMicrosecondType> = batch.column(self.keys[0]).as_primitive();
        let values = times.values();
        let (Some(first), Some(last)) = (values.first().copied(), values.last().copied()) else {
            return Ok(None);
        };
        if arrow::array::Array::null_count(times) > 0
            || !values.is_sorted()
            || self.last.is_some_and(|before| first < before)
        {
            return Err(unsorted());
        }
        let same = values.partition_point(|time| *time < last);
        let is_later = self.last.is_some_and(|before| before < last);
        let out = if same > 0 || is_later { self.give_out(Some(batch.slice(0, same)))? } else { None };
        self.held_rows += batch.num_rows() - same;
        if self.held_rows > MOST_TIES {
            return Err(unsorted());
        }
        self.held.push(batch.slice(same, batch.num_rows() - same));
        self.last = Some(last);
        Ok(out)
    }

    /// What is held and the rows after it, in order.
    fn give_out(&mut self, more: Option<RecordBatch>) -> Result<Option<RecordBatch>, ArrowError> {
        let mut rows = std::mem::take(&mut self.held);
        self.held_rows = 0;
        rows.extend(more.filter(|more| more.num_rows() > 0));
        if rows.is_empty() {
            return Ok(None);
        }
        let rows = concat_batches(&self.schema, &rows)?;
        let options = Some(SortOptions { descending: false, nulls_first: false });
        let columns =
            self.keys.iter().map(|key| SortColumn { values: Arc::clone(rows.column(*key)), options });
        let order = lexsort_to_indices(&columns.collect::<Vec<_>>(), None)?;
        take_record_batch(&rows, &order).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};

    use super::*;

    fn file(name: &str, size_bytes: u64, times: Option<(i64, i64)>) -> DataFile {
        DataFile {
            path: name.to_owned(),
            size_bytes,
            event_date: None,
            rows: Some(1),
            min_time: times.map(|times| times.0),
            max_time: times.map(|times| times.1),
        }
    }

    #[test]
    fn files_form_as_few_chains_as_they_overlap() {
        let check = |files: &[(&str, i64, i64)], expected: Option<&str>| {
            let files: Vec<DataFile> =
                files.iter().map(|(name, first, last)| file(name, 10, Some((*first, *last)))).collect();
            let found = chains(&files, 2 * 20).map(|chains| {
                let names =
                    |chain: Vec<DataFile>| chain.into_iter().map(|file| file.path).collect::<String>();
                chains.into_iter().map(names).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(found.as_deref(), expected, "{files:?}");
        };
        check(&[("c", 20, 29), ("a", 0, 9), ("b", 10, 19)], Some("abc"));
        check(&[("a", 0, 10), ("b", 10, 19), ("c", 11, 15)], Some("ac b"));
        check(&[("a", 0, 10), ("b", 5, 19), ("c", 15, 25), ("d", 20, 29)], Some("ac bd"));
        // Three files at once take more memory than there is.
        check(&[("a", 0, 9), ("b", 0, 9), ("c", 0, 9)], None);
        assert!(chains(&[file("a", 1, None)], 100).is_none());
    }

    #[test]
    fn rows_of_the_same_time_are_put_in_order_over_batches() {
        let fields = [
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("k", DataType::Int32, true),
        ];
        let schema: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
        let sort = |batches: &[&[(i64, i32)]]| -> Option<Vec<(i64, i32)>> {
            let mut ties = Ties::new(&schema, &["t", "k"]).unwrap();
            let mut out = Vec::new();
            for rows in batches {
                let micros: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.0)).collect();
                let keys: Int32Array = rows.iter().map(|row| Some(row.1)).collect();
                let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(micros), Arc::new(keys)]);
                match ties.push(&batch.unwrap()) {
                    Ok(rows) => out.extend(rows),
                    Err(error) => {
                        assert!(is_unsorted(&error));
                        return None;
                    }
                }
            }
            out.extend(ties.give_out(None).unwrap());
            let pairs = |batch: &RecordBatch| -> Vec<(i64, i32)> {
                let micros = batch.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
                micros
                    .into_iter()
                    .zip(batch.column(1).as_primitive::<Int32Type>().values().to_vec())
                    .collect()
            };
            Some(out.iter().flat_map(pairs).collect())
        };
        for batches in [
            &[&[(1, 2), (1, 1), (2, 5)][..], &[(2, 4), (2, 3)], &[(2, 1)], &[(3, 9), (4, 2), (4, 1)]][..],
            &[&[(1, 1)], &[(2, 1)], &[(3, 1)]],
            &[&[], &[(1, 3)], &[], &[(1, 2)]],
        ] {
            let mut expected: Vec<(i64, i32)> = batches.concat();
            expected.sort_unstable();
            assert_eq!(sort(batches), Some(expected));
        }
        assert_eq!(sort(&[&[(2, 1), (1, 1)]]), None);
        assert_eq!(sort(&[&[(2, 1)], &[(1, 1)]]), None);
    }
}
