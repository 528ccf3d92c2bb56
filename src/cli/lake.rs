//! `trailhound lake`: the tables themselves. One file per verb.

mod check;
mod compact;
mod delete;
mod expire;
mod quarantine;
mod status;
mod vacuum;

use clap::Subcommand;

use super::output::{Outcome, Output};
use super::{Failure, Global};

/// Look at the lake, check it, keep it small, take things out
#[derive(Debug, Subcommand)]
pub(crate) enum Lake {
    // What a verb does is said where its options are.
    Status(status::Status),
    Check(check::Check),
    Compact(compact::Compact),
    Expire(expire::Expire),
    Delete(delete::Delete),
    Vacuum(vacuum::Vacuum),
    Quarantine(quarantine::Quarantine),
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
            Lake::Quarantine(quarantine) => quarantine.run(global, output).await,
        }
    }
}
