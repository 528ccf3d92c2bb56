//! `trailhound alerts`: reading the `alerts` table.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use std::io::Write;

use super::detect::{AlertFormat, print_alerts};
use super::output::{Outcome, Output};
use super::{Failure, Global, session};
use crate::alert::table::{AlertTable, Stored};
use crate::alert::{Alert, Severity};

/// Read alerts
#[derive(Debug, Subcommand)]
pub(crate) enum Alerts {
    /// List alerts, newest first
    List {
        /// Only of this severity and above
        #[arg(long, value_name = "SEVERITY", value_parser = severity)]
        severity: Option<Severity>,
        /// Only of this rule
        #[arg(long, value_name = "ID")]
        rule: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// How to print [default: line on a terminal, else ndjson]
        #[arg(long, value_enum, value_name = "FORMAT")]
        format: Option<AlertFormat>,
    },
    /// Show one alert with its evidence and deliveries
    Show {
        /// The alert's id, or its beginning
        id: String,
        /// How to print [default: text on a terminal, else ndjson]
        #[arg(long, value_enum, value_name = "FORMAT")]
        format: Option<AlertFormat>,
    },
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| "takes informational, low, medium, high or critical".to_owned())
}

impl Alerts {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let lake = session::open_lake(&config).await?;
        let stored = AlertTable::new(&lake).all().await?;
        match self {
            Alerts::List { severity, rule, limit, format } => {
                let wanted = |stored: &Stored| {
                    severity.is_none_or(|least| stored.alert.severity >= least)
                        && rule.as_ref().is_none_or(|rule| stored.alert.rule_id == *rule)
                };
                let alerts: Vec<Alert> = stored.into_iter().filter(wanted).map(|s| s.alert).collect();
                let shown = &alerts[..alerts.len().min(limit)];
                let usual = output.stdout_is_terminal().then_some(AlertFormat::Line);
                print_alerts(shown, format.or(usual), output)?;
                if alerts.len() > shown.len() {
                    output.note(format!(
                        "and {} more; `--limit {}` shows all",
                        alerts.len() - shown.len(),
                        alerts.len()
                    ));
                } else if alerts.is_empty() {
                    let is_filtered = severity.is_some() || rule.is_some();
                    let none = "no alerts; `trailhound detect` runs the detections over what came in";
                    output.note(if is_filtered { "no alert fits" } else { none });
                }
                Ok(Outcome::Done)
            }
            Alerts::Show { id, format } => show(&stored, &id, format, output),
        }
    }
}

fn show(
    stored: &[Stored],
    id: &str,
    format: Option<AlertFormat>,
    output: &Output,
) -> Result<Outcome, Failure> {
    let found: Vec<&Stored> =
        stored.iter().filter(|s| !id.is_empty() && s.alert.alert_id.starts_with(id)).collect();
    let [Stored { alert, deliveries }] = found.as_slice() else {
        let error = match found.len() {
            0 => format!("there is no alert `{id}`"),
            several => format!("`{id}` is the beginning of {several} alerts"),
        };
        return Err(Failure::new(Outcome::WrongUse, error)
            .hint("`trailhound alerts list --format ndjson` has whole ids"));
    };
    print_alerts(std::slice::from_ref(alert), format, output)?;
    if format == Some(AlertFormat::Ndjson) || (format.is_none() && !output.stdout_is_terminal()) {
        return Ok(Outcome::Done);
    }
    let mut data = output.data();
    writeln!(data, "raised      {}", shown_time(alert.created_at))?;
    writeln!(data, "alert id    {}", alert.alert_id)?;
    for (sink, delivery) in deliveries {
        let state = match &delivery.last_error {
            Some(error) => format!("{:?} after {} attempts: {error}", delivery.state, delivery.attempts),
            None => format!("{:?}", delivery.state),
        };
        writeln!(
            data,
            "sink        {}: {}",
            crate::text::safe(sink),
            crate::text::safe(&state.to_lowercase())
        )?;
    }
    writeln!(data, "events      {}", alert.event_ids.join(" "))?;
    writeln!(data, "evidence")?;
    for (column, value) in &alert.evidence {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(data, "  {column:28} {}", crate::text::safe(&value))?;
    }
    data.flush()?;
    Ok(Outcome::Done)
}

fn shown_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
