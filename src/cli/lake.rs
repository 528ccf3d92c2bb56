//! `trailhound lake`: the tables themselves. One file per verb.

mod check;
mod compact;
mod delete;
mod expire;
mod status;
mod vacuum;

use clap::Subcommand;

use super::output::{Outcome, Output};
use super::{Failure, Global};

/// Look at the lake, check it, keep it small, take things out
#[derive(Debug, Subcommand)]
pub(crate) enum Lake {
    /// Tables, versions, files, rows, bytes, oldest and newest event
    Status(status::Status),
    /// Prove from the data that each object is there once and whole
    Check(check::Check),
    /// Make few sorted files of many, and take out events that were delivered twice
    Compact(compact::Compact),
    /// Take out days that are too old
    Expire(expire::Expire),
    /// Take out rows that fit a condition
    Delete(delete::Delete),
    /// Delete files that no version in use names
    Vacuum(vacuum::Vacuum),
}

impl Lake {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        match self {
            Lake::Status(status) => status.run(global, output).await,
            Lake::Check(check) => check.run(global, output).await,
            Lake::Compact(compact) => compact.run(global, output).await,
            Lake::Expire(expire) => expire.run(global, output).await,
            Lake::Delete(delete) => delete.run(global, output).await,
            Lake::Vacuum(vacuum) => vacuum.run(global, output).await,
        }
    }
}
