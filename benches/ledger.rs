//! What the ledger of many objects takes: on disk, at the start, in memory, and for a lookup.
//!
//! `cargo bench --bench ledger` makes a ledger of a million objects, a day of 250,000 each, and measures it; `-- 400` makes
//! one of 400 days, `-- 400 DIRECTORY` makes it there and leaves it, or takes it where it was made before. The figures
//! of the last run are in `benches/README.md`.
#![allow(missing_docs)]
#![allow(clippy::print_stdout)] // It is what a bench is for.

use parquet::file::metadata::RowGroupMetaData;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::json;
use trailhound::clock::SystemClock;
use trailhound::lake::{
    self, Action, COMPACTED, DayWriter, Lake, OBJECTS, ObjectId, ObjectName, ObjectRecord, Placed, State,
};
use trailhound::store::{self, AwsSettings, Location};

/// 62 accounts in 14 regions, each of which has an object every five minutes: 249,984 a day.
const ACCOUNTS: u64 = 62;
const REGIONS: [&str; 14] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-2",
];
const DELIVERIES: u64 = 288;
const DAY_OBJECTS: u64 = ACCOUNTS * REGIONS.len() as u64 * DELIVERIES;
const DAY_SECONDS: u64 = 86_400;

/// Rows that are made at a time.
const BATCH_ROWS: u64 = 8192;
/// Days that one commit adds.
const COMMIT_DAYS: u64 = 10;
/// Lookups of each kind.
const LOOKUPS: u64 = 2000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let days = arguments.first().map_or(4, |days| days.parse().expect("a number of days"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let kept = tempfile::tempdir().expect("a directory");
    let directory = arguments.get(1).map_or(kept.path().join("lake"), PathBuf::from);
    if arguments.get(2).is_some_and(|word| word == "measure") {
        return runtime.block_on(measure(&directory, days));
    }
    if !directory.exists() {
        let start = Instant::now();
        runtime.block_on(build(&directory, days));
        println!("made in {:.0} s", start.elapsed().as_secs_f64());
    }
    sizes(&directory);
    // A process of its own: what making it took is not what it takes.
    let program = std::env::current_exe().expect("a path");
    let status = std::process::Command::new(program)
        .args([days.to_string().as_str(), &directory.to_string_lossy(), "measure"])
        .status();
    assert!(status.expect("runs").success());
}

async fn open(directory: &Path) -> Lake {
    let location = Location::Local(directory.to_owned());
    let place = store::lake(&location, &AwsSettings::default()).await.expect("a store");
    Lake::create(place, Arc::new(SystemClock)).await.expect("a lake")
}

/// A random number that is the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn hex(&mut self, words: usize) -> String {
        (0..words).fold(String::new(), |text, _| text + &format!("{:016x}", self.next()))
    }

    fn alphanumeric(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(LETTERS[usize::try_from(self.below(62)).expect("is small")])).collect()
    }
}

const BUCKET: &str = "org-trail-logs-111122223333";

fn date(day: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 1, 1).expect("a day") + Days::new(day)
}

/// An object of a day, as CloudTrail delivers them; in the order of its number the keys are sorted.
fn object(day: u64, number: u64) -> Placed {
    let mut dice = Dice((day << 32) | number);
    let slot = number / DELIVERIES;
    let minute = number % DELIVERIES * 5;
    let account = 111_122_223_333 + slot / REGIONS.len() as u64 * 7_654_321;
    let region = REGIONS[usize::try_from(slot).expect("is small") % REGIONS.len()];
    let date = date(day);
    let (path, compact) = (date.format("%Y/%m/%d"), date.format("%Y%m%d"));
    let unique = dice.alphanumeric(16);
    let key = format!(
        "AWSLogs/o-exampleorgid/{account}/CloudTrail/{region}/{path}/{account}_CloudTrail_{region}_{compact}T{:02}{:02}Z_{unique}.json.gz",
        minute / 60,
        minute % 60
    );
    let etag = dice.hex(2);
    // From half a kilobyte to some hundred, small ones more often.
    let size_bytes = (512 << dice.below(8)) + dice.below(512 << 7) / 8;
    let content_bytes = size_bytes * (70 + dice.below(50)) / 10;
    let seconds = u64::try_from(date.to_epoch_days()).expect("is later") * DAY_SECONDS + minute * 60;
    let announced = seconds * 1000 + dice.below(240_000);
    let read = announced * 1000 + 1_000_000 + dice.below(20_000_000);
    // A commit every ten seconds.
    let commit = (read / 10_000_000 + 1) * 10;
    let signed = |number: u64| i64::try_from(number).expect("fits");
    let record = ObjectRecord {
        object_id: ObjectId::new(BUCKET, &key, &etag),
        state: if dice.below(500) == 0 { State::Quarantined } else { State::Committed },
        kind: "cloudtrail".to_owned(),
        bucket: BUCKET.to_owned(),
        key,
        etag,
        version_id: None,
        sha256: Some(dice.hex(4)),
        size_bytes: signed(size_bytes),
        content_bytes: signed(content_bytes),
        row_count: signed(content_bytes / 1360 + 1),
        first_event_time: Some(signed((seconds - 300 - dice.below(600)) * 1_000_000)),
        last_event_time: Some(signed((seconds - dice.below(300)) * 1_000_000)),
        account_id: Some(account.to_string()),
        region: Some(region.to_owned()),
        delivery_date: Some(date),
        reason: None,
        announced_at: Some(signed(announced * 1000)),
        read_at: signed(read),
    };
    let version = signed(commit / 10 - 173_000_000);
    Placed { record, rows_in: Some(("cloudtrail", version)), committed_at: Some(signed(commit * 1_000_000)) }
}

/// Makes the index as compaction leaves it: a sorted file for each day.
async fn build(directory: &Path, days: u64) {
    let lake = open(directory).await;
    let log = lake.log(OBJECTS.name).expect("is a table");
    let mut version = 0;
    for first in (0..days).step_by(usize::try_from(COMMIT_DAYS).expect("is small")) {
        let mut actions = vec![Action::info("WRITE", 0, &json!({ "index": true })).expect("is written")];
        for day in first..days.min(first + COMMIT_DAYS) {
            let mut writer = DayWriter::new(log, Some(date(day)), 256 << 20, COMPACTED, 0);
            let batch = |start: u64| {
                let end = DAY_OBJECTS.min(start + BATCH_ROWS);
                let placed: Vec<Placed> = (start..end).map(|number| object(day, number)).collect();
                let rows = lake::object_rows(&placed).expect("fits");
                rows.project(&(0..rows.num_columns() - 1).collect::<Vec<_>>()).expect("has these columns")
            };
            // Rows are made while those before them are written.
            let mut next = batch(0);
            for start in (BATCH_ROWS..DAY_OBJECTS + BATCH_ROWS).step_by(8192) {
                let (written, made) = std::thread::scope(|scope| {
                    let made = scope.spawn(|| (start < DAY_OBJECTS).then(|| batch(start)));
                    let written =
                        tokio::task::block_in_place(|| futures::executor::block_on(writer.write(next)));
                    (written, made.join().expect("ends well"))
                });
                written.expect("is written");
                let Some(made) = made else { break };
                next = made;
            }
            actions.extend(writer.finish().await.expect("is written").into_iter().map(Action::add));
        }
        version += 1;
        log.try_commit(version, &actions).await.expect("is committed");
    }
}

/// Prints the bytes of each column.
fn sizes(directory: &Path) {
    let mut columns: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let (mut rows, mut files, mut bytes) = (0_i64, 0, 0_u64);
    for day in std::fs::read_dir(directory.join("objects")).expect("a directory") {
        let day = day.expect("an entry").path();
        if !day.file_name().is_some_and(|name| name.to_string_lossy().starts_with("event_date=")) {
            continue;
        }
        for path in std::fs::read_dir(day).expect("a directory") {
            let file = std::fs::File::open(path.expect("an entry").path()).expect("opens");
            bytes += file.metadata().expect("has a size").len();
            files += 1;
            let reader = SerializedFileReader::new(file).expect("is Parquet");
            rows += reader.metadata().file_metadata().num_rows();
            for column in reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
                let sum = columns.entry(column.column_path().string()).or_default();
                sum.0 += column.compressed_size();
                sum.1 += column.uncompressed_size();
            }
        }
    }
    println!("{rows} objects in {files} files, {:.1} MB", bytes as f64 / 1e6);
    println!("| column | bytes per object | MB |\n|---|---|---|");
    let mut named = 0;
    for column in OBJECTS.columns.iter().filter_map(|c| Some((c.name, columns.get(c.name)?))) {
        let (name, (compressed, _)) = column;
        named += compressed;
        println!("| `{name}` | {:.2} | {:.1} |", *compressed as f64 / rows as f64, *compressed as f64 / 1e6);
    }
    let rest = bytes as f64 - named as f64;
    println!("| indexes and footers | {:.2} | {:.1} |", rest / rows as f64, rest / 1e6);
    println!("| all | {:.2} | {:.1} |", bytes as f64 / rows as f64, bytes as f64 / 1e6);
}

/// Resident memory, now and at most, in MB.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let kibibytes: f64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap_or(0.0);
        kibibytes * 1024.0 / 1e6
    };
    format!("{:.0} MB resident, {:.0} MB at most", of("VmRSS"), of("VmHWM"))
}

async fn measure(directory: &Path, days: u64) {
    println!("before: {}", memory());
    let start = Instant::now();
    let lake = open(directory).await;
    lake.states(&[ObjectName::new("b", "nothing", "e")]).await.expect("is looked up");
    println!("start-up: {:.0} ms; {}", start.elapsed().as_secs_f64() * 1e3, memory());
    println!("| lookup | p50 ms | p99 ms | most ms |\n|---|---|---|---|");
    let newest = days - 1;
    for (name, is_recent, is_present) in [
        ("recent, known", true, true),
        ("recent, unknown", true, false),
        ("old, known", false, true),
        ("old, unknown", false, false),
    ] {
        let mut dice = Dice(u64::from(is_recent) * 2 + u64::from(is_present));
        let mut times = Vec::new();
        for _ in 0..LOOKUPS {
            let day = if is_recent { newest } else { dice.below(newest.max(2) - 1) };
            let placed = object(day, dice.below(DAY_OBJECTS));
            let etag = if is_present { placed.record.etag.as_str() } else { "another" };
            let names = [ObjectName::new(BUCKET, &placed.record.key, etag)];
            let start = Instant::now();
            let states = lake.states(&names).await.expect("is looked up");
            times.push(start.elapsed());
            assert_eq!(states[0], is_present.then_some(placed.record.state));
        }
        report(name, times);
    }
    println!("{}; the ledger says {:.0} MB", memory(), lake.ledger_bytes().await as f64 / 1e6);
    let mut times = Vec::new();
    for day in (0..newest).step_by(usize::try_from(newest / 20 + 1).expect("is small")) {
        let records: Vec<ObjectRecord> =
            (0..10_000).map(|at| object(day, at * 25 % DAY_OBJECTS).record).collect();
        let names: Vec<ObjectName<'_>> = records.iter().map(ObjectRecord::name).collect();
        let start = Instant::now();
        let states = lake.states(&names).await.expect("is looked up");
        times.push(start.elapsed());
        assert!(states.iter().zip(&records).all(|(state, record)| *state == Some(record.state)));
    }
    report("10,000 of one old day", times);
    println!("{}; the ledger says {:.0} MB", memory(), lake.ledger_bytes().await as f64 / 1e6);
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("| {name} | {:.2} | {:.2} | {:.2} |", at(50), at(99), at(100));
}
