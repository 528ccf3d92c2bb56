//! The queue as a worker sees it: the queue in memory, which duplicates, delays, reorders and loses answers, with its
//! clock set by the world; and the rule that nothing is deleted before it is in the lake.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use trailhound::ingest::notification::{self, Notification};
use trailhound::lake::ObjectId;
use trailhound::queue::memory::MemoryQueue;
use trailhound::queue::{Error, Message, Queue};

use super::store::Durable;
use super::world::{Kind, World};

/// Bodies by receipt, of every receive there was.
pub type Receipts = Arc<Mutex<HashMap<String, String>>>;

/// The queue for one life of a worker.
pub struct LyingQueue {
    pub world: World,
    pub inner: Arc<MemoryQueue>,
    pub receipts: Receipts,
    pub durable: Durable,
    /// Objects by bucket and key, as identified by the bytes that are there.
    pub identities: Arc<HashMap<String, ObjectId>>,
}

fn unavailable() -> Error {
    Error::Unavailable { queue: "simulated".to_owned(), source: "injected fault".into() }
}

#[async_trait]
impl Queue for LyingQueue {
    async fn receive(&self, max: usize, _wait: Duration) -> Result<Vec<Message>, Error> {
        let (inner, receipts) = (Arc::clone(&self.inner), Arc::clone(&self.receipts));
        let apply = move || {
            let result = inner.receive(max, Duration::ZERO).now_or_never().expect("it waits for nothing");
            for message in result.iter().flatten() {
                receipts.lock().unwrap().insert(message.receipt.clone(), message.body.clone());
            }
            result
        };
        let answer = |done: Option<_>, _| done.unwrap_or_else(|| Err(unavailable()));
        self.world.request(Kind::Queue, "receive".to_owned(), apply, answer).await
    }

    async fn change_visibility(&self, receipt: &str, visibility: Duration) -> Result<(), Error> {
        let (inner, receipt) = (Arc::clone(&self.inner), receipt.to_owned());
        let what = format!("change visibility of {receipt}");
        let apply =
            move || inner.change_visibility(&receipt, visibility).now_or_never().expect("memory answers");
        let answer = |done: Option<_>, _| done.unwrap_or_else(|| Err(unavailable()));
        self.world.request(Kind::Queue, what, apply, answer).await
    }

    async fn delete(&self, receipts: &[String]) -> Result<Vec<String>, Error> {
        for receipt in receipts {
            self.check(receipt);
        }
        let (inner, receipts) = (Arc::clone(&self.inner), receipts.to_vec());
        let what = format!("delete {}", receipts.join(" "));
        let apply = move || inner.delete(&receipts).now_or_never().expect("memory answers");
        let answer = |done: Option<_>, _| done.unwrap_or_else(|| Err(unavailable()));
        self.world.request(Kind::Queue, what, apply, answer).await
    }
}

impl LyingQueue {
    /// Whoever asks for a message to be deleted must have all of it in the lake.
    fn check(&self, receipt: &str) {
        let body = self.receipts.lock().unwrap()[receipt].clone();
        let Ok(Notification::Objects(objects)) = notification::parse(&body) else { return };
        for object in objects {
            let id = self.identities[&object.key];
            if !self.durable.lock().unwrap().contains_key(&id) {
                self.world
                    .violation(format!("{receipt} is deleted, and `{}` is not in the lake", object.key));
            }
        }
    }
}
