//! `trailhound lake expire`: days that are too old.

use std::io::Write;

use chrono::{Days, NaiveDate};
use clap::Args;

use crate::cli::output::{Outcome, Output, human_bytes, human_count};
use crate::cli::{Failure, Global, session};
use crate::maintain::erase::{self, Erased};
use crate::maintain::{self, day_name};

const EXAMPLES: &str = "\
Examples:
  trailhound lake expire --older-than 400d           say which days would go
  trailhound lake expire --older-than 400d --yes
";

/// Take out days that are too old
///
/// Whole days go, of the tables that hold log rows; alerts and `objects` stay, and so do rows without a usable time.
/// Reading the same objects again brings nothing back. Bytes are gone after `trailhound lake vacuum`.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Expire {
    /// Days before today minus this many go
    #[arg(long, value_name = "DAYS", value_parser = days)]
    older_than: Days,
    /// Do it: without this, only say what would be done
    #[arg(long)]
    yes: bool,
}

/// `400d` or `400`.
fn days(text: &str) -> Result<Days, String> {
    let number: u64 =
        text.trim_end_matches('d').parse().map_err(|_| "takes a number of days, as in `400d`".to_owned())?;
    if number == 0 { Err("takes at least `1d`".to_owned()) } else { Ok(Days::new(number)) }
}

impl Expire {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let lake = session::open_lake(&config).await?;
        let today = lake.clock().now().date_naive();
        let first_kept = today.checked_sub_days(self.older_than).unwrap_or(NaiveDate::MIN);
        let mut told = Told::new(output);
        let spinner = output.spinner("taking out old days");
        let done = erase::expire(&lake, first_kept, self.yes, |erased| {
            spinner.describe(&format!("taken out {} {}", erased.table, day_name(erased.day)));
            told.print(erased);
        })
        .await;
        spinner.finish();
        told.end(self.yes, done.map(drop), output)
    }
}

/// The days that are done, each printed at once: what was taken out is told, whatever fails later.
pub(super) struct Told {
    data: Box<dyn Write + Send>,
    count: usize,
    rows: u64,
    written: std::io::Result<()>,
}

impl Told {
    pub(super) fn new(output: &Output) -> Self {
        Told { data: output.data(), count: 0, rows: 0, written: Ok(()) }
    }

    /// One day in a line.
    pub(super) fn print(&mut self, erased: &Erased) {
        self.count += 1;
        self.rows += erased.rows;
        if self.written.is_ok() {
            self.written = writeln!(self.data, "{}", line(erased)).and_then(|()| self.data.flush());
        }
    }

    /// What was done in all, and what to do next; or what failed.
    pub(super) fn end(
        self,
        done: bool,
        outcome: Result<(), maintain::Error>,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        let rows = human_count(self.rows);
        if done {
            output.note(format!(
                "{rows} rows taken out; their bytes go with `trailhound lake vacuum`, once old enough"
            ));
        } else {
            output.note(format!("{rows} rows would be taken out; nothing was changed"));
            if self.count > 0 {
                output.hint("the same command with `--yes` does it");
            }
        }
        outcome?;
        self.written?;
        Ok(Outcome::Done)
    }
}

fn line(erased: &Erased) -> String {
    format!(
        "{} {}: {} rows in {} files of {}",
        erased.table,
        day_name(erased.day),
        human_count(erased.rows),
        human_count(erased.files as u64),
        human_bytes(erased.bytes)
    )
}
