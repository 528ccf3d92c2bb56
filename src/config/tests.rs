//! What is read, refused and shown.

use super::*;

const FULL: &str = r#"lake = "s3://lake-bucket/a/b/"
[aws]
endpoint = "http://127.0.0.1:5000"
region = "eu-west-1"
[[source]]
kind = "sqs"
queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/trail"
buckets = ["my-trail-bucket"]
workers = 4
visibility_timeout_seconds = 120
[[source]]
kind = "folder"
path = "logs"
poll_interval_seconds = 7
[ingest]
batch_bytes = 1000
batch_rows = 2000
batch_age_seconds = 3
decode_threads = 4
max_object_bytes = 5000
max_content_bytes = 6000
flow_formats = ["${version} ${srcaddr}"]
[detect]
folders = ["./detections", "/etc/d"]
interval_seconds = 9
built_in = false
disabled = ["noisy"]
[query]
memory_mib = 64
timeout_seconds = 11
folders = ["q"]
[[sink]]
kind = "webhook"
name = "soc"
url = "https://hooks.example.com/services/T0/B0/hush"
secret_env = "TRAILHOUND_WEBHOOK_SECRET"
allow_private_addresses = true
allow_http = true
timeout_seconds = 12
minimum_severity = "high"
[[sink]]
kind = "json_lines"
name = "file"
path = "alerts.ndjson"
minimum_severity = "low"
[[sink]]
kind = "terminal"
"#;

fn config(text: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(&path, text).unwrap();
    load_from(Some(&path), Overrides::default(), Path::new("none.toml"), &|_| None).unwrap()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The file's directory differs from run to run.
fn settle(text: &str, config: &Config) -> String {
    let directory = config.file.as_ref().unwrap().parent().unwrap();
    text.replace(&format!("{}/", directory.display()), "DIR/")
}

#[test]
fn every_key_reaches_its_field() {
    let config = config(FULL);
    let here = config.file.as_ref().unwrap().parent().unwrap().to_path_buf();
    assert_eq!(config.lake, Lake::S3 { bucket: "lake-bucket".into(), prefix: "a/b".into() });
    assert_eq!(config.aws.endpoint.as_ref().map(Url::as_str), Some("http://127.0.0.1:5000/"));
    assert_eq!(config.aws.region.as_deref(), Some("eu-west-1"));
    let queue = Url::parse("https://sqs.eu-west-1.amazonaws.com/123456789012/trail").unwrap();
    let buckets = vec!["my-trail-bucket".to_owned()];
    let sqs = Source::Sqs { queue, buckets, workers: 4, visibility_timeout: seconds(120) };
    assert_eq!(config.sources, [sqs, Source::Folder { path: here.join("logs"), poll_interval: seconds(7) }]);
    let ingest = Ingest {
        batch_bytes: 1000,
        batch_rows: 2000,
        batch_age: seconds(3),
        decode_threads: 4,
        max_object_bytes: 5000,
        max_content_bytes: 6000,
        flow_formats: vec!["${version} ${srcaddr}".to_owned()],
    };
    assert_eq!(config.ingest, ingest);
    let detect = Detect {
        folders: vec![here.join("detections"), "/etc/d".into()],
        interval: seconds(9),
        built_in: false,
        disabled: vec!["noisy".to_owned()],
    };
    assert_eq!(config.detect, detect);
    let query = Query { memory_bytes: 64 << 20, timeout: seconds(11), folders: vec![here.join("q")] };
    assert_eq!(config.query, query);
    let webhook = Target::Webhook {
        url: HiddenUrl::new(Url::parse("https://hooks.example.com/services/T0/B0/hush").unwrap()),
        secret: Some(Secret::Environment("TRAILHOUND_WEBHOOK_SECRET".to_owned())),
        allow_private_addresses: true,
        allow_http: true,
        timeout: seconds(12),
    };
    let sink =
        |name: &str, minimum_severity, target| Sink { name: name.to_owned(), minimum_severity, target };
    let expected = [
        sink("soc", Severity::High, webhook),
        sink("file", Severity::Low, Target::JsonLines { path: here.join("alerts.ndjson") }),
        sink("terminal", Severity::Informational, Target::Terminal),
    ];
    assert_eq!(config.sinks, expected);
}

#[test]
fn batches_may_be_older_on_s3() {
    for (text, expected) in [
        ("", 5),
        ("lake = 's3://lake-bucket/x'", 30),
        ("lake = 's3://lake-bucket/x'\n[ingest]\nbatch_age_seconds = 7", 7),
    ] {
        let config = config(text);
        assert_eq!(config.ingest.batch_age, seconds(expected), "{text}");
        assert!(config.show().contains(&format!("\nbatch_age_seconds = {expected}  # ")), "{text}");
    }
}

#[test]
fn maintenance_is_as_it_is_told() {
    let Maintain { compact_hours, hour_files, expire_after_days, .. } = config("").maintain;
    assert_eq!((compact_hours, hour_files, expire_after_days), (true, 20, None));
    let told = "[maintain]\ncompact_hours = false\nhour_files = 7\nexpire_after_days = 400";
    let Maintain { compact_hours, hour_files, expire_after_days, .. } = config(told).maintain;
    assert_eq!((compact_hours, hour_files, expire_after_days), (false, 7, Some(400)));
}

#[test]
fn shows_what_is_in_force() {
    let config = config(FULL);
    insta::assert_snapshot!(settle(&config.show(), &config));
    let hush = format!("{config:?}{:?}", config.sinks);
    assert!(!hush.contains("hush"), "{hush}");
}

#[test]
fn shows_the_defaults() {
    let config = load_from(None, Overrides::default(), Path::new("none.toml"), &|_| None).unwrap();
    let cores = format!("decode_threads = {} ", config.ingest.decode_threads);
    insta::assert_snapshot!(config.show().replace(&cores, "decode_threads = CORES "));
    assert_eq!(config.file, None);
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    let text = FULL.replace("https://hooks.example.com/services/T0/B0/hush", "https://hooks.example.com/");
    let first = config(&text);
    let second = config(&first.show());
    assert_eq!(first.sources, second.sources);
    assert_eq!(first.sinks, second.sinks);
    assert_eq!((first.lake, first.aws, first.ingest), (second.lake, second.aws, second.ingest));
    assert_eq!((first.detect, first.query), (second.detect, second.query));
}

#[test]
fn the_command_line_wins_over_the_environment_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(&path, "lake = 'file'\n").unwrap();
    let load = |flag: Option<&str>, variable: Option<&str>| {
        let overrides = Overrides { lake: flag.map(str::to_owned), ..Overrides::default() };
        let environment = |name: &str| match name {
            FILE_VARIABLE => Some(path.clone().into_os_string()),
            _ => variable.filter(|_| name == LAKE_VARIABLE).map(OsString::from),
        };
        let config = load_from(None, overrides, Path::new("none.toml"), &environment).unwrap();
        let shown = settle(&config.show(), &config);
        shown.lines().next().unwrap().to_owned()
    };
    assert_eq!(load(None, None), "lake = \"DIR/file\"  # DIR/t.toml:1");
    assert_eq!(load(None, Some("")), "lake = \"DIR/file\"  # DIR/t.toml:1");
    assert_eq!(load(None, Some("there")), "lake = \"there\"  # environment, `TRAILHOUND_LAKE`");
    assert_eq!(load(Some("here"), Some("there")), "lake = \"here\"  # command line, `--lake`");
}

#[test]
fn problems_outside_the_file() {
    let overrides = Overrides { lake: Some("gs://b".into()), memory_mib: Some(1), ..Overrides::default() };
    let error = load_from(None, overrides, Path::new("none.toml"), &|_| None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 problems in the configuration\n\
         command line, `--lake`: `lake` takes a directory or `s3://bucket/prefix`, not a URL with `gs`\n\
         command line, `--memory-mib`: `query.memory_mib` takes a number from 64 to 1048576",
    );
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let error =
        load_from(Some(Path::new("none.toml")), Overrides::default(), Path::new("n"), &|_| None).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration file `none.toml`");
}

#[test]
fn lakes() {
    let check = |text: &str, expect: Result<&str, &str>| {
        let found = Lake::parse(text);
        let found = found.as_ref().map(ToString::to_string).map_err(String::as_str);
        assert_eq!(found.as_deref().map_err(|e| *e), expect, "{text}");
    };
    check("./lake", Ok("./lake"));
    check("s3://bucket", Ok("s3://bucket"));
    check("s3://bucket/a/b/", Ok("s3://bucket/a/b"));
    check("s3://", Err("takes `s3://bucket/prefix` with the name of a bucket"));
    check("s3://bucket/a/../b", Err("takes a prefix without empty, `.` or `..` parts"));
    check("gs://b", Err("takes a directory or `s3://bucket/prefix`, not a URL with `gs`"));
    let lake = Lake::parse("s3://bucket/lake").unwrap();
    assert!(lake.holds_object("bucket", "lake/x"));
    assert!(!lake.holds_object("bucket", "lakes/x"));
    assert!(!lake.holds_object("other", "lake/x"));
}

#[test]
fn secrets() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let secret = Secret::File(file.path().to_path_buf());
    assert!(secret.read().is_err(), "an empty secret signs nothing");
    std::fs::write(file.path(), "s3cret\n").unwrap();
    assert_eq!(secret.read().unwrap(), b"s3cret");
    let unset = Secret::Environment("TRAILHOUND_TEST_NOT_SET".to_owned()).read().unwrap_err();
    assert_eq!(
        unset.to_string(),
        "cannot read the secret of a sink from the environment variable `TRAILHOUND_TEST_NOT_SET`"
    );
}
