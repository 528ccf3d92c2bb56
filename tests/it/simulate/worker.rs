//! One worker, as plain as can be: what the real one does at the same time, it does one after the other.
//!
//! Notifications, reading, the lake's commit, the rule of what may be deleted: all of that is the program's own.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use trailhound::clock::Clock;
use trailhound::decode::gzip;
use trailhound::ingest::fetch;
use trailhound::ingest::lease::{Leases, Pending, delete};
use trailhound::ingest::notification::{self, Announcement, Notification};
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{Lake, ObjectName, ReadObject};
use trailhound::queue::{Message, Queue};
use trailhound::store::LakeStore;

use super::Mutant;
use super::queue::LyingQueue;
use super::world::{World, WorldClock, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// Waits for a time from a range.
pub async fn pause(world: &World, seconds: std::ops::Range<u32>, why: &str) {
    let seconds = world.draw(|random| rand::Rng::random_range(random, seconds));
    world.note(why);
    sleep(world.clone(), SECOND * seconds).await;
}

/// What a life begins with: nothing that another life left behind.
pub struct Worker {
    pub world: World,
    pub place: LakeStore,
    pub queue: LyingQueue,
    pub logs: Arc<dyn ObjectStore>,
    pub leases: Leases,
    pub mutant: Mutant,
}

impl Worker {
    /// Works until it dies.
    pub async fn live(self) {
        let clock: Arc<dyn Clock> = Arc::new(WorldClock(self.world.clone()));
        let lake = loop {
            match Lake::create(self.place.clone(), Arc::clone(&clock)).await {
                Ok(lake) => break lake,
                Err(_) => self.pause(1..60, "no lake").await,
            }
        };
        let reader = Reader::new(gzip::Limits::default(), clock);
        loop {
            match self.queue.receive(10, Duration::ZERO).await {
                Err(_) => self.pause(1..30, "no answer of the queue").await,
                Ok(messages) if messages.is_empty() => self.pause(5..120, "no messages").await,
                Ok(messages) => self.settle(&lake, &reader, messages).await,
            }
        }
    }

    async fn pause(&self, seconds: std::ops::Range<u32>, why: &str) {
        pause(&self.world, seconds, why).await;
    }

    /// Brings what messages announce into the lake, and deletes those of which all is there.
    async fn settle(&self, lake: &Lake, reader: &Reader, messages: Vec<Message>) {
        if self.mutant == Mutant::AcknowledgesBeforeCommit {
            let receipts: Vec<String> = messages.iter().map(|message| message.receipt.clone()).collect();
            let _ = self.queue.delete(&receipts).await;
        }
        let mut held = Vec::new();
        let mut batch = Vec::new();
        for message in messages {
            let Ok(Notification::Objects(objects)) = notification::parse(&message.body) else { continue };
            let Some(count) = NonZeroUsize::new(objects.len()) else { continue };
            let mut pending = self.leases.lease(message).announcing(count);
            self.read(lake, reader, objects, &mut pending, &mut batch).await;
            held.push(pending);
        }
        if !batch.is_empty() {
            let Ok(report) = lake.commit(batch).await else {
                return self.pause(1..120, "no commit").await;
            };
            for pending in &mut held {
                pending.settle(&report.committed);
            }
        }
        let settled: Vec<_> = held.into_iter().filter_map(|pending| pending.acknowledge().ok()).collect();
        if !settled.is_empty() && self.mutant != Mutant::AcknowledgesBeforeCommit {
            delete(&self.queue, settled).await;
        }
        // Mostly, as a worker may die or be late; but an index does not forget.
        if self.mutant != Mutant::Forgets && self.world.chance(0.4) {
            let _ = lake.update_index().await;
        }
    }

    /// Reads the objects of a message that the lake does not have.
    async fn read(
        &self,
        lake: &Lake,
        reader: &Reader,
        objects: Vec<Announcement>,
        pending: &mut Pending,
        batch: &mut Vec<ReadObject>,
    ) {
        fn name(object: &Announcement) -> Option<ObjectName<'_>> {
            Some(ObjectName::new(&object.bucket, &object.key, object.etag.as_deref()?))
        }
        let names: Vec<ObjectName<'_>> = objects.iter().filter_map(name).collect();
        let known = lake.known(&names).await.ok();
        for object in objects {
            if let (Some(id), Some(known)) = (name(&object).map(|name| name.id()), &known)
                && known.settles(id)
            {
                pending.read(id);
                continue;
            }
            let limit = reader.max_object_bytes();
            let Ok(fetched) = fetch::object(&object.bucket, self.logs.as_ref(), &object.key, limit).await
            else {
                continue;
            };
            let read = reader.read(&Fetched { announced_at: None, ..fetched });
            pending.read(read.record.object_id);
            batch.push(read);
        }
        if let Some(known) = &known {
            pending.settle(known);
        }
    }
}
