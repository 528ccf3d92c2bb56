//! From the configuration to the things it names: the lake's place, the sinks, the detections, the limits.
//!
//! Must never start anything.

use std::io;
use std::sync::Arc;

use chrono::TimeDelta;

use super::Error;
use crate::alert::raise::Subscriber;
use crate::alert::sinks::Sink;
use crate::alert::sinks::json_lines::JsonLinesSink;
use crate::alert::sinks::terminal::{Style, TerminalSink};
use crate::alert::sinks::webhook::{Secret, WebhookConfig, WebhookSink};
use crate::clock::Clock;
use crate::config::{self, Config, Target};
use crate::decode::gzip;
use crate::decode::vpc_flow::Formats;
use crate::detect::detection::Detection;
use crate::detect::pack::{self, Rule};
use crate::ingest::read::Reader;
use crate::maintain::{compact, vacuum};
use crate::query::Limits;
use crate::store::{AwsSettings, Location};

/// Where a sink of kind `terminal` writes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// With colours or without.
    pub style: Style,
    /// In characters.
    pub width: usize,
    /// Opens the writer.
    pub open: fn() -> Box<dyn io::Write + Send>,
}

impl Default for Screen {
    /// Standard error, for a log rather than a person.
    fn default() -> Self {
        Screen { style: Style::Plain, width: 100, open: || Box::new(io::stderr()) }
    }
}

/// The place of the configured lake.
pub fn location(lake: &config::Lake) -> Location {
    match lake {
        config::Lake::Directory(path) => Location::Local(path.clone()),
        config::Lake::S3 { bucket, prefix } => {
            Location::S3 { bucket: bucket.clone(), prefix: prefix.clone() }
        }
    }
}

/// How AWS is reached.
pub fn aws(config: &Config) -> AwsSettings {
    let endpoint = config.aws.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    AwsSettings { endpoint, region: config.aws.region.clone() }
}

/// What a query may use.
pub fn limits(config: &Config) -> Limits {
    Limits { memory_bytes: config.query.memory_bytes, timeout: config.query.timeout, threads: None }
}

/// The sinks, in the order of the file. Reads their secrets; connects to nothing.
pub fn sinks(config: &Config, clock: &Arc<dyn Clock>, screen: Screen) -> Result<Vec<Box<dyn Sink>>, Error> {
    config.sinks.iter().map(|sink| one_sink(sink, clock, screen)).collect()
}

fn one_sink(sink: &config::Sink, clock: &Arc<dyn Clock>, screen: Screen) -> Result<Box<dyn Sink>, Error> {
    let name = sink.name.as_str();
    Ok(match &sink.target {
        Target::Webhook { url, secret, allow_private_addresses, allow_http, timeout } => {
            let secret = secret.as_ref().map(|place| read_secret(name, place)).transpose()?;
            let config = WebhookConfig {
                secret,
                allow_private_addresses: *allow_private_addresses,
                allow_http: *allow_http,
                timeout: *timeout,
                ..WebhookConfig::new(name, url.reveal().clone())
            };
            Box::new(WebhookSink::new(config, Arc::clone(clock))?)
        }
        Target::JsonLines { path } => Box::new(JsonLinesSink::open(name, path)?),
        Target::Terminal => Box::new(TerminalSink::new(name, screen.style, screen.width, (screen.open)())),
    })
}

fn read_secret(sink: &str, place: &config::Secret) -> Result<Secret, Error> {
    let bytes = place.read()?;
    let text = String::from_utf8(bytes).map_err(|_| Error::SecretText { sink: sink.to_owned() })?;
    Ok(Secret::new(text))
}

/// Which alerts the sinks want.
pub fn subscribers(config: &Config) -> Vec<Subscriber> {
    let subscriber =
        |sink: &config::Sink| Subscriber { sink: sink.name.clone(), minimum_severity: sink.minimum_severity };
    config.sinks.iter().map(subscriber).collect()
}

/// The rules that run: the built-in ones and those of the folders, without those that are switched off.
pub fn rules(config: &Config) -> Result<Vec<Rule>, Error> {
    let detect = &config.detect;
    pack::load(detect.built_in, &detect.folders, &detect.disabled).map_err(Error::Detections)
}

/// The detections of the rules that run.
pub fn detections(config: &Config) -> Result<Vec<Detection>, Error> {
    Ok(rules(config)?.into_iter().map(|rule| rule.detection).collect())
}

/// How closed days are compacted.
pub fn compaction(config: &Config) -> compact::Settings {
    let maintain = &config.maintain;
    compact::Settings {
        closed_after: TimeDelta::from_std(maintain.closed_after).unwrap_or(TimeDelta::MAX),
        hour_files: maintain.compact_hours.then_some(maintain.hour_files),
        merge: true,
        target_bytes: maintain.target_file_bytes,
        limits: Limits { memory_bytes: maintain.memory_bytes, ..limits(config) },
    }
}

/// What is deleted of what nothing names.
pub fn vacuum(config: &Config) -> vacuum::Settings {
    let retain = TimeDelta::from_std(config.maintain.retain).unwrap_or(TimeDelta::MAX);
    vacuum::Settings { retain, dry_run: false }
}

/// The formats of flow logs that come without a header.
pub fn flow_formats(config: &Config) -> Result<Formats, Error> {
    Formats::parse(config.ingest.flow_formats.iter().map(String::as_str)).map_err(Error::FlowFormats)
}

/// What reads objects.
pub fn reader(config: &Config, formats: Formats, clock: Arc<dyn Clock>) -> Reader {
    let limits = gzip::Limits {
        compressed_bytes: config.ingest.max_object_bytes,
        content_bytes: config.ingest.max_content_bytes,
        ..gzip::Limits::default()
    };
    Reader::new(limits, clock).with_flow_formats(formats)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "/*
id: ID
title: A title
description: What and why.
severity: high
mitre: {tactics: [TA0003], techniques: [T1098]}
data_source: cloudtrail
entity: [actor_arn]
summary: \"{actor_arn}\"
next_steps: Look.
*/
select event_id, event_time, actor_arn from cloudtrail
";

    fn config(toml: &str, directory: &std::path::Path) -> Config {
        let file = directory.join("t.toml");
        std::fs::write(&file, toml).unwrap();
        config::load(Some(&file), config::Overrides::default()).unwrap()
    }

    #[test]
    fn detections_are_those_of_the_binary_and_the_folders_without_the_disabled() {
        let directory = tempfile::tempdir().unwrap();
        let rule = |name: &str, id: &str| {
            std::fs::create_dir_all(directory.path().join("own")).unwrap();
            std::fs::write(directory.path().join("own").join(name), RULE.replace("ID", id)).unwrap();
        };
        let ids = |toml: &str| -> Result<Vec<String>, Error> {
            let rules = detections(&config(toml, directory.path()))?;
            Ok(rules.into_iter().map(|rule| rule.id).collect())
        };
        rule("a.sql", "my-rule");
        let all = ids("[detect]\nfolders = ['own']").unwrap();
        assert!(all.contains(&"my-rule".to_owned()) && all.contains(&"aws-root-used".to_owned()));
        assert_eq!(ids("[detect]\nfolders = ['own']\nbuilt_in = false").unwrap(), ["my-rule"]);
        let fewer = ids("[detect]\nfolders = ['own']\ndisabled = ['aws-root-used', 'no-such-rule']").unwrap();
        assert_eq!(fewer.len() + 1, all.len());

        // A rule in the place of a built-in one: only where that is switched off.
        rule("b.sql", "aws-root-used");
        let error = ids("[detect]\nfolders = ['own']").unwrap_err();
        let Error::Detections(problems) = &error else { panic!("{error:?}") };
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].to_string().ends_with("the id `aws-root-used` is already that of `root_used.sql`")
        );
        std::fs::write(directory.path().join("own/c.sql"), "select 1").unwrap();
        assert!(error.to_string().starts_with("1 problem with the detections\n"), "{error}");
        assert!(matches!(ids("[detect]\nfolders = ['own']"), Err(Error::Detections(all)) if all.len() == 1));
        assert!(matches!(ids("[detect]\nfolders = ['none']"), Err(Error::Detections(_))));
    }

    #[test]
    fn sinks_are_made_as_configured() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "hush\n").unwrap();
        let toml = "[[sink]]\nkind = 'json_lines'\nname = 'file'\npath = 'alerts.jsonl'\nminimum_severity = 'low'\n\
                    [[sink]]\nkind = 'webhook'\nname = 'hook'\nurl = 'https://example.com/x'\nsecret_file = 'secret'\n\
                    [[sink]]\nkind = 'terminal'\n";
        let config = config(toml, directory.path());
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
        // The TLS library is chosen by the binary, once.
        let made = sinks(&config, &clock, Screen::default());
        let subscribers = subscribers(&config);
        let names: Vec<_> = subscribers.iter().map(|subscriber| subscriber.sink.as_str()).collect();
        assert_eq!(names[..2], ["file", "hook"]);
        match made {
            Ok(made) => assert_eq!(made.iter().map(|sink| sink.name()).collect::<Vec<_>>(), names),
            Err(error) => panic!("{error:?}"),
        }
        std::fs::write(directory.path().join("secret"), [0xff]).unwrap();
        let error = sinks(&config, &clock, Screen::default()).err().unwrap();
        assert!(matches!(&error, Error::SecretText { sink } if sink == "hook"), "{error:?}");
    }
}
