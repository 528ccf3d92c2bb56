//! `trailhound ingest`: load once and end.

use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;
use clap::Args;

use super::output::{Outcome, Output, Progress, human_bytes, human_count, human_duration};
use super::{Failure, Global, session};
use crate::config::{self, Config};
use crate::ingest::listing::{self, Days, Found};
use crate::ingest::load::{BatchLimits, Loader, Origin, Rejected, Tally, megabytes_per_second};
use crate::ingest::read::Reader;
use crate::lake::Lake;
use crate::store::{self, Location};

const EXAMPLES: &str = "\
Examples:
  trailhound ingest ./AWSLogs
  trailhound ingest ./AWSLogs --since 2026-01-01 --until 2026-01-31 --lake /data/lake
  trailhound ingest s3://my-trail-bucket/AWSLogs/111122223333
";

/// At most so many rejected objects are named; all of them are in the `objects` table.
const SHOWN_REJECTIONS: usize = 20;

/// Load log files from a folder or a bucket, once. What the lake has already is left out.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Ingest {
    /// Files, folders, or places on S3
    #[arg(required = true, value_name = "PATH", help = "Files, folders, or s3://bucket/prefix")]
    paths: Vec<String>,
    /// Only objects whose key names this day or a later one
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<NaiveDate>,
    /// Only objects whose key names this day or an earlier one
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<NaiveDate>,
}

impl Ingest {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let days = Days { since: self.since, until: self.until };
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            let error = format!("`--since {since}` is after `--until {until}`");
            return Err(Failure::new(Outcome::WrongUse, error));
        }
        let mut work = Vec::new();
        for path in &self.paths {
            let location: Location =
                path.parse().map_err(|error: store::Error| Failure::new(Outcome::WrongUse, error))?;
            work.push(find(&config, &location, days, output).await?);
        }
        let lake = Arc::new(session::create_lake(&config).await?);
        let started = Instant::now();
        let mut total = Tally::default();
        let bytes = work.iter().flat_map(|(_, found)| found).map(|found| found.size_bytes).sum();
        let progress = output.progress_bytes(bytes, "reading");
        for (origin, found) in work {
            total.add(load(&config, &lake, origin, found, &progress).await?);
        }
        progress.finish();
        let seconds = started.elapsed();
        summary(&total, seconds, &lake.place(), output)?;
        Ok(if total.rejected.is_empty() { Outcome::Done } else { Outcome::Found })
    }
}

/// What there is to read at a place; the lake's own files are no logs.
async fn find(
    config: &Config,
    location: &Location,
    days: Days,
    output: &Output,
) -> Result<(Origin, Vec<Found>), Failure> {
    let spinner = output.spinner(&format!("looking into {location}"));
    let (origin, mut found) = match location {
        Location::Local(path) => (Origin::Files, listing::files(path, days)?),
        Location::S3 { bucket, prefix } => {
            let store = session::aws(config).bucket(bucket, object_store::RetryConfig::default()).await?;
            let found = listing::objects(&store, prefix, days).await?;
            (Origin::Bucket { name: bucket.clone(), store }, found)
        }
    };
    spinner.finish();
    if let (Origin::Bucket { name, .. }, config::Lake::S3 { .. }) = (&origin, &config.lake) {
        found.retain(|found| !config.lake.holds_object(name, &found.key));
    }
    if found.is_empty() {
        output.warn(format!("found no log files in `{location}`"));
    }
    Ok((origin, found))
}

/// Loads what was found at one place.
pub(super) async fn load(
    config: &Config,
    lake: &Arc<Lake>,
    origin: Origin,
    found: Vec<Found>,
    progress: &Progress,
) -> Result<Tally, Failure> {
    let reader = Reader::new(session::object_limits(config), session::clock());
    // Local files come as fast as they are decoded; a bucket needs more under way to hide its latency.
    let at_once = match origin {
        Origin::Files => config.ingest.decode_threads.max(1) * 2,
        Origin::Bucket { .. } => 16,
    };
    let limits = BatchLimits { bytes: config.ingest.batch_bytes, rows: config.ingest.batch_rows };
    let loader = Loader { lake: Arc::clone(lake), reader: Arc::new(reader), origin, limits, at_once };
    Ok(loader.load(found, |bytes| progress.advance(bytes)).await?)
}

/// The end of a load: what was read, what was not and why.
pub(super) fn summary(
    tally: &Tally,
    elapsed: std::time::Duration,
    place: &str,
    output: &Output,
) -> Result<(), Failure> {
    let mut lines = Vec::new();
    let count = |count: usize| human_count(u64::try_from(count).unwrap_or(u64::MAX));
    lines.push(format!(
        "objects   {} read, {} already known, {} rejected",
        count(tally.added + tally.empty),
        count(tally.known),
        count(tally.rejected.len())
    ));
    if tally.empty > 0 {
        lines.push(format!("          {} of them without a record", count(tally.empty)));
    }
    for (kind, number) in &tally.unsupported {
        lines.push(format!("          {} of kind `{kind}`, known but not supported yet", count(*number)));
    }
    let rows: Vec<String> =
        tally.rows.iter().map(|(table, rows)| format!("{} into `{table}`", human_count(*rows))).collect();
    lines.push(format!("rows      {}", if rows.is_empty() { "none".to_owned() } else { rows.join(", ") }));
    lines.push(format!(
        "bytes     {} stored, {} decompressed",
        human_bytes(tally.stored_bytes),
        human_bytes(tally.content_bytes)
    ));
    lines.push(format!(
        "time      {}, {:.0} MB/s",
        human_duration(elapsed),
        megabytes_per_second(tally.content_bytes, elapsed)
    ));
    lines.push(format!("lake      {place}"));
    // Objects are done in any order; what is shown is the same each time.
    let mut rejected: Vec<&Rejected> = tally.rejected.iter().collect();
    rejected.sort_unstable_by_key(|rejected| &rejected.key);
    for rejected in rejected.into_iter().take(SHOWN_REJECTIONS) {
        output.warn(format!("rejected `{}`: {}", rejected.key, rejected.reason));
    }
    if tally.rejected.len() > SHOWN_REJECTIONS {
        output.warn(format!("and {} more", tally.rejected.len() - SHOWN_REJECTIONS));
    }
    if !tally.rejected.is_empty() {
        output.hint("`trailhound lake quarantine` lists them, with `--retry` it reads them again");
    }
    let mut data = output.data();
    for line in lines {
        writeln!(data, "{line}")?;
    }
    data.flush()?;
    Ok(())
}
