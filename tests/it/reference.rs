//! Slow, obvious decoders: what every row of a log must be, read with the plainest means.
//!
//! The fast decoders are held against them. They must never share code with them, save the table of columns and the
//! reading of ISO 8601 times, which has a reference of its own in its module's tests.
//!
//! # The rules for CloudTrail
//!
//! A column's value is found at its dotted path; of a repeated key the last one counts, on every level.
//!
//! - `Text` is a JSON string, unescaped; null when a surrogate stands alone in it. `Timestamp` is a JSON string that is
//!   an ISO 8601 time in the years 1700 to 2199, as written and in UTC. `Bool` and `BoolText` are a JSON boolean, or the
//!   JSON string `"true"` or `"false"`. Anything else is null.
//! - `Json` is the source's own text of the value; a JSON null is null.
//! - `null_fields` are the names of top-level fields that have a column and are a JSON null, in source order.
//! - `other_fields` is a JSON object of the top-level fields that are not wholly in a column, in source order, each as
//!   its key and its value in the source's own text: fields that have no column, values that do not fit their
//!   column, times that do but in another form than `YYYY-MM-DDTHH:MM:SSZ`, booleans that do but not in the form of
//!   their kind, and of a repeated key all but the last (of a time or boolean the last one too).
//!   Null when there are none. Fields inside an object that is itself kept as `Json` never go there.
//! - `actor_arn` is the first of these that is there and not empty: the session issuer's ARN, the identity's ARN, its
//!   principal id, its account id, the service that invoked.
//! - `event_date` is the UTC day of `event_time`, null before 2000 and after 2100.
//!
//! # The rules for VPC Flow Logs
//!
//! A mark of the byte order before everything is nothing. A line is fields between runs of blanks (space, tab, carriage
//! return); lines without fields do not count. The first line names the fields, or is a record in the default format. A
//! line equal to the header is not a record; another header, which begins like it or has the name of a field that has a
//! column in its first two words, is an error.
//!
//! - A field that is `-` is null. Of a repeated name the last one counts.
//! - Integers are decimal, as a program would print them, and in the range of their column; `Seconds` are such
//!   integers between the years 1700 and 2199. Anything else is null.
//! - `other_fields` is a JSON object of strings, in the order of the header: fields that have no column, values that
//!   do not fit their column, and of a repeated name all but the last.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use trailhound::decode::columns::{CLOUDTRAIL, Column, Kind, TRANSIT_GATEWAY_FLOW, Table, VPC_FLOW};
use trailhound::decode::time::parse_iso8601;

/// A value of a column; times are microseconds since the epoch, days are days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text and JSON.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// An integer, a time, a day.
    Int(i64),
}

/// The values of one row by column name.
pub type Row = BTreeMap<&'static str, Option<Cell>>;

/// The rows of a CloudTrail log: `{"Records":[...]}`, an array, a record, or any of these one after the other.
pub fn cloudtrail_rows(text: &str, source_object: &str) -> Result<Vec<Row>, String> {
    json_rows(&CLOUDTRAIL, text, source_object)
}

/// The source text of every record of a CloudTrail log.
pub fn cloudtrail_records(text: &str) -> Result<Vec<String>, String> {
    json_records(&CLOUDTRAIL, text)
}

/// The same of any log that is JSON, and the rows of a table that its records are.
pub fn json_rows(table: &Table, text: &str, source_object: &str) -> Result<Vec<Row>, String> {
    let records = json_records(table, text)?;
    records.iter().enumerate().map(|(row, record)| json_row(table, record, source_object, row)).collect()
}

/// The source text of every record.
pub fn json_records(table: &Table, text: &str) -> Result<Vec<String>, String> {
    match document_records(table, text) {
        Ok(records) => Ok(records),
        Err(error) => {
            let documents = serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>();
            let mut records = Vec::new();
            for document in documents {
                records.extend(document_records(table, document.map_err(|_| error.clone())?.get())?);
            }
            Ok(records)
        }
    }
}

fn document_records(table: &Table, text: &str) -> Result<Vec<String>, String> {
    if text.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let root: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let array = if root.get().starts_with('{') {
        let members = members(root.get())?;
        let Some(records) = members.iter().rfind(|member| member.key == "Records") else {
            let detail = if table.name == CLOUDTRAIL.name { detail(root.get())? } else { None };
            return Ok(vec![detail.unwrap_or(root.get()).to_owned()]);
        };
        records.value
    } else {
        root.get()
    };
    let records: Vec<&RawValue> = serde_json::from_str(array).map_err(|error| error.to_string())?;
    if let Some(record) = records.iter().find(|record| !record.get().starts_with('{')) {
        return Err(format!("a record is not an object: {record}"));
    }
    for record in records.iter().filter(|_| table.name == CLOUDTRAIL.name) {
        let members = members(record.get())?;
        let has = |key: &str| members.iter().any(|member| member.key == key);
        let is_other = |member: &Member| {
            let is = |key: &str, first: char| {
                member.as_source().starts_with(&format!("\"{key}\"")) && member.value.starts_with(first)
            };
            let lists = ["Records", "logEvents", "Events", "events"];
            let texts = ["detail-type", "CloudTrailEvent", "_raw", "digestS3Object"];
            let is_any = lists.iter().any(|key| is(key, '[')) || texts.iter().any(|key| is(key, '"'));
            is("timeWindow", '{') || (is_any && !has("eventVersion"))
        };
        if members.iter().any(is_other) && !has("eventTime") && !has("eventName") {
            return Err(format!("something else in the place of a record: {record}"));
        }
    }
    Ok(records.into_iter().map(|record| record.get().to_owned()).collect())
}

/// The record in an EventBridge event.
fn detail(event: &str) -> Result<Option<&str>, String> {
    let members = members(event)?;
    let find = |key: &str| members.iter().find(|member| member.key == key);
    let detail = find("detail").filter(|detail| detail.value.starts_with('{'));
    Ok(detail.filter(|_| find("detail-type").is_some()).map(|detail| detail.value))
}

fn json_row(table: &Table, record: &str, source_object: &str, row: usize) -> Result<Row, String> {
    let mut cells = Row::new();
    let members = members(record)?;
    for column in table.columns.iter().filter(|column| !column.source.is_empty()) {
        let value = at_path(&members, column.source)?;
        cells.insert(column.name, value.and_then(|value| json_cell(column.kind, value)));
    }
    let (mut others, mut nulls) = (Vec::new(), Vec::new());
    for (index, member) in members.iter().enumerate() {
        let repeated = members[index + 1..].iter().any(|later| later.key == member.key);
        let column = table.columns.iter().find(|column| column.source == member.key);
        match column.filter(|column| !repeated && !column.source.contains('.') && !column.source.is_empty()) {
            Some(_) if member.value == "null" => nulls.push(member.key.clone()),
            Some(column)
                if is_wholly_in(column, member.value)
                    && !(matches!(column.kind, Kind::Bool | Kind::BoolText | Kind::Timestamp)
                        && members[..index].iter().any(|m| m.key == member.key)) => {}
            _ => others.push(member.as_source()),
        }
    }
    let actor = [
        "session_issuer_arn",
        "identity_arn",
        "identity_principal_id",
        "on_behalf_of_user_id",
        "identity_account_id",
        "invoked_by",
    ]
    .into_iter()
    .find_map(|name| cells.get(name)?.clone().filter(|cell| *cell != Cell::Text(String::new())));
    let date = cells[table.time_column].clone().and_then(|time| day_of(&time));
    if table.index_of("actor_arn").is_some() {
        cells.insert("actor_arn", actor);
    }
    cells.insert(
        "other_fields",
        (!others.is_empty()).then(|| Cell::Text(format!("{{{}}}", others.join(",")))),
    );
    cells.insert("null_fields", (!nulls.is_empty()).then(|| Cell::Text(nulls.join(","))));
    place(&mut cells, source_object, row, date);
    Ok(cells)
}

/// Whether the record's top-level value can be told from the column's value.
fn is_wholly_in(column: &Column, value: &str) -> bool {
    let text = serde_json::from_str::<String>(value);
    let is_canonical = match column.kind {
        Kind::Bool => text.is_err(),
        Kind::BoolText => text.is_ok(),
        Kind::Timestamp => text.is_ok_and(|text| {
            text.len() == "2026-01-31T12:00:00Z".len() && text.contains('T') && text.ends_with('Z')
        }),
        _ => true,
    };
    is_canonical && json_cell(column.kind, value).is_some()
}

fn json_cell(kind: Kind, value: &str) -> Option<Cell> {
    let string = || serde_json::from_str::<String>(value).ok();
    match kind {
        Kind::Text => string().map(Cell::Text),
        Kind::Json => (value != "null").then(|| Cell::Text(value.to_owned())),
        Kind::Bool | Kind::BoolText => {
            string().as_deref().unwrap_or(value).parse::<bool>().ok().map(Cell::Bool)
        }
        Kind::Timestamp => parse_iso8601(string()?.as_bytes()).map(Cell::Int),
        other => panic!("no rule for {other:?} in JSON"),
    }
}

/// The source text of the value at a dotted path below the members of an object.
fn at_path<'a>(object: &[Member<'a>], path: &str) -> Result<Option<&'a str>, String> {
    let (key, below) = path.split_once('.').unwrap_or((path, ""));
    let value = object.iter().rfind(|member| member.key == key).map(|member| member.value);
    match value {
        Some(value) if below.is_empty() => Ok(Some(value)),
        Some(value) if value.starts_with('{') => at_path(&members(value)?, below),
        _ => Ok(None),
    }
}

/// One field of an object.
pub struct Member<'a> {
    /// Key and value as the source writes them, blanks between them included.
    source: &'a str,
    /// The key, unescaped.
    pub key: String,
    /// The value as the source writes it.
    pub value: &'a str,
}

impl Member<'_> {
    fn as_source(&self) -> String {
        self.source.to_owned()
    }
}

/// The fields of an object in source order, repeated ones too.
pub fn members(object: &str) -> Result<Vec<Member<'_>>, String> {
    let pairs: Pairs<'_> = serde_json::from_str(object).map_err(|error| error.to_string())?;
    let mut members = Vec::new();
    for (key, value) in pairs.0 {
        // A key with a lone surrogate is no text, and no column's.
        let unescaped = serde_json::from_str(key.get()).unwrap_or_else(|_| key.get().to_owned());
        let place = |text: &str| text.as_ptr() as usize - object.as_ptr() as usize;
        let source = &object[place(key.get())..place(value.get()) + value.get().len()];
        members.push(Member { source, key: unescaped, value: value.get() });
    }
    Ok(members)
}

/// The fields of an object in source order, repeated ones too.
struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

const DEFAULT_FORMAT: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                              start end action log-status";

/// Whether a letter separates the fields of a flow log.
pub fn is_blank_of_flows(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r') || !letter.is_ascii() && letter.is_whitespace()
}

/// The rows of a VPC flow log.
pub fn flow_rows(text: &str, source_object: &str) -> Result<Vec<Row>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.split('\n').map(|line| line.split(is_blank_of_flows).filter(|word| !word.is_empty()));
    let mut lines: Vec<Vec<&str>> =
        lines.map(Iterator::collect).filter(|line: &Vec<&str>| !line.is_empty()).collect();
    let ends_like_a_record = |line: &&Vec<&str>| matches!(line.last(), Some(&("OK" | "NODATA" | "SKIPDATA")));
    if lines.first().filter(ends_like_a_record).is_some_and(|line| line.len() == 14) {
        lines.insert(0, DEFAULT_FORMAT.split(' ').collect());
    }
    let Some(header) = lines.first().cloned() else { return Ok(Vec::new()) };
    let table = table_of_names(&header);
    let mut rows = Vec::new();
    for line in lines.iter().filter(|line| **line != header) {
        if is_another_header(&header, line) {
            return Err("another header".to_owned());
        }
        if line.len() != header.len() {
            return Err(format!("{} fields where the header names {}", line.len(), header.len()));
        }
        rows.push(flow_row(table, &header, line, source_object, rows.len()));
    }
    Ok(rows)
}

fn table_of_names(names: &[&str]) -> &'static Table {
    let of_gateway = names.iter().any(|name| {
        *name == "resource-type" || name.starts_with("tgw-") || name.starts_with("packets-lost-")
    });
    if of_gateway { &TRANSIT_GATEWAY_FLOW } else { &VPC_FLOW }
}

fn is_another_header(header: &[&str], words: &[&str]) -> bool {
    let has = |table: &Table, name: &str| table.columns.iter().any(|column| column.source == name);
    let known = words.iter().filter(|name| has(table_of_names(words), name)).count();
    words.iter().all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')))
        && (words[0] == header[0]
            || words[0].as_bytes()[0].is_ascii_lowercase()
                && words.iter().take(2).any(|name| has(&VPC_FLOW, name) || has(&TRANSIT_GATEWAY_FLOW, name)))
        && known * 2 > words.len()
}

fn flow_row(table: &Table, header: &[&str], line: &[&str], source_object: &str, row: usize) -> Row {
    let mut cells = Row::new();
    for column in table.columns.iter().filter(|column| !column.source.is_empty()) {
        let value = header.iter().rposition(|name| *name == column.source).map(|position| line[position]);
        cells.insert(column.name, value.and_then(|value| flow_cell(column.kind, value)));
    }
    let mut others = Vec::new();
    for (position, name) in header.iter().enumerate().filter(|(position, _)| line[*position] != "-") {
        let repeated = header[position + 1..].contains(name);
        let column = table.columns.iter().find(|column| column.source == *name);
        if repeated || column.is_none_or(|column| flow_cell(column.kind, line[position]).is_none()) {
            let (name, value) = (serde_json::Value::from(*name), serde_json::Value::from(line[position]));
            others.push(format!("{name}:{value}"));
        }
    }
    let date = cells["start_time"].clone().and_then(|time| day_of(&time));
    cells.insert(
        "other_fields",
        (!others.is_empty()).then(|| Cell::Text(format!("{{{}}}", others.join(",")))),
    );
    place(&mut cells, source_object, row, date);
    cells
}

fn flow_cell(kind: Kind, value: &str) -> Option<Cell> {
    let integer = || value.parse::<i64>().ok().filter(|number| number.to_string() == value);
    match kind {
        _ if value == "-" => None,
        Kind::Text => Some(Cell::Text(value.to_owned())),
        Kind::Int32 => integer().filter(|number| i32::try_from(*number).is_ok()).map(Cell::Int),
        Kind::Int64 => integer().map(Cell::Int),
        Kind::Seconds => {
            let time = DateTime::from_timestamp(integer()?, 0)?;
            (1700..=2199).contains(&time.year()).then(|| Cell::Int(time.timestamp_micros()))
        }
        other => panic!("no rule for {other:?} in flow logs"),
    }
}

fn day_of(time: &Cell) -> Option<Cell> {
    let Cell::Int(micros) = time else { return None };
    let date = DateTime::from_timestamp_micros(*micros)?.date_naive();
    let days = i64::from(date.num_days_from_ce()) - 719_163;
    (2000..=2100).contains(&date.year()).then_some(Cell::Int(days))
}

fn place(cells: &mut Row, source_object: &str, row: usize, date: Option<Cell>) {
    cells.insert("source_object", Some(Cell::Text(source_object.to_owned())));
    cells.insert("source_row", i64::try_from(row).ok().map(Cell::Int));
    cells.insert("event_date", date);
}

/// Panics unless the batch is in the table's schema and holds exactly these rows; the message begins with `what`.
pub fn assert_rows(table: &Table, batch: &RecordBatch, rows: &[Row], what: &str) {
    assert_eq!(batch.schema(), table.schema(), "{what}");
    assert_eq!(batch.num_rows(), rows.len(), "{what}: rows");
    for (index, expected) in rows.iter().enumerate() {
        for (column, array) in table.columns.iter().zip(batch.columns()) {
            let (cell, expected) = (cell_of(array, index), &expected[column.name]);
            assert!(
                cell == *expected,
                "{what}: row {index}, `{}`:\n  decoded {}\nreference {}",
                column.name,
                from_difference(cell.as_ref(), expected.as_ref()),
                from_difference(expected.as_ref(), cell.as_ref()),
            );
        }
    }
}

/// A cell to look at; of a text its part where it departs from the other cell.
fn from_difference(cell: Option<&Cell>, other: Option<&Cell>) -> String {
    let (Some(Cell::Text(text)), Some(Cell::Text(other))) = (cell, other) else { return format!("{cell:?}") };
    let same = text.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let part: String = text.chars().skip(same.saturating_sub(40)).take(120).collect();
    format!("...{part:?}...")
}

fn cell_of(array: &dyn Array, row: usize) -> Option<Cell> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => Cell::Int(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cell::Int(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        other => panic!("no cell of type {other}"),
    })
}

#[test]
fn a_cloudtrail_record_by_hand() {
    let record = r#"{"userIdentity": {"type": "Root", "arn": "", "principalId": "p\u0061", "sessionContext": 5},
        "eventTime": "2026-03-10T12:01:07.5Z", "eventNam\u0065": "first", "x y": [1.0, {}], "eventName": "last",
        "readOnly": "true", "sessionCredentialFromConsole": "true", "errorCode": null, "new": null, "resources": []}"#;
    let rows = cloudtrail_rows(&format!("[{record}]"), "key").unwrap();
    let expect = [
        ("actor_arn", "pa"),
        ("identity_type", "Root"),
        ("identity_arn", ""),
        ("identity_principal_id", "pa"),
        ("event_name", "last"),
        ("user_identity", r#"{"type": "Root", "arn": "", "principalId": "p\u0061", "sessionContext": 5}"#),
        ("resources", "[]"),
        ("null_fields", "errorCode"),
        (
            "other_fields",
            r#"{"eventTime": "2026-03-10T12:01:07.5Z","eventNam\u0065": "first","x y": [1.0, {}],"readOnly": "true","new": null}"#,
        ),
        ("source_object", "key"),
    ];
    for (name, cell) in &rows[0] {
        let text = expect
            .iter()
            .find(|(expected, _)| expected == name)
            .map(|(_, text)| Cell::Text((*text).to_owned()));
        let expected = match *name {
            "event_time" => Some(Cell::Int(1_773_144_067_500_000)),
            "event_date" => Some(Cell::Int(20_522)),
            "source_row" => Some(Cell::Int(0)),
            "read_only" | "session_credential_from_console" => Some(Cell::Bool(true)),
            _ => text,
        };
        assert_eq!(*cell, expected, "{name}");
    }
    assert_eq!(rows[0].len(), CLOUDTRAIL.columns.len());
}

#[test]
fn cloudtrail_envelopes() {
    let cases = [
        ("", Some(0)),
        (r#"{"Records":[]}"#, Some(0)),
        (r#"{"Records":[{},{"a":1}]}"#, Some(2)),
        ("[{}]", Some(1)),
        (
            r#"{"detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"x","eventTime":"y"}}"#,
            Some(1),
        ),
        ("{\"eventName\":\"x\"}\n{\"eventName\":\"y\"}\n", Some(2)),
        (r#"{"eventName":"x"}{"Records":[{},{}]} [{}]"#, Some(4)),
        (r#"[{"\ud800":1e400,"eventName":"\udc00"}]"#, Some(1)),
        (r#"{"Records":[1]}"#, None),
        ("{\"a\":", None),
    ];
    for (text, records) in cases {
        assert_eq!(cloudtrail_rows(text, "key").ok().map(|rows| rows.len()), records, "{text}");
    }
}
