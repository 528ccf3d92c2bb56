//! What becomes of objects that are read: their state, their kind and their rows.

use super::gathered::MAX_DAYS;
use super::*;
use crate::clock::SystemClock;

fn read_one(reader: &Reader, key: &str, content: &str) -> ReadObject {
    let bytes = Bytes::copy_from_slice(content.as_bytes());
    reader.read(&Fetched { bytes, ..Fetched::unread("bucket", key, Some("etag")) })
}

/// Reads an object; returns its state, its kind, the table its rows are for and how many there are.
fn check(key: &str, content: &str, expected: (State, &str, Option<(&str, i64)>)) {
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let ReadObject { record, rows } = read_one(&reader, key, content);
    let rows = rows.map(|rows| (rows.table.name, i64::try_from(rows.range.len()).unwrap()));
    assert_eq!(rows.map_or(0, |(_, count)| count), record.row_count, "{content}");
    assert_eq!((record.state, record.kind.as_str(), rows), expected, "{content}: {:?}", record.reason);
}

const FLOW: &str =
    "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";

#[test]
fn every_form_goes_to_its_table() {
    let trail = (State::Committed, "cloudtrail", Some(("cloudtrail", 1)));
    let record = r#"{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z"}"#;
    let quoted = serde_json::Value::from(record);
    let subscription = |message: &serde_json::Value| {
        format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"message":{message}}}]}}"#)
    };
    let trail_key = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
    check(trail_key, &format!(r#"{{"Records":[{record}]}}"#), trail);
    check("x", &format!(r#"{{"detail-type":"x","detail":{record}}}"#), trail);
    check("x", &subscription(&quoted), trail);
    check("x", &format!(r#"{{"events":[{{"message":{quoted},"ingestionTime":1}}]}}"#), trail);
    check("x", &format!(r#"[{{"detail-type":"x","detail":{record}}}]"#), trail);
    check("x", &format!("2026-03-10T12:00:00.000Z {record}\n"), trail);
    check("x", &format!("{quoted}\n"), trail);
    check("x", r#"[{"detail-type":"x","detail":{"state":"y"}}]"#, (State::Quarantined, "unknown", None));
    check("x", &format!(r#"{{"Events":[{{"CloudTrailEvent":{quoted}}}]}}"#), trail);
    check(
        "x",
        &subscription(&serde_json::Value::from(FLOW)),
        (State::Committed, "vpc_flow", Some(("vpc_flow", 1))),
    );
    check(
        "x",
        r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"message":"CWL CONTROL MESSAGE"}]}"#,
        (State::Empty, "cloudtrail", None),
    );
    check(
        "x",
        &subscription(&serde_json::Value::from("START RequestId: 1")),
        (State::Quarantined, "unknown", None),
    );
    check(
        "AWSLogs/111122223333/CloudTrail-Insight/us-east-1/2026/03/10/x.json.gz",
        r#"{"Records":[{"eventVersion":"1.08","eventType":"AwsCloudTrailInsight","insightDetails":{"state":"Start"}}]}"#,
        trail,
    );
    check(
        "x",
        r#"{"Records":[{"messageId":"1","eventSource":"aws:sqs"}]}"#,
        (State::Quarantined, "unknown", None),
    );
    let notification = r#"{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put"}"#;
    let notifications = format!(r#"{{"Records":[{notification},{notification}]}}"#);
    check("x", &notifications, (State::Unsupported, "event_notification", None));
    check(trail_key, &notifications, (State::Committed, "cloudtrail", Some(("cloudtrail", 2))));
    let both = format!(r#"{{"Records":[{notification},{record}]}}"#);
    check("x", &both, (State::Committed, "cloudtrail", Some(("cloudtrail", 2))));
    let listed = format!("[{notifications}]");
    check("x", &listed, (State::Unsupported, "event_notification", None));
    check(
        "x",
        &format!(r#"{{"message":{}}}"#, serde_json::Value::from(&*notifications)),
        (State::Unsupported, "event_notification", None),
    );
    check("x", &format!(r#"[{{"Records":[{record}]}},{{"Records":[]}}]"#), trail);
    let files = format!(r#"[{{"Records":[{record},{{"eventName":"B","x":1}}]}}]"#);
    check("x", &files, (State::Committed, "cloudtrail", Some(("cloudtrail", 2))));
    let misplaced = format!(r#"[{record},{{"Records":[{record}]}}]"#);
    check(trail_key, &misplaced, (State::Quarantined, "cloudtrail", None));
    check("x", &format!(r#"{{"_raw":{quoted},"host":"x"}}"#), trail);
    check("x", &format!(r#"{{"preview":false,"result":{{"_raw":{quoted}}}}}"#), trail);
    check("x", r#"[{"name":"x"}]"#, (State::Quarantined, "unknown", None));
    check(trail_key, r#"{"Records":[{"new":"x"}]}"#, trail);
    let aggregated = r#"[{"eventVersion":"1.0","eventType":"AwsAggregatedEvent","timeWindow":{}}]"#;
    let counts = (State::Committed, "cloudtrail_aggregated", Some(("aggregated_events", 1)));
    check("x", aggregated, counts);
    let folder = "AWSLogs/111122223333/CloudTrail-Aggregated/us-east-1/2026/03/10/x.json.gz";
    check(folder, r#"{"Records":[{"new":"x","summary":{}}]}"#, counts);
    check(folder, r#"{"Records":[{"new":"x"}]}"#, (State::Quarantined, "cloudtrail_aggregated", None));
    let event =
        r#"{"eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","timeWindow":{},"summary":{}}"#;
    for envelope in [
        subscription(&serde_json::Value::from(event)),
        format!("2026-03-10T12:00:00.000Z {event}"),
        format!(r#"[{{"detail-type":"x","detail":{event}}}]"#),
    ] {
        check("x", &envelope, counts);
        check(folder, &envelope, counts);
    }
    let many = vec![event; 64].join(",");
    check("x", &format!("[{many},{record}]"), (State::Quarantined, "unknown", None));
    check(folder, &subscription(&quoted), trail);
    check(folder, "7", (State::Quarantined, "cloudtrail_aggregated", None));
    check(folder, &format!(r#"{{"Records":[{record}]}}"#), trail);
    let late =
        format!(r#"{{"eventVersion":"1.08","x":"{}","eventTime":"2026-03-10T12:00:00Z"}}"#, "x".repeat(5000));
    check(folder, &format!(r#"{{"Records":[{late}]}}"#), trail);
    let digest = r#"{"awsAccountId":"1","digestStartTime":"2026-03-10T12:00:00Z","digestEndTime":"2026-03-10T13:00:00Z","logFiles":[]}"#;
    let digests = (State::Committed, "cloudtrail_digest", Some(("digests", 1)));
    check("AWSLogs/1/CloudTrail-Digest/us-east-1/2026/03/10/x.json.gz", digest, digests);
    check(
        "AWSLogs/1/CloudTrail-Digest/us-east-1/2026/03/10/x.json.gz",
        "{}",
        (State::Quarantined, "cloudtrail_digest", None),
    );
}

#[test]
fn large_content_is_read_whatever_its_last_member_claims() {
    let record = |name: &str| format!(r#"{{"{name}":"{}"}}"#, "x".repeat(1 << 20));
    let list = |name: &str| {
        let records = vec![record(name); 1 + (gzip::TRUSTED_BYTES >> 20)];
        format!(r#"{{"Records":[{}]}}"#, records.join(","))
    };
    let member = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        encoder.finish().unwrap()
    };
    let reader = Reader::new(Limits::default(), Arc::new(SystemClock));
    let key = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
    for (key, name, expected) in [
        (key, "eventName", State::Committed),
        (key, "odd", State::Committed),
        ("x", "eventName", State::Committed),
        ("x", "odd", State::Quarantined),
    ] {
        let text = list(name);
        let (most, end) = text.as_bytes().split_at(text.len() - 100);
        let bytes = Bytes::from([member(most), member(end)].concat());
        assert!(gzip::claims_to_be_small(&bytes));
        let fetched = Fetched { bytes, ..Fetched::unread("b", key, Some("e")) };
        let ReadObject { record, rows } = reader.read(&fetched);
        assert_eq!(record.state, expected, "{key} {name}: {:?}", record.reason);
        assert_eq!(rows.map_or(0, |rows| rows.range.len()) > 64, expected == State::Committed);
    }
}

#[test]
fn large_envelopes_are_read() {
    let record = format!(r#"{{"eventVersion":"1.08","eventName":"x","x":"{}"}}"#, "x".repeat(1 << 20));
    let records = 1 + (gzip::TRUSTED_BYTES >> 20);
    let lines = format!("2026-03-10T12:00:00.000Z {record}\n").repeat(records);
    let item = format!(r#"{{"detail-type":"x","detail":{record}}}"#);
    let list = format!("[{}]", vec![item; records].join(","));
    let files = format!(r#"[{{"Records":[{}]}}]"#, vec![&*record; records].join(","));
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    for text in [lines, list, files] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        let key = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
        let mut fetched = Fetched::unread("b", key, Some("e"));
        fetched.bytes = Bytes::from(encoder.finish().unwrap());
        let record = reader.read(&fetched).record;
        assert_eq!(record.state, State::Committed, "{:?}", record.reason);
        assert_eq!(usize::try_from(record.row_count), Ok(records));
    }
}

#[test]
fn a_reason_is_bounded() {
    let reason = cut(format!("{}é{}", "x".repeat(MAX_REASON_BYTES - 1), "y".repeat(1 << 20)));
    assert_eq!(reason, "x".repeat(MAX_REASON_BYTES - 1) + "...");
    let whole = "x".repeat(MAX_REASON_BYTES);
    assert_eq!(cut(whole.clone()), whole);
}

#[test]
fn what_is_often_taken_for_a_log_is_named() {
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let flow = "7 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK x";
    let bus =
        r#"{"version":"0","detail-type":"EC2 Instance State-change Notification","detail":{"state":"x"}}"#;
    for (content, expected) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:x\n", "a pointer of Git LFS"),
        ("PK\x03\x04rest", "a ZIP archive"),
        (&format!("{:\0<257}ustar\0{{\"Records\":[]}}", "AWSLogs/x.json"), "a tar archive: unpack it"),
        (&format!("{flow}\n{: <257}ustar\n", "7"), "what may be a flow log, but without a header"),
        ("<?xml version=\"1.0\"?><Error/>", "XML, as S3 answers"),
        ("\n<!DOCTYPE html>", "HTML, as a page"),
        ("<134>Mar 10 x", "neither CloudTrail nor VPC Flow Logs"),
        (flow, "what may be a flow log, but without a header"),
        (&format!(r#"{{"message":"{flow}"}}"#), "what may be a flow log, but without a header"),
        (
            r#"{"version":2,"account_id":"1","interface_id":"eni-1","srcaddr":"::1"}"#,
            "what may be a record of a flow log as JSON",
        ),
        (r#"{"messageType":"x","srcAddr":"::1"}"#, "no `Records` among the keys `messageType`, `srcAddr`"),
        (
            "version,account_id,srcaddr\n2,1,::1\n",
            "what may be the header of a flow log, but AWS does not write `version,account_id,srcaddr` in one: ",
        ),
        (
            "Version AccountId SrcAddr x\n2 1 ::1 y\n",
            "what may be the header of a flow log, but AWS does not write `Version` in one: ",
        ),
        ("\"@timestamp\",\"@message\"\n", "neither CloudTrail nor VPC Flow Logs"),
        ("hello ACCEPT", "neither CloudTrail nor VPC Flow Logs"),
        (bus, "an EventBridge event whose `detail` is no event of CloudTrail (byte 0)"),
    ] {
        let record = read_one(&reader, "x", content).record;
        let reason = record.reason.unwrap_or_default();
        assert!(record.state == State::Quarantined && reason.starts_with(expected), "{content}: {reason}");
    }
}

#[test]
fn what_is_no_record_is_none_behind_one() {
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let event = r#"{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"StopLogging"}"#;
    let text = serde_json::Value::from(event);
    for (other, kind) in [
        (format!(r#"{{"version":"0","detail-type":"AWS API Call via CloudTrail","detail":{event}}}"#), "an EventBridge event"),
        (format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"message":{text}}}]}}"#), "a message of CloudWatch Logs"),
        (format!(r#"{{"Events":[{{"CloudTrailEvent":{text}}}]}}"#), "a list of events"),
        (format!(r#"{{"EventName":"StopLogging","CloudTrailEvent":{text}}}"#), "the text of a record"),
        (format!(r#"{{"_time":1,"_raw":{text}}}"#), "the text of a record"),
        (format!(r#"{{"Records":[{event}]}}"#), "a list of records"),
        (r#"{"awsAccountId":"1","digestS3Object":"x"}"#.to_owned(), "a digest"),
        (
            r#"{"eventVersion":"1.0","eventType":"AwsAggregatedEvent","eventCategory":"Aggregated","timeWindow":{},"summary":{}}"#.to_owned(),
            "an aggregated event",
        ),
    ] {
        for (before, after) in [("[", "]"), (r#"{"Records":["#, "]}")] {
            for key in ["x.json", "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json"] {
                let content = format!("{before}{event},{other}{after}");
                let record = read_one(&reader, key, &content).record;
                let at = before.len() + event.len() + 1;
                let expected = format!("{kind} in the place of a record (record 1, byte {at})");
                assert_eq!(record.reason.as_deref(), Some(&*expected), "{content}");
                assert_eq!(record.state, State::Quarantined);
            }
        }
    }
    // A record may have any of these fields beside its own.
    let odd = event
        .replace('{', r#"{"detail-type":"x","_raw":"y","Events":[],"digestS3Object":"z","timeWindow":{},"#);
    let record = read_one(&reader, "x.json", &format!("[{event},{odd}]")).record;
    assert_eq!((record.state, record.row_count), (State::Committed, 2), "{:?}", record.reason);
}

#[test]
fn records_without_a_header_are_read_in_the_formats_that_are_known() {
    let formats = ["${version} ${vpc-id} ${dstaddr} ${srcaddr} ${bytes} ${start} ${new}", "action start"];
    let known = || {
        let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
        reader.with_flow_formats(Formats::parse(formats).unwrap())
    };
    let line = |number: usize| format!("5 vpc-1 10.0.0.{number} 10.0.1.{number} 20 1418530010 eni-{number}");
    let (first, second) = (line(1), line(2));
    let group = |messages: [&str; 2]| {
        let events = messages.map(|message| format!(r#"{{"id":"1","timestamp":1,"message":"{message}"}}"#));
        let events = events.join(",");
        format!(r#"{{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{events}]}}"#)
    };
    for content in [
        format!("{first}\n{second}\n"),
        format!("2014-12-14T04:07:50.000Z {first}\n2014-12-14T04:07:51.000Z {second}\n"),
        format!(r#"{{"message":"{first}"}}{{"message":"{second}"}}"#),
        format!(r#"["{first}","{second}"]"#),
        format!(r#"{{"result":{{"_raw":"{first}"}}}} {{"_raw":"{second}"}}"#),
        group([&first, &second]),
    ] {
        let ReadObject { record, rows } = read_one(&known(), "x", &content);
        assert_eq!(
            (record.state, &*record.kind),
            (State::Committed, "vpc_flow"),
            "{:?} {content}",
            record.reason
        );
        let batch = rows.unwrap().to_batch();
        let text = |name: &str, row| {
            let texts = arrow::compute::cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
            texts.as_string::<i32>().value(row).to_owned()
        };
        for (row, number) in [(0, 1), (1, 2)] {
            assert_eq!(text("srcaddr", row), format!("10.0.1.{number}"), "{content}");
            assert_eq!(text("dstaddr", row), format!("10.0.0.{number}"));
            assert!(text("other_fields", row).ends_with(&format!(r#""new":"eni-{number}"}}"#)), "{content}");
        }
        // Nobody said which field is which.
        let unknown = read_one(&Reader::new(gzip::Limits::default(), Arc::new(SystemClock)), "x", &content);
        assert_eq!(unknown.record.state, State::Quarantined, "{content}");
    }
    // Default formats and headers are known as well, and one object's format is not that of another.
    let reader = known();
    for (content, rows) in [(FLOW, 1), ("ACCEPT 1418530010\n- -", 2), ("start end\n1 2\n", 1), (&*first, 1)] {
        let record = read_one(&reader, "x", content).record;
        assert_eq!(
            (record.state, record.row_count),
            (State::Committed, rows),
            "{:?} {content}",
            record.reason
        );
    }
    let misfit = line(3).replace("10.0.0.3", "20");
    let misfit = read_one(&reader, "x", &format!("{first}\n{misfit}\n")).record;
    let what = "field 3 cannot be `dstaddr`, which it is in the format that the records before it fit";
    assert_eq!(misfit.reason, Some(format!("{what} (record 1, byte {})", first.len() + 1)));
    let mixed = read_one(&reader, "x", &format!("{first}\nACCEPT 1418530010\n")).record;
    let place = format!("record 1, byte {}", first.len() + 1);
    assert_eq!(mixed.reason, Some(format!("2 fields where the format has 7 ({place})")));
}

#[test]
fn large_objects_without_a_header_are_read_in_the_formats_that_are_known() {
    let line = "ACCEPT 1418530010\n";
    let lines = 1 + gzip::TRUSTED_BYTES / line.len();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, line.repeat(lines).as_bytes()).unwrap();
    let bytes = Bytes::from(encoder.finish().unwrap());
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let reader = reader.with_flow_formats(Formats::parse(["action start"]).unwrap());
    let record = reader.read(&Fetched { bytes, ..Fetched::unread("b", "x", Some("e")) }).record;
    assert_eq!(usize::try_from(record.row_count), Ok(lines), "{:?}", record.reason);
}

#[test]
fn objects_of_too_many_days_are_refused() {
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let lines = |days: i64| -> String {
        // From the year 2000 on: what is before has no day.
        let line = |day: i64| FLOW.replace("1418530010", &(86_400 * (10_957 + day)).to_string()) + "\n";
        (1..=days).map(line).collect()
    };
    let most = i64::try_from(MAX_DAYS).unwrap();
    let read = read_one(&reader, "x", &lines(most));
    assert_eq!((read.record.state, read.record.row_count), (State::Committed, most));
    let ReadObject { record, rows } = read_one(&reader, "x", &lines(most + 1));
    assert_eq!((record.state, record.row_count, rows.is_some()), (State::Quarantined, 0, false));
    assert_eq!(record.reason.as_deref(), Some("rows of 10001 days, more than 10000"));
}

#[test]
fn of_refused_objects_nothing_is_kept() {
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let events = r#"[{"eventName":"x","requestParameters":{"a":"b"}},7]"#;
    for content in [events, &format!("{FLOW}\n2 1\n"), "account-id start\n1 2\n3\n"] {
        let record = read_one(&reader, "x", content).record;
        assert_eq!(record.state, State::Quarantined, "{:?}", record.reason);
        assert!(reader.lock().iter().all(Buffers::is_empty), "{content}");
    }
}
