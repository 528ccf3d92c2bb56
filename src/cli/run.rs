//! `trailhound run`: the daemon.

use clap::Args;

use super::output::{Outcome, Output};
use super::{Failure, Global, session};
use crate::service;

const EXAMPLES: &str = "\
Examples:
  trailhound run --config trailhound.toml
  trailhound config check --config trailhound.toml   before you start it
  trailhound config reference                        every key
";

/// Watch queues and folders, load what comes in, run detections, deliver alerts. SIGTERM drains and ends.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Run {}

impl Run {
    #[allow(clippy::unused_self)] // A verb like the others.
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let options = service::Options { screen: session::screen(output), ..service::Options::default() };
        service::run(&config, options).await?;
        Ok(Outcome::Done)
    }
}
