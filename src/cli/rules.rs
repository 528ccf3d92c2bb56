//! `trailhound rules`: what is looked for, and whether the rules do what their tests say.

use std::io::Write;

use clap::Subcommand;

use super::output::{Outcome, Output};
use super::{Failure, Global, session};
use crate::detect::detection::Kind;
use crate::detect::evaluate_test;
use crate::detect::pack::Rule;
use crate::query::Limits;

/// List and test the detections
#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// List the rules, with severity and MITRE techniques
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Say everything about one rule
    Show {
        /// The rule's id
        id: String,
    },
    /// Run the tests beside the rules
    Test {
        /// Only these rules
        ids: Vec<String>,
    },
}

impl Rules {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let rules = session::rules(&config)?;
        match self {
            Rules::List { json } => list(&rules, json, output),
            Rules::Show { id } => show(find(&rules, &id)?, output),
            Rules::Test { ids } => {
                let chosen: Vec<&Rule> = if ids.is_empty() {
                    rules.iter().collect()
                } else {
                    ids.iter().map(|id| find(&rules, id)).collect::<Result<_, _>>()?
                };
                test(&chosen, &session::limits(&config), output).await
            }
        }
    }
}

fn find<'r>(rules: &'r [Rule], id: &str) -> Result<&'r Rule, Failure> {
    rules.iter().find(|rule| rule.detection.id == id).ok_or_else(|| {
        let ids = rules.iter().map(|rule| rule.detection.id.as_str());
        let failure = Failure::new(Outcome::WrongUse, format!("there is no rule `{id}`"));
        match crate::query::header::nearest(id, ids) {
            Some(nearest) => failure.hint(format!("`trailhound rules show {nearest}`")),
            None => failure.hint("`trailhound rules list` lists them"),
        }
    })
}

fn list(rules: &[Rule], json: bool, output: &Output) -> Result<Outcome, Failure> {
    let mut data = output.data();
    let width = rules.iter().map(|rule| rule.detection.id.len()).max().unwrap_or(0);
    for Rule { detection, tests, built_in } in rules {
        let tests = tests.as_ref().map_or(0, |tests| tests.tests.len());
        if json {
            let line = serde_json::json!({
                "id": detection.id,
                "title": detection.title,
                "severity": detection.severity.name(),
                "data_source": detection.table.name,
                "tactics": detection.mitre.tactics,
                "techniques": detection.mitre.techniques,
                "tests": tests,
                "built_in": built_in,
            });
            writeln!(data, "{line}")?;
        } else {
            let (id, severity) = (&detection.id, detection.severity.name());
            let techniques = detection.mitre.techniques.join(" ");
            writeln!(data, "{id:width$}  {severity:13}  {techniques:22}  {}", detection.title)?;
        }
    }
    data.flush()?;
    Ok(Outcome::Done)
}

fn show(rule: &Rule, output: &Output) -> Result<Outcome, Failure> {
    let detection = &rule.detection;
    let mut data = output.data();
    writeln!(data, "{}\n{}\n", detection.id, detection.title)?;
    writeln!(data, "{}\n", detection.description.trim())?;
    writeln!(data, "severity    {}", detection.severity.name())?;
    writeln!(data, "reads       {}", detection.table.name)?;
    let kind = if detection.kind == Kind::Event { "single events" } else { "windows of event time" };
    writeln!(data, "looks at    {kind}, {} s", detection.window.num_seconds())?;
    writeln!(data, "tactics     {}", detection.mitre.tactics.join(" "))?;
    writeln!(data, "techniques  {}", detection.mitre.techniques.join(" "))?;
    writeln!(data, "alert per   {}", detection.entity.join(", "))?;
    for harmless in &detection.false_positives {
        writeln!(data, "harmless    {harmless}")?;
    }
    writeln!(data, "next        {}", detection.next_steps.trim())?;
    for reference in &detection.references {
        writeln!(data, "reference   {reference}")?;
    }
    writeln!(data, "\n{}", detection.sql.trim())?;
    data.flush()?;
    Ok(Outcome::Done)
}

async fn test(rules: &[&Rule], limits: &Limits, output: &Output) -> Result<Outcome, Failure> {
    let (mut passed, mut failed) = (0, 0);
    let progress = output.progress_items(rules.len() as u64, "testing rules");
    for rule in rules {
        let id = &rule.detection.id;
        let Some(tests) = &rule.tests else {
            output.warn(format!("rule `{id}` has no tests"));
            continue;
        };
        for test in &tests.tests {
            let problem = match evaluate_test(&rule.detection, test, limits).await {
                Ok(found) if found.findings.len() == test.expect => None,
                Ok(found) => {
                    Some(format!("expected {} alerts and found {}", test.expect, found.findings.len()))
                }
                Err(error) => {
                    output.report(&error);
                    Some("the rule failed".to_owned())
                }
            };
            match problem {
                None => passed += 1,
                Some(problem) => {
                    failed += 1;
                    output.error(format!("rule `{id}`, test `{}`: {problem}", test.name));
                }
            }
        }
        progress.advance(1);
    }
    progress.finish();
    let mut data = output.data();
    writeln!(data, "{passed} passed, {failed} failed")?;
    data.flush()?;
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Failed })
}
