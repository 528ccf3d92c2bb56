//! Daemons on S3 and SQS by the emulator moto: what they do, what moto itself can do, and how soon rows are there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures::StreamExt;
use object_store::ObjectStoreExt;
use trailhound::clock::SystemClock;
use trailhound::generate::{Object, Plan, generate};
use trailhound::ingest::notification::{self, Notification};
use trailhound::lake::{Lake, objects_of};
use trailhound::queue::Queue;
use trailhound::store::{self, AwsSettings, Location};

use crate::backlog;
use crate::moto::{Moto, REGION};

/// Requests at once.
const AT_ONCE: usize = 16;
/// How long moto is asked for what it can do.
const TRIAL: Duration = Duration::from_secs(15);

/// A bucket whose objects are announced on a queue.
struct Stage {
    moto: Moto,
    queue_url: String,
    directory: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let moto = Moto::start();
        moto.create_bucket("logs").await;
        moto.create_bucket("lake").await;
        let queue = moto.create_queue("announcements", 100).await;
        moto.put_bucket_notification("logs", &queue.arn).await;
        Stage { moto, queue_url: queue.url, directory: tempfile::tempdir().unwrap() }
    }

    fn start(&self, lake: &str) -> Daemon {
        let (endpoint, queue) = (&self.moto.endpoint, &self.queue_url);
        let config = self.directory.path().join("trailhound.toml");
        let text = format!(
            "lake = '{lake}'\n[aws]\nendpoint = '{endpoint}'\nregion = '{REGION}'\n\
             [[source]]\nkind = 'sqs'\nqueue = '{queue}'\nbuckets = ['logs']\n[detect]\nbuilt_in = false\n"
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_trailhound"))
            .arg("--config")
            .arg(&config)
            .arg("run")
            .envs(CREDENTIALS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Daemon(child.unwrap())
    }
}

/// A daemon that is killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nobody checks them.
const CREDENTIALS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")];

fn objects(count: usize) -> impl Iterator<Item = Object> {
    generate(&Plan {
        seed: 7,
        day: NaiveDate::from_ymd_opt(2026, 3, 10).unwrap(),
        events: count * 21,
        flow_records: 0,
        objects: Some(count),
        attack: false,
    })
    .take(count)
}

fn terminate(daemon: &mut Daemon) {
    let pid = daemon.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(daemon.0.wait().unwrap().success());
}

pub fn backlog(count: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    let lake = stage.directory.path().join("lake");
    let (mut records, mut bytes) = (0, 0);
    let all: Vec<Object> = objects(count).collect();
    runtime.block_on(async {
        futures::stream::iter(&all)
            .for_each_concurrent(AT_ONCE, |object| stage.moto.put_object("logs", &object.key, &object.body))
            .await;
    });
    let count = all.len();
    let (taken, seconds) = runtime.block_on(trial(&stage));
    for object in &all {
        records += object.records;
        bytes += object.uncompressed_bytes;
    }
    // What the trial received comes back.
    stage.moto.advance(Duration::from_secs(31));
    let started = Instant::now();
    let mut daemons = [stage.start(&lake.display().to_string()), stage.start(&lake.display().to_string())];
    let mut resident = vec![Vec::new(); 2];
    while runtime.block_on(stage.moto.queue_counts(&stage.queue_url)) != (0, 0) {
        assert!(started.elapsed() < Duration::from_mins(10), "it takes too long");
        for (daemon, samples) in daemons.iter().zip(&mut resident) {
            samples.push(crate::memory_of(&daemon.0.id().to_string(), "VmRSS") >> 10);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let elapsed = started.elapsed().as_secs_f64();
    daemons.iter_mut().for_each(terminate);
    println!("| objects | who | seconds | objects/s | MB/s of JSON |\n|---|---|---|---|---|");
    println!(
        "| {taken} | a client that receives 10, gets each, at {AT_ONCE} | {seconds:.1} | {:.0} | |",
        taken as f64 / seconds
    );
    println!(
        "| {count} | two daemons, two workers each | {elapsed:.1} | {:.0} | {:.1} |",
        count as f64 / elapsed,
        bytes as f64 / 1e6 / elapsed
    );
    backlog::print_memory(&resident);
    backlog::print_lake(&lake, records);
}

/// Receives and gets, and does nothing with it.
async fn trial(stage: &Stage) -> (usize, f64) {
    let queue = stage.moto.queue(&stage.queue_url).await;
    let store = stage.moto.store("logs");
    let started = Instant::now();
    let mut taken = 0;
    while started.elapsed() < TRIAL {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            break;
        }
        let keys: Vec<String> = messages
            .iter()
            .filter_map(|message| match notification::parse(&message.body) {
                Ok(Notification::Objects(objects)) => Some(objects),
                _ => None,
            })
            .flatten()
            .map(|object| object.key)
            .collect();
        taken += keys.len();
        futures::stream::iter(keys)
            .for_each_concurrent(AT_ONCE, |key| {
                let store = &store;
                async move { drop(store.get(&key.into()).await.unwrap().bytes().await.unwrap()) }
            })
            .await;
    }
    (taken, started.elapsed().as_secs_f64())
}

/// A steady stream, with the lake in a directory and on S3.
pub fn fresh(rate: usize, seconds: usize) {
    if std::env::var_os(CREDENTIALS[0].0).is_none() {
        let again = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .envs(CREDENTIALS)
            .status();
        assert!(again.unwrap().success());
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "| lake | objects/s | objects | p50 s | p99 s | most s | commits |\n|---|---|---|---|---|---|---|"
    );
    for on_s3 in [false, true] {
        let stage = runtime.block_on(Stage::new());
        let lake = if on_s3 {
            "s3://lake/below".to_owned()
        } else {
            stage.directory.path().join("lake").display().to_string()
        };
        let mut daemon = stage.start(&lake);
        let (mut delays, commits) = runtime.block_on(stream(&stage, &lake, rate, seconds));
        terminate(&mut daemon);
        delays.sort_unstable();
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share).round() as usize].as_secs_f64();
        println!(
            "| {} | {rate} | {} | {:.1} | {:.1} | {:.1} | {commits} |",
            if on_s3 { "S3 (moto)" } else { "a directory" },
            delays.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

/// From the time an object is put, and so announced, to the time its version is seen: of each object.
async fn stream(stage: &Stage, lake: &str, rate: usize, seconds: usize) -> (Vec<Duration>, i64) {
    let location: Location = lake.parse().unwrap();
    let aws = AwsSettings { endpoint: Some(stage.moto.endpoint.clone()), region: Some(REGION.to_owned()) };
    let opened = Instant::now();
    let lake = loop {
        // The daemon creates it.
        let place = store::lake(&location, &aws).await;
        if let Ok(place) = place
            && let Ok(lake) = Lake::open(place, Arc::new(SystemClock)).await
        {
            break lake;
        }
        assert!(opened.elapsed() < Duration::from_mins(1), "{}", log(stage.directory.path()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // The generator may make a few less.
    let all: Vec<Object> = objects(rate * seconds).collect();
    let count = all.len();
    let sent = Mutex::new(HashMap::new());
    let announce = async {
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate as f64));
        for object in &all {
            ticks.tick().await;
            sent.lock().unwrap().insert(object.key.clone(), Instant::now());
            stage.moto.put_object("logs", &object.key, &object.body).await;
        }
    };
    let see = async {
        let log = lake.log("cloudtrail").unwrap();
        let (mut version, mut delays) = (0, Vec::new());
        while delays.len() < count {
            let Some(actions) = log.actions(version + 1).await.unwrap() else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            version += 1;
            let seen = Instant::now();
            let sent = sent.lock().unwrap();
            delays.extend(objects_of(&actions).map(|object| seen - sent[&object.unwrap().key]));
        }
        (delays, version)
    };
    let patience = Duration::from_secs(seconds as u64 + 180);
    let seen = tokio::time::timeout(patience, async { tokio::join!(announce, see).1 }).await;
    seen.unwrap_or_else(|_| panic!("it takes too long: {}", log(stage.directory.path())))
}

fn log(directory: &Path) -> String {
    let path: PathBuf = directory.join("log");
    std::fs::read_to_string(path).unwrap_or_default()
}
