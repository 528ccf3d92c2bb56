//! Every form logs come in, through the reader: what is read, and what is rejected for which reason.
#![allow(clippy::print_stdout, reason = "a run says what it rejected")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use trailhound::clock::SystemClock;
use trailhound::decode::gzip;
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{ReadObject, State};

use crate::samples;

fn read(reader: &Reader, key: &str, bytes: Vec<u8>) -> ReadObject {
    reader.read(&Fetched {
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        etag: None,
        version_id: None,
        announced_at: None,
        bytes: Bytes::from(bytes),
    })
}

/// Files that hold no log, or one that nothing can read: what is not here has to be read.
const NOT_READ: [&str; 19] = [
    "attacks/stratus/index.json",
    "attacks/stratus/technique_meta.json",
    // Records inside the fields of another program, and the same with commas missing.
    "cloudtrail/opensearch_catalog/samples.json",
    "cloudtrail/opensearch_catalog/samples-large.json",
    "neighbours/",
    "oddities.ndjson",
    "sigma_aws/",
    "labelled/",
    "type_conflicts.ndjson",
    "types_toplevel.json",
    "vpc_flow/samples.ndjson",
    "wrappers/cloudwatch/cloudwatch_log_cloudtrail.json~snapshot",
    "wrappers/cloudwatch/cloudwatch_logs.json",
    "wrappers/cloudwatch/cloudwatch_logs_2.json",
    "wrappers/cloudwatch/cloudwatch_logs_ddtags.json",
    "wrappers/cloudwatch/sqs_",
    "wrappers/lookup_events/aws_elb_access.log",
    "attacks/stratus/aws.",
    "attacks/traildiscover.ndjson.gz",
];

#[test]
fn real_files_are_read_or_say_why_not() {
    let Some(folder) = samples::real("") else {
        println!("skipped: no real logs here");
        return;
    };
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for file in samples::files_under(&folder) {
        let name = file.strip_prefix(&folder).expect("is below").to_string_lossy().into_owned();
        let ReadObject { record, rows } =
            read(&reader, &file.to_string_lossy(), std::fs::read(&file).expect("is readable"));
        let table = rows.map_or("no table", |rows| rows.table.name);
        *states.entry(format!("{:?} {} into {table}", record.state, record.kind)).or_default() += 1;
        match record.state {
            State::Committed | State::Empty => {}
            State::Unsupported => println!("unsupported {name}: {}", record.kind),
            State::Quarantined => println!("rejected {name}: {}", record.reason.unwrap_or_default()),
        }
        let is_read = matches!(record.state, State::Committed | State::Empty);
        let is_known = NOT_READ.iter().any(|known| name.starts_with(known));
        assert!(
            is_read != is_known || is_read && name.starts_with("neighbours/"),
            "{name}: {:?}",
            record.state
        );
    }
    println!("{states:#?}");
}
