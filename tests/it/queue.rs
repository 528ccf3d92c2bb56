//! What every queue must do: one suite, run against the queue in memory and against SQS (moto).
//!
//! Only what moto does as SQS documents it is here; where moto is kinder (it honours stale receipts), the
//! queue in memory has tests of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use trailhound::queue::memory::{MemoryQueue, Settings};
use trailhound::queue::sqs::SqsQueue;
use trailhound::queue::{Error, Message, Queue};

use crate::moto::{Created, Moto};

const NO_WAIT: Duration = Duration::ZERO;
/// After how many receives the queues of the suite give a message up.
const MAX_RECEIVES: u32 = 3;

/// What the suite needs beyond [`Queue`]: the other end of it, and its time.
#[async_trait]
trait Driver: Sync {
    type Queue: Queue;
    fn queue(&self) -> &Self::Queue;
    async fn send(&self, body: &str);
    /// Lets the visibility timeout of a received message pass.
    async fn expire(&self, message: &Message);
    /// How many messages are visible, and how many are in flight.
    async fn counts(&self) -> (u64, u64);
    async fn dead_letters(&self) -> Vec<String>;
}

struct InMemory(MemoryQueue);

#[async_trait]
impl Driver for InMemory {
    type Queue = MemoryQueue;

    fn queue(&self) -> &MemoryQueue {
        &self.0
    }

    async fn send(&self, body: &str) {
        self.0.send(body);
    }

    async fn expire(&self, _: &Message) {
        self.0.advance(Duration::from_secs(30));
    }

    async fn counts(&self) -> (u64, u64) {
        let counts = self.0.counts();
        (counts.visible.try_into().unwrap(), counts.in_flight.try_into().unwrap())
    }

    async fn dead_letters(&self) -> Vec<String> {
        self.0.dead_letters()
    }
}

struct OnSqs {
    queue: SqsQueue,
    created: Created,
    moto: Moto,
}

#[async_trait]
impl Driver for OnSqs {
    type Queue = SqsQueue;

    fn queue(&self) -> &SqsQueue {
        &self.queue
    }

    async fn send(&self, body: &str) {
        self.moto.send(&self.created.url, body).await;
    }

    /// Time itself cannot be moved in SQS; giving the message back has the same effect.
    async fn expire(&self, message: &Message) {
        self.queue.change_visibility(&message.receipt, NO_WAIT).await.unwrap();
    }

    async fn counts(&self) -> (u64, u64) {
        self.moto.queue_counts(&self.created.url).await
    }

    async fn dead_letters(&self) -> Vec<String> {
        let dead = self.moto.queue(&self.created.dead_letter_url).await;
        dead.receive(10, NO_WAIT).await.unwrap().into_iter().map(|message| message.body).collect()
    }
}

#[tokio::test]
async fn the_queue_in_memory_conforms() {
    let settings = Settings { max_receive_count: Some(MAX_RECEIVES), ..Settings::default() };
    conforms(&InMemory(MemoryQueue::new(settings))).await;
}

#[tokio::test]
async fn sqs_conforms() {
    let moto = Moto::start();
    let created = moto.create_queue("conformance", MAX_RECEIVES).await;
    let queue = moto.queue(&created.url).await;
    conforms(&OnSqs { queue, created, moto }).await;
}

/// Each part leaves the queue empty.
async fn conforms(driver: &impl Driver) {
    an_empty_receive_is_no_error(driver).await;
    a_message_is_delivered_and_deleted(driver).await;
    a_message_given_back_comes_again(driver).await;
    a_message_kept_stays_invisible(driver).await;
    a_message_not_deleted_in_time_comes_again(driver).await;
    the_receipt_of_a_deleted_message_is_stale(driver).await;
    more_than_ten_are_received_and_deleted(driver).await;
    a_message_received_too_often_dies(driver).await;
}

/// The one message there is.
async fn one(driver: &impl Driver) -> Message {
    let mut messages = driver.queue().receive(10, NO_WAIT).await.unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

async fn none(driver: &impl Driver) {
    let messages = driver.queue().receive(10, NO_WAIT).await.unwrap();
    assert!(messages.is_empty(), "{messages:?}");
}

async fn delete(driver: &impl Driver, message: &Message) {
    let failed = driver.queue().delete(std::slice::from_ref(&message.receipt)).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}

async fn an_empty_receive_is_no_error(driver: &impl Driver) {
    none(driver).await;
    assert!(driver.queue().delete(&[]).await.unwrap().is_empty());
}

async fn a_message_is_delivered_and_deleted(driver: &impl Driver) {
    let body = "{\"text\": \"a + b %20 \u{fc}\u{1f43a}\\n\"}";
    driver.send(body).await;
    assert_eq!(driver.counts().await, (1, 0));
    let message = one(driver).await;
    assert_eq!((message.body.as_str(), message.receive_count), (body, 1));
    assert!(!message.id.is_empty() && !message.receipt.is_empty());
    assert_eq!(driver.counts().await, (0, 1));
    none(driver).await;
    delete(driver, &message).await;
    assert_eq!(driver.counts().await, (0, 0));
    delete(driver, &message).await;
}

async fn a_message_given_back_comes_again(driver: &impl Driver) {
    driver.send("a").await;
    let first = one(driver).await;
    driver.queue().change_visibility(&first.receipt, NO_WAIT).await.unwrap();
    assert_eq!(driver.counts().await, (1, 0));
    let second = one(driver).await;
    assert_eq!((second.id.as_str(), second.receive_count), (first.id.as_str(), 2));
    assert_ne!(second.receipt, first.receipt);
    delete(driver, &second).await;
    none(driver).await;
}

async fn a_message_kept_stays_invisible(driver: &impl Driver) {
    driver.send("a").await;
    let message = one(driver).await;
    // Far too long is as long as possible.
    for seconds in [60, 1_000_000] {
        let visibility = Duration::from_secs(seconds);
        driver.queue().change_visibility(&message.receipt, visibility).await.unwrap();
        none(driver).await;
    }
    delete(driver, &message).await;
}

async fn a_message_not_deleted_in_time_comes_again(driver: &impl Driver) {
    driver.send("a").await;
    let first = one(driver).await;
    driver.expire(&first).await;
    let second = one(driver).await;
    assert_eq!((second.id.as_str(), second.receive_count), (first.id.as_str(), 2));
    delete(driver, &second).await;
}

async fn the_receipt_of_a_deleted_message_is_stale(driver: &impl Driver) {
    driver.send("a").await;
    let message = one(driver).await;
    delete(driver, &message).await;
    let receipts = [message.receipt.as_str(), "never-given-out"];
    for receipt in receipts {
        let error = driver.queue().change_visibility(receipt, NO_WAIT).await.unwrap_err();
        assert!(matches!(error, Error::StaleReceipt { .. }), "{receipt}: {error:?}");
    }
    let failed = driver.queue().delete(&["never-given-out".to_owned()]).await.unwrap();
    assert_eq!(failed, ["never-given-out"]);
}

async fn more_than_ten_are_received_and_deleted(driver: &impl Driver) {
    let sent: BTreeSet<String> = (0..23).map(|number| format!("body {number}")).collect();
    for body in &sent {
        driver.send(body).await;
    }
    let mut received = Vec::new();
    while received.len() < sent.len() {
        // More than a queue gives at once.
        let messages = driver.queue().receive(25, NO_WAIT).await.unwrap();
        assert!((1..=10).contains(&messages.len()), "{messages:?}");
        received.extend(messages);
    }
    assert_eq!(received.iter().map(|message| message.body.clone()).collect::<BTreeSet<_>>(), sent);
    let mut receipts: Vec<_> = received.into_iter().map(|message| message.receipt).collect();
    receipts.insert(12, "never-given-out".to_owned());
    assert_eq!(driver.queue().delete(&receipts).await.unwrap(), ["never-given-out"]);
    assert_eq!(driver.counts().await, (0, 0));
}

async fn a_message_received_too_often_dies(driver: &impl Driver) {
    driver.send("poison").await;
    for receive in 1..=MAX_RECEIVES {
        let message = one(driver).await;
        assert_eq!(message.receive_count, receive);
        driver.expire(&message).await;
    }
    driver.send("good").await;
    let good = one(driver).await;
    assert_eq!(good.body, "good", "is not held up");
    assert_eq!(driver.dead_letters().await, ["poison"]);
    delete(driver, &good).await;
    none(driver).await;
}
