//! `trailhound ingest`: load once and end.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use clap::Args;

use futures::StreamExt;

use super::output::{Outcome, Output, human_bytes, human_count, human_duration};
use super::{Failure, Global, session};
use crate::config::Config;
use crate::ingest::backfill;
use crate::ingest::listing::{self, Days, Listing, Skipped};
use crate::ingest::load::{BatchLimits, Loader, Origin, Rejected, Tally, megabytes_per_second};
use crate::ingest::progress::{Counts, Progress};
use crate::ingest::read::Reader;
use crate::ingest::route;
use crate::lake::{Lake, TABLES};
use crate::store::{self, Location};
use crate::text::safe;

const EXAMPLES: &str = "\
Examples:
  trailhound ingest ./AWSLogs
  trailhound ingest ./AWSLogs --since 2026-01-01 --until 2026-01-31 --lake /data/lake
  trailhound ingest s3://my-trail-bucket/AWSLogs/111122223333
  trailhound ingest ./firehose --flow-format '${vpc-id} ${srcaddr} ${dstaddr} ${bytes} ${start} ${action}'
";

/// How often a terminal is told how far a backfill is.
const REDRAW: Duration = Duration::from_millis(500);
/// How often anything else is.
const LINE: Duration = Duration::from_secs(10);
/// The time whose rate tells how long the rest takes.
const LATELY: Duration = Duration::from_mins(1);

/// At most so many are named of the rejected objects that are in the `objects` table with their reason.
const SHOWN_REJECTIONS: usize = 20;

/// The lake that verbs are about when nothing names one.
const DEFAULT_LAKE: &str = "lake";

/// At most so many ends of the names of files are told that are left out.
const SHOWN_ENDS: usize = 5;

/// Load log files from a folder or a bucket, once. What the lake has already is left out.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Ingest {
    /// Files, folders, or places on S3
    #[arg(required = true, value_name = "PATH", help = "Files, folders, or s3://bucket/prefix")]
    paths: Vec<String>,
    /// Leave out objects whose key names an earlier day; one that names none is read
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<NaiveDate>,
    /// Leave out objects whose key names a later day; one that names none is read
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<NaiveDate>,
    /// A format of flow logs that come without a header, as '${version} ${srcaddr} ...'; may be given again
    #[arg(long = "flow-format", value_name = "FORMAT")]
    flow_formats: Vec<String>,
}

impl Ingest {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let mut config = global.config(output)?;
        config.ingest.flow_formats.splice(0..0, self.flow_formats);
        let reader = session::reader(&config, output)?;
        let days = Days { since: self.since, until: self.until };
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            let error = format!("`--since {since}` is after `--until {until}`");
            return Err(Failure::new(Outcome::WrongUse, error));
        }
        let locations = self
            .paths
            .iter()
            .map(|path| path.parse().map_err(|error: store::Error| Failure::new(Outcome::WrongUse, error)));
        let locations: Vec<Location> = locations.collect::<Result<_, _>>()?;
        let mut files = Vec::new();
        let mut total = Tally::default();
        for location in &locations {
            if let Location::Local(path) = location {
                let listing = find(path, days, output)?;
                files.push(listing.found);
                total.found += listing.skipped.len();
                total.rejected.extend(listing.skipped.into_iter().map(skipped));
            }
        }
        let lake = Arc::new(session::create_lake(&config).await?);
        let started = Instant::now();
        let bytes = files.iter().flatten().map(|found| found.size_bytes).sum();
        let progress = output.progress_bytes(bytes, "reading");
        for found in files {
            let loader = loader(&config, &lake, &reader, Origin::Files);
            total.add(loader.load(found, |bytes| progress.advance(bytes)).await?);
        }
        progress.finish();
        for location in &locations {
            if let Location::S3 { bucket, prefix } = location {
                total.add(backfill((&config, &lake, &reader), (bucket, prefix), days, output).await?);
            }
        }
        let seconds = started.elapsed();
        summary(&total, seconds, &lake.place(), output)?;
        Ok(if total.rejected.is_empty() { Outcome::Done } else { Outcome::Found })
    }
}

/// The files at a path.
fn find(path: &Path, days: Days, output: &Output) -> Result<Listing, Failure> {
    let spinner = output.spinner(&format!("looking into {}", path.display()));
    let listing = listing::files(path, days)?;
    spinner.finish();
    if listing.found.is_empty() {
        output.warn(format!("found no log files{} in `{}`", of_days(days), path.display()));
    }
    if !listing.left_out.is_empty() {
        output.note(format!("left out in `{}`, by their names: {}", path.display(), ends(&listing.left_out)));
        if listing.found.is_empty() {
            output.hint("name files themselves to have them read, whatever they are called");
        }
    }
    Ok(listing)
}

/// How many files there are by the ends of their names, the most frequent first.
fn ends(left_out: &BTreeMap<String, usize>) -> String {
    let mut ends: Vec<(&String, usize)> = left_out.iter().map(|(end, files)| (end, *files)).collect();
    ends.sort_by_key(|(_, files)| std::cmp::Reverse(*files));
    let rest: usize = ends.iter().skip(SHOWN_ENDS).map(|(_, files)| files).sum();
    let told = |(end, files): &(&String, usize)| format!("{} {end}", human_count(*files as u64));
    let mut told: Vec<String> = ends.iter().take(SHOWN_ENDS).map(told).collect();
    if rest > 0 {
        told.push(format!("{} more", human_count(rest as u64)));
    }
    told.join(", ")
}

/// That only some days were asked for.
fn of_days(days: Days) -> &'static str {
    if days == Days::default() { "" } else { " of these days" }
}

/// What could not be looked into, of which nothing is in the lake.
fn skipped(skipped: Skipped) -> Rejected {
    let key = skipped.path.to_string_lossy().into_owned();
    Rejected { key, reason: skipped.reason, recorded: false }
}

/// Loads the objects of a bucket while they are listed; the lake's own are no logs.
async fn backfill(
    (config, lake, reader): (&Config, &Arc<Lake>, &Arc<Reader>),
    (bucket, prefix): (&str, &str),
    days: Days,
    output: &Output,
) -> Result<Tally, Failure> {
    let aws = session::aws(config);
    let pages = aws.bucket_pages(bucket, object_store::RetryConfig::default()).await?;
    let store = aws.bucket(bucket, object_store::RetryConfig::default()).await?;
    let progress = Arc::new(Progress::default());
    let chunks = backfill::list(pages, prefix, days, backfill::Settings::default(), Arc::clone(&progress));
    let chunks = futures::stream::unfold(chunks, async |mut chunks| Some((chunks.recv().await?, chunks)));
    let chunks = chunks.map(|chunk| {
        let mut found = chunk?;
        found.retain(|found| !config.lake.holds_object(bucket, &found.key));
        Ok(found)
    });
    let loader = loader(config, lake, reader, Origin::Bucket { name: bucket.to_owned(), store });
    let load = loader.load_chunks(chunks, |done| {
        for found in done.objects {
            let day = route::by_key(&found.key).date;
            progress.done(day, 1, found.size_bytes, done.known);
        }
    });
    let tally = tell_while(load, &progress, &format!("s3://{bucket}/{prefix}"), output).await?;
    if tally.found == 0 {
        output.warn(format!("found no log files{} in `s3://{bucket}/{prefix}`", of_days(days)));
    }
    Ok(tally)
}

/// Tells how far a backfill is until it ends: on a terminal all the time, elsewhere every now and then.
async fn tell_while<T, E>(
    load: impl Future<Output = Result<T, E>>,
    progress: &Progress,
    place: &str,
    output: &Output,
) -> Result<T, E> {
    let bar = output.spinner(&format!("listing {place}"));
    let every = if output.shows_progress() { REDRAW } else { LINE };
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    let mut before = VecDeque::from([(Instant::now(), progress.counts())]);
    let mut load = std::pin::pin!(load);
    loop {
        tokio::select! {
            loaded = &mut load => {
                bar.finish();
                return loaded;
            }
            _ = ticks.tick() => {}
        }
        let (now, counts) = (Instant::now(), progress.counts());
        let text =
            before.front().map(|(then, earlier)| told(counts, *earlier, now - *then)).unwrap_or_default();
        if output.shows_progress() {
            bar.describe(&text);
        } else {
            output.note(text);
        }
        while before.front().is_some_and(|(then, _)| now - *then > LATELY) {
            before.pop_front();
        }
        before.push_back((now, counts));
    }
}

/// How far a backfill is, in words.
fn told(now: Counts, earlier: Counts, elapsed: Duration) -> String {
    let about = if now.is_listed { "" } else { "about " };
    let left = now.left(earlier, elapsed).map_or("no end in sight".to_owned(), |left| {
        format!("about {} left", human_duration(Duration::from_secs(left.as_secs())))
    });
    format!(
        "{} of {} days, {} of {about}{} objects listed, {} known, {} read, {}, {:.0} objects/s, {left}",
        human_count(now.days_done),
        human_count(now.days),
        human_count(now.listed),
        human_count(now.objects),
        human_count(now.known),
        human_count(now.read),
        human_bytes(now.bytes),
        now.rate(earlier, elapsed),
    )
}

/// A loader of objects from one origin.
pub(super) fn loader(config: &Config, lake: &Arc<Lake>, reader: &Arc<Reader>, origin: Origin) -> Loader {
    // Local files come as fast as they are decoded; a bucket needs more under way to hide its latency.
    let at_once = match origin {
        Origin::Files => config.ingest.decode_threads.max(1) * 2,
        Origin::Bucket { .. } => 16,
    };
    let limits = BatchLimits { bytes: config.ingest.batch_bytes, rows: config.ingest.batch_rows };
    Loader { lake: Arc::clone(lake), reader: Arc::clone(reader), origin, limits, at_once }
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
    let lake = lake_option(place);
    tell_untimed(tally, &lake, output);
    tell_rejected(&tally.rejected, &lake, output);
    if !tally.unsupported.is_empty() {
        output.hint(format!(
            "`trailhound sql{lake} \"select key, kind from objects where state = 'unsupported'\"` lists what is not read"
        ));
    }
    let mut data = output.data();
    for line in lines {
        writeln!(data, "{line}")?;
    }
    data.flush()?;
    Ok(())
}

/// The option that names a lake to other verbs, if they need it: for a shell, with a blank before it.
pub(super) fn lake_option(place: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-:@+=".contains(char);
    match place {
        DEFAULT_LAKE => String::new(),
        place if place.chars().all(is_plain) => format!(" --lake {place}"),
        place => format!(" --lake '{}'", place.replace('\'', r"'\''")),
    }
}

/// Rows that detections over time and retention pass over.
fn tell_untimed(tally: &Tally, lake: &str, output: &Output) {
    for (table, rows) in &tally.untimed {
        let (count, rows) = (human_count(*rows), if *rows == 1 { "row" } else { "rows" });
        output.warn(format!(
            "{count} {rows} of `{table}` without a time that can be read: seen by no detection, and never expired"
        ));
    }
    for table in TABLES.iter().filter(|table| tally.untimed.contains_key(table.name)) {
        let (name, time) = (table.name, table.time_column);
        output
            .hint(format!("`trailhound sql{lake} \"select * from {name} where {time} is null\"` shows them"));
    }
}

/// What was rejected: what the lake tells of again in part, the rest in full. Each on one line, whatever its name or its
/// content holds: a line of its own could pass for a hint.
fn tell_rejected(rejected: &[Rejected], lake: &str, output: &Output) {
    // Objects are done in any order; what is shown is the same each time.
    let mut rejected: Vec<&Rejected> = rejected.iter().collect();
    rejected.sort_unstable_by_key(|rejected| &rejected.key);
    let (recorded, others): (Vec<&Rejected>, Vec<&Rejected>) =
        rejected.into_iter().partition(|rejected| rejected.recorded);
    for rejected in recorded.iter().take(SHOWN_REJECTIONS) {
        output.warn(format!("rejected `{}`: {}", safe(&rejected.key), safe(&rejected.reason)));
    }
    if recorded.len() > SHOWN_REJECTIONS {
        output.warn(format!("and {} more", recorded.len() - SHOWN_REJECTIONS));
    }
    for rejected in &others {
        output.warn(format!("not read `{}`: {}", safe(&rejected.key), safe(&rejected.reason)));
    }
    if !recorded.is_empty() {
        output.hint(format!(
            "`trailhound lake quarantine{lake}` lists them, with `--retry` it reads them again"
        ));
    }
    if !others.is_empty() {
        output.hint("run the same command again to read what was not read");
    }
}
