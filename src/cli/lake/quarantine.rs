//! `trailhound lake quarantine`: the objects that could not be read, and reading them again.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use chrono::NaiveDate;
use clap::Args;
use datafusion::scalar::ScalarValue;

use crate::cli::format::{Format, Options, Printer};
use crate::cli::output::{Outcome, Output, human_count};
use crate::cli::{Failure, Global, ingest, session};
use crate::config::Config;
use crate::ingest::listing::Found;
use crate::ingest::load::{Origin, Tally};
use crate::ingest::read::{LOCAL_BUCKET, Reader};
use crate::lake::Lake;
use crate::query::Session;

const EXAMPLES: &str = "\
Examples:
  trailhound lake quarantine                         what could not be read, newest first
  trailhound lake quarantine us-east-1/2026/03/10 --format ndjson
  trailhound lake quarantine --retry                 read all of it again
  trailhound lake quarantine vpcflowlogs --since 2026-03-01 --retry
  trailhound lake quarantine firehose --retry --flow-format '${vpc-id} ${srcaddr} ${bytes} ${start} ${action}'
";

/// What is quarantined: no longer so is an object that was read, whatever the clocks say, and one that was replaced
/// by what could be.
const SQL: &str = "\
select q.read_at, q.bucket, q.key, q.size_bytes, q.kind, q.reason, q.etag, q.object_id
from objects q
where q.state = 'quarantined'
  and strpos(q.key, $key) > 0
  and q.read_at >= to_timestamp($since)
  and not exists (
    select 1 from objects same where same.object_id = q.object_id and same.state <> 'quarantined'
  )
  and not exists (
    select 1 from objects later
    where later.bucket = q.bucket and later.key = q.key and later.state <> 'quarantined'
      and later.read_at >= q.read_at
  )
order by q.read_at desc, q.bucket, q.key";

/// List the objects that could not be read, newest first; with --retry, read them again.
///
/// Nothing of a quarantined object is in the lake. Reading it again makes sense after an upgrade, with other limits
/// in the configuration, with a format of flow logs that is known now, or when it could not be fetched whole. An object
/// that was replaced in its place since is a new object to the lake: it is read like any other, and the one before it
/// is listed no more. The reason that is listed is the first one; --retry tells why it cannot be read now.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Quarantine {
    /// Only objects whose key or path contains this
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Only objects that were read on this day or later (UTC)
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<NaiveDate>,
    /// Read the objects again, and load those that can be read now
    #[arg(long)]
    retry: bool,
    /// With --retry, a format of flow logs that come without a header, in single quotes; may be given again
    #[arg(long = "flow-format", value_name = "FORMAT", requires = "retry")]
    flow_formats: Vec<String>,
    /// At most so many [default: 100; with --retry, all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How to print [default: table on a terminal, else ndjson]
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "retry")]
    format: Option<Format>,
}

impl Quarantine {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let mut config = global.config(output)?;
        config.ingest.flow_formats.splice(0..0, self.flow_formats.iter().cloned());
        let reader = if self.retry { Some(session::reader(&config, output)?) } else { None };
        let lake = session::open_lake(&config).await?;
        let objects = self.objects(&config, &lake).await?;
        if objects.iter().all(|batch| batch.num_rows() == 0) {
            let is_filtered = self.key.is_some() || self.since.is_some();
            output.note(if is_filtered { "no quarantined object fits" } else { "no object is quarantined" });
            return Ok(Outcome::Done);
        }
        if let Some(reader) = reader {
            return retry(&config, lake, &reader, found(&objects, self.limit.unwrap_or(usize::MAX)), output)
                .await;
        }
        self.list(&objects, output)
    }

    /// The quarantined objects that are asked for, newest first.
    async fn objects(&self, config: &Config, lake: &Lake) -> Result<Vec<RecordBatch>, Failure> {
        let since = self.since.map_or_else(|| "1970-01-01".to_owned(), |day| day.to_string());
        let parameters = vec![
            ("key".to_owned(), ScalarValue::from(self.key.clone().unwrap_or_default())),
            ("since".to_owned(), ScalarValue::from(since)),
        ];
        let session = Session::open(lake, session::limits(config)).await?;
        Ok(session.query(SQL, parameters).await?.collect().await?)
    }

    fn list(&self, objects: &[RecordBatch], output: &Output) -> Result<Outcome, Failure> {
        let limit = self.limit.unwrap_or(100);
        let total: usize = objects.iter().map(RecordBatch::num_rows).sum();
        if let Some(first) = objects.first() {
            let usual = if output.stdout_is_terminal() { Format::Table } else { Format::Ndjson };
            let format = self.format.unwrap_or(usual);
            let options = Options::for_output(output);
            let mut printer = Printer::new(format, &first.schema(), output.data(), &options)?;
            let mut left = limit;
            for batch in objects {
                let shown = batch.slice(0, batch.num_rows().min(left));
                left -= shown.num_rows();
                printer.write(&shown)?;
            }
            printer.finish()?;
        }
        if total > limit {
            let more = u64::try_from(total - limit).unwrap_or(u64::MAX);
            output.note(format!("and {} more; `--limit {total}` shows all", human_count(more)));
        }
        output.note("the same command with `--retry` reads them again");
        Ok(Outcome::Done)
    }
}

/// The objects to read again, by bucket.
fn found(objects: &[RecordBatch], limit: usize) -> BTreeMap<String, Vec<Found>> {
    let mut by_bucket: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    let mut names = HashSet::new();
    let rows = objects.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    for (batch, row) in rows.take(limit) {
        let text = |name: &str| {
            let column = batch.column_by_name(name).map(AsArray::as_string_view);
            column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_owned())
        };
        let size =
            batch.column_by_name("size_bytes").map(|column| column.as_primitive::<Int64Type>().value(row));
        let (Some(bucket), Some(key)) = (text("bucket"), text("key")) else { continue };
        let found = Found {
            key,
            size_bytes: size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            etag: text("etag").filter(|_| bucket != LOCAL_BUCKET),
        };
        // What was quarantined in several versions is one object to read: the newest.
        if names.insert((bucket.clone(), found.key.clone())) {
            by_bucket.entry(bucket).or_default().push(found);
        }
    }
    by_bucket
}

/// Reads objects again and tells what became of them.
async fn retry(
    config: &Config,
    lake: Lake,
    reader: &Arc<Reader>,
    by_bucket: BTreeMap<String, Vec<Found>>,
    output: &Output,
) -> Result<Outcome, Failure> {
    let lake = Arc::new(lake);
    let started = Instant::now();
    let mut total = Tally::default();
    let bytes = by_bucket.values().flatten().map(|found| found.size_bytes).fold(0, u64::saturating_add);
    let progress = output.progress_bytes(bytes, "reading");
    for (bucket, mut found) in by_bucket {
        let origin = if bucket == LOCAL_BUCKET {
            sizes_as_they_are(&mut found);
            Origin::Files
        } else {
            let store = session::aws(config).bucket(&bucket, object_store::RetryConfig::default()).await?;
            Origin::Bucket { name: bucket, store }
        };
        let loader = ingest::loader(config, &lake, reader, origin);
        total.add(loader.load(found, |bytes| progress.advance(bytes)).await?);
    }
    progress.finish();
    ingest::summary(&total, started.elapsed(), &lake.place(), output)?;
    Ok(if total.rejected.is_empty() { Outcome::Done } else { Outcome::Found })
}

/// A file may have been replaced by one of another size.
fn sizes_as_they_are(found: &mut [Found]) {
    for file in found {
        if let Ok(metadata) = Path::new(&file.key).metadata() {
            file.size_bytes = metadata.len();
        }
    }
}
