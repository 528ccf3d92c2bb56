//! Objects made to do harm: each ends in the state it should, in bounded time and memory, says what is wrong and where,
//! and costs its neighbours nothing.

mod cases;
mod parquet;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use trailhound::clock::SystemClock;
use trailhound::decode::gzip;
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{ReadObject, State};

use crate::cli::Place;
use cases::{CONTENT_LIMIT, Case, Expect, TRAIL, flow_cases, gzip_cases, json_cases, large_cases};

fn reader() -> Reader {
    let limits = gzip::Limits { content_bytes: CONTENT_LIMIT, ..gzip::Limits::default() };
    Reader::new(limits, Arc::new(SystemClock))
}

fn read(reader: &Reader, key: &str, bytes: Vec<u8>) -> ReadObject {
    let (bucket, etag) = ("bucket".to_owned(), Some("etag".to_owned()));
    let bytes = Bytes::from(bytes);
    reader.read(&Fetched { bucket, key: key.to_owned(), etag, version_id: None, announced_at: None, bytes })
}

/// Reads each object as expected, and after each of them, with the same buffers, a good one.
fn check(cases: Vec<Case>) {
    let reader = reader();
    let one = |key, content: &str| {
        read(&reader, key, content.as_bytes().to_vec()).rows.expect("has rows").to_batch()
    };
    let flow = format!("{}\n{}", cases::FLOW_HEADER, cases::FLOW_LINE);
    let event =
        cases::GOOD.replace("\"neighbour\"", r#""neighbour","userIdentity":{"type":"Root","arn":"a"}"#);
    let good = || [one(TRAIL, &event), one("x", &flow)];
    let before = good();
    let mut wrong = Vec::new();
    for Case { name, key, bytes, expect } in cases {
        let ReadObject { record, rows } = read(&reader, &key, bytes);
        let found = match record.state {
            State::Quarantined => Expect::Quarantined(record.reason.clone().unwrap_or_default()),
            State::Committed => Expect::Committed(usize::try_from(record.row_count).expect("a count")),
            State::Empty => Expect::Empty,
            State::Unsupported => Expect::Unsupported,
        };
        if found != expect {
            wrong.push(format!("{name}: {found:?}, not {expect:?}"));
        }
        assert_eq!(rows.map_or(0, |rows| rows.range.len()), found.rows(), "{name}");
        assert_eq!(good(), before, "the object after {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn gzip_that_is_none() {
    check(gzip_cases());
}

#[test]
fn json_that_is_none_or_too_much() {
    check(json_cases());
}

#[test]
fn flow_logs_that_are_none_or_too_much() {
    check(flow_cases());
}

#[test]
fn objects_of_unusual_size() {
    check(large_cases());
}

/// Depth must never cost stack: all of it is read on a thread that has next to none.
#[test]
fn depth_takes_no_stack() {
    let cases = [json_cases(), flow_cases()].concat();
    let deep = std::thread::Builder::new().stack_size(256 << 10).spawn(move || check(cases));
    deep.expect("a thread").join().expect("ends well");
}

fn text(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = cast(batch.column_by_name(column).expect("a column"), &DataType::Utf8).expect("text");
    column.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect()
}

#[test]
fn absurd_times_are_kept_and_make_no_partition() {
    let reader = reader();
    for (time, column, other) in [
        (r#""1700-01-01T00:00:00Z""#, Some("1700-01-01T00:00:00Z"), None),
        (r#""2199-12-31T23:59:59Z""#, Some("2199-12-31T23:59:59Z"), None),
        (r#""2199-12-31T23:59:59-00:01""#, None, Some(r#"{"eventTime":"2199-12-31T23:59:59-00:01"}"#)),
        (r#""1700-01-01T00:00:59+00:01""#, None, Some(r#"{"eventTime":"1700-01-01T00:00:59+00:01"}"#)),
        (r#""0001-01-01T00:00:00Z""#, None, Some(r#"{"eventTime":"0001-01-01T00:00:00Z"}"#)),
        (r#""9999-12-31T23:59:59Z""#, None, Some(r#"{"eventTime":"9999-12-31T23:59:59Z"}"#)),
        (r#""99999-01-01T00:00:00Z""#, None, Some(r#"{"eventTime":"99999-01-01T00:00:00Z"}"#)),
        (r#""-0001-01-01T00:00:00Z""#, None, Some(r#"{"eventTime":"-0001-01-01T00:00:00Z"}"#)),
        (r#""0000-00-00T00:00:00Z""#, None, Some(r#"{"eventTime":"0000-00-00T00:00:00Z"}"#)),
        ("-1", None, Some(r#"{"eventTime":-1}"#)),
        ("1e30", None, Some(r#"{"eventTime":1e30}"#)),
        ("1e999", None, Some(r#"{"eventTime":1e999}"#)),
    ] {
        let content = format!(r#"{{"Records":[{{"eventTime":{time}}}]}}"#);
        let rows = read(&reader, TRAIL, content.into_bytes()).rows.expect(time).to_batch();
        let shown = |text: &str| Some(text.to_owned());
        assert_eq!(text(&rows, "event_time"), [column.and_then(shown)], "{time}");
        assert_eq!(text(&rows, "other_fields"), [other.and_then(shown)], "{time}");
        assert_eq!(text(&rows, "event_date"), [None], "{time}");
    }
    for (start, column) in [
        ("-8520336000", Some("1700-01-01T00:00:00Z")),
        ("-8520336001", None),
        ("7258118400", None),
        ("1e30", None),
    ] {
        let line = format!("{}\n{}", cases::FLOW_HEADER, cases::FLOW_LINE.replace("1418530010", start));
        let rows = read(&reader, cases::FLOW, line.into_bytes()).rows.expect(start).to_batch();
        assert_eq!(text(&rows, "start_time"), [column.map(str::to_owned)], "{start}");
        assert_eq!(text(&rows, "event_date"), [None], "{start}");
        let other = text(&rows, "other_fields")[0].is_some();
        assert_eq!(other, column.is_none(), "{start}");
    }
}

/// How often a key is there.
const TIMES: usize = 100_000;

/// Of a key that is there very often the last one counts, and none is lost.
#[test]
fn repeated_keys_are_all_kept() {
    let reader = reader();
    let record = format!(
        r#"{{"eventName":"last"{}}}"#,
        r#","eventName":null,"eventTime":"x","eventName":"y""#.repeat(TIMES)
    );
    let content = format!(r#"{{"Records":[{record}]}}"#);
    let rows = read(&reader, TRAIL, content.into_bytes()).rows.expect("rows").to_batch();
    assert_eq!(text(&rows, "event_name"), [Some("y".to_owned())]);
    assert_eq!(text(&rows, "null_fields"), [None]);
    let others = text(&rows, "other_fields").remove(0).expect("others");
    let expected = record.strip_suffix(r#","eventName":"y"}"#).expect("ends so").to_owned() + "}";
    assert!(others == expected, "{} bytes and not {}", others.len(), expected.len());
}

/// Writes cases below a folder of logs, a good object before each of them; returns how many.
fn write(cases: &[Case], logs: &Path) -> usize {
    for (at, case) in cases.iter().enumerate() {
        let (folder, name) = case.key.rsplit_once('/').expect("a folder");
        let extension = name.split_once('.').map_or("", |(_, extension)| extension);
        let folder = logs.join(folder);
        std::fs::create_dir_all(&folder).expect("is made");
        let good = cases::GOOD.replace("neighbour", &format!("neighbour-{at}"));
        std::fs::write(folder.join(format!("{at:03}-neighbour.json")), good).expect("is written");
        let hostile = folder.join(format!("{at:03}-{}.{extension}", case.name.replace(' ', "-")));
        std::fs::write(hostile, &case.bytes).expect("is written");
    }
    cases.len()
}

#[test]
fn a_folder_of_hostile_objects_costs_their_neighbours_nothing() {
    let place = Place::new();
    let logs = place.path("logs");
    let cases = [gzip_cases(), json_cases(), flow_cases()].concat();
    let count = write(&cases, &logs);
    std::fs::write(place.path("trailhound.toml"), format!("[ingest]\nmax_content_bytes = {CONTENT_LIMIT}\n"))
        .expect("is written");
    let ran = place.run(&["ingest", "logs"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let root = logs.canonicalize().expect("exists").display().to_string();
    insta::assert_snapshot!("hostile_folder", ran.stderr.replace(&root, ""));

    let rows = place.rows("select count(*) as n, count(distinct event_name) as d from cloudtrail where event_name like 'neighbour-%'");
    assert_eq!(rows, format!("n,d\n{count},{count}\n"));
    let expected = |state: &str, case: &Case| match &case.expect {
        Expect::Committed(_) => state == "committed",
        Expect::Empty => state == "empty",
        Expect::Unsupported => state == "unsupported",
        Expect::Quarantined(_) => state == "quarantined",
    };
    let objects =
        place.ok(&["sql", "--format", "ndjson", "select key, state, reason, row_count from objects"]);
    let mut seen = BTreeMap::new();
    for line in objects.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let key = object["key"].as_str().expect("a key");
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        let case = &cases[name[..3].parse::<usize>().expect("a number")];
        let state = object["state"].as_str().expect("a state");
        if name.contains("neighbour") {
            assert_eq!(state, "committed", "{line}");
            continue;
        }
        assert!(expected(state, case), "{line}");
        assert_eq!(object["row_count"], case.expect.rows(), "{line}");
        if let Expect::Quarantined(reason) = &case.expect {
            assert_eq!(object["reason"], reason.as_str(), "{line}");
        }
        seen.insert(case.name, state.to_owned());
    }
    assert_eq!(seen.len(), count);
}

/// Loads the folder of logs; returns the exit code and the most memory it took, in bytes.
#[cfg(target_os = "linux")]
fn loaded(place: &Place) -> (i32, u64) {
    let child = Command::new(env!("CARGO_BIN_EXE_trailhound"))
        .args(["ingest", "logs"])
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    peak_bytes(child)
}

/// The most memory a process ever held, in bytes, as far as it was looked at before it ended.
#[cfg(target_os = "linux")]
fn peak_bytes(mut child: std::process::Child) -> (i32, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().expect("can be waited for") {
            return (status.code().expect("an exit code"), peak);
        }
        // The kernel keeps the high-water mark: looking now and then misses only the last moment.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Small objects that would take much memory: what they are to hold, and the most the program may take for it.
#[test]
#[cfg(target_os = "linux")]
fn bombs_take_bounded_memory() {
    for Case { name, key, bytes, expect } in cases::bombs() {
        let place = Place::new();
        assert!(bytes.len() < 4 << 20, "{name} is a small object of {} bytes", bytes.len());
        write(&[Case { name, key, bytes, expect: expect.clone() }], &place.path("logs"));
        std::fs::write(
            place.path("trailhound.toml"),
            format!("[ingest]\nmax_content_bytes = {CONTENT_LIMIT}\n"),
        )
        .expect("is written");
        let (code, peak) = loaded(&place);
        println!("{name}: {} MiB", peak >> 20);
        assert_eq!(code, i32::from(matches!(expect, Expect::Quarantined(_))), "{name}");
        assert!(peak > 8 << 20, "{name}: memory was looked at");
        assert!(peak < 512 << 20, "{name}: {} MiB", peak >> 20);
        if let Expect::Quarantined(reason) = expect {
            let reason = if reason.contains(',') { format!("\"{reason}\"") } else { reason };
            assert_eq!(
                place.rows("select reason from objects where state = 'quarantined'"),
                format!("reason\n{reason}\n")
            );
        }
        assert_eq!(
            place.rows("select count(*) as n from cloudtrail where event_name like 'neighbour-%'"),
            "n\n1\n"
        );
    }
}

/// Each of them is read, and would be harmless alone: together they are more rows than may be held at once.
#[test]
#[cfg(target_os = "linux")]
fn small_objects_of_many_rows_are_not_held_together() {
    const OBJECTS: usize = 20;
    const ROWS: usize = 500_000;
    let place = Place::new();
    let bytes = cases::many_records(ROWS);
    assert!(bytes.len() * OBJECTS < 4 << 20, "small enough to be read together: {}", bytes.len());
    let case = |number: usize| Case {
        name: "many",
        key: TRAIL.replace("x.json", &format!("{number}.json.gz")),
        bytes: bytes.clone(),
        expect: Expect::Committed(ROWS),
    };
    let cases: Vec<Case> = (0..OBJECTS).map(case).collect();
    write(&cases, &place.path("logs"));
    let (code, peak) = loaded(&place);
    println!("{} rows in {OBJECTS} objects: {} MiB", OBJECTS * ROWS, peak >> 20);
    assert_eq!(code, 0);
    assert!(peak < 512 << 20, "{} MiB", peak >> 20);
    let counted = place.rows(
        "select count(*) as n, count(distinct source_object) as objects from cloudtrail where event_name is null",
    );
    assert_eq!(counted, format!("n,objects\n{},{OBJECTS}\n", OBJECTS * ROWS));
}
