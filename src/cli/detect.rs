//! `trailhound detect`: rules over what came in, or over the past.

use std::io::Write;

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;

use super::output::{Outcome, Output, human_count};
use super::{Failure, Global, session};
use crate::alert::Alert;
use crate::alert::deliver::deliver_pending;
use crate::alert::raise::{self, Runner};
use crate::alert::sinks::terminal::{self, Style};
use crate::detect::Span;
use crate::detect::detection::Detection;
use crate::detect::pack::Rule;

const EXAMPLES: &str = "\
Examples:
  trailhound detect                                  over what came in since the last run
  trailhound detect --since 2026-01-01 --until 2026-01-31
  trailhound detect --since 2026-01-01 --rule aws-root-used --save
  trailhound detect --format ndjson | jq .title
";

/// How to print alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AlertFormat {
    /// For a person to read.
    Text,
    /// One line each.
    Line,
    /// One JSON object a line.
    Ndjson,
}

/// Run detections over what came in since the last run; with --since or --until, over the past.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Detect {
    /// Hunt from this day or time (UTC) on, without touching the progress of the rules
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Hunt up to this day (included) or time (UTC)
    #[arg(long, value_name = "TIME", value_parser = time_until)]
    until: Option<DateTime<Utc>>,
    /// When hunting, keep what is found in the `alerts` table
    #[arg(long)]
    save: bool,
    /// Only these rules; repeat for each
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    /// How to print alerts [default: text on a terminal, else ndjson]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<AlertFormat>,
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "takes a day such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z".to_owned())
}

/// A day as an end means all of it.
fn time_until(text: &str) -> Result<DateTime<Utc>, String> {
    let day = text.parse::<NaiveDate>().is_ok();
    time(text).map(|time| if day { time + chrono::TimeDelta::days(1) } else { time })
}

impl Detect {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let hunts = self.since.is_some() || self.until.is_some();
        if self.save && !hunts {
            let error = "`--save` goes with `--since` or `--until`: new alerts are always kept";
            return Err(Failure::new(Outcome::WrongUse, error));
        }
        let rules = chosen(session::rules(&config)?, &self.rules)?;
        let lake = session::open_lake(&config).await?;
        let sinks = session::sinks(&config, output)?;
        let subscribers = session::subscribers(&config);
        let runner =
            Runner { lake: &lake, detections: &rules, limits: session::limits(&config), subscribers };
        let progress = output.progress_items(rules.len() as u64, "running rules");
        let started = |_: &Detection| progress.advance(1);
        let outcome = if hunts {
            let span = Span {
                start: self.since.map_or(0, |time| time.timestamp_micros()),
                end: self.until.unwrap_or_else(|| session::clock().now()).timestamp_micros(),
            };
            if span.start >= span.end {
                let until = if self.until.is_some() { "`--until`" } else { "now" };
                return Err(Failure::new(Outcome::WrongUse, format!("`--since` is not before {until}")));
            }
            runner.run_past(span, self.save, started).await?
        } else {
            runner.run_new(started).await?
        };
        progress.finish();
        // A hunt shows everything it finds, unless it is there to add what is missing.
        let mut shown = outcome.raised.clone();
        if hunts && !self.save {
            shown.extend(outcome.known.iter().cloned());
            shown.sort_by_key(|alert| alert.first_time);
        }
        print_alerts(&shown, self.format, output)?;
        tell(&outcome, hunts, output);
        if !sinks.is_empty() {
            let round = deliver_pending(&lake, &sinks).await?;
            if round.postponed + round.refused > 0 {
                output.warn(format!(
                    "{} deliveries postponed, {} refused; `trailhound run` and the next `trailhound detect` go on",
                    round.postponed, round.refused
                ));
            }
        }
        Ok(if outcome.failed.is_empty() { Outcome::Done } else { Outcome::Failed })
    }
}

/// The rules named, or all of them.
fn chosen(rules: Vec<Rule>, names: &[String]) -> Result<Vec<Detection>, Failure> {
    for name in names {
        if !rules.iter().any(|rule| rule.detection.id == *name) {
            let failure = Failure::new(Outcome::WrongUse, format!("there is no rule `{name}`"));
            return Err(failure.hint("`trailhound rules list` lists them"));
        }
    }
    let wanted = |rule: &Rule| names.is_empty() || names.contains(&rule.detection.id);
    Ok(rules.into_iter().filter(wanted).map(|rule| rule.detection).collect())
}

/// Prints alerts to standard output.
pub(super) fn print_alerts(
    alerts: &[Alert],
    format: Option<AlertFormat>,
    output: &Output,
) -> Result<(), Failure> {
    let usual = if output.stdout_is_terminal() { AlertFormat::Text } else { AlertFormat::Ndjson };
    let width = output.width().unwrap_or(100).clamp(60, 120);
    // What goes into a pipe or a file is not cut.
    let line_width = output.width().map_or(usize::MAX, |_| width);
    let mut data = output.data();
    for alert in alerts {
        match format.unwrap_or(usual) {
            AlertFormat::Text => writeln!(data, "{}", terminal::render(alert, Style::Plain, width))?,
            AlertFormat::Line => {
                writeln!(data, "{}", terminal::render_line(alert, Style::Plain, line_width))?;
            }
            AlertFormat::Ndjson => {
                let line =
                    serde_json::to_string(alert).map_err(|error| Failure::new(Outcome::Failed, error))?;
                writeln!(data, "{line}")?;
            }
        }
    }
    data.flush()?;
    Ok(())
}

fn tell(outcome: &raise::Outcome, hunts: bool, output: &Output) {
    for (table, rows) in &outcome.new_rows {
        output.note(format!("{} new rows in `{table}`", human_count(*rows)));
    }
    let kept = if hunts { "found" } else { "new" };
    output.note(format!(
        "{} {kept} alerts, {} amended, {} known already; {} rules ran, {} had nothing new",
        outcome.raised.len(),
        outcome.amended.len(),
        outcome.known.len(),
        outcome.rules_run,
        outcome.rules_idle
    ));
    for (rule, count) in &outcome.suppressed {
        output.warn(format!("rule `{rule}` found {count} more, which were suppressed"));
    }
    for (rule, error) in &outcome.failed {
        output.report(error);
        output.hint(format!(
            "`trailhound rules test {rule}`; the rule runs over the same rows again next time"
        ));
    }
}
