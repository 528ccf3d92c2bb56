//! Loading what there is, once: read and decode side by side, commit in batches, tell what happened.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use object_store::ObjectStore;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use super::Error;
use super::fetch;
use super::listing::Found;
use super::read::{Apart, Fetched, LOCAL_BUCKET, Reader};
use crate::lake::{self, Lake, ObjectName, ReadObject, State};

/// When a batch is committed.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Bytes of decompressed content.
    pub bytes: usize,
    /// Rows.
    pub rows: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        BatchLimits { bytes: 64 << 20, rows: 250_000 }
    }
}

/// Where the objects are.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Files; keys are absolute paths.
    Files,
    /// A bucket.
    Bucket {
        /// Its name.
        name: String,
        /// Its store.
        store: Arc<dyn ObjectStore>,
    },
}

/// An object that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The key or path.
    pub key: String,
    /// Why, and where in the object.
    pub reason: String,
    /// Whether this is in the `objects` table; not so where nothing is known of the object but its name, since it
    /// could not be had.
    pub recorded: bool,
}

/// What a load did. Every object found is in exactly one of `added`, `empty`, `known`, `unsupported`, `rejected`.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Objects found.
    pub found: usize,
    /// Objects whose rows were added.
    pub added: usize,
    /// Objects without rows.
    pub empty: usize,
    /// Objects the lake had already.
    pub known: usize,
    /// Objects of known kinds that are not read yet, by kind.
    pub unsupported: BTreeMap<String, usize>,
    /// Objects that could not be read.
    pub rejected: Vec<Rejected>,
    /// Rows added, by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Rows added that have no time, by table: it is missing, or cannot be read.
    pub untimed: BTreeMap<&'static str, u64>,
    /// Bytes read, as stored.
    pub stored_bytes: u64,
    /// Bytes of decompressed content that was decoded and added.
    pub content_bytes: u64,
}

/// What one object became.
enum Outcome {
    Read(Box<ReadObject>),
    Unreachable(Rejected),
    /// A folder made by hand.
    Folder,
    /// There was enough to commit before it: it is to be read after that.
    Later(Found),
}

impl Outcome {
    /// The key of an object that is to be read later.
    fn later(&self) -> Option<&str> {
        match self {
            Outcome::Later(found) => Some(&found.key),
            _ => None,
        }
    }
}

/// Why an object is not read.
#[derive(Clone)]
enum Refused {
    /// It never can be, and this is recorded.
    Recorded { object: Box<Fetched>, size_bytes: u64, reason: String },
    /// It may be another time.
    Unreachable(String),
    /// It is none: an empty object whose key ends in `/`, which listings show without.
    Folder,
}

/// A loader of one origin into one lake.
#[derive(Clone)]
pub struct Loader {
    /// The lake.
    pub lake: Arc<Lake>,
    /// The reader.
    pub reader: Arc<Reader>,
    /// Where the objects are.
    pub origin: Origin,
    /// When to commit.
    pub limits: BatchLimits,
    /// How many objects are read at once.
    pub at_once: usize,
}

/// Commits under way at once: while one waits for the disk, another is encoded.
const COMMITS_AT_ONCE: usize = 2;
/// The index is brought up to date after so many objects, so that the last time is not the first.
const INDEX_OBJECTS: usize = 50_000;
/// While the last commits are under way, the index is brought up to date when it lacks so many objects: for fewer it is
/// done sooner in one go.
const LAST_INDEX_OBJECTS: usize = 2_000;
/// Chunks whose objects are looked up in the ledger ahead of their turn.
const CHUNKS_AT_ONCE: usize = 2;

impl Loader {
    /// Loads the objects; `progress` hears the stored size of each as it is done with.
    pub async fn load(&self, found: Vec<Found>, mut progress: impl FnMut(u64)) -> Result<Tally, Error> {
        let chunks = futures::stream::iter([Ok(found)]);
        self.load_chunks(chunks, |done| progress(total(done.objects))).await
    }

    /// Loads objects as they are found; `progress` hears of those that are done with.
    pub async fn load_chunks(
        &self,
        chunks: impl Stream<Item = Result<Vec<Found>, Error>>,
        mut progress: impl FnMut(Done<'_>),
    ) -> Result<Tally, Error> {
        let mut loading = Loading::new(self);
        loading.chunks(chunks, &mut progress).await?;
        while !loading.later.is_empty() {
            let later = std::mem::take(&mut loading.later);
            loading.chunks(futures::stream::iter([Ok(later)]), &mut progress).await?;
        }
        loading.finish().await
    }

    /// What is to be done about some objects: those of a bucket that are in the lake, by the etag of the listing, are
    /// not read.
    async fn sort_out(&self, chunk: Result<Vec<Found>, Error>) -> Vec<Result<Work, Error>> {
        let sorted = match chunk {
            Ok(found) => self.leave_out_known(found).await,
            Err(error) => Err(error),
        };
        match sorted {
            Ok((known, unknown)) => {
                let known = (!known.is_empty()).then_some(Ok(Work::Known(known)));
                known
                    .into_iter()
                    .chain(groups(unknown).into_iter().map(|group| Ok(Work::Read(group))))
                    .collect()
            }
            Err(error) => vec![Err(error)],
        }
    }

    async fn leave_out_known(&self, found: Vec<Found>) -> Result<(Vec<Found>, Vec<Found>), Error> {
        let Origin::Bucket { name, .. } = &self.origin else { return Ok((Vec::new(), found)) };
        let names: Vec<ObjectName<'_>> = found
            .iter()
            .map(|found| ObjectName::new(name, &found.key, found.etag.as_deref().unwrap_or_default()))
            .collect();
        let states = self.lake.states(&names).await?;
        let mut known = states.into_iter().map(|state| state.is_some_and(State::is_final));
        Ok(found.into_iter().partition(|_| known.next().unwrap_or(false)))
    }

    /// Fetches and reads some objects, also while nobody looks: who waits for a commit would let their answers run out
    /// of time. Dropped, it ends.
    async fn read_on(self, group: Vec<Found>) -> Result<Vec<Outcome>, Error> {
        let mut reading = JoinSet::new();
        reading.spawn(async move { self.read(group).await });
        reading.join_next().await.and_then(Result::ok).unwrap_or(Err(lake::Error::Worker.into()))
    }

    /// Fetches and reads some objects.
    async fn read(&self, group: Vec<Found>) -> Result<Vec<Outcome>, Error> {
        let limit = self.reader.max_object_bytes();
        let source = match &self.origin {
            Origin::Files => Source::Files { limit },
            Origin::Bucket { name, store } => {
                let fetched = futures::stream::iter(group.clone())
                    .map(|found| async move { object(name, store, &found, limit).await })
                    .buffered(FETCHES_OF_A_GROUP)
                    .collect();
                Source::Bucket(fetched.await)
            }
        };
        let (reader, copies) = (Arc::clone(&self.reader), (group.clone(), source.clone()));
        match lake::on_cpu(move || read(&reader, group, source)).await {
            Ok(outcomes) => Ok(outcomes),
            // One of them ended it: each for itself, the others can be read.
            Err(_) => self.read_apart(copies.0, copies.1).await,
        }
    }

    async fn read_apart(&self, group: Vec<Found>, mut source: Source) -> Result<Vec<Outcome>, Error> {
        let fetched = move || {
            let fetch = |found: Found| (source.next(&found), found);
            group.into_iter().map(fetch).collect::<Vec<_>>()
        };
        let (mut outcomes, mut objects, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for (fetched, found) in lake::on_cpu(fetched).await? {
            match fetched {
                Ok(fetched) => {
                    objects.push(fetched);
                    unread.push(found);
                }
                Err(refused) => outcomes.push(refused.outcome(&self.reader, found)),
            }
        }
        let read = self.reader.read_apart(objects).await;
        outcomes.extend(unread.into_iter().skip(read.len()).map(Outcome::Later));
        outcomes.extend(read.into_iter().map(|apart| match apart {
            Apart::Read(object) | Apart::Panicked(object) => Outcome::Read(object),
        }));
        Ok(outcomes)
    }
}

/// Where the objects of a group come from, in their order.
#[derive(Clone)]
enum Source {
    /// Files, each read when its turn comes.
    Files { limit: usize },
    /// Those of a bucket, fetched already.
    Bucket(VecDeque<Result<Fetched, Refused>>),
}

impl Source {
    fn next(&mut self, found: &Found) -> Result<Fetched, Refused> {
        match self {
            Source::Files { limit } => file(found, *limit),
            Source::Bucket(fetched) => {
                fetched.pop_front().unwrap_or_else(|| Err(Refused::Unreachable("not fetched".to_owned())))
            }
        }
    }
}

/// Objects that are done with.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// Which.
    pub objects: &'a [Found],
    /// Whether the lake had them already; otherwise they were read, and are in the next commit if they can be.
    pub known: bool,
}

/// What is to be done about some objects.
enum Work {
    Known(Vec<Found>),
    Read(Vec<Found>),
}

/// What was done.
enum Step {
    Known(Vec<Found>),
    /// Those that are to be read later are not done.
    Read {
        done: Vec<Found>,
        share: Share,
        outcomes: Vec<Outcome>,
    },
}

/// A load under way: what was read and is not committed, and the commits.
struct Loading<'a> {
    loader: &'a Loader,
    tally: Tally,
    batch: Batch,
    shares: Vec<Share>,
    /// Objects of groups that were too much at once.
    later: Vec<Found>,
    commits: VecDeque<JoinHandle<Result<lake::Report, lake::Error>>>,
    index: Option<JoinHandle<Result<(), lake::Error>>>,
    /// Objects that were committed since the index was last brought up to date.
    unindexed: usize,
}

impl<'a> Loading<'a> {
    fn new(loader: &'a Loader) -> Self {
        Loading {
            loader,
            tally: Tally::default(),
            batch: Batch::default(),
            shares: Vec::new(),
            later: Vec::new(),
            commits: VecDeque::new(),
            index: None,
            unindexed: 0,
        }
    }

    /// Loads objects as they are found.
    async fn chunks(
        &mut self,
        chunks: impl Stream<Item = Result<Vec<Found>, Error>>,
        progress: &mut impl FnMut(Done<'_>),
    ) -> Result<(), Error> {
        let loader = self.loader;
        let budget = &Budget::new(loader.limits.bytes);
        let steps = chunks
            .map(|chunk| loader.sort_out(chunk))
            .buffered(CHUNKS_AT_ONCE)
            .flat_map(futures::stream::iter)
            .map(|work| async move {
                match work? {
                    Work::Known(found) => Ok::<_, Error>(Step::Known(found)),
                    Work::Read(group) => {
                        let share = budget.share_of(total(&group)).await;
                        let outcomes = loader.clone().read_on(group.clone()).await?;
                        let later: HashSet<&str> = outcomes.iter().filter_map(Outcome::later).collect();
                        let done = group.iter().filter(|found| !later.contains(found.key.as_str()));
                        Ok(Step::Read { done: done.cloned().collect(), share, outcomes })
                    }
                }
            })
            .buffer_unordered(loader.at_once.max(1));
        let mut steps = std::pin::pin!(steps);
        while let Some(step) = steps.next().await {
            match step? {
                Step::Known(found) => {
                    self.tally.found += found.len();
                    self.tally.known += found.len();
                    progress(Done { objects: &found, known: true });
                }
                Step::Read { done, share, outcomes } => {
                    progress(Done { objects: &done, known: false });
                    self.add(share, outcomes);
                    if self.batch.is_full(loader.limits) || budget.is_spent_on(&self.shares) {
                        self.commit().await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, share: Share, outcomes: Vec<Outcome>) {
        self.shares.push(share);
        for outcome in outcomes {
            match outcome {
                Outcome::Unreachable(rejected) => {
                    self.tally.found += 1;
                    self.tally.rejected.push(rejected);
                }
                Outcome::Folder => {}
                Outcome::Later(found) => self.later.push(found),
                Outcome::Read(object) => {
                    self.tally.found += 1;
                    self.tally.stored_bytes += u64::try_from(object.record.size_bytes).unwrap_or(0);
                    self.tally.note(&object);
                    self.batch.push(*object);
                }
            }
        }
    }

    /// Begins to commit what was read, once not too many commits are under way.
    async fn commit(&mut self) -> Result<(), Error> {
        while self.commits.len() >= COMMITS_AT_ONCE {
            self.settle().await?;
        }
        let (batch, shares) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.shares));
        let lake = Arc::clone(&self.loader.lake);
        self.commits.push_back(tokio::spawn(async move {
            let report = lake.commit(batch.objects).await;
            drop(shares);
            report
        }));
        Ok(())
    }

    /// Waits for the oldest commit.
    async fn settle(&mut self) -> Result<(), Error> {
        let Some(commit) = self.commits.pop_front() else { return Ok(()) };
        let report = commit.await.map_err(|_| lake::Error::Worker)??;
        self.unindexed += report.added.len();
        self.tally.settle(&report);
        self.index_from(INDEX_OBJECTS).await
    }

    /// Begins to bring the index up to date when it lacks so many objects, unless that is under way.
    async fn index_from(&mut self, objects: usize) -> Result<(), Error> {
        if self.unindexed < objects || self.index.as_ref().is_some_and(|index| !index.is_finished()) {
            return Ok(());
        }
        self.end_index().await?;
        self.unindexed = 0;
        let lake = Arc::clone(&self.loader.lake);
        self.index = Some(tokio::spawn(async move { lake.update_index().await }));
        Ok(())
    }

    async fn end_index(&mut self) -> Result<(), Error> {
        let Some(index) = self.index.take() else { return Ok(()) };
        Ok(index.await.map_err(|_| lake::Error::Worker)??)
    }

    async fn finish(mut self) -> Result<Tally, Error> {
        if !self.batch.objects.is_empty() {
            self.commit().await?;
        }
        let begun = self.index_from(LAST_INDEX_OBJECTS).await;
        while !self.commits.is_empty() {
            self.settle().await?;
        }
        begun?;
        self.end_index().await?;
        self.loader.lake.update_index().await?;
        Ok(self.tally)
    }
}

/// How much content may be between the store and the lake: read, waiting for its commit, or in one.
struct Budget {
    permits: Arc<Semaphore>,
    /// What a batch takes, in mebibytes of content, before it is committed.
    batch: u32,
}

/// A part of the budget, given back when it is dropped.
type Share = Option<OwnedSemaphorePermit>;

/// What content takes of stored bytes until it is read; logs shrink to about a tenth.
const EXPECTED_RATIO: u64 = 8;

impl Budget {
    /// Room for four batches.
    fn new(batch_bytes: usize) -> Self {
        let batch = u32::try_from((batch_bytes >> 20).max(1)).unwrap_or(u32::MAX).min(1 << 20);
        Budget { permits: Arc::new(Semaphore::new(batch as usize * 4)), batch }
    }

    /// Waits for room for some stored bytes.
    async fn share_of(&self, stored_bytes: u64) -> Share {
        let wanted = u32::try_from(stored_bytes.saturating_mul(EXPECTED_RATIO) >> 20).unwrap_or(u32::MAX);
        // With no more than this, what waits can always have room once the batches before it are in the lake.
        let share = wanted.clamp(1, self.batch * 3);
        Arc::clone(&self.permits).acquire_many_owned(share).await.ok()
    }

    /// Whether so much is taken by what was read that it should be committed.
    fn is_spent_on(&self, shares: &[Share]) -> bool {
        shares.iter().flatten().map(OwnedSemaphorePermit::num_permits).sum::<usize>() >= self.batch as usize
    }
}

/// Objects that are read together: small ones share their batches of rows.
const GROUP_BYTES: u64 = 2 << 20;
const GROUP_OBJECTS: usize = 256;

/// Objects of a group that are fetched from a bucket at the same time.
const FETCHES_OF_A_GROUP: usize = 8;

/// Groups objects that follow one another.
fn groups(found: Vec<Found>) -> Vec<Vec<Found>> {
    let mut groups: Vec<Vec<Found>> = Vec::new();
    let mut bytes = 0;
    for found in found {
        // Sizes are as others say them.
        bytes = u64::saturating_add(bytes, found.size_bytes);
        match groups.last_mut() {
            Some(group) if bytes <= GROUP_BYTES && group.len() < GROUP_OBJECTS => group.push(found),
            _ => {
                bytes = found.size_bytes;
                groups.push(vec![found]);
            }
        }
    }
    groups
}

fn total(group: &[Found]) -> u64 {
    group.iter().map(|found| found.size_bytes).sum()
}

/// Reads objects as they come, those that can be fetched, until there is enough to commit.
fn read(reader: &Reader, group: Vec<Found>, mut source: Source) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut group = group.into_iter();
    let reachable = group.by_ref().filter_map(|found| match source.next(&found) {
        Ok(fetched) => Some(fetched),
        Err(refused) => {
            outcomes.push(refused.outcome(reader, found));
            None
        }
    });
    let read = reader.read_all(reachable);
    outcomes.extend(read.into_iter().map(|object| Outcome::Read(Box::new(object))));
    outcomes.extend(group.map(Outcome::Later));
    outcomes
}

impl Refused {
    fn outcome(self, reader: &Reader, found: Found) -> Outcome {
        match self {
            Refused::Recorded { object, size_bytes, reason } => {
                Outcome::Read(Box::new(reader.quarantine(&object, size_bytes, reason)))
            }
            Refused::Unreachable(reason) => {
                Outcome::Unreachable(Rejected { key: found.key, reason, recorded: false })
            }
            Refused::Folder => Outcome::Folder,
        }
    }
}

fn file(found: &Found, limit: usize) -> Result<Fetched, Refused> {
    if usize::try_from(found.size_bytes).map_or(true, |size| size > limit) {
        return Err(Refused::Unreachable(too_large(found.size_bytes, limit)));
    }
    // Blocking, on a thread for CPU work: a hop to another thread for each small file costs more than reading it.
    let bytes =
        std::fs::read(Path::new(&found.key)).map_err(|error| Refused::Unreachable(error.to_string()))?;
    Ok(Fetched {
        bucket: LOCAL_BUCKET.to_owned(),
        key: found.key.clone(),
        etag: None,
        version_id: None,
        announced_at: None,
        bytes: Bytes::from(bytes),
    })
}

async fn object(
    bucket: &str,
    store: &Arc<dyn ObjectStore>,
    found: &Found,
    limit: usize,
) -> Result<Fetched, Refused> {
    fetch::object(bucket, store.as_ref(), &found.key, limit).await.map_err(|error| match error {
        fetch::Error::Unaskable(fault) => {
            let object = Box::new(Fetched::unread(bucket, &found.key, found.etag.as_deref()));
            Refused::Recorded { object, size_bytes: found.size_bytes, reason: fault.to_string() }
        }
        fetch::Error::TooLarge { object, size_bytes, limit_bytes } => {
            Refused::Recorded { object, size_bytes, reason: too_large(size_bytes, limit_bytes) }
        }
        // Were it no folder, nothing of it would be lost.
        fetch::Error::Missing(object_store::Error::NotFound { .. }) if found.size_bytes == 0 => {
            Refused::Folder
        }
        other => Refused::Unreachable(other.to_string()),
    })
}

/// The reason for an object beyond the limit.
pub fn too_large(size: u64, limit: usize) -> String {
    format!("is {size} bytes, and the limit is {limit}")
}

/// Objects that were read and not committed yet.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) objects: Vec<ReadObject>,
    bytes: usize,
    rows: usize,
}

impl Batch {
    pub(super) fn push(&mut self, object: ReadObject) {
        self.bytes += usize::try_from(object.record.content_bytes).unwrap_or(0);
        self.rows += usize::try_from(object.record.row_count).unwrap_or(0);
        self.objects.push(object);
    }

    pub(super) fn is_full(&self, limits: BatchLimits) -> bool {
        // Objects without rows weigh something too.
        self.bytes >= limits.bytes || self.rows >= limits.rows || self.objects.len() >= 10_000
    }
}

impl Tally {
    /// Adds up what was done at several places.
    pub fn add(&mut self, other: Tally) {
        self.found += other.found;
        self.added += other.added;
        self.empty += other.empty;
        self.known += other.known;
        for (kind, count) in other.unsupported {
            *self.unsupported.entry(kind).or_default() += count;
        }
        self.rejected.extend(other.rejected);
        for (table, rows) in other.rows {
            *self.rows.entry(table).or_default() += rows;
        }
        for (table, rows) in other.untimed {
            *self.untimed.entry(table).or_default() += rows;
        }
        self.stored_bytes += other.stored_bytes;
        self.content_bytes += other.content_bytes;
    }

    /// Notes objects that end here, whatever the commit says of them; rows are counted when it is done.
    fn note(&mut self, object: &ReadObject) {
        let record = &object.record;
        if record.state == State::Quarantined {
            let reason = record.reason.clone().unwrap_or_default();
            self.rejected.push(Rejected { key: record.key.clone(), reason, recorded: true });
        }
    }

    fn settle(&mut self, report: &lake::Report) {
        for record in &report.added {
            match record.state {
                State::Committed => {
                    self.added += 1;
                    self.content_bytes += u64::try_from(record.content_bytes).unwrap_or(0);
                }
                State::Empty => self.empty += 1,
                State::Unsupported => *self.unsupported.entry(record.kind.clone()).or_default() += 1,
                State::Quarantined => {}
            }
        }
        for (table, rows) in &report.rows {
            *self.rows.entry(table).or_default() += rows;
        }
        for (table, rows) in &report.untimed {
            *self.untimed.entry(table).or_default() += rows;
        }
        // A quarantined object that is known is read again each time, and was noted when it was read.
        self.known += report.known.iter().filter(|id| report.committed.settles(**id)).count();
    }
}

/// How fast something went, in MB of content a second.
pub fn megabytes_per_second(bytes: u64, elapsed: Duration) -> f64 {
    bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-9)
}
