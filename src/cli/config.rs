//! `trailhound config`: what is in force, and whether it is right.

use std::io::Write;

use clap::Subcommand;

use super::output::{Outcome, Output};
use super::{Failure, Global, query, session};

/// Check and show the configuration
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say what is wrong with the configuration file; where nothing is, with what it names: rules, queries, sinks
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
            Config::Check => match check(&global.config(output)?, output) {
                Ok(text) => text,
                Err(outcome) => return Ok(outcome),
            },
        };
        let mut data = output.data();
        data.write_all(text.as_bytes())?;
        data.flush()?;
        Ok(Outcome::Done)
    }
}

/// What can be used, in words. What cannot is told of all parts: one that is wrong hides no other.
fn check(config: &crate::config::Config, output: &Output) -> Result<String, Outcome> {
    let parts = [
        ("rules", session::rules(config).map(|rules| rules.len()).map_err(Failure::from)),
        ("queries", query::all(config).map(|queries| queries.len())),
        ("flow formats", session::reader(config, output).map(|_| config.ingest.flow_formats.len())),
        ("sinks", session::sinks(config, output).map(|sinks| sinks.len())),
    ];
    let file = config.file.as_ref().map_or("the defaults".to_owned(), |file| format!("`{}`", file.display()));
    let (mut usable, mut worst) = (vec![format!("{} sources", config.sources.len())], None);
    for (name, part) in parts {
        match part {
            Ok(count) => usable.push(format!("{count} {name}")),
            Err(failure) => {
                let outcome = failure.tell(output);
                worst = worst.filter(|worst: &Outcome| worst.code() >= outcome.code()).or(Some(outcome));
            }
        }
    }
    worst.map_or_else(|| Ok(format!("{file} can be used: {}\n", usable.join(", "))), Err)
}
