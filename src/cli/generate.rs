//! `trailhound generate`: generated logs in a folder, for tests and measurements.

use std::io::Write;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;

use super::Failure;
use super::output::{Outcome, Output, human_bytes, human_count};
use crate::generate::{self, Plan};

/// Write generated logs below a folder, at the keys AWS uses.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The folder
    directory: PathBuf,
    /// CloudTrail events
    #[arg(long, default_value_t = 50_000)]
    events: usize,
    /// Flow log records
    #[arg(long, default_value_t = 0)]
    flows: usize,
    /// Objects to spread the events over [default: sizes as in real trails]
    #[arg(long)]
    objects: Option<usize>,
    /// The same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The day of the events
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<NaiveDate>,
    /// Hide the demo's attack in it
    #[arg(long)]
    attack: bool,
}

impl Generate {
    pub(crate) fn run(self, output: &Output) -> Result<Outcome, Failure> {
        let plan = Plan {
            seed: self.seed,
            day: self.day.unwrap_or(Plan::demo().day),
            events: self.events,
            flow_records: self.flows,
            objects: self.objects,
            attack: self.attack,
        };
        let written = generate::write_to(&plan, &self.directory)?;
        let mut data = output.data();
        writeln!(
            data,
            "{} objects, {} records, {} gzipped, {} of content",
            human_count(written.objects as u64),
            human_count(written.records as u64),
            human_bytes(written.compressed_bytes),
            human_bytes(written.uncompressed_bytes)
        )?;
        data.flush()?;
        Ok(Outcome::Done)
    }
}
