//! Rows in the order of their time.
//!
//! Rows are known by their place: how many come before, of all rows as they come, run by run. Must never change the
//! order of rows of the same time: they stay as they came.

use std::ops::Range;

use arrow::array::{Array, TimestampMicrosecondArray};

/// Rows of a batch that follow one another.
#[derive(Debug, Clone)]
pub struct Run {
    /// The batch.
    pub source: u32,
    /// The numbers of the rows.
    pub rows: Range<u32>,
}

impl Run {
    /// The rows, to take them from their batch.
    pub fn range(&self) -> Range<usize> {
        self.rows.start as usize..self.rows.end as usize
    }
}

/// Rows that are sorted.
#[derive(Debug, PartialEq, Eq)]
pub struct Sorted {
    /// The places of the rows.
    pub places: Vec<u32>,
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
    let places = if found.are_seconds && span <= most * MICROS.unsigned_abs() {
        by_second(&unsorted, found.rows, first, last)
    } else if span < 1 << (u64::BITS - PLACE_BITS) && found.rows < 1 << PLACE_BITS {
        by_key(&unsorted, found.rows, first, span)
    } else {
        let mut places = Vec::with_capacity(found.rows);
        unsorted.each(|place, time| places.push((time, place)));
        places.sort_unstable();
        places.iter().map(|(_, place)| *place).collect()
    };
    Sorted { places, untimed: found.untimed, bounds: found.bounds }
}

/// Rows as they came.
struct Unsorted<'a> {
    runs: &'a [Run],
    times: &'a [&'a TimestampMicrosecondArray],
}

impl Unsorted<'_> {
    /// Calls `with` with the place of every row and its time, or [`NO_TIME`].
    #[inline]
    fn each(&self, mut with: impl FnMut(u32, i64)) {
        let mut place = 0;
        for run in self.runs {
            let times = self.times[run.source as usize];
            for (row, time) in run.range().zip(&times.values()[run.range()]) {
                let has_time = times.nulls().is_none_or(|nulls| nulls.is_valid(row));
                with(place, if has_time { *time } else { NO_TIME });
                place += 1;
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
fn by_second(unsorted: &Unsorted, rows: usize, first: i64, last: i64) -> Vec<u32> {
    // At most [`MAX_SECONDS`].
    let seconds =
        |time: i64| usize::try_from(time.abs_diff(first) / MICROS.unsigned_abs()).unwrap_or_default();
    let slots = seconds(last) + 2;
    // Those without a time are beyond the last.
    let slot = |time: i64| if time == NO_TIME { slots - 1 } else { seconds(time) };
    let mut starts = vec![0; slots + 1];
    let mut slot_of: Vec<u32> = Vec::with_capacity(rows);
    unsorted.each(|_, time| {
        let slot = slot(time);
        starts[slot + 1] += 1;
        // Far fewer than 2^32.
        slot_of.push(u32::try_from(slot).unwrap_or(u32::MAX));
    });
    let mut before = 0;
    for start in &mut starts {
        before += *start;
        *start = before;
    }
    let mut sorted = vec![0; rows];
    for (place, slot) in (0..).zip(slot_of) {
        let start: &mut usize = &mut starts[slot as usize];
        sorted[*start] = place;
        *start += 1;
    }
    sorted
}

/// A day has 2^37 microseconds: time and place fit into one number, which is quicker to compare.
fn by_key(unsorted: &Unsorted, count: usize, first: i64, span: u64) -> Vec<u32> {
    let mut keys = Vec::with_capacity(count);
    unsorted.each(|place, time| {
        let time = if time == NO_TIME { span } else { time.abs_diff(first) };
        keys.push(time << PLACE_BITS | u64::from(place));
    });
    keys.sort_unstable();
    // Places have fewer bits than these.
    let place = |key: &u64| u32::try_from(key & ((1 << PLACE_BITS) - 1)).unwrap_or(u32::MAX);
    keys.iter().map(place).collect()
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
                let of_run =
                    |run: &Run| batches[run.source as usize].iter().collect::<Vec<_>>()[run.range()].to_vec();
                let all: Vec<Option<i64>> = runs.iter().flat_map(of_run).collect();
                let time_of = |place: &u32| all[*place as usize];
                let mut places: Vec<u32> = (0..u32::try_from(all.len()).unwrap()).collect();
                places.sort_by_key(|place| time_of(place).map_or((1, 0), |time| (0, time)));
                let known: Vec<i64> = places.iter().filter_map(time_of).collect();
                let expected = Sorted {
                    untimed: places.len() - known.len(),
                    bounds: known.first().copied().zip(known.last().copied()),
                    places,
                };
                assert_eq!(sort(&runs, &times), expected, "{least} to {most}, in steps of {unit}");
            }
        }
        assert_eq!(sort(&[], &[]), Sorted { places: Vec::new(), untimed: 0, bounds: None });
    }
}
