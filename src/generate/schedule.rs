//! Spreads a plan's events and flows over the day's files, and writes the files one by one.
//!
//! Must never hold more than one file's content, or lose or add an event.

use std::collections::VecDeque;
use std::ops::Range;

use chrono::NaiveDate;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::actor::{Actor, Place};
use super::calls::Call;
use super::estate::{ACCOUNTS, Kind, ORGANIZATION_ID, PRINCIPALS, PROD, Principal, REGIONS, US_EAST_1};
use super::events::{Event, Outcome};
use super::flows::{self, FLOW_LOGS, Scripted};
use super::json::{self, ALNUM, Clock, DAY};
use super::script::{Line, Script, slot};
use super::template::Scene;
use super::{Plan, attack, script};

const SLOTS: usize = ACCOUNTS.len() * REGIONS.len();
/// A delivery every five minutes, of events that are two to seven minutes old; some are up to ten.
const DELIVERIES: usize = 289;
/// The mean number of records in an object, as in delivered logs.
const MEAN_RECORDS: usize = 36;
/// No object is made with fewer, where the plan leaves the choice.
const LEAST_RECORDS: usize = 5;
/// Objects that share their records among each other, so that sizes differ but the sum is kept.
const BLOCK: usize = 64;
/// With fewer events there are no scripted everyday events.
const LEAST_EVENTS_FOR_EVERYDAY: usize = 2_000;
/// Calls denied in a day at most, about, however many events: otherwise large plans would look like attacks.
const DENIED_A_DAY: usize = 300;
/// Rows of a flow log file at most; more go to another file of the same window.
const MOST_FLOWS: usize = 100_000;
/// Records of a document made at once.
const CHUNK: usize = 500;

/// A file before compression.
pub struct File {
    /// The S3 key.
    pub key: String,
    /// The content.
    pub content: Vec<u8>,
    /// How many records are in it.
    pub records: usize,
}

/// A file to write: a range is of scripted events or flows.
enum Job {
    Trail { delivery: usize, slot: usize, object: usize, count: usize, lines: Range<usize> },
    Flows { window: usize, log: usize, part: usize, count: usize, scripted: Range<usize> },
}

/// The files of a plan.
pub struct Schedule {
    seed: u64,
    clock: Clock,
    traffic: Traffic,
    sizes: Sizes,
    flow_records: usize,
    /// Scripted events by delivery and slot.
    lines: Vec<Line>,
    scripted_flows: Vec<Scripted>,
    /// Objects and flow records up to each delivery.
    objects_before: Vec<usize>,
    flows_before: Vec<usize>,
    delivery: usize,
    jobs: VecDeque<Job>,
}

impl Schedule {
    /// The schedule of a plan.
    pub fn new(plan: &Plan) -> Schedule {
        let clock = Clock::new(plan.day);
        let lines = if plan.events == 0 { Vec::new() } else { scripted(plan, &clock) };
        let scripted_flows = if plan.attack && plan.flow_records > 0 { flows::attack() } else { Vec::new() };
        let events = plan.events.saturating_sub(lines.len());
        let traffic = Traffic::new(plan.events);
        let sizes = Sizes::new(plan.seed, events, plan.objects);
        let by_delivery = traffic.by_delivery();
        Schedule {
            seed: plan.seed,
            objects_before: shares(sizes.objects, &by_delivery),
            flows_before: shares(
                plan.flow_records.saturating_sub(scripted_flows.len()),
                &by_delivery[..flows::WINDOWS],
            ),
            flow_records: plan.flow_records,
            clock,
            traffic,
            sizes,
            lines,
            scripted_flows,
            delivery: 0,
            jobs: VecDeque::new(),
        }
    }

    /// The next file, in order of delivery.
    pub fn next_file(&mut self) -> Option<File> {
        while self.jobs.is_empty() {
            if self.delivery == DELIVERIES {
                return None;
            }
            self.plan_trail();
            self.plan_flows();
            self.delivery += 1;
        }
        let job = self.jobs.pop_front()?;
        Some(self.write(job))
    }

    /// The objects of this delivery: each in a slot, and scripted events in one of their own slot.
    fn plan_trail(&mut self) {
        let delivery = self.delivery;
        let objects = self.objects_before[delivery]..self.objects_before[delivery + 1];
        let mut jobs: Vec<(usize, usize, usize, Range<usize>)> = objects
            .map(|object| {
                let slot = self.traffic.pick_slot(hour_of(delivery), json::mix(self.seed, object as u64));
                (slot, object, self.sizes.of(object), 0..0)
            })
            .collect();
        for (slot, range) in self.scripted_slots() {
            let mut free = jobs.iter_mut().filter(|job| job.3.is_empty()).collect::<Vec<_>>();
            let own = free.iter().position(|job| job.0 == slot).unwrap_or(0);
            if let Some(job) = free.get_mut(own) {
                (job.0, job.3) = (slot, range);
            } else {
                jobs.push((slot, self.sizes.objects + delivery * SLOTS + slot, 0, range));
            }
        }
        self.jobs.extend(jobs.into_iter().map(|(slot, object, count, lines)| Job::Trail {
            delivery,
            slot,
            object,
            count,
            lines,
        }));
    }

    /// The slots of this delivery's scripted events, with the range of each.
    fn scripted_slots(&self) -> Vec<(usize, Range<usize>)> {
        let start = self.lines.partition_point(|line| delivery_of(line.second) < self.delivery);
        let mut found: Vec<(usize, Range<usize>)> = Vec::new();
        for (place, line) in (start..).zip(&self.lines[start..]) {
            if delivery_of(line.second) != self.delivery {
                break;
            }
            match found.last_mut() {
                Some((slot, range)) if *slot == line.slot => range.end = place + 1,
                _ => found.push((line.slot, place..place + 1)),
            }
        }
        found
    }

    fn plan_flows(&mut self) {
        if self.delivery >= flows::WINDOWS || self.flow_records == 0 {
            return;
        }
        let window = self.delivery;
        let scripted = |window| self.scripted_flows.partition_point(|flow| flow.window() < window);
        let scripted = scripted(window)..scripted(window + 1);
        let weights: Vec<u64> = FLOW_LOGS.iter().map(|log| log.share).collect();
        let before = shares(self.flows_before[window + 1] - self.flows_before[window], &weights);
        for log in 0..FLOW_LOGS.len() {
            let mut left = before[log + 1] - before[log];
            let mut scripted = if log == 0 { scripted.clone() } else { 0..0 };
            let mut part = 0;
            while left > 0 || !scripted.is_empty() {
                let count = left.min(MOST_FLOWS);
                self.jobs.push_back(Job::Flows { window, log, part, count, scripted });
                (left, part, scripted) = (left - count, part + 1, 0..0);
            }
        }
    }

    fn write(&self, job: Job) -> File {
        match job {
            Job::Trail { delivery, slot, object, count, lines } => {
                let seed = json::mix(json::mix(self.seed, 1), object as u64);
                let minute = i32::try_from(delivery).unwrap_or(0) * 5 + 5;
                let mut records = Records::new(&self.traffic, &self.clock, slot, seed);
                records.fill((minute * 60 - 420).max(0), (minute * 60 - 120).min(DAY), count);
                for line in &self.lines[lines] {
                    records.add(line.second, &line.record);
                }
                let mut content = Vec::with_capacity(records.bytes() + 16);
                json::text(&mut content, r#"{"Records":["#);
                let records = records.finish(&mut content);
                json::text(&mut content, "]}");
                File { key: self.trail_key(slot, minute, seed), content, records }
            }
            Job::Flows { window, log, part, count, scripted } => {
                let place = ((part * flows::WINDOWS + window) * FLOW_LOGS.len() + log) as u64;
                let seed = json::mix(json::mix(self.seed, 2), place);
                let scripted = &self.scripted_flows[scripted];
                let log = &FLOW_LOGS[log];
                let mut content = Vec::with_capacity((count + scripted.len() + 1) * 260);
                flows::write_file(&mut content, &self.clock, log, (window, seed), count, scripted);
                File { key: log.key(&self.clock, window, seed), content, records: count + scripted.len() }
            }
        }
    }

    fn trail_key(&self, slot: usize, minute: i32, seed: u64) -> String {
        let (account, region) = (ACCOUNTS[slot / REGIONS.len()].id, REGIONS[slot % REGIONS.len()]);
        let (path, time) = self.clock.delivery(minute);
        let mut unique = Vec::with_capacity(16);
        json::letters(&mut unique, ALNUM, seed, 16);
        let unique = String::from_utf8_lossy(&unique);
        format!(
            "AWSLogs/{ORGANIZATION_ID}/{account}/CloudTrail/{region}/{path}/{account}_CloudTrail_{region}_{time}_{unique}.json.gz"
        )
    }
}

/// The events at set times, by delivery and slot.
fn scripted(plan: &Plan, clock: &Clock) -> Vec<Line> {
    let mut script = Script::new(clock, json::mix(plan.seed, 3));
    if plan.attack {
        attack::events(&mut script);
    }
    if plan.events >= LEAST_EVENTS_FOR_EVERYDAY {
        script::everyday(&mut script);
    }
    let mut lines = script.lines;
    lines.sort_by_key(|line| (delivery_of(line.second), line.slot, line.second));
    lines
}

/// The delivery that brings an event of this second.
fn delivery_of(second: i32) -> usize {
    usize::try_from((second + 120) / 300).unwrap_or(0)
}

/// The hour most events of a delivery are in.
fn hour_of(delivery: usize) -> usize {
    (delivery * 5 / 60).min(23)
}

/// Splits `total` by weights so that the parts add up: the sum before each part, and the total.
fn shares(total: usize, weights: &[u64]) -> Vec<usize> {
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum::<u128>().max(1);
    let mut before = Vec::with_capacity(weights.len() + 1);
    before.push(0);
    let mut seen = 0_u128;
    for weight in weights {
        seen += u128::from(*weight);
        before.push(usize::try_from(total as u128 * seen / sum).unwrap_or(total));
    }
    before
}

/// How many records each object holds.
struct Sizes {
    seed: u64,
    events: usize,
    objects: usize,
    least: usize,
}

impl Sizes {
    fn new(seed: u64, events: usize, objects: Option<usize>) -> Sizes {
        let least = if objects.is_none() { LEAST_RECORDS } else { 1 };
        let objects = objects.unwrap_or(events / MEAN_RECORDS).clamp(1, events.max(1)).min(events);
        Sizes { seed: json::mix(seed, 4), events, objects, least }
    }

    /// Of an object: long-tailed inside its block, exact over the block.
    fn of(&self, object: usize) -> usize {
        let first = object / BLOCK * BLOCK;
        let last = (first + BLOCK).min(self.objects);
        let before = |place: usize| {
            let exact = self.events as u128 * place as u128 / self.objects.max(1) as u128;
            usize::try_from(exact).unwrap_or(self.events)
        };
        let (total, count) = (before(last) - before(first), last - first);
        let floor = self.least.min(total / count.max(1));
        let weights: Vec<u64> = (first..last).map(|o| long_tailed(json::mix(self.seed, o as u64))).collect();
        let parts = shares(total - floor * count, &weights);
        floor + parts[object - first + 1] - parts[object - first]
    }
}

/// A weight whose logarithm is roughly normal (the sum of four uniform numbers).
fn long_tailed(seed: u64) -> u64 {
    let [a, b, c, d, ..] = seed.to_le_bytes();
    let sum = f64::from(u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d));
    // Four bytes have a mean of 510 and a deviation of 148.
    let weight = (1.2 * (sum - 510.0) / 148.0).exp() * 1_000.0;
    // Between 8 and 70,000: it fits, and has no sign.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    {
        weight as u64 + 1
    }
}

/// Who is active where and when, and what they call.
struct Traffic {
    /// For every slot and hour, the running sum of weights and the principal.
    choices: Vec<Vec<(u64, usize)>>,
    decks: Vec<Deck>,
    /// Of a million calls that could be denied, how many are.
    denied_per_million: u32,
}

/// The calls of one principal with the running sums of their weights.
struct Deck {
    everywhere: Vec<(u64, &'static Call)>,
    regional: Vec<(u64, &'static Call)>,
}

impl Traffic {
    fn new(events: usize) -> Traffic {
        let mut choices = Vec::with_capacity(SLOTS * 24);
        let decks: Vec<Deck> = PRINCIPALS.iter().map(Deck::new).collect();
        for slot in 0..SLOTS {
            for hour in 0..24 {
                choices.push(active(&decks, slot, hour));
            }
        }
        // About three events in ten are by somebody who can be denied.
        let denied = DENIED_A_DAY as u64 * 1_000_000 / (events as u64 / 10).saturating_mul(3).max(1);
        Traffic { choices, decks, denied_per_million: u32::try_from(denied.min(20_000)).unwrap_or(0) }
    }

    fn weight(&self, slot: usize, hour: usize) -> u64 {
        self.choices[slot * 24 + hour].last().map_or(0, |(sum, _)| *sum)
    }

    /// Activity by delivery: the first and the last cover less of the day.
    fn by_delivery(&self) -> Vec<u64> {
        (0..DELIVERIES)
            .map(|delivery| {
                let hour = hour_of(delivery);
                let minutes = match delivery {
                    0 => 3,
                    288 => 2,
                    _ => 5,
                };
                minutes * (0..SLOTS).map(|slot| self.weight(slot, hour)).sum::<u64>()
            })
            .collect()
    }

    fn pick_slot(&self, hour: usize, chance: u64) -> usize {
        let total: u64 = (0..SLOTS).map(|slot| self.weight(slot, hour)).sum();
        let mut left = chance % total.max(1);
        for slot in 0..SLOTS {
            let weight = self.weight(slot, hour);
            if left < weight {
                return slot;
            }
            left -= weight;
        }
        slot(PROD, US_EAST_1)
    }
}

/// Who works in a slot at an hour.
fn active(decks: &[Deck], slot: usize, hour: usize) -> Vec<(u64, usize)> {
    let (account, region) = (slot / REGIONS.len(), slot % REGIONS.len());
    let mut sum = 0;
    let mut found = Vec::new();
    for (number, principal) in PRINCIPALS.iter().enumerate() {
        let weight = principal.weight(account, region, hour);
        if weight > 0 && !decks[number].in_region(region).is_empty() {
            sum += weight;
            found.push((sum, number));
        }
    }
    found
}

impl Deck {
    fn new(principal: &Principal) -> Deck {
        let mut deck = Deck { everywhere: Vec::new(), regional: Vec::new() };
        let (mut sum, mut regional_sum) = (0, 0);
        for (share, group) in principal.profile {
            let total: u32 = group.iter().map(|(weight, _)| weight).sum();
            for (weight, call) in *group {
                let weight = u64::from(*share) * 10_000 * u64::from(*weight) / u64::from(total.max(1));
                sum += weight;
                deck.everywhere.push((sum, call));
                if !call.service.global {
                    regional_sum += weight;
                    deck.regional.push((regional_sum, call));
                }
            }
        }
        deck
    }

    fn in_region(&self, region: usize) -> &[(u64, &'static Call)] {
        if region == US_EAST_1 { &self.everywhere } else { &self.regional }
    }
}

/// One of the entries, by running sums.
fn choose<T: Copy>(entries: &[(u64, T)], rng: &mut StdRng) -> Option<T> {
    let total = entries.last()?.0;
    let chance = rng.random_range(0..total.max(1));
    entries.get(entries.partition_point(|(sum, _)| *sum <= chance)).map(|(_, value)| *value)
}

/// The records of one file while they are written.
struct Records<'a> {
    traffic: &'a Traffic,
    clock: &'a Clock,
    slot: usize,
    rng: StdRng,
    actor: Actor,
    bytes: Vec<u8>,
    /// The time to sort by, and where the record lies.
    spans: Vec<(i32, usize, usize)>,
}

impl<'a> Records<'a> {
    fn new(traffic: &'a Traffic, clock: &'a Clock, slot: usize, seed: u64) -> Records<'a> {
        Records {
            traffic,
            clock,
            slot,
            rng: StdRng::seed_from_u64(seed),
            actor: Actor::default(),
            bytes: Vec::new(),
            spans: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        self.bytes.len() + self.spans.len()
    }

    /// Adds `count` events between two seconds of the day, in runs of one actor each.
    fn fill(&mut self, start: i32, end: i32, count: usize) {
        let last = (end - 1).max(start);
        let mut left = count;
        while left > 0 {
            let mut second = self.rng.random_range(start..=last);
            if self.rng.random_range(0..10) == 0 {
                // A straggler: delivered five minutes late.
                second = (second - self.rng.random_range(0..180)).max(0);
            }
            let hour = usize::try_from(second / 3_600).unwrap_or(0).min(23);
            let Some(who) = choose(&self.traffic.choices[self.slot * 24 + hour], &mut self.rng) else {
                return;
            };
            left -= self.run(who, second, last, left);
        }
    }

    /// One actor's calls in a row; returns how many.
    fn run(&mut self, who: usize, mut second: i32, last: i32, most: usize) -> usize {
        let principal = &PRINCIPALS[who];
        let (account, region) = (self.slot / REGIONS.len(), self.slot % REGIONS.len());
        let place = Place { clock: self.clock, account, region, second, pick: self.rng.random() };
        self.actor.become_principal(principal, place);
        let (mean, pause) = match principal.kind {
            Kind::Sso(_) | Kind::Person => (5, 9),
            Kind::Program | Kind::Federated(_) => (6, 3),
            _ => (3, 3),
        };
        let count = self.rng.random_range(1..mean * 2).min(most);
        let mut calls = 0;
        while calls < count {
            let deck = self.traffic.decks[who].in_region(region);
            let Some(call) = choose(deck, &mut self.rng) else { break };
            self.one(principal, call, second);
            second = (second + self.rng.random_range(0..pause)).min(last.max(second));
            calls += 1;
        }
        calls.max(1)
    }

    fn one(&mut self, principal: &'static Principal, call: &'static Call, second: i32) {
        let scene = Scene {
            clock: self.clock,
            account: self.slot / REGIONS.len(),
            region: self.slot % REGIONS.len(),
            second,
            stem: principal.stem(),
            pick: self.rng.random(),
            own: self.actor.own,
        };
        let outcome = self.outcome(call);
        let start = self.bytes.len();
        Event { actor: &self.actor, call, scene, outcome }.write(&mut self.rng, &mut self.bytes);
        self.place(second, start);
    }

    fn outcome(&mut self, call: &Call) -> Outcome {
        let chance: u32 = self.rng.random_range(0..1_000_000);
        if self.actor.deniable && call.via.is_empty() && chance < self.traffic.denied_per_million {
            return Outcome::Denied;
        }
        let chance = 1_000_000 - chance;
        match call.failure {
            Some((code, message, permille)) if chance <= permille * 1_000 => Outcome::Failed(code, message),
            None if chance <= 13_000 && call.kind == "AwsApiCall" => throttled(call),
            _ => Outcome::Done,
        }
    }

    /// Adds a record that is already written.
    fn add(&mut self, second: i32, record: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.place(second, start);
    }

    /// Notes where the last record lies; one in five is a little out of order, as in delivered files.
    fn place(&mut self, second: i32, start: usize) {
        let shift = if self.rng.random_range(0..5) == 0 { self.rng.random_range(-60..60) } else { 0 };
        self.spans.push((second + shift, start, self.bytes.len()));
    }

    /// Appends all records in order with commas between; returns how many.
    fn finish(mut self, out: &mut Vec<u8>) -> usize {
        self.spans.sort_by_key(|span| span.0);
        for (number, (_, start, end)) in self.spans.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.bytes[*start..*end]);
        }
        self.spans.len()
    }
}

fn throttled(call: &Call) -> Outcome {
    match call.service.name {
        "ec2" => Outcome::Failed("Client.RequestLimitExceeded", "Request limit exceeded."),
        "s3" => Outcome::Failed("SlowDown", "Please reduce your request rate."),
        _ => Outcome::Failed("ThrottlingException", "Rate exceeded"),
    }
}

/// One document of `records` events of production in us-east-1, spread over the day.
pub fn document(seed: u64, day: NaiveDate, records: usize) -> Vec<u8> {
    let clock = Clock::new(day);
    let traffic = Traffic::new(records);
    let mut content = Vec::with_capacity(records * 1_300 + 16);
    json::text(&mut content, r#"{"Records":["#);
    let chunks = records.div_ceil(CHUNK);
    for chunk in 0..chunks {
        let count = CHUNK.min(records - chunk * CHUNK);
        let bound = |part: usize| i32::try_from(part as u64 * 86_400 / chunks as u64).unwrap_or(DAY);
        let mut made = Records::new(
            &traffic,
            &clock,
            slot(PROD, US_EAST_1),
            json::mix(json::mix(seed, 5), chunk as u64),
        );
        made.fill(bound(chunk), bound(chunk + 1), count);
        if chunk > 0 {
            content.push(b',');
        }
        made.finish(&mut content);
    }
    json::text(&mut content, "]}");
    content
}
