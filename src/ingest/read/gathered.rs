//! Objects that were read together, and what became of the rows they share.
//!
//! Must never give an object rows of another, nor rows of more days than may be.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};

use super::{Batch, Buffers, Found};
use crate::decode::columns::CLOUDTRAIL;
use crate::decode::{self, Decoded};
use crate::lake::{ObjectRecord, ReadObject, SharedRows, State};

/// Objects that were read; of the last of them, the rows are still being gathered.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) objects: Vec<ReadObject>,
    pub(super) rows: i64,
    pub(super) content_bytes: i64,
    /// Which of the objects have rows that are being gathered, in which batch, and which rows.
    waiting: Vec<(usize, Batch, Range<usize>)>,
}

impl Gathered {
    pub(super) fn push(&mut self, mut record: ObjectRecord, rows: Found) {
        self.rows += record.row_count;
        self.content_bytes += record.content_bytes;
        let rows = match rows {
            Found::None => None,
            Found::Own(Decoded { table, batch }) => Some(SharedRows::all(table, batch)),
            Found::Gathered(batch, range) => {
                self.waiting.push((self.objects.len(), batch, range));
                None
            }
        };
        let rows = rows.and_then(|rows| checked(&mut record, rows));
        self.objects.push(ReadObject { record, rows });
    }

    /// Takes the rows that were gathered and gives each object its own.
    pub(super) fn settle(&mut self, buffers: &mut Buffers) {
        // Of objects that were refused no row is left, but text may be: it is taken too, and is gone.
        if self.waiting.is_empty() && buffers.is_empty() {
            return;
        }
        let shared = |decoded: Result<Decoded, decode::Error>| {
            decoded.map(|Decoded { table, batch }| SharedRows::all(table, batch))
        };
        let events = shared(buffers.decoder.take().map(|batch| Decoded { table: &CLOUDTRAIL, batch }));
        let flows: Vec<_> = buffers.flows.take().into_iter().map(shared).collect();
        for (index, batch, range) in self.waiting.drain(..) {
            let ReadObject { record, rows } = &mut self.objects[index];
            let found = match batch {
                Batch::Events => &events,
                Batch::Flows(batch) => &flows[batch],
            };
            match found {
                Ok(found) => *rows = checked(record, SharedRows { range, ..found.clone() }),
                Err(error) => refuse(record, error.to_string()),
            }
        }
    }
}

/// Rows of more days than this are not taken from one object: each day is a file of its own.
pub(super) const MAX_DAYS: usize = 10_000;

/// Notes the first and the last time of an object's rows; gives them back unless they are of too many days.
fn checked(record: &mut ObjectRecord, rows: SharedRows) -> Option<SharedRows> {
    note_times(record, &rows);
    let times = record.first_event_time.zip(record.last_event_time);
    let days = times.map_or(0, |(first, last)| last.abs_diff(first) / MICROS_PER_DAY);
    if days >= MAX_DAYS as u64 {
        let dates = rows.batch.column(rows.batch.num_columns() - 1).slice(rows.range.start, rows.range.len());
        let days: HashSet<Option<i32>> = dates.as_primitive::<Date32Type>().iter().collect();
        if days.len() > MAX_DAYS {
            refuse(record, format!("rows of {} days, more than {MAX_DAYS}", days.len()));
            return None;
        }
    }
    Some(rows)
}

/// Makes an object that was read one that could not be.
fn refuse(record: &mut ObjectRecord, reason: String) {
    record.state = State::Quarantined;
    record.row_count = 0;
    (record.first_event_time, record.last_event_time) = (None, None);
    record.reason = Some(reason);
}

const MICROS_PER_DAY: u64 = 86_400_000_000;

/// Notes the first and the last time of an object's rows.
fn note_times(record: &mut ObjectRecord, rows: &SharedRows) {
    if let Some(times) = rows.batch.column_by_name(rows.table.time_column) {
        let times = times.slice(rows.range.start, rows.range.len());
        let times = times.as_primitive::<TimestampMicrosecondType>();
        record.first_event_time = arrow::compute::min(times);
        record.last_event_time = arrow::compute::max(times);
    }
}
