//! Loading a bucket: by days, in spite of ends without a warning, and without fetching what is there.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use object_store::memory::InMemory;
use object_store::{ObjectStore, PutOptions};
use trailhound::clock::{Clock, SystemClock};
use trailhound::decode::gzip;
use trailhound::ingest::listing::Found;
use trailhound::ingest::load::{BatchLimits, Loader, Origin};
use trailhound::ingest::read::Reader;
use trailhound::lake::Lake;
use trailhound::store::{self, AwsSettings, Location};

use crate::daemon::{gzipped, lines, trailhound};
use crate::moto::{Moto, REGION};
use crate::worker::{Faulty, ask, cloudtrail, until};

const OBJECTS: usize = 60;
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(3);

fn key(number: usize) -> String {
    let (account, day) = (number % 3, number / 3 % 5 + 1);
    format!("AWSLogs/{account:012}/CloudTrail/us-east-1/2026/03/{day:02}/{number}.json.gz")
}

fn wait(child: &mut Child) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_is_killed_goes_on_with_the_next_run() {
    let moto = Moto::start();
    moto.create_bucket("logs").await;
    for number in 0..OBJECTS {
        // Large enough that a group of objects that is read together does not hold all of them.
        let mut content = cloudtrail([format!("{number}")]);
        let padding = "x".repeat(300 << 10);
        content
            .splice(content.len() - 1..content.len() - 1, format!(",\"padding\":\"{padding}\"").into_bytes());
        let content = if number % 2 == 0 { content } else { gzipped(&content) };
        moto.put_object("logs", &key(number), &content).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let lake = directory.path().join("lake");
    let config = directory.path().join("trailhound.toml");
    let text = format!(
        "lake = '{}'\n[aws]\nendpoint = '{}'\nregion = '{REGION}'\n[ingest]\nbatch_rows = 1\n",
        lake.display(),
        moto.endpoint
    );
    std::fs::write(&config, text).unwrap();
    let start = |failpoint: Option<&str>| {
        let mut command = trailhound(&config);
        command.args(["ingest", "s3://logs/AWSLogs"]).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(failpoint) = failpoint {
            command.env("TRAILHOUND_FAILPOINT", failpoint);
        }
        command.spawn().unwrap()
    };
    // Six tables are created first: then the first commit is in, and nobody knows of it.
    let mut first = start(Some("after_log_put:7"));
    wait(&mut first);
    let mut second = start(Some("before_log_put:1"));
    wait(&mut second);
    let mut third = start(None);
    let version = lake.join("cloudtrail/_delta_log/00000000000000000002.json");
    let started = Instant::now();
    while !version.exists() && third.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < PATIENCE, "nothing is committed");
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = third.kill();
    wait(&mut third);

    let last = trailhound(&config).args(["ingest", "s3://logs/AWSLogs"]).output().unwrap();
    let told = String::from_utf8(last.stdout).unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let numbers: Vec<usize> =
        told.lines().next().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
    let [read, known, rejected] = numbers[..] else { panic!("{told}") };
    assert_eq!((read + known, rejected), (OBJECTS, 0), "{told}");
    assert!(known > 0, "the first commit was in: {told}");
    let found = lines(&config, "select event_id from cloudtrail");
    let mut found: Vec<usize> =
        found.iter().map(|row| row["event_id"].as_str().unwrap().parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..OBJECTS).collect::<Vec<_>>());
    assert_eq!(lines(&config, "select key from objects").len(), OBJECTS);
}

#[tokio::test]
async fn what_the_ledger_knows_is_not_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Local(directory.path().join("lake"));
    let place = store::lake(&location, &AwsSettings::default()).await.unwrap();
    let lake = Arc::new(Lake::create(place, Arc::new(SystemClock)).await.unwrap());
    let full: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut found = Vec::new();
    for number in 0..OBJECTS {
        let path = key(number).into();
        let put = full.put_opts(&path, cloudtrail([format!("{number}")]).into(), PutOptions::default());
        let etag = put.await.unwrap().e_tag.map(|etag| etag.trim_matches('"').to_owned());
        found.push(Found { key: key(number), size_bytes: 100, etag });
    }
    let load = async |store: Arc<dyn ObjectStore>, found: Vec<Found>| {
        let loader = Loader {
            lake: Arc::clone(&lake),
            reader: Arc::new(Reader::new(gzip::Limits::default(), Arc::new(SystemClock))),
            origin: Origin::Bucket { name: "logs".to_owned(), store },
            limits: BatchLimits::default(),
            at_once: 4,
        };
        let chunks = found.chunks(7).map(|chunk| Ok(chunk.to_vec())).collect::<Vec<_>>();
        let mut done = (0, 0);
        let tally = loader.load_chunks(futures::stream::iter(chunks), |step| {
            let count = if step.known { &mut done.0 } else { &mut done.1 };
            *count += step.objects.len();
        });
        (tally.await.unwrap(), done)
    };
    let (tally, done) = load(Arc::clone(&full), found[..40].to_vec()).await;
    assert_eq!((tally.added, tally.known, done), (40, 0, (0, 40)));
    // In this bucket there is nothing: whatever is fetched is not found.
    let (tally, done) = load(Arc::new(InMemory::new()), found.clone()).await;
    assert_eq!((tally.added, tally.known, tally.rejected.len(), done), (0, 40, 20, (40, 20)));
    let (tally, _) = load(full, found).await;
    assert_eq!((tally.added, tally.known, tally.rejected.len()), (20, 40, 0));
}

#[tokio::test]
async fn keys_that_cannot_be_asked_for_are_recorded_and_folders_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Local(directory.path().join("lake"));
    let place = store::lake(&location, &AwsSettings::default()).await.unwrap();
    let lake = Arc::new(Lake::create(place, Arc::new(SystemClock)).await.unwrap());
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (path, content) = (key(1).into(), cloudtrail(["1".to_owned()]));
    store.put_opts(&path, content.into(), PutOptions::default()).await.unwrap();
    let found = |key: &str, size_bytes| Found { key: key.to_owned(), size_bytes, etag: None };
    let all = vec![found(&key(1), 100), found("AWSLogs//", 0), found("AWSLogs/folder", 0), found("gone", 7)];
    let loader = Loader {
        lake: Arc::clone(&lake),
        reader: Arc::new(Reader::new(gzip::Limits::default(), Arc::new(SystemClock))),
        origin: Origin::Bucket { name: "logs".to_owned(), store },
        limits: BatchLimits::default(),
        at_once: 4,
    };
    for round in 0..2 {
        let tally = loader.load(all.clone(), |_| {}).await.unwrap();
        assert_eq!((tally.added + tally.known, tally.found), (1, 3), "round {round}");
        let rejected: Vec<_> = tally.rejected.iter().map(|rejected| rejected.key.as_str()).collect();
        assert_eq!(rejected, ["AWSLogs//", "gone"], "round {round}");
    }
    let told = ask(&lake, "select key, state, reason from objects where state = 'quarantined'").await;
    let reason = "it has an empty segment, and so with all keys below it";
    assert_eq!(
        told,
        [format!("AWSLogs// quarantined a key that this client cannot ask for: {reason}")],
        "once"
    );
}

/// A clock that panics at some of the calls: so does the reading of an object that asks it for the time.
#[derive(Debug)]
struct PanickingClock {
    calls: AtomicUsize,
    panics: Vec<usize>,
}

impl Clock for PanickingClock {
    fn now(&self) -> DateTime<Utc> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.contains(&call), "the panic of a test");
        SystemClock.now()
    }
}

#[tokio::test]
async fn an_object_that_panics_the_reader_is_quarantined_and_the_others_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (mut files, mut objects) = (Vec::new(), Vec::new());
    for name in ["a", "b", "c"] {
        let content = cloudtrail([name.to_owned()]);
        let path = directory.path().join(format!("{name}.json"));
        std::fs::write(&path, &content).unwrap();
        let found = |key: String| Found { key, size_bytes: content.len() as u64, etag: None };
        files.push(found(path.display().to_string()));
        objects.push(found(format!("{name}.json")));
        store.put_opts(&format!("{name}.json").into(), content.into(), PutOptions::default()).await.unwrap();
    }
    for (origin, found) in
        [(Origin::Files, files), (Origin::Bucket { name: "logs".to_owned(), store }, objects)]
    {
        let lake = tempfile::tempdir().unwrap();
        let place = store::lake(&Location::Local(lake.path().into()), &AwsSettings::default()).await.unwrap();
        let lake = Arc::new(Lake::create(place, Arc::new(SystemClock)).await.unwrap());
        // Of the three that are read together the second panics, and again when it is read for itself.
        let clock = PanickingClock { calls: AtomicUsize::new(0), panics: vec![1, 3] };
        let loader = Loader {
            lake: Arc::clone(&lake),
            reader: Arc::new(Reader::new(gzip::Limits::default(), Arc::new(clock))),
            origin,
            limits: BatchLimits::default(),
            at_once: 4,
        };
        let tally = loader.load(found, |_| {}).await.unwrap();
        assert_eq!((tally.found, tally.added), (3, 2));
        assert_eq!(ask(&lake, "select event_id from cloudtrail order by event_id").await, ["a", "c"]);
        let named = ask(&lake, "select key, reason from objects where state = 'quarantined'").await;
        assert!(named.len() == 1 && named[0].ends_with("b.json reading it ends in a panic"), "{named:?}");
        assert!(tally.rejected.len() == 1 && tally.rejected[0].key.ends_with("b.json"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_go_on_coming_while_a_commit_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Local(directory.path().join("lake"));
    let mut place = store::lake(&location, &AwsSettings::default()).await.unwrap();
    let lake_store = Faulty::around(place.store);
    place.store = Arc::clone(&lake_store) as Arc<dyn ObjectStore>;
    let lake = Arc::new(Lake::create(place, Arc::new(SystemClock)).await.unwrap());
    let logs = Faulty::around(Arc::new(InMemory::new()));
    let mut found = Vec::new();
    for name in ["0-heavy", "1-heavy", "2-heavy", "3-heavy", "4-slow-heavy", "5-slow-heavy"] {
        let content = cloudtrail([name.to_owned()]);
        logs.put_opts(&name.into(), content.into(), PutOptions::default()).await.unwrap();
        // So large that each is read for itself.
        found.push(Found { key: name.to_owned(), size_bytes: 5 << 20, etag: None });
    }
    let (slow, heavy) = (logs.gate.write().await, logs.bodies.gate.write().await);
    let loader = Loader {
        lake: Arc::clone(&lake),
        reader: Arc::new(Reader::new(gzip::Limits::default(), Arc::new(SystemClock))),
        origin: Origin::Bucket { name: "logs".to_owned(), store: Arc::clone(&logs) as Arc<dyn ObjectStore> },
        limits: BatchLimits { rows: 1, ..BatchLimits::default() },
        at_once: 6,
    };
    let load = tokio::spawn(async move { loader.load(found, |_| {}).await });
    until(|| logs.fetched.load(Ordering::SeqCst) == 6).await;
    // From here on no commit ends, and after two of them the load waits.
    let commits = lake_store.gate.write().await;
    let before = lake_store.fetched.load(Ordering::SeqCst);
    drop(heavy);
    until(|| lake_store.fetched.load(Ordering::SeqCst) > before).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(slow);
    until(|| logs.bodies.asked_for.load(Ordering::SeqCst) == 6).await;
    drop(commits);
    let tally = load.await.unwrap().unwrap();
    assert_eq!((tally.found, tally.added), (6, 6));
}

#[tokio::test]
async fn what_is_read_later_is_done_once() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Local(directory.path().join("lake"));
    let place = store::lake(&location, &AwsSettings::default()).await.unwrap();
    let lake = Arc::new(Lake::create(place, Arc::new(SystemClock)).await.unwrap());
    // Three of them are as much as is read at once.
    let mut content = cloudtrail(["1".to_owned()]);
    content.resize(43 << 20, b' ');
    let content = gzipped(&content);
    let mut found = Vec::new();
    for number in 0..4 {
        let path = directory.path().join(format!("{number}.json.gz"));
        std::fs::write(&path, &content).unwrap();
        found.push(Found { key: path.display().to_string(), size_bytes: content.len() as u64, etag: None });
    }
    let loader = Loader {
        lake,
        reader: Arc::new(Reader::new(gzip::Limits::default(), Arc::new(SystemClock))),
        origin: Origin::Files,
        limits: BatchLimits::default(),
        at_once: 4,
    };
    let mut steps = Vec::new();
    let chunks = futures::stream::iter([Ok(found)]);
    let tally = loader.load_chunks(chunks, |done| steps.push(done.objects.len())).await.unwrap();
    assert_eq!((tally.found, tally.added), (4, 4));
    assert_eq!((steps.len() > 1, steps.iter().sum::<usize>()), (true, 4), "{steps:?}");
}
