//! `trailhound lake compact`: few large files of many small ones.

use std::io::Write;
use std::time::Instant;

use chrono::TimeDelta;
use clap::Args;

use crate::cli::output::{Outcome, Output, human_bytes, human_count, human_duration};
use crate::cli::{Failure, Global, session};
use crate::lake;
use crate::maintain::compact::{self, Compacted, Settings};
use crate::service::setup;

const EXAMPLES: &str = "\
Examples:
  trailhound lake compact
  trailhound lake compact --table cloudtrail --closed-after-hours 48
  trailhound lake compact --dry-run                  only say which days it would read
";

/// Make few sorted files of many, and take out events that were delivered twice
///
/// Only closed days are compacted: those that ended some hours ago.
///
/// A duplicate is a record of the same event id and time of which every column is the same; records that differ stay.
/// What is taken out is written into the commit, so `trailhound lake check` can still account for every row. Old
/// files stay until `trailhound lake vacuum`.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Compact {
    /// Only this table
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// A day is closed when it ended so long ago [default: as configured]
    #[arg(long, value_name = "HOURS")]
    closed_after_hours: Option<u32>,
    /// Sort all rows anew, also where files that are sorted by time could be merged
    #[arg(long, hide = true)]
    sort: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Compact {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        if let Some(table) = self.table.as_deref().filter(|table| lake::table(table).is_none()) {
            return Err(Failure::new(Outcome::WrongUse, format!("there is no table `{table}`"))
                .hint("`trailhound sql --describe` lists the tables"));
        }
        let mut settings = Settings { hour_files: None, merge: !self.sort, ..setup::compaction(&config) };
        if let Some(hours) = self.closed_after_hours {
            settings.closed_after = TimeDelta::hours(i64::from(hours));
        }
        let lake = session::open_lake(&config).await?;
        let jobs = compact::jobs(&lake, &settings, self.table.as_deref()).await?;
        let mut data = output.data();
        if self.dry_run {
            for job in &jobs {
                writeln!(data, "{} {}: {} rows to sort", job.table.name, job.name(), human_count(job.rows))?;
            }
            data.flush()?;
            return Ok(Outcome::Done);
        }
        let bar = output.progress_items(jobs.iter().map(|job| job.rows).sum(), "compacting");
        let mut failed = false;
        for job in &jobs {
            bar.describe(&format!("compacting {} {}", job.table.name, job.name()));
            let started = Instant::now();
            match compact::run(&lake, *job, &settings, |rows| bar.advance(rows)).await {
                Ok(Some(done)) => {
                    failed |= done.version.is_none();
                    writeln!(data, "{} in {}", line(&done), human_duration(started.elapsed()))?;
                    data.flush()?;
                }
                Ok(None) => {}
                Err(error) => {
                    // One day that cannot be compacted is no reason to leave the others.
                    failed = true;
                    output.report(&error);
                }
            }
        }
        bar.finish();
        if jobs.is_empty() {
            output.note("nothing to compact: no closed day has new files");
        }
        Ok(if failed { Outcome::Failed } else { Outcome::Done })
    }
}

fn line(done: &Compacted) -> String {
    let (table, day) = (done.table, &done.name);
    if done.version.is_none() {
        return format!("{table} {day}: another program changed the same files; nothing was done, try again");
    }
    format!(
        "{table} {day}: {} files to {}, {} to {}, {} rows, {} duplicates taken out,",
        human_count(done.files.0 as u64),
        human_count(done.files.1 as u64),
        human_bytes(done.bytes.0),
        human_bytes(done.bytes.1),
        human_count(done.rows),
        human_count(done.duplicates)
    )
}
