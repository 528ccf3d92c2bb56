//! The loop of a worker: what it holds, and what it does next.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::super::lease::{Acknowledged, Lease, Pending, delete};
use super::super::load::Batch;
use super::super::read::Fetched;
use super::{
    Announcement, Answer, Arrived, MessageFacts, Notification, Outcome, Received, Worker, announced_name,
    count,
};
use crate::failpoint;
use crate::lake::{self, Report};
use crate::queue::{self, MAX_BATCH};

/// How long the queue is given to take messages back once the drain's time is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The size of an object whose announcement does not tell.
const ASSUMED_BYTES: u64 = 4 << 20;

/// Bytes of objects that are decoded together, as announced.
const GROUP_BYTES: u64 = 4 << 20;
/// How long an object waits for others to be decoded with.
const GATHERED_FOR: Duration = Duration::from_millis(200);
/// Groups that are decoded at once.
const GROUPS_AT_ONCE: usize = 4;
/// Objects that are fetched and not decoded yet, at most.
const UNDECODED_OBJECTS: usize = 1024;

/// Something that was started has ended.
enum Event {
    Received(Result<Received, queue::Error>),
    Fetched {
        message: u64,
        receives: u32,
        bytes: u64,
        answer: Answer,
    },
    Decoded {
        objects: Vec<(u64, Outcome)>,
        left: Vec<Undecoded>,
        bytes: u64,
    },
    Committed {
        messages: Vec<u64>,
        result: Result<Report, lake::Error>,
    },
    /// Whether it was done.
    Indexed(bool),
    Told,
}

/// A message whose objects are being read or committed.
struct Held {
    pending: Pending,
    /// Announced objects of which it is not known yet what becomes of them.
    left: usize,
}

/// How the last receive went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Unavailable,
    Refused,
}

/// How receiving goes.
struct Intake {
    /// When the receive under way began.
    started: Option<Instant>,
    /// When the next one may begin.
    not_before: Instant,
    failures: u32,
    health: Health,
    queue_is_empty: bool,
}

/// An object that waits to be decoded.
struct Undecoded {
    message: u64,
    receives: u32,
    bytes: u64,
    object: Fetched,
    /// Room for what it is larger than announced.
    _extra: Option<OwnedSemaphorePermit>,
    /// When it was fetched.
    since: Instant,
}

/// Room for so many bytes beyond those that were announced.
struct Extra {
    room: Arc<Semaphore>,
    /// In kibibytes.
    size: u32,
}

impl Extra {
    fn new(bytes: u64) -> Self {
        let size = u32::try_from((bytes >> 10).max(1)).unwrap_or(u32::MAX).min(1 << 28);
        Extra { room: Arc::new(Semaphore::new(size as usize)), size }
    }

    /// Waits for room for some bytes; an object of any size has it when it is the only one.
    async fn room(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(self.size);
        if wanted == 0 {
            return None;
        }
        Arc::clone(&self.room).acquire_many_owned(wanted).await.ok()
    }
}

/// The objects that were read and wait for their commit.
#[derive(Default)]
struct OpenBatch {
    batch: Batch,
    /// How many of them were announced long ago.
    late: usize,
    /// The messages of the objects, one for each object.
    messages: Vec<u64>,
    /// When the first of them was read.
    since: Option<Instant>,
}

/// The state of the loop.
pub(super) struct Run {
    worker: Arc<Worker>,
    stop: CancellationToken,
    tasks: JoinSet<Event>,
    held: HashMap<u64, Held>,
    next_message: u64,
    unread: VecDeque<(u64, Announcement)>,
    fetching: usize,
    undecoded: VecDeque<Undecoded>,
    undecoded_bytes: u64,
    /// Groups that are being decoded.
    decoding: usize,
    /// Bytes that are being fetched or decoded or wait for it.
    reading_bytes: u64,
    /// Room for what objects are larger than announced, from before their bytes come until they are decoded.
    extra: Arc<Extra>,
    open: OpenBatch,
    acknowledged: Vec<Acknowledged>,
    committing: bool,
    commit_failures: u32,
    index_is_behind: bool,
    indexing: bool,
    index_failures: u32,
    /// When the index may be tried again.
    index_not_before: Instant,
    intake: Intake,
    /// When to give up, once told to stop.
    deadline: Option<Instant>,
}

impl Run {
    pub(super) fn new(worker: Arc<Worker>, stop: CancellationToken) -> Self {
        let extra = Arc::new(Extra::new(worker.settings.read_bytes));
        Run {
            worker,
            stop,
            tasks: JoinSet::new(),
            held: HashMap::new(),
            next_message: 0,
            unread: VecDeque::new(),
            fetching: 0,
            undecoded: VecDeque::new(),
            undecoded_bytes: 0,
            decoding: 0,
            reading_bytes: 0,
            extra,
            open: OpenBatch::default(),
            acknowledged: Vec::new(),
            committing: false,
            commit_failures: 0,
            // Whoever was here before may have died between a commit and its index.
            index_is_behind: true,
            indexing: false,
            index_failures: 0,
            index_not_before: Instant::now(),
            intake: Intake {
                started: None,
                not_before: Instant::now(),
                failures: 0,
                health: Health::Good,
                queue_is_empty: false,
            },
            deadline: None,
        }
    }

    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            self.start_what_can_be_started();
            if self.deadline.is_some() && self.tasks.is_empty() {
                break;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                Some(event) = self.tasks.join_next() => match event {
                    Ok(event) => self.on(event),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                () = stop.cancelled(), if self.deadline.is_none() => self.begin_to_stop(),
                () = sleep_until(wake_at) => {
                    if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        tracing::warn!("not all that was read could be committed in time; it comes again");
                        break;
                    }
                }
            }
        }
        self.give_everything_back().await;
    }

    fn start_what_can_be_started(&mut self) {
        self.start_receive();
        self.start_fetches();
        self.start_decodes();
        self.start_commit();
        self.start_index();
        if !self.acknowledged.is_empty() {
            let messages = std::mem::take(&mut self.acknowledged);
            let worker = Arc::clone(&self.worker);
            self.tasks.spawn(async move {
                worker.stats.deleted.add(delete(worker.queue.as_ref(), messages).await);
                Event::Told
            });
        }
    }

    fn start_receive(&mut self) {
        if !self.may_receive() || Instant::now() < self.intake.not_before {
            return;
        }
        self.intake.started = Some(Instant::now());
        let pace = self.worker.settings.pace;
        let wait = if self.held.is_empty() { pace.long_wait } else { pace.short_wait };
        // While the lake takes nothing, one message finds out: the others keep their receives for better times.
        let most = if self.commit_failures > 0 { 1 } else { MAX_BATCH };
        let (worker, stop) = (Arc::clone(&self.worker), self.stop.clone());
        self.tasks.spawn(async move { Event::Received(worker.receive(most, wait, &stop).await) });
    }

    fn may_receive(&self) -> bool {
        let room = self.unread.len() + self.fetching < self.worker.settings.unread;
        // While the lake takes nothing, what is held decides first.
        let welcome = self.commit_failures == 0 || self.held.is_empty();
        let idle = self.intake.started.is_none() && self.deadline.is_none();
        idle && room && welcome && !self.is_full_behind_commit()
    }

    fn is_full_behind_commit(&self) -> bool {
        self.committing && self.open.batch.is_full(self.worker.settings.batch)
    }

    fn start_fetches(&mut self) {
        let most = self.worker.settings.reads_at_once;
        while self.fetching < most
            && self.undecoded.len() < UNDECODED_OBJECTS
            && !self.is_full_behind_commit()
        {
            let Some((_, next)) = self.unread.front() else { return };
            let bytes = next.size.unwrap_or(ASSUMED_BYTES);
            let fits = self.reading_bytes.saturating_add(bytes) <= self.worker.settings.read_bytes;
            if self.reading_bytes > 0 && !fits {
                return;
            }
            let Some((message, announced)) = self.unread.pop_front() else { return };
            let Some(held) = self.held.get(&message) else { continue };
            self.fetching += 1;
            self.reading_bytes = self.reading_bytes.saturating_add(bytes);
            let facts = MessageFacts::of(held.pending.message());
            let (worker, stop) = (Arc::clone(&self.worker), self.stop.clone());
            let extra = Arc::clone(&self.extra);
            self.tasks.spawn(async move {
                let room = async |size_bytes: u64| extra.room(size_bytes.saturating_sub(bytes)).await;
                let answer = tokio::select! {
                    biased;
                    () = stop.cancelled() => Answer::Known(Outcome::Interrupted),
                    answer = worker.fetch_announced(&announced, &facts, room) => answer,
                };
                Event::Fetched { message, receives: facts.receives, bytes, answer }
            });
        }
    }

    fn start_decodes(&mut self) {
        while self.may_decode() && self.decode_is_due() {
            let (mut group, mut bytes) = (Vec::new(), 0_u64);
            while group.len() < self.worker.settings.group_objects.max(1)
                && let Some(next) = self
                    .undecoded
                    .pop_front_if(|next| group.is_empty() || bytes.saturating_add(next.bytes) <= GROUP_BYTES)
            {
                bytes = bytes.saturating_add(next.bytes);
                group.push(next);
            }
            self.undecoded_bytes = self.undecoded_bytes.saturating_sub(bytes);
            self.decoding += 1;
            let worker = Arc::clone(&self.worker);
            self.tasks.spawn(async move {
                let objects = group.iter().map(|next| (next.object.clone(), next.receives)).collect();
                let outcomes = worker.decode_all(objects).await;
                let left = group.split_off(outcomes.len());
                let messages = group.into_iter().map(|next| next.message);
                Event::Decoded { objects: messages.zip(outcomes).collect(), left, bytes }
            });
        }
    }

    /// What was decoded waits for the commit under way: there is not to be much more of it than that.
    fn may_decode(&self) -> bool {
        let waits = self.committing && self.open.batch.is_full(self.worker.settings.batch);
        self.decoding < GROUPS_AT_ONCE && !waits
    }

    /// Whether no more objects are waited for, to be decoded with those that are there.
    fn decode_is_due(&self) -> bool {
        let Some(first) = self.undecoded.front() else { return false };
        let nothing_comes = self.unread.is_empty() && self.fetching == 0;
        (nothing_comes && self.nothing_to_wait_for())
            || self.undecoded.len() >= self.worker.settings.group_objects
            || self.undecoded_bytes >= GROUP_BYTES
            || first.since.elapsed() >= GATHERED_FOR
    }

    fn nothing_to_wait_for(&self) -> bool {
        self.intake.queue_is_empty || self.deadline.is_some() || self.commit_failures > 0
    }

    fn start_commit(&mut self) {
        if self.committing || !self.commit_is_due() {
            return;
        }
        self.committing = true;
        let OpenBatch { batch, messages, .. } = std::mem::take(&mut self.open);
        let objects = batch.objects;
        let lake = Arc::clone(&self.worker.lake);
        self.tasks.spawn(async move { Event::Committed { messages, result: lake.commit(objects).await } });
    }

    fn commit_is_due(&self) -> bool {
        let Some(since) = self.open.since else { return false };
        let idle = self.unread.is_empty() && self.fetching + self.undecoded.len() + self.decoding == 0;
        (idle && self.nothing_to_wait_for())
            || self.open.batch.is_full(self.worker.settings.batch)
            || since.elapsed() >= self.batch_age()
    }

    /// How old the batch may become. What was announced long ago can wait a little longer for the sake of large files.
    fn batch_age(&self) -> Duration {
        let settings = &self.worker.settings;
        let is_backlog = self.open.late * 2 > self.open.batch.objects.len();
        if is_backlog { settings.backlog_age.max(settings.batch_age) } else { settings.batch_age }
    }

    fn start_index(&mut self) {
        if self.index_is_due().is_some_and(|due| due <= Instant::now()) {
            self.index_is_behind = false;
            self.indexing = true;
            let worker = Arc::clone(&self.worker);
            self.tasks.spawn(async move { Event::Indexed(worker.update_index().await) });
        }
    }

    /// When the index is to be brought up to date, if it is behind.
    fn index_is_due(&self) -> Option<Instant> {
        (self.index_is_behind && !self.indexing).then_some(self.index_not_before)
    }

    /// What could not be indexed is tried again, also when no commit follows.
    fn on_indexed(&mut self, done: bool) {
        self.indexing = false;
        self.index_failures = if done { 0 } else { self.index_failures.saturating_add(1) };
        if !done {
            self.index_is_behind = true;
            let pause = self.worker.settings.pace.commit_fault.after(self.index_failures);
            self.index_not_before = Instant::now() + pause;
        }
    }

    /// When something is to be done although nothing has happened.
    fn wake_at(&self) -> Instant {
        let receive = self.may_receive().then_some(self.intake.not_before);
        let decode = self.undecoded.front().filter(|_| self.may_decode());
        let decode = decode.map(|first| first.since + GATHERED_FOR);
        let commit = self.open.since.filter(|_| !self.committing).map(|since| since + self.batch_age());
        let far = Instant::now() + Duration::from_hours(1);
        let due = [receive, decode, commit, self.index_is_due(), self.deadline];
        due.into_iter().flatten().fold(far, Instant::min)
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Received(received) => self.on_received(received),
            Event::Fetched { message, receives, bytes, answer } => {
                self.fetching -= 1;
                match answer {
                    Answer::Fetched(object, extra) => {
                        // The message may say anything.
                        let is = bytes.max(object.bytes.len() as u64);
                        self.reading_bytes = self.reading_bytes.saturating_add(is - bytes);
                        self.undecoded_bytes = self.undecoded_bytes.saturating_add(is);
                        let (object, since) = (*object, Instant::now());
                        let next = Undecoded { message, receives, bytes: is, object, _extra: extra, since };
                        self.undecoded.push_back(next);
                    }
                    Answer::Known(outcome) => {
                        self.reading_bytes = self.reading_bytes.saturating_sub(bytes);
                        self.on_read(message, outcome);
                    }
                }
            }
            Event::Decoded { objects, left, bytes } => {
                self.decoding -= 1;
                let still = left.iter().fold(0, |sum: u64, next| sum.saturating_add(next.bytes));
                self.undecoded_bytes = self.undecoded_bytes.saturating_add(still);
                self.reading_bytes = self.reading_bytes.saturating_sub(bytes.saturating_sub(still));
                left.into_iter().rev().for_each(|next| self.undecoded.push_front(next));
                for (message, outcome) in objects {
                    self.on_read(message, outcome);
                }
            }
            Event::Committed { messages, result } => {
                self.committing = false;
                match result {
                    Ok(report) => self.on_committed(messages, &report),
                    Err(error) => self.on_commit_failed(messages, &error),
                }
            }
            Event::Indexed(done) => self.on_indexed(done),
            Event::Told => {}
        }
    }

    fn on_received(&mut self, received: Result<Received, queue::Error>) {
        let started = self.intake.started.take().unwrap_or_else(Instant::now);
        let pace = self.worker.settings.pace;
        let received = match received {
            Ok(received) => received,
            Err(error) => return self.on_receive_failed(&error),
        };
        if received.answered && self.intake.health != Health::Good {
            tracing::info!("the queue answers again");
            self.intake.health = Health::Good;
            self.intake.failures = 0;
        }
        self.intake.queue_is_empty = received.messages.is_empty();
        if self.intake.queue_is_empty {
            self.intake.not_before = self.intake.not_before.max(started + pace.least_wait);
        }
        for message in received.messages {
            self.on_message(message, &received.known);
        }
    }

    /// Says so once for each change, not once for each try.
    fn on_receive_failed(&mut self, error: &queue::Error) {
        self.worker.stats.receive_errors.add(1_u64);
        self.intake.failures = self.intake.failures.saturating_add(1);
        let pace = self.worker.settings.pace;
        let (health, pause) = match error {
            queue::Error::Refused { .. } => (Health::Refused, pace.refused),
            _ => (Health::Unavailable, pace.receive_fault.after(self.intake.failures)),
        };
        self.intake.not_before = Instant::now() + pause;
        // What is in the batch must not wait for a queue that does not answer.
        self.intake.queue_is_empty = true;
        if self.intake.health != health {
            self.intake.health = health;
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "cannot receive messages; trying on");
        }
    }

    fn on_message(&mut self, message: Arrived, known: &lake::Committed) {
        let Arrived { lease, says } = message;
        match says {
            Err(error) => {
                self.worker.stats.malformed.add(1_u64);
                let facts = MessageFacts::of(lease.message());
                let error: &dyn std::error::Error = &error;
                tracing::warn!(message = %facts.id, receives = facts.receives, error, "message not understood; it is left to the dead-letter queue");
                self.give_back(lease);
            }
            Ok(Notification::Objects(objects)) => self.hold(lease, objects, known),
            Ok(nothing) => {
                self.worker.stats.unannouncing.add(1_u64);
                let reason = match &nothing {
                    Notification::Nothing { reason } => reason,
                    _ => "a test",
                };
                tracing::info!(message = %lease.message().id, reason, "a message announces no object; it is acknowledged");
                match lease.announcing_nothing(&nothing) {
                    Ok(acknowledged) => self.acknowledged.push(acknowledged),
                    Err(lease) => self.give_back(lease),
                }
            }
        }
    }

    /// Takes on the objects of a message that may be fetched and that the lake does not have yet.
    fn hold(&mut self, lease: Lease, objects: Vec<Announcement>, known: &lake::Committed) {
        let Some(count) = count(&objects) else { return self.give_back(lease) };
        let mut pending = lease.announcing(count);
        let number = self.next_message;
        self.next_message += 1;
        let mut left = 0;
        for object in objects {
            if let Err(forbidden) = self.worker.sources.store(&object.bucket, &object.key) {
                self.worker.stats.forbidden.add(1_u64);
                let message = &pending.message().id;
                tracing::error!(bucket = object.bucket, key = object.key, message, reason = %forbidden, "a message announces an object that may not be fetched; it is left to the dead-letter queue");
            } else if let Some(id) =
                announced_name(&object).map(|name| name.id()).filter(|id| known.settles(*id))
            {
                self.worker.stats.known.add(1_u64);
                // Perhaps of a commit that ended before anybody was told.
                self.worker.signals.committed.notify_one();
                pending.read(id);
            } else {
                left += 1;
                self.unread.push_back((number, object));
            }
        }
        pending.settle(known);
        if left == 0 {
            self.finish(pending);
        } else {
            self.held.insert(number, Held { pending, left });
        }
    }

    fn on_read(&mut self, message: u64, outcome: Outcome) {
        // A message that was given back meanwhile is read again when it comes again.
        let Some(held) = self.held.get_mut(&message) else { return };
        match outcome {
            Outcome::Read(object) => {
                held.pending.read(object.record.object_id);
                let read_at = object.record.read_at;
                let late = object.record.announced_at.is_some_and(|announced| {
                    i128::from(read_at) - i128::from(announced)
                        > self.worker.settings.backlog_age.as_micros().cast_signed()
                });
                self.open.late += usize::from(late);
                self.open.batch.push(*object);
                self.open.messages.push(message);
                self.open.since.get_or_insert_with(Instant::now);
            }
            Outcome::Failed => self.one_less(message),
            // Given back at the end.
            Outcome::Interrupted => {}
        }
    }

    fn on_committed(&mut self, messages: Vec<u64>, report: &Report) {
        if self.commit_failures > 0 {
            tracing::info!("the lake takes commits again");
            self.commit_failures = 0;
            self.index_not_before = Instant::now();
        }
        failpoint::pass("committed");
        self.worker.stats.note(report);
        // What is known only now may be of a commit whose answer was lost.
        if !report.added.is_empty() || !report.known.is_empty() {
            self.index_is_behind = true;
            self.worker.signals.committed.notify_one();
        }
        for record in report.added.iter().filter(|record| record.reason.is_some()) {
            let (bucket, key) = (record.bucket.as_str(), record.key.as_str());
            tracing::warn!(
                bucket,
                key,
                reason = record.reason,
                "object quarantined; its message is left to the dead-letter queue"
            );
        }
        let settled: HashSet<u64> = messages.iter().copied().collect();
        for message in settled {
            if let Some(held) = self.held.get_mut(&message) {
                held.pending.settle(&report.committed);
            }
        }
        for message in messages {
            self.one_less(message);
        }
    }

    fn on_commit_failed(&mut self, messages: Vec<u64>, error: &lake::Error) {
        self.worker.stats.commit_errors.add(1_u64);
        self.commit_failures = self.commit_failures.saturating_add(1);
        // It, or a part of it, may have landed all the same.
        self.index_is_behind = true;
        self.worker.signals.committed.notify_one();
        let pause = self.worker.settings.pace.commit_fault.after(self.commit_failures);
        self.intake.not_before = self.intake.not_before.max(Instant::now() + pause);
        let error: &dyn std::error::Error = error;
        tracing::error!(error, objects = messages.len(), "the lake took no commit; the messages come again");
        for message in messages {
            if let Some(held) = self.held.remove(&message) {
                self.give_back(held.pending.into_lease());
            }
        }
    }

    /// Of a message, one more object is through.
    fn one_less(&mut self, message: u64) {
        let Some(held) = self.held.get_mut(&message) else { return };
        held.left = held.left.saturating_sub(1);
        if held.left == 0
            && let Some(held) = self.held.remove(&message)
        {
            self.finish(held.pending);
        }
    }

    /// Nothing more can be done for a message: it goes if all of it is settled.
    fn finish(&mut self, pending: Pending) {
        match pending.acknowledge() {
            Ok(acknowledged) => self.acknowledged.push(acknowledged),
            Err(pending) => self.give_back(pending.into_lease()),
        }
    }

    /// Lets a message come again, later each time.
    fn give_back(&mut self, lease: Lease) {
        let after = self.worker.settings.pace.give_back.after(lease.message().receive_count);
        self.give_back_after(lease, after);
    }

    fn give_back_after(&mut self, lease: Lease, after: Duration) {
        self.worker.stats.given_back.add(1_u64);
        self.tasks.spawn(async move {
            lease.give_back(after).await;
            Event::Told
        });
    }

    fn begin_to_stop(&mut self) {
        // The index has its last try, however long it was to wait.
        self.index_not_before = Instant::now();
        self.deadline = Some(Instant::now() + self.worker.settings.drain);
        self.unread.clear();
    }

    /// What is still held was not committed: others may have it at once.
    async fn give_everything_back(mut self) {
        self.tasks.abort_all();
        for (_, held) in std::mem::take(&mut self.held) {
            self.give_back_after(held.pending.into_lease(), Duration::ZERO);
        }
        let told = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, told).await.is_err() {
            tracing::warn!(
                "the queue did not take back all messages; they come again when their time is over"
            );
        }
    }
}
