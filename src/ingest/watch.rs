//! A folder that is watched: listed again and again, and read where something is new.
//!
//! A file is read when it has stopped changing, and once: the lake knows objects by their content, so this memory
//! only saves work and may be lost. A file that changes later is another object, so logs must come in whole files.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::listing::{self, Days, Found, Skipped};
use super::load::{Loader, Tally};
use super::stats::Stats;
use super::worker::{Backoff, Signals};
use crate::clock::Clock;

/// A file that has not changed for so long is taken to be complete when it is first seen.
const SETTLED: Duration = Duration::from_secs(5);
/// How many files are loaded before it is noted what became of them.
const AT_ONCE: usize = 1_000;
/// How many files are remembered; those beyond are read at every look, and recognized by their content.
const REMEMBERED: usize = 1_000_000;
/// The longest wait before a file that could not be read is tried again.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The waits after looks that failed, unless the folder is looked at less often.
const FAULT: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_mins(5) };

/// Watches one folder.
pub struct Watcher {
    /// The folder.
    pub path: PathBuf,
    /// How often it is listed.
    pub interval: Duration,
    /// Reads its files into the lake.
    pub loader: Loader,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What it has done.
    pub stats: Arc<Stats>,
    /// Whom it tells.
    pub signals: Arc<Signals>,
    /// How long loading may go on after the watcher was told to stop.
    pub drain: Duration,
}

impl Watcher {
    /// Watches until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let mut memory = Memory::default();
        let mut failures = Failures::default();
        while !stop.is_cancelled() {
            let looked = tokio::select! {
                looked = self.look(&mut memory, &stop) => looked,
                () = self.out_of_time(&stop) => {
                    return tracing::warn!(folder = %self.path.display(), "not all files could be loaded in time; they are read again");
                }
            };
            match looked {
                Ok(()) => {
                    if failures.end() {
                        tracing::info!(folder = %self.path.display(), "the folder can be loaded again");
                    }
                }
                Err(error) => {
                    self.stats.listing_errors.add(1_u64);
                    // Part of it may be in the lake.
                    self.signals.committed.notify_one();
                    if failures.add(&error) {
                        let error: &dyn std::error::Error = &error;
                        tracing::error!(folder = %self.path.display(), error, "cannot load the folder; trying on");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(failures.pause(self.interval)) => {}
            }
        }
    }

    async fn out_of_time(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        tokio::time::sleep(self.drain).await;
    }

    /// Lists the folder and loads what is due.
    ///
    /// All of it, before the next look: files beyond those that are remembered are due at every look, and would keep
    /// others from their turn.
    async fn look(&self, memory: &mut Memory, stop: &CancellationToken) -> Result<(), Error> {
        let path = self.path.clone();
        let listed = tokio::task::spawn_blocking(move || list(&path));
        let (listed, skipped) = listed.await.map_err(|_| crate::lake::Error::Worker)??;
        for skipped in memory.newly_skipped(skipped) {
            tracing::warn!(path = %skipped.path.display(), reason = skipped.reason, "left out of what is watched");
        }
        let due = memory.due(listed, self.clock.now().timestamp_micros());
        for due in due.chunks(AT_ONCE) {
            if stop.is_cancelled() {
                break;
            }
            let found = due.iter().map(|file| file.found.clone()).collect();
            let tally = self.loader.load(found, |_| {}).await?;
            self.note(&tally);
            memory.loaded(due, &tally, self.clock.now().timestamp_micros());
        }
        Ok(())
    }

    fn note(&self, tally: &Tally) {
        self.stats.added.add(tally.added);
        self.stats.empty.add(tally.empty);
        self.stats.known.add(tally.known);
        self.stats.unsupported.add(tally.unsupported.values().sum::<usize>());
        let recorded = tally.rejected.iter().filter(|rejected| rejected.recorded).count();
        self.stats.quarantined.add(recorded);
        self.stats.fetch_errors.add(tally.rejected.len() - recorded);
        self.stats.rows.add(tally.rows.values().sum::<u64>());
        self.stats.untimed.add(tally.untimed.values().sum::<u64>());
        for rejected in &tally.rejected {
            tracing::warn!(file = rejected.key, reason = rejected.reason, "file not read");
        }
        if tally.added > 0 {
            self.stats.commits.add(1_u64);
            self.signals.committed.notify_one();
            let rows: u64 = tally.rows.values().sum();
            tracing::info!(folder = %self.path.display(), files = tally.added, rows, "files loaded");
        }
    }
}

/// The looks that failed one after the other.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// The last error with its causes.
    last: String,
}

impl Failures {
    /// Notes one; whether it is another than the one before.
    fn add(&mut self, error: &Error) -> bool {
        self.count = self.count.saturating_add(1);
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        let is_new = text != self.last;
        self.last = text;
        is_new
    }

    /// They are over; whether there were any.
    fn end(&mut self) -> bool {
        std::mem::take(self).count > 0
    }

    /// How long to wait for the next look.
    fn pause(&self, interval: Duration) -> Duration {
        if self.count == 0 { interval } else { interval.max(FAULT.after(self.count)) }
    }
}

/// A file of the folder as it is now.
#[derive(Debug, Clone)]
struct Listed {
    found: Found,
    /// When it was last written, microseconds since the epoch.
    modified: i64,
}

/// The files of the folder, and what of it cannot be looked into; one that vanishes meanwhile is left out.
fn list(path: &std::path::Path) -> Result<(Vec<Listed>, Vec<Skipped>), Error> {
    let mut listing = listing::files(path, Days::default())?;
    let mut files = Vec::with_capacity(listing.found.len());
    for found in std::mem::take(&mut listing.found) {
        let path = listing::local_path(&found.key);
        let times = std::fs::metadata(&path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
        match times {
            Ok((size_bytes, modified)) => {
                let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
                let modified = i64::try_from(modified.as_micros()).unwrap_or(i64::MAX);
                files.push(Listed { found: Found { size_bytes, ..found }, modified });
            }
            Err(error) => listing.skip_unless_gone(&path, &error),
        }
    }
    Ok((files, listing.skipped))
}

/// What is remembered of the files that are there.
#[derive(Debug)]
struct Memory {
    files: HashMap<[u8; 16], Mark>,
    look: u64,
    /// How many files it holds.
    most: usize,
    /// What could not be looked into the last time.
    skipped: HashSet<PathBuf>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { files: HashMap::new(), look: 0, most: REMEMBERED, skipped: HashSet::new() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    size_bytes: u64,
    modified: i64,
    /// The look at which it was last there.
    look: u64,
    state: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Seen, and perhaps still being written.
    Seen,
    /// In the lake.
    Loaded,
    /// Could not be read; to be tried again at a time in microseconds since the epoch.
    Rejected { times: u32, not_before: i64 },
}

impl Memory {
    /// Which of the files there are now are complete and not loaded yet. What is gone is forgotten.
    fn due(&mut self, listed: Vec<Listed>, now: i64) -> Vec<Listed> {
        self.look += 1;
        let look = self.look;
        let mut due = Vec::new();
        for file in listed {
            let id = file_id(&file.found.key);
            let settled = now.saturating_sub(file.modified) >= micros(SETTLED);
            let known = self
                .files
                .get_mut(&id)
                .filter(|mark| (mark.size_bytes, mark.modified) == (file.found.size_bytes, file.modified));
            let is_due = if let Some(mark) = known {
                mark.look = look;
                match mark.state {
                    Progress::Seen => true,
                    Progress::Loaded => false,
                    Progress::Rejected { not_before, .. } => not_before <= now,
                }
            } else {
                self.remember(id, &file, Progress::Seen);
                settled
            };
            if is_due {
                due.push(file);
            }
        }
        self.files.retain(|_, mark| mark.look == look);
        due
    }

    /// Of what cannot be looked into, what could be the last time, or was not there.
    fn newly_skipped(&mut self, skipped: Vec<Skipped>) -> Vec<Skipped> {
        let before = std::mem::take(&mut self.skipped);
        self.skipped.extend(skipped.iter().take(self.most).map(|skipped| skipped.path.clone()));
        skipped.into_iter().take(self.most).filter(|skipped| !before.contains(&skipped.path)).collect()
    }

    /// Notes what became of files.
    fn loaded(&mut self, files: &[Listed], tally: &Tally, now: i64) {
        for file in files {
            let id = file_id(&file.found.key);
            let state = if tally.rejected.iter().any(|rejected| rejected.key == file.found.key) {
                let times = match self.files.get(&id).map(|mark| mark.state) {
                    Some(Progress::Rejected { times, .. }) => times.saturating_add(1),
                    _ => 1,
                };
                let pause = Duration::from_secs(30).saturating_mul(1 << times.min(16)).min(LONGEST_PAUSE);
                Progress::Rejected { times, not_before: now.saturating_add(micros(pause)) }
            } else {
                Progress::Loaded
            };
            self.remember(id, file, state);
        }
    }

    fn remember(&mut self, id: [u8; 16], file: &Listed, state: Progress) {
        if self.files.len() < self.most || self.files.contains_key(&id) {
            let (size_bytes, modified) = (file.found.size_bytes, file.modified);
            self.files.insert(id, Mark { size_bytes, modified, look: self.look, state });
        }
    }
}

/// Half of the hash of a path: of a million paths no two have the same.
fn file_id(key: &str) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&Sha256::digest(key.as_bytes())[..16]);
    id
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;
    use crate::decode::gzip::Limits;
    use crate::ingest::load::{BatchLimits, Origin, Rejected};
    use crate::ingest::read::Reader;
    use crate::lake::Lake;
    use crate::store::{self, AwsSettings, Location};

    const SECOND: i64 = 1_000_000;

    fn file(key: &str, size_bytes: u64, modified_seconds: i64) -> Listed {
        let found = Found { key: key.to_owned(), size_bytes, etag: None };
        Listed { found, modified: modified_seconds * SECOND }
    }

    /// The keys that are due when these files are there, and then loaded; `!` before a key: it cannot be read.
    fn check(memory: &mut Memory, now_seconds: i64, listed: &[(&str, u64, i64)], expect: &str) {
        let files = listed.iter().map(|(key, size, modified)| file(key, *size, *modified)).collect();
        let due = memory.due(files, now_seconds * SECOND);
        let keys: Vec<&str> = due.iter().map(|file| file.found.key.as_str()).collect();
        assert_eq!(keys.join(" "), expect, "at {now_seconds}");
        let rejected = keys.iter().filter(|key| key.starts_with('!'));
        let rejected =
            rejected.map(|key| Rejected { key: (*key).to_owned(), reason: String::new(), recorded: true });
        let tally = Tally { rejected: rejected.collect(), ..Tally::default() };
        memory.loaded(&due, &tally, now_seconds * SECOND);
    }

    #[test]
    fn files_are_read_once_and_when_they_have_stopped_changing() {
        let mut memory = Memory::default();
        check(&mut memory, 100, &[("old", 1, 10), ("new", 1, 99)], "old");
        check(&mut memory, 101, &[("old", 1, 10), ("new", 2, 101)], "");
        check(&mut memory, 102, &[("old", 1, 10), ("new", 2, 101)], "new");
        check(&mut memory, 103, &[("old", 1, 10), ("new", 2, 101)], "");
        // Written again, with the same size, and long ago by its time.
        check(&mut memory, 200, &[("old", 1, 11), ("new", 2, 101)], "old");
        check(&mut memory, 201, &[("new", 2, 101)], "");
        assert_eq!(memory.files.len(), 1, "what is gone is forgotten");
        check(&mut memory, 202, &[("old", 1, 11), ("new", 2, 101)], "old");
        // A time in the future says nothing: two looks decide.
        check(&mut memory, 203, &[("future", 1, 999)], "");
        check(&mut memory, 204, &[("future", 1, 999)], "future");
    }

    #[tokio::test]
    async fn files_beyond_those_that_are_remembered_keep_none_from_their_turn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs");
        std::fs::create_dir(&path).unwrap();
        // Of the next century: whatever was written just now is complete.
        let now = chrono::DateTime::from_timestamp(4_102_444_800, 0).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(now));
        let location = Location::Local(directory.path().join("lake"));
        let place = store::lake(&location, &AwsSettings::default()).await.unwrap();
        let lake = Arc::new(Lake::create(place, Arc::clone(&clock)).await.unwrap());
        let watcher = Watcher {
            path: path.clone(),
            interval: Duration::ZERO,
            loader: Loader {
                lake,
                reader: Arc::new(Reader::new(Limits::default(), Arc::clone(&clock))),
                origin: Origin::Files,
                limits: BatchLimits { bytes: 1 << 20, rows: 10_000 },
                at_once: 4,
            },
            clock,
            stats: Arc::default(),
            signals: Arc::default(),
            drain: Duration::ZERO,
        };
        let mut memory = Memory { most: 1, ..Memory::default() };
        let stop = CancellationToken::new();
        for number in 0..AT_ONCE + 2 {
            std::fs::write(path.join(format!("{number}.json")), r#"{"Records":[]}"#).unwrap();
        }
        watcher.look(&mut memory, &stop).await.unwrap();
        assert_eq!(watcher.stats.counts().empty, AT_ONCE as u64 + 2);
        std::fs::write(path.join("new.json"), r#"{"Records":[]}"#).unwrap();
        watcher.look(&mut memory, &stop).await.unwrap();
        assert_eq!(watcher.stats.counts().empty, AT_ONCE as u64 + 3);
        assert_eq!(memory.files.len(), 1);
    }

    #[test]
    fn a_folder_that_fails_is_looked_at_less_and_less_often_and_every_new_reason_is_told() {
        let error = |text: &str| Error::Path { path: "logs".into(), source: std::io::Error::other(text) };
        let mut failures = Failures::default();
        let second = Duration::from_secs(1);
        assert_eq!((failures.pause(second), failures.end()), (second, false));
        for (text, is_new) in [("full", true), ("full", false), ("gone", true), ("full", true)] {
            assert_eq!(failures.add(&error(text)), is_new, "{text}");
        }
        let (shortest, longest) = (FAULT.first * 4, FAULT.first * 8);
        assert!((shortest..=longest).contains(&failures.pause(second)));
        assert_eq!(failures.pause(FAULT.longest * 2), FAULT.longest * 2);
        assert!(failures.end());
        assert_eq!(failures.pause(second), second);
        assert!(failures.add(&error("full")), "after it went well it is news");
    }

    #[test]
    fn what_cannot_be_looked_into_is_told_once() {
        let mut memory = Memory::default();
        for (skipped, expected) in [("a b", "a b"), ("b a", ""), ("a c", "c"), ("", ""), ("a", "a")] {
            let skipped = skipped
                .split_whitespace()
                .map(|path| Skipped { path: path.into(), reason: "denied".to_owned() });
            let told = memory.newly_skipped(skipped.collect());
            let told: Vec<_> = told.iter().map(|skipped| skipped.path.display().to_string()).collect();
            assert_eq!(told.join(" "), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_tried_again_later_and_later() {
        let mut memory = Memory::default();
        let bad = [("!bad", 1, 0)];
        check(&mut memory, 100, &bad, "!bad");
        check(&mut memory, 159, &bad, "");
        check(&mut memory, 160, &bad, "!bad");
        check(&mut memory, 279, &bad, "");
        check(&mut memory, 280, &bad, "!bad");
        check(&mut memory, 100_000, &bad, "!bad");
        for _ in 0..20 {
            memory.loaded(
                &[file("!bad", 1, 0)],
                &Tally {
                    rejected: vec![Rejected {
                        key: "!bad".to_owned(),
                        reason: String::new(),
                        recorded: true,
                    }],
                    ..Tally::default()
                },
                0,
            );
        }
        check(&mut memory, 3599, &bad, "");
        check(&mut memory, 3600, &bad, "!bad");
        // Mended.
        check(&mut memory, 3601, &[("!bad", 2, 3601)], "");
    }
}
