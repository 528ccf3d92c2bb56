//! `trailhound config`: what is in force, and whether it is right.

use std::io::Write;

use clap::Subcommand;

use super::output::{Outcome, Output};
use super::{Failure, Global, session};

/// Check and show the configuration
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say what is wrong with the configuration file; where nothing is, with its rules and its sinks
    Check,
    /// Print what is in force and where it came from
    Show,
    /// Print every key with its type, default and meaning
    Reference,
}

impl Config {
    pub(crate) fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let text = match self {
            Config::Reference => crate::config::reference(),
            Config::Show => global.config(output)?.show(),
            Config::Check => {
                let config = global.config(output)?;
                let rules = session::rules(&config)?.len();
                session::reader(&config, output)?;
                let sinks = session::sinks(&config, output)?.len();
                let file = config
                    .file
                    .as_ref()
                    .map_or("the defaults".to_owned(), |file| format!("`{}`", file.display()));
                format!(
                    "{file} can be used: {} sources, {rules} rules, {sinks} sinks\n",
                    config.sources.len()
                )
            }
        };
        let mut data = output.data();
        data.write_all(text.as_bytes())?;
        data.flush()?;
        Ok(Outcome::Done)
    }
}
