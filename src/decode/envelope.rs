//! Envelopes of records: `CloudWatch` Logs, the answers of `LookupEvents`, what flow logs are sent to Firehose in, and
//! lists of `EventBridge` events.
//!
//! A `CloudWatch` Logs subscription delivers documents of `{"messageType":"DATA_MESSAGE","logEvents":[{"message":
//! "..."}]}`, often several in one object with nothing between them; `FilterLogEvents` and `GetLogEvents` answer
//! `{"events":[{"message":"..."}]}`, and an export of a log group to S3 has lines of a time and the message.
//! `LookupEvents` answers `{"Events":[{"CloudTrailEvent":"..."}]}`, from which others take the texts alone; flow logs that
//! are sent to Firehose come as `{"message":"..."}`. What is in the text is a record, and its own bytes are what counts:
//! the envelope says nothing about the event that the record does not. Exported lines of flow logs are not for here:
//! there the time is a field more.
//!
//! Must never open part of an object: every message in it comes out, in order, or there is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::cloudtrail::Decoder;
use super::columns::CLOUDTRAIL;
use super::{Decoded, Error, ErrorKind, check_offsets, time, vpc_flow, without_mark};

/// More messages than this in one object are refused: no envelope comes near.
const MAX_MESSAGES: usize = 20_000_000;

/// An envelope, or the text of a record by itself.
enum Item<'a> {
    Text(Cow<'a, str>),
    Document(Document<'a>),
}

/// Any of the envelopes, by the fields that tell them apart.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "messageType")]
    message_type: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "logEvents")]
    log_events: Option<Vec<LogEvent<'a>>>,
    #[serde(borrow, rename = "events")]
    found_events: Option<Vec<LogEvent<'a>>>,
    #[serde(borrow, rename = "Events")]
    events: Option<Vec<LookedUp<'a>>>,
    #[serde(borrow, rename = "CloudTrailEvent")]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LogEvent<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct LookedUp<'a> {
    #[serde(borrow, rename = "CloudTrailEvent")]
    event: Cow<'a, str>,
}

/// Whether the content has the words of an envelope: it may still be something else.
pub fn may_be(text: &[u8]) -> bool {
    let start = without_mark(text).1.trim_ascii_start();
    if begins_with_record(start) {
        return true;
    }
    let Some(inside) = start.strip_prefix(b"{").or_else(|| start.strip_prefix(b"[")) else { return false };
    let inside = inside.trim_ascii_start();
    if inside.starts_with(b"\"Records\"") {
        return false;
    }
    if [&b"\"message\""[..], b"\"Events\"", b"\"events\""].iter().any(|first| inside.starts_with(first)) {
        return true;
    }
    let has = |key: &[u8]| memchr::memmem::find(start, key).is_some();
    has(b"\"CloudTrailEvent\"")
        || (has(b"\"messageType\"") && has(b"\"logEvents\""))
        || (has(b"\"events\"") && has(b"\"ingestionTime\""))
}

/// Whether the content begins with what holds one record and reads like the record itself: a line of an exported log
/// group, the text of a record in quotes, or an `EventBridge` event in a list.
pub fn begins_with_record(text: &[u8]) -> bool {
    let start = without_mark(text).1.trim_ascii_start();
    let Some(inside) = start.strip_prefix(b"[") else {
        return start.starts_with(b"\"{") || exported(start).is_some();
    };
    let first = &inside[..inside.len().min(HEAD_BYTES)];
    let has = |key: &[u8]| memchr::memmem::find(first, key).is_some();
    inside.trim_ascii_start().starts_with(b"\"{") || (has(b"\"detail-type\"") && has(b"\"detail\""))
}

/// In so many bytes, a list has begun with an `EventBridge` event if it does: `detail` comes after ten short fields.
const HEAD_BYTES: usize = 4096;

/// What follows the time in a line of an export of a log group, if that is JSON.
fn exported(line: &[u8]) -> Option<&[u8]> {
    let space = memchr::memchr(b' ', &line[..line.len().min(MAX_TIME_BYTES)])?;
    let message = line[space..].trim_ascii_start();
    (message.starts_with(b"{") && time::parse_iso8601(&line[..space]).is_some()).then_some(message)
}

/// `2026-01-31T12:00:00.000Z` and the blank after it.
const MAX_TIME_BYTES: usize = 25;

/// The messages of an object's content, unescaped, in order; none when it is no envelope.
pub fn open(text: &[u8]) -> Result<Option<Vec<Cow<'_, str>>>, Error> {
    if !may_be(text) {
        return Ok(None);
    }
    check_offsets(text.len())?;
    let (mark, text) = without_mark(text);
    open_unmarked(text).map_err(|error| error.shifted(mark))
}

fn open_unmarked(text: &[u8]) -> Result<Option<Vec<Cow<'_, str>>>, Error> {
    let text = std::str::from_utf8(text).map_err(|error| ErrorKind::Utf8.at(None, error.valid_up_to()))?;
    if exported(text.trim_ascii_start().as_bytes()).is_some() {
        return open_exported(text).map(Some);
    }
    if let Ok(List(messages)) = serde_json::from_str(text) {
        return Ok(Some(messages));
    }
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Item<'_>>();
    let mut messages = Vec::new();
    let mut opened = 0;
    while let Some(item) = documents.next() {
        let item = match item {
            Ok(item) => item,
            // What is wrong with other content is for its own decoder to say.
            Err(_) if opened == 0 => return Ok(None),
            Err(error) => {
                return Err(ErrorKind::Json(error.to_string()).at(None, documents.byte_offset()));
            }
        };
        if !item.unpack(&mut messages) {
            if opened == 0 {
                return Ok(None);
            }
            let what = "an envelope is followed by something else".to_owned();
            return Err(ErrorKind::Shape(what).at(None, documents.byte_offset()));
        }
        opened += 1;
        if messages.len() > MAX_MESSAGES {
            let what = format!("more than {MAX_MESSAGES} messages");
            return Err(ErrorKind::Shape(what).at(None, documents.byte_offset()));
        }
    }
    Ok(Some(messages))
}

/// The messages of the lines of an exported log group.
fn open_exported(text: &str) -> Result<Vec<Cow<'_, str>>, Error> {
    let (mut messages, mut offset) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        if !line.trim_ascii().is_empty() {
            let Some(message) = exported(line.trim_ascii_start().as_bytes()) else {
                let what = "no line of an exported log group: a time, a blank and a JSON object".to_owned();
                return Err(ErrorKind::Shape(what).at(Some(messages.len()), offset));
            };
            messages.push(Cow::Borrowed(&line[line.len() - message.len()..]));
        }
        offset += line.len();
        if messages.len() > MAX_MESSAGES {
            return Err(ErrorKind::Shape(format!("more than {MAX_MESSAGES} messages")).at(None, offset));
        }
    }
    Ok(messages)
}

/// Decodes messages: each a CloudTrail document, or each a line of VPC flow logs.
///
/// Errors name the message as the record, of flow logs the line that is not blank; a byte offset would be one inside the message, so there is none.
pub fn decode(
    messages: &[Cow<'_, str>],
    decoder: &mut Decoder,
    source_object: &str,
) -> Result<Decoded, Error> {
    let refused = |what: &str, record| {
        Err(Error { kind: ErrorKind::Shape(what.to_owned()), record: Some(record), offset: None })
    };
    let first = messages.iter().find(|message| !message.trim_ascii_start().is_empty());
    let looks_like_flows = |message: &str| vpc_flow::looks_like(message.as_bytes()).is_some();
    if first.is_none_or(|message| is_json(message)) {
        let is_other = |message: &Cow<'_, str>| !is_json(message) && looks_like_flows(message);
        if let Some(other) = messages.iter().position(is_other) {
            return refused(OF_TWO_KINDS, other);
        }
        let batch = decoder.decode_each(messages.iter().map(AsRef::as_ref), source_object)?;
        return Ok(Decoded { table: &CLOUDTRAIL, batch });
    }
    if !first.is_some_and(|message| looks_like_flows(message)) {
        let what = "the messages are neither CloudTrail records nor flow log records in a default format";
        return refused(what, 0);
    }
    if let Some(other) = messages.iter().position(|message| is_json(message)) {
        return refused(OF_TWO_KINDS, other);
    }
    let lines = messages.join("\n");
    vpc_flow::decode_any(lines.as_bytes(), source_object).map_err(|error| Error { offset: None, ..error })
}

const OF_TWO_KINDS: &str = "the object holds messages of different kinds, CloudTrail records and flow logs";

fn is_json(message: &str) -> bool {
    message.trim_ascii_start().starts_with('{')
}

/// The messages of a list of documents, each of which is unpacked as it is read.
struct List<'a>(Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of envelopes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<'de>, A::Error> {
                let mut messages = Vec::new();
                while let Some(item) = items.next_element::<Item<'de>>()? {
                    if !item.unpack(&mut messages) || messages.len() > MAX_MESSAGES {
                        return Err(A::Error::custom("not a list of envelopes, or too long a one"));
                    }
                }
                Ok(List(messages))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrMap;

        impl<'de> Visitor<'de> for TextOrMap {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope, or the text of a record")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Item<'de>, E> {
                Ok(Item::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Item<'de>, E> {
                Ok(Item::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item<'de>, A::Error> {
                Document::deserialize(MapAccessDeserializer::new(map)).map(Item::Document)
            }
        }

        deserializer.deserialize_any(TextOrMap)
    }
}

impl<'a> Item<'a> {
    /// Adds its messages; false when it is no envelope.
    fn unpack(self, messages: &mut Vec<Cow<'a, str>>) -> bool {
        let document = match self {
            Item::Document(document) => document,
            Item::Text(text) => {
                let is_record = is_json(&text);
                messages.extend(is_record.then_some(text));
                return is_record;
            }
        };
        let Document { message_type, log_events, found_events, events, event, message, .. } = document;
        let detail = document.detail_type.and(document.detail).filter(|detail| is_json(detail.get()));
        match (message_type.as_deref(), log_events, found_events, events, event, message, detail) {
            // Sent to see whether the destination is there: holds a message that is no record.
            (Some("CONTROL_MESSAGE"), _, None, None, None, None, None) => {}
            (Some("DATA_MESSAGE"), Some(events), None, None, None, None, None)
            | (None, None, Some(events), None, None, None, None) => {
                messages.extend(events.into_iter().map(|event| event.message));
            }
            (None, None, None, Some(events), None, None, None) => {
                messages.extend(events.into_iter().map(|looked| looked.event));
            }
            (None, None, None, None, Some(event), None, None) => messages.push(event),
            (None, None, None, None, None, Some(message), None) => messages.push(message),
            (None, None, None, None, None, None, Some(detail)) => messages.push(Cow::Borrowed(detail.get())),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[&str]>) {
        let found = open(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = found.map(|messages| messages.iter().map(ToString::to_string).collect::<Vec<_>>());
        let expected = expected.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn messages_come_out_unescaped_and_in_order() {
        let data = |messages: &str| {
            format!(r#"{{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{messages}]}}"#)
        };
        let control = r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination"}]}"#;
        let one = data(r#"{"id":"1","timestamp":1e400,"message":"{\"a\":\"\\u00e9\\n\\ud800\"}"}"#);
        let two = data(r#"{"message":"x"},{"message":"y"}"#);
        check(&one, Some(&[r#"{"a":"\u00e9\n\ud800"}"#]));
        check(
            &format!("{one}{two}\n{control}{one}"),
            Some(&[r#"{"a":"\u00e9\n\ud800"}"#, "x", "y", r#"{"a":"\u00e9\n\ud800"}"#]),
        );
        check(control, Some(&[]));
        check(&data(""), Some(&[]));
        check(r#"{"Events":[{"EventId":"1","CloudTrailEvent":"{}"}],"NextToken":"x"}"#, Some(&["{}"]));
        check(
            "{\"EventId\":\"1\",\"CloudTrailEvent\":\"{}\"}\n{\"CloudTrailEvent\":\"[]\"}",
            Some(&["{}", "[]"]),
        );
        check(r#"[{"CloudTrailEvent":"{}"},{"CloudTrailEvent":"[]"}]"#, Some(&["{}", "[]"]));
        check(r#"[{"Events":[{"CloudTrailEvent":"{}"}]},{"Events":[]}]"#, Some(&["{}"]));
        check(r#"{"Events":[]}"#, Some(&[]));
        check(r#"{ "Events" : [] , "NextToken" : "x" }"#, Some(&[]));
        check(
            r#"{"events":[{"logStreamName":"s","message":"{}","ingestionTime":1}],"nextToken":"x"}"#,
            Some(&["{}"]),
        );
        check(
            r#"[{"searchedLogStreams":[],"events":[{"message":"x","ingestionTime":1}]},{"events":[]}]"#,
            Some(&["x"]),
        );
        check(
            r#"[{"detail-type":"AWS API Call via CloudTrail","detail":{"a": 1.0}}]"#,
            Some(&[r#"{"a": 1.0}"#]),
        );
        check("\"{\\\"a\\\":1}\"\n\"{}\"", Some(&[r#"{"a":1}"#, "{}"]));
        check(r#"["{\"a\":1}"]"#, Some(&[r#"{"a":1}"#]));
        check(
            "\n2026-03-10T12:00:00.000Z {\"a\":\"b c\"}\r\n\n2026-03-10T12:00:01Z  {}",
            Some(&["{\"a\":\"b c\"}\r\n", "{}"]),
        );
        check("{\"message\":\"2 1 eni-1\"}{\"message\":\"x\"}\n", Some(&["2 1 eni-1", "x"]));
    }

    #[test]
    fn records_that_speak_of_envelopes_are_none() {
        for text in [
            "",
            "{}",
            r#"{"Records":[{"messageType":"DATA_MESSAGE","logEvents":[]}]}"#,
            r#"{"eventName":"PutLogEvents","requestParameters":{"messageType":"DATA_MESSAGE","logEvents":[]}}"#,
            r#"{"eventName":"x","requestParameters":{"CloudTrailEvent":"{}"}}"#,
            r#"{"CloudTrailEvent":7}"#,
            r#"{"message":7}"#,
            r#"{"message":{"a":"b"},"Events":[]}"#,
            r#"[{"CloudTrailEvent":"{}"},{}]"#,
            r#"{"events":[7]}"#,
            r#"{"events":[],"eventVersion":"1.08","message":"x"}"#,
            r#"[{"detail-type":"x","detail":[]}]"#,
            r#"[{"eventVersion":"1.08","requestParameters":{"detail-type":"x","detail":{}}}]"#,
            r#""a","b""#,
            r#"["a"]"#,
            "2026-03-10T12:00:00.000Z 2 123456789010 eni-1",
            "2026-03-10 {}",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn what_is_only_half_an_envelope_is_an_error() {
        let data = r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":"x"}]}"#;
        for text in [format!("{data}{{}}"), format!("{data}{{"), format!("{data} 7")] {
            open(text.as_bytes()).expect_err(&text);
        }
        for text in ["2026-03-10T12:00:00.000Z {}\nx", "\"{}\" \"x\"", "\"{}\",\"{}\""] {
            open(text.as_bytes()).expect_err(text);
        }
        let lone = r#"{"CloudTrailEvent":"{}"}{"CloudTrailEvent":"\ud800"}"#;
        open(lone.as_bytes()).expect_err("a lone surrogate outside the record cannot be unescaped");
    }

    #[test]
    fn messages_are_records_or_flows() {
        let record = r#"{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","requestParameters":{"a": "\ud800"}}"#;
        let flow =
            "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";
        let mut decoder = Decoder::new();
        let mut outcome = |messages: &[&str]| {
            let messages: Vec<Cow<'_, str>> = messages.iter().map(|text| Cow::Borrowed(*text)).collect();
            decode(&messages, &mut decoder, "o").map(|found| (found.table.name, found.batch.num_rows()))
        };
        for (messages, expected) in [
            (&[][..], ("cloudtrail", 0)),
            (&[record, "", record], ("cloudtrail", 2)),
            (&[flow, flow], ("vpc_flow", 2)),
            (&["\n", flow], ("vpc_flow", 1)),
        ] {
            assert_eq!(outcome(messages).expect("decodes"), expected, "{messages:?}");
        }
        for (messages, expected) in [
            (&[record, "START RequestId"][..], "invalid JSON: "),
            (&[record, "{\"status\":\"info\"}"], "no `Records` among the keys `status` (record 1)"),
            (
                &["START RequestId"],
                "the messages are neither CloudTrail records nor flow log records in a default format (record 0)",
            ),
            (&[flow, "2 1"], "2 fields where the header names 14 (record 1)"),
            (&["START RequestId", record], "the messages are neither"),
            (
                &[record, flow],
                "the object holds messages of different kinds, CloudTrail records and flow logs (record 1)",
            ),
            (
                &["", flow, record],
                "the object holds messages of different kinds, CloudTrail records and flow logs (record 2)",
            ),
            // Cut in two, a record is none.
            (&[&record[..20], &record[20..]], "invalid JSON: "),
        ] {
            let error = outcome(messages).expect_err(expected).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
