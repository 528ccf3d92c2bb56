//! `trailhound lake`: the tables themselves.

mod quarantine;

use std::io::Write;

use clap::Subcommand;

use super::output::{Outcome, Output, human_bytes, human_count};
use super::{Failure, Global, session};
use crate::lake::{self, time_text};

/// Look at the lake itself
#[derive(Debug, Subcommand)]
pub(crate) enum Lake {
    /// Tables, versions, files, rows, bytes, oldest and newest event
    Status {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// List objects that could not be read, or read them again
    Quarantine(quarantine::Quarantine),
}

impl Lake {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        match self {
            Lake::Status { json } => status(json, global, output).await,
            Lake::Quarantine(quarantine) => quarantine.run(global, output).await,
        }
    }
}

async fn status(json: bool, global: &Global, output: &Output) -> Result<Outcome, Failure> {
    let config = global.config(output)?;
    let lake = session::open_lake(&config).await?;
    let mut data = output.data();
    if !json {
        writeln!(data, "lake {}\n", lake.place())?;
        writeln!(
            data,
            "{:<20} {:>8} {:>7} {:>14} {:>11}  {:<19}  {:<19}",
            "table", "version", "files", "rows", "bytes", "oldest", "newest"
        )?;
    }
    for table in lake::TABLES {
        let snapshot = lake.log(table.name)?.snapshot().await?;
        let rows: u64 = snapshot.files.iter().filter_map(|file| file.rows).sum();
        let bytes: u64 = snapshot.files.iter().map(|file| file.size_bytes).sum();
        let oldest = snapshot.files.iter().filter_map(|file| file.min_time).min();
        let newest = snapshot.files.iter().filter_map(|file| file.max_time).max();
        if json {
            let line = serde_json::json!({
                "table": table.name,
                "version": snapshot.version,
                "files": snapshot.files.len(),
                "rows": rows,
                "bytes": bytes,
                "oldest": oldest.map(time_text),
                "newest": newest.map(time_text),
            });
            writeln!(data, "{line}")?;
        } else {
            let time = |time: Option<i64>| time.map_or_else(|| "-".to_owned(), time_text);
            writeln!(
                data,
                "{:<20} {:>8} {:>7} {:>14} {:>11}  {:<19}  {:<19}",
                table.name,
                snapshot.version,
                snapshot.files.len(),
                human_count(rows),
                human_bytes(bytes),
                time(oldest),
                time(newest)
            )?;
        }
    }
    data.flush()?;
    Ok(Outcome::Done)
}
