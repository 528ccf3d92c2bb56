//! The CloudTrail decoder against the slow one in `reference`.
#![allow(clippy::print_stdout, reason = "a run says what it compared and what it skipped")]

use std::path::Path;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::value::RawValue;
use trailhound::decode::cloudtrail;
use trailhound::decode::columns::CLOUDTRAIL;

use crate::fuzz::targets::assert_put_together;
use crate::reference::{assert_rows, cloudtrail_records, cloudtrail_rows};
use crate::samples;

/// Decodes both ways and compares every cell; returns the number of rows.
fn compare(text: &str, what: &str) -> usize {
    let rows = cloudtrail_rows(text, "a/key").unwrap_or_else(|error| panic!("{what}: reference: {error}"));
    let batch =
        cloudtrail::decode(text.as_bytes(), "a/key").unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_rows(&CLOUDTRAIL, &batch, &rows, what);
    assert_put_together(&CLOUDTRAIL, text, &batch, what);
    rows.len()
}

/// Compares records as one log file.
fn compare_records(records: &[String], what: &str) -> usize {
    compare(&format!("{{\"Records\":[{}]}}", records.join(",\n")), what)
}

/// Compares every file under a path; what the reference cannot read has to be refused, and is named.
fn compare_files(path: &Path) -> usize {
    let (mut rows, mut files) = (0, 0);
    for file in samples::files_under(path) {
        let (text, name) = (samples::read_text(&file), samples::name(&file));
        match cloudtrail_records(&text) {
            Ok(_) => rows += compare(&text, &name),
            Err(error) => {
                assert!(cloudtrail::decode(text.as_bytes(), "a/key").is_err(), "{name}");
                println!("skipped {name}: {error}");
            }
        }
        files += 1;
    }
    println!("{}: {files} files, {rows} rows compared", path.display());
    rows
}

#[test]
fn project_samples_agree() {
    assert!(compare_files(&samples::testdata("cloudtrail")) >= 17);
}

#[test]
fn real_files_agree() {
    match samples::real("cloudtrail") {
        Some(folder) => assert!(compare_files(&folder) > 3000),
        None => println!("skipped: no real CloudTrail files here"),
    }
}

#[test]
fn real_envelopes_agree() {
    match samples::real("wrappers/eventbridge") {
        Some(folder) => assert!(compare_files(&folder) >= 20),
        None => println!("skipped: no real envelopes here"),
    }
}

/// A line of the collections of events: one event, or several, beside what is known of them.
#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Option<Vec<&'a RawValue>>,
}

#[test]
fn real_events_agree() {
    let collections = ["attacks/stratus", "attacks/traildiscover.ndjson.gz", "oddities.ndjson", "labelled"];
    let mut rows = 0;
    for collection in collections {
        let Some(path) = samples::real(collection) else {
            println!("skipped {collection}: not here");
            continue;
        };
        for file in samples::files_under(&path).iter().filter(|file| samples::name(file).contains(".ndjson"))
        {
            rows += compare_events(&samples::read_text(file), &samples::name(file));
        }
    }
    println!("{rows} rows compared");
}

/// Compares the events of one collection, as one log and each alone.
fn compare_events(lines: &str, name: &str) -> usize {
    let mut records = Vec::new();
    let mut skipped = 0;
    for line in lines.lines() {
        let line: Line<'_> = serde_json::from_str(line).expect("collections are one JSON object a line");
        for event in line.event.iter().chain(line.events.iter().flatten()) {
            if event.get().starts_with('{') { records.push(event.get().to_owned()) } else { skipped += 1 }
        }
    }
    for (index, record) in records.iter().enumerate() {
        compare_records(std::slice::from_ref(record), &format!("{name}, event {index}"));
    }
    println!("{name}: {} events, {skipped} skipped: not objects", records.len());
    compare_records(&records, name)
}

/// Where real records disagree on the type of a value.
#[derive(serde::Deserialize)]
struct Conflict {
    path: String,
    types: serde_json::Map<String, serde_json::Value>,
}

/// The file has no records, only paths and types: a record is made for each type of each path.
#[test]
fn type_conflicts_agree() {
    let Some(file) = samples::real("type_conflicts.ndjson") else {
        println!("skipped: no list of type conflicts here");
        return;
    };
    let mut records = Vec::new();
    for line in samples::read_text(&file).lines() {
        let conflict: Conflict = serde_json::from_str(line).unwrap();
        for name in conflict.types.keys() {
            let value = match name.as_str() {
                "string" => "\"true\"",
                "bool" => "true",
                "int" => "7",
                "float" => "7.50",
                "array" => "[\"x\", null]",
                "object" => "{ \"x\": [] }",
                _ => "null",
            };
            let parts: Vec<String> =
                conflict.path.split('.').map(|part| serde_json::json!(part).to_string()).collect();
            let record = parts.iter().rfold(value.to_owned(), |inner, part| format!("{{{part}: {inner}}}"));
            records.push(record);
        }
    }
    println!("{} rows compared", compare_records(&records, "type conflicts"));
    assert!(records.len() > 100, "{}", records.len());
}

/// Strings as a source may write them.
const STRINGS: [&str; 29] = [
    r#""""#,
    r#""true""#,
    r#""false""#,
    r#""True""#,
    r#""2026-03-10T12:01:07Z""#,
    r#""2026-03-10T12:01:07.125Z""#,
    r#""20260310T120107Z""#,
    r#""2026-03-10T14:01:07+02:00""#,
    r#""2026-02-30T12:01:07Z""#,
    r#""0001-01-01T00:00:00Z""#,
    r#""1700-01-01T00:00:00Z""#,
    r#""2199-12-31T23:59:59Z""#,
    r#""2200-01-01T00:00:00Z""#,
    r#""2026-03-10T12:01:07\u005a""#,
    r#""AssumedRole""#,
    r#""arn:aws:iam::111122223333:role\/Deploy""#,
    r#""a \"quoted\" \\ backslash \/ slash \b\f\n\r\t""#,
    r#""\u65e5\u672c 日本 \ud83d\ude80 🚀 é""#,
    r#""{\"json\": [1, 2]}""#,
    r#""],}:[,{""#,
    r#""\\""#,
    r#""\\\\\"""#,
    r#""\ud800""#,
    r#""a\ud83d\ud83d\ude80\udc00 \\ud800""#,
    r#""\u0000\u001b[31m""#,
    r#""null""#,
    r#""\u0022}""#,
    "\"\u{7f}\u{a0}\u{2028}\"",
    r#""a string of more than sixty-four bytes, so that it spans two of the blocks that are read at once""#,
];

const SCALARS: [&str; 24] = [
    "null",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "7",
    "1.0",
    "0.5e-7",
    "1E5",
    "1e+2",
    "-12.250",
    "2147483648",
    "1152921504606846976",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "0.1000000000000000055511151231257827",
    "5e-324",
    "1e400",
    "-123.5E+0999",
    "123456789012345678901234567890123456789012345678901234567890",
    "1e-99999",
];

/// Keys as a source may write them, besides those of the columns.
const KEYS: [&str; 17] = [
    r#""unknown""#,
    r#""un\u006bnown""#,
    r#""event\u004eame""#,
    r#""userIdentity.type""#,
    r#""""#,
    r#"".""#,
    r#""eventname""#,
    r#""x,y""#,
    r#""clé 日本""#,
    r#""\"quoted\"""#,
    r#""\\""#,
    r#""k\udfff""#,
    r#""insightDetails""#,
    r#""Records""#,
    r#""sessionContext""#,
    r#""arn""#,
    r#""a_key_of_more_than_forty_bytes_that_no_field_will_ever_have""#,
];

/// Writes random JSON: its seed is all that tells one text from another.
struct Writer {
    random: StdRng,
    /// Blanks between the parts, as printed for people; else none.
    spaced: bool,
}

impl Writer {
    fn pick(&mut self, choices: &[&str]) -> String {
        (*choices.choose(&mut self.random).expect("there are choices")).to_owned()
    }

    fn blank(&mut self) -> String {
        if self.spaced { self.pick(&["", " ", " ", "\n  ", "\t", " \r\n "]) } else { String::new() }
    }

    fn value(&mut self, depth: usize) -> String {
        match self.random.random_range(0..10) {
            0..=3 => self.pick(&STRINGS),
            4..=6 => self.pick(&SCALARS),
            _ if depth == 0 => self.pick(&["{}", "[]", "[ ]", "{\n}"]),
            7 => {
                let count = self.random.random_range(0..4);
                let items: Vec<String> = (0..count).map(|_| self.padded(depth - 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => {
                let count = self.random.random_range(0..4);
                let members = (0..count).map(|_| (self.pick(&KEYS), self.value(depth - 1))).collect();
                self.object(members)
            }
        }
    }

    fn padded(&mut self, depth: usize) -> String {
        format!("{}{}{}", self.blank(), self.value(depth), self.blank())
    }

    fn object(&mut self, members: Vec<(String, String)>) -> String {
        let mut parts = Vec::new();
        for (key, value) in members {
            let blanks = [self.blank(), self.blank(), self.blank(), self.blank()];
            parts.push(format!("{}{key}{}:{}{value}{}", blanks[0], blanks[1], blanks[2], blanks[3]));
        }
        format!("{{{}}}", parts.join(","))
    }

    /// A value for the columns at and below a path: mostly an object of their keys when there are some below.
    fn at_path(&mut self, path: &str) -> String {
        let prefix = format!("{path}.");
        let below: Vec<&str> =
            CLOUDTRAIL.columns.iter().filter_map(|c| c.source.strip_prefix(&prefix)).collect();
        if below.is_empty() || self.random.random_bool(0.1) {
            return if self.random.random_bool(0.6) { self.pick(&STRINGS) } else { self.value(3) };
        }
        self.object_of(&below, path)
    }

    /// An object with some of the keys, some unknown ones, and now and then a key twice.
    fn object_of(&mut self, known: &[&str], path: &str) -> String {
        let mut members = Vec::new();
        for _ in 0..self.random.random_range(0..known.len() * 2) {
            let key = self.pick(known).split('.').next().unwrap_or_default().to_owned();
            let repeats = members.iter().any(|(earlier, _)| *earlier == format!("\"{key}\""));
            if repeats && self.random.random_bool(0.9) {
                continue;
            }
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let value = self.at_path(&inner);
            members.push((format!("\"{key}\""), value));
        }
        for _ in 0..self.random.random_range(0..4) {
            let at = self.random.random_range(0..=members.len());
            let member = (self.pick(&KEYS), self.value(3));
            members.insert(at, member);
        }
        self.object(members)
    }

    fn log(&mut self) -> String {
        let known: Vec<&str> =
            CLOUDTRAIL.columns.iter().map(|c| c.source).filter(|source| !source.is_empty()).collect();
        let records: Vec<String> =
            (0..self.random.random_range(0..12)).map(|_| self.object_of(&known, "")).collect();
        let blanks = [self.blank(), self.blank()];
        let array = format!("{}[{}{}]", blanks[0], records.join(","), blanks[1]);
        let around = |key: &str| format!("{{{key}\"Records\":{array}}}");
        match self.random.random_range(0..5) {
            0 => array.clone(),
            1 => around("\"a\":{\"b\":[[],{}]},"),
            2 => format!("{}{}{}", around(""), self.blank(), array),
            _ => around(""),
        }
    }
}

#[test]
fn random_logs_agree() {
    let (mut rows, mut refused) = (0, 0);
    for seed in 0..600 {
        let random = StdRng::seed_from_u64(seed);
        let text = Writer { random, spaced: seed % 2 == 0 }.log();
        if let Err(error) = cloudtrail_records(&text) {
            // Now and then a record is one of a list of records and nothing of an event.
            assert!(error.starts_with("something else in the place of a record"), "seed {seed}: {error}");
            cloudtrail::decode(text.as_bytes(), "a/key").expect_err(&error);
            refused += 1;
        } else {
            rows += compare(&text, &format!("seed {seed}"));
        }
    }
    println!("{rows} rows compared, {refused} logs refused");
    assert!(rows > 2500 && (1..20).contains(&refused), "{rows}, {refused}");
}

/// A log cut or damaged at any byte: what the reference refuses is refused, and what it reads is read alike.
#[test]
fn damaged_logs_agree() {
    let whole = samples::read_text(&samples::testdata("cloudtrail").join("varied.json"));
    let records = cloudtrail_records(&whole).unwrap();
    let text = format!("{{\"Records\":[{},{}]}}", records[1], records[9]);
    let mut readable = 0;
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        let cut = text[..at].to_owned();
        let mut replaced = text.clone().into_bytes();
        replaced[at] = [b'"', b'x', b'}', b' ', b'7', b',', b'\\'][at % 7];
        for damaged in std::iter::once(cut).chain(String::from_utf8(replaced)) {
            let decoded = cloudtrail::decode(damaged.as_bytes(), "a/key");
            match (decoded, cloudtrail_rows(&damaged, "a/key")) {
                (Ok(batch), Ok(rows)) => {
                    assert_rows(&CLOUDTRAIL, &batch, &rows, &format!("damaged at {at}: {damaged}"));
                    readable += 1;
                }
                (Ok(_), Err(error)) => {
                    panic!("damaged at {at}: read, but the reference says {error}: {damaged}")
                }
                // The decoder may be stricter, as with an envelope that has no `Records`.
                (Err(_), _) => {}
            }
        }
    }
    println!("{readable} damaged logs can still be read");
    assert!(readable > 500, "{readable}");
}
