//! The flow log decoder against the slow one in `reference`.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use trailhound::decode::columns::{TRANSIT_GATEWAY_FLOW, VPC_FLOW};
use trailhound::decode::vpc_flow;

use crate::reference::{assert_rows, flow_rows};
use crate::samples;

/// Decodes both ways and compares every cell; returns the number of rows.
fn compare(text: &str, what: &str) -> usize {
    let rows = flow_rows(text, "an/object.log").unwrap_or_else(|error| panic!("{what}: reference: {error}"));
    let decoded = vpc_flow::decode_any(text.as_bytes(), "an/object.log")
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_rows(decoded.table, &decoded.batch, &rows, what);
    rows.len()
}

#[test]
fn project_samples_agree() {
    let files = samples::files_under(&samples::testdata("vpc_flow"));
    let mut rows = 0;
    for file in &files {
        let text = samples::read_text(file);
        assert!(vpc_flow::Formats::default().looks_like(text.as_bytes()).is_some(), "{}", file.display());
        rows += compare(&text, &samples::name(file));
    }
    println!("{} files, {rows} rows compared", files.len());
    assert!(rows >= 15, "{rows}");
}

#[derive(serde::Deserialize)]
struct Sample {
    format: Option<String>,
    line: String,
}

#[test]
fn real_samples_agree() {
    let Some(file) = samples::real("vpc_flow/samples.ndjson") else {
        println!("skipped: no real flow logs here");
        return;
    };
    let (mut compared, mut without_format) = (0, 0);
    let mut default_format = String::new();
    for line in samples::read_text(&file).lines() {
        let sample: Sample = serde_json::from_str(line).unwrap();
        let Some(format) = sample.format else {
            without_format += 1;
            continue;
        };
        if format.ends_with("action log-status") && format.starts_with("version account-id") {
            default_format.push_str(&sample.line);
            default_format.push('\n');
        }
        compared += compare(&format!("{format}\n{}\n", sample.line), &sample.line);
    }
    let headerless = compare(&default_format, "lines without a header");
    println!(
        "{compared} rows compared, {headerless} of them without a header too; {without_format} skipped: no format"
    );
    assert!(compared >= 100 && headerless >= 80, "{compared}, {headerless}");
    if let Some(file) = samples::real("neighbours/vpcflow.log") {
        assert!(compare(&samples::read_text(&file), "neighbours/vpcflow.log") > 0);
    }
}

/// Names that have no column: of later versions, and of none.
const NAMES_WITHOUT_COLUMN: [&str; 5] = ["resource-ids", "vpc-id-2", "some-tag", "next-hop", "unheard-of"];

const VALUES: [&str; 30] = [
    "-",
    "-",
    "-",
    "-",
    "0",
    "1",
    "6",
    "443",
    "65535",
    "2147483647",
    "2147483648",
    "-7",
    "007",
    "+5",
    "1e3",
    "--",
    "9223372036854775807",
    "9223372036854775808",
    "1773144000",
    "253402300799",
    "253402300800",
    "-62135596801",
    "eni-0a1b2c3d",
    "10.0.0.1",
    "2001:db8::1",
    "ACCEPT",
    "OK",
    "\"quo\\ted\"",
    "naïve\u{1}日本",
    "\u{feff}\u{b7}",
];

fn pick(choices: &[&'static str], random: &mut StdRng) -> &'static str {
    choices.choose(random).expect("there are choices")
}

fn random_header(random: &mut StdRng) -> Vec<&'static str> {
    let known: Vec<&'static str> =
        VPC_FLOW.columns.iter().map(|column| column.source).filter(|name| !name.is_empty()).collect();
    let mut names: Vec<&str> = (0..random.random_range(1..50)).map(|_| pick(&known, random)).collect();
    for _ in 0..random.random_range(0..=names.len().min(6)) / 2 {
        let at = random.random_range(0..=names.len());
        names.insert(at, pick(&NAMES_WITHOUT_COLUMN, random));
    }
    names
}

fn random_log(random: &mut StdRng) -> String {
    let header = random_header(random);
    let plain = random.random_bool(0.5);
    let mut text = header.join(" ");
    for _ in 0..random.random_range(0..60) {
        text.push_str(if random.random_bool(0.3) { "\r\n" } else { "\n" });
        if random.random_bool(0.05) {
            text.push_str(pick(&[" ", "\t\t", "\n", "\r", "\u{2003}"], random));
            text.push('\n');
        }
        if random.random_bool(0.02) {
            text.push_str(&header.join("  "));
            continue;
        }
        for position in 0..header.len() {
            let blanks = if plain { " " } else { pick(&[" ", " ", "  ", "\t", " \t ", "\u{a0}"], random) };
            text.push_str(if position == 0 && plain { "" } else { blanks });
            text.push_str(pick(&VALUES, random));
        }
    }
    text.push_str(pick(&["", "\n", "\r\n", "\n\n \n"], random));
    text
}

#[test]
fn random_logs_agree() {
    let mut rows = 0;
    for seed in 0..1000 {
        let text = random_log(&mut StdRng::seed_from_u64(seed));
        rows += compare(&text, &format!("seed {seed}"));
    }
    println!("{rows} rows compared");
    assert!(rows > 20_000, "{rows}");
}

/// A log with a header like the first, or another one, among its records: both decoders agree on what it is.
#[test]
fn logs_with_other_headers_agree() {
    let of_gateway: Vec<&'static str> = TRANSIT_GATEWAY_FLOW
        .columns
        .iter()
        .map(|column| column.source)
        .filter(|name| !name.is_empty())
        .collect();
    let (mut readable, mut refused) = (0, 0);
    for seed in 0..2000 {
        let random = &mut StdRng::seed_from_u64(seed);
        let header = random_header(random);
        let row = |random: &mut StdRng| header.iter().map(|_| pick(&VALUES, random)).collect::<Vec<_>>();
        let other = match seed % 3 {
            0 => random_header(random),
            1 => header.iter().map(|_| pick(&of_gateway, random)).collect(),
            _ => header.iter().map(|_| pick(&NAMES_WITHOUT_COLUMN, random)).collect(),
        };
        let other: Vec<&str> = other.into_iter().chain(row(random)).take(header.len()).collect();
        let lines = [&header, &row(random), &other, &row(random)].map(|line| line.join(" "));
        let text = lines.join("\n");
        match (vpc_flow::decode(text.as_bytes(), "o"), flow_rows(&text, "o")) {
            (Ok(batch), Ok(rows)) => {
                assert_rows(&VPC_FLOW, &batch, &rows, &text);
                readable += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (decoded, reference) => panic!("{text}: {decoded:?} but the reference says {reference:?}"),
        }
    }
    println!("{readable} are read, {refused} refused");
    assert!(readable > 300 && refused > 300, "{readable}, {refused}");
}

/// A log cut or damaged at any byte: both decoders agree on whether it can be read, and on the rows.
#[test]
fn damaged_logs_agree() {
    let text = samples::read_text(&samples::testdata("vpc_flow").join("v5_custom.log"));
    let header_ends = text.find('\n').unwrap() + 1;
    let mut readable = 0;
    for at in header_ends..text.len() {
        let cut = text[..at].to_owned();
        let mut replaced = text.clone().into_bytes();
        replaced[at] = [b' ', b'\n', b'-', b'x'][at % 4];
        for damaged in [cut, String::from_utf8(replaced).unwrap()] {
            let decoded = vpc_flow::decode(damaged.as_bytes(), "an/object.log");
            match (decoded, flow_rows(&damaged, "an/object.log")) {
                (Ok(batch), Ok(rows)) => {
                    assert_rows(&VPC_FLOW, &batch, &rows, &format!("damaged at {at}"));
                    readable += 1;
                }
                (Err(_), Err(_)) => {}
                (decoded, reference) => {
                    panic!("damaged at {at}: {decoded:?} but the reference says {reference:?}")
                }
            }
        }
    }
    println!("{readable} damaged logs can still be read");
    assert!(readable > 100, "{readable}");
}
