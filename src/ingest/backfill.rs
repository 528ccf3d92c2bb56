//! The objects of a bucket as a stream, newest day first: they are read while the listing goes on.
//!
//! Day by day, since a table is made of days: what is read together then goes into few files. The newest first, since
//! that is what an investigation asks for first, and what is of most use when a backfill is given up halfway.
//! Days of all accounts and regions are listed side by side. S3 lists a thousand keys a request, so where there are few
//! keys a year or a month is listed whole and put in the order of days here; where there are many, day after day.
//!
//! Must never go by "the last key seen": CloudTrail delivers out of order, and a key that sorts earlier can appear
//! later. Who goes on with a backfill lists all of it again, and leaves out what the ledger knows.

mod ahead;
mod place;
mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, NaiveDate};
use futures::{StreamExt, TryStreamExt};
use object_store::list::PaginatedListStore;
use tokio::sync::{Semaphore, mpsc};

use super::Error;
use super::listing::{Days, Found};
use super::progress::Progress;
use super::route;
use super::worker::Backoff;
use ahead::Ahead;
use place::{Place, month_bounds, place, year_bounds};
use requests::{Next, Requests};

/// How a bucket is listed.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// LIST requests at once.
    pub at_once: usize,
    /// The waits before a request that failed is sent again, on top of what the client repeats by itself.
    pub backoff: Backoff,
    /// Prefixes of one level; where there are more, what is below the others is taken as it comes.
    pub level_prefixes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
        Settings { at_once: 32, backoff, level_prefixes: 500_000 }
    }
}

/// Objects that are given out together.
const CHUNK_OBJECTS: usize = 4_096;
/// Chunks that wait for the reader.
const CHUNKS_AHEAD: usize = 2;
/// A month of an account and region that takes more pages is listed day by day.
const PAGES_OF_A_MONTH: usize = 4;
/// Objects of months and years that wait for the turn of their day: about 100 MB. Beyond, months are listed by day.
const KEPT_OBJECTS: usize = 400_000;
/// Levels that are looked into for `AWSLogs`: what is deeper is taken as it comes.
const LEVELS_ABOVE: usize = 3;
/// Levels from `AWSLogs` to a year: organization, account, service, region, and two for what may come.
const LEVELS_BELOW: usize = 6;

/// Chunks of objects as they are listed; dropped, the listing ends.
pub type Chunks = mpsc::Receiver<Result<Vec<Found>, Error>>;

/// Begins to list the objects below a prefix, which has no slashes at its ends. After an error nothing more comes.
pub fn list(
    store: Arc<dyn PaginatedListStore>,
    prefix: &str,
    days: Days,
    settings: Settings,
    progress: Arc<Progress>,
) -> Chunks {
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let at_once = settings.at_once.max(1);
    let requests = Requests {
        store,
        slots: Semaphore::new(at_once),
        backoff: settings.backoff,
        progress: Arc::clone(&progress),
    };
    let lister = Lister {
        requests: Arc::new(requests),
        at_once,
        level_prefixes: settings.level_prefixes,
        days,
        progress,
        chunks,
        chunk: Vec::new(),
        branches: Branches::default(),
        kept: BTreeMap::new(),
        kept_objects: 0,
    };
    let root = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    tokio::spawn(lister.run(root));
    receiver
}

/// Prefixes that are yet to be listed.
#[derive(Default)]
struct Branches {
    years: BTreeMap<i32, Vec<String>>,
    months: BTreeMap<(i32, u32), Vec<String>>,
    days: BTreeMap<NaiveDate, Vec<String>>,
    /// Without a date, or not looked into any further than so.
    rest: Vec<(String, Next)>,
}

/// Why the listing ends early.
enum End {
    Failed(Error),
    /// Nobody wants the objects any more.
    Unwanted,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        End::Failed(error)
    }
}

struct Lister {
    requests: Arc<Requests>,
    at_once: usize,
    level_prefixes: usize,
    days: Days,
    progress: Arc<Progress>,
    chunks: mpsc::Sender<Result<Vec<Found>, Error>>,
    /// What is given out next.
    chunk: Vec<Found>,
    branches: Branches,
    /// Objects that were listed before the turn of their day.
    kept: BTreeMap<NaiveDate, Vec<Found>>,
    kept_objects: usize,
}

impl Lister {
    async fn run(mut self, root: String) {
        let ended = self.list_all(root).await;
        let last = std::mem::take(&mut self.chunk);
        // An error that nobody waits for is no error.
        let _ = match ended {
            Ok(()) => self.chunks.send(Ok(last)).await,
            Err(End::Failed(error)) => self.chunks.send(Err(error)).await,
            Err(End::Unwanted) => Ok(()),
        };
    }

    async fn list_all(&mut self, root: String) -> Result<(), End> {
        self.discover(root).await?;
        loop {
            let of_months = self.branches.months.keys().map(|(year, _)| *year);
            let of_days = self.branches.days.keys().map(Datelike::year);
            let of_kept = self.kept.keys().map(Datelike::year);
            let years = self.branches.years.keys().copied().chain(of_months).chain(of_days).chain(of_kept);
            let Some(year) = years.max() else { break };
            self.year(year).await?;
        }
        let rest = std::mem::take(&mut self.branches.rest);
        let rest = rest.into_iter().map(|(prefix, first)| ((), prefix, first)).collect();
        let mut rest = Ahead::new(&self.requests, self.at_once, rest);
        while let Some(page) = rest.next(()).await {
            self.give_out(page?).await?;
        }
        self.progress.listed_all();
        Ok(())
    }

    /// Goes down, one level at a time, to where the dates begin.
    async fn discover(&mut self, root: String) -> Result<(), End> {
        let mut level = vec![root];
        let mut depth = 0;
        while !level.is_empty() {
            let mut deeper = Vec::new();
            for prefix in std::mem::take(&mut level) {
                match place(&prefix) {
                    Place::Above(None) if depth <= LEVELS_ABOVE => deeper.push(prefix),
                    Place::Above(Some(below)) if below <= LEVELS_BELOW => deeper.push(prefix),
                    _ => self.note(prefix),
                }
            }
            level = self.below(deeper).await?;
            if level.len() > self.level_prefixes {
                let whole = level.drain(..).map(|prefix| (prefix, Next::default()));
                self.branches.rest.extend(whole);
            }
            depth += 1;
        }
        Ok(())
    }

    /// Gives out the objects directly below prefixes and returns the prefixes there. When those are too many, what was
    /// not looked into yet is noted to be taken as it comes.
    async fn below(&mut self, parents: Vec<String>) -> Result<Vec<String>, End> {
        let mut unlisted: BTreeMap<String, Next> =
            parents.iter().map(|parent| (parent.clone(), Next::default())).collect();
        let mut found = Vec::new();
        let mut pages = self.requests.children(parents, self.at_once);
        while found.len() <= self.level_prefixes
            && let Some((parent, page)) = pages.try_next().await?
        {
            if page.next.is_none() {
                unlisted.remove(&parent);
            } else if let Some(behind) = page.behind() {
                unlisted.insert(parent, behind);
            }
            self.give_out(page.objects).await?;
            found.extend(page.prefixes);
        }
        self.branches.rest.extend(unlisted);
        Ok(found)
    }

    /// Notes a prefix to be listed when its turn comes, unless none of its days is wanted.
    fn note(&mut self, prefix: String) {
        let wanted = |bounds: Option<(NaiveDate, NaiveDate)>| {
            bounds.is_none_or(|(first, last)| self.days.overlap(first, last))
        };
        let branches = &mut self.branches;
        match place(&prefix) {
            Place::Year(year) if wanted(year_bounds(year)) => {
                if !branches.years.contains_key(&year) {
                    self.progress.expect_days(days_between(year_bounds(year), self.days));
                }
                branches.years.entry(year).or_default().push(prefix);
            }
            Place::Month(year, month) if wanted(month_bounds(year, month)) => {
                if !branches.months.contains_key(&(year, month)) {
                    self.progress.expect_days(days_between(month_bounds(year, month), self.days));
                }
                branches.months.entry((year, month)).or_default().push(prefix);
            }
            Place::Day(day) if wanted(Some((day, day))) => {
                self.progress.found_day(day);
                branches.days.entry(day).or_default().push(prefix);
            }
            Place::Year(_) | Place::Month(..) | Place::Day(_) => {}
            Place::Above(_) | Place::Odd => branches.rest.push((prefix, Next::default())),
        }
    }

    async fn year(&mut self, year: i32) -> Result<(), End> {
        let prefixes = self.branches.years.remove(&year).unwrap_or_default();
        if !prefixes.is_empty() {
            // Where only a part of the year is wanted, its months are asked for at once.
            let all = year_bounds(year)
                .is_none_or(|(first, last)| self.days.hold_day(first) && self.days.hold_day(last));
            self.open(prefixes, usize::from(all)).await?;
            self.progress.looked_into(days_between(year_bounds(year), self.days));
        }
        loop {
            let of_days = self.branches.days.keys().chain(self.kept.keys());
            let of_days = of_days.filter(|day| day.year() == year).map(|day| (year, day.month()));
            let months = self.branches.months.keys().filter(|(of, _)| *of == year).copied();
            let Some((_, month)) = months.chain(of_days).max() else { return Ok(()) };
            self.month(year, month).await?;
        }
    }

    async fn month(&mut self, year: i32, month: u32) -> Result<(), End> {
        let prefixes = self.branches.months.remove(&(year, month)).unwrap_or_default();
        if !prefixes.is_empty() {
            self.open(prefixes, PAGES_OF_A_MONTH).await?;
            self.progress.looked_into(days_between(month_bounds(year, month), self.days));
        }
        let of_month = |day: &NaiveDate| (day.year(), day.month()) == (year, month);
        let days: Vec<NaiveDate> = self.branches.days.keys().filter(|day| of_month(day)).copied().collect();
        let mut prefixes = VecDeque::new();
        for day in days.into_iter().rev() {
            let of_day = self.branches.days.remove(&day).unwrap_or_default();
            prefixes.extend(of_day.into_iter().map(|prefix| (day, prefix, Next::default())));
        }
        let with_prefixes = prefixes.iter().map(|(day, ..)| *day);
        let days: BTreeSet<NaiveDate> =
            with_prefixes.chain(self.kept.keys().filter(|day| of_month(day)).copied()).collect();
        let mut listed = Ahead::new(&self.requests, self.at_once, prefixes);
        for day in days.into_iter().rev() {
            let kept = self.kept.remove(&day).unwrap_or_default();
            self.kept_objects -= kept.len();
            self.give_out(kept).await?;
            while let Some(page) = listed.next(day).await {
                self.give_out(page?).await?;
            }
            self.progress.listed_day(day);
        }
        Ok(())
    }

    /// Looks into years or months side by side: those that are at most so many pages are kept, of others the parts are
    /// noted.
    async fn open(&mut self, prefixes: Vec<String>, pages: usize) -> Result<(), End> {
        let requests = Arc::clone(&self.requests);
        let requests = &requests;
        let mut opened = futures::stream::iter(prefixes)
            .map(|prefix| async move {
                let opened = look_into(requests, &prefix, pages).await;
                opened.map(|opened| (prefix, opened))
            })
            .buffer_unordered(self.at_once);
        let mut parts = Vec::new();
        while let Some((prefix, opened)) = opened.try_next().await? {
            match opened {
                Some(objects) if self.kept_objects + objects.len() <= KEPT_OBJECTS => {
                    self.keep(objects).await?;
                }
                _ => parts.push(prefix),
            }
        }
        for prefix in self.below(parts).await? {
            self.note(prefix);
        }
        Ok(())
    }

    /// Keeps objects until the turn of their day.
    async fn keep(&mut self, objects: Vec<Found>) -> Result<(), End> {
        let mut loose = Vec::new();
        for found in objects {
            match route::by_key(&found.key).date {
                Some(day) if self.days.hold_day(day) => {
                    let of_day = self.kept.entry(day).or_insert_with(|| {
                        self.progress.found_day(day);
                        Vec::new()
                    });
                    of_day.push(found);
                    self.kept_objects += 1;
                }
                Some(_) => {}
                None => loose.push(found),
            }
        }
        self.give_out(loose).await
    }

    /// Gives out objects as soon as there are enough of them.
    async fn give_out(&mut self, objects: Vec<Found>) -> Result<(), End> {
        for found in objects {
            let day = route::by_key(&found.key).date;
            if !day.is_none_or(|day| self.days.hold_day(day)) {
                continue;
            }
            self.progress.listed(day, 1);
            self.chunk.push(found);
            if self.chunk.len() >= CHUNK_OBJECTS {
                let chunk = std::mem::take(&mut self.chunk);
                self.chunks.send(Ok(chunk)).await.map_err(|_| End::Unwanted)?;
            }
        }
        Ok(())
    }
}

/// The objects of a prefix if they are at most so many pages.
async fn look_into(requests: &Requests, prefix: &str, pages: usize) -> Result<Option<Vec<Found>>, Error> {
    let (mut all, mut next) = (Vec::new(), Next::default());
    for _ in 0..pages {
        let page = requests.page(prefix, false, next).await?;
        all.extend(page.objects);
        let Some(more) = page.next else { return Ok(Some(all)) };
        next = more;
    }
    Ok(None)
}

/// How many days of a year or month are wanted.
fn days_between(bounds: Option<(NaiveDate, NaiveDate)>, days: Days) -> u64 {
    let Some((first, last)) = bounds else { return 0 };
    let first = days.since.map_or(first, |since| since.max(first));
    let last = days.until.map_or(last, |until| until.min(last));
    u64::try_from((last - first).num_days() + 1).unwrap_or(0)
}

#[cfg(test)]
mod tests;
