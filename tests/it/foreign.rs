//! A lake that other programs changed: versions of the log that they cleaned up, and columns that they added.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{NaiveDate, TimeDelta};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use trailhound::alert::raise::Runner;
use trailhound::alert::table::{AlertTable, Change};
use trailhound::detect::detection::{self, Detection};
use trailhound::lake::{self, Action, Add, Lake, ReadObject};
use trailhound::maintain::{compact, erase, vacuum};
use trailhound::query::Limits;
use trailhound::store::{self, AwsSettings, Location};

use crate::cli::Place;
use crate::maintain::{assert_whole, checked, clock, lengthen, number, object_of, open, settings};

/// Object number so and so, of one event.
fn object(number: usize) -> ReadObject {
    object_of(&format!("k{number}"), 10, &[(&format!("{number}"), 1, "x")])
}

/// Commits each object alone, so that the log gets as many versions.
async fn commit_each(lake: &Lake, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(lake.commit(vec![object(number)]).await.expect("is committed").added.len(), 1);
    }
}

/// Makes a writer read the logs to their heads: a writer learns of its own commits so too.
async fn see_all(lake: &Lake, known: usize) {
    assert_eq!(lake.commit(vec![object(known)]).await.expect("is known").known.len(), 1);
}

/// What another program deletes once there is a checkpoint: the versions before it.
fn clean_up(directory: &Path, table: &str, below: i64) {
    for version in 0..below {
        let path = directory.join(table).join(format!("_delta_log/{version:020}.json"));
        std::fs::remove_file(path).expect("is removed");
    }
}

fn version_path(directory: &Path, table: &str, version: i64) -> std::path::PathBuf {
    directory.join(table).join(format!("_delta_log/{version:020}.json"))
}

fn is_gone<T: std::fmt::Debug>(outcome: Result<T, lake::Error>, version: i64) {
    let error = outcome.expect_err("is refused");
    let gone =
        matches!(error, lake::Error::VersionGone { table: "cloudtrail", version: found } if found == version);
    assert!(gone, "{error:?}");
}

#[tokio::test]
async fn a_writer_that_slept_through_a_clean_up_commits_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let asleep = open(directory.path()).await;
    commit_each(&asleep, 0..1).await;
    see_all(&asleep, 0).await;
    let awake = open(directory.path()).await;
    commit_each(&awake, 1..55).await;
    awake.update_index().await.expect("is indexed");
    clean_up(directory.path(), "cloudtrail", 50);

    is_gone(asleep.commit(vec![object(100)]).await, 2);
    assert!(!version_path(directory.path(), "cloudtrail", 2).exists());
    // It was about to write when it fell asleep: the version is there, behind the checkpoint, and proves nothing.
    let log = asleep.log("cloudtrail").expect("a table");
    is_gone(
        log.try_commit(
            2,
            &[Action::info("WRITE", 0, &json!({ "objects": [object(100).record] })).expect("is written")],
        )
        .await,
        1,
    );
    is_gone(asleep.commit(vec![object(100)]).await, 3);
    is_gone(asleep.commit(vec![object(101)]).await, 3);

    // The others go on, and so does a new process: from the index, which is past the clean-up.
    commit_each(&awake, 55..56).await;
    let again = open(directory.path()).await;
    let report = again.commit((0..57).chain([100]).map(object).collect()).await.expect("is committed");
    assert_eq!((report.added.len(), report.known.len()), (2, 56));
    assert_eq!(number(&again, "select count(*) from cloudtrail").await, 58);
}

#[tokio::test]
async fn a_lake_whose_first_versions_were_cleaned_up_is_still_a_lake() {
    let directory = tempfile::tempdir().expect("a directory");
    commit_each(&open(directory.path()).await, 0..51).await;
    clean_up(directory.path(), "cloudtrail", 50);
    let location = Location::Local(directory.path().to_owned());
    let place = async || store::lake(&location, &AwsSettings::default()).await.expect("a store");

    let lake = Lake::open(place().await, clock()).await.expect("is there");
    assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 51);
    let report = checked(&lake).await;
    let gone = report.problems.iter().find(|problem| problem.kind == "version-gone").expect("is told");
    assert_eq!((gone.table, gone.subject.as_str()), ("cloudtrail", "0"));

    // The index never held these versions: what they added is not known, so nothing is added or indexed.
    let lake = Lake::create(place().await, clock()).await.expect("is opened");
    assert!(!version_path(directory.path(), "cloudtrail", 0).exists(), "the table is not made anew");
    is_gone(lake.commit(vec![object(7)]).await, 0);
    is_gone(lake.update_index().await, 0);
    assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 51);
}

/// A rule that finds every event.
fn rule(id: &str) -> Detection {
    let text = format!(
        "/*\nid: {id}\ntitle: Every event\ndescription: For tests.\nseverity: low\nmitre: {{ tactics: [TA0005], \
         techniques: [T1562.008] }}\ndata_source: cloudtrail\nentity: [identity_user_name]\nsummary: \
         '{{identity_user_name}}'\nfalse_positives: [All.]\nnext_steps: None.\nreferences: []\n*/\n\
         select event_id, event_time, identity_user_name from cloudtrail\n"
    );
    detection::parse("rule.sql", &text).expect("is a rule")
}

#[tokio::test]
async fn rules_that_are_past_a_clean_up_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    commit_each(&lake, 0..51).await;
    let run = async |ids: &[&str]| {
        let detections: Vec<Detection> = ids.iter().map(|id| rule(id)).collect();
        let runner = Runner {
            lake: &lake,
            detections: &detections,
            limits: Limits::default(),
            subscribers: Vec::new(),
        };
        runner.run_new(|_| {}).await.expect("runs")
    };
    assert_eq!(run(&["old-rule"]).await.rules_run, 1);
    clean_up(directory.path(), "cloudtrail", 50);
    commit_each(&lake, 51..52).await;
    let outcome = run(&["new-rule", "old-rule"]).await;
    assert_eq!((outcome.rules_run, outcome.raised.len() + outcome.amended.len()), (1, 1));
    let [(failed, error)] = &outcome.failed[..] else { panic!("{:?}", outcome.failed) };
    assert_eq!(failed, "new-rule");
    assert_eq!(error.to_string(), "version 1 of table `cloudtrail` is no longer in the log");
}

#[tokio::test]
async fn a_table_of_a_later_protocol_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    commit_each(&lake, 0..1).await;
    for table in ["cloudtrail", "alerts"] {
        let log = lake.log(table).expect("a table");
        let version = log.snapshot().await.expect("a state").version + 1;
        // Readers may go on, writers may not.
        let protocol =
            json!({ "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["appendOnly"] });
        log.try_commit(version, &[Action { protocol: Some(protocol), ..Action::default() }])
            .await
            .expect("is committed");
    }
    crate::maintain::make_old(directory.path(), 1_000);
    let first_kept = NaiveDate::from_ymd_opt(2026, 3, 11).expect("a day");
    let refused = erase::expire(&lake, first_kept, true, |_| {}).await.expect_err("is refused").to_string();
    assert!(refused.contains("writers of version 7"), "{refused}");
    assert_eq!(erase::expire(&lake, first_kept, false, |_| {}).await.expect("is told")[0].rows, 1);
    let mut done = Vec::new();
    let retain = TimeDelta::zero();
    let refused =
        vacuum::run(&lake, vacuum::Settings { retain, dry_run: false }, |of| done.push(of.table)).await;
    assert!(refused.expect_err("is refused").to_string().contains("writers of version 7"));
    assert!(done.contains(&"objects") && !done.contains(&"cloudtrail"), "the others are done: {done:?}");
    let change = Change { days: BTreeSet::new(), progress: vec![("x".to_owned(), 1)] };
    let changed = AlertTable::new(&lake).change(change, |_, _| Some(((), vec![("x".to_owned(), 1)]))).await;
    assert!(matches!(changed, Err(lake::Error::Protocol { writer: 7, .. })), "{changed:?}");
}

/// The ledger goes on from its index: what was raised in a version that the index holds is seen all the same, and
/// the index is not brought beyond such a version.
#[tokio::test]
async fn a_table_of_a_later_protocol_is_seen_behind_the_index() {
    let protocol = || {
        let protocol =
            json!({ "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["appendOnly"] });
        [Action { protocol: Some(protocol), ..Action::default() }]
    };
    for (table, is_indexed) in [("cloudtrail", true), ("cloudtrail", false), ("objects", false)] {
        let directory = tempfile::tempdir().expect("a directory");
        let lake = open(directory.path()).await;
        commit_each(&lake, 0..1).await;
        lake.update_index().await.expect("is written");
        let log = lake.log(table).expect("a table");
        let version = log.snapshot().await.expect("a state").version + 1;
        log.try_commit(version, &protocol()).await.expect("is committed");
        let objects = lake.log("objects").expect("a table");
        let index = objects.snapshot().await.expect("a state").version;
        if is_indexed {
            // As a version of the program wrote it that does not look at what it passes.
            let progress = [Action::txn(lake::index_app_id(table), version)];
            objects.try_commit(index + 1, &progress).await.expect("is committed");
        } else if table == "cloudtrail" {
            assert!(matches!(lake.update_index().await, Err(lake::Error::Protocol { writer: 7, .. })));
            assert_eq!(objects.snapshot().await.expect("a state").version, index);
        }
        let again = open(directory.path()).await;
        let refused = again.commit(vec![object(1)]).await;
        assert!(matches!(refused, Err(lake::Error::Protocol { writer: 7, .. })), "{table}: {refused:?}");
        let refused = again.known(&[object(0).record.name()]).await;
        assert!(matches!(refused, Err(lake::Error::Protocol { writer: 7, .. })), "{table}: {refused:?}");
    }
}

#[tokio::test]
async fn what_was_done_before_and_after_a_failure_is_told() {
    for arguments in [
        &["lake", "delete", "--where", "event_name = 'E'", "--yes"][..],
        &["lake", "expire", "--older-than", "1d", "--yes"],
    ] {
        let place = Place::new();
        let lake = open(&place.path("lake")).await;
        for (key, day) in [("a", 10), ("b", 11), ("c", 12)] {
            lake.commit(vec![object_of(key, day, &[(key, 1, "x")])]).await.expect("is committed");
        }
        std::fs::remove_dir_all(place.path("lake/cloudtrail/event_date=2026-03-11")).expect("is removed");
        let ran = place.run(arguments);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let days: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(days, ["cloudtrail 2026-03-10", "cloudtrail 2026-03-12"], "{}", ran.stderr);
        assert!(ran.stderr.contains("2 rows taken out") && ran.stderr.contains("error: "), "{}", ran.stderr);
        assert_eq!(
            lake.log("cloudtrail").expect("a table").snapshot().await.expect("a state").files.len(),
            1
        );
    }
}

#[tokio::test]
async fn a_table_without_its_newest_version_is_not_added_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    commit_each(&lake, 0..3).await;
    see_all(&lake, 2).await;
    std::fs::remove_file(version_path(directory.path(), "cloudtrail", 3)).expect("is removed");
    is_gone(lake.commit(vec![object(7)]).await, 4);
}

#[tokio::test]
async fn a_checkpoint_is_no_proof_that_the_newest_version_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    lengthen(directory.path(), "cloudtrail", 1..=49);
    commit_each(&lake, 0..3).await;
    see_all(&lake, 2).await;
    std::fs::remove_file(version_path(directory.path(), "cloudtrail", 52)).expect("is removed");
    is_gone(lake.commit(vec![object(100)]).await, 53);
    let log = lake.log("cloudtrail").expect("a table");
    is_gone(log.try_commit(53, &[Action::info("WRITE", 0, &json!({})).expect("is written")]).await, 52);
}

#[tokio::test]
async fn who_was_just_before_a_checkpoint_goes_on_after_a_clean_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let awake = open(directory.path()).await;
    lengthen(directory.path(), "cloudtrail", 1..=48);
    commit_each(&awake, 0..1).await;
    awake.update_index().await.expect("is indexed");
    let asleep = open(directory.path()).await;
    see_all(&asleep, 0).await;
    commit_each(&awake, 1..2).await;
    lengthen(directory.path(), "cloudtrail", 51..=99);
    commit_each(&awake, 2..3).await;
    clean_up(directory.path(), "cloudtrail", 50);
    // Nothing after the version it had read is gone.
    commit_each(&asleep, 3..4).await;
    asleep.update_index().await.expect("goes on from version 49");
    assert_eq!(number(&open(directory.path()).await, "select count(*) from objects").await, 4);
}

#[tokio::test]
async fn a_hint_of_an_old_checkpoint_does_not_hide_a_clean_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let hint = directory.path().join("cloudtrail/_delta_log/_last_checkpoint");
    let awake = open(directory.path()).await;
    lengthen(directory.path(), "cloudtrail", 1..=49);
    commit_each(&awake, 0..1).await;
    let old_hint = std::fs::read(&hint).expect("is there");
    let at_checkpoint = open(directory.path()).await;
    see_all(&at_checkpoint, 0).await;
    lengthen(directory.path(), "cloudtrail", 51..=60);
    let behind_it = open(directory.path()).await;
    see_all(&behind_it, 0).await;
    lengthen(directory.path(), "cloudtrail", 61..=99);
    commit_each(&awake, 1..3).await;
    clean_up(directory.path(), "cloudtrail", 100);
    // Whoever made the older checkpoint was slow to say so.
    std::fs::write(hint, old_hint).expect("is written");
    is_gone(at_checkpoint.commit(vec![object(200)]).await, 51);
    is_gone(behind_it.commit(vec![object(200)]).await, 61);
    let log = awake.log("cloudtrail").expect("a table");
    for version in [51, 61] {
        is_gone(
            log.try_commit(version, &[Action::info("WRITE", 0, &json!({})).expect("is written")]).await,
            version - 1,
        );
    }
    commit_each(&awake, 3..4).await;
}

#[tokio::test]
async fn a_checkpoint_that_is_missing_or_broken_stops_nothing() {
    for damage in ["missing", "broken", "beyond"] {
        let directory = tempfile::tempdir().expect("a directory");
        let lake = open(directory.path()).await;
        commit_each(&lake, 0..3).await;
        lengthen(directory.path(), "cloudtrail", 4..=49);
        commit_each(&lake, 3..4).await;
        lengthen(directory.path(), "cloudtrail", 51..=96);
        let log = directory.path().join("cloudtrail/_delta_log");
        let checkpoint = log.join("00000000000000000050.checkpoint.parquet");
        let size = std::fs::metadata(&checkpoint).expect("is there").len();
        match damage {
            // As in a copy that was made while the lake was written to: the hint came last.
            "beyond" => std::fs::write(log.join("_last_checkpoint"), r#"{"version":100,"size":9}"#),
            "missing" => std::fs::remove_file(&checkpoint),
            _ => std::fs::write(&checkpoint, vec![7; usize::try_from(size).expect("fits")]),
        }
        .expect("is done");

        let lake = open(directory.path()).await;
        assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 4, "{damage}");
        commit_each(&lake, 4..6).await;
        lake.update_index().await.expect("is indexed");
        let report = checked(&lake).await;
        let errors: Vec<_> = report.problems.iter().filter(|problem| problem.is_error).collect();
        assert_eq!((errors.len(), errors[0].kind, errors[0].table), (1, "checkpoint-wrong", "cloudtrail"));
        assert!(errors[0].detail.contains("all commits can"), "{damage}: {}", errors[0].detail);
        // What it would rewrite it can read.
        let settings = settings();
        let job = compact::jobs(&lake, &settings, Some("cloudtrail")).await.expect("are found").remove(0);
        let done = compact::run(&lake, job, &settings, |_| {}).await.expect("is done").expect("had files");
        assert_eq!(done.version, Some(99), "{damage}");

        // The next checkpoint cures it.
        commit_each(&lake, 6..8).await;
        assert!(log.join("00000000000000000100.checkpoint.parquet").exists(), "{damage}");
        lake.update_index().await.expect("is indexed");
        assert_whole(&open(directory.path()).await).await;
        assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 8, "{damage}");
    }
}

#[tokio::test]
async fn a_broken_checkpoint_of_a_log_that_was_cleaned_up_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    lengthen(directory.path(), "cloudtrail", 1..=49);
    commit_each(&lake, 0..2).await;
    clean_up(directory.path(), "cloudtrail", 50);
    let checkpoint = "cloudtrail/_delta_log/00000000000000000050.checkpoint.parquet";
    std::fs::write(directory.path().join(checkpoint), [7; 999]).expect("is written");
    let read = lake.log("cloudtrail").expect("a table").snapshot().await;
    assert!(matches!(read, Err(lake::Error::Table { table: "cloudtrail", .. })), "{read:?}");
}

#[tokio::test]
async fn a_commit_that_names_objects_in_an_unknown_form_is_not_passed_over() {
    for objects in [json!([{ "object_id": "7", "state": "sharded" }]), json!("elsewhere")] {
        let directory = tempfile::tempdir().expect("a directory");
        let lake = open(directory.path()).await;
        commit_each(&lake, 0..1).await;
        lake.update_index().await.expect("is indexed");
        let log = lake.log("cloudtrail").expect("a table");
        let newer = Action::info("WRITE", 0, &json!({ "objects": objects })).expect("is written");
        log.try_commit(2, &[newer]).await.expect("is committed");
        let fails = |outcome: Result<(), lake::Error>| {
            let error = outcome.expect_err("is refused");
            assert!(
                matches!(error, lake::Error::UnknownObject { table: "cloudtrail", version: 2, .. }),
                "{error:?}"
            );
        };
        for lake in [&lake, &open(directory.path()).await] {
            fails(lake.commit(vec![object(7)]).await.map(drop));
            fails(lake.commit(vec![object(7)]).await.map(drop));
            fails(lake.known(&[object(0).record.name()]).await.map(drop));
            fails(lake.update_index().await);
        }
        assert!(!version_path(directory.path(), "cloudtrail", 3).exists());
        let index = lake.log(lake::OBJECTS.name).expect("a table");
        let (_, progress) = index.progress(&[lake::index_app_id("cloudtrail")]).await.expect("is read");
        assert_eq!(progress, [Some(1)], "the index did not pass it");
        let report = checked(&lake).await;
        assert!(report.problems.iter().any(|problem| problem.kind == "commit-unreadable"));
    }
}

/// Puts a file of alerts in the place of another, with some columns changed.
async fn rewrite_alerts(lake: &Lake, directory: &Path, change: impl Fn(&str, ArrayRef) -> Option<ArrayRef>) {
    let log = lake.log("alerts").expect("a table");
    let snapshot = log.snapshot().await.expect("a state");
    let [file] = &snapshot.files[..] else { panic!("{snapshot:?}") };
    let bytes = std::fs::File::open(directory.join("alerts").join(&file.path)).expect("is there");
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(bytes).expect("is Parquet").build().expect("is read");
    let batch = reader.map(|batch| batch.expect("is read")).next().expect("has rows");
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).filter_map(|(field, column)| {
        Some((field.name().clone(), change(field.name(), Arc::clone(column))?, true))
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("is a batch");
    let mut written = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut written, batch.schema(), None).expect("can be written");
    writer.write(&batch).expect("is written");
    writer.close().expect("is written");
    let path = format!("event_date=2026-03-10/theirs-{}.parquet", snapshot.version);
    let add = Add {
        path: path.clone(),
        partition_values: serde_json::Map::from_iter([("event_date".to_owned(), "2026-03-10".into())]),
        size: written.len() as u64,
        modification_time: 0,
        data_change: true,
        stats: None,
        tags: None,
    };
    log.put_file(&path, written.into()).await.expect("is stored");
    let actions = [Action::remove(&file.path, 0), Action::add(add)];
    log.try_commit(snapshot.version + 1, &actions).await.expect("is committed");
}

#[tokio::test]
async fn alerts_that_others_wrote_again_in_other_types_are_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    commit_each(&lake, 0..3).await;
    let detections = [rule("a-rule")];
    let runner =
        Runner { lake: &lake, detections: &detections, limits: Limits::default(), subscribers: Vec::new() };
    runner.run_new(|_| {}).await.expect("runs");
    let table = AlertTable::new(&lake);
    let before = table.all().await.expect("are read");
    assert!(!before.is_empty());
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
    rewrite_alerts(&lake, directory.path(), |_, column| {
        let kind = match column.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::Timestamp(..) => nanoseconds.clone(),
            DataType::Int64 => DataType::Int32,
            other => other.clone(),
        };
        Some(cast(&column, &kind).expect("can be cast"))
    })
    .await;
    assert_eq!(table.all().await.expect("are read"), before);

    rewrite_alerts(&lake, directory.path(), |name, column| (name != "event_count").then_some(column)).await;
    let error = table.all().await.expect_err("lacks a column").to_string();
    assert_eq!(error, "column `event_count` of table `alerts` is null");
    rewrite_alerts(&lake, directory.path(), |name, column| match name {
        "first_time" => Some(Arc::new(StringArray::from(vec!["soon"; column.len()]))),
        _ => Some(column),
    })
    .await;
    let error = table.all().await.expect_err("is no time").to_string();
    let expected = "column `first_time` of table `alerts` cannot be read in `event_date=2026-03-10/theirs-";
    assert!(error.starts_with(expected), "{error}");
}

/// The schema of the newest metadata of `cloudtrail`, and the metadata.
fn metadata(directory: &Path, version: i64) -> (Value, Value) {
    let text = std::fs::read_to_string(version_path(directory, "cloudtrail", version)).expect("is there");
    let mut actions = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("is JSON"));
    let metadata = actions.find_map(|mut action| action.get_mut("metaData").map(Value::take));
    let metadata = metadata.expect("has metadata");
    let schema = metadata["schemaString"].as_str().expect("has a schema");
    (serde_json::from_str(schema).expect("is JSON"), metadata)
}

#[tokio::test]
async fn columns_of_others_stay_when_columns_are_added() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    // As an earlier version made it, without one column; and then another program added one, and a property.
    let first = version_path(directory.path(), "cloudtrail", 0);
    let (mut schema, mut changed) = metadata(directory.path(), 0);
    let old = changed["schemaString"].clone();
    let fields = schema["fields"].as_array_mut().expect("has fields");
    fields.retain(|field| field["name"] != "insight_type");
    let text = std::fs::read_to_string(&first).expect("is there");
    let made = text.replace(&old.to_string(), &Value::from(schema.to_string()).to_string());
    assert_ne!(made, text);
    std::fs::write(&first, made).expect("is written");
    let theirs = json!({ "name": "ticket", "type": "string", "nullable": true, "metadata": {} });
    schema["fields"].as_array_mut().expect("has fields").push(theirs);
    changed["schemaString"] = Value::from(schema.to_string());
    changed["configuration"]["their.property"] = json!("x");
    let log = lake.log("cloudtrail").expect("a table");
    log.try_commit(1, &[Action { meta_data: Some(changed.clone()), ..Action::default() }])
        .await
        .expect("is committed");
    drop(lake);

    let lake = open(directory.path()).await;
    let (schema, now) = metadata(directory.path(), 2);
    let names: Vec<&str> =
        schema["fields"].as_array().expect("has fields").iter().filter_map(|f| f["name"].as_str()).collect();
    assert_eq!(names[names.len() - 2..], ["ticket", "insight_type"]);
    for part in ["id", "name", "configuration", "partitionColumns", "format", "createdTime"] {
        assert_eq!(now[part], changed[part], "{part}");
    }
    drop(open(directory.path()).await);
    assert!(!version_path(directory.path(), "cloudtrail", 3).exists(), "columns are added once");
    // Rows are added, and none is written again: that would lose what is in the column.
    commit_each(&lake, 0..2).await;
    let settings = settings();
    let job = compact::jobs(&lake, &settings, Some("cloudtrail")).await.expect("are found").remove(0);
    let refused = compact::run(&lake, job, &settings, |_| {}).await.expect_err("is refused").to_string();
    assert!(refused.contains("`ticket`"), "{refused}");
    assert_whole(&lake).await;
}
