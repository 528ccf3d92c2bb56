//! `trailhound lake status`: how large each table is, and how far it reaches.

use std::io::Write;

use clap::Args;

use crate::cli::output::{Outcome, Output, human_bytes, human_count};
use crate::cli::{Failure, Global, session};
use crate::lake::{self, time_text};

/// Tables, versions, files, rows, bytes, oldest and newest event
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let json = self.json;
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
}
