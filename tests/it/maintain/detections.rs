//! What detections make of a table that is written again, and of events that come twice or at absurd times: each new row
//! is seen once, and its alert is raised and delivered once.

use chrono::TimeDelta;
use trailhound::alert::deliver::deliver_pending;
use trailhound::alert::raise::{Runner, Subscriber};
use trailhound::alert::sinks::Sink;
use trailhound::alert::sinks::json_lines::JsonLinesSink;
use trailhound::decode::columns::CLOUDTRAIL;
use trailhound::detect::detection;
use trailhound::lake::Lake;
use trailhound::maintain::erase::Deletion;
use trailhound::maintain::vacuum;
use trailhound::query::Limits;
use trailhound::severity::Severity;

use super::{
    add, assert_whole, compact_all, make_old, number, object, object_of, object_with, open, record, rows,
};

const RULE: &str = "/*
id: every-event
title: Every event
description: For tests.
severity: low
mitre: { tactics: [TA0005], techniques: [T1562.008] }
data_source: cloudtrail
entity: [identity_user_name]
summary: '{identity_user_name}'
false_positives: [All.]
next_steps: None.
references: []
*/
select event_id, event_time, identity_user_name from cloudtrail
";

/// How many events the alerts tell of, after a run over what came in.
async fn events_told(lake: &Lake) -> i64 {
    let detections = [detection::parse("every.sql", RULE).expect("is a rule")];
    let runner = Runner { lake, detections: &detections, limits: Limits::default(), subscribers: Vec::new() };
    let outcome = runner.run_new(|_| {}).await.expect("runs");
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    number(lake, "select coalesce(sum(event_count), 0) from alerts").await
}

#[tokio::test]
async fn detections_see_each_new_row_once_whatever_is_written_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    add(&lake, vec![object("a", &[("1", 1, "x"), ("2", 2, "x")])]).await;
    assert_eq!(events_told(&lake).await, 2);
    // Compacted after it was seen: nothing new.
    compact_all(&lake).await;
    assert_eq!(events_told(&lake).await, 2);
    // Compacted, and the old files deleted, before it was seen, together with rows that were.
    add(&lake, vec![object("b", &[("3", 1, "x"), ("9", 2, "x")])]).await;
    assert_eq!(compact_all(&lake).await[0].rows, 4);
    make_old(&directory.path().join("cloudtrail"), 1_000);
    let settings = vacuum::Settings { retain: TimeDelta::days(7), dry_run: false };
    let gone: usize =
        vacuum::run(&lake, settings, |_| {}).await.expect("is done").iter().map(|v| v.paths.len()).sum();
    assert_eq!(gone, 3);
    assert_eq!(events_told(&lake).await, 4);
    // Rows are deleted beside new ones that were not seen yet: neither comes again.
    add(&lake, vec![object("c", &[("4", 4, "x")]), object_of("d", 11, &[("5", 4, "x"), ("6", 4, "z")])])
        .await;
    compact_all(&lake).await;
    let deletion = Deletion::new(&lake, &CLOUDTRAIL, "event_id in ('1', '6')", &Limits::default());
    deletion.expect("is sound").run(true, |_| {}).await.expect("is done");
    assert_eq!(events_told(&lake).await, 6);
    assert_eq!(rows(&lake).await, 5);
    assert_whole(&lake).await;
}

#[tokio::test]
async fn an_event_that_was_delivered_twice_is_counted_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    add(&lake, vec![object("a", &[("1", 1, "x"), ("2", 2, "x")])]).await;
    add(&lake, vec![object("b", &[("1", 1, "x"), ("3", 3, "x")])]).await;
    assert_eq!(rows(&lake).await, 4);
    assert_eq!(events_told(&lake).await, 3);
    // And when the other delivery came after the alert.
    add(&lake, vec![object("c", &[("2", 2, "x"), ("4", 4, "x"), ("4", 4, "x")])]).await;
    assert_eq!(events_told(&lake).await, 4);
    assert_eq!(number(&lake, "select json_length(event_ids) from alerts").await, 4);
}

#[tokio::test]
async fn alerts_of_an_absurd_day_are_merged_and_delivered_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(&directory.path().join("lake")).await;
    let sink = JsonLinesSink::open("file", directory.path().join("alerts.jsonl")).expect("a sink");
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(sink)];
    let detections = [detection::parse("every.sql", RULE).expect("is a rule")];
    let file = Subscriber { sink: "file".to_owned(), minimum_severity: Severity::Low };
    let limits = Limits::default();
    let runner = Runner { lake: &lake, detections: &detections, limits, subscribers: vec![file] };
    let years = ["1970", "1999", "2101", "2199"];
    for (hour, delivered) in [("01", years.len()), ("02", 0)] {
        let times = years.map(|year| format!("{year}-12-31T{hour}:00:00Z"));
        let records: Vec<String> = times.iter().map(|time| record(time, time, "x")).collect();
        add(&lake, vec![object_with(hour, &records)]).await;
        runner.run_new(|_| {}).await.expect("runs");
        assert_eq!(deliver_pending(&lake, &sinks).await.expect("are delivered").delivered, delivered);
        assert_eq!(deliver_pending(&lake, &sinks).await.expect("are delivered").delivered, 0);
    }
    let alerts = "select count(*) from alerts where event_count = 2 and event_date is null";
    assert_eq!(number(&lake, alerts).await, 4);
    assert_eq!(number(&lake, "select count(*) from alerts").await, 4);
}
