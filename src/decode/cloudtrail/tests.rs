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
