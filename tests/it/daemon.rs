//! The daemon as a whole: as a process of its own on S3 and SQS (moto), and in this process on a folder.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use trailhound::config::{self, Overrides};
use trailhound::detect::detection;
use trailhound::service::{self, Options};

use crate::moto::{Moto, REGION};
use crate::samples;
use crate::worker::{cloudtrail, until};

/// How long the end of the daemon may take.
const DRAIN: Duration = Duration::from_secs(25);

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is in a lake.
#[derive(Debug, PartialEq)]
struct Report {
    /// Rows, and how many of them are different rows of objects.
    cloudtrail: (i64, i64),
    vpc_flow: (i64, i64),
    /// Key and state, in the order of keys.
    objects: Vec<String>,
    /// The detections that raised alerts, once for each alert.
    alerts: Vec<String>,
}

impl Report {
    /// Asked of the lake of a configuration by the program itself.
    fn of(config: &Path) -> Self {
        let counts = |table: &str| {
            let one = "count(*) as n, count(distinct source_object || '/' || source_row) as d";
            let row = lines(config, &format!("select {one} from {table}")).remove(0);
            (row["n"].as_i64().unwrap(), row["d"].as_i64().unwrap())
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let objects = lines(config, "select key, state from objects order by key");
        let alerts = lines(config, "select rule_id from alerts order by rule_id");
        Report {
            cloudtrail: counts("cloudtrail"),
            vpc_flow: counts("vpc_flow"),
            objects: objects
                .iter()
                .map(|row| format!("{} {}", text(&row["key"]), text(&row["state"])))
                .collect(),
            alerts: alerts.iter().map(|row| text(&row["rule_id"])).collect(),
        }
    }
}

/// The program, with credentials in its environment.
pub fn trailhound(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailhound"));
    command
        .arg("--config")
        .arg(config)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env_remove("AWS_PROFILE")
        .env_remove("TRAILHOUND_LAKE")
        .stdin(Stdio::null());
    command
}

/// The rows of a query.
pub fn lines(config: &Path, sql: &str) -> Vec<Value> {
    let output = trailhound(config).args(["sql", "--format", "ndjson", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The daemon, running; killed when dropped.
struct Daemon {
    process: Child,
    /// There until the next daemon takes it over.
    directory: Option<tempfile::TempDir>,
}

impl Daemon {
    /// On a directory with this configuration in it.
    fn start(directory: tempfile::TempDir, config: &str) -> Self {
        let rules = directory.path().join("rules");
        std::fs::create_dir_all(&rules).unwrap();
        let root_used = detection::built_in().find(|rule| rule.file == "root_used.sql").unwrap();
        std::fs::write(rules.join(root_used.file), root_used.text).unwrap();
        let file = directory.path().join("trailhound.toml");
        // One rule is enough, and leaves time for the rest.
        let detect = "[detect]\ninterval_seconds = 1\nbuilt_in = false\nfolders = ['rules']\n";
        std::fs::write(&file, format!("{config}{detect}")).unwrap();
        let log = File::options().create(true).append(true).open(directory.path().join("log")).unwrap();
        let process =
            trailhound(&file).arg("run").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Daemon { process, directory: Some(directory) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.as_ref().unwrap().path().join(name)
    }

    fn alerts(&self) -> usize {
        let text = std::fs::read_to_string(self.path("alerts.jsonl"));
        text.map_or(0, |text| text.lines().count())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until every message is deleted.
    async fn catch_up(&mut self, moto: &Moto, queue: &str) {
        let started = Instant::now();
        while moto.queue_counts(queue).await != (0, 0) {
            assert!(started.elapsed() < PATIENCE, "messages are left: {}", self.log());
            assert!(self.process.try_wait().unwrap().is_none(), "it has ended: {}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends SIGTERM.
    fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    async fn end_within(&mut self, limit: Duration) -> ExitStatus {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(asked.elapsed() < limit, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it as a power cut would; what it wrote stays.
    fn kill(mut self) -> tempfile::TempDir {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.directory.take().unwrap()
    }

    /// Sends SIGTERM; returns what is in the lake.
    async fn stop(&mut self) -> Report {
        self.terminate();
        let status = self.end_within(DRAIN).await;
        assert!(status.success(), "{status}: {}", self.log());
        Report::of(&self.path("trailhound.toml"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Objects of both kinds, and the rows in them.
fn objects() -> (Vec<(String, Vec<u8>)>, i64, i64) {
    let trail = |n: usize| format!("AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/{n}.json.gz");
    let mut objects: Vec<_> = (0..6_usize)
        .map(|n| (trail(n), gzipped(&cloudtrail((0..=n).map(|event| format!("event-{n}-{event}"))))))
        .collect();
    let flow = std::fs::read(samples::testdata("vpc_flow").join("v2_default.log")).unwrap();
    let flow_rows = trailhound::decode::vpc_flow::decode(&flow, "x").unwrap().num_rows();
    let key = "AWSLogs/111122223333/vpcflowlogs/us-east-1/2026/03/10/a b+c.log.gz";
    objects.push((key.to_owned(), gzipped(&flow)));
    (objects, 21, flow_rows.try_into().unwrap())
}

/// A source and a sink on moto.
fn on_moto(moto: &Moto, queue: &str, lake: &str) -> String {
    let endpoint = &moto.endpoint;
    format!(
        "lake = '{lake}'\n\
         [aws]\nendpoint = '{endpoint}'\nregion = '{REGION}'\n\
         [[source]]\nkind = 'sqs'\nqueue = '{queue}'\nbuckets = ['logs']\nvisibility_timeout_seconds = 30\n\
         [ingest]\nbatch_age_seconds = 1\n\
         [[sink]]\nkind = 'json_lines'\nname = 'file'\npath = 'alerts.jsonl'\nminimum_severity = 'informational'\n"
    )
}

async fn check_on_aws(lake: &str) {
    let moto = Moto::start();
    moto.create_bucket("logs").await;
    moto.create_bucket("lake").await;
    let created = moto.create_queue("announcements", 5).await;
    moto.put_bucket_notification("logs", &created.arn).await;
    let mut daemon = Daemon::start(tempfile::tempdir().unwrap(), &on_moto(&moto, &created.url, lake));
    let (objects, cloudtrail_rows, flow_rows) = objects();
    // All of it twice: S3 announces the second time as it does the first.
    for _ in 0..2 {
        for (key, content) in &objects {
            moto.put_object("logs", key, content).await;
        }
        daemon.catch_up(&moto, &created.url).await;
    }
    let started = Instant::now();
    while daemon.alerts() == 0 {
        assert!(started.elapsed() < PATIENCE, "no alert: {}", daemon.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = daemon.stop().await;
    assert_eq!(report.cloudtrail, (cloudtrail_rows, cloudtrail_rows), "{}", daemon.log());
    assert_eq!(report.vpc_flow, (flow_rows, flow_rows));
    let mut expect: Vec<_> = objects.iter().map(|(key, _)| format!("{key} committed")).collect();
    expect.sort_unstable();
    assert_eq!(report.objects, expect);
    assert_eq!(report.alerts, ["aws-root-used"], "one account, one address, one day");
    assert_eq!(daemon.alerts(), 1);
    assert_eq!(moto.queue_counts(&created.url).await, (0, 0));
    assert_eq!(moto.queue_counts(&created.dead_letter_url).await, (0, 0));
    assert!(daemon.log().contains("ready"), "{}", daemon.log());
}

/// Real delivered objects, when they are at hand: every row once, whether S3 announces them once or twice.
#[tokio::test]
async fn real_objects_through_s3_and_sqs() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/cloudtrail/invictus");
    if !real.is_dir() {
        println!("skipped: no real CloudTrail objects here");
        return;
    }
    let moto = Moto::start();
    moto.create_bucket("logs").await;
    let created = moto.create_queue("announcements", 5).await;
    moto.put_bucket_notification("logs", &created.arn).await;
    let mut daemon = Daemon::start(tempfile::tempdir().unwrap(), &on_moto(&moto, &created.url, "lake"));
    let files = trailhound::ingest::listing::files(&real, trailhound::ingest::listing::Days::default())
        .unwrap()
        .found;
    for round in 1..=2 {
        for file in &files {
            let key = &file.key[file.key.find("AWSLogs").unwrap()..];
            moto.put_object("logs", key, &std::fs::read(&file.key).unwrap()).await;
        }
        daemon.catch_up(&moto, &created.url).await;
        println!("{} objects announced, round {round}", files.len());
    }
    let report = daemon.stop().await;
    println!("rows {:?}, {} objects, alerts {:?}", report.cloudtrail, report.objects.len(), report.alerts);
    assert_eq!(report.cloudtrail, (2900, 2900), "{}", daemon.log());
    assert_eq!(report.objects.len(), 55);
    assert!(report.objects.iter().all(|object| object.ends_with(" committed")), "{:?}", report.objects);
    assert_eq!(moto.queue_counts(&created.url).await, (0, 0));
    assert_eq!(moto.queue_counts(&created.dead_letter_url).await, (0, 0));
}

#[tokio::test]
async fn from_s3_into_a_lake_on_disk() {
    check_on_aws("lake").await;
}

#[tokio::test]
async fn from_s3_into_a_lake_on_s3() {
    check_on_aws("s3://lake/below/here").await;
}

#[tokio::test]
async fn killed_at_any_moment_nothing_is_lost_or_doubled() {
    let moto = Moto::start();
    moto.create_bucket("logs").await;
    let created = moto.create_queue("announcements", 50).await;
    moto.put_bucket_notification("logs", &created.arn).await;
    let config = on_moto(&moto, &created.url, "lake");
    let mut directory = tempfile::tempdir().unwrap();
    let put = async |objects: usize| {
        for object in 0..objects {
            let events = cloudtrail((0..3).map(|event| format!("event-{object}-{event}")));
            moto.put_object("logs", &format!("{object}.json"), &events).await;
        }
    };
    for round in 1..=3 {
        // What the one before held comes back too late for a test; announced anew, all of it comes again.
        put(10 * round).await;
        let daemon = Daemon::start(directory, &config);
        let log = daemon.path("lake/cloudtrail/_delta_log");
        let next = |version: usize| log.join(format!("{version:020}.json"));
        let versions = (0..1000).take_while(|version| next(*version).exists()).count();
        // It dies as soon as a commit can be seen: its messages are mostly not deleted then.
        until(|| next(versions.max(1)).exists()).await;
        directory = daemon.kill();
    }
    let mut daemon = Daemon::start(directory, &config);
    let (told, started) = (daemon.path("trailhound.toml"), Instant::now());
    loop {
        // A receive that nobody waits for any more may still take messages: they are announced until they are in.
        put(30).await;
        while moto.queue_counts(&created.url).await.0 > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if Report::of(&told).cloudtrail.0 >= 90 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "objects are missing: {}", daemon.log());
    }
    let report = daemon.stop().await;
    assert_eq!(report.cloudtrail, (90, 90), "{}", daemon.log());
    assert_eq!(report.objects.len(), 30, "{:?}", report.objects);
}

#[tokio::test]
async fn signals_that_come_at_once_are_one() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("logs")).unwrap();
    let config = "lake = 'lake'\n[[source]]\nkind = 'folder'\npath = 'logs'\n";
    let mut daemon = Daemon::start(directory, config);
    until(|| daemon.log().contains("\"ready\"")).await;
    // It finds both when it goes on.
    for signal in ["-STOP", "-TERM", "-INT", "-CONT"] {
        daemon.signal(signal);
    }
    let status = daemon.end_within(PATIENCE).await;
    assert!(status.success(), "{status}: {}", daemon.log());
    assert!(daemon.log().contains("stopped"), "{}", daemon.log());
}

#[tokio::test]
async fn a_sink_that_hangs_holds_up_nothing_and_a_second_signal_ends_at_once() {
    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = black_hole.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    put_file(&logs.join("a.json"), &cloudtrail(["1".to_owned()]));
    let config = format!(
        "lake = 'lake'\n[[source]]\nkind = 'folder'\npath = 'logs'\npoll_interval_seconds = 1\n\
         [[sink]]\nkind = 'webhook'\nname = 'hole'\nurl = 'http://{address}/'\nallow_http = true\n\
         allow_private_addresses = true\ntimeout_seconds = 120\n"
    );
    let mut daemon = Daemon::start(directory, &config);
    let connection = tokio::task::spawn_blocking(move || black_hole.accept().unwrap()).await.unwrap();
    put_file(&logs.join("b.json"), &cloudtrail(["2".to_owned()]));
    let committed = daemon.path("lake/cloudtrail/_delta_log/00000000000000000002.json");
    until(|| committed.exists()).await;
    let first = Instant::now();
    daemon.terminate();
    until(|| daemon.log().contains("stopping")).await;
    assert!(daemon.process.try_wait().unwrap().is_none(), "it waits for the sink a little");
    until(|| {
        daemon.terminate();
        daemon.log().contains("a second signal")
    })
    .await;
    assert!(first.elapsed() >= Duration::from_millis(500), "those that come at once are the first again");
    let status = daemon.end_within(Duration::from_secs(3)).await;
    assert!(!status.success(), "{status}");
    assert!(daemon.log().contains("a second signal"), "{}", daemon.log());
    drop(connection);
}

fn put_file(path: &Path, content: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    // Written long ago, so that it is taken to be complete.
    file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_folder() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    put_file(&logs.join("a.json"), &cloudtrail(["1".to_owned(), "2".to_owned()]));
    put_file(&logs.join("bad.json"), b"{\"Records\":[{]}");
    let file = directory.path().join("t.toml");
    let text = "lake = 'lake'\n[[source]]\nkind = 'folder'\npath = 'logs'\npoll_interval_seconds = 1\n\
                [detect]\ninterval_seconds = 1\n\
                [[sink]]\nkind = 'json_lines'\nname = 'file'\npath = 'alerts.jsonl'\nminimum_severity = 'high'\n";
    std::fs::write(&file, text).unwrap();
    let config = config::load(Some(&file), Overrides::default()).unwrap();
    let stop = CancellationToken::new();
    let options = Options { stop: stop.clone(), signals: false, drain: DRAIN, ..Options::default() };
    let running = tokio::spawn({
        let config = config.clone();
        async move { service::run(&config, options).await }
    });
    let alerts = directory.path().join("alerts.jsonl");
    let delivered = || std::fs::read_to_string(&alerts).unwrap_or_default().contains("aws-root-used");
    until(delivered).await;
    // What comes later is found, and what is there is not read again.
    put_file(&logs.join("b.json"), &cloudtrail(["3".to_owned()]));
    let more =
        || std::fs::read_dir(directory.path().join("lake/cloudtrail/_delta_log")).unwrap().count() >= 3;
    until(more).await;
    stop.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.ingest.added, summary.ingest.rows, summary.ingest.quarantined), (2, 3, 1));
    assert_eq!(summary.ingest.known, 0, "{}", summary.ingest);
    assert!(summary.alerts_raised >= 1 && summary.alerts_delivered >= 1, "{summary:?}");
    let report = Report::of(&file);
    assert_eq!(report.cloudtrail, (3, 3));
    assert_eq!(report.objects.iter().filter(|object| object.ends_with("committed")).count(), 2);
}

#[tokio::test]
async fn told_to_stop_while_it_starts_it_ends_well() {
    // Takes connections and never answers: the lake cannot be opened.
    let black_hole = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", black_hole.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "lake = 's3://lake/x'\n[aws]\nendpoint = '{endpoint}'\nregion = '{REGION}'\n\
         [[source]]\nkind = 'folder'\npath = '{}'\n",
        directory.path().join("logs").display()
    );
    std::fs::create_dir(directory.path().join("logs")).unwrap();
    let mut daemon = Daemon::start(directory, &config);
    let connected = tokio::time::timeout(PATIENCE, black_hole.accept()).await;
    let _connection = connected.expect("the lake is looked for").unwrap();
    daemon.terminate();
    let status = daemon.end_within(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}: {}", daemon.log());
    assert!(daemon.log().contains("told to stop before everything was started"), "{}", daemon.log());
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.toml");
    let start = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let config = config::load(Some(&file), Overrides::default()).unwrap();
        let options = Options { signals: false, ..Options::default() };
        service::run(&config, options).await.unwrap_err().to_string()
    };
    let source = "[[source]]\nkind = 'folder'\npath = 'logs'\n";
    let check = |told: String, expect: &str| assert!(told.contains(expect), "{told}");
    check(start("").await, "there is nothing to watch");
    check(start(&format!("{source}[detect]\nfolders = ['none']")).await, "1 problem with the detections");
    let sink = "[[sink]]\nkind = 'json_lines'\nname = 'file'\npath = 'no/such/folder/a'\n";
    check(start(&format!("{source}{sink}")).await, "sink `file` cannot be used");
    std::fs::write(directory.path().join("occupied"), "").unwrap();
    check(start(&format!("lake = 'occupied'\n{source}")).await, "of the lake failed");
}
