//! Taking out events that were delivered twice, from rows sorted by time and event id.
//!
//! An event is a duplicate only when everything but where it came from is the same. The same event has the same
//! time, so duplicates are neighbours, and only the rows of one time and id are kept in memory.

use arrow::array::{Array, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};

use crate::lake::{ObjectId, ObjectRows};

/// Of one event id at one time at most so many different records are remembered; more are kept as they are.
const MAX_VARIANTS: usize = 256;

/// A stream of sorted rows without the duplicates in it.
pub(super) struct Duplicates {
    time: usize,
    id: usize,
    object: usize,
    row: usize,
    /// The columns that make two rows the same.
    compared: Vec<usize>,
    converter: RowConverter,
    group: Option<Group>,
    removed: ObjectRows,
}

/// The rows of one time and event id, without repetitions.
struct Group {
    time: Option<i64>,
    id: String,
    variants: Vec<Box<[u8]>>,
}

impl Duplicates {
    /// For batches of a schema; none when its rows have no event ids.
    pub fn new(schema: &arrow::datatypes::Schema, time_column: &str) -> Result<Option<Self>, ArrowError> {
        let index = |name: &str| schema.index_of(name).ok();
        let (Some(time), Some(id), Some(object), Some(row)) =
            (index(time_column), index("event_id"), index("source_object"), index("source_row"))
        else {
            return Ok(None);
        };
        let compared: Vec<usize> =
            (0..schema.fields().len()).filter(|at| ![object, row].contains(at)).collect();
        let fields = compared.iter().map(|at| SortField::new(schema.field(*at).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let removed = ObjectRows::default();
        Ok(Some(Duplicates { time, id, object, row, compared, converter, group: None, removed }))
    }

    /// The rows that were taken out so far.
    pub fn removed(self) -> ObjectRows {
        self.removed
    }

    /// Leaves out the rows that were there before, in this batch or one before it.
    pub fn filter(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let candidates = self.candidates(batch);
        if candidates.is_empty() {
            return Ok(batch.clone());
        }
        let indices = UInt32Array::from_iter_values(candidates.iter().map(|(row, _)| *row));
        let columns = self.compared.iter().map(|at| take(batch.column(*at), &indices, None));
        let rows = self.converter.convert_columns(&columns.collect::<Result<Vec<_>, _>>()?)?;
        let mut keep = vec![true; batch.num_rows()];
        for (at, (row, follows)) in candidates.iter().enumerate() {
            let record = rows.row(at);
            let row = *row as usize;
            match &mut self.group {
                Some(group) if *follows => {
                    if !group.variants.iter().any(|known| known.as_ref() == record.as_ref()) {
                        if group.variants.len() < MAX_VARIANTS {
                            group.variants.push(record.as_ref().into());
                        }
                    } else if let Some((object, number)) = place(batch, self.object, self.row, row) {
                        self.removed.insert(object, number);
                        keep[row] = false;
                    }
                }
                _ => self.group = Some(self.begin(batch, row, record.as_ref())),
            }
        }
        if keep.iter().all(|keep| *keep) {
            return Ok(batch.clone());
        }
        filter_record_batch(batch, &BooleanArray::from(keep))
    }

    fn begin(&self, batch: &RecordBatch, row: usize, record: &[u8]) -> Group {
        let times = batch.column(self.time).as_primitive::<TimestampMicrosecondType>();
        let ids = batch.column(self.id).as_string_view();
        Group {
            time: times.is_valid(row).then(|| times.value(row)),
            id: if ids.is_valid(row) { ids.value(row).to_owned() } else { String::new() },
            variants: vec![record.into()],
        }
    }

    /// The rows that share time and event id with a neighbour, and the last, which may share them with the next
    /// batch; with each whether it goes on with the group before it.
    fn candidates(&self, batch: &RecordBatch) -> Vec<(u32, bool)> {
        let times = batch.column(self.time).as_primitive::<TimestampMicrosecondType>();
        let ids = batch.column(self.id).as_string_view();
        let time = |row: usize| times.is_valid(row).then(|| times.value(row));
        let follows = |row: usize| {
            if ids.is_null(row) {
                return false;
            }
            match row.checked_sub(1) {
                Some(before) => {
                    ids.is_valid(before) && time(before) == time(row) && ids.value(before) == ids.value(row)
                }
                None => self
                    .group
                    .as_ref()
                    .is_some_and(|group| group.time == time(row) && group.id == ids.value(row)),
            }
        };
        let rows = batch.num_rows();
        let flags: Vec<bool> = (0..rows).map(follows).collect();
        (0..rows)
            .filter(|row| flags[*row] || row + 1 == rows || flags[row + 1])
            .filter_map(|row| Some((u32::try_from(row).ok()?, flags[row])))
            .collect()
    }
}

/// Where a row comes from; a row that does not say is never taken out.
fn place(batch: &RecordBatch, object: usize, row: usize, at: usize) -> Option<(ObjectId, u32)> {
    let objects = batch.column(object).as_string_view();
    let rows = batch.column(row).as_primitive::<Int32Type>();
    if objects.is_null(at) || rows.is_null(at) {
        return None;
    }
    Some((objects.value(at).parse().ok()?, u32::try_from(rows.value(at)).ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringViewArray, TimestampMicrosecondArray};

    use super::*;

    /// Rows of time, event id, content and source row, all of one object.
    fn batch(rows: &[(i64, Option<&str>, &str, i32)]) -> RecordBatch {
        let object = ObjectId::new("b", "k", "e").to_string();
        let columns: [(&str, ArrayRef); 5] = [
            ("event_time", Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.0)))),
            ("event_id", Arc::new(rows.iter().map(|r| r.1).collect::<StringViewArray>())),
            ("content", Arc::new(rows.iter().map(|r| Some(r.2)).collect::<StringViewArray>())),
            (
                "source_object",
                Arc::new(rows.iter().map(|_| Some(object.as_str())).collect::<StringViewArray>()),
            ),
            ("source_row", Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.3)))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// What is left of rows, whatever batches they come in.
    fn check(rows: &[(i64, Option<&str>, &str, i32)], kept: &[i32]) {
        for size in 1..=rows.len() {
            let schema = batch(rows).schema();
            let mut duplicates = Duplicates::new(&schema, "event_time").unwrap().unwrap();
            let mut left = Vec::new();
            for chunk in rows.chunks(size) {
                let filtered = duplicates.filter(&batch(chunk)).unwrap();
                left.extend(filtered.column(4).as_primitive::<Int32Type>().values().iter().copied());
            }
            assert_eq!(left, kept, "{rows:?} in batches of {size}");
            assert_eq!(duplicates.removed().count(), (rows.len() - kept.len()) as u64);
        }
    }

    #[test]
    fn only_identical_records_of_one_event_are_taken_out() {
        let (a, b) = (Some("a"), Some("b"));
        check(&[(1, a, "x", 0), (1, a, "x", 1), (1, b, "x", 2)], &[0, 2]);
        check(&[(1, a, "x", 0), (1, a, "y", 1), (1, a, "x", 2), (1, a, "y", 3)], &[0, 1]);
        check(&[(1, a, "x", 0), (2, a, "x", 1)], &[0, 1]);
        check(&[(1, None, "x", 0), (1, None, "x", 1)], &[0, 1]);
        check(&[(1, a, "x", 0), (1, a, "x", 1), (2, b, "x", 2), (2, b, "x", 3), (2, b, "x", 4)], &[0, 2]);
    }
}
