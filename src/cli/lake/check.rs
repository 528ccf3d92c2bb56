//! `trailhound lake check`: is every row of every object there, once?

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::Args;

use crate::cli::output::{Outcome, Output, Progress, human_bytes, human_count, human_duration};
use crate::cli::sql::Printing;
use crate::cli::{Failure, Global, session};
use crate::maintain::check::{self, Problem, Report, Seen, Settings};

const EXAMPLES: &str = "\
Examples:
  trailhound lake check
  trailhound lake check --no-hash                    leave out reading every file whole
  trailhound lake check --format ndjson | jq .subject
";

/// Prove from the data that each object is there once and whole
///
/// Problems are printed as rows; the exit code is 1 when one of them is an error.
///
/// The commits say how many rows each object has and which were taken out since; the files say which rows are there.
/// Both must agree, row by row. Every file that is live must be there with its size and SHA-256, and `objects` must
/// say what the commits do.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Check {
    /// Do not read every file whole to compare its SHA-256
    #[arg(long)]
    no_hash: bool,
    #[command(flatten)]
    printing: Printing,
}

impl Check {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let lake = session::open_lake(&config).await?;
        let started = Instant::now();
        let bar: Arc<dyn check::Progress> = Arc::new(Bar(output.progress_items(0, "checking")));
        let settings = Settings { hashes: !self.no_hash, at_once: config.ingest.decode_threads.max(1) * 2 };
        let report = check::run(&lake, settings, &bar).await?;
        drop(bar);
        self.print(&report, output)?;
        let elapsed = started.elapsed();
        for seen in report.tables.iter().filter(|seen| seen.files > 0) {
            output.note(line(seen));
        }
        let rows: u64 = report.tables.iter().map(|seen| seen.rows).sum();
        output.note(format!(
            "{} in {}, {} rows/s: {}",
            lake.place(),
            human_duration(elapsed),
            human_count(rows_per_second(rows, elapsed)),
            verdict(&report)
        ));
        Ok(if report.errors == 0 { Outcome::Done } else { Outcome::Found })
    }

    fn print(&self, report: &Report, output: &Output) -> Result<(), Failure> {
        if report.problems.is_empty() {
            return Ok(());
        }
        let batch = rows(&report.problems).map_err(|error| Failure::new(Outcome::Failed, error))?;
        self.printing.print(&batch, output)?;
        let more = report.count - report.problems.len() as u64;
        if more > 0 {
            output.warn(format!("{} more problems are not shown", human_count(more)));
        }
        Ok(())
    }
}

fn verdict(report: &Report) -> String {
    let notes = report.count - report.errors;
    match (report.errors, notes) {
        (0, 0) => "every row of every object is there once".to_owned(),
        (0, notes) => format!("every row of every object is there once; {} notes", human_count(notes)),
        (errors, _) => format!("{} errors", human_count(errors)),
    }
}

fn rows_per_second(rows: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from(u128::from(rows) * 1000 / millis).unwrap_or(u64::MAX)
}

/// What was seen of one table, in a line.
fn line(seen: &Seen) -> String {
    let count = |count: usize| human_count(count as u64);
    let mut parts = vec![
        format!("version {}", seen.version),
        format!("{} files", count(seen.files)),
        human_bytes(seen.bytes),
        format!("{} objects", human_count(seen.objects)),
        format!("{} rows", human_count(seen.rows)),
    ];
    if seen.removed > 0 {
        parts.push(format!("{} taken out by commits", human_count(seen.removed)));
    }
    if seen.hashed > 0 {
        parts.push(format!("{} hashes compared", count(seen.hashed)));
    }
    if seen.without_hash > 0 {
        parts.push(format!("{} files with no hash recorded", count(seen.without_hash)));
    }
    if seen.retired > 0 {
        parts.push(format!("{} older files wait for `trailhound lake vacuum`", count(seen.retired)));
    }
    format!("{}  {}", seen.table, parts.join(", "))
}

fn rows(problems: &[Problem]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |get: &dyn Fn(&Problem) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(problems.iter().map(get)))
    };
    RecordBatch::try_from_iter([
        ("severity", text(&|p| if p.is_error { "error" } else { "note" }.to_owned())),
        ("table", text(&|p| p.table.to_owned())),
        ("problem", text(&|p| p.kind.to_owned())),
        ("subject", text(&|p| p.subject.clone())),
        ("detail", text(&|p| p.detail.clone())),
    ])
}

/// A bar of rows.
struct Bar(Progress);

impl check::Progress for Bar {
    fn expect(&self, rows: u64) {
        self.0.extend(rows);
    }

    fn read(&self, rows: u64) {
        self.0.advance(rows);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish();
    }
}
