//! A seeded generator of realistic logs: one day of a small estate, with an attack hidden in it.
//!
//! Must never touch the clock, the network or a source of true randomness: the same plan gives the same bytes.

mod actor;
mod attack;
mod calls;
mod estate;
mod events;
mod flows;
mod json;
mod schedule;
mod script;
mod template;

use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use libdeflater::{CompressionLvl, Compressor};

pub use attack::{
    ATTACKER_ADDRESS, BUCKET, DENIED_CALLS, HOST_ADDRESS, NEW_ACCESS_KEY_ID, NEW_USER, OBJECTS_READ,
    OUTSIDE_ACCOUNT_ID, SECRETS_READ, SECURITY_GROUP_ID, SNAPSHOT_ID, STOLEN_ACCESS_KEY_ID, Story, story,
};
pub use estate::{LEGACY_USER, ORGANIZATION_ID};

use schedule::Schedule;

/// gzip level of the objects: the generator feeds benchmarks, so speed counts more than size.
const GZIP_LEVEL: i32 = 1;

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// The UTC day all events are in.
    pub day: NaiveDate,
    /// How many CloudTrail events in all, the attack's included; 0 for none at all.
    /// With fewer than the attack has, the attack still comes whole.
    pub events: usize,
    /// How many VPC flow records in all, the attack's included; 0 for none at all.
    /// With fewer than the attack has, the attack still comes whole.
    pub flow_records: usize,
    /// Over how many CloudTrail objects to spread the events; `None` for sizes as AWS delivers them (5 to a few
    /// hundred records, half of them below 21). Never more than there are events; a few more where events at
    /// set times need a delivery of their own.
    pub objects: Option<usize>,
    /// Whether the attack happens.
    pub attack: bool,
}

impl Plan {
    /// The day that `demo` shows.
    pub fn demo() -> Plan {
        Plan {
            seed: 20_251_014,
            day: NaiveDate::from_ymd_opt(2025, 10, 14).unwrap_or_default(),
            events: 50_000,
            flow_records: 100_000,
            objects: None,
            attack: true,
        }
    }
}

/// One log object as AWS delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The S3 key.
    pub key: String,
    /// The content, gzipped.
    pub body: Vec<u8>,
    /// How many records are in it.
    pub records: usize,
    /// The size of the content before compression.
    pub uncompressed_bytes: usize,
}

/// What [`write_to`] wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Objects, each a file.
    pub objects: usize,
    /// Records in them.
    pub records: usize,
    /// Bytes of the files.
    pub compressed_bytes: u64,
    /// Bytes of the content before compression.
    pub uncompressed_bytes: u64,
}

/// Why generated logs could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`", path.display())]
pub struct Error {
    /// The file or directory.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: io::Error,
}

/// The objects of a plan, in order of delivery, each made when it is asked for.
pub fn generate(plan: &Plan) -> impl Iterator<Item = Object> + use<> {
    let mut schedule = Schedule::new(plan);
    let mut compressor = Compressor::new(CompressionLvl::new(GZIP_LEVEL).unwrap_or_default());
    std::iter::from_fn(move || {
        let file = schedule.next_file()?;
        Some(Object {
            body: gzip(&mut compressor, &file.content),
            key: file.key,
            records: file.records,
            uncompressed_bytes: file.content.len(),
        })
    })
}

/// One `{"Records":[...]}` document of the day, by one account and region, in time order with AWS's usual disorder.
pub fn cloudtrail_json(seed: u64, day: NaiveDate, records: usize) -> Vec<u8> {
    schedule::document(seed, day, records)
}

/// Writes the objects of a plan as files below `dir`, each at its key.
pub fn write_to(plan: &Plan, dir: &Path) -> Result<Written, Error> {
    let mut written = Written::default();
    let mut made = PathBuf::new();
    for object in generate(plan) {
        let path = dir.join(&object.key);
        if let Some(parent) = path.parent()
            && made != parent
        {
            std::fs::create_dir_all(parent).map_err(|source| Error { path: parent.into(), source })?;
            made = parent.into();
        }
        std::fs::write(&path, &object.body).map_err(|source| Error { path, source })?;
        written.objects += 1;
        written.records += object.records;
        written.compressed_bytes += object.body.len() as u64;
        written.uncompressed_bytes += object.uncompressed_bytes as u64;
    }
    Ok(written)
}

fn gzip(compressor: &mut Compressor, content: &[u8]) -> Vec<u8> {
    let mut body = vec![0; compressor.gzip_compress_bound(content.len())];
    let size = compressor.gzip_compress(content, &mut body).unwrap_or_default();
    body.truncate(size);
    body.shrink_to_fit();
    body
}

#[cfg(test)]
mod tests;
