//! Messages that are held: kept from others while they are worked on, and deleted only when the lake has it all.
//!
//! Must never lead to the deletion of a message whose objects are not all settled by a commit, and must never share
//! a thread with anything that computes: a heartbeat that waits its turn comes too late.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::notification::Notification;
use crate::failpoint;
use crate::lake::{Committed, ObjectId};
use crate::queue::{self, MAX_INVISIBLE, Message, Queue};

/// When held messages are extended, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a message is kept from others by one extension.
    pub visibility: Duration,
    /// How often it is extended.
    pub interval: Duration,
    /// How soon an extension that failed is tried again.
    pub retry: Duration,
    /// How long after its receive a message is no longer extended.
    pub longest: Duration,
}

impl Timing {
    /// Extended when half of the time is over, up to the longest that SQS allows.
    pub fn of(visibility: Duration) -> Self {
        let interval = visibility / 2;
        let retry = (visibility / 10).min(Duration::from_secs(10));
        Timing { visibility, interval, retry, longest: MAX_INVISIBLE.saturating_sub(visibility + SLACK) }
    }
}

/// What clocks and answers may be late by, beside the cap of twelve hours.
const SLACK: Duration = Duration::from_mins(5);

/// Keeps the messages of one queue, on a thread of its own that ends when the last lease is gone.
#[derive(Debug, Clone)]
pub struct Leases {
    to_thread: mpsc::UnboundedSender<Kept>,
}

/// A message as the thread knows it.
#[derive(Debug)]
struct Kept {
    id: String,
    receipt: String,
    received: Instant,
    orders: oneshot::Receiver<GiveBack>,
}

/// The order to make a message visible again.
#[derive(Debug)]
struct GiveBack {
    after: Duration,
    done: oneshot::Sender<()>,
}

impl Leases {
    /// Starts the thread. The queue should be a client that nobody else uses: its connections then live on the
    /// thread's own runtime and wait for nobody.
    pub fn start(queue: Arc<dyn Queue>, timing: Timing) -> std::io::Result<Self> {
        let (to_thread, from_workers) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || runtime.block_on(keep_all(queue, timing, from_workers)))?;
        Ok(Leases { to_thread })
    }

    /// Keeps a message that was just received, from now until the lease is dropped.
    pub fn lease(&self, message: Message) -> Lease {
        let (order, orders) = oneshot::channel();
        let (id, receipt) = (message.id.clone(), message.receipt.clone());
        let kept = Kept { id, receipt, received: Instant::now(), orders };
        if self.to_thread.send(kept).is_err() {
            tracing::error!(message = %message.id, "the thread that keeps messages has ended: they may come twice");
        }
        Lease { message, order }
    }
}

async fn keep_all(queue: Arc<dyn Queue>, timing: Timing, mut from_workers: mpsc::UnboundedReceiver<Kept>) {
    let mut kept = JoinSet::new();
    loop {
        tokio::select! {
            message = from_workers.recv() => match message {
                Some(message) => drop(kept.spawn(keep(Arc::clone(&queue), timing, message))),
                None => break,
            },
            Some(_) = kept.join_next() => {}
        }
    }
    while kept.join_next().await.is_some() {}
}

/// Extends one message until its lease ends, and gives it back when asked to. One after the other, so that an
/// extension on its way cannot undo the giving back.
async fn keep(queue: Arc<dyn Queue>, timing: Timing, mut message: Kept) {
    let mut next = Some(message.received + timing.interval);
    loop {
        let order = tokio::select! {
            biased;
            order = &mut message.orders => order,
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                next = extend(queue.as_ref(), timing, &message).await;
                continue;
            }
        };
        if let Ok(GiveBack { after, done }) = order {
            give_back(queue.as_ref(), &message, after).await;
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        return;
    }
}

/// Extends a message; returns when to do so next, if at all.
async fn extend(queue: &dyn Queue, timing: Timing, message: &Kept) -> Option<Instant> {
    if message.received.elapsed() >= timing.longest {
        tracing::warn!(message = %message.id, "held for as long as the queue allows; it may come again");
        return None;
    }
    match queue.change_visibility(&message.receipt, timing.visibility).await {
        Ok(()) => Some(Instant::now() + timing.interval),
        Err(error @ queue::Error::StaleReceipt { .. }) => {
            tracing::debug!(message = %message.id, %error, "no longer ours; the lake recognizes it if it comes again");
            None
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(message = %message.id, error, "could not extend the time of a message");
            Some(Instant::now() + timing.retry)
        }
    }
}

async fn give_back(queue: &dyn Queue, message: &Kept, after: Duration) {
    if let Err(error) = queue.change_visibility(&message.receipt, after).await {
        // It comes back by itself when its time is over.
        tracing::debug!(message = %message.id, %error, "could not give a message back");
    }
}

/// A message that is held. Dropped, it is no longer extended, and comes back when its time is over.
#[derive(Debug)]
pub struct Lease {
    message: Message,
    order: oneshot::Sender<GiveBack>,
}

impl Lease {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// A message with that many objects to be read and committed.
    pub fn announcing(self, objects: NonZeroUsize) -> Pending {
        Pending { lease: self, unread: objects.get(), waiting: Vec::new() }
    }

    /// A message that announces no object may be deleted at once; any other comes back as it was.
    pub fn announcing_nothing(self, notification: &Notification) -> Result<Acknowledged, Lease> {
        match notification {
            Notification::Test | Notification::Nothing { .. } => Ok(Acknowledged { lease: self }),
            Notification::Objects(_) => Err(self),
        }
    }

    /// Makes the message visible again after a time; returns when the queue has been told.
    pub async fn give_back(self, after: Duration) {
        let (done, told) = oneshot::channel();
        if self.order.send(GiveBack { after, done }).is_ok() {
            // An error says that the thread has ended: the message comes back by itself.
            let _ = told.await;
        }
    }
}

/// A message whose objects are not all in the lake yet.
#[derive(Debug)]
pub struct Pending {
    lease: Lease,
    /// Objects of which no identity is known yet.
    unread: usize,
    /// Objects that were read and are not settled.
    waiting: Vec<ObjectId>,
}

impl Pending {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.lease.message
    }

    /// Notes that one more of the announced objects has been read; it is now waiting for its commit.
    pub fn read(&mut self, id: ObjectId) {
        if self.unread > 0 {
            self.unread -= 1;
            self.waiting.push(id);
        }
    }

    /// Takes off what a commit settles.
    pub fn settle(&mut self, committed: &Committed) {
        self.waiting.retain(|id| !committed.settles(*id));
    }

    /// A message whose every object is settled may be deleted; any other comes back as it was.
    pub fn acknowledge(self) -> Result<Acknowledged, Pending> {
        let settled = self.unread == 0 && self.waiting.is_empty();
        if settled { Ok(Acknowledged { lease: self.lease }) } else { Err(self) }
    }

    /// Gives up on the rest.
    pub fn into_lease(self) -> Lease {
        self.lease
    }
}

/// A message that may be deleted.
#[derive(Debug)]
pub struct Acknowledged {
    lease: Lease,
}

/// Deletes messages; returns how many were deleted. Those that were not come back, and the lake recognizes them.
pub async fn delete(queue: &dyn Queue, messages: Vec<Acknowledged>) -> usize {
    let receipts: Vec<String> =
        messages.iter().map(|message| message.lease.message.receipt.clone()).collect();
    failpoint::pass("before_acknowledge");
    let deleted = queue.delete(&receipts).await;
    failpoint::pass("after_acknowledge");
    match deleted {
        Ok(failed) => receipts.len() - failed.len(),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(messages = receipts.len(), error, "could not delete messages; they come again");
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::queue::Error;
    use crate::queue::memory::{Counts, Fault, MemoryQueue, Operation, Settings};

    /// A queue that tells of every change of visibility when it is done.
    struct Told {
        queue: Arc<MemoryQueue>,
        changes: mpsc::UnboundedSender<Duration>,
    }

    #[async_trait]
    impl Queue for Told {
        async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
            self.queue.receive(max, wait).await
        }

        async fn change_visibility(&self, receipt: &str, visibility: Duration) -> Result<(), Error> {
            let result = self.queue.change_visibility(receipt, visibility).await;
            let _ = self.changes.send(visibility);
            result
        }

        async fn delete(&self, receipts: &[String]) -> Result<Vec<String>, Error> {
            self.queue.delete(receipts).await
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// Real heartbeats, as fast as they can be told apart; the queue's own clock is moved by hand.
    fn timing() -> Timing {
        let interval = Duration::from_millis(2);
        Timing { visibility: 30 * SECOND, interval, retry: interval, longest: Duration::from_hours(1) }
    }

    struct Held {
        queue: Arc<MemoryQueue>,
        lease: Lease,
        changes: mpsc::UnboundedReceiver<Duration>,
    }

    /// A queue with one message that is held.
    async fn held(timing: Timing) -> Held {
        let queue = Arc::new(MemoryQueue::new(Settings::default()));
        let (told, changes) = mpsc::unbounded_channel();
        let leases =
            Leases::start(Arc::new(Told { queue: Arc::clone(&queue), changes: told }), timing).unwrap();
        queue.send("{}");
        let message = queue.receive(1, Duration::ZERO).await.unwrap().remove(0);
        Held { lease: leases.lease(message), queue, changes }
    }

    const IN_FLIGHT: Counts = Counts { visible: 0, in_flight: 1, dead: 0 };
    const VISIBLE: Counts = Counts { visible: 1, in_flight: 0, dead: 0 };

    /// Waits until the time of the message was to be extended so many times more.
    async fn extended(changes: &mut mpsc::UnboundedReceiver<Duration>, times: usize) {
        // What was told already is of before, and on a busy machine there may be much of it.
        while changes.try_recv().is_ok() {}
        for _ in 0..times {
            assert_eq!(changes.recv().await, Some(30 * SECOND));
        }
    }

    #[tokio::test]
    async fn a_message_is_kept_for_as_long_as_its_lease_lives() {
        let Held { queue, lease, mut changes } = held(timing()).await;
        for _ in 0..10 {
            queue.advance(20 * SECOND);
            // One may have begun before the clock was moved; the second has not.
            extended(&mut changes, 2).await;
            assert_eq!(queue.counts(), IN_FLIGHT);
        }
        drop(lease);
        while changes.recv().await.is_some() {}
        queue.advance(30 * SECOND);
        assert_eq!(queue.counts(), VISIBLE);
    }

    #[tokio::test]
    async fn a_heartbeat_that_failed_is_repeated() {
        let Held { queue, lease, mut changes } = held(timing()).await;
        for fault in [Fault::Fails, Fault::Refused, Fault::AnswerLost] {
            queue.script(Operation::ChangeVisibility, fault);
        }
        queue.advance(20 * SECOND);
        extended(&mut changes, 5).await;
        queue.advance(20 * SECOND);
        assert_eq!(queue.counts(), IN_FLIGHT);
        drop(lease);
    }

    #[tokio::test]
    async fn a_stale_message_is_not_extended_any_more() {
        let queue = Arc::new(MemoryQueue::new(Settings::default()));
        queue.send("{}");
        let first = queue.receive(1, Duration::ZERO).await.unwrap().remove(0);
        queue.advance(30 * SECOND);
        queue.receive(1, Duration::ZERO).await.unwrap();
        let (told, mut changes) = mpsc::unbounded_channel();
        let leases =
            Leases::start(Arc::new(Told { queue: Arc::clone(&queue), changes: told }), timing()).unwrap();
        let lease = leases.lease(first);
        drop(leases);
        assert_eq!(changes.recv().await, Some(30 * SECOND), "it tries once");
        lease.give_back(Duration::ZERO).await;
        assert_eq!(changes.recv().await, Some(Duration::ZERO), "and then does as it is told");
        assert_eq!(changes.recv().await, None, "the thread has ended");
        assert_eq!(queue.counts(), IN_FLIGHT, "it is another's now");
    }

    #[tokio::test]
    async fn a_message_is_not_extended_beyond_the_longest() {
        let Held { queue, lease, mut changes } = held(Timing { longest: Duration::ZERO, ..timing() }).await;
        lease.give_back(7 * SECOND).await;
        assert_eq!(changes.recv().await, Some(7 * SECOND), "the first and only change");
        queue.advance(7 * SECOND);
        assert_eq!(queue.counts(), VISIBLE);
        let twelve_hours = Timing::of(300 * SECOND);
        assert_eq!(twelve_hours.interval, 150 * SECOND);
        assert!(twelve_hours.longest + twelve_hours.visibility < MAX_INVISIBLE);
        assert_eq!(Timing::of(MAX_INVISIBLE).longest, Duration::ZERO);
    }

    #[tokio::test]
    async fn what_is_not_settled_cannot_be_acknowledged() {
        let Held { lease, .. } = held(timing()).await;
        let test = Notification::Test;
        let objects = Notification::Objects(Vec::new());
        let lease = lease.announcing_nothing(&objects).unwrap_err();
        let id = ObjectId::new("bucket", "key", "etag");
        let two = NonZeroUsize::new(2).unwrap();
        let pending = lease.announcing(two).acknowledge().unwrap_err();
        let mut pending = pending.acknowledge().unwrap_err();
        pending.read(id);
        pending.read(id);
        pending.settle(&Committed::nothing());
        let lease = pending.acknowledge().unwrap_err().into_lease();
        assert!(lease.announcing_nothing(&test).is_ok());
    }
}
