//! The worker against a queue and buckets in memory and a lake on disk: nothing lost, nothing doubled, nothing
//! deleted too early.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result as StoreResult,
};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use trailhound::clock::SystemClock;
use trailhound::config;
use trailhound::decode::gzip;
use trailhound::ingest::lease::{Leases, Timing};
use trailhound::ingest::load::BatchLimits;
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::ingest::stats::{Counts, Stats};
use trailhound::ingest::worker::{Backoff, Pace, Settings, Signals, Sources, Worker};
use trailhound::lake::Lake;
use trailhound::query::{Limits, Session};
use trailhound::queue::memory::{self, Fault, MemoryQueue, Operation};
use trailhound::queue::{self, Message, Queue};
use trailhound::store::{self, AwsSettings, Location};

/// Far more than anything here takes: a test that reaches it hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A CloudTrail object with events of these ids.
pub fn cloudtrail(ids: impl IntoIterator<Item = String>) -> Vec<u8> {
    let records: Vec<_> = ids
        .into_iter()
        .map(|id| {
            serde_json::json!({
                "eventVersion": "1.08",
                "userIdentity": { "type": "Root", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:root" },
                "eventTime": "2026-03-10T12:01:07Z",
                "eventSource": "signin.amazonaws.com",
                "eventName": "ConsoleLogin",
                "awsRegion": "us-east-1",
                "sourceIPAddress": "198.51.100.23",
                "eventID": id,
                "eventType": "AwsConsoleSignIn",
                "recipientAccountId": "111122223333",
            })
        })
        .collect();
    serde_json::json!({ "Records": records }).to_string().into_bytes()
}

/// The answer to a query, one text per row, columns joined by a space.
pub async fn ask(lake: &Lake, sql: &str) -> Vec<String> {
    let session = Session::open(lake, Limits::default()).await.unwrap();
    let mut rows = Vec::new();
    for batch in session.query(sql, Vec::new()).await.unwrap().collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            rows.push(values.collect::<Vec<_>>().join(" "));
        }
    }
    rows
}

/// Rows of a table, and how many of them are different rows of objects.
pub async fn rows(lake: &Lake, table: &str) -> (i64, i64) {
    let session = Session::open(lake, Limits::default()).await.unwrap();
    let sql = format!("select count(*), count(distinct source_object || ' ' || source_row) from {table}");
    let batches = session.query(&sql, Vec::new()).await.unwrap().collect().await.unwrap();
    let value = |column: usize| batches[0].column(column).as_primitive::<Int64Type>().value(0);
    (value(0), value(1))
}

/// Waits for something to become true.
pub async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it takes too long");
}

/// What is known of an object, in the order of keys.
async fn states(lake: &Lake) -> Vec<String> {
    lake.update_index().await.unwrap();
    ask(lake, "select key, state from objects order by key").await
}

/// The announcement of objects, as S3 sends it.
fn announcement(bucket: &str, keys: &[&str]) -> String {
    let record = |key: &&str| {
        serde_json::json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": "2026-03-10T12:15:00.000Z",
            "s3": { "bucket": { "name": bucket }, "object": { "key": key } },
        })
    };
    serde_json::json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() }).to_string()
}

/// A store that counts what is fetched, and whose conditional puts go wrong when asked to.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    pub fetched: AtomicUsize,
    /// So many of the next conditional puts fail,
    failing: AtomicUsize,
    /// and so many after them are carried out and said to have failed.
    lying: AtomicUsize,
    /// The index takes nothing,
    index_fails: AtomicBool,
    /// and refused so often,
    index_refusals: AtomicUsize,
    /// or was written so often.
    index_puts: AtomicUsize,
    /// Reads of the log and of whatever is called slow wait for it.
    pub gate: RwLock<()>,
    pub bodies: Arc<Bodies>,
}

/// The bodies of the answers about whatever is called heavy.
#[derive(Debug, Default)]
pub struct Bodies {
    pub gate: RwLock<()>,
    /// How many wait for the gate, or did.
    pub asked_for: AtomicUsize,
}

impl Bodies {
    /// The answer with a body that comes when it is asked for and the gate is open.
    async fn hold(self: Arc<Self>, answer: GetResult) -> StoreResult<GetResult> {
        let (meta, range, attributes) =
            (answer.meta.clone(), answer.range.clone(), answer.attributes.clone());
        let body = answer.bytes().await?;
        let stream = futures::stream::once(async move {
            self.asked_for.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.read().await;
            Ok(body)
        });
        Ok(GetResult { payload: GetResultPayload::Stream(Box::pin(stream)), meta, range, attributes })
    }
}

impl Faulty {
    pub fn around(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        let none = || AtomicUsize::new(0);
        Arc::new(Faulty {
            inner,
            fetched: none(),
            failing: none(),
            lying: none(),
            index_fails: AtomicBool::new(false),
            index_refusals: none(),
            index_puts: none(),
            gate: RwLock::new(()),
            bodies: Arc::default(),
        })
    }

    fn takes_one(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn fault() -> object_store::Error {
    object_store::Error::Generic { store: "Faulty", source: "injected fault".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        let conditional = options.mode == PutMode::Create;
        if conditional && Self::takes_one(&self.failing) {
            return Err(fault());
        }
        if path.as_ref().contains("objects/_delta_log") {
            if self.index_fails.load(Ordering::SeqCst) {
                self.index_refusals.fetch_add(1, Ordering::SeqCst);
                return Err(fault());
            }
            self.index_puts.fetch_add(1, Ordering::SeqCst);
        }
        let lies = conditional && Self::takes_one(&self.lying);
        let result = self.inner.put_opts(path, payload, options).await;
        if lies { Err(fault()) } else { result }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let slow = ["slow", "_delta_log"].iter().any(|part| path.as_ref().contains(part));
        let _open = if slow { Some(self.gate.read().await) } else { None };
        let answer = self.inner.get_opts(path, options).await?;
        if path.as_ref().contains("heavy") { Arc::clone(&self.bodies).hold(answer).await } else { Ok(answer) }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// The queue as the leases see it: counts what is asked of it.
struct Heartbeats {
    queue: Arc<MemoryQueue>,
    count: Arc<AtomicUsize>,
}

#[async_trait]
impl Queue for Heartbeats {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, queue::Error> {
        self.queue.receive(max, wait).await
    }

    async fn change_visibility(&self, receipt: &str, visibility: Duration) -> Result<(), queue::Error> {
        let result = self.queue.change_visibility(receipt, visibility).await;
        self.count.fetch_add(1, Ordering::SeqCst);
        result
    }

    async fn delete(&self, receipts: &[String]) -> Result<Vec<String>, queue::Error> {
        self.queue.delete(receipts).await
    }
}

/// A queue, two buckets of which one is allowed, and a lake.
struct World {
    queue: Arc<MemoryQueue>,
    heartbeats: Arc<AtomicUsize>,
    logs: Arc<Faulty>,
    lake_store: Arc<Faulty>,
    lake: Arc<Lake>,
    stats: Arc<Stats>,
    signals: Arc<Signals>,
    settings: Settings,
    timing: Timing,
    _directory: tempfile::TempDir,
}

const SECOND: Duration = Duration::from_secs(1);
const VISIBILITY: Duration = Duration::from_mins(10);

impl World {
    async fn new(queue: memory::Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lake_store;
        let lake = {
            let location = Location::Local(PathBuf::from(directory.path()).join("lake"));
            let mut place = store::lake(&location, &AwsSettings::default()).await.unwrap();
            lake_store = Faulty::around(place.store);
            place.store = Arc::clone(&lake_store) as Arc<dyn ObjectStore>;
            Arc::new(Lake::create(place, Arc::new(SystemClock)).await.unwrap())
        };
        let at_once = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(4) };
        let pace = Pace {
            long_wait: Duration::ZERO,
            short_wait: Duration::ZERO,
            least_wait: Duration::from_millis(2),
            give_back: Backoff { first: 10 * SECOND, longest: 60 * SECOND },
            receive_fault: at_once,
            refused: Duration::from_millis(4),
            commit_fault: at_once,
        };
        let beat = Duration::from_millis(5);
        World {
            queue: Arc::new(MemoryQueue::new(memory::Settings { visibility: VISIBILITY, ..queue })),
            heartbeats: Arc::default(),
            logs: Faulty::around(Arc::new(InMemory::new())),
            lake_store,
            lake,
            stats: Arc::default(),
            signals: Arc::default(),
            settings: Settings { pace, ..Settings::default() },
            timing: Timing { interval: beat, retry: beat, ..Timing::of(VISIBILITY) },
            _directory: directory,
        }
    }

    /// Two receives, and then to the dead letters.
    async fn with_dead_letters() -> Self {
        Self::new(memory::Settings { max_receive_count: Some(2), ..memory::Settings::default() }).await
    }

    async fn put(&self, key: &str, content: Vec<u8>) {
        self.logs.put(&Path::parse(key).unwrap(), content.into()).await.unwrap();
    }

    fn worker(&self) -> Arc<Worker> {
        let heartbeats = Heartbeats { queue: Arc::clone(&self.queue), count: Arc::clone(&self.heartbeats) };
        let logs: Arc<dyn ObjectStore> = Arc::clone(&self.logs) as _;
        let lake = config::Lake::S3 { bucket: "logs".to_owned(), prefix: "lake".to_owned() };
        Arc::new(Worker {
            leases: Leases::start(Arc::new(heartbeats), self.timing).unwrap(),
            queue: Arc::clone(&self.queue) as _,
            lake: Arc::clone(&self.lake),
            reader: Arc::new(Reader::new(gzip::Limits::default(), Arc::new(SystemClock))),
            sources: Arc::new(Sources::new(HashMap::from([("logs".to_owned(), logs)]), lake)),
            settings: self.settings,
            stats: Arc::clone(&self.stats),
            signals: Arc::clone(&self.signals),
        })
    }

    /// Runs workers until the counters are as wanted, then stops them.
    async fn run_until(&self, workers: usize, done: impl Fn(&Counts, memory::Counts) -> bool) {
        let stop = CancellationToken::new();
        let running: Vec<_> = (0..workers).map(|_| tokio::spawn(self.worker().run(stop.clone()))).collect();
        let all = async {
            while !done(&self.stats.counts(), self.queue.counts()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stop.cancel();
            for worker in running {
                worker.await.unwrap();
            }
        };
        let finished = tokio::time::timeout(PATIENCE, all).await;
        assert!(finished.is_ok(), "{} {:?}", self.stats.counts(), self.queue.counts());
    }

    /// Runs workers until no message is left, or only dead ones. The queue's time passes when nothing else happens.
    async fn run_to_the_end(&self, workers: usize) {
        let quiet = Cell::new(0);
        let last = Cell::new(None);
        self.run_until(workers, |told, queue| {
            let now = Some((*told, queue));
            quiet.set(if last.replace(now) == now { quiet.get() + 1 } else { 0 });
            if quiet.get() % 20 == 19 {
                self.queue.advance(10 * SECOND);
            }
            queue.visible + queue.in_flight == 0
        })
        .await;
    }
}

fn counts(dead: usize) -> memory::Counts {
    memory::Counts { visible: 0, in_flight: 0, dead }
}

fn events(object: usize, count: usize) -> Vec<u8> {
    cloudtrail((0..count).map(|event| format!("event-{object}-{event}")))
}

#[tokio::test]
async fn what_is_announced_twice_is_in_the_lake_once() {
    let world = World::new(memory::Settings::default()).await;
    world.put("a b+c.json", events(1, 3)).await;
    world.put("b.json", events(2, 4)).await;
    // Twice in one message, in two messages, and again when all has been committed.
    for round in 0..2 {
        world.queue.send(announcement("logs", &["a+b%2Bc.json", "b.json", "b.json"]));
        world.queue.send(announcement("logs", &["b.json"]));
        world.queue.send(r#"{"Event":"s3:TestEvent"}"#);
        world.run_to_the_end(1).await;
        assert_eq!(rows(&world.lake, "cloudtrail").await, (7, 7), "round {round}");
    }
    assert_eq!(world.queue.counts(), counts(0));
    assert_eq!(states(&world.lake).await, ["a b+c.json committed", "b.json committed"]);
    let told = world.stats.counts();
    assert_eq!((told.received, told.deleted, told.given_back), (6, 6, 0));
    assert_eq!((told.added, told.known, told.rows, told.unannouncing), (2, 6, 7, 2));
}

#[tokio::test]
async fn an_index_that_another_left_behind_is_brought_up_to_date() {
    let world = World::new(memory::Settings::default()).await;
    let fetched = Fetched {
        bucket: "logs".to_owned(),
        key: "a.json".to_owned(),
        etag: Some("e".to_owned()),
        version_id: None,
        announced_at: None,
        bytes: events(1, 3).into(),
    };
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    world.lake.commit(vec![reader.read(&fetched)]).await.unwrap();
    assert!(ask(&world.lake, "select key from objects").await.is_empty(), "it died before the index");
    world.run_to_the_end(1).await;
    assert_eq!(ask(&world.lake, "select key from objects").await, ["a.json"]);
}

#[tokio::test]
async fn an_index_that_could_not_be_written_is_tried_again_without_another_commit() {
    let world = World::new(memory::Settings::default()).await;
    let store = &world.lake_store;
    store.index_fails.store(true, Ordering::SeqCst);
    let before = store.index_puts.load(Ordering::SeqCst);
    world.put("a.json", cloudtrail(["1".to_owned()])).await;
    world.queue.send(announcement("logs", &["a.json"]));
    let tries_at_once = 6;
    world
        .run_until(1, |told, _| {
            if told.deleted == 1 && store.index_refusals.load(Ordering::SeqCst) > tries_at_once {
                store.index_fails.store(false, Ordering::SeqCst);
            }
            store.index_puts.load(Ordering::SeqCst) > before
        })
        .await;
    assert_eq!(ask(&world.lake, "select key, state from objects").await, ["a.json committed"]);
}

#[tokio::test]
async fn what_the_lake_has_is_not_fetched_again() {
    let world = World::new(memory::Settings::default()).await;
    world.put("a.json", events(1, 3)).await;
    let meta = world.logs.head(&Path::from("a.json")).await.unwrap();
    let told = announcement("logs", &["a.json"]);
    let etag = format!(r#""key":"a.json","eTag":"{}""#, meta.e_tag.unwrap());
    let told = told.replace(r#""key":"a.json""#, &etag);
    world.queue.send(told.clone());
    world.run_to_the_end(1).await;
    world.signals.committed.notified().await;
    let fetched = world.logs.fetched.load(Ordering::SeqCst);
    world.queue.send(told);
    world.run_to_the_end(1).await;
    let told = tokio::time::timeout(PATIENCE, world.signals.committed.notified()).await;
    told.expect("whoever died after the commit told nobody");
    assert_eq!(world.logs.fetched.load(Ordering::SeqCst), fetched);
    assert_eq!((world.stats.counts().known, world.queue.counts()), (1, counts(0)));
}

#[tokio::test]
async fn a_message_stays_until_all_of_its_objects_are_in() {
    let world = World::new(memory::Settings::default()).await;
    world.put("a.json", events(1, 3)).await;
    world.queue.send(announcement("logs", &["a.json", "late.json"]));
    world.run_until(1, |counts, _| counts.missing == 1 && counts.given_back == 1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3), "what is there is in");
    assert_eq!(world.queue.counts().in_flight, 1, "and the message waits for the rest");
    world.put("late.json", events(2, 2)).await;
    world.run_to_the_end(1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (5, 5));
    assert_eq!(world.stats.counts().deleted, 1);
}

#[tokio::test]
async fn what_is_not_understood_goes_to_the_dead_letters() {
    let world = World::with_dead_letters().await;
    world.put("a.json", events(1, 3)).await;
    let imagined = announcement("logs", &["a.json"]).replace("ObjectCreated:Put", "ObjectImagined:Put");
    let odd = ["", "not JSON \u{1b}[2J", r#"{"Records":[{"eventSource":"aws:s4"}]}"#, &imagined];
    for body in odd {
        world.queue.send(body);
    }
    world.queue.send(announcement("logs", &["a.json"]));
    world.run_to_the_end(1).await;
    let mut dead = world.queue.dead_letters();
    dead.sort_unstable();
    let mut odd = odd;
    odd.sort_unstable();
    assert_eq!(dead, odd);
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3), "others are not held up");
    assert_eq!((world.stats.counts().malformed, world.stats.counts().deleted), (8, 1));
}

#[tokio::test]
async fn what_may_not_be_fetched_is_not_fetched() {
    let world = World::with_dead_letters().await;
    world.put("lake/cloudtrail/a.json", events(1, 3)).await;
    world.put("b/c.json", events(2, 3)).await;
    world.queue.send(announcement("others", &["b/c.json"]));
    // The lake's own object, by the key as written and by its other reading.
    world.queue.send(announcement("logs", &["lake/cloudtrail/a.json"]));
    world.queue.send(announcement("logs", &["lake%2Fcloudtrail%2Fa.json"]));
    world.run_to_the_end(1).await;
    assert_eq!(world.queue.counts(), counts(3));
    assert_eq!(world.logs.fetched.load(Ordering::SeqCst), 0);
    assert_eq!(world.stats.counts().forbidden, 6);
    assert_eq!(rows(&world.lake, "cloudtrail").await, (0, 0));
}

#[tokio::test]
async fn an_object_has_one_key() {
    let world = World::with_dead_letters().await;
    world.put("a.json", events(1, 3)).await;
    world.put("lake/cloudtrail/a.json", events(2, 3)).await;
    // What the client would make of them is in the bucket, and one belongs to the lake.
    let others = ["/a.json", "a.json/", "b//a.json", "/lake/cloudtrail/a.json", "b/../a.json"];
    world.queue.send(announcement("logs", &["a.json"]));
    for key in others {
        world.queue.send(announcement("logs", &[key]));
    }
    let folder =
        announcement("logs", &["AWSLogs/"]).replace(r#""key":"AWSLogs/""#, r#""key":"AWSLogs/","size":0"#);
    world.queue.send(folder);
    world.run_to_the_end(1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3));
    assert_eq!(world.queue.counts(), counts(others.len()));
    let mut expected = others.map(|key| format!("{key} quarantined")).to_vec();
    expected.push("a.json committed".to_owned());
    expected.sort_unstable();
    assert_eq!(states(&world.lake).await, expected);
    let reasons = ask(&world.lake, "select reason from objects where state = 'quarantined'").await;
    assert!(reasons.iter().all(|reason| reason.starts_with("a key that this client cannot ask for: ")));
    let told = world.stats.counts();
    assert_eq!((told.missing, told.quarantined, told.deleted), (0, 5, 2), "{told}");
}

#[tokio::test]
async fn what_cannot_be_read_is_recorded_and_left_to_the_dead_letters() {
    let world = World::with_dead_letters().await;
    world.put("bad.json", b"{\"Records\":[{]}".to_vec()).await;
    world.put("empty.json.gz", Vec::new()).await;
    world.put("good.json", events(1, 3)).await;
    world.queue.send(announcement("logs", &["bad.json", "good.json"]));
    world.queue.send(announcement("logs", &["empty.json.gz"]));
    world.run_to_the_end(1).await;
    assert_eq!(world.queue.counts(), counts(1));
    assert!(world.queue.dead_letters()[0].contains("bad.json"));
    assert_eq!(
        states(&world.lake).await,
        ["bad.json quarantined", "empty.json.gz empty", "good.json committed"]
    );
    let reason = ask(&world.lake, "select reason from objects where state = 'quarantined'").await;
    assert!(reason[0].len() > 10, "{reason:?}");
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3));
    assert_eq!((world.stats.counts().quarantined, world.stats.counts().deleted), (1, 1));
}

#[tokio::test]
async fn an_object_beyond_the_limit_is_recorded_and_not_read() {
    let world = World::with_dead_letters().await;
    world.put("large.json", events(1, 100)).await;
    world.queue.send(announcement("logs", &["large.json"]));
    let mut worker = Arc::into_inner(world.worker()).unwrap();
    let limits = gzip::Limits { compressed_bytes: 1000, ..gzip::Limits::default() };
    worker.reader = Arc::new(Reader::new(limits, Arc::new(SystemClock)));
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::new(worker).run(stop.clone()));
    while world.queue.counts().dead == 0 {
        world.queue.advance(SECOND);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    running.await.unwrap();
    let object = ask(&world.lake, "select key, state, reason from objects").await;
    assert_eq!(object.len(), 1);
    assert!(object[0].starts_with("large.json quarantined is "), "{object:?}");
    assert!(object[0].ends_with(" bytes, and the limit is 1000"), "{object:?}");
}

#[tokio::test]
async fn memory_is_bounded_whatever_a_message_says_of_sizes() {
    const OBJECTS: usize = 16;
    let mut world = World::new(memory::Settings::default()).await;
    world.settings.read_bytes = 1 << 20;
    let keys: Vec<String> = (0..OBJECTS).map(|number| format!("heavy/{number}.json")).collect();
    for (number, key) in keys.iter().enumerate() {
        let mut content = events(number, 3);
        content.resize(700 << 10, b' ');
        world.put(key, content).await;
    }
    let sized = |keys: &[&str], size: usize| {
        announcement("logs", keys).replace(r#".json""#, &format!(r#".json","size":{size}"#))
    };
    world.queue.send(sized(&keys.iter().map(String::as_str).collect::<Vec<_>>(), 0));
    let shut = world.logs.bodies.gate.write().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.worker().run(stop.clone()));
    until(|| world.logs.fetched.load(Ordering::SeqCst) == OBJECTS).await;
    // Those that have no room are given every chance to go on without.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.logs.bodies.asked_for.load(Ordering::SeqCst), 1);
    drop(shut);
    until(|| world.queue.counts() == counts(0)).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(rows(&world.lake, "cloudtrail").await, (48, 48));
}

#[tokio::test]
async fn what_was_larger_than_announced_takes_no_room_for_ever() {
    let mut world = World::new(memory::Settings::default()).await;
    world.settings.read_bytes = 1 << 20;
    // As much as there is, again and again, by one worker: what were kept of it would be missed.
    for number in 0..6 {
        let key = format!("{number}.json");
        let mut content = events(number, 1);
        content.resize(if number == 5 { 1 << 20 } else { 900 << 10 }, b' ');
        world.put(&key, content).await;
        let told = announcement("logs", &[&key]);
        world.queue.send(told.replace(r#".json""#, r#".json","size":1"#));
    }
    world.run_to_the_end(1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (6, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_on_one_queue_add_every_object_once() {
    let faults = memory::Faults { seed: 7, duplicate: 0.3, pass_over: 0.1, fail: 0.05 };
    let mut world = World::new(memory::Settings { faults, ..memory::Settings::default() }).await;
    world.settings.batch = BatchLimits { rows: 25, ..BatchLimits::default() };
    for object in 0..60 {
        world.put(&format!("{object}.json"), events(object, 5)).await;
    }
    for object in 0..60 {
        let (one, next) = (format!("{object}.json"), format!("{}.json", (object + 1) % 60));
        world.queue.send(announcement("logs", &[&one]));
        world.queue.send(announcement("logs", &[&one, &next]));
    }
    world.run_to_the_end(2).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (300, 300));
    assert_eq!(states(&world.lake).await.len(), 60);
    assert!(world.stats.counts().commits > 4, "{}", world.stats.counts());
    assert_eq!(world.stats.counts().rows, 300, "counted as they are");
}

#[tokio::test]
async fn commits_that_fail_or_lie_lose_and_double_nothing() {
    for (failing, lying) in [(3, 0), (0, 1), (0, 3), (2, 2), (40, 1)] {
        let world = World::new(memory::Settings::default()).await;
        for object in 0..3 {
            let key = format!("{object}.json");
            world.put(&key, events(object, 5)).await;
            world.queue.send(announcement("logs", &[&key]));
        }
        world.lake_store.failing.store(failing, Ordering::SeqCst);
        world.lake_store.lying.store(lying, Ordering::SeqCst);
        world.run_to_the_end(1).await;
        assert_eq!(rows(&world.lake, "cloudtrail").await, (15, 15), "{failing} {lying}");
        let told = world.stats.counts();
        assert_eq!(told.commit_errors > 0, failing > 30, "{failing} {lying}: {told}");
        assert_eq!(told.deleted, 3, "{failing} {lying}: {told}");
        assert_eq!(world.queue.counts(), counts(0));
    }
}

#[tokio::test]
async fn while_the_lake_takes_nothing_messages_are_spared() {
    let world = World::new(memory::Settings::default()).await;
    for object in 0..50 {
        let key = format!("{object}.json");
        world.put(&key, events(object, 1)).await;
        world.queue.send(announcement("logs", &[&key]));
    }
    world.lake_store.failing.store(usize::MAX, Ordering::SeqCst);
    world
        .run_until(1, |counts, _| {
            world.queue.advance(SECOND);
            counts.commit_errors >= 3
        })
        .await;
    let told = world.stats.counts();
    assert!(told.received <= 50 + 3, "{told}");
    let heard = tokio::time::timeout(PATIENCE, world.signals.committed.notified()).await;
    heard.expect("a part of what failed may be in the lake");
    assert_eq!((told.deleted, rows(&world.lake, "cloudtrail").await), (0, (0, 0)));
    world.lake_store.failing.store(0, Ordering::SeqCst);
    world.run_to_the_end(1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (50, 50));
}

#[tokio::test]
async fn a_queue_that_fails_for_a_while_is_tried_on() {
    let world = World::new(memory::Settings::default()).await;
    world.put("a.json", events(1, 3)).await;
    world.queue.send(announcement("logs", &["a.json"]));
    for fault in [Fault::Fails, Fault::Refused, Fault::AnswerLost, Fault::Refused] {
        world.queue.script(Operation::Receive, fault);
    }
    world.queue.script(Operation::Delete, Fault::Fails);
    world.run_to_the_end(1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3));
    let told = world.stats.counts();
    assert_eq!((told.receive_errors, told.deleted, told.known), (4, 1, 1), "{told}");
}

#[tokio::test]
async fn a_message_is_held_for_as_long_as_its_object_takes() {
    let world = World::with_dead_letters().await;
    world.put("slow.json", events(1, 3)).await;
    world.queue.send(announcement("logs", &["slow.json"]));
    let shut = world.logs.gate.write().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.worker().run(stop.clone()));
    until(|| world.queue.counts().in_flight == 1).await;
    for _ in 0..10 {
        // A heartbeat may have begun before the clock was moved; the second has not.
        let enough = world.heartbeats.load(Ordering::SeqCst) + 2;
        world.queue.advance(VISIBILITY * 2 / 3);
        until(|| world.heartbeats.load(Ordering::SeqCst) >= enough).await;
        assert_eq!(world.queue.counts(), memory::Counts { visible: 0, in_flight: 1, dead: 0 });
    }
    drop(shut);
    until(|| world.queue.counts() == counts(0)).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!((world.stats.counts().received, world.stats.counts().deleted), (1, 1));
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3));
}

#[tokio::test]
async fn told_to_stop_a_worker_commits_what_it_read_and_gives_back_the_rest() {
    let mut world = World::new(memory::Settings::default()).await;
    // The second is fetched when the first has been read, and until then the batch stays open.
    world.settings.reads_at_once = 1;
    world.put("a.json", events(1, 3)).await;
    world.put("slow.json", events(2, 3)).await;
    world.queue.send(announcement("logs", &["a.json"]));
    world.queue.send(announcement("logs", &["slow.json"]));
    let shut = world.logs.gate.write().await;
    world.run_until(1, |_, _| world.logs.fetched.load(Ordering::SeqCst) == 2).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3), "what was read is committed");
    let given_back = memory::Counts { visible: 1, in_flight: 0, dead: 0 };
    assert_eq!(world.queue.counts(), given_back, "and what was not can be received at once");
    drop(shut);
    world.run_to_the_end(1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (6, 6));
}

#[tokio::test]
async fn a_worker_that_cannot_commit_in_time_gives_everything_back() {
    let mut world = World::new(memory::Settings::default()).await;
    world.settings.drain = Duration::from_millis(50);
    world.put("a.json", events(1, 3)).await;
    world.queue.send(announcement("logs", &["a.json"]));
    let shut = world.lake_store.gate.write().await;
    let before = world.lake_store.fetched.load(Ordering::SeqCst);
    world.run_until(1, |_, _| world.lake_store.fetched.load(Ordering::SeqCst) > before).await;
    assert_eq!(world.queue.counts(), memory::Counts { visible: 1, in_flight: 0, dead: 0 });
    drop(shut);
    world.run_to_the_end(1).await;
    assert_eq!(rows(&world.lake, "cloudtrail").await, (3, 3));
}
