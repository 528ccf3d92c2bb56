//! The world of one run: its time, its chance, what is under way, and what has happened.
//!
//! Nothing here looks at a real clock. A request is carried out at one moment and answered at a later one, both drawn
//! from the seed; between the two anybody else may act, and whoever asked may die.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use trailhound::clock::Clock;

/// One life of a worker: from its start to its crash. A restarted worker is another life.
pub type Life = u32;

tokio::task_local! {
    /// Whose work is being done. Threads that work on somebody's behalf have none: they are answered at once.
    pub static LIFE: Life;
}

const SECOND: Duration = Duration::from_secs(1);
/// The longest way of a request when nothing is slow, in milliseconds.
const FAST: u64 = 40;
/// So many of the last happenings are kept to be told.
const TAIL: usize = 80;
const HOUR: Duration = Duration::from_hours(1);

/// What a life is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Brings objects into the lake.
    Worker,
    /// Compacts it, takes rows out, deletes files that nothing names.
    Maintainer,
}

/// What the run is to do next.
pub enum Event {
    /// A request is carried out, whether or not anybody still waits for it.
    Apply(Box<dyn FnOnce() + Send>),
    /// Somebody gets an answer.
    Answer(Life, Box<dyn FnOnce() + Send>),
    /// A life ends.
    Crash(Life),
    /// A worker or a maintainer begins a new life.
    Start(Role),
    /// Something from outside.
    Outside(Box<dyn FnOnce() + Send>),
}

/// How a request goes.
pub struct Plan {
    /// When it is carried out, if at all.
    pub apply: Option<Duration>,
    /// When it is answered.
    pub answer: Duration,
    /// What is answered instead of the truth.
    pub lie: Option<Lie>,
    /// When the one who asked dies, if that is before the answer.
    pub crash: Option<Duration>,
}

/// An answer that tells something other than what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// A time-out, a broken connection, a 5xx: nothing is known.
    Failed,
    /// 409, or 412 after a repetition inside the client.
    AlreadyExists,
}

/// The kinds of requests, which go wrong in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of a file of a log, of which several may be read side by side.
    ReadLog,
    Read,
    Put,
    ConditionalPut,
    Delete,
    Queue,
}

impl Kind {
    fn is_read(self) -> bool {
        matches!(self, Kind::ReadLog | Kind::Read)
    }
}

/// An answer that somebody waits for, until he has it or gives it up.
struct Waiting<'a, T> {
    world: &'a World,
    life: Life,
    receiver: oneshot::Receiver<T>,
    is_answered: bool,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.receiver.close();
        // The answer may have come without anybody having looked.
        if !self.is_answered && self.receiver.try_recv().is_err() {
            self.world.waits_less(self.life);
        }
    }
}

struct State {
    random: StdRng,
    now: Duration,
    sequence: u64,
    events: BTreeMap<(Duration, u64), Event>,
    /// Requests of each life that are not answered yet.
    waiting: HashMap<Life, usize>,
    /// Requests that may still be carried out.
    on_their_way: usize,
    honest: bool,
    side_by_side: bool,
    /// How long a request or an answer is on its way, at most, in milliseconds.
    latency: u64,
    hasher: DefaultHasher,
    tail: VecDeque<String>,
    violations: Vec<String>,
    counts: Counts,
    /// When each life last had something read.
    looked: HashMap<Life, Duration>,
}

/// What a run went through: how often what happened.
pub type Counts = BTreeMap<&'static str, u64>;

/// The world, shared by everybody in it.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    /// A world in which a life may have several requests under way at once, or but one: what it asks for meanwhile is
    /// then carried out and answered as it is asked for.
    pub fn new(seed: u64, side_by_side: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        // The slower everything is, the more happens at the same time.
        let latency = [FAST, 2_000, 10_000][random.random_range(0..3)];
        World(Arc::new(Mutex::new(State {
            random,
            latency,
            now: Duration::ZERO,
            sequence: 0,
            events: BTreeMap::new(),
            waiting: HashMap::new(),
            on_their_way: 0,
            honest: false,
            side_by_side,
            hasher: DefaultHasher::new(),
            tail: VecDeque::new(),
            violations: Vec::new(),
            counts: Counts::default(),
            looked: HashMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A draw from the seed.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.state().random)
    }

    pub fn chance(&self, probability: f64) -> bool {
        self.draw(|random| random.random_bool(probability))
    }

    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// From now on nothing goes wrong any more, but for what is already on its way; and all is fast, as nobody here
    /// extends the time of a message.
    pub fn become_honest(&self) {
        {
            let mut state = self.state();
            state.honest = true;
            state.latency = FAST;
        }
        self.note("faults end");
    }

    pub fn is_honest(&self) -> bool {
        self.state().honest
    }

    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    pub fn count(&self, what: &'static str) {
        self.state().count(what);
    }

    pub fn nothing_is_on_its_way(&self) -> bool {
        self.state().on_their_way == 0
    }

    /// Something that must never be.
    pub fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        self.note(&format!("VIOLATION {what}"));
        self.state().violations.push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Notes a happening: part of the hash by which two runs are compared.
    pub fn note(&self, what: &str) {
        let mut state = self.state();
        let line = format!("{:>12.3} {what}", state.now.as_secs_f64());
        line.hash(&mut state.hasher);
        if state.tail.len() == TAIL {
            state.tail.pop_front();
        }
        state.tail.push_back(line);
    }

    pub fn hash(&self) -> u64 {
        self.state().hasher.finish()
    }

    pub fn tail(&self) -> Vec<String> {
        self.state().tail.iter().cloned().collect()
    }

    /// Lets something happen after a time.
    pub fn later(&self, after: Duration, event: Event) {
        let mut state = self.state();
        let at = state.now + after;
        state.push(at, event);
    }

    /// The next thing to happen; the time moves on to it.
    pub fn next(&self) -> Option<Event> {
        let mut state = self.state();
        let ((at, _), event) = state.events.pop_first()?;
        state.now = at;
        Some(event)
    }

    pub fn is_waiting(&self, life: Life) -> bool {
        self.state().waiting.get(&life).is_some_and(|count| *count > 0)
    }

    /// Nobody of this life gets answers any more.
    pub fn bury(&self, life: Life) {
        let mut state = self.state();
        state.waiting.remove(&life);
        state.looked.remove(&life);
        state.events.retain(|_, event| match event {
            Event::Answer(of, _) | Event::Crash(of) => *of != life,
            _ => true,
        });
    }

    /// A request of the life at work: carried out and answered when the seed wills. `told` makes the answer of what
    /// was done, or of a lie.
    pub async fn request<T: Send + 'static>(
        &self,
        kind: Kind,
        what: String,
        apply: impl FnOnce() -> T + Send + 'static,
        told: impl FnOnce(Option<T>, Option<Lie>) -> T + Send + 'static,
    ) -> T {
        let life = LIFE.try_with(|life| *life).ok();
        let Some(life) = life.filter(|life| self.may_ask(*life, kind)) else { return apply() };
        let plan = self.plan(kind);
        let done = Arc::new(Mutex::new(None));
        {
            let mut state = self.state();
            state.count("requests");
            if let Some(at) = plan.apply {
                state.on_their_way += 1;
                let (world, done, what) = (self.clone(), Arc::clone(&done), what.clone());
                let late = plan.answer < at || plan.crash.is_some_and(|crash| crash < at);
                let apply = move || {
                    world.note(&format!("{life} does {what}"));
                    world.state().carried_out(life, kind, late);
                    *done.lock().unwrap() = Some(apply());
                    world.state().on_their_way -= 1;
                };
                state.push(at, Event::Apply(Box::new(apply)));
            }
            if let Some(at) = plan.crash {
                state.push(at, Event::Crash(life));
            }
        }
        let world = self.clone();
        let answer = move || {
            let done = done.lock().unwrap().take();
            let told_so = plan.lie.map_or(String::new(), |lie| format!(", and the answer is {lie:?}"));
            world.note(&format!("{life} is done with {what}{told_so}"));
            told(done, plan.lie)
        };
        self.wait(life, plan.answer, answer).await
    }

    /// What is answered at a time, unless nobody waits for it any more by then.
    async fn wait<T: Send + 'static>(
        &self,
        life: Life,
        at: Duration,
        answer: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = oneshot::channel();
        let world = self.clone();
        let answer = move || {
            if sender.is_closed() {
                return;
            }
            world.waits_less(life);
            let _ = sender.send(answer());
        };
        {
            let mut state = self.state();
            *state.waiting.entry(life).or_default() += 1;
            state.push(at, Event::Answer(life, Box::new(answer)));
        }
        let mut waiting = Waiting { world: self, life, receiver, is_answered: false };
        let answer = (&mut waiting.receiver).await;
        waiting.is_answered = true;
        answer.expect("whoever is not dead gets an answer")
    }

    /// A life waits for one answer less.
    fn waits_less(&self, life: Life) {
        if let Some(count) = self.state().waiting.get_mut(&life) {
            *count -= 1;
        }
    }

    /// Whether what a life asks for is a request of its own: several at once only of those kinds that nothing but
    /// requests goes on beside, since what is done on other threads takes its own time.
    fn may_ask(&self, life: Life, kind: Kind) -> bool {
        let beside = matches!(kind, Kind::ReadLog | Kind::Put) && self.state().side_by_side;
        beside || !self.is_waiting(life)
    }

    /// What becomes of a request.
    fn plan(&self, kind: Kind) -> Plan {
        let mut state = self.state();
        let now = state.now;
        let (honest, latency) = (state.honest, state.latency);
        let mut happened = Vec::new();
        let random = &mut state.random;
        let mut plan = {
            let apply = now + millis(random, 1..latency);
            Plan { apply: Some(apply), answer: apply + millis(random, 1..latency), lie: None, crash: None }
        };
        if honest {
            return plan;
        }
        // A frozen process, a slow network: hours before the request is carried out, or before the answer comes.
        if random.random_bool(0.004) {
            let pause = long(random);
            plan.answer += pause;
            if random.random_bool(0.5) {
                plan.apply = plan.apply.map(|at| at + pause);
            }
            happened.push(if pause > HOUR { "pauses of hours" } else { "pauses" });
        }
        let often = match kind {
            Kind::ConditionalPut => 0.25,
            Kind::Put | Kind::Delete => 0.08,
            Kind::ReadLog | Kind::Read => 0.02,
            Kind::Queue => 0.0,
        };
        if random.random_bool(often) {
            plan.lie = Some(Lie::Failed);
            happened.push(match (kind, random.random_range(0..5)) {
                (Kind::ReadLog | Kind::Read, _) => {
                    plan.apply = None;
                    "failed reads"
                }
                (_, 0) => {
                    plan.apply = None;
                    "failed, and nothing there"
                }
                (Kind::ConditionalPut, 1) => {
                    plan.apply = None;
                    plan.lie = Some(Lie::AlreadyExists);
                    "409, and nothing there"
                }
                // The client's own repetition found it.
                (Kind::ConditionalPut, 2) => {
                    plan.lie = Some(Lie::AlreadyExists);
                    "412 for one's own write"
                }
                (_, 3) => {
                    plan.apply = plan.apply.map(|at| at + long(random));
                    "failed, and done long after"
                }
                _ => "5xx after success",
            });
        }
        let deadly = if kind == Kind::ConditionalPut { 0.08 } else { 0.006 };
        if random.random_bool(deadly) {
            // Before it is sent, on its way, or when it is done.
            let (crash, apply) = match random.random_range(0..3) {
                0 => (now, None),
                1 => (now, plan.apply.map(|at| at + long(random))),
                _ => (plan.answer, plan.apply),
            };
            plan.crash = Some(crash);
            plan.apply = apply.filter(|_| !kind.is_read());
            plan.answer = plan.answer.max(crash + SECOND);
        }
        for what in happened {
            state.count(what);
        }
        plan
    }
}

impl State {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes what is special about a request that is carried out now.
    fn carried_out(&mut self, life: Life, kind: Kind, late: bool) {
        if late {
            // Reported as failed before, or asked for by somebody who is dead now.
            self.count("carried out late");
        }
        match kind {
            Kind::ReadLog | Kind::Read => {
                let now = self.now;
                self.looked.insert(life, now);
            }
            // What it knows of the log is of hours ago.
            Kind::ConditionalPut
                if self.looked.get(&life).is_some_and(|looked| *looked + HOUR < self.now) =>
            {
                self.count("stale writers");
            }
            _ => {}
        }
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }
}

fn millis(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

/// From a second to some hours, each order of magnitude as often.
fn long(random: &mut StdRng) -> Duration {
    Duration::from_secs_f64(10_f64.powf(random.random_range(0.0..4.2)))
}

/// The date at a time of a run.
pub fn time_of(at: Duration) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(1_773_100_800, 0).unwrap();
    start + TimeDelta::from_std(at).unwrap()
}

/// The world's time as the lake's clock.
#[derive(Debug)]
pub struct WorldClock(pub World);

impl Clock for WorldClock {
    fn now(&self) -> DateTime<Utc> {
        time_of(self.0.now())
    }

    fn sleep(&self, how_long: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(self.0.clone(), how_long))
    }
}

/// Waits in the world's time.
pub async fn sleep(world: World, how_long: Duration) {
    let Ok(life) = LIFE.try_with(|life| *life) else { return };
    let at = world.now() + how_long;
    world.wait(life, at, || ()).await;
}
