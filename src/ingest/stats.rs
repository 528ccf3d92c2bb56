//! What ingest has done so far, counted.
//!
//! Must never steer anything: these are numbers for people and metrics.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lake::{Report, State};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters that many tasks add to.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        /// The counters at one moment.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Counts {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Stats {
            /// The counters now.
            pub fn counts(&self) -> Counts {
                Counts { $($name: self.$name.get(),)+ }
            }
        }

        impl fmt::Display for Counts {
            /// `received=3 deleted=2`: what is not zero, or `nothing yet`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((stringify!($name), self.$name)),+];
                let mut words = all.iter().filter(|(_, count)| *count > 0);
                let Some((name, count)) = words.next() else { return f.write_str("nothing yet") };
                write!(f, "{name}={count}")?;
                words.try_for_each(|(name, count)| write!(f, " {name}={count}"))
            }
        }
    };
}

counters! {
    /// Messages received, repeats included.
    received,
    /// Messages deleted, all of them settled.
    deleted,
    /// Messages given back because not all of their objects were settled.
    given_back,
    /// Messages that are not understood.
    malformed,
    /// Messages that announce no new object.
    unannouncing,
    /// Announcements of objects that may not be fetched.
    forbidden,
    /// Objects whose rows were added.
    added,
    /// Objects without rows.
    empty,
    /// Objects the lake had already.
    known,
    /// Objects of known kinds that are not read yet.
    unsupported,
    /// Objects that could not be read, and whose reason was recorded.
    quarantined,
    /// Objects that were not where they were announced.
    missing,
    /// Objects whose bytes are not those that were announced.
    overwritten,
    /// Objects that could not be fetched for now.
    fetch_errors,
    /// Rows added.
    rows,
    /// Those of them without a time that can be read.
    untimed,
    /// Commits.
    commits,
    /// Commits that failed.
    commit_errors,
    /// Receives that failed.
    receive_errors,
    /// Listings of folders that failed.
    listing_errors,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: impl TryInto<u64>) {
        self.0.fetch_add(count.try_into().unwrap_or(0), Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stats {
    /// Counts what a commit did.
    pub fn note(&self, report: &Report) {
        self.commits.add(1_u64);
        for record in &report.added {
            let counter = match record.state {
                State::Committed => &self.added,
                State::Empty => &self.empty,
                State::Unsupported => &self.unsupported,
                State::Quarantined => &self.quarantined,
            };
            counter.add(1_u64);
            self.rows.add(record.row_count);
        }
        self.untimed.add(report.untimed.values().sum::<u64>());
        self.known.add(report.known.iter().filter(|id| report.committed.settles(**id)).count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_is_shown() {
        let stats = Stats::default();
        assert_eq!(stats.counts().to_string(), "nothing yet");
        stats.rows.add(7_i64);
        stats.rows.add(-7_i64);
        stats.received.add(2_usize);
        assert_eq!(stats.counts().to_string(), "received=2 rows=7");
        assert_eq!(stats.counts(), Counts { received: 2, rows: 7, ..Counts::default() });
    }
}
