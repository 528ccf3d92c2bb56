//! How far a backfill is: what was listed, what was known, what was read, and about how long the rest takes.
//!
//! Must never steer anything: these are numbers for people.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;

/// Counts that the listing and the loading add to.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Counts,
    /// Days that are not done, by how much is left of them.
    open: BTreeMap<NaiveDate, Open>,
    /// Days of months and years that were not looked into yet, by the calendar.
    expected: u64,
    /// Days that were found, done or not.
    found: u64,
    /// Days of which every object is listed.
    listed: u64,
}

#[derive(Debug, Default)]
struct Open {
    /// Objects that are listed and neither known nor read.
    left: u64,
    is_listed: bool,
}

/// The counts at one moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Days of which every object is known or read.
    pub days_done: u64,
    /// Days there are, those of months that were not looked into yet by the calendar.
    pub days: u64,
    /// LIST requests.
    pub requests: u64,
    /// LIST requests that failed and were sent again.
    pub repeated: u64,
    /// Objects that were listed.
    pub listed: u64,
    /// About how many objects there are in all; exact once `is_listed`.
    pub objects: u64,
    /// Whether the listing is complete.
    pub is_listed: bool,
    /// Objects the lake had already.
    pub known: u64,
    /// Objects that were fetched and read.
    pub read: u64,
    /// The stored bytes of the objects that are known or read.
    pub bytes: u64,
}

impl Counts {
    /// Objects that are done with.
    pub fn done(self) -> u64 {
        self.known + self.read
    }

    /// Objects a second since an earlier moment.
    pub fn rate(self, earlier: Counts, elapsed: Duration) -> f64 {
        self.done().saturating_sub(earlier.done()) as f64 / elapsed.as_secs_f64().max(1e-9)
    }

    /// About how long the rest takes at the rate since an earlier moment; none when nothing was done since, and when
    /// all that is listed is done and more may come.
    pub fn left(self, earlier: Counts, elapsed: Duration) -> Option<Duration> {
        let rate = self.rate(earlier, elapsed);
        let left = self.objects.saturating_sub(self.done()) as f64;
        if left == 0.0 {
            return self.is_listed.then_some(Duration::ZERO);
        }
        Duration::try_from_secs_f64(left / rate).ok()
    }
}

impl Progress {
    /// The counts now.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        let mut now = state.now;
        now.days = state.found + state.expected;
        let unlisted = now.days.saturating_sub(state.listed);
        now.objects = now.listed;
        if !now.is_listed && state.listed > 0 {
            // What is listed of days that are not complete counts as theirs.
            let of_listed = now.listed
                - state
                    .open
                    .values()
                    .filter(|day| !day.is_listed)
                    .map(|day| day.left)
                    .sum::<u64>()
                    .min(now.listed);
            let rest = u128::from(of_listed) * u128::from(unlisted) / u128::from(state.listed);
            now.objects = now.listed.max(of_listed.saturating_add(u64::try_from(rest).unwrap_or(u64::MAX)));
        }
        now
    }

    /// A LIST request was answered.
    pub fn requested(&self) {
        self.state().now.requests += 1;
    }

    /// A LIST request failed and is sent again.
    pub fn repeated(&self) {
        let mut state = self.state();
        state.now.requests += 1;
        state.now.repeated += 1;
    }

    /// There may be so many days in what was not looked into yet.
    pub fn expect_days(&self, days: u64) {
        self.state().expected += days;
    }

    /// So many of the expected days were looked into.
    pub fn looked_into(&self, days: u64) {
        let mut state = self.state();
        state.expected = state.expected.saturating_sub(days);
    }

    /// There is such a day.
    pub fn found_day(&self, day: NaiveDate) {
        let mut state = self.state();
        let before = state.open.len();
        state.open.entry(day).or_default();
        state.found += u64::from(state.open.len() > before);
    }

    /// Objects of a day were listed.
    pub fn listed(&self, day: Option<NaiveDate>, objects: u64) {
        let mut state = self.state();
        state.now.listed += objects;
        if let Some(open) = day.and_then(|day| state.open.get_mut(&day)) {
            open.left += objects;
        }
    }

    /// Every object of a day is listed.
    pub fn listed_day(&self, day: NaiveDate) {
        let mut state = self.state();
        if let Some(open) = state.open.get_mut(&day).filter(|open| !open.is_listed) {
            open.is_listed = true;
            state.listed += 1;
            state.close(day);
        }
    }

    /// Everything is listed.
    pub fn listed_all(&self) {
        self.state().now.is_listed = true;
    }

    /// Objects are known, or were read.
    pub fn done(&self, day: Option<NaiveDate>, objects: u64, bytes: u64, known: bool) {
        let mut state = self.state();
        if known {
            state.now.known += objects;
        } else {
            state.now.read += objects;
        }
        state.now.bytes += bytes;
        let Some(day) = day else { return };
        if let Some(open) = state.open.get_mut(&day) {
            open.left = open.left.saturating_sub(objects);
            state.close(day);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, day: NaiveDate) {
        if self.open.get(&day).is_some_and(|open| open.is_listed && open.left == 0) {
            self.open.remove(&day);
            self.now.days_done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, number).unwrap()
    }

    #[test]
    fn days_are_done_when_all_of_them_is_listed_and_read() {
        let progress = Progress::default();
        progress.expect_days(31);
        progress.looked_into(31);
        for number in 1..=10 {
            progress.found_day(day(number));
        }
        progress.listed(Some(day(10)), 100);
        progress.done(Some(day(10)), 100, 1000, true);
        assert_eq!(progress.counts().days_done, 0, "more of it may come");
        progress.listed_day(day(10));
        progress.listed(Some(day(9)), 60);
        progress.listed_day(day(9));
        progress.done(Some(day(9)), 59, 590, false);
        let counts = progress.counts();
        assert_eq!((counts.days_done, counts.days), (1, 10));
        assert_eq!((counts.listed, counts.known, counts.read, counts.bytes), (160, 100, 59, 1590));
        assert_eq!(counts.objects, 160 + 80 * 8, "as many on each day as on those that are listed");
        progress.done(Some(day(9)), 1, 10, false);
        progress.listed_all();
        let counts = progress.counts();
        assert_eq!((counts.days_done, counts.objects), (2, 160));
    }

    #[test]
    fn the_rest_takes_as_long_as_it_took_lately() {
        let counts = |objects, known, read| Counts { objects, known, read, ..Counts::default() };
        let ten = Duration::from_secs(10);
        for (now, earlier, expected) in [
            (counts(1000, 0, 100), counts(0, 0, 0), Some(90)),
            (counts(1000, 500, 100), counts(0, 500, 0), Some(40)),
            (Counts { is_listed: true, ..counts(1000, 500, 500) }, counts(0, 500, 500), Some(0)),
            (counts(1000, 500, 500), counts(0, 500, 400), None),
            (counts(0, 0, 0), counts(0, 0, 0), None),
            (counts(1000, 0, 100), counts(0, 0, 100), None),
        ] {
            assert_eq!(now.left(earlier, ten), expected.map(Duration::from_secs), "{now:?}");
        }
    }
}
