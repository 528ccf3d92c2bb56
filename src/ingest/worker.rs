//! One worker on a queue: receives announcements, reads the objects, commits them, and only then deletes messages.
//!
//! Must never delete what is not in the lake, fetch what is not on the allow-list, or wait for anybody but the queue,
//! the buckets and the lake. What cannot be settled is left to the queue, whose redrive moves it to the dead letters.
//!
//! Everything that takes time is a task; the worker's own loop only decides what to start next, so that it goes on
//! receiving while it reads, and reading while it commits.

mod backoff;
mod run;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::fetch;
use super::lease::{Lease, Leases};
use super::load::BatchLimits;
use super::notification::{self, Announcement, Notification};
use super::read::{Apart, Fetched, Reader};
use super::stats::Stats;
use crate::config;
use crate::failpoint;
use crate::lake::{self, Committed, Lake, ObjectName, ReadObject};
use crate::queue::{self, Message, Queue};

pub use backoff::Backoff;

/// The buckets objects may be fetched from, and the lake, whose own objects are no logs.
pub struct Sources {
    buckets: HashMap<String, Arc<dyn ObjectStore>>,
    lake: config::Lake,
}

/// Why an object may not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The bucket is not among those of the source.
    #[error("the bucket is not among the `buckets` of the source")]
    Bucket,
    /// The object belongs to the lake.
    #[error("the object belongs to the lake itself")]
    Lake,
}

impl Sources {
    /// Only objects of these buckets are fetched, and none of the lake's.
    pub fn new(buckets: HashMap<String, Arc<dyn ObjectStore>>, lake: config::Lake) -> Self {
        Sources { buckets, lake }
    }

    /// The store to fetch an object from.
    pub fn store(&self, bucket: &str, key: &str) -> Result<&Arc<dyn ObjectStore>, Forbidden> {
        let store = self.buckets.get(bucket).ok_or(Forbidden::Bucket)?;
        if self.lake.holds_object(bucket, key) { Err(Forbidden::Lake) } else { Ok(store) }
    }
}

/// How much a worker takes on, and when it lets go.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// When a batch is full.
    pub batch: BatchLimits,
    /// How old a batch may become.
    pub batch_age: Duration,
    /// How old a batch may become of which most was announced longer ago than this: where there is a backlog, large
    /// files matter more than another minute.
    pub backlog_age: Duration,
    /// How many objects are fetched at once.
    pub reads_at_once: usize,
    /// How many objects are decoded together: their rows share batches.
    pub group_objects: usize,
    /// How many bytes are read at once, as announced; one object of any size is always read.
    pub read_bytes: u64,
    /// Nothing is received while so many objects are yet to be fetched.
    pub unread: usize,
    /// How long messages are waited for, and what passing faults cost.
    pub pace: Pace,
    /// How long committing may take after the worker was told to stop.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            batch: BatchLimits::default(),
            batch_age: Duration::from_secs(5),
            backlog_age: Duration::from_mins(1),
            reads_at_once: 16,
            group_objects: 256,
            read_bytes: 256 << 20,
            unread: 4 * queue::MAX_BATCH,
            pace: Pace::default(),
            drain: Duration::from_secs(20),
        }
    }
}

/// The waits of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long to wait for messages when there is nothing to do.
    pub long_wait: Duration,
    /// How long to wait for messages while others are worked on: after that the queue counts as empty.
    pub short_wait: Duration,
    /// The least time between two receives of which the first found nothing.
    pub least_wait: Duration,
    /// After how long a message comes back that could not be settled.
    pub give_back: Backoff,
    /// How long to wait after a receive that failed.
    pub receive_fault: Backoff,
    /// How long to wait after the queue refused.
    pub refused: Duration,
    /// How long to wait for new messages after a commit that failed.
    pub commit_fault: Backoff,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Pace {
            long_wait: queue::MAX_WAIT,
            short_wait: seconds(1),
            least_wait: Duration::from_millis(200),
            give_back: Backoff { first: seconds(30), longest: seconds(900) },
            receive_fault: Backoff { first: seconds(1), longest: seconds(30) },
            refused: seconds(60),
            commit_fault: Backoff { first: seconds(2), longest: seconds(300) },
        }
    }
}

/// What happens in the lake, for those who wait for it.
#[derive(Debug, Default)]
pub struct Signals {
    /// Something was added to the lake.
    pub committed: Notify,
    /// Held while the `objects` table is brought up to date: one at a time is enough.
    indexing: Mutex<()>,
}

/// A worker, and what it works with.
pub struct Worker {
    /// Where announcements come from.
    pub queue: Arc<dyn Queue>,
    /// Keeps what was received.
    pub leases: Leases,
    /// Where rows go.
    pub lake: Arc<Lake>,
    /// Makes rows of bytes.
    pub reader: Arc<Reader>,
    /// Where objects may come from.
    pub sources: Arc<Sources>,
    /// How much it takes on.
    pub settings: Settings,
    /// What it has done.
    pub stats: Arc<Stats>,
    /// Whom it tells.
    pub signals: Arc<Signals>,
}

/// A message that just came in.
struct Arrived {
    lease: Lease,
    says: Result<Notification, notification::Error>,
}

/// What a receive brought.
struct Received {
    /// Whether the queue answered; not when the worker was told to stop before it did.
    answered: bool,
    messages: Vec<Arrived>,
    /// Proof of the announced objects that the lake has already.
    known: Committed,
}

/// What fetching an announced object gave.
enum Answer {
    Fetched(Box<Fetched>, Room),
    /// There is nothing to decode.
    Known(Outcome),
}

/// Memory that is kept for an object until it is decoded.
type Room = Option<OwnedSemaphorePermit>;

/// What became of an announced object.
enum Outcome {
    Read(Box<ReadObject>),
    /// Not to be had, at least for now.
    Failed,
    /// The worker stops.
    Interrupted,
}

/// From this receive on, an object whose reading ended in a panic is quarantined.
const PANICS: u32 = 3;

impl Worker {
    /// Works until told to stop; then commits what was read, deletes what is settled and gives back the rest.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        run::Run::new(self, stop).run().await;
    }

    /// Receives messages and holds them at once. Told to stop, it waits for no more of them, but loses none it has.
    async fn receive(
        &self,
        most: usize,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<Received, queue::Error> {
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            messages = self.queue.receive(most, wait) => Some(messages?),
        };
        let answered = answer.is_some();
        let messages = answer.unwrap_or_default();
        let leases: Vec<Lease> = messages.into_iter().map(|message| self.leases.lease(message)).collect();
        self.stats.received.add(leases.len());
        if !leases.is_empty() {
            failpoint::pass("received");
        }
        let arrived = |lease: Lease| Arrived { says: notification::parse(&lease.message().body), lease };
        let messages: Vec<Arrived> = leases.into_iter().map(arrived).collect();
        let announced = messages.iter().filter_map(|message| match &message.says {
            Ok(Notification::Objects(objects)) => Some(objects),
            _ => None,
        });
        let names: Vec<ObjectName<'_>> = announced.flatten().filter_map(announced_name).collect();
        let known = self.known(&names).await;
        Ok(Received { answered, messages, known })
    }

    async fn known(&self, names: &[ObjectName<'_>]) -> Committed {
        if names.is_empty() {
            return Committed::nothing();
        }
        self.lake.known(names).await.unwrap_or_else(|error| {
            // The commit will find out.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "cannot tell which objects the lake has already");
            Committed::nothing()
        })
    }

    /// Fetches an object when there is room for its size; what can be said of it without decoding is said at once.
    async fn fetch_announced(
        &self,
        announced: &Announcement,
        message: &MessageFacts,
        room: impl AsyncFnOnce(u64) -> Room,
    ) -> Answer {
        let (bucket, key) = (announced.bucket.as_str(), announced.key.as_str());
        let (fetched, room) = match self.fetch(announced, room).await {
            Ok((fetched, room)) => (Fetched { announced_at: micros(announced), ..fetched }, room),
            Err(fetch::Error::TooLarge { object, size_bytes, limit_bytes }) => {
                let object = Fetched { announced_at: micros(announced), ..*object };
                let reason = super::load::too_large(size_bytes, limit_bytes);
                let object = self.reader.quarantine(&object, size_bytes, reason);
                return Answer::Known(Outcome::Read(Box::new(object)));
            }
            Err(fetch::Error::Unaskable(fault)) => {
                let object = Fetched {
                    announced_at: micros(announced),
                    version_id: announced.version_id.clone(),
                    ..Fetched::unread(bucket, key, announced.etag.as_deref())
                };
                let size_bytes = announced.size.unwrap_or(0);
                let object = self.reader.quarantine(&object, size_bytes, fault.to_string());
                return Answer::Known(Outcome::Read(Box::new(object)));
            }
            Err(error) => {
                let missing = matches!(error, fetch::Error::Missing(_));
                let counter = if missing { &self.stats.missing } else { &self.stats.fetch_errors };
                counter.add(1_u64);
                let error: &dyn std::error::Error = &error;
                tracing::warn!(bucket, key, message = %message.id, receives = message.receives, error, "object not fetched");
                return Answer::Known(Outcome::Failed);
            }
        };
        if announced.etag.is_some() && announced.etag != fetched.etag {
            self.stats.overwritten.add(1_u64);
            tracing::warn!(bucket, key, "the object was written again after it was announced");
        }
        Answer::Fetched(Box::new(fetched), room)
    }

    async fn fetch(
        &self,
        announced: &Announcement,
        room: impl AsyncFnOnce(u64) -> Room,
    ) -> Result<(Fetched, Room), fetch::Error> {
        let opened = self.open(announced).await?;
        let room = room(opened.size_bytes()).await;
        Ok((opened.read().await?, room))
    }

    async fn open(&self, announced: &Announcement) -> Result<fetch::Opened, fetch::Error> {
        let Announcement { bucket, key, alternative_key, .. } = announced;
        let limit = self.reader.max_object_bytes();
        let one = async |key: &str| match self.sources.store(bucket, key) {
            Ok(store) => fetch::open(bucket, store.as_ref(), key, limit).await,
            // Checked before, but for the other reading of the key.
            Err(forbidden) => Err(fetch::Error::Missing(object_store::Error::NotFound {
                path: key.to_owned(),
                source: Box::new(forbidden),
            })),
        };
        match (one(key).await, alternative_key) {
            (Err(first @ (fetch::Error::Missing(_) | fetch::Error::Unaskable(_))), Some(other)) => {
                match one(other).await {
                    Err(fetch::Error::Missing(_) | fetch::Error::Unaskable(_)) => Err(first),
                    result => result,
                }
            }
            (result, _) => result,
        }
    }

    /// Decodes objects, each with how often its message was received; their rows share batches. The first of them,
    /// when all would be more than is read at once.
    async fn decode_all(&self, group: Vec<(Fetched, u32)>) -> Vec<Outcome> {
        let (reader, copies) = (Arc::clone(&self.reader), group.clone());
        let read =
            lake::on_cpu(move || reader.read_all(copies.into_iter().map(|(fetched, _)| fetched))).await;
        let mut outcomes = Vec::with_capacity(group.len());
        if let Ok(objects) = read {
            outcomes.extend(objects.into_iter().map(|object| Outcome::Read(Box::new(object))));
        } else {
            // One of them ended it: each for itself, the others can be read.
            let (objects, receives): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let read = self.reader.read_apart(objects).await;
            outcomes.extend(read.into_iter().zip(receives).map(|(apart, receives)| match apart {
                Apart::Panicked(_) if receives < PANICS => Outcome::Failed,
                Apart::Read(object) | Apart::Panicked(object) => Outcome::Read(object),
            }));
        }
        for _ in &outcomes {
            failpoint::pass("object_read");
        }
        outcomes
    }

    /// Brings the index up to date; whether that could be done.
    async fn update_index(&self) -> bool {
        let _one_at_a_time = self.signals.indexing.lock().await;
        let updated = self.lake.update_index().await;
        if let Err(error) = &updated {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "the `objects` table is behind; trying again");
        }
        failpoint::pass("after_index");
        updated.is_ok()
    }
}

/// What logs say of a message.
struct MessageFacts {
    id: String,
    receives: u32,
}

impl MessageFacts {
    fn of(message: &Message) -> Self {
        MessageFacts { id: message.id.clone(), receives: message.receive_count }
    }
}

/// The identity of an announced object, when the message tells it.
fn announced_name(announced: &Announcement) -> Option<ObjectName<'_>> {
    let etag = announced.etag.as_deref()?;
    Some(ObjectName::new(&announced.bucket, &announced.key, etag))
}

fn micros(announced: &Announcement) -> Option<i64> {
    announced.event_time.map(|time| time.timestamp_micros())
}

/// How many objects a message announces; none for a message that announces nothing.
fn count(objects: &[Announcement]) -> Option<NonZeroUsize> {
    NonZeroUsize::new(objects.len())
}
