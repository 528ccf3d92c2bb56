//! The command line: one file per verb.
//!
//! Must never hold what a library user would want: a verb reads arguments, calls the layers below and prints.

mod alerts;
mod config;
mod demo;
mod detect;
mod failure;
pub mod format;
mod generate;
mod ingest;
mod lake;
pub mod output;
pub mod prompt;
mod query;
mod rules;
mod run;
mod session;
mod sql;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub use failure::Failure;
use output::{Color, Outcome, Output};

use crate::decode::vpc_flow::parquet;
use crate::service;
use crate::telemetry::{self, Verbosity};

const EXAMPLES: &str = "\
Examples:
  trailhound demo                                    a day of logs with an attack in it, found
  trailhound ingest ./AWSLogs                        load a folder of logs into ./lake
  trailhound ingest s3://my-trail-bucket/AWSLogs --since 2026-01-01
  trailhound sql \"select event_name, count(*) from cloudtrail group by 1 order by 2 desc limit 10\"
  trailhound query access-key -p key=AKIAIOSFODNN7EXAMPLE
  trailhound detect                                  run the detections over what came in
  trailhound alerts list
  trailhound run --config trailhound.toml            watch queues and folders, raise alerts
";

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, or what was looked for as wrong was found; 2 wrong use.
";

/// AWS CloudTrail and VPC Flow Logs as a searchable, self-watching lake.
#[derive(Debug, Parser)]
#[command(name = "trailhound", version, about, before_long_help = EXAMPLES, after_long_help = EXIT_CODES)]
#[command(propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where the lake is: a directory or `s3://bucket/prefix` [default: that of `TRAILHOUND_LAKE`, as configured, or ./lake]
    #[arg(long, global = true, value_name = "PLACE")]
    lake: Option<String>,
    /// The configuration file [default: that of `TRAILHOUND_CONFIG`, or ./trailhound.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The endpoint of all AWS requests, for a store that speaks S3 or an emulator
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    endpoint: Option<String>,
    /// The AWS region [default: that of the AWS SDK's chain]
    #[arg(long, global = true, value_name = "REGION", hide_short_help = true)]
    region: Option<String>,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", hide_short_help = true)]
    color: Color,
    /// Say only what is wrong
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say more of what happens; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a day of logs with an attack in it, load it and find the attack
    Demo(demo::Demo),
    /// Load log files from a folder or a bucket, once
    Ingest(ingest::Ingest),
    /// Watch queues and folders, load what comes in, run detections, deliver alerts
    Run(run::Run),
    /// Ask the lake in SQL
    Sql(sql::Sql),
    /// Ask a saved query
    Query(query::Query),
    /// Run detections over what came in since the last run, or over the past
    Detect(detect::Detect),
    /// List and test the detections
    #[command(subcommand)]
    Rules(rules::Rules),
    /// Read alerts
    #[command(subcommand)]
    Alerts(alerts::Alerts),
    /// Look at the lake, check it, keep it small, take things out
    #[command(subcommand)]
    Lake(lake::Lake),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Write generated logs, for tests and measurements
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// Runs the program: arguments to exit code.
pub fn run() -> ExitCode {
    leave_caught_panics_to_their_files();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let output = Output::new(arguments.global.color, arguments.global.quiet);
    let verbosity = match arguments.verb {
        // The daemon tells what it does; elsewhere the verb itself does.
        Verb::Run(_) => Verbosity::from_flags(arguments.global.quiet, arguments.global.verbose),
        _ if arguments.global.verbose == 0 => Verbosity::Quiet,
        _ => Verbosity::from_flags(arguments.global.quiet, arguments.global.verbose),
    };
    let result = telemetry::init(verbosity, None)
        .map_err(|error| Failure::new(Outcome::WrongUse, error))
        .and_then(|()| dispatch(arguments, &output));
    match result {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.tell(&output).into(),
    }
}

/// What makes a reader give up on a file is told with the file.
fn leave_caught_panics_to_their_files() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !parquet::is_reading() {
            tell(info);
        }
    }));
}

/// Help and version are what was asked for; anything else is wrong use.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // A closed pipe is nobody to tell.
    let _ = error.print();
    if asked { Outcome::Done.into() } else { Outcome::WrongUse.into() }
}

/// Planning deep SQL is recursive; this much stack is address space, not memory, until it is used.
const STACK_BYTES: usize = 256 << 20;

fn dispatch(arguments: Arguments, output: &Output) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|error| Failure::new(Outcome::Failed, error))?;
    let Arguments { global, verb } = arguments;
    let work = async {
        match verb {
            Verb::Demo(demo) => demo.run(&global, output).await,
            Verb::Ingest(ingest) => ingest.run(&global, output).await,
            Verb::Run(run) => run.run(&global, output).await,
            Verb::Sql(sql) => sql.run(&global, output).await,
            Verb::Query(query) => query.run(&global, output).await,
            Verb::Detect(detect) => detect.run(&global, output).await,
            Verb::Rules(rules) => rules.run(&global, output).await,
            Verb::Alerts(alerts) => alerts.run(&global, output).await,
            Verb::Lake(lake) => lake.run(&global, output).await,
            Verb::Config(config) => config.run(&global, output),
            Verb::Generate(generate) => generate.run(output),
        }
    };
    let outcome = on_deep_stack(|| runtime.block_on(work));
    service::end(runtime);
    outcome
}

/// Runs work on a thread with a deep stack, for what runs on the calling thread itself.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        match std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => std::panic::panic_any(format!("cannot start a thread: {error}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_is_as_reviewed() {
        let mut command = Arguments::command().color(clap::ColorChoice::Never).term_width(100);
        insta::assert_snapshot!("help_short", command.render_help());
        insta::assert_snapshot!("help_long", command.render_long_help());
        assert!(command.render_help().to_string().lines().count() <= 30, "`-h` fits one screen");
    }
}
