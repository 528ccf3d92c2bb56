//! `trailhound demo`: needs nothing but the binary.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::detect::{AlertFormat, print_alerts};
use super::ingest;
use super::output::{Outcome, Output, human_count, human_duration};
use super::{Failure, Global, session};
use crate::alert::raise::Runner;
use crate::generate::{self, Plan};
use crate::ingest::listing::{self, Days};
use crate::ingest::load::Origin;

const EXAMPLES: &str = "\
Examples:
  trailhound demo
  trailhound demo --dir /tmp/demo --format ndjson
";

/// Where the demo goes unless told otherwise.
const DIRECTORY: &str = "trailhound-demo";

/// Make a day of logs of a small estate with an attack hidden in it, load it, run the detections and show the alerts.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Where the logs and the lake go [default: ./trailhound-demo]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How to print alerts [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<AlertFormat>,
}

impl Demo {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        if global.lake.is_some() {
            let error = "`demo` makes a lake of its own, below `--dir`: it takes no `--lake`";
            return Err(Failure::new(Outcome::WrongUse, error));
        }
        let started = Instant::now();
        let directory = self.dir.unwrap_or_else(|| PathBuf::from(DIRECTORY));
        let logs = directory.join("logs");
        let lake_place = directory.join("lake").display().to_string();
        let global = Global { lake: Some(lake_place.clone()), ..global.clone() };
        let config = global.config(output)?;

        output.note(format!("making a day of logs in {}", logs.display()));
        let written = {
            let logs = logs.clone();
            let spinner = output.spinner("making logs");
            let written = tokio::task::spawn_blocking(move || generate::write_to(&Plan::demo(), &logs)).await;
            spinner.finish();
            written.map_err(|error| Failure::new(Outcome::Failed, error))??
        };
        output.note(format!(
            "loading {} records in {} objects",
            human_count(written.records as u64),
            human_count(written.objects as u64)
        ));
        let lake = Arc::new(session::create_lake(&config).await?);
        let found = listing::files(&logs, Days::default())?.found;
        let progress = output.progress_bytes(found.iter().map(|found| found.size_bytes).sum(), "reading");
        let loading = Instant::now();
        let reader = session::reader(&config, output)?;
        let files = ingest::loader(&config, &lake, &reader, Origin::Files);
        let tally = files.load(found, |bytes| progress.advance(bytes)).await?;
        progress.finish();
        let loaded = loading.elapsed();

        let rules: Vec<_> = session::rules(&config)?.into_iter().map(|rule| rule.detection).collect();
        output.note(format!("running {} detections", rules.len()));
        let progress = output.progress_items(rules.len() as u64, "running rules");
        let limits = session::limits(&config);
        let runner = Runner { lake: &lake, detections: &rules, limits, subscribers: Vec::new() };
        let outcome = runner.run_new(|_| progress.advance(1)).await?;
        progress.finish();

        output.note("");
        print_alerts(&outcome.raised, Some(self.format.unwrap_or(AlertFormat::Text)), output)?;
        if self.format.is_none_or(|format| format == AlertFormat::Text) {
            ingest::summary(&tally, loaded, &lake.place(), output)?;
            next(&lake_place, outcome.raised.len(), output)?;
        }
        output.note(format!("done in {}", human_duration(started.elapsed())));
        for (rule, error) in &outcome.failed {
            output.report(error);
            output.hint(format!("`trailhound rules test {rule}`"));
        }
        let whole = outcome.failed.is_empty() && tally.rejected.is_empty();
        Ok(if whole { Outcome::Done } else { Outcome::Failed })
    }
}

/// What to try next.
fn next(lake: &str, raised: usize, output: &Output) -> Result<(), Failure> {
    let story = generate::story();
    let mut data = output.data();
    writeln!(
        data,
        "\n{raised} alerts are new and {lake} keeps them. The commands\nabove want `--lake {lake}` too. Three questions to ask next:\n"
    )?;
    let key = story.stolen_access_key_id;
    writeln!(data, "  trailhound query access-key -p key={key} --lake {lake}")?;
    writeln!(data, "  trailhound query source-address -p address={} --lake {lake}", story.attacker_address)?;
    writeln!(
        data,
        "  trailhound sql --lake {lake} \"select event_time, event_name, error_code from cloudtrail \
         where actor_arn like '%/{}' order by event_time\"",
        story.new_user
    )?;
    data.flush()?;
    Ok(())
}
