//! Shapes of documents, odd values and errors; equality with a slow reading is tested over files elsewhere.

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;

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
    for document in
        [&br#"{"Records":[{"a":1}"#[..], b"{\"Records\":[{\"a\":\"\xff\"}]}", b"not json", b"{} {}", b"\0"]
    {
        decode(document, "o").expect_err("invalid");
    }
    let deep = "[".repeat(1_000_000);
    decode(deep.as_bytes(), "o").expect_err("too deep");
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
