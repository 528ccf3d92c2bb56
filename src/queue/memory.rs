//! A queue in memory that behaves as SQS documents it, with faults on demand, for tests and trials.
//!
//! Its clock stands still until a test moves it: must never read the wall clock, nor be kinder than SQS
//! (messages come more than once, late and in any order; a stale receipt deletes nothing and says nothing).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;

use super::{Error, MAX_BATCH, MAX_INVISIBLE, MAX_VISIBILITY, MAX_WAIT, Message, Queue};

const NAME: &str = "memory";

/// How the queue is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a received message stays invisible.
    pub visibility: Duration,
    /// After how many receives a message goes to the dead letters instead of out again; `None`: never.
    pub max_receive_count: Option<u32>,
    /// What goes wrong at random.
    pub faults: Faults,
}

impl Default for Settings {
    /// SQS's own: 30 seconds, no dead-letter queue; and no faults.
    fn default() -> Self {
        Self { visibility: Duration::from_secs(30), max_receive_count: None, faults: Faults::default() }
    }
}

/// What goes wrong at random, each with a probability from 0 to 1; the same seed and calls, the same faults.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The seed of the random numbers.
    pub seed: u64,
    /// That a received message is delivered once more while it is in flight.
    pub duplicate: f64,
    /// That a receive passes over a visible message (so that order changes and a receive may find nothing).
    pub pass_over: f64,
    /// That an operation fails: half of the time before, half of the time after it was carried out.
    pub fail: f64,
}

/// An operation of [`Queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Queue::receive`].
    Receive,
    /// [`Queue::change_visibility`].
    ChangeVisibility,
    /// [`Queue::delete`].
    Delete,
}

/// How an operation goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done; the answer is [`Error::Unavailable`].
    Fails,
    /// Nothing is done; the answer is [`Error::Refused`].
    Refused,
    /// All is done, but the answer gets lost: [`Error::Unavailable`].
    AnswerLost,
    /// Only the first half of a delete is done, and the answer says so; for other operations like `Fails`.
    Partly,
}

/// How many messages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the next receive may return.
    pub visible: usize,
    /// Messages that were received and are invisible.
    pub in_flight: usize,
    /// Messages among the dead letters.
    pub dead: usize,
}

/// The queue. All times are on its own clock, which starts at zero.
#[derive(Debug)]
pub struct MemoryQueue {
    settings: Settings,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    now: Duration,
    next_number: u64,
    /// By number, in the order sent.
    messages: BTreeMap<u64, Entry>,
    dead: Vec<String>,
    script: VecDeque<(Operation, Fault)>,
    random: StdRng,
}

#[derive(Debug)]
struct Entry {
    body: String,
    /// How often it was received; numbers the receipts too, of which the newest is valid.
    receives: u32,
    received_at: Duration,
    visible_at: Duration,
    /// Whether it is to be delivered once more although it is in flight.
    duplicated: bool,
}

/// The messages of a receive, and whether a visible one was passed over.
struct Taken {
    messages: Vec<Message>,
    passed_over: bool,
}

impl MemoryQueue {
    /// An empty queue at time zero.
    pub fn new(settings: Settings) -> Self {
        let state = State {
            now: Duration::ZERO,
            next_number: 0,
            messages: BTreeMap::new(),
            dead: Vec::new(),
            script: VecDeque::new(),
            random: StdRng::seed_from_u64(settings.faults.seed),
        };
        Self { settings, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Puts a message in; returns its id.
    pub fn send(&self, body: impl Into<String>) -> String {
        let mut state = self.state();
        let number = state.push(body.into());
        drop(state);
        self.changed.notify_waiters();
        id(number)
    }

    /// Moves the queue's clock forward.
    pub fn advance(&self, by: Duration) {
        self.state().now += by;
        self.changed.notify_waiters();
    }

    /// The queue's time.
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// Makes the next operation of that kind that is not yet spoken for go wrong.
    pub fn script(&self, operation: Operation, fault: Fault) {
        self.state().script.push_back((operation, fault));
    }

    /// How many messages there are now.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        let visible = state.messages.values().filter(|entry| entry.is_visible(state.now)).count();
        Counts { visible, in_flight: state.messages.len() - visible, dead: state.dead.len() }
    }

    /// The bodies of the dead letters, in the order they died.
    pub fn dead_letters(&self) -> Vec<String> {
        self.state().dead.clone()
    }

    /// Sends the dead letters again, as new messages.
    pub fn redrive(&self) {
        let mut state = self.state();
        for body in std::mem::take(&mut state.dead) {
            state.push(body);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong with this operation, if anything: the script first, then chance.
    fn fault(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.state();
        let scripted = state.script.iter().position(|(of, _)| *of == operation);
        if let Some((_, fault)) = scripted.and_then(|index| state.script.remove(index)) {
            return Some(fault);
        }
        if !state.chance(self.settings.faults.fail) {
            return None;
        }
        Some(if state.chance(0.5) { Fault::Fails } else { Fault::AnswerLost })
    }

    /// A due receive of everything up to `max`.
    fn take(&self, max: usize) -> Taken {
        let mut guard = self.state();
        let state = &mut *guard;
        let visibility = self.settings.visibility.min(MAX_VISIBILITY);
        let mut taken = Taken { messages: Vec::new(), passed_over: false };
        let mut died = Vec::new();
        for (&number, entry) in &mut state.messages {
            if taken.messages.len() == max {
                break;
            }
            if !entry.is_visible(state.now) && !entry.duplicated {
                continue;
            }
            if chance(&mut state.random, self.settings.faults.pass_over) {
                taken.passed_over = true;
                continue;
            }
            if self.settings.max_receive_count.is_some_and(|most| entry.receives >= most) {
                died.push(number);
                continue;
            }
            taken.messages.push(entry.receive(number, state.now, visibility));
            entry.duplicated = chance(&mut state.random, self.settings.faults.duplicate);
        }
        for number in died {
            let entry = state.messages.remove(&number);
            state.dead.extend(entry.map(|entry| entry.body));
        }
        taken
    }
}

impl State {
    fn push(&mut self, body: String) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let visible_at = self.now;
        let entry = Entry { body, receives: 0, received_at: visible_at, visible_at, duplicated: false };
        self.messages.insert(number, entry);
        number
    }

    fn chance(&mut self, probability: f64) -> bool {
        chance(&mut self.random, probability)
    }

    /// Deletes the message if the receipt is its newest; false when no such receipt was ever given out.
    fn delete(&mut self, receipt: &str) -> bool {
        let Some((number, receive)) = parse_receipt(receipt) else { return false };
        match self.messages.get(&number) {
            Some(entry) if entry.receives == receive => self.messages.remove(&number).is_some(),
            Some(entry) => receive <= entry.receives,
            None => number < self.next_number,
        }
    }

    /// Whether the receipt's message could be kept for longer.
    fn keep(&mut self, receipt: &str, visibility: Duration) -> bool {
        let until = self.now + visibility.min(MAX_VISIBILITY);
        let now = self.now;
        let entry = parse_receipt(receipt).and_then(|(number, receive)| {
            self.messages.get_mut(&number).filter(|entry| entry.receives == receive)
        });
        match entry {
            Some(entry) if !entry.is_visible(now) && until <= entry.received_at + MAX_INVISIBLE => {
                entry.visible_at = until;
                true
            }
            _ => false,
        }
    }
}

impl Entry {
    fn is_visible(&self, now: Duration) -> bool {
        self.visible_at <= now
    }

    fn receive(&mut self, number: u64, now: Duration, visibility: Duration) -> Message {
        self.receives += 1;
        self.received_at = now;
        self.visible_at = now + visibility;
        Message {
            id: id(number),
            receipt: format!("receipt-{number}-{}", self.receives),
            body: self.body.clone(),
            receive_count: self.receives,
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    /// Waits on the queue's own clock: with nothing to receive and a `wait` above zero it returns when a
    /// message comes in, comes back, or the clock has been moved far enough.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        let fault = self.fault(Operation::Receive);
        let deadline = self.now() + wait.min(MAX_WAIT);
        if let Some(error) = fault.and_then(before) {
            return Err(error);
        }
        loop {
            // Made before looking, or a message sent in between would wake nobody.
            let changed = self.changed.notified();
            let taken = self.take(max.clamp(1, MAX_BATCH));
            if !taken.messages.is_empty() || taken.passed_over || self.now() >= deadline {
                return if fault.is_some() { Err(lost()) } else { Ok(taken.messages) };
            }
            changed.await;
        }
    }

    async fn change_visibility(&self, receipt: &str, visibility: Duration) -> Result<(), Error> {
        let fault = self.fault(Operation::ChangeVisibility);
        if let Some(error) = fault.and_then(before) {
            return Err(error);
        }
        let kept = self.state().keep(receipt, visibility);
        self.changed.notify_waiters();
        match (kept, fault) {
            (_, Some(_)) => Err(lost()),
            (true, None) => Ok(()),
            (false, None) => Err(Error::StaleReceipt { queue: NAME.to_owned() }),
        }
    }

    async fn delete(&self, receipts: &[String]) -> Result<Vec<String>, Error> {
        let fault = self.fault(Operation::Delete);
        let done = if fault == Some(Fault::Partly) { receipts.len() / 2 } else { receipts.len() };
        if let Some(error) = fault.filter(|fault| *fault != Fault::Partly).and_then(before) {
            return Err(error);
        }
        let mut state = self.state();
        let mut failed: Vec<String> =
            receipts[..done].iter().filter(|receipt| !state.delete(receipt)).cloned().collect();
        failed.extend_from_slice(&receipts[done..]);
        if fault == Some(Fault::AnswerLost) { Err(lost()) } else { Ok(failed) }
    }
}

/// The error of a fault that leaves nothing done.
fn before(fault: Fault) -> Option<Error> {
    let queue = NAME.to_owned();
    match fault {
        Fault::Fails | Fault::Partly => Some(Error::Unavailable { queue, source: "injected fault".into() }),
        Fault::Refused => Some(Error::Refused { queue, source: "injected fault".into() }),
        Fault::AnswerLost => None,
    }
}

fn lost() -> Error {
    Error::Unavailable { queue: NAME.to_owned(), source: "injected loss of the answer".into() }
}

fn chance(random: &mut StdRng, probability: f64) -> bool {
    probability > 0.0 && random.random_bool(probability.min(1.0))
}

fn id(number: u64) -> String {
    format!("message-{number}")
}

/// The message's number and the number of the receive.
fn parse_receipt(receipt: &str) -> Option<(u64, u32)> {
    let (number, receive) = receipt.strip_prefix("receipt-")?.split_once('-')?;
    Some((number.parse().ok()?, receive.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NO_WAIT: Duration = Duration::ZERO;

    fn queue(settings: Settings) -> MemoryQueue {
        MemoryQueue::new(settings)
    }

    async fn one(queue: &MemoryQueue) -> Message {
        queue.receive(1, NO_WAIT).await.unwrap().pop().unwrap()
    }

    #[tokio::test]
    async fn a_message_comes_back_exactly_when_its_time_is_over() {
        let queue = queue(Settings::default());
        queue.send("a");
        one(&queue).await;
        queue.advance(Duration::from_millis(29_999));
        assert!(queue.receive(10, NO_WAIT).await.unwrap().is_empty());
        assert_eq!(queue.counts(), Counts { visible: 0, in_flight: 1, dead: 0 });
        queue.advance(Duration::from_millis(1));
        assert_eq!(queue.counts(), Counts { visible: 1, in_flight: 0, dead: 0 });
        assert_eq!(one(&queue).await.receive_count, 2);
    }

    #[tokio::test]
    async fn a_stale_receipt_deletes_nothing_and_keeps_nothing() {
        let queue = queue(Settings::default());
        queue.send("a");
        let first = one(&queue).await.receipt;
        queue.advance(30 * SECOND);
        let stale = queue.change_visibility(&first, SECOND).await;
        assert!(matches!(stale, Err(Error::StaleReceipt { .. })), "visible again: {stale:?}");
        let second = one(&queue).await.receipt;
        let stale = queue.change_visibility(&first, SECOND).await;
        assert!(matches!(stale, Err(Error::StaleReceipt { .. })), "received again: {stale:?}");
        assert!(queue.delete(std::slice::from_ref(&first)).await.unwrap().is_empty(), "SQS says nothing");
        assert_eq!(queue.counts().in_flight, 1, "but deletes nothing");
        queue.delete(&[second]).await.unwrap();
        assert_eq!(queue.counts(), Counts { visible: 0, in_flight: 0, dead: 0 });
        let unknown = ["receipt-0-9".to_owned(), "receipt-7-1".to_owned(), "x".to_owned()];
        assert_eq!(queue.delete(&unknown).await.unwrap(), unknown[1..], "the first message is gone");
    }

    #[tokio::test]
    async fn the_newest_receipt_deletes_even_after_its_time() {
        let queue = queue(Settings::default());
        queue.send("a");
        let receipt = one(&queue).await.receipt;
        queue.advance(60 * SECOND);
        queue.delete(&[receipt]).await.unwrap();
        assert_eq!(queue.counts(), Counts { visible: 0, in_flight: 0, dead: 0 });
    }

    #[tokio::test]
    async fn no_message_is_kept_for_more_than_twelve_hours() {
        let queue = queue(Settings::default());
        queue.send("a");
        let receipt = one(&queue).await.receipt;
        queue.change_visibility(&receipt, Duration::from_secs(99_999)).await.unwrap();
        queue.advance(Duration::from_secs(43_194));
        queue.change_visibility(&receipt, 6 * SECOND).await.unwrap();
        let over = queue.change_visibility(&receipt, 7 * SECOND).await;
        assert!(matches!(over, Err(Error::StaleReceipt { .. })), "{over:?}");
    }

    #[tokio::test]
    async fn dead_letters_can_be_sent_again() {
        let queue = queue(Settings { max_receive_count: Some(2), ..Settings::default() });
        queue.send("a");
        for _ in 0..2 {
            let receipt = one(&queue).await.receipt;
            queue.change_visibility(&receipt, NO_WAIT).await.unwrap();
        }
        assert_eq!(queue.counts().dead, 0, "dies at the next receive, not before");
        assert!(queue.receive(10, NO_WAIT).await.unwrap().is_empty());
        assert_eq!(queue.dead_letters(), ["a"]);
        queue.redrive();
        assert_eq!(one(&queue).await.receive_count, 1);
    }

    #[tokio::test]
    async fn a_long_poll_ends_with_a_message_or_with_its_time() {
        let queue = Arc::new(queue(Settings::default()));
        let start = || {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { queue.receive(10, 20 * SECOND).await.unwrap().len() })
        };
        let poll = start();
        tokio::task::yield_now().await;
        queue.advance(19 * SECOND);
        tokio::task::yield_now().await;
        assert!(!poll.is_finished());
        queue.send("a");
        assert_eq!(poll.await.unwrap(), 1);
        let poll = start();
        tokio::task::yield_now().await;
        queue.advance(20 * SECOND);
        assert_eq!(poll.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn scripted_faults_happen_once_and_in_order() {
        let queue = queue(Settings::default());
        queue.send("a");
        queue.send("b");
        queue.script(Operation::Receive, Fault::Fails);
        queue.script(Operation::Delete, Fault::Partly);
        queue.script(Operation::Receive, Fault::Refused);
        queue.script(Operation::Receive, Fault::AnswerLost);
        queue.script(Operation::Delete, Fault::AnswerLost);
        queue.script(Operation::ChangeVisibility, Fault::AnswerLost);
        assert!(matches!(queue.receive(10, NO_WAIT).await, Err(Error::Unavailable { .. })));
        assert!(matches!(queue.receive(10, NO_WAIT).await, Err(Error::Refused { .. })));
        assert_eq!(queue.counts().visible, 2, "neither did anything");
        assert!(matches!(queue.receive(10, NO_WAIT).await, Err(Error::Unavailable { .. })));
        assert_eq!(queue.counts().in_flight, 2, "received, though nobody heard of it");
        queue.advance(30 * SECOND);
        let messages = queue.receive(10, NO_WAIT).await.unwrap();
        let receipts: Vec<_> = messages.into_iter().map(|message| message.receipt).collect();
        assert_eq!(queue.delete(&receipts).await.unwrap(), receipts[1..]);
        let kept = queue.change_visibility(&receipts[1], NO_WAIT).await;
        assert!(matches!(kept, Err(Error::Unavailable { .. })));
        assert_eq!(queue.counts().visible, 1, "given back, though the answer was lost");
        assert!(matches!(queue.delete(&receipts[1..]).await, Err(Error::Unavailable { .. })));
        assert_eq!(queue.counts(), Counts { visible: 0, in_flight: 0, dead: 0 });
    }

    /// The ids received until all of 100 messages are deleted, with everything going wrong at times.
    async fn drain(seed: u64) -> Vec<String> {
        let faults = Faults { seed, duplicate: 0.3, pass_over: 0.3, fail: 0.1 };
        let queue = queue(Settings { faults, ..Settings::default() });
        for number in 0..100 {
            queue.send(number.to_string());
        }
        let mut ids = Vec::new();
        while queue.counts() != (Counts { visible: 0, in_flight: 0, dead: 0 }) {
            assert!(ids.len() < 10_000, "does not end");
            let Ok(messages) = queue.receive(10, NO_WAIT).await else { continue };
            let receipts: Vec<_> = messages.iter().map(|message| message.receipt.clone()).collect();
            ids.extend(messages.into_iter().map(|message| message.id));
            if queue.delete(&receipts).await.is_err() || receipts.is_empty() {
                queue.advance(10 * SECOND);
            }
        }
        ids
    }

    #[tokio::test]
    async fn random_faults_follow_the_seed_and_lose_nothing() {
        let ids = drain(7).await;
        assert_eq!(ids, drain(7).await);
        assert_ne!(ids, drain(8).await);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 100, "each came at least once");
    }

    #[tokio::test]
    async fn duplicates_come_while_the_message_is_in_flight() {
        let faults = Faults { duplicate: 1.0, ..Faults::default() };
        let queue = queue(Settings { faults, ..Settings::default() });
        queue.send("a");
        let first = one(&queue).await;
        let second = one(&queue).await;
        assert_eq!((first.receive_count, second.receive_count), (1, 2));
        assert_ne!(first.receipt, second.receipt);
        queue.delete(&[first.receipt]).await.unwrap();
        assert_eq!(queue.counts().in_flight, 1, "only the newest receipt deletes");
    }
}
