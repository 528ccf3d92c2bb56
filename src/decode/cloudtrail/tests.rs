//! Shapes of documents, odd values and errors; equality with a slow reading is tested over files elsewhere.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};

use super::rows::MAX_DEPTH;
use super::*;

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(column).expect("a column").as_string::<i32>();
    array.is_valid(row).then(|| array.value(row).to_owned())
}

/// Decodes one record and checks some of its text columns.
fn check(record: &str, expected: &[(&str, Option<&str>)]) {
    for document in [
        format!("{{\"Records\":[{record}]}}"),
        format!("[ {record} , {record}]"),
        format!("{{\"x\":{{}},\"Records\" : [ {record}\n],\"y\":[]}}"),
    ] {
        let batch = decode(document.as_bytes(), "object").unwrap_or_else(|e| panic!("{document}: {e}"));
        for row in 0..batch.num_rows() {
            for (column, value) in expected {
                assert_eq!(text(&batch, column, row).as_deref(), *value, "{column} of {document}");
            }
        }
    }
}

#[test]
fn values_keep_the_bytes_of_the_source() {
    check(
        r#"{"requestParameters" : { "a":1.0, "b" : [1E5,{},[ ]], "c":18446744073709551616 } ,"eventID":"x"}"#,
        &[
            ("request_parameters", Some(r#"{ "a":1.0, "b" : [1E5,{},[ ]], "c":18446744073709551616 }"#)),
            ("event_id", Some("x")),
            ("other_fields", None),
        ],
    );
    check(r#"{"responseElements":"te\"xt" }"#, &[("response_elements", Some(r#""te\"xt""#))]);
    check(r#"{"a":{},"responseElements":{} }"#, &[("response_elements", Some("{}"))]);
    check(r#"{"responseElements":-1.50 }"#, &[("response_elements", Some("-1.50"))]);
}

#[test]
fn strings_are_unescaped_and_unknown_fields_are_kept() {
    check(
        r#"{"userAgent":"a\"\\\u00e9\n","new\"Field":{"k":[]},"resources":[],"other":"\u00e9"}"#,
        &[
            ("user_agent", Some("a\"\\é\n")),
            ("resources", Some("[]")),
            ("other_fields", Some(r#"{"new\"Field":{"k":[]},"other":"\u00e9"}"#)),
        ],
    );
}

#[test]
fn nulls_and_wrong_types_stay_apart_from_absent_fields() {
    check(
        r#"{"responseElements":null,"errorCode":null,"readOnly":"true","eventName":7,"eventTime":"soon"}"#,
        &[
            ("response_elements", None),
            ("null_fields", Some("responseElements,errorCode")),
            ("event_name", None),
            ("other_fields", Some(r#"{"readOnly":"true","eventName":7,"eventTime":"soon"}"#)),
        ],
    );
    check("{}", &[("null_fields", None), ("other_fields", None)]);
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    check(
        r#"{"userIdentity":{"arn":"one","type":"Root"},"eventID":null,"eventID":"1","userIdentity":{"arn":"two"}}"#,
        &[
            ("identity_arn", Some("two")),
            ("identity_type", None),
            ("event_id", Some("1")),
            ("null_fields", None),
            ("other_fields", Some(r#"{"userIdentity":{"arn":"one","type":"Root"},"eventID":null}"#)),
        ],
    );
}

#[test]
fn the_actor_is_the_role_behind_a_session() {
    check(
        r#"{"userIdentity":{"arn":"session","sessionContext":{"sessionIssuer":{"arn":"role"}}}}"#,
        &[("actor_arn", Some("role")), ("identity_arn", Some("session"))],
    );
    check(
        r#"{"userIdentity":{"arn":"","principalId":"p","sessionContext":{"sessionIssuer":{}}}}"#,
        &[("actor_arn", Some("p"))],
    );
    check(
        r#"{"userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}}"#,
        &[("actor_arn", Some("ec2.amazonaws.com"))],
    );
    check(r#"{"userIdentity":"strange"}"#, &[("actor_arn", None), ("user_identity", Some("\"strange\""))]);
}

#[test]
fn times_become_timestamps_and_days() {
    let batch = decode(
        br#"{"Records":[{"eventTime":"2023-07-10T12:00:01Z"},{"eventTime":"0001-01-01T00:00:00Z"}]}"#,
        "o",
    )
    .expect("decodes");
    let times =
        batch.column_by_name("event_time").expect("a column").as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.value(0), 1_688_990_401_000_000);
    let days = batch.column_by_name("event_date").expect("a column");
    assert!(days.is_valid(0) && days.is_null(1));
}

#[test]
fn records_come_one_per_line_too() {
    let lines = "{\"eventID\":\"1\",\"eventName\":\"A\",\"eventTime\":\"\"}\r\n\n{\"eventID\":\"2\",\"eventName\":\"B\",\"eventTime\":\"\"}\n";
    let batch = decode(lines.as_bytes(), "o").expect("decodes");
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(text(&batch, "event_id", 1).as_deref(), Some("2"));
}

#[test]
fn errors_name_the_record_and_the_byte() {
    for (document, expected) in [
        (r#"{"Records":[{},7]}"#, "record is not a JSON object (record 1, byte 15)"),
        (r#"{"Records":{}}"#, "`Records` is not an array (byte 11)"),
        (r#"{"records":[]}"#, "no `Records` among the keys `records` (byte 0)"),
        ("7", "expected a JSON object or array (byte 0)"),
    ] {
        let error = decode(document.as_bytes(), "o").expect_err(document);
        assert_eq!(error.to_string(), expected);
    }
    for document in [
        &br#"{"Records":[{"a":1}"#[..],
        b"{\"Records\":[{\"a\":\"\xff\"}]}",
        b"not json",
        b"{} {}",
        b"\0",
        // JSON knows no such blank.
        b"{\x0c\"Records\":[{}]}",
        b"{\"Records\":[{}]\x0c}",
        b"[{}\x0c]",
    ] {
        decode(document, "o").expect_err("invalid");
    }
    let deep = "[".repeat(1_000_000);
    decode(deep.as_bytes(), "o").expect_err("too deep");
}

#[test]
fn what_begins_like_a_record_may_be_around_one() {
    for (around, versions) in [
        (r#"{"eventVersion":"1","eventTime":"t","Records":[{"eventVersion":"2"}]}"#, &["2"][..]),
        (r#"{"eventVersion":"1","eventTime":"t","\u0052ecords":[{"eventVersion":"2"}]}"#, &["2"]),
        (r#"{"eventVersion":"1","detail-type":"x","detail":{"eventVersion":"2","eventTime":"t"}}"#, &["2"]),
        (r#"{"eventVersion":"1","eventName":null,"detail-type":"x","detail":{"eventVersion":"2"}}"#, &["1"]),
        (r#"{ "awsRegion":"r","eventVersion":"1","eventTime":{},"records":[]} "#, &["1"]),
    ] {
        let content = format!("{}\n{around}\n{}", r#"{"eventVersion":"0","eventTime":"t"}"#, around);
        let batch = decode(content.as_bytes(), "o").expect("decodes");
        let expected: Vec<String> =
            [&["0"], versions, versions].concat().iter().map(ToString::to_string).collect();
        assert_eq!(texts(&batch, "event_version"), expected, "{around}");
    }
}

#[test]
fn an_empty_object_has_no_rows() {
    for document in ["", " \n", r#"{"Records":[]}"#, "[]"] {
        assert_eq!(decode(document.as_bytes(), "o").expect(document).num_rows(), 0, "{document}");
    }
}

#[test]
fn records_follow_one_another_in_any_way() {
    let record = |id: &str| format!(r#"{{"eventID":"{id}","eventName":"A","eventTime":""}}"#);
    let pretty = record("3").replace(',', ",\n  ");
    let text = format!(
        "{}{}\n{pretty} [{}]{{\"Records\":[{}]}}",
        record("1"),
        record("2"),
        record("4"),
        record("5")
    );
    let batch = decode(text.as_bytes(), "o").expect("decodes");
    let ids: Vec<_> = (0..5).map(|row| text_of(&batch, row)).collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5"]);
}

fn text_of(batch: &RecordBatch, row: usize) -> String {
    text(batch, "event_id", row).expect("an id")
}

#[test]
fn what_only_a_slow_parser_reads_is_kept() {
    let long = format!("{}.5", "9".repeat(5000));
    check(
        &format!(
            r#"{{"eventName":"x\ud800","userIdentity":{{"arn":"\udc00","type":"Root","k\ud800":[{{}}]}},
                "eventID":"1","\ud800":{{"\udfff":1e400}},"requestParameters":{{"a":[],"n":[1e400,-1E+999,{long}]}}}}"#
        ),
        &[
            ("event_name", None),
            ("event_id", Some("1")),
            ("identity_arn", None),
            ("identity_type", Some("Root")),
            ("actor_arn", None),
            ("user_identity", Some(r#"{"arn":"\udc00","type":"Root","k\ud800":[{}]}"#)),
            ("request_parameters", Some(&format!(r#"{{"a":[],"n":[1e400,-1E+999,{long}]}}"#))),
            ("other_fields", Some(r#"{"eventName":"x\ud800","\ud800":{"\udfff":1e400}}"#)),
        ],
    );
    check(
        r#"{"errorCode":"\ud800","errorCode":"ok"}"#,
        &[("error_code", Some("ok")), ("other_fields", Some(r#"{"errorCode":"\ud800"}"#))],
    );
    check(r#"{"requestParameters":"\ud800"}"#, &[("request_parameters", Some(r#""\ud800""#))]);
}

#[test]
fn a_neighbour_of_an_odd_record_is_read_as_ever() {
    let lines = "{\"eventID\":\"1\",\"eventName\":\"\\ud800\",\"eventTime\":\"\"}\n{\"eventID\":\"2\",\"eventName\":\"B\",\"eventTime\":\"\"}\n";
    let array = format!("[{}]", lines.trim().replace('\n', ","));
    for document in [lines, &array] {
        let batch = decode(document.as_bytes(), "o").expect("decodes");
        assert_eq!(text(&batch, "event_name", 0), None);
        assert_eq!(text(&batch, "event_name", 1).as_deref(), Some("B"));
        assert_eq!(text(&batch, "event_id", 1).as_deref(), Some("2"));
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    // The record itself is the first level.
    let deep = nested(MAX_DEPTH - 1);
    let record = format!(r#"{{"requestParameters":{deep}}}"#);
    let batch = decode(format!("{{\"Records\":[{record}]}}").as_bytes(), "o").expect("decodes");
    assert_eq!(text(&batch, "request_parameters", 0), Some(deep));
    let record = format!(r#"{{"requestParameters":{}}}"#, nested(MAX_DEPTH));
    let error = decode(format!("{{\"Records\":[{record}]}}").as_bytes(), "o").expect_err("too deep");
    assert_eq!(error.to_string(), "nested deeper than 256 levels (record 0, byte 288)");
}

#[test]
fn the_record_of_an_event_bus_is_its_detail() {
    let record = r#"{"eventVersion":"1.08","eventTime":"x","eventID":"1", "requestParameters":{"a": [{}]}}"#;
    for event in [
        format!(
            r#"{{"version":"0","resources":[],"detail-type":"AWS API Call via CloudTrail","detail":{record}}}"#
        ),
        format!(
            r#"{{"source":{{}},"detail":{record},"resources":[],"detail-type":"AWS Service Event via CloudTrail"}}"#
        ),
    ] {
        let batch = decode(event.as_bytes(), "o").expect("decodes");
        assert_eq!(batch.num_rows(), 1);
        assert_eq!(text(&batch, "event_id", 0).as_deref(), Some("1"));
        assert_eq!(text(&batch, "request_parameters", 0).as_deref(), Some(r#"{"a": [{}]}"#));
        assert_eq!(text(&batch, "other_fields", 0).as_deref(), Some(r#"{"eventTime":"x"}"#));
        let two = format!("{event}{event}");
        assert_eq!(decode(two.as_bytes(), "o").expect("decodes").num_rows(), 2);
    }
    for event in [
        r#"{"detail-type":"EC2 Instance State-change Notification","detail":{"instance-id":"i-1","state":"pending"}}"#,
        r#"{"detail":{"eventVersion":"1.08","eventTime":"x"}}"#,
        r#"{"detail-type":"x","detail":[]}"#,
    ] {
        decode(event.as_bytes(), "o").expect_err(event);
    }
}

/// Half of a surrogate pair in a key: the text of that key is no text, and the record is one all the same.
#[test]
fn the_record_of_an_event_bus_may_have_any_key() {
    let event = r#"{"detail-type":"x","detail":{"\ud800":1,"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z"}}"#;
    let batch = decode(event.as_bytes(), "o").expect("decodes");
    assert_eq!(text(&batch, "event_version", 0).as_deref(), Some("1.08"));
    assert_eq!(text(&batch, "other_fields", 0).as_deref(), Some(r#"{"\ud800":1}"#));
}

#[test]
fn an_insights_event_has_columns_of_its_own() {
    let details = r#"{"state":"Start","eventSource":"ssm.amazonaws.com","eventName":"UpdateInstanceInformation","insightType":"ApiCallRateInsight","insightContext":{"statistics":{"baseline":{"average":9.82222E-5}}}}"#;
    check(
        &format!(
            r#"{{"eventVersion":"1.07","eventType":"AwsCloudTrailInsight","eventCategory":"Insight","sharedEventID":"s","insightDetails":{details}}}"#
        ),
        &[
            ("insight_type", Some("ApiCallRateInsight")),
            ("insight_state", Some("Start")),
            ("insight_event_source", Some("ssm.amazonaws.com")),
            ("insight_event_name", Some("UpdateInstanceInformation")),
            ("insight_error_code", None),
            ("insight_details", Some(details)),
            ("event_name", None),
            ("shared_event_id", Some("s")),
            ("other_fields", None),
        ],
    );
}

#[test]
fn a_digest_is_one_row() {
    let digest = r#"{"awsAccountId":"111122223333","digestStartTime":"2015-08-17T14:01:31Z",
        "digestEndTime":"2015-08-17T15:01:31Z","digestS3Bucket":"bucket",
        "digestS3Object":"pre/AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/17/x.json.gz",
        "digestPublicKeyFingerprint":"31e8","digestSignatureAlgorithm":"SHA256withRSA",
        "newestEventTime":null,"oldestEventTime":null,"previousDigestS3Bucket":null,"new":[1],
        "logFiles":[ {"s3Object":"a"},{} ]}"#;
    let batch = Decoder::new().decode_digest(digest.as_bytes(), "o").expect("decodes");
    assert_eq!(batch.schema(), DIGESTS.schema());
    assert_eq!(batch.num_rows(), 1);
    for (column, expected) in [
        ("account_id", Some("111122223333")),
        ("region", Some("us-east-2")),
        ("public_key_fingerprint", Some("31e8")),
        ("log_files", Some(r#"[ {"s3Object":"a"},{} ]"#)),
        ("null_fields", Some("newestEventTime,oldestEventTime,previousDigestS3Bucket")),
        ("other_fields", Some(r#"{"new":[1]}"#)),
    ] {
        assert_eq!(text(&batch, column, 0).as_deref(), expected, "{column}");
    }
    let count = batch.column_by_name("log_file_count").expect("a column");
    assert_eq!(count.as_primitive::<arrow::datatypes::Int64Type>().value(0), 2);
    let days = batch.column_by_name("event_date").expect("a column");
    assert_eq!(days.as_primitive::<arrow::datatypes::Date32Type>().value(0), 16_664);
    for document in ["[]", "{}", r#"{"Records":[]}"#, "7", r#"{"digestStartTime":1,"digestEndTime":2}{}"#] {
        Decoder::new().decode_digest(document.as_bytes(), "o").expect_err(document);
    }
}

#[test]
fn aggregated_events_are_rows_of_their_own() {
    let [window, summary] = [
        r#"{"windowStart":"2026-03-10T12:05:00Z","windowEnd":"2026-03-10T12:10:00Z","windowSize":"PT5M"}"#,
        r#"{"primaryDimension":{"dimension":"eventName","statistics":[{"name":"GetObject","value":1E3}],"aggregationType":"Count"},"details":[{"dimension":"resourceARN","statistics":[],"aggregationType":"Other"}]}"#,
    ];
    let event = |rest: &str| {
        format!(
            r#"{{"eventVersion":"1.0","accountId":"111122223333","eventId":"e","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","awsRegion":"us-east-1","eventSource":"s3.amazonaws.com","timeWindow":{window},"summary":{summary}{rest}}}"#
        )
    };
    let odd = event(r#","new":[1.0],"accountId":null"#);
    for document in [
        format!("[{},{odd}]", event("")),
        format!(r#"{{"Records":[{},{odd}]}}"#, event("")),
        format!("{}\n{odd}", event("")),
    ] {
        let batch = Decoder::new().decode_aggregated(document.as_bytes(), "o").expect("decodes");
        assert_eq!(batch.schema(), AGGREGATED_EVENTS.schema());
        assert_eq!(batch.num_rows(), 2, "{document}");
        for (column, expected) in [
            ("window_size", Some("PT5M")),
            ("event_source", Some("s3.amazonaws.com")),
            ("account_id", Some("111122223333")),
            ("primary_dimension", Some("eventName")),
            ("aggregation_type", Some("Count")),
            ("event_id", Some("e")),
            ("time_window", Some(window)),
            ("summary", Some(summary)),
            ("other_fields", None),
            ("null_fields", None),
        ] {
            assert_eq!(text(&batch, column, 0).as_deref(), expected, "{column}");
        }
        let others = r#"{"accountId":"111122223333","new":[1.0]}"#;
        assert_eq!(text(&batch, "other_fields", 1).as_deref(), Some(others));
        assert_eq!(text(&batch, "null_fields", 1).as_deref(), Some("accountId"));
        let days = batch.column_by_name("event_date").expect("a column");
        assert_eq!(days.as_primitive::<arrow::datatypes::Date32Type>().value(1), 20_522);
    }
    let mixed = format!(r#"[{},{{"eventTime":"2026-03-10T12:00:00Z"}}]"#, event(""));
    for document in ["7", "{}", r#"{"eventCategory":"Aggregated"}"#, "[7]", "[{]", "[{}]", &mixed] {
        Decoder::new().decode_aggregated(document.as_bytes(), "o").expect_err(document);
    }
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    (0..batch.num_rows()).map(|row| text(batch, column, row).unwrap()).collect()
}

/// Rows of a content larger than a part, and of its records one by one.
fn check_parts(records: &[String], separator: &str) {
    let content = format!("{{\"Records\" : [{}]}}", records.join(separator));
    assert!(content.len() > 3 * SMALL_BYTES);
    let whole = decode(content.as_bytes(), "o").unwrap();
    let one_by_one: Vec<String> = records.iter().map(|record| format!("[{record}]")).collect();
    let single = Decoder::new().decode_each(&CLOUDTRAIL, one_by_one.iter().map(String::as_str), "o").unwrap();
    assert_eq!(whole, single);
}

#[test]
fn parts_of_a_long_list_are_cut_between_records() {
    let plain = |number: usize| {
        format!(
            r#"{{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:{:02}Z","eventID":"{number}","x":"{}"}}"#,
            number % 60,
            "y".repeat(number % 700)
        )
    };
    // What looks like the boundary of two records, inside of one.
    let nested = |number: usize| {
        let inner = r#"{"eventVersion":"1"},{"eventVersion":"2"}"#.repeat(300).replace("}{", "},{");
        format!(r#"{{"eventVersion":"1.08","eventID":"{number}","requestParameters":{{"a":[{inner}]}}}}"#)
    };
    // Records that begin with another field, and one that the fast parser does not take.
    let odd = |number: usize| {
        format!(r#"{{"eventID":"{number}","userAgent":"\ud800","x":[{}1e999]}}"#, "1,".repeat(number % 900))
    };
    check_parts(&(0..6000).map(plain).collect::<Vec<_>>(), ",");
    check_parts(&(0..6000).map(plain).collect::<Vec<_>>(), " ,\n  ");
    check_parts(&(0..400).map(nested).collect::<Vec<_>>(), ",");
    check_parts(&(0..2500).map(odd).collect::<Vec<_>>(), ",");
    let mixed = (0..1500).map(|number| [plain(number), nested(number), odd(number)][number % 3].clone());
    check_parts(&mixed.collect::<Vec<_>>(), ",");
}

#[test]
fn errors_in_a_long_list_name_record_and_byte() {
    let record = |number: usize| format!(r#"{{"eventVersion":"1.08","eventID":"{number:08}"}}"#);
    let records: Vec<String> = (0..40_000).map(record).collect();
    let at = 35_000;
    let start = r#"{"Records":["#.len() + at * (records[0].len() + 1);
    for (broken, expected) in [
        ("7", format!("record is not a JSON object (record {at}, byte {start})")),
        ("", "invalid JSON: ".to_owned()),
        (r#"{"eventVersion":}"#, "invalid JSON: ".to_owned()),
    ] {
        let mut broken_records = records.clone();
        broken_records[at] = broken.to_owned();
        let content = format!(r#"{{"Records":[{}]}}"#, broken_records.join(","));
        let mut decoder = Decoder::new();
        let error = decoder.append(content.as_bytes(), "o").unwrap_err();
        assert!(error.to_string().starts_with(&expected), "{broken}: {error}");
        let offset = error.offset.unwrap();
        assert!((start..start + 40).contains(&offset), "{broken}: {offset} is not near {start}");
        assert_eq!(decoder.take().unwrap().num_rows(), 0, "nothing is left of it");
    }
    for (content, expected) in [
        (format!("[{},]", records.join(",")), "invalid JSON: expected value (record 40000, byte 1800001)"),
        (format!("[{}", records.join(",")), "invalid JSON: "),
        (format!(r#"{{"Records":[{}],"Records":[]}}"#, records.join(",")), "invalid JSON: "),
    ] {
        let error = decode(content.as_bytes(), "o").unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let large = format!(r#"[{},{{"x":"{}"}},{}]"#, records[0], "y".repeat(MAX_RECORD_BYTES), records[1]);
    let error = decode(large.as_bytes(), "o").unwrap_err().to_string();
    assert_eq!(
        error,
        format!("a record of more than 33554432 bytes (record 1, byte {})", records[0].len() + 2)
    );
}

#[test]
fn objects_share_a_batch_and_a_bad_one_leaves_nothing() {
    let record = |name: &str| {
        format!(
            r#"{{"eventTime":"2026-03-10T12:00:00Z","eventName":"{name}","userIdentity":{{"type":"{name}","arn":"a{name}"}}}}"#
        )
    };
    let content =
        |names: &[&str]| format!("[{}]", names.iter().map(|name| record(name)).collect::<Vec<_>>().join(","));
    let mut decoder = Decoder::new();
    assert_eq!(decoder.append(content(&["A", "B"]).as_bytes(), "first").unwrap(), 0..2);
    let bad = format!("{}\n{}\n{{", content(&["C"]), content(&["D"]));
    assert!(decoder.append(bad.as_bytes(), "bad").is_err());
    assert!(decoder.append(b"[{\"eventName\":\"E\"},7]", "bad").is_err());
    assert_eq!(decoder.append(content(&["C", "A", "D"]).as_bytes(), "second").unwrap(), 2..5);
    let batch = fill::unpacked(&CLOUDTRAIL, &decoder.take().unwrap()).unwrap();
    for name in ["event_name", "identity_type"] {
        assert_eq!(texts(&batch, name), ["A", "B", "C", "A", "D"], "{name}");
    }
    assert_eq!(texts(&batch, "actor_arn"), ["aA", "aB", "aC", "aA", "aD"]);
    assert_eq!(texts(&batch, "source_object"), ["first", "first", "second", "second", "second"]);
    let rows = batch.column_by_name("source_row").unwrap().as_primitive::<Int32Type>();
    assert_eq!(rows.values()[..], [0, 1, 0, 1, 2]);
}

/// Reads a content piece by piece, as an inflater with a buffer of this size hands it over.
fn in_pieces(content: &[u8], piece_bytes: usize) -> Result<RecordBatch, Error> {
    let mut decoder = Decoder::new();
    let mut pieces = decoder.begin();
    let (mut start, mut held) = (0, piece_bytes);
    loop {
        let end = content.len().min(start + held);
        let taken = decoder.append_piece(&mut pieces, &content[start..end], end == content.len())?;
        if end == content.len() {
            break;
        }
        start += taken;
        held = if taken == 0 { held * 2 } else { held };
    }
    decoder.end("o");
    fill::unpacked(&CLOUDTRAIL, &decoder.take().unwrap()).map_err(|_| panic!("unpacks"))
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let record = |number: usize| {
        format!(
            r#"{{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventID":"{number}","requestParameters":{{"x":"{}"}}}}"#,
            "[{".repeat(number % 500)
        )
    };
    let records: Vec<String> = (0..4000).map(record).collect();
    for content in [
        format!(r#"{{"Records":[{}]}}"#, records.join(",")),
        format!("\u{feff}{{ \"Records\" : [\n{}\n ] \n}} ", records.join(" ,\n")),
        format!("[{}]", records.join(",")),
        records.join("\n"),
        format!("{}\n", records.join("\r\n")),
        format!("[{}]\n[]{{\"Records\":[{}]}}\n", records[..2500].join(","), records[2500..].join(",")),
        format!(
            "{{\"Records\":[{}]\n}}{}\n[{}]",
            records[..1000].join(","),
            records[1000],
            records[1001..].join(",")
        ),
    ] {
        let whole = decode(content.as_bytes(), "o").unwrap();
        assert_eq!(whole.num_rows(), 4000);
        for piece_bytes in [1000, 70_000, 600_000, 1_500_000, content.len() - 1, content.len(), 10_000_000] {
            assert_eq!(in_pieces(content.as_bytes(), piece_bytes).unwrap(), whole, "{piece_bytes}");
        }
        for cut in [4, content.len() / 2, content.len() - 10] {
            let cut = content.floor_char_boundary(cut);
            if !content.starts_with("{\"event") && !content.contains("[]{") && !content.contains("]\n}") {
                assert!(in_pieces(&content.as_bytes()[..cut], 700_000).is_err(), "cut at {cut}");
            }
        }
    }
    let trailing = format!(r#"{{"Records":[{}],"more":1}}"#, records.join(","));
    assert!(in_pieces(trailing.as_bytes(), 700_000).is_err());
    let broken = format!(r#"{{"Records":[{},7,{}]}}"#, records.join(","), records.join(","));
    let error = in_pieces(broken.as_bytes(), 700_000).unwrap_err().to_string();
    let at = broken.find(",7,").unwrap() + 1;
    assert_eq!(error, format!("record is not a JSON object (record 4000, byte {at})"));
}

/// What was numbered for rows that are gone must not stand for rows that come after.
#[test]
fn a_refused_object_leaves_nothing_to_those_after_it() {
    let record = |name: &str| format!(r#"{{"userIdentity":{{"type":"{name}","arn":"arn {name}"}}}}"#);
    let (a, b) = (record("A"), record("B"));
    let mut decoder = Decoder::new();
    for between in ["", r#"{"eventVersion":"1","eventName":"x"}"#] {
        decoder.append(format!("[{a},{b},7]").as_bytes(), "refused").unwrap_err();
        if !between.is_empty() {
            decoder.append(between.as_bytes(), "without an identity").unwrap();
        }
        let taken = decoder.take().unwrap();
        assert_eq!((taken.num_rows(), decoder.gathered_bytes()), (usize::from(!between.is_empty()), 0));
        decoder.append(format!("[{b},{a}]").as_bytes(), "read").unwrap();
        let batch = unpacked(&CLOUDTRAIL, &decoder.take().unwrap()).unwrap();
        for column in ["actor_arn", "identity_arn"] {
            let found = [text(&batch, column, 0), text(&batch, column, 1)];
            assert_eq!(found, [Some("arn B".to_owned()), Some("arn A".to_owned())], "{column}");
        }
    }
    decoder.decode_digest(br#"{"digestStartTime":"x","digestEndTime":7,"a":"b"} {"#, "digest").unwrap_err();
    let digest = br#"{"digestStartTime":"x","digestEndTime":"2026-03-10T13:00:00Z","digestS3Object":"o"}"#;
    assert_eq!(decoder.decode_digest(digest, "digest").unwrap().num_rows(), 1);
}
