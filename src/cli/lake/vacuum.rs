//! `trailhound lake vacuum`: files that nothing names.

use std::io::Write;

use chrono::TimeDelta;
use clap::Args;

use crate::cli::output::{Outcome, Output, human_bytes, human_count};
use crate::cli::{Failure, Global, session};
use crate::maintain::vacuum::{self, Settings, Vacuumed};
use crate::service::setup;

const EXAMPLES: &str = "\
Examples:
  trailhound lake vacuum --dry-run                   print the files it would delete
  trailhound lake vacuum
  trailhound lake vacuum --retain-hours 24
";

/// Delete files that no version in use names
///
/// Those are files that compaction and deletion left behind, and those of writers that died before they committed. A
/// file goes when no version younger than the retention names it and the store says it is older than 24 hours. The
/// log and its checkpoints stay: they are the record of what was ingested.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Vacuum {
    /// Keep the files of versions younger than this [default: as configured]
    #[arg(long, value_name = "HOURS")]
    retain_hours: Option<u32>,
    /// Print the files, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

impl Vacuum {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let mut settings: Settings = setup::vacuum(&config);
        settings.dry_run = self.dry_run;
        if let Some(hours) = self.retain_hours {
            settings.retain = TimeDelta::hours(i64::from(hours));
        }
        let lake = session::open_lake(&config).await?;
        let spinner = output.spinner("listing files");
        let mut data = output.data();
        let (mut files, mut bytes, mut failed, mut written) = (0, 0, false, Ok(()));
        // Each table is told at once: its files are gone, whatever fails later.
        let done = vacuum::run(&lake, settings, |done| {
            spinner.describe(&format!("done with {}", done.table));
            if written.is_ok() {
                written = print(&mut data, done);
            }
            for error in &done.failed {
                output.warn(format!("a file of `{}` is still there: {error}", done.table));
            }
            files += done.paths.len();
            bytes += done.bytes;
            failed |= !done.failed.is_empty();
        })
        .await;
        spinner.finish();
        let verb = if self.dry_run { "would be deleted" } else { "deleted" };
        output.note(format!("{} files of {} {verb}", human_count(files as u64), human_bytes(bytes)));
        done?;
        written?;
        Ok(if failed { Outcome::Failed } else { Outcome::Done })
    }
}

fn print(data: &mut impl Write, done: &Vacuumed) -> std::io::Result<()> {
    for path in &done.paths {
        writeln!(data, "{}/{path}", done.table)?;
    }
    data.flush()
}
