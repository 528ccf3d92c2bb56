//! Processes that are killed while objects come in: at named places, at any moment, and frozen for long.
//!
//! Each cycle sends objects, three in ten of them announced twice, to four daemons that share a queue and a lake, and
//! ends all of them without a warning. What comes back to the queue is then worked off by a new daemon, and every row
//! that was ever sent must be there exactly once, by the program and by the Python package `deltalake`. S3 and SQS are
//! the emulator moto; the lake is a directory, or on S3.
//!
//! - `TRAILHOUND_KILL_CYCLES=1000` runs so many cycles instead of a few,
//! - `TRAILHOUND_KILL_SEED=7` chooses other moments.
//!
//! The test of the crash table runs only with `TRAILHOUND_KILL_CYCLES`; `--nocapture` shows it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use trailhound::failpoint::POINTS;
use trailhound::queue::Queue;

use crate::daemon::{gzipped, lines, trailhound};
use crate::interop;
use crate::moto::{self, Created, Moto, REGION};
use crate::worker::cloudtrail;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(10);
/// Longer than a message is kept from others.
const VISIBILITY: Duration = Duration::from_secs(31);
/// SIGABRT: what ends a process at a named place.
const ABORTED: i32 = 6;

/// Counts the rows of the tables of a lake, and how many of them are different.
const READ_BY_PYTHON: &str = r#"
import os, sys
from deltalake import DeltaTable, QueryBuilder

lake, endpoint, region = sys.argv[1:4]
options = {"endpoint_url": endpoint, "region": region, "allow_http": "true",
           "access_key_id": "test", "secret_access_key": "test"}
for table, key in [("cloudtrail", "concat(source_object, '/', source_row)"), ("objects", "object_id")]:
    opened = DeltaTable(f"{lake}/{table}", storage_options=options if lake.startswith("s3://") else None)
    query = QueryBuilder().register("lake", opened)
    counts = query.execute(f"select count(*) as n, count(distinct {key}) as d from lake").read_all()
    print(table, counts["n"][0].as_py(), counts["d"][0].as_py(), flush=True)
# The end of the interpreter is none of what is looked at.
os._exit(0)
"#;

/// A lake, a queue, a bucket, and all that was ever put into it.
pub struct Stage {
    pub moto: Moto,
    pub queue: Created,
    pub directory: tempfile::TempDir,
    lake: String,
    pub config: PathBuf,
    /// Event ids by key.
    sent: BTreeMap<String, Vec<String>>,
}

/// How a process ends.
#[derive(Debug, Clone)]
enum End {
    /// When it comes by a place for so many times.
    At(&'static str, u32),
    /// After a time.
    Killed(Duration),
    /// It stands still after a time, and goes on when all others are done.
    Frozen(Duration),
}

/// A process that is killed when dropped.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended at the place it was to end at.
    pub fn has_aborted(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some_and(|status| status.signal() == Some(ABORTED))
    }
}

impl Stage {
    pub async fn new(on_s3: bool) -> Self {
        let moto = Moto::start();
        moto.create_bucket("logs").await;
        moto.create_bucket("lake").await;
        let queue = moto.create_queue("announcements", 1000).await;
        moto.put_bucket_notification("logs", &queue.arn).await;
        // The test that S3 begins with is none of the messages to be counted.
        let client = moto.queue(&queue.url).await;
        for message in client.receive(10, Duration::ZERO).await.unwrap() {
            client.delete(&[message.receipt]).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let lake = if on_s3 {
            "s3://lake/below".to_owned()
        } else {
            directory.path().join("lake").display().to_string()
        };
        let (endpoint, url) = (&moto.endpoint, &queue.url);
        let text = format!(
            "lake = '{lake}'\n[aws]\nendpoint = '{endpoint}'\nregion = '{REGION}'\n\
             [[source]]\nkind = 'sqs'\nqueue = '{url}'\nbuckets = ['logs']\nvisibility_timeout_seconds = 30\n\
             workers = 1\n[ingest]\nbatch_age_seconds = 1\n[detect]\nbuilt_in = false\n"
        );
        let config = directory.path().join("trailhound.toml");
        std::fs::write(&config, text).unwrap();
        Stage { moto, queue, directory, lake, config, sent: BTreeMap::new() }
    }

    /// Puts objects, each announced once or twice.
    pub async fn send(&mut self, count: usize, random: &mut StdRng) {
        for _ in 0..count {
            let number = self.sent.len();
            let key = format!("AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/{number}.json.gz");
            let ids: Vec<String> =
                (0..random.random_range(1..5)).map(|event| format!("{number}-{event}")).collect();
            let content = gzipped(&cloudtrail(ids.clone()));
            for _ in 0..if random.random_bool(0.3) { 2 } else { 1 } {
                self.moto.put_object("logs", &key, &content).await;
            }
            self.sent.insert(key, ids);
        }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub fn start(&self, failpoint: Option<(&str, u32)>) -> Process {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = trailhound(&self.config);
        command.arg("run").stdout(log.try_clone().unwrap()).stderr(log);
        if let Some((point, count)) = failpoint {
            command.env("TRAILHOUND_FAILPOINT", format!("{point}:{count}"));
        }
        Process(command.spawn().unwrap())
    }

    /// Starts the daemon by another program, which is given its path and then gets its arguments.
    pub fn start_with(&self, starter: impl FnOnce(&OsStr) -> Command) -> Process {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let program = trailhound(&self.config);
        let mut command = starter(program.get_program());
        command.args(program.get_args()).arg("run").stdin(Stdio::null());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Process(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    fn ready_count(&self) -> usize {
        std::fs::read_to_string(self.log()).unwrap_or_default().matches("\"ready\"").count()
    }

    /// Waits until so many daemons have said that they are ready.
    pub async fn ready(&self, count: usize) {
        let started = Instant::now();
        while self.ready_count() < count {
            assert!(started.elapsed() < PATIENCE, "it does not start: {}", self.told());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is left in the queue; messages whose receiver is no more come back meanwhile.
    pub async fn drain(&self, daemon: &mut Process) {
        let started = Instant::now();
        let mut last = (self.moto.queue_counts(&self.queue.url).await, Instant::now());
        while last.0 != (0, 0) {
            assert!(started.elapsed() < PATIENCE, "messages are left: {:?}, {}", last.0, self.told());
            assert!(daemon.0.try_wait().unwrap().is_none(), "it has ended: {}", self.told());
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.moto.queue_counts(&self.queue.url).await;
            if now != last.0 {
                last = (now, Instant::now());
            } else if now.0 == 0 && last.1.elapsed() > Duration::from_secs(2) {
                self.moto.advance(VISIBILITY);
                last.1 = Instant::now();
            }
        }
    }

    /// Works off what is left with a daemon that nobody kills.
    async fn recover(&self) -> Process {
        self.moto.advance(VISIBILITY);
        let before = self.ready_count();
        let mut daemon = self.start(None);
        // Before that, it does not know yet what to do on SIGTERM.
        self.ready(before + 1).await;
        self.drain(&mut daemon).await;
        daemon
    }

    pub async fn stop(&self, mut daemon: Process) {
        daemon.signal("-TERM");
        let started = Instant::now();
        while daemon.0.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < PATIENCE, "it does not end: {}", self.told());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let status = daemon.0.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.told());
    }

    /// Every row that was ever sent is there once, and the index says so; by the program, and by somebody else's reader.
    pub fn verify(&self, python: &Path) {
        let rows = lines(&self.config, "select event_id, source_object, source_row from cloudtrail");
        let mut found: Vec<&str> = rows.iter().map(|row| row["event_id"].as_str().unwrap()).collect();
        let mut expected: Vec<&str> = self.sent.values().flatten().map(String::as_str).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{}", self.told());
        let places: HashSet<_> =
            rows.iter().map(|row| (row["source_object"].as_str(), row["source_row"].as_i64())).collect();
        assert_eq!(places.len(), expected.len());
        let objects = lines(&self.config, "select key from objects where state = 'committed' order by key");
        let mut keys: Vec<&str> = objects.iter().map(|row| row["key"].as_str().unwrap()).collect();
        keys.sort_unstable();
        assert_eq!(keys, self.sent.keys().map(String::as_str).collect::<Vec<_>>(), "{}", self.told());
        self.verify_by_python(python, expected.len());
    }

    /// The tables read by the Python package `deltalake`.
    fn verify_by_python(&self, python: &Path, rows: usize) {
        let objects = self.sent.len();
        let expected = format!("cloudtrail {rows} {rows}\nobjects {objects} {objects}\n");
        let read = read_by_python(python, &self.lake, &self.moto.endpoint);
        assert_eq!(read, expected, "rows, and how many are different");
    }

    /// How much the daemons have said.
    pub fn told_lines(&self) -> usize {
        std::fs::read_to_string(self.log()).unwrap_or_default().lines().count()
    }

    pub fn lake_directory(&self) -> PathBuf {
        PathBuf::from(&self.lake)
    }

    /// What the daemons said last.
    pub fn told(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A cycle; counts at which places processes ended.
    async fn cycle(&mut self, ends: &[End], random: &mut StdRng, hits: &mut BTreeMap<&str, u32>) {
        self.send(16, random).await;
        let before = self.ready_count();
        let mut running: Vec<(End, Process)> = ends
            .iter()
            .map(|end| {
                let armed = if let End::At(point, count) = end { Some((*point, *count)) } else { None };
                (end.clone(), self.start(armed))
            })
            .collect();
        // However slow the machine is, they have begun to work when the moments are counted.
        self.ready(before + 2).await;
        let started = Instant::now();
        let mut looked = started;
        let mut frozen = Vec::new();
        // A place that no object comes by ends nobody: then it is killed in the end.
        while !running.is_empty() && started.elapsed() < Duration::from_secs(8) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut left = Vec::new();
            for (end, mut process) in running {
                match end {
                    End::At(point, _) if process.has_aborted() => *hits.entry(point).or_default() += 1,
                    End::Killed(after) if started.elapsed() >= after => drop(process),
                    End::Frozen(after) if started.elapsed() >= after => {
                        process.signal("-STOP");
                        frozen.push(process);
                    }
                    _ => left.push((end, process)),
                }
            }
            running = left;
            // Asking takes the queue's time, too.
            if running.iter().all(|(end, _)| matches!(end, End::At(..)))
                && looked.elapsed() > Duration::from_millis(200)
            {
                looked = Instant::now();
                if self.is_idle().await {
                    break;
                }
            }
        }
        drop(running);
        let mut daemon = self.recover().await;
        for process in &frozen {
            process.signal("-CONT");
        }
        if !frozen.is_empty() {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        drop(frozen);
        self.drain(&mut daemon).await;
        self.stop(daemon).await;
        // Where the machine is slow, the index may not be up to date at the end: the next one begins with that.
        while self.told().lines().rev().take(4).any(|line| line.contains("could be committed in time")) {
            let daemon = self.recover().await;
            self.stop(daemon).await;
        }
    }

    async fn is_idle(&self) -> bool {
        self.moto.queue_counts(&self.queue.url).await.0 == 0
    }
}

/// What the Python package `deltalake` reads of a lake.
pub fn read_by_python(python: &Path, lake: &str, endpoint: &str) -> String {
    let output = Command::new(python)
        .args(["-c", READ_BY_PYTHON, lake, endpoint, REGION])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().expect("a number"))
}

/// How the four of a cycle end: two at places, in turn, one at any moment, one there or frozen.
fn ends(cycle: usize, random: &mut StdRng) -> Vec<End> {
    let mut point = |offset: usize| {
        End::At(POINTS[(2 * cycle + offset) % POINTS.len()], [1, 1, 2, 4][random.random_range(0..4)])
    };
    let (first, second) = (point(0), point(1));
    let mut moment = || Duration::from_millis(random.random_range(50..2000));
    let (third, fourth) = (moment(), moment());
    let last = if random.random_bool(0.3) { End::Frozen(fourth) } else { End::Killed(fourth) };
    vec![first, second, End::Killed(third), last]
}

async fn cycles(count: usize, on_s3: bool) {
    let seed = number("TRAILHOUND_KILL_SEED").unwrap_or(1) * 2 + u64::from(on_s3);
    let mut random = StdRng::seed_from_u64(seed);
    let python = moto::python_with(&interop::PACKAGES);
    let mut hits = BTreeMap::new();
    let started = Instant::now();
    let mut stage = Stage::new(on_s3).await;
    for cycle in 0..count {
        // A lake that is new, or has grown through a checkpoint or two.
        if cycle % 30 == 29 {
            stage = Stage::new(on_s3).await;
        }
        let ends = ends(cycle + usize::from(on_s3), &mut random);
        stage.cycle(&ends, &mut random, &mut hits).await;
        stage.verify(&python);
        if count > 20 {
            println!("cycle {cycle}, {} s: {ends:?}", started.elapsed().as_secs());
        }
    }
    let place = if on_s3 { "on S3" } else { "in a directory" };
    println!(
        "{count} cycles with a lake {place} in {} s, none lost and none doubled; ended at {hits:?}",
        started.elapsed().as_secs()
    );
}

fn cycle_count(of_every_day: usize) -> usize {
    number("TRAILHOUND_KILL_CYCLES").map_or(of_every_day, |count| usize::try_from(count).unwrap())
}

#[tokio::test]
async fn killed_with_a_lake_in_a_directory() {
    cycles(cycle_count(3), false).await;
}

#[tokio::test]
async fn killed_with_a_lake_on_s3() {
    cycles(cycle_count(2), true).await;
}

/// What is in a lake's directory.
#[derive(Debug, Default)]
struct Found {
    commits: usize,
    committed_objects: usize,
    index_commits: usize,
    data_files: usize,
    temporary: usize,
    checkpoints: usize,
}

fn look(lake: &Path) -> Found {
    let mut found = Found::default();
    for entry in walkdir::WalkDir::new(lake).into_iter().filter_map(Result::ok) {
        let path = entry.path().display().to_string();
        let in_log = path.contains("_delta_log");
        if path.contains('#') {
            found.temporary += 1;
        } else if path.ends_with(".checkpoint.parquet") {
            found.checkpoints += 1;
        } else if path.ends_with(".parquet") && path.contains("/cloudtrail/") {
            found.data_files += 1;
        } else if in_log && entry.path().extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            found.commits += usize::from(text.contains("\"objects\":["));
            found.committed_objects += text.matches("\"object_id\":").count();
            found.index_commits += usize::from(text.contains("\"index\":true") && text.contains("\"add\":"));
        }
    }
    found
}

/// One process, three objects, one place: what it leaves behind, and that the next one settles it.
#[tokio::test]
async fn what_each_place_leaves_behind() {
    if number("TRAILHOUND_KILL_CYCLES").is_none() {
        println!("skipped: runs with TRAILHOUND_KILL_CYCLES");
        return;
    }
    println!(
        "| place | objects committed | index written | files without a commit | temporary files | messages left | after the restart |"
    );
    println!("|---|---|---|---|---|---|---|");
    // The second file is that of the log, and the first index that of the start, which finds nothing.
    let second = ["file_written", "file_synced", "file_placed", "directory_synced", "after_index"];
    let first = POINTS.into_iter().filter(|point| *point != "after_index").map(|point| (point, 1));
    for (point, times) in first.chain(second.map(|point| (point, 2))) {
        let mut random = StdRng::seed_from_u64(1);
        let mut stage = Stage::new(false).await;
        let lake = PathBuf::from(&stage.lake);
        grow_old(&stage, if point.contains("checkpoint") { 49 } else { 0 }).await;
        stage.send(3, &mut random).await;
        let mut process = stage.start(Some((point, times)));
        let started = Instant::now();
        while !process.has_aborted() {
            assert!(started.elapsed() < PATIENCE, "{point} is not reached: {}", stage.told());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let found = look(&lake);
        let (visible, in_flight) = stage.moto.queue_counts(&stage.queue.url).await;
        let daemon = stage.recover().await;
        stage.stop(daemon).await;
        stage.verify(&moto::python_with(&interop::PACKAGES));
        println!(
            "| `{point}:{times}` | {} | {} | {} | {} | {} | {} rows, exact |",
            found.committed_objects,
            if found.index_commits > 0 { "yes" } else { "no" },
            found.data_files - found.commits.min(found.data_files),
            found.temporary,
            visible + in_flight,
            stage.sent.values().map(Vec::len).sum::<usize>(),
        );
    }
}

/// Makes the lake, with a log of the events' table that has so many versions, and an index that is up to date.
pub async fn grow_old(stage: &Stage, versions: i64) {
    use std::sync::Arc;
    use trailhound::clock::SystemClock;
    use trailhound::lake::{Action, Lake};
    use trailhound::store::{self, AwsSettings, Location};
    let place = store::lake(&Location::Local((&stage.lake).into()), &AwsSettings::default()).await.unwrap();
    let lake = Lake::create(place, Arc::new(SystemClock)).await.unwrap();
    for version in 1..=versions {
        let nothing = Action::info("WRITE", 0, &json!({})).expect("is written");
        lake.log("cloudtrail").unwrap().try_commit(version, &[nothing]).await.unwrap();
    }
    // So that the first index of the daemon is that of what it commits.
    lake.update_index().await.unwrap();
}
