//! The protocol that adds each object once, under a world that lies, crashes and reorders, all from a seed.
//!
//! Two to four workers share a queue and a lake, and in half of the runs one or two others compact it, expire its days,
//! delete rows and delete files that nothing names. All of that, the lake's commit, its ledger and log, the reading of
//! objects and the rule of what may be deleted are the program's own; the store, the queue and the time are fakes. In a
//! run, puts are carried out and reported as failed, fail and are reported as taken, or land hours later; answers are
//! lost; messages come twice, late, and in any order; everybody dies in any request, stands still for hours, and starts
//! again with nothing; and the store's clock may run a hundred thousand times as fast as time, so that the age of a file
//! protects nothing. When the faults end and all is worked off, every row must be in the lake once, or have been taken
//! out once for its reason. And since a test that never fails shows nothing, workers with one thing wrong are run too,
//! and must be caught.
//!
//! The same seed gives the same run. A failure prints its seed, what happened last, and the command to see it again.
//!
//! Opening a table by `deltalake` is most of what a run costs. So one run of eight does that, and the others read the
//! logs version by version, by code that is in debug builds only; and in these, requests of one worker that it makes side
//! by side are under way side by side.
//!
//! - `TRAILHOUND_SEEDS=100000` runs so many seeds instead of the few of every day, and `the_same_seed` each of them twice,
//! - `TRAILHOUND_FIRST_SEED=7` begins with this one,
//! - `TRAILHOUND_MUTANT_SEEDS=2000` gives each mutant so many, and counts how many of them catch it.

mod check;
mod maintainer;
mod queue;
mod store;
mod worker;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::FutureExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::Rng;
use serde_json::json;
use tokio::task::unconstrained;
use trailhound::ingest::lease::{Leases, Timing};
use trailhound::lake::{Action, Lake, ObjectId, TABLES};
use trailhound::queue::memory::{self, Faults, MemoryQueue};
use trailhound::store::{self as places, AwsSettings, LakeStore, Location};

use crate::worker::cloudtrail;
use check::{Row, Sent};
use maintainer::Maintainer;
use queue::LyingQueue;
use store::{LyingStore, Stored};
use worker::Worker;
use world::{Counts, Event, LIFE, Life, Role, World, WorldClock};

/// Where the lake is in the store.
const ROOT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/simulated/lake");
/// After so long nothing goes wrong any more.
const FAULTS_END: Duration = Duration::from_hours(2);
/// A run that takes more steps than this does not come to rest; a request that is carried out hours late makes it long.
const MOST_STEPS: u64 = 40_000;

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
    /// Puts files in the place of others without looking whether these are still there.
    RewritesWhatIsGone,
    /// Reads the log, and deletes an hour later what it did not name, without announcing it.
    VacuumsByAnOldLog,
}

impl Mutant {
    /// Whether it shows only where somebody keeps the lake in order.
    fn is_of_maintenance(self) -> bool {
        use Mutant::{RewritesWhatIsGone, VacuumsByAnOldLog};
        matches!(self, RewritesWhatIsGone | VacuumsByAnOldLog)
    }
}

const MUTANTS: [Mutant; 8] = [
    Mutant::AcknowledgesBeforeCommit,
    Mutant::HasNoLedger,
    Mutant::DoesNotReadAgain,
    Mutant::Forgets,
    Mutant::PutsUnconditionally,
    Mutant::SkipsUnresolved,
    Mutant::RewritesWhatIsGone,
    Mutant::VacuumsByAnOldLog,
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

/// The source: objects, what identifies them, and their rows.
struct Source {
    logs: Arc<Stored>,
    keys: Vec<String>,
    identities: Arc<HashMap<String, ObjectId>>,
    etags: HashMap<String, String>,
    sent: Sent,
}

impl Source {
    fn new(world: &World) -> Self {
        let logs = Arc::new(Stored::new(1));
        let (mut keys, mut identities) = (Vec::new(), HashMap::new());
        let (mut etags, mut sent) = (HashMap::new(), Sent::new());
        for number in 0..world.draw(|random| random.random_range(3..10)) {
            let count: usize = world.draw(|random| random.random_range(0..4));
            let (key, content, rows) = if world.chance(0.3) {
                let (content, rows) = events(world, number, count);
                (format!("AWSLogs/1/CloudTrail/us-east-1/2026/03/10/{number}.json"), content, rows)
            } else {
                let (content, rows) = flows(world, count);
                (format!("AWSLogs/1/vpcflowlogs/us-east-1/2026/03/10/{number}.log"), content, rows)
            };
            let path = Path::from(key.as_str());
            let put = logs.files.put(&path, content.into()).now_or_never().unwrap();
            let etag = put.unwrap().e_tag.unwrap();
            let id = ObjectId::new("logs", &key, &etag);
            identities.insert(key.clone(), id);
            etags.insert(key.clone(), etag);
            sent.insert(id, rows);
            keys.push(key);
        }
        Source { logs, keys, identities: Arc::new(identities), etags, sent }
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

/// A `CloudTrail` object, some of whose events are in other objects too.
fn events(world: &World, number: usize, count: usize) -> (Vec<u8>, Vec<Row>) {
    let id = |event: usize| {
        if world.chance(0.4) {
            format!("same-{}", world.draw(|random| random.random_range(0..3)))
        } else {
            format!("{number}-{event}")
        }
    };
    let ids: Vec<String> = (0..count).map(id).collect();
    let row = |id: &String| Row { event: Some(id.clone()), unwanted: id == "same-0", old: false };
    (cloudtrail(ids.clone()), ids.iter().map(row).collect())
}

/// A flow log, of one day or of three.
fn flows(world: &World, count: usize) -> (Vec<u8>, Vec<Row>) {
    let mut text =
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start \
                    end action log-status\n"
            .to_owned();
    let mut rows = Vec::new();
    let days = if world.chance(0.3) { 3 } else { 1 };
    for row in 0..count {
        let days_ago = world.draw(|random| random.random_range(0..days));
        let start = 1_773_144_000 - 86_400 * days_ago;
        let end = start + 60;
        let line =
            format!("2 123456789010 eni-1 10.0.0.1 10.0.0.2 {row} 22 6 20 4249 {start} {end} ACCEPT OK\n");
        text.push_str(&line);
        rows.push(Row { event: None, unwanted: row == 1, old: days_ago == 2 });
    }
    (text.into_bytes(), rows)
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A run.
struct Run {
    world: World,
    mutant: Mutant,
    source: Source,
    lake: Arc<Stored>,
    durable: store::Durable,
    queue: Arc<MemoryQueue>,
    receipts: queue::Receipts,
    lives: BTreeMap<Life, (Role, Work)>,
    next_life: Life,
    unsent: Arc<Mutex<usize>>,
}

impl Run {
    fn new(seed: u64, mutant: Mutant) -> Self {
        // What `deltalake` asks for goes on beside its threads.
        let world = World::new(seed, !by_deltalake(seed));
        let source = Source::new(&world);
        let faults = Faults { seed, duplicate: 0.3, pass_over: 0.2, fail: 0.1 };
        let visibility = Duration::from_secs(world.draw(|random| random.random_range(20..600)));
        let settings = memory::Settings { visibility, max_receive_count: None, faults };
        let pace = world.draw(|random| [1, 2_000, 100_000][random.random_range(0..3)]);
        let pace = if mutant.is_of_maintenance() { 100_000 } else { pace };
        Run {
            source,
            mutant,
            lake: Arc::new(Stored::new(pace)),
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
            self.world.later(Duration::from_secs(at), Event::Start(Role::Worker));
        }
        let maintainers = self.world.draw(|random| [0, 0, 1, 2][random.random_range(0..4)]);
        for _ in 0..if self.mutant.is_of_maintenance() { 2 } else { maintainers } {
            let at = self.world.draw(|random| random.random_range(0..3600));
            self.world.later(Duration::from_secs(at), Event::Start(Role::Maintainer));
        }
        let world = self.world.clone();
        self.world.later(FAULTS_END, Event::Outside(Box::new(move || world.become_honest())));
    }

    fn store(&self, inner: &Arc<Stored>) -> LyingStore {
        LyingStore {
            world: self.world.clone(),
            inner: Arc::clone(inner),
            durable: Arc::clone(&self.durable),
            mutant: self.mutant,
            memory: Arc::default(),
        }
    }

    async fn worker(&self) -> Worker {
        Worker {
            world: self.world.clone(),
            place: place(Arc::new(self.store(&self.lake))).await,
            queue: LyingQueue {
                world: self.world.clone(),
                inner: Arc::clone(&self.queue),
                receipts: Arc::clone(&self.receipts),
                durable: Arc::clone(&self.durable),
                identities: Arc::clone(&self.source.identities),
            },
            logs: Arc::new(self.store(&self.source.logs)),
            leases: LEASES.clone(),
            mutant: self.mutant,
        }
    }

    async fn maintainer(&self) -> Maintainer {
        let store = self.store(&self.lake);
        let memory = Arc::clone(&store.memory);
        Maintainer { world: self.world.clone(), place: place(Arc::new(store)).await, memory }
    }

    /// Lets a life go on until it waits for an answer.
    async fn go_on(&mut self, life: Life) {
        let Some((_, work)) = self.lives.get_mut(&life) else { return };
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
                tell();
                self.go_on(life).await;
            }
            Event::Crash(life) => {
                if let Some((role, _)) = self.lives.remove(&life) {
                    self.world.bury(life);
                    self.world.note(&format!("{life} dies"));
                    self.world.count("crashes");
                    let pause = self.world.draw(|random| random.random_range(1..600));
                    self.world.later(Duration::from_secs(pause), Event::Start(role));
                }
            }
            Event::Start(role) => {
                let life = self.next_life;
                self.next_life += 1;
                self.world.note(&format!("{life} is born, a {role:?}"));
                // Unconstrained: how much of its turn is left depends on how often the threads made it wait.
                let work: Work = match role {
                    Role::Worker => Box::pin(unconstrained(LIFE.scope(life, self.worker().await.live()))),
                    Role::Maintainer => {
                        Box::pin(unconstrained(LIFE.scope(life, self.maintainer().await.live())))
                    }
                };
                self.lives.insert(life, (role, work));
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
        let place = place(Arc::clone(&self.lake.files) as _).await;
        let lake = Lake::create(place, Arc::new(WorldClock(self.world.clone()))).await.unwrap();
        for table in ["vpc_flow", "objects"] {
            for version in 1..=48 {
                let nothing = Action::info("WRITE", 0, &json!({})).expect("is written");
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
                let (left, unsent) = (self.queue.counts(), *self.unsent.lock().unwrap());
                let is_done = self.world.nothing_is_on_its_way();
                self.world.violation(format!(
                    "it does not come to rest: {} messages visible, {} in flight, {unsent} to be sent, requests all done: {is_done}",
                    left.visible, left.in_flight
                ));
                break;
            }
            let before = self.world.now();
            let Some(event) = self.world.next() else { break };
            self.queue.advance(self.world.now().saturating_sub(before));
            self.on(event).await;
        }
        self.lives.clear();
        check::check(&self.world, &self.lake.files, &self.durable, &self.source.sent, &self.source.etags)
            .await;
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

/// Whether the tables of a run are opened by `deltalake`.
fn by_deltalake(seed: u64) -> bool {
    seed.is_multiple_of(8)
}

fn simulate(seed: u64, mutant: Mutant) -> Outcome {
    let _told = Told(seed);
    #[cfg(debug_assertions)]
    trailhound::lake::replay_logs(!by_deltalake(seed));
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
    for seed in seeds(4) {
        let (first, second) = (simulate(seed, Mutant::None), simulate(seed, Mutant::None));
        let different = first.tail.iter().zip(&second.tail).find(|(a, b)| a != b);
        assert_eq!(first.hash, second.hash, "seed {seed}: {different:#?}");
        assert_eq!(first, second);
        hashes.push(first.hash);
        println!("seed {seed}: {:016x}", first.hash);
    }
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count, "another seed is another run");
}

/// Runs seeds on all cores; each outcome is told once, in the order in which they end.
fn for_each_seed(
    seeds: std::ops::Range<u64>,
    mutant: Mutant,
    mut tell: impl FnMut(Outcome) -> ControlFlow<()>,
) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (sender, receiver) = mpsc::sync_channel(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender, end) = (&next, sender.clone(), seeds.end);
            scope.spawn(move || {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end) {
                    if sender.send(simulate(seed, mutant)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for outcome in &receiver {
            if tell(outcome).is_break() {
                break;
            }
        }
        drop(receiver);
    });
}

/// What must happen in some hundred runs, for the runs to show anything.
const MUST_HAPPEN: [&str; 18] = [
    "409, and nothing there",
    "412 for one's own write",
    "5xx after success",
    "carried out late",
    "compactions",
    "compactions overtaken",
    "compactions that took out duplicates",
    "crashes",
    "days expired",
    "deletions",
    "failed reads",
    "failed, and done long after",
    "failed, and nothing there",
    "files deleted",
    "pauses of hours",
    "stale writers",
    "vacuums",
    "versions taken by others",
];

#[test]
fn objects_are_in_the_lake_once_whatever_happens() {
    let started = Instant::now();
    let mut all = Counts::default();
    let mut done = 0;
    let seeds = seeds(40);
    let count = seeds.end - seeds.start;
    for_each_seed(seeds, Mutant::None, |Outcome { seed, counts, violations, tail, .. }| {
        let tail = tail.join("\n");
        assert!(violations.is_empty(), "{tail}\n\nseed {seed}: {violations:#?}\n{}", again(seed));
        for (what, times) in counts {
            *all.entry(what).or_default() += times;
        }
        done += 1;
        if done % 1000 == 0 {
            println!("{done} seeds, {} s", started.elapsed().as_secs());
        }
        ControlFlow::Continue(())
    });
    println!("{count} seeds in {:.1} s without a violation: {all:#?}", started.elapsed().as_secs_f64());
    if count >= 400 {
        let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| !all.contains_key(**what)).collect();
        assert!(missing.is_empty(), "this never happened: {missing:?}");
    }
}

#[test]
fn workers_with_one_thing_wrong_are_caught() {
    let wanted = number("TRAILHOUND_MUTANT_SEEDS");
    let first = number("TRAILHOUND_FIRST_SEED").unwrap_or(0);
    for mutant in MUTANTS {
        let (mut runs, mut caught) = (0, 0);
        let mut reason = String::new();
        for_each_seed(first..first + wanted.unwrap_or(60), mutant, |outcome| {
            runs += 1;
            let Some(violation) = outcome.violations.into_iter().next() else {
                return ControlFlow::Continue(());
            };
            caught += 1;
            reason = violation;
            if wanted.is_none() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        println!("{mutant:?}: caught by {caught} of {runs} seeds, as {reason}");
        assert!(caught > 0, "{mutant:?} is not caught");
    }
}
