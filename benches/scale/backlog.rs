//! A backlog of small objects, worked off by two processes on one lake.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use trailhound::clock::{Clock, SystemClock};
use trailhound::config;
use trailhound::decode::gzip;
use trailhound::generate::{Plan, write_to};
use trailhound::ingest::lease::{Leases, Timing};
use trailhound::ingest::listing::{self, Days};
use trailhound::ingest::load::BatchLimits;
use trailhound::ingest::read::Reader;
use trailhound::ingest::stats::Stats;
use trailhound::ingest::worker::{Settings, Signals, Sources, Worker};
use trailhound::lake::Lake;
use trailhound::queue::memory::{self, MemoryQueue};
use trailhound::store::{self, AwsSettings, Location};

use crate::memory_of;

const PROCESSES: usize = 2;
/// Far more than it takes.
const PATIENCE: Duration = Duration::from_mins(20);
/// Records of an object, on average.
const RECORDS: usize = 21;

pub fn run(objects: usize, group: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let logs = directory.path().join("logs");
    let plan = Plan {
        seed: 7,
        day: NaiveDate::from_ymd_opt(2026, 3, 10).expect("a day"),
        events: objects * RECORDS,
        flow_records: 0,
        objects: Some(objects),
        attack: false,
    };
    let written = write_to(&plan, &logs).expect("is written");
    eprintln!(
        "{} objects, {} records, {:.0} MB, {:.0} MB gzipped",
        written.objects,
        written.records,
        written.uncompressed_bytes as f64 / 1e6,
        written.compressed_bytes as f64 / 1e6
    );
    let lake = directory.path().join("lake");
    let started = Instant::now();
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|number| {
            Command::new(std::env::current_exe().expect("a program"))
                .arg("backlog-worker")
                .args([&logs, &lake])
                .args([number.to_string(), group.to_string()])
                .stdin(Stdio::null())
                .spawn()
                .expect("starts")
        })
        .collect();
    let resident = watch(&mut children, started);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "\n| objects | records | decoded together | seconds | objects/s | MB/s of JSON |\n|---|---|---|---|---|---|"
    );
    println!(
        "| {} | {} | {group} | {seconds:.1} | {:.0} | {:.0} |",
        written.objects,
        written.records,
        written.objects as f64 / seconds,
        written.uncompressed_bytes as f64 / 1e6 / seconds
    );
    print_memory(&resident);
    print_lake(&lake, written.records);
}

/// Waits for processes to end; the memory of each, once a second, in MiB.
pub fn watch(children: &mut [Child], started: Instant) -> Vec<Vec<u64>> {
    let mut resident = vec![Vec::new(); children.len()];
    loop {
        let mut running = 0;
        for (child, samples) in children.iter_mut().zip(&mut resident) {
            match child.try_wait().expect("is a child") {
                None => {
                    running += 1;
                    samples.push(memory_of(&child.id().to_string(), "VmRSS") >> 10);
                }
                Some(status) => assert!(status.success(), "{status}"),
            }
        }
        if running == 0 {
            return resident;
        }
        if started.elapsed() > PATIENCE {
            for child in children.iter_mut() {
                child.kill().expect("is killed");
            }
            panic!("it takes too long");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The most memory in each quarter of the time.
pub fn print_memory(resident: &[Vec<u64>]) {
    println!(
        "\n| process | peak MiB in the first quarter of the time | second | third | last |\n|---|---|---|---|---|"
    );
    for (number, samples) in resident.iter().enumerate() {
        let quarter = samples.len().div_ceil(4).max(1);
        let peaks = samples.chunks(quarter).map(|part| part.iter().max().unwrap_or(&0).to_string());
        println!("| {} | {} |", number + 1, peaks.collect::<Vec<_>>().join(" | "));
    }
}

/// The files a lake ended up with.
pub fn print_lake(lake: &Path, records: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (version, files) = runtime.block_on(async {
        let lake = open(lake).await;
        let snapshot = lake.log("cloudtrail").expect("a table").snapshot().await.expect("is read");
        (snapshot.version, snapshot.files)
    });
    let rows: u64 = files.iter().filter_map(|file| file.rows).sum();
    assert_eq!(rows, records as u64, "every record is there once");
    let bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
    println!("\n| commits | files | Parquet MB | MB a file | rows |\n|---|---|---|---|---|");
    println!(
        "| {version} | {} | {:.0} | {:.1} | {rows} |",
        files.len(),
        bytes as f64 / 1e6,
        bytes as f64 / 1e6 / files.len().max(1) as f64
    );
}

async fn open(lake: &Path) -> Lake {
    let location = Location::Local(lake.to_owned());
    let place = store::lake(&location, &AwsSettings::default()).await.expect("a store");
    Lake::create(place, Arc::new(SystemClock)).await.expect("a lake")
}

/// One process: takes every object whose number it is, and ends when all are in the lake.
pub fn work(arguments: &[&str]) {
    let [logs, lake, number, group] = arguments else { panic!("{arguments:?}") };
    let (number, group): (usize, usize) =
        (number.parse().expect("a number"), group.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let root = std::fs::canonicalize(logs).expect("a folder");
        let found = listing::files(&root, Days::default()).expect("is listed").found;
        let own = found.into_iter().skip(number).step_by(PROCESSES);
        let messages: Vec<String> = own.map(|found| message(&root, &found.key, found.size_bytes)).collect();
        let stats = Arc::new(Stats::default());
        let queue = Arc::new(MemoryQueue::new(memory::Settings::default()));
        let worker = worker(&root, Path::new(lake), group, &queue, &stats).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(Arc::new(worker).run(stop.clone()));
        let count = messages.len() as u64;
        let mut messages = messages.into_iter();
        while stats.counts().deleted < count {
            // A real queue is not in this process: only what is received soon is.
            if queue.counts().visible < 500 {
                messages.by_ref().take(500).for_each(|message| drop(queue.send(message)));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        running.await.expect("ends");
        println!("process {}: {}", number + 1, stats.counts());
    });
}

async fn worker(
    logs: &Path,
    lake: &Path,
    group_objects: usize,
    queue: &Arc<MemoryQueue>,
    stats: &Arc<Stats>,
) -> Worker {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let files: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(logs).expect("a folder"));
    let buckets = HashMap::from([("logs".to_owned(), files)]);
    Worker {
        queue: queue.clone(),
        leases: Leases::start(queue.clone(), Timing::of(Duration::from_mins(5))).expect("a thread"),
        lake: Arc::new(open(lake).await),
        reader: Arc::new(Reader::new(gzip::Limits::default(), clock)),
        sources: Arc::new(Sources::new(buckets, config::Lake::Directory(lake.to_owned()))),
        // As in the configuration's defaults.
        settings: Settings {
            batch: BatchLimits { bytes: 128 << 20, rows: 500_000 },
            group_objects,
            ..Settings::default()
        },
        stats: Arc::clone(stats),
        signals: Arc::new(Signals::default()),
    }
}

/// The announcement of an object, as S3 sent it long ago.
fn message(root: &Path, key: &str, size: u64) -> String {
    let key = Path::new(key).strip_prefix(root).expect("is below").to_string_lossy().into_owned();
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-03-10T12:15:00.000Z",
        "s3": { "bucket": { "name": "logs" }, "object": { "key": key, "size": size } },
    }] })
    .to_string()
}
