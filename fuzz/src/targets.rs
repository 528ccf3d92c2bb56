//! What is tried with every input: the fuzzer and the tests of the main crate both run these.
//!
//! Each takes any bytes and panics when something holds no more that always must.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use trailhound::decode::cloudtrail::Decoder;
use trailhound::decode::columns::{AGGREGATED_EVENTS, CLOUDTRAIL, Table};
use trailhound::decode::vpc_flow::{self, Formats};
use trailhound::decode::{Decoded, Error, ErrorKind, envelope, gzip as inflater};
use trailhound::ingest::notification::{self, Notification};
use trailhound::ingest::route::{self, Kind};
use trailhound::query::record;

use crate::reference::{assert_rows, flow_rows, is_blank_of_flows, json_records, json_rows, members};

/// Panics on an input that shows a fault.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("gzip", gzip),
    ("cloudtrail", cloudtrail),
    ("flow_lines", flow_lines),
    ("flow_parquet", flow_parquet),
    ("notifications", notifications),
    ("keys", keys),
];

/// Gzip that was made by anyone is inflated as a plain reader does it, or refused; what we compress comes back whole.
pub fn gzip(data: &[u8]) {
    let limits = inflater::Limits { compressed_bytes: 1 << 20, content_bytes: 1 << 20, members: 64 };
    let inflate = |input: &[u8]| {
        let mut room = b"left over".to_vec();
        inflater::inflate(input, &limits, &mut room).map(<[u8]>::to_vec)
    };
    match (inflate(data), plain_inflate(data, &limits)) {
        (Ok(content), Some(expected)) => assert!(content == expected, "another content"),
        (Err(_), None) => {}
        (Ok(_), None) => panic!("inflated what is none"),
        (Err(error), Some(_)) => panic!("refused: {error}"),
    }
    let Some((choice, content)) = data.split_first() else { return };
    let (first, second) = content.split_at(content.len() * usize::from(*choice) / 256);
    let whole = [compressed(first, *choice), compressed(second, *choice)].concat();
    let padded = [&whole[..], &vec![0; usize::from(*choice % 16)]].concat();
    assert!(inflate(&padded).expect("is whole") == content, "comes back whole");
    // Cut inside the second member, which leaves no whole one at the end.
    let cut = whole.len() - 1 - usize::from(*choice) % (compressed(second, *choice).len() - 1);
    inflate(&whole[..cut]).expect_err("is cut");
}

fn compressed(content: &[u8], choice: u8) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(u32::from(choice % 10)));
    encoder.write_all(content).expect("is written");
    encoder.finish().expect("is finished")
}

/// Member by member until nothing but zeros is left.
fn plain_inflate(mut rest: &[u8], limits: &inflater::Limits) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let mut members = 0;
    let mut first = true;
    while (first && !rest.is_empty()) || rest.iter().any(|byte| *byte != 0) {
        first = false;
        members += 1;
        if members > limits.members || rest.len() < 2 || rest[..2] != [0x1f, 0x8b] {
            return None;
        }
        let mut member = GzDecoder::new(rest);
        let room = u64::try_from(limits.content_bytes + 1).expect("fits");
        (&mut member).take(room).read_to_end(&mut content).ok()?;
        if content.len() > limits.content_bytes {
            return None;
        }
        rest = member.into_inner();
    }
    Some(content)
}

thread_local! {
    /// One for all inputs, as in the program: what one leaves behind must not show in the next.
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

/// CloudTrail logs decode as the plain reference reads them, or are refused for a reason the reference has as well.
pub fn cloudtrail(data: &[u8]) {
    DECODER.with_borrow_mut(|decoder| {
        if let Ok(Some(messages)) = envelope::open(data, &Formats::default())
            && let Ok(Decoded { table, batch }) =
                envelope::decode(&messages, decoder, &Formats::default(), "o")
            && [CLOUDTRAIL.name, AGGREGATED_EVENTS.name].contains(&table.name)
        {
            assert_read(table, Ok(batch), messages.join("\n").as_bytes());
        }
        let _ = decoder.decode_digest(data, "o");
        assert_read(&AGGREGATED_EVENTS, decoder.decode_aggregated(data, "o"), data);
        let outcome = decoder.decode(data, "o");
        after_others(decoder, data, &outcome);
        assert_read(&CLOUDTRAIL, outcome, data);
    });
}

fn assert_read(table: &'static Table, outcome: Result<RecordBatch, Error>, data: &[u8]) {
    let unmarked = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let Ok(text) = std::str::from_utf8(unmarked) else {
        let error = outcome.expect_err("is no text");
        return assert_inside(&error, data);
    };
    match (outcome, json_rows(table, text, "o")) {
        (Ok(batch), Ok(rows)) => {
            assert_rows(table, &batch, &rows, text);
            assert_put_together(table, text, &batch, text);
        }
        (Ok(_), Err(error)) => panic!("the reference refuses what was read: {error}: {text}"),
        (Err(error), rows) => {
            assert_inside(&error, data);
            assert!(rows.is_err() || is_ours_alone(&error), "refused: {error}: {text}");
        }
    }
}

/// Gathered with objects that were read before, taken by now or refused, an object has the rows it has alone.
fn after_others(decoder: &mut Decoder, data: &[u8], alone: &Result<RecordBatch, Error>) {
    let rows = match (decoder.append(data, "o"), alone) {
        (Ok(rows), Ok(_)) => rows,
        (Err(found), Err(alone)) => {
            assert_eq!(found.to_string(), alone.to_string());
            0..0
        }
        (found, alone) => panic!("{found:?} after others, and {alone:?} alone"),
    };
    // Now and then, so that there are others and none, of this batch and of those before.
    if !data.len().is_multiple_of(3) && decoder.gathered_bytes() < 1 << 20 {
        return;
    }
    let batch = decoder.take().expect("fits").slice(rows.start, rows.len());
    let Ok(alone) = alone else { return };
    for (found, expected) in batch.columns().iter().zip(alone.columns()) {
        let found = arrow::compute::cast(found, expected.data_type()).expect("is of the column's type");
        assert_eq!(&found, expected);
    }
}

/// What the decoder refuses and the reference does not.
fn is_ours_alone(error: &Error) -> bool {
    match &error.kind {
        ErrorKind::TooDeep { .. } => true,
        ErrorKind::Shape(what) => [
            "`Records` is ",
            "no `Records`",
            "an aggregated event",
            "no aggregated",
            "an EventBridge event whose `detail` is no",
        ]
        .iter()
        .any(|text| what.starts_with(text)),
        _ => false,
    }
}

fn assert_inside(error: &Error, data: &[u8]) {
    assert!(error.offset.is_none_or(|offset| offset <= data.len()), "{error} in {} bytes", data.len());
}

/// Panics unless the records put together from the rows are those of the source: of every key the same values, in
/// the same order.
pub fn assert_put_together(table: &'static Table, text: &str, batch: &RecordBatch, what: &str) {
    let rebuilt = record::records(table, batch).expect("are rows of the table");
    for (row, source) in json_records(table, text).expect("is read").iter().enumerate() {
        let (found, expected) = (by_key(rebuilt.value(row)), by_key(source));
        assert!(found == expected, "{what}: row {row}\n  rebuilt {found:?}\n   source {expected:?}");
    }
}

/// The values of every key, in order: text unescaped, everything else in the source's own bytes.
fn by_key(object: &str) -> BTreeMap<String, Vec<Result<String, String>>> {
    let mut keys = BTreeMap::new();
    for member in members(object).unwrap_or_else(|error| panic!("{error}: {object}")) {
        let value = serde_json::from_str::<String>(member.value).map_err(|_| member.value.to_owned());
        keys.entry(member.key).or_insert_with(Vec::new).push(value);
    }
    keys
}

/// Flow logs decode as the plain reference reads them, or are refused for a reason the reference has as well.
pub fn flow_lines(data: &[u8]) {
    let outcome = vpc_flow::decode_any(data, "o");
    among_neighbours(data, &outcome);
    without_their_header(data);
    let Ok(text) = std::str::from_utf8(data) else {
        let error = outcome.expect_err("is no text");
        return assert_inside(&error, data);
    };
    match outcome {
        // The reference does not know this format without its header.
        Ok(_) if is_headless_gateway(text) => {}
        Ok(decoded) => {
            let rows = flow_rows(text, "o").unwrap_or_else(|error| panic!("the reference: {error}: {text}"));
            assert_rows(decoded.table, &decoded.batch, &rows, text);
        }
        Err(error) => {
            assert_inside(&error, data);
            let ours = [
                "the first line is neither",
                "what may be a flow log",
                "what may be the header",
                "a second header",
                "a header of",
                "a line longer",
                "the name of field",
            ];
            let is_ours = ours.iter().any(|what| error.to_string().starts_with(what));
            let refused = is_ours || is_headless_gateway(text) || flow_rows(text, "o").is_err();
            assert!(refused, "refused: {error}: {text}");
        }
    }
}

/// Gathered between two other objects, an object has the rows it has alone, and the others keep theirs.
fn among_neighbours(data: &[u8], alone: &Result<Decoded, Error>) {
    const NEIGHBOUR: &[u8] = b"2 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 1 1418530010 1418530070 ACCEPT OK\n";
    let mut gatherer = vpc_flow::Gatherer::default();
    let mut append = |data, name| gatherer.append(data, name).map(|found| found.expect("there is room"));
    let before = append(NEIGHBOUR, "before").expect("is read");
    let found = append(data, "o");
    let after = append(NEIGHBOUR, "after").expect("is read");
    let batches: Vec<Decoded> = gatherer.take().into_iter().map(|batch| batch.expect("fits")).collect();
    let check = |gathered: &vpc_flow::Gathered, alone: &Decoded| {
        if gathered.rows.is_empty() {
            return assert_eq!(alone.batch.num_rows(), 0);
        }
        let Decoded { table, batch } = &batches[gathered.batch];
        assert_eq!(table.name, alone.table.name);
        let rows = batch.slice(gathered.rows.start, gathered.rows.len());
        for (found, expected) in rows.columns().iter().zip(alone.batch.columns()) {
            let found = arrow::compute::cast(found, expected.data_type()).expect("is of the column's type");
            assert_eq!(&found, expected);
        }
    };
    match (&found, alone) {
        (Ok(found), Ok(alone)) => check(found, alone),
        (Err(found), Err(alone)) => assert_eq!(found.to_string(), alone.to_string()),
        _ => panic!("{found:?} among others, and {alone:?} alone"),
    }
    for (gathered, name) in [(before, "before"), (after, "after")] {
        check(&gathered, &vpc_flow::decode_any(NEIGHBOUR, name).expect("is read"));
    }
}

/// Records that fit a format that is known are read as they are with a header of its names before them.
fn without_their_header(data: &[u8]) {
    const FORMAT: &str = "version account-id interface-id dstaddr srcaddr dstport srcport protocol bytes packets end start \
                          action log-status";
    thread_local! {
        static FORMATS: Formats = Formats::parse([FORMAT]).expect("is a format");
    }
    let formats = FORMATS.with(Clone::clone);
    if !formats.know(data) || data.starts_with(b"\xef\xbb\xbf") || data.len() > 1 << 20 {
        return;
    }
    let text = String::from_utf8_lossy(data);
    let mut lines =
        text.split('\n').map(|line| line.split(is_blank_of_flows).filter(|field| !field.is_empty()).count());
    let fields = lines.find(|fields| *fields > 0).unwrap_or_default();
    let time = if fields == FORMAT.split(' ').count() { "" } else { "timestamp " };
    let header = format!("{time}{FORMAT}\n");
    let found = vpc_flow::decode_any_in(&formats, data, "o");
    match (found, vpc_flow::decode_any(&[header.as_bytes(), data].concat(), "o")) {
        (Ok(found), Ok(expected)) => assert_eq!(found.batch, expected.batch),
        // With a header, such a value would be kept beside its column.
        (Err(found), _) if found.to_string().contains(" cannot be `") => assert_inside(&found, data),
        (Err(found), Err(expected)) => {
            let what = found.kind.to_string().replace("the format has", "the header names");
            let place = expected.offset.map(|offset| offset - header.len());
            assert_eq!(
                (what, found.record, found.offset),
                (expected.kind.to_string(), expected.record, place)
            );
        }
        (found, expected) => panic!("{found:?} and with a header {expected:?}"),
    }
}

fn is_headless_gateway(text: &str) -> bool {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let second = lines.find_map(|mut words| words.next().map(|_| words.next()));
    matches!(second.flatten(), Some("TransitGateway" | "TransitGatewayAttachment"))
}

/// Flow logs in Parquet are refused, or read as sound rows of their table; a few bytes never take much memory.
pub fn flow_parquet(data: &[u8]) {
    let Ok(Some(Decoded { table, batch })) = vpc_flow::parquet::decode(data, 1 << 22, "o") else { return };
    assert_eq!(batch.schema(), table.schema());
    for column in batch.columns() {
        column.to_data().validate_full().expect("is sound");
    }
}

/// A message is understood within its limits or refused without being quoted; a key that S3 writes comes back.
pub fn notifications(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match notification::parse(text) {
        Ok(Notification::Objects(objects)) => {
            assert!((1..=notification::MAX_RECORDS).contains(&objects.len()));
            for object in &objects {
                for key in std::iter::once(&object.key).chain(&object.alternative_key) {
                    assert!(is_key(key), "{key:?}");
                }
                let may_be = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
                assert!(object.bucket.len() >= 3 && object.bucket.chars().all(may_be), "{:?}", object.bucket);
            }
        }
        Ok(Notification::Nothing { reason }) => assert!(!reason.contains(char::is_control), "{reason:?}"),
        Ok(Notification::Test) => {}
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
    }
    if is_key(text) {
        let mut written = Vec::new();
        for byte in text.bytes() {
            write!(written, "%{byte:02X}").expect("is written");
        }
        let written = String::from_utf8(written).expect("is ASCII");
        let body = format!(
            r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","eventTime":"2026-03-10T12:00:00.000Z","eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"logs"}},"object":{{"key":"{written}"}}}}}}]}}"#
        );
        match notification::parse(&body) {
            Ok(Notification::Objects(objects)) => assert_eq!(objects[0].key, text),
            other => panic!("{other:?}: {body}"),
        }
    }
}

fn is_key(text: &str) -> bool {
    (1..=notification::MAX_KEY_BYTES).contains(&text.len()) && !text.contains('\0')
}

/// A key says only what is written in it; what surrounds the layout of AWS changes nothing.
pub fn keys(data: &[u8]) {
    for kind in [
        Kind::Unknown,
        Kind::CloudTrail,
        Kind::Digest,
        Kind::Aggregated,
        Kind::VpcFlow,
        Kind::Unsupported("waf"),
    ] {
        let found = route::by_content(kind.clone(), data, &Formats::default());
        assert!(!matches!(kind, Kind::Unsupported(_)) || found == kind);
    }
    let text = String::from_utf8_lossy(data);
    let route = route::by_key(&text);
    if let Some(account) = &route.account_id {
        assert!(account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()), "{account}");
    }
    for said in route.account_id.iter().chain(&route.region) {
        assert!(text.contains(said.as_str()), "{said}");
    }
    // Files by which AWS tries whether it may write are told by their names alone.
    let is_test = |route: &route::Route| route.kind == Kind::Unsupported("delivery_test");
    if !is_test(&route) && (route.kind != Kind::Unknown || route.date.is_some() || route.region.is_some()) {
        assert!(text.contains("AWSLogs"), "{text}");
    }
    let (prefix, name) = text.rsplit_once('/').unwrap_or(("", &text));
    for (service, kind) in [("CloudTrail", Kind::CloudTrail), ("vpcflowlogs", Kind::VpcFlow)] {
        if name == "AWSLogs" || is_test(&route) {
            continue;
        }
        let key = format!("{prefix}/AWSLogs/o-x/111122223333/{service}/us-east-1/2026/03/10/{name}");
        let route = route::by_key(&key);
        assert_eq!(route.kind, kind, "{key}");
        assert_eq!(route.account_id.as_deref(), Some("111122223333"), "{key}");
        assert_eq!(route.date.map(|day| day.to_string()).as_deref(), Some("2026-03-10"), "{key}");
    }
}
