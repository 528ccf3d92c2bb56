//! The protocol that adds each object once, under a world that lies, crashes and reorders, all from a seed.
//!
//! Two to four workers share a queue and a lake. The lake's commit, its ledger and log, the reading of objects and the
//! rule of what may be deleted are the program's own; the store, the queue and the time are fakes. In a run, puts are
//! carried out and reported as failed, fail and are reported as taken, or land hours later; answers are lost; messages
//! come twice, late, and in any order; workers die in any request, stand still for hours, and start again with nothing.
//! When the faults end and all is worked off, every object must be in the lake exactly once. And since a test that never
//! fails shows nothing, workers with one thing wrong are run too, and must be caught.
//!
//! The same seed gives the same run. A failure prints its seed, what happened last, and the command to see it again.
//!
//! - `TRAILHOUND_SEEDS=100000` runs so many seeds instead of the few of every day,
//! - `TRAILHOUND_FIRST_SEED=7` begins with this one,
//! - `TRAILHOUND_MUTANT_SEEDS=2000` gives each mutant so many, and counts how many of them catch it.

mod check;
mod queue;
mod store;
mod worker;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::Rng;
use serde_json::json;
use trailhound::ingest::lease::{Leases, Timing};
use trailhound::lake::{Action, Lake, ObjectId, TABLES};
use trailhound::queue::memory::{self, Faults, MemoryQueue};
use trailhound::store::{self as places, AwsSettings, LakeStore, Location};

use crate::worker::cloudtrail;
use queue::LyingQueue;
use store::LyingStore;
use worker::Worker;
use world::{Counts, Event, LIFE, Life, World, WorldClock};

/// Where the lake is in the store.
const ROOT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/simulated/lake");
/// After so long nothing goes wrong any more.
const FAULTS_END: Duration = Duration::from_hours(2);
/// A run that takes more steps than this does not come to rest.
const MOST_STEPS: u64 = 15_000;

/// What is wrong with the workers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing.
    None,
    AcknowledgesBeforeCommit,
    /// No commit is ever seen to name an object.
    HasNoLedger,
    /// After a put that was not seen to succeed, its version counts as taken by others, whatever is in it.
    DoesNotReadAgain,
    /// Of versions that are not among the newest, the objects are forgotten.
    Forgets,
    PutsUnconditionally,
    /// After a put that was not seen to succeed, the version after it is tried, though nothing is there.
    SkipsUnresolved,
}

const MUTANTS: [Mutant; 6] = [
    Mutant::AcknowledgesBeforeCommit,
    Mutant::HasNoLedger,
    Mutant::DoesNotReadAgain,
    Mutant::Forgets,
    Mutant::PutsUnconditionally,
    Mutant::SkipsUnresolved,
];

/// How a run went.
#[derive(Debug, PartialEq)]
struct Outcome {
    seed: u64,
    /// Of all that happened, in its order.
    hash: u64,
    counts: Counts,
    violations: Vec<String>,
    tail: Vec<String>,
}

/// The place of the simulated lake in a store.
async fn place(store: Arc<dyn ObjectStore>) -> LakeStore {
    LazyLock::force(&DIRECTORIES);
    let mut place = places::lake(&Location::Local(ROOT.into()), &AwsSettings::default()).await.unwrap();
    place.store = store;
    place
}

/// `deltalake` wants the directories of a local table to be there, wherever its files are; these stay empty.
static DIRECTORIES: LazyLock<()> = LazyLock::new(|| {
    for table in TABLES {
        std::fs::create_dir_all(format!("{ROOT}/{}", table.name)).unwrap();
    }
});

/// The keeper of messages; it never extends one, so that they expire as the simulated time wills.
static LEASES: LazyLock<Leases> = LazyLock::new(|| {
    let timing = Timing { interval: Duration::from_hours(1000), ..Timing::of(Duration::from_hours(1)) };
    Leases::start(Arc::new(MemoryQueue::new(memory::Settings::default())), timing).unwrap()
});

/// The source: objects, what identifies them, and how many rows they have.
struct Source {
    logs: Arc<InMemory>,
    keys: Vec<String>,
    identities: Arc<HashMap<String, ObjectId>>,
    etags: HashMap<String, String>,
    rows: BTreeMap<ObjectId, usize>,
}

impl Source {
    fn new(world: &World) -> Self {
        let logs = Arc::new(InMemory::new());
        let (mut keys, mut identities) = (Vec::new(), HashMap::new());
        let (mut etags, mut rows) = (HashMap::new(), BTreeMap::new());
        for number in 0..world.draw(|random| random.random_range(3..10)) {
            let count: usize = world.draw(|random| random.random_range(0..4));
            let (key, content) = if world.chance(0.2) {
                let events = cloudtrail((0..count).map(|event| format!("{number}-{event}")));
                (format!("AWSLogs/1/CloudTrail/us-east-1/2026/03/10/{number}.json"), events)
            } else {
                (format!("AWSLogs/1/vpcflowlogs/us-east-1/2026/03/10/{number}.log"), flows(count))
            };
            let put = logs.put(&Path::from(key.as_str()), content.into()).now_or_never().unwrap().unwrap();
            let etag = put.e_tag.unwrap();
            let id = ObjectId::new("logs", &key, &etag);
            identities.insert(key.clone(), id);
            etags.insert(key.clone(), etag);
            rows.insert(id, count);
            keys.push(key);
        }
        Source { logs, keys, identities: Arc::new(identities), etags, rows }
    }

    /// A message that announces objects, each with or without its etag.
    fn announcement(&self, world: &World, keys: &[&String]) -> String {
        let record = |key: &&String| {
            let mut object = json!({ "key": key });
            if world.chance(0.5) {
                object["eTag"] = json!(self.etags[*key]);
            }
            json!({
                "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                "eventTime": "2026-03-10T12:15:00.000Z",
                "s3": { "bucket": { "name": "logs" }, "object": object },
            })
        };
        json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() }).to_string()
    }

    /// The messages: every object at least once, many more often, some of them hours later.
    fn messages(&self, world: &World) -> Vec<(Duration, String)> {
        let mut messages = Vec::new();
        for key in &self.keys {
            for again in 0..world.draw(|random| random.random_range(1..4)) {
                let hour = Duration::from_hours(1);
                // In bursts, so that several workers have something to do at the same time.
                let burst = hour / 4 * world.draw(|random| random.random_range(0..3));
                let late = hour * world.draw(|random| random.random_range(0..5));
                let at = if again == 0 || world.chance(0.5) { burst } else { burst + late };
                let other = &self.keys[world.draw(|random| random.random_range(0..self.keys.len()))];
                let keys = if world.chance(0.3) { vec![key, other] } else { vec![key] };
                messages.push((at, self.announcement(world, &keys)));
            }
        }
        messages
    }
}

/// A flow log.
fn flows(count: usize) -> Vec<u8> {
    let mut text =
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start \
                    end action log-status\n"
            .to_owned();
    for row in 0..count {
        text.push_str("2 123456789010 eni-1 10.0.0.1 10.0.0.2 ");
        text.push_str(&row.to_string());
        text.push_str(" 22 6 20 4249 1773144000 1773144060 ACCEPT OK\n");
    }
    text.into_bytes()
}

/// A run.
struct Run {
    world: World,
    mutant: Mutant,
    source: Source,
    lake: Arc<InMemory>,
    durable: store::Durable,
    queue: Arc<MemoryQueue>,
    receipts: queue::Receipts,
    lives: BTreeMap<Life, Pin<Box<dyn Future<Output = ()> + Send>>>,
    next_life: Life,
    unsent: Arc<Mutex<usize>>,
}

impl Run {
    fn new(seed: u64, mutant: Mutant) -> Self {
        let world = World::new(seed);
        let source = Source::new(&world);
        let faults = Faults { seed, duplicate: 0.3, pass_over: 0.2, fail: 0.1 };
        let visibility = Duration::from_secs(world.draw(|random| random.random_range(20..600)));
        let settings = memory::Settings { visibility, max_receive_count: None, faults };
        Run {
            source,
            mutant,
            lake: Arc::default(),
            durable: Arc::default(),
            queue: Arc::new(MemoryQueue::new(settings)),
            receipts: Arc::default(),
            lives: BTreeMap::new(),
            next_life: 0,
            unsent: Arc::default(),
            world,
        }
    }

    fn schedule(&self) {
        let messages = self.source.messages(&self.world);
        *self.unsent.lock().unwrap() = messages.len();
        for (at, body) in messages {
            let (queue, unsent) = (Arc::clone(&self.queue), Arc::clone(&self.unsent));
            let send = move || {
                queue.send(body);
                *unsent.lock().unwrap() -= 1;
            };
            self.world.later(at, Event::Outside(Box::new(send)));
        }
        for _ in 0..self.world.draw(|random| random.random_range(2..5)) {
            let at = self.world.draw(|random| random.random_range(0..60));
            self.world.later(Duration::from_secs(at), Event::Start);
        }
        let world = self.world.clone();
        self.world.later(FAULTS_END, Event::Outside(Box::new(move || world.become_honest())));
    }

    fn store(&self, inner: &Arc<InMemory>) -> Arc<dyn ObjectStore> {
        Arc::new(LyingStore {
            world: self.world.clone(),
            inner: Arc::clone(inner),
            durable: Arc::clone(&self.durable),
            mutant: self.mutant,
            unresolved: Arc::default(),
        })
    }

    async fn worker(&self) -> Worker {
        Worker {
            world: self.world.clone(),
            place: place(self.store(&self.lake)).await,
            queue: LyingQueue {
                world: self.world.clone(),
                inner: Arc::clone(&self.queue),
                receipts: Arc::clone(&self.receipts),
                durable: Arc::clone(&self.durable),
                identities: Arc::clone(&self.source.identities),
            },
            logs: self.store(&self.source.logs),
            leases: LEASES.clone(),
            mutant: self.mutant,
        }
    }

    /// Lets a life go on until it waits for an answer.
    async fn go_on(&mut self, life: Life) {
        let Some(work) = self.lives.get_mut(&life) else { return };
        let world = &self.world;
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Pending if !world.is_waiting(life) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    async fn on(&mut self, event: Event) {
        match event {
            Event::Apply(act) | Event::Outside(act) => act(),
            Event::Answer(life, tell) => {
                self.world.answered(life);
                tell();
                self.go_on(life).await;
            }
            Event::Crash(life) => {
                if self.lives.remove(&life).is_some() {
                    self.world.bury(life);
                    self.world.note(&format!("{life} dies"));
                    self.world.count(|counts| counts.crashes += 1);
                    let pause = self.world.draw(|random| random.random_range(1..600));
                    self.world.later(Duration::from_secs(pause), Event::Start);
                }
            }
            Event::Start => {
                let life = self.next_life;
                self.next_life += 1;
                self.world.note(&format!("{life} is born"));
                let work = self.worker().await.live();
                self.lives.insert(life, Box::pin(LIFE.scope(life, work)));
                self.go_on(life).await;
            }
        }
    }

    fn is_over(&self) -> bool {
        let left = self.queue.counts();
        self.world.is_honest()
            && left.visible + left.in_flight == 0
            && *self.unsent.lock().unwrap() == 0
            && self.world.nothing_is_on_its_way()
    }

    /// Makes the lake, with logs that are about to get their first checkpoint.
    async fn grow_old(&self) {
        let place = place(Arc::clone(&self.lake) as _).await;
        let lake = Lake::create(place, Arc::new(WorldClock(self.world.clone()))).await.unwrap();
        for table in ["vpc_flow", "objects"] {
            for version in 1..=48 {
                let nothing = Action::info("WRITE", 0, json!({}));
                lake.log(table).unwrap().try_commit(version, &[nothing]).await.unwrap();
            }
        }
    }

    async fn run(mut self, seed: u64) -> Outcome {
        if seed % 10 == 9 {
            self.grow_old().await;
        }
        self.schedule();
        let mut steps = 0;
        while !self.is_over() {
            steps += 1;
            if self.mutant != Mutant::None && !self.world.violations().is_empty() {
                // Caught.
                break;
            }
            if steps > MOST_STEPS {
                self.world.violation("it does not come to rest");
                break;
            }
            let before = self.world.now();
            let Some(event) = self.world.next() else { break };
            self.queue.advance(self.world.now().saturating_sub(before));
            self.on(event).await;
        }
        self.lives.clear();
        check::check(&self.world, &self.lake, &self.durable, &self.source.rows, &self.source.etags).await;
        Outcome {
            seed,
            hash: self.world.hash(),
            counts: self.world.counts(),
            violations: self.world.violations(),
            tail: self.world.tail(),
        }
    }
}

/// Tells the seed of a run that panics.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", again(self.0));
        }
    }
}

fn again(seed: u64) -> String {
    format!(
        "again: TRAILHOUND_FIRST_SEED={seed} TRAILHOUND_SEEDS=1 cargo test --test it simulate::objects_are"
    )
}

fn simulate(seed: u64, mutant: Mutant) -> Outcome {
    let _told = Told(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Run::new(seed, mutant).run(seed))
}

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().expect("a number"))
}

fn seeds(of_every_day: u64) -> std::ops::Range<u64> {
    let first = number("TRAILHOUND_FIRST_SEED").unwrap_or(0);
    first..first + number("TRAILHOUND_SEEDS").unwrap_or(of_every_day)
}

#[test]
fn the_same_seed_is_the_same_run() {
    let mut hashes = Vec::new();
    for seed in 0..4 {
        let (first, second) = (simulate(seed, Mutant::None), simulate(seed, Mutant::None));
        let different = first.tail.iter().zip(&second.tail).find(|(a, b)| a != b);
        assert_eq!(first.hash, second.hash, "seed {seed}: {different:#?}");
        assert_eq!(first, second);
        hashes.push(first.hash);
        println!("seed {seed}: {:016x}", first.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4, "another seed is another run");
}

#[test]
fn objects_are_in_the_lake_once_whatever_happens() {
    let started = Instant::now();
    let mut all = Counts::default();
    let seeds = seeds(20);
    for (done, seed) in seeds.clone().enumerate() {
        let Outcome { counts, violations, tail, .. } = simulate(seed, Mutant::None);
        assert!(
            violations.is_empty(),
            "{}\n\nseed {seed}: {violations:#?}\n{}",
            tail.join("\n"),
            again(seed)
        );
        all.requests += counts.requests;
        all.crashes += counts.crashes;
        all.late += counts.late;
        all.races += counts.races;
        all.lies += counts.lies;
        if (done + 1) % 1000 == 0 {
            println!("{} seeds, {} s", done + 1, started.elapsed().as_secs());
        }
    }
    let count = seeds.end - seeds.start;
    println!("{count} seeds in {:.1} s without a violation: {all:?}", started.elapsed().as_secs_f64());
    if count >= 10 {
        assert!(
            all.crashes > 0 && all.late > 0 && all.races > 0 && all.lies > 0,
            "nothing happened: {all:?}"
        );
    }
}

#[test]
fn workers_with_one_thing_wrong_are_caught() {
    let wanted = number("TRAILHOUND_MUTANT_SEEDS");
    let first = number("TRAILHOUND_FIRST_SEED").unwrap_or(0);
    for mutant in MUTANTS {
        let (mut runs, mut caught) = (0, 0);
        let mut reason = String::new();
        for seed in first..first + wanted.unwrap_or(40) {
            runs += 1;
            if let Some(violation) = simulate(seed, mutant).violations.into_iter().next() {
                caught += 1;
                reason = violation;
                if wanted.is_none() {
                    break;
                }
            }
        }
        println!("{mutant:?}: caught by {caught} of {runs} seeds, as {reason}");
        assert!(caught > 0, "{mutant:?} is not caught");
    }
}
