//! Rows in the order of their time.
//!
//! Must never change the order of rows of the same time: they stay as they came.

use std::ops::Range;

use arrow::array::{Array, TimestampMicrosecondArray};

/// Where a row is: which batch, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The batch.
    pub source: u32,
    /// The number.
    pub row: u32,
}

/// Rows of a batch that follow one another.
#[derive(Debug, Clone)]
pub struct Run {
    /// The batch.
    pub source: u32,
    /// The numbers of the rows.
    pub rows: Range<u32>,
}

/// Rows that are sorted.
#[derive(Debug, PartialEq, Eq)]
pub struct Sorted {
    /// The rows.
    pub rows: Vec<Row>,
    /// How many of them have no time.
    pub untimed: usize,
    /// The first and the last time, in microseconds since the epoch; none when no row has one.
    pub bounds: Option<(i64, i64)>,
}

const MICROS: i64 = 1_000_000;

/// Rows that lie within so many seconds are counted by second, a day has fewer; and within so many a row.
const MAX_SECONDS: u64 = 1 << 17;
const SECONDS_OF_A_ROW: u64 = 4;

/// The bits of a sort key that hold where a row was before.
const PLACE_BITS: u32 = 24;

/// The time of rows that have none, which puts them last.
const NO_TIME: i64 = i64::MAX;

/// Sorts rows by the times of their batches, in microseconds since the epoch; those without one come last.
pub fn sort(runs: &[Run], times: &[&TimestampMicrosecondArray]) -> Sorted {
    let unsorted = Unsorted { runs, times };
    let mut found = Found { rows: 0, untimed: 0, bounds: None, are_seconds: true };
    unsorted.each(|_, time| found.note(time));
    let (first, last) = found.bounds.unwrap_or_default();
    let span = last.abs_diff(first).saturating_add(1);
    let most = MAX_SECONDS.min(found.rows as u64 * SECONDS_OF_A_ROW);
    let rows = if found.are_seconds && span <= most * MICROS.unsigned_abs() {
        by_second(&unsorted, found.rows, first, last)
    } else if span < 1 << (u64::BITS - PLACE_BITS) && found.rows < 1 << PLACE_BITS {
        by_key(&unsorted, found.rows, first, span)
    } else {
        let mut places = Vec::with_capacity(found.rows);
        unsorted.each(|row, time| places.push((time, row)));
        places.sort_by_key(|(time, _)| *time);
        places.iter().map(|(_, row)| *row).collect()
    };
    Sorted { rows, untimed: found.untimed, bounds: found.bounds }
}

/// Rows as they came.
struct Unsorted<'a> {
    runs: &'a [Run],
    times: &'a [&'a TimestampMicrosecondArray],
}

impl Unsorted<'_> {
    /// Calls `with` with every row and its time, or [`NO_TIME`].
    #[inline]
    fn each(&self, mut with: impl FnMut(Row, i64)) {
        for Run { source, rows } in self.runs {
            let times = self.times[*source as usize];
            let values = &times.values()[rows.start as usize..rows.end as usize];
            for (row, time) in rows.clone().zip(values) {
                let has_time = times.nulls().is_none_or(|nulls| nulls.is_valid(row as usize));
                with(Row { source: *source, row }, if has_time { *time } else { NO_TIME });
            }
        }
    }
}

/// What is known of the times of rows.
struct Found {
    rows: usize,
    untimed: usize,
    bounds: Option<(i64, i64)>,
    /// Whether they are all whole seconds.
    are_seconds: bool,
}

impl Found {
    #[inline]
    fn note(&mut self, time: i64) {
        self.rows += 1;
        if time == NO_TIME {
            self.untimed += 1;
            return;
        }
        let (first, last) = self.bounds.unwrap_or((time, time));
        self.bounds = Some((first.min(time), last.max(time)));
        self.are_seconds &= time % MICROS == 0;
    }
}

/// Rows of whole seconds, which is what most logs have: counted, and each put where it belongs.
fn by_second(unsorted: &Unsorted, rows: usize, first: i64, last: i64) -> Vec<Row> {
    // At most [`MAX_SECONDS`].
    let seconds =
        |time: i64| usize::try_from(time.abs_diff(first) / MICROS.unsigned_abs()).unwrap_or_default();
    let slots = seconds(last) + 2;
    // Those without a time are beyond the last.
    let slot = |time: i64| if time == NO_TIME { slots - 1 } else { seconds(time) };
    let mut starts = vec![0; slots + 1];
    unsorted.each(|_, time| starts[slot(time) + 1] += 1);
    let mut before = 0;
    for start in &mut starts {
        before += *start;
        *start = before;
    }
    let mut sorted = vec![Row { source: 0, row: 0 }; rows];
    unsorted.each(|row, time| {
        let start: &mut usize = &mut starts[slot(time)];
        sorted[*start] = row;
        *start += 1;
    });
    sorted
}

/// A day has 2^37 microseconds: time and place fit into one number, which is quicker to compare.
fn by_key(unsorted: &Unsorted, count: usize, first: i64, span: u64) -> Vec<Row> {
    let (mut rows, mut keys) = (Vec::with_capacity(count), Vec::with_capacity(count));
    unsorted.each(|row, time| {
        let time = if time == NO_TIME { span } else { time.abs_diff(first) };
        keys.push(time << PLACE_BITS | rows.len() as u64);
        rows.push(row);
    });
    keys.sort_unstable();
    let place = |key: &u64| usize::try_from(key & ((1 << PLACE_BITS) - 1)).unwrap_or(usize::MAX);
    keys.iter().map(|key| rows[place(key)]).collect()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn rows_are_sorted_by_time_and_then_as_they_came() {
        const DAY: i64 = 86_400 * MICROS;
        let mut random = StdRng::seed_from_u64(11);
        let spans = [
            (0, 0),
            (0, 5),
            (-3, 500 * MICROS),
            (-3, DAY),
            (i64::MIN, i64::MAX - 1),
            (i64::MAX - 9, i64::MAX - 1),
            (1, 0),
        ];
        for (least, most) in spans {
            for unit in [1, MICROS] {
                let mut time = || {
                    let has_time = least <= most && random.random_bool(0.9);
                    has_time.then(|| random.random_range(least..=most) / unit * unit)
                };
                let batches: Vec<TimestampMicrosecondArray> =
                    [100, 1, 300].into_iter().map(|rows| (0..rows).map(|_| time()).collect()).collect();
                let times: Vec<&TimestampMicrosecondArray> = batches.iter().collect();
                let runs = [(2, 100..300), (0, 0..99), (1, 0..1), (2, 0..50), (0, 99..99)];
                let runs = runs.map(|(source, rows)| Run { source, rows });
                let rows =
                    runs.iter().flat_map(|run| run.rows.clone().map(|row| Row { source: run.source, row }));
                let time_of = |row: &Row| {
                    let (times, row) = (times[row.source as usize], row.row as usize);
                    times.is_valid(row).then(|| times.value(row))
                };
                let mut expected: Vec<Row> = rows.collect();
                expected.sort_by_key(|row| time_of(row).map_or((1, 0), |time| (0, time)));
                let known: Vec<i64> = expected.iter().filter_map(time_of).collect();
                let expected = Sorted {
                    untimed: expected.len() - known.len(),
                    bounds: known.first().copied().zip(known.last().copied()),
                    rows: expected,
                };
                assert_eq!(sort(&runs, &times), expected, "{least} to {most}, in steps of {unit}");
            }
        }
        assert_eq!(sort(&[], &[]), Sorted { rows: Vec::new(), untimed: 0, bounds: None });
    }
}
