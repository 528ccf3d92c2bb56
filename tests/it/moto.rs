//! S3 and SQS on this machine, by the emulator moto, for tests; and the Python it runs in.
//!
//! Must never reach AWS: everything goes to a server on the loopback that ends with its test.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::types::QueueAttributeName;
use object_store::aws::AmazonS3;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use trailhound::ingest::notification::{self, KeyForm, Notification};
use trailhound::queue::Queue;
use trailhound::queue::sqs::{SqsConfig, SqsQueue};
use trailhound::store::aws::{S3Options, s3};

pub const REGION: &str = "eu-west-1";

/// moto, and those of its dependencies whose changes could change what it answers.
const PACKAGES: [&str; 6] = [
    "moto[server]==5.2.5",
    "boto3==1.44.5",
    "botocore==1.44.5",
    "Flask==3.1.3",
    "flask-cors==6.0.5",
    "Werkzeug==3.1.9",
];

/// Serves on a port of the system's choice, tells it on the first line, and ends with the process that
/// holds its standard input, however that ends. What it reads there are seconds by which the queues' time moves on.
///
/// S3 decides conditional puts of one key one after the other. moto looks and then writes, in a thread for each
/// request, so that two could both win: they are let in one at a time, once their bodies have arrived.
const SERVER: &str = r#"
import io, os, sys, threading

import moto.sqs.models as sqs

offset = 0
now = sqs.unix_time_millis
sqs.unix_time_millis = lambda *arguments: now(*arguments) + offset

def follow_parent():
    global offset
    for line in sys.stdin:
        offset += 1000 * float(line)
    os._exit(0)

threading.Thread(target=follow_parent, daemon=True).start()

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

application = DomainDispatcherApplication(create_backend_app)
one_at_a_time = threading.Lock()

def serve(environ, start_response):
    if environ["REQUEST_METHOD"] == "GET" or not {"HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"} & environ.keys():
        return application(environ, start_response)
    if length := environ.get("CONTENT_LENGTH"):
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
    with one_at_a_time:
        return application(environ, start_response)

server = make_server("127.0.0.1", 0, serve, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// The interpreter of a virtual environment that has moto, made at its first use.
pub fn python() -> PathBuf {
    python_with(&PACKAGES)
}

/// The interpreter of a virtual environment that has some packages, made at its first use.
pub fn python_with(packages: &[&str]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let home = tmp.join(format!("python-{:016x}", hasher.finish()));
    let interpreter = home.join("bin").join("python");
    let complete = home.join("complete");
    if complete.exists() {
        return interpreter;
    }
    // Tests run as processes at the same time: one makes it, the others wait. Whoever dies halfway leaves
    // no mark, and the next one begins anew.
    let lock = File::create(home.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !complete.exists() {
        install(&home, &interpreter, packages);
        File::create(&complete).unwrap();
    }
    interpreter
}

fn install(home: &Path, interpreter: &Path, packages: &[&str]) {
    if home.exists() {
        std::fs::remove_dir_all(home).unwrap();
    }
    run(
        Command::new("python3").args(["-m", "venv"]).arg(home),
        "these tests need Python 3 with venv: install `python3` and `python3-venv`",
    );
    run(
        Command::new(interpreter).args(["-m", "pip", "install", "--quiet"]).args(packages),
        "these tests need `pip` and a way to https://pypi.org (or a mirror set by `PIP_INDEX_URL`)",
    );
}

fn run(command: &mut Command, needs: &str) {
    match command.output() {
        Err(error) => panic!("{needs}\n{command:?}: {error}"),
        Ok(output) if !output.status.success() => {
            panic!("{needs}\n{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr))
        }
        Ok(_) => {}
    }
}

/// A running emulator with nothing in it; ends when dropped.
pub struct Moto {
    /// Its address, `http://127.0.0.1:PORT`.
    pub endpoint: String,
    process: Child,
    log: PathBuf,
    http: reqwest::Client,
    sqs: aws_sdk_sqs::Client,
}

/// A queue made by [`Moto::create_queue`].
pub struct Created {
    pub url: String,
    pub arn: String,
    pub dead_letter_url: String,
}

impl Moto {
    /// Starts a server. Blocks for a second or two, at the very first use for a minute.
    pub fn start() -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("moto-{}-{number}.log", std::process::id()));
        let mut process = Command::new(python())
            .args(["-c", SERVER])
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(port) = line.trim().parse::<u16>() else {
            panic!("moto did not start: {}", std::fs::read_to_string(&log).unwrap());
        };
        let endpoint = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let sqs = aws_sdk_sqs::Client::new(&sdk(&endpoint));
        Self { endpoint, process, log, http, sqs }
    }

    /// The SDK's configuration to use it.
    pub fn sdk(&self) -> SdkConfig {
        sdk(&self.endpoint)
    }

    /// The queue, with a visibility timeout of 30 seconds.
    pub async fn queue(&self, url_or_name: &str) -> SqsQueue {
        let visibility = Duration::from_secs(30);
        let config = SqsConfig { queue: url_or_name.to_owned(), endpoint: None, visibility };
        SqsQueue::connect(&config, &self.sdk()).await.unwrap()
    }

    /// The bucket, as the product opens it.
    pub fn store(&self, bucket: &str) -> AmazonS3 {
        s3(bucket, &self.sdk(), S3Options::default()).unwrap()
    }

    pub async fn create_bucket(&self, bucket: &str) {
        let body = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        self.put(bucket, body.into_bytes()).await;
    }

    /// A queue and its dead-letter queue, which takes messages after `max_receive_count` receives.
    pub async fn create_queue(&self, name: &str, max_receive_count: u32) -> Created {
        let (dead_letter_url, dead_letter_arn) = self.create_plain_queue(&format!("{name}-dead")).await;
        let (url, arn) = self.create_plain_queue(name).await;
        let policy = serde_json::json!({
            "deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": max_receive_count,
        });
        let request = self.sqs.set_queue_attributes().queue_url(&url);
        request.attributes(QueueAttributeName::RedrivePolicy, policy.to_string()).send().await.unwrap();
        Created { url, arn, dead_letter_url }
    }

    /// A queue without a dead-letter queue: its URL and ARN.
    pub async fn create_plain_queue(&self, name: &str) -> (String, String) {
        let url = self.sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
        let name = QueueAttributeName::QueueArn;
        let request = self.sqs.get_queue_attributes().queue_url(&url).attribute_names(name.clone());
        let arn = request.send().await.unwrap().attributes.unwrap().remove(&name).unwrap();
        (url, arn)
    }

    pub async fn send(&self, queue_url: &str, body: &str) {
        self.sqs.send_message().queue_url(queue_url).message_body(body).send().await.unwrap();
    }

    /// Moves the queues' time on, so that messages come back whose receiver is no more.
    pub fn advance(&self, by: Duration) {
        let mut clock = self.process.stdin.as_ref().unwrap();
        writeln!(clock, "{}", by.as_secs_f64()).unwrap();
    }

    /// How many messages of a queue are visible, and how many are in flight.
    pub async fn queue_counts(&self, queue_url: &str) -> (u64, u64) {
        let queue = self.queue(queue_url).await;
        // A machine with much else to do may let a request time out.
        for _ in 0..10 {
            if let Ok(attributes) = queue.attributes().await {
                return (attributes.visible, attributes.in_flight);
            }
        }
        panic!("no answer from {}", self.endpoint)
    }

    /// A topic that the queue subscribes to: its ARN. With `raw` the queue gets messages without envelope.
    pub async fn create_topic(&self, name: &str, queue_arn: &str, raw: bool) -> String {
        let arn = format!("arn:aws:sns:{REGION}:123456789012:{name}");
        self.sns(&format!("Action=CreateTopic&Name={name}")).await;
        self.sns(&format!(
            "Action=Subscribe&TopicArn={arn}&Protocol=sqs&Endpoint={queue_arn}\
             &Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value={raw}"
        ))
        .await;
        arn
    }

    /// Has the bucket announce created and removed objects on the queue or topic, which S3 first sends a
    /// test to.
    pub async fn put_bucket_notification(&self, bucket: &str, arn: &str) {
        let kind = if arn.contains(":sns:") { "Topic" } else { "Queue" };
        let body = format!(
            "<NotificationConfiguration><{kind}Configuration><Id>all</Id><{kind}>{arn}</{kind}>\
             <Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>\
             </{kind}Configuration></NotificationConfiguration>"
        );
        self.put(&format!("{bucket}?notification"), body.into_bytes()).await;
    }

    /// Puts an object under exactly this key.
    pub async fn put_object(&self, bucket: &str, key: &str, content: &[u8]) {
        const IN_PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');
        let path = format!("{bucket}/{}", utf8_percent_encode(key, &IN_PATH));
        self.put(&path, content.to_vec()).await;
    }

    async fn put(&self, path: &str, body: Vec<u8>) {
        let request = self.http.put(format!("{}/{path}", self.endpoint)).body(body);
        self.send_as("s3", request).await;
    }

    async fn sns(&self, form: &str) {
        let request = self.http.post(&self.endpoint).body(format!("{form}&Version=2010-03-31"));
        self.send_as("sns", request.header("Content-Type", "application/x-www-form-urlencoded")).await;
    }

    async fn send_as(&self, service: &str, request: reqwest::RequestBuilder) {
        // moto reads the region and the service from this, and checks nothing.
        let scope = format!("test/20260101/{REGION}/{service}/aws4_request");
        let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let answer = request.header("Authorization", signed).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{service}: {status} {}", answer.text().await.unwrap());
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the log of moto is in {}", self.log.display());
        } else {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

fn sdk(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::from_static(REGION))
        .endpoint_url(endpoint)
        .build()
}

/// The notifications in the queue, deleted as they are read.
async fn notifications(queue: &SqsQueue) -> Vec<Notification> {
    let mut read = Vec::new();
    loop {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            return read;
        }
        read.extend(messages.iter().map(|message| notification::parse(&message.body).unwrap()));
        let receipts: Vec<_> = messages.into_iter().map(|message| message.receipt).collect();
        assert!(queue.delete(&receipts).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn objects_put_into_s3_are_announced() {
    let moto = Moto::start();
    moto.create_bucket("logs").await;
    let created = moto.create_queue("announcements", 5).await;
    moto.put_bucket_notification("logs", &created.arn).await;
    let queue = moto.queue(&created.url).await;
    assert_eq!(notifications(&queue).await, [Notification::Test]);

    let keys = ["AWSLogs/1/a b+c.json.gz", "100%/%2B&?#", "\u{fc}/\u{1f43a}", "plain"];
    for key in keys {
        moto.put_object("logs", key, b"hello").await;
    }
    let mut announced = Vec::new();
    for notification in notifications(&queue).await {
        let Notification::Objects(objects) = notification else { panic!("{notification:?}") };
        announced.extend(objects);
    }
    announced.sort_by_key(|object| keys.iter().position(|key| *key == object.key));
    assert_eq!(announced.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), keys);
    for object in announced {
        assert_eq!((object.bucket.as_str(), object.size), ("logs", Some(5)));
        assert_eq!(object.etag.as_deref(), Some("5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(object.key_form, KeyForm::FormEncoded);
        assert!(object.event_time.is_some());
    }
    assert_eq!(moto.queue_counts(&created.url).await, (0, 0));
}

#[tokio::test]
async fn objects_are_announced_through_a_topic() {
    let moto = Moto::start();
    for raw in [false, true] {
        let bucket = format!("logs-{raw}");
        moto.create_bucket(&bucket).await;
        let (url, queue_arn) = moto.create_plain_queue(&bucket).await;
        let topic_arn = moto.create_topic(&bucket, &queue_arn, raw).await;
        moto.put_bucket_notification(&bucket, &topic_arn).await;
        moto.put_object(&bucket, "a b+c", b"hello").await;
        let queue = moto.queue(&url).await;
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        let wrapped = messages.iter().filter(|message| message.body.contains("TopicArn")).count();
        assert_eq!(wrapped, if raw { 0 } else { messages.len() });
        for message in &messages {
            queue.change_visibility(&message.receipt, Duration::ZERO).await.unwrap();
        }
        let mut keys = Vec::new();
        for notification in notifications(&queue).await {
            match notification {
                Notification::Objects(objects) => keys.extend(objects.into_iter().map(|object| object.key)),
                other => assert_eq!(other, Notification::Test),
            }
        }
        assert_eq!(keys, ["a b+c"]);
    }
}

#[tokio::test]
async fn a_key_as_announced_opens_its_object() {
    let moto = Moto::start();
    moto.create_bucket("logs").await;
    let (url, arn) = moto.create_plain_queue("announcements").await;
    moto.put_bucket_notification("logs", &arn).await;
    let queue = moto.queue(&url).await;
    notifications(&queue).await;
    moto.put_object("logs", "AWSLogs/a b+c%2Fd.gz", b"hello").await;
    let read = notifications(&queue).await;
    let [Notification::Objects(objects)] = read.as_slice() else { panic!("{read:?}") };
    let path = object_store::path::Path::parse(&objects[0].key).unwrap();
    let store = moto.store("logs");
    let content = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(&content[..], b"hello");
    store.delete(&path).await.unwrap();
    let read = notifications(&queue).await;
    assert!(matches!(read.as_slice(), [Notification::Nothing { .. }]), "{read:?}");
}

#[tokio::test]
async fn of_two_conditional_puts_one_wins() {
    let moto = Moto::start();
    moto.create_bucket("lake").await;
    let store = moto.store("lake");
    // Several times over: whoever looks before writing mostly gets away with it.
    for n in 0..50 {
        let path = object_store::path::Path::from(format!("log/{n}.json"));
        let create = || store.put_opts(&path, "x".into(), PutMode::Create.into());
        let (first, second) = tokio::join!(create(), create());
        let lost = [first.err(), second.err()].into_iter().flatten().collect::<Vec<_>>();
        assert!(matches!(lost.as_slice(), [object_store::Error::AlreadyExists { .. }]), "{n}: {lost:?}");
    }
}

#[tokio::test]
async fn a_queue_tells_its_attributes() {
    let moto = Moto::start();
    let created = moto.create_queue("with", 4).await;
    moto.send(&created.url, "a").await;
    moto.send(&created.url, "b").await;
    let queue = moto.queue("with").await;
    assert_eq!(queue.url(), created.url, "found by its name");
    queue.receive(1, Duration::ZERO).await.unwrap();
    let attributes = queue.attributes().await.unwrap();
    assert_eq!((attributes.visible, attributes.in_flight, attributes.delayed), (1, 1, 0));
    assert_eq!(attributes.visibility, Duration::from_secs(30));
    let redrive = attributes.redrive.unwrap();
    assert_eq!(redrive.max_receive_count, 4);
    assert!(redrive.dead_letter_queue.ends_with(":with-dead"), "{redrive:?}");
    let (url, _) = moto.create_plain_queue("without").await;
    assert_eq!(moto.queue(&url).await.attributes().await.unwrap().redrive, None);
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_refused() {
    let moto = Moto::start();
    let config = SqsConfig {
        queue: "nowhere".to_owned(),
        endpoint: Some(moto.endpoint.clone()),
        visibility: Duration::from_secs(30),
    };
    let error = SqsQueue::connect(&config, &moto.sdk()).await.unwrap_err();
    assert!(matches!(error, trailhound::queue::Error::Refused { .. }), "{error:?}");
    let queue = moto.queue(&format!("{}/123456789012/nowhere", moto.endpoint)).await;
    let error = queue.receive(1, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, trailhound::queue::Error::Refused { .. }), "{error:?}");
    let error = queue.attributes().await.unwrap_err();
    assert!(matches!(error, trailhound::queue::Error::Refused { .. }), "{error:?}");
}
