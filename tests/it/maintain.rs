//! Keeping a lake in order: what is proven, what is compacted, what is taken out, and what is deleted; with others
//! at work on the same lake.

mod detections;
mod faulty;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use trailhound::clock::{Clock, FixedClock};
use trailhound::config;
use trailhound::decode::columns::CLOUDTRAIL;
use trailhound::decode::gzip;
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{self, Action, Add, Lake, ReadObject, Rewrite, Rewritten, State};
use trailhound::maintain::check::{self, Report};
use trailhound::maintain::compact::{self, Compacted};
use trailhound::maintain::erase::{self, Deletion};
use trailhound::maintain::vacuum;
use trailhound::query::{Limits, Session};
use trailhound::service;
use trailhound::store::{self, AwsSettings, Location};

const NOW: &str = "2026-03-20T12:00:00Z";

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock::new(DateTime::parse_from_rfc3339(NOW).expect("a time").to_utc()))
}

pub async fn open(directory: &Path) -> Lake {
    let place = store::lake(&Location::Local(directory.to_owned()), &AwsSettings::default()).await;
    Lake::create(place.expect("a store"), clock()).await.expect("a lake")
}

/// Adds versions to a log that change nothing, so that it gets long fast.
pub fn lengthen(directory: &Path, table: &str, versions: std::ops::RangeInclusive<i64>) {
    for version in versions {
        let path = directory.join(table).join(format!("_delta_log/{version:020}.json"));
        std::fs::write(path, r#"{"commitInfo":{"operation":"WRITE"}}"#).expect("is written");
    }
}

/// An event: its id, the hour of 10 March at which it was, and the name of who did it.
type Event<'a> = (&'a str, u32, &'a str);

/// An object with events of a day of March 2026.
pub fn object_of(key: &str, day: u32, events: &[Event<'_>]) -> ReadObject {
    let times = events.iter().map(|(_, hour, _)| format!("2026-03-{day:02}T{hour:02}:00:00Z"));
    let records: Vec<_> =
        events.iter().zip(times).map(|((id, _, user), time)| record(id, &time, user)).collect();
    object_with(key, &records)
}

fn record(id: &str, time: &str, user: &str) -> String {
    format!(
        r#"{{"eventVersion":"1.08","eventTime":"{time}","eventName":"E","eventID":"{id}","userIdentity":{{"type":"IAMUser","userName":"{user}"}}}}"#
    )
}

fn object_with(key: &str, records: &[String]) -> ReadObject {
    let bytes = Bytes::from(format!(r#"{{"Records":[{}]}}"#, records.join(",")));
    let fetched = Fetched { bytes, ..Fetched::unread("b", key, Some("e")) };
    Reader::new(gzip::Limits::default(), clock()).read(&fetched)
}

fn object(key: &str, events: &[Event<'_>]) -> ReadObject {
    object_of(key, 10, events)
}

async fn add(lake: &Lake, objects: Vec<ReadObject>) -> usize {
    let added = lake.commit(objects).await.expect("is committed").added.len();
    lake.update_index().await.expect("is indexed");
    added
}

pub async fn number(lake: &Lake, sql: &str) -> i64 {
    let session = Session::open(lake, Limits::default()).await.expect("a session");
    let batches = session.query(sql, Vec::new()).await.expect("is planned").collect().await.expect("runs");
    let values = arrow::compute::cast(batches[0].column(0), &arrow::datatypes::DataType::Int64);
    let values = values.expect("a number");
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&values).value(0)
}

async fn rows(lake: &Lake) -> i64 {
    number(lake, "select count(*) from cloudtrail").await
}

#[derive(Default)]
struct Counted(AtomicU64);

impl check::Progress for Counted {
    fn expect(&self, _: u64) {}

    fn read(&self, rows: u64) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }
}

pub async fn checked(lake: &Lake) -> Report {
    let progress: Arc<dyn check::Progress> = Arc::new(Counted::default());
    check::run(lake, check::Settings { hashes: true, at_once: 4 }, &progress).await.expect("is checked")
}

pub async fn assert_whole(lake: &Lake) {
    let report = checked(lake).await;
    assert_eq!((report.errors, report.problems.iter().find(|problem| problem.is_error)), (0, None));
}

pub fn settings() -> compact::Settings {
    compact::Settings {
        closed_after: TimeDelta::hours(6),
        hour_files: None,
        merge: true,
        target_bytes: 64 << 20,
        limits: Limits { memory_bytes: 64 << 20, ..Limits::default() },
    }
}

pub async fn compact_all(lake: &Lake) -> Vec<Compacted> {
    let mut all = Vec::new();
    for job in compact::jobs(lake, &settings(), None).await.expect("are found") {
        all.extend(compact::run(lake, job, &settings(), |_| {}).await.expect("is compacted"));
    }
    all
}

#[tokio::test]
async fn small_files_of_an_hour_become_one_before_those_of_their_day_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    for key in 0..4 {
        let (first, second) = (format!("{key}-1"), format!("{key}-2"));
        // 20 March is open: it is noon. The hour of ten is closed, that of twelve is not.
        add(&lake, vec![object_of(&format!("ten {key}"), 20, &[(&first, 10, "x"), ("twice", 10, "x")])])
            .await;
        add(&lake, vec![object_of(&format!("noon {key}"), 20, &[(&second, 12, "x")])]).await;
    }
    let settings = compact::Settings { hour_files: Some(4), ..settings() };
    let compact = async |lake: &Lake| {
        let mut all = Vec::new();
        for job in compact::jobs(lake, &settings, Some("cloudtrail")).await.expect("are found") {
            all.extend(compact::run(lake, job, &settings, |_| {}).await.expect("is compacted"));
        }
        all
    };
    let done = compact(&lake).await;
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!((done[0].files, done[0].rows, done[0].duplicates), ((4, 1), 8, 3));
    assert!(compact(&lake).await.is_empty(), "an hour is compacted once");
    assert_eq!(rows(&lake).await, 9);
    assert_whole(&lake).await;

    // When the day is closed, all of it is read.
    let place = store::lake(&Location::Local(directory.path().to_owned()), &AwsSettings::default()).await;
    let later = DateTime::parse_from_rfc3339("2026-03-21T06:00:00Z").expect("a time").to_utc();
    let later =
        Lake::create(place.expect("a store"), Arc::new(FixedClock::new(later))).await.expect("a lake");
    let done = compact(&later).await;
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!((done[0].files, done[0].rows, done[0].duplicates), ((5, 1), 9, 0));
    assert_eq!(rows(&later).await, 9);
    assert_whole(&later).await;
}

/// The files of a table below a lake's directory, as paths below the table's.
fn data_files(directory: &Path, table: &str) -> Vec<String> {
    let table = directory.join(table);
    let files = walkdir::WalkDir::new(&table).sort_by_file_name().into_iter().filter_map(Result::ok);
    let below = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "parquet"));
    let below = below.map(|file| file.path().strip_prefix(&table).expect("is below").display().to_string());
    below.filter(|path| !path.starts_with('_')).collect()
}

pub fn make_old(directory: &Path, hours: u64) {
    for entry in walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_file() {
            // Others may delete it meanwhile.
            let Ok(file) = std::fs::File::options().write(true).open(entry.path()) else { continue };
            file.set_modified(SystemTime::now() - Duration::from_hours(hours)).expect("is made old");
        }
    }
}

/// Three objects in two commits, one of them of the next day.
async fn small_lake(directory: &Path) -> Lake {
    let lake = open(directory).await;
    let first =
        vec![object("a", &[("1", 1, "x"), ("2", 2, "x")]), object("b", &[("3", 3, "y"), ("4", 1, "y")])];
    add(&lake, first).await;
    add(&lake, vec![object_of("c", 11, &[("5", 5, "x"), ("6", 6, "y"), ("7", 7, "x")])]).await;
    lake
}

/// Does something to a small lake and tells the kinds of errors the check then finds, sorted.
async fn kinds_after(damage: impl AsyncFnOnce(&Path, &Lake)) -> Vec<&'static str> {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    assert_whole(&lake).await;
    damage(directory.path(), &lake).await;
    let again = open(directory.path()).await;
    let report = checked(&again).await;
    let errors = report.problems.iter().filter(|problem| problem.is_error);
    let mut kinds: Vec<&str> = errors.map(|problem| problem.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Adds rows of an object to the table without saying so.
async fn add_rows(lake: &Lake, object: ReadObject, info: Option<Action>) {
    let rows = object.rows.expect("has rows");
    let table = rows.table;
    let log = lake.log(table.name).expect("a table");
    let file = lake::encode(table, &[rows.to_batch()]).expect("is encoded").remove(0);
    let path = file.new_path();
    log.put_file(&path, file.content.clone()).await.expect("is stored");
    let version = log.snapshot().await.expect("a state").version + 1;
    let mut actions = vec![Action::add(file.add(&path, 0))];
    actions.extend(info);
    log.try_commit(version, &actions).await.expect("is committed");
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let first = |directory: &Path| directory.join("cloudtrail").join(&data_files(directory, "cloudtrail")[0]);
    let kinds = kinds_after(async |directory, _| std::fs::remove_file(first(directory)).expect("is removed"));
    assert_eq!(kinds.await, ["file-missing", "rows-missing"]);

    let kinds = kinds_after(async |directory, _| {
        let bytes = std::fs::read(first(directory)).expect("is read");
        std::fs::write(first(directory), &bytes[..bytes.len() - 1]).expect("is written");
    });
    assert_eq!(kinds.await, ["file-size", "rows-missing"]);

    let kinds = kinds_after(async |directory, _| {
        // The writer's name in the footer: nothing that is read depends on it.
        let mut bytes = std::fs::read(first(directory)).expect("is read");
        let at = bytes.windows(11).rposition(|part| part == b"trailhound ").expect("is there");
        bytes[at] = b'T';
        std::fs::write(first(directory), bytes).expect("is written");
    });
    assert_eq!(kinds.await, ["file-hash"]);

    let again = object("a", &[("1", 1, "x"), ("2", 2, "x")]);
    let kinds = kinds_after(async |_, lake| add_rows(lake, again.clone(), None).await);
    assert_eq!(kinds.await, ["rows-twice"]);

    let info =
        Action::info("WRITE", 0, &serde_json::json!({ "objects": [again.record] })).expect("is written");
    let kinds = kinds_after(async |_, lake| add_rows(lake, again.clone(), Some(info)).await);
    assert_eq!(kinds.await, ["object-twice", "rows-twice"]);

    let unknown = object("z", &[("9", 9, "x")]);
    let kinds = kinds_after(async |_, lake| add_rows(lake, unknown.clone(), None).await);
    assert_eq!(kinds.await, ["object-unknown"]);

    let info =
        Action::info("WRITE", 0, &serde_json::json!({ "objects": [unknown.record] })).expect("is written");
    let kinds = kinds_after(async |_, lake| {
        let log = lake.log("cloudtrail").expect("a table");
        log.try_commit(3, std::slice::from_ref(&info)).await.expect("is committed");
    });
    assert_eq!(kinds.await, ["rows-missing"]);

    let odd = serde_json::json!({ "objects": [{ "object_id": 7 }], "removed": { "reason": "x", "rows": 3 } });
    let kinds = kinds_after(async |_, lake| {
        let log = lake.log("cloudtrail").expect("a table");
        log.try_commit(3, &[Action::info("WRITE", 0, &odd).expect("is written")])
            .await
            .expect("is committed");
    });
    assert_eq!(kinds.await, ["commit-unreadable"]);

    let absent =
        serde_json::json!({ "reason": "deleted", "rows": { again.record.object_id.to_string(): "0-5" } });
    let kinds = kinds_after(async |_, lake| {
        let log = lake.log("cloudtrail").expect("a table");
        let info = Action::info("DELETE", 0, &serde_json::json!({ "removed": absent })).expect("is written");
        log.try_commit(3, &[info]).await.expect("is committed");
    });
    assert_eq!(kinds.await, ["removal-wrong", "rows-twice"]);

    let kinds = kinds_after(async |_, lake| {
        let log = lake.log("objects").expect("a table");
        let snapshot = log.snapshot().await.expect("a state");
        let remove = Action::remove(&snapshot.files[0].path, 0);
        log.try_commit(snapshot.version + 1, &[remove]).await.expect("is committed");
    });
    assert_eq!(kinds.await, ["index-lacks"]);

    // A file that nothing names is told of, and nothing is wrong.
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    std::fs::copy(first(directory.path()), first(directory.path()).with_file_name("lost.parquet"))
        .expect("is copied");
    let report = checked(&lake).await;
    assert_eq!((report.errors, report.count, report.problems[0].kind), (0, 1, "file-orphan"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_and_the_index_leave_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    for round in 0..10 {
        let empty = |number: usize| {
            let mut object = object(&format!("{round}-{number}"), &[]);
            (object.rows, object.record.state, object.record.row_count) = (None, State::Empty, 0);
            vec![object]
        };
        let full = |number| vec![object(&format!("{round}-{number}-full"), &[("1", 1, "x")])];
        let (first, second, third, fourth, index, again) = tokio::join!(
            lake.commit(full(1)),
            lake.commit(empty(2)),
            lake.commit(full(3)),
            lake.commit(empty(4)),
            lake.update_index(),
            lake.update_index(),
        );
        index.and(again).expect("is brought up to date");
        for report in [first, second, third, fourth] {
            assert_eq!(report.expect("is committed").added.len(), 1);
        }
    }
    lake.update_index().await.expect("is brought up to date");
    let report = checked(&lake).await;
    assert_eq!((report.errors, report.count), (0, 0), "{:?}", report.problems);
}

#[tokio::test]
async fn a_day_becomes_one_file_without_duplicates_and_a_replay_adds_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    let objects = || {
        vec![
            object("a", &[("1", 1, "x"), ("2", 2, "x"), ("3", 3, "x")]),
            // The same events in another object, one of them not quite the same, and one more.
            object("b", &[("3", 3, "x"), ("2", 2, "other"), ("1", 1, "x"), ("4", 0, "x")]),
            object("c", &[("1", 1, "x")]),
            // Not closed yet at noon of the 20th.
            object_of("d", 20, &[("8", 1, "x")]),
        ]
    };
    for object in objects() {
        add(&lake, vec![object]).await;
    }
    let done = compact_all(&lake).await;
    // The ledger's rows of keys that name no day are of no day that could be open.
    let tables: Vec<_> = done.iter().map(|done| (done.table, done.name.starts_with("2026-"))).collect();
    assert_eq!(tables, [("cloudtrail", true), ("objects", false)], "{done:?}");
    assert_eq!((done[0].files, done[0].rows, done[0].duplicates), ((3, 1), 8, 3));
    let ids =
        "select count(*) * 100 + count(distinct event_id) from cloudtrail where event_date = '2026-03-10'";
    assert_eq!(number(&lake, ids).await, 504);
    assert_eq!(number(&lake, "select count(*) from cloudtrail where event_id = '2'").await, 2);
    assert_whole(&lake).await;
    assert!(compact_all(&lake).await.is_empty(), "there is nothing left to do");

    // Everything is announced again, to this process and to another.
    assert_eq!(add(&lake, objects()).await, 0);
    assert_eq!(add(&open(directory.path()).await, objects()).await, 0);
    assert_eq!(rows(&lake).await, 6);

    // A late object with an event that is there already: only that file and those it overlaps are read again.
    add(&lake, vec![object("late", &[("4", 0, "x"), ("9", 9, "x")])]).await;
    let done = compact_all(&lake).await;
    assert_eq!((done[0].files, done[0].rows, done[0].duplicates), ((2, 1), 7, 1));
    assert_eq!(rows(&lake).await, 7);
    assert_whole(&lake).await;
    let session = Session::open(&lake, Limits::default()).await.expect("a session");
    let sql = "select event_time from cloudtrail where event_date = '2026-03-10'";
    let batches = session.query(sql, vec![]).await.expect("is planned").collect().await.expect("runs");
    let times: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            let column = batch.column(0);
            arrow::array::AsArray::as_primitive::<arrow::datatypes::TimestampMicrosecondType>(column)
                .values()
                .to_vec()
        })
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn files_of_a_target_size_do_not_overlap_in_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    for key in 0..4_u32 {
        let ids: Vec<String> = (0..24).map(|hour| format!("{key}-{hour}")).collect();
        let events: Vec<Event<'_>> = ids.iter().zip(0..).map(|(id, hour)| (id.as_str(), hour, "x")).collect();
        add(&lake, vec![object(&key.to_string(), &events)]).await;
    }
    // So small a target that every batch of the sort ends a file.
    let settings = compact::Settings { target_bytes: 1, ..settings() };
    for job in compact::jobs(&lake, &settings, Some("cloudtrail")).await.expect("are found") {
        compact::run(&lake, job, &settings, |_| {}).await.expect("is compacted").expect("has files");
    }
    let mut files = lake.log("cloudtrail").expect("a table").snapshot().await.expect("a state").files;
    files.sort_by_key(|file| file.min_time);
    assert!(
        files
            .windows(2)
            .all(|pair| pair[0].max_time.zip(pair[1].min_time).is_some_and(|(a, b)| a <= b + 999))
    );
    assert_eq!(rows(&lake).await, 96);
    assert_whole(&lake).await;
}

#[tokio::test]
async fn a_rewrite_is_void_once_one_of_its_files_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    let log = lake.log("cloudtrail").expect("a table");
    let snapshot = log.snapshot().await.expect("a state");
    let rewrite = |path: &str| Rewrite {
        operation: "OPTIMIZE",
        read_at: snapshot.version,
        remove: vec![path.to_owned()],
        add: Vec::new(),
        removal: None,
    };
    let (first, second) = (&snapshot.files[0].path, &snapshot.files[1].path);
    // An append in between does no harm.
    add(&lake, vec![object("d", &[("8", 8, "x")])]).await;
    assert_eq!(lake.rewrite(log, rewrite(first)).await.expect("is tried"), Rewritten::Committed(4));
    assert_eq!(lake.rewrite(log, rewrite(first)).await.expect("is tried"), Rewritten::Overtaken);
    log.try_commit(5, &[Action::info("VACUUM START", 0, &serde_json::json!({})).expect("is written")])
        .await
        .expect("is committed");
    let outcome = lake.rewrite(log, rewrite(second)).await.expect("is tried");
    assert_eq!(outcome, Rewritten::Overtaken, "what it would add may have been deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_compaction_deletion_and_vacuum_side_by_side_lose_and_double_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    open(directory.path()).await;
    let path = directory.path().to_owned();
    let batch = |number: u32| {
        let ids: Vec<String> = (0..6).map(|row| format!("{}", number * 5 + row)).collect();
        // Every object repeats the first event of the next one.
        let events: Vec<Event<'_>> =
            ids.iter().map(|id| (id.as_str(), id.parse::<u32>().unwrap() % 24, "x")).collect();
        object(&format!("k{number}"), &events)
    };
    let writers = (0..2).map(|writer| {
        let path = path.clone();
        tokio::spawn(async move {
            let lake = open(&path).await;
            for number in 0..20 {
                lake.commit(vec![batch((number * 7 + writer * 3) % 20)]).await.expect("is committed");
                lake.update_index().await.expect("is indexed");
            }
        })
    });
    let keepers = (0..2).map(|_| {
        let path = path.clone();
        tokio::spawn(async move {
            let lake = open(&path).await;
            let mut gone = 0;
            for round in 0..6 {
                for job in compact::jobs(&lake, &settings(), None).await.expect("are found") {
                    // What it reads may be compacted and deleted by the other: that is an error, and no harm.
                    let _ = compact::run(&lake, job, &settings(), |_| {}).await;
                }
                let condition = format!("event_id = '{}'", round * 10 + 3);
                let deletion =
                    Deletion::new(&lake, &CLOUDTRAIL, &condition, &Limits::default()).expect("is sound");
                // Others may be faster all the time: that is an error, and no harm.
                let _ = deletion.run(true, |_| {}).await;
                // Whatever is there may go, also what a writer stored just now and did not commit yet.
                make_old(&path.join("cloudtrail"), 1_000);
                let retain = TimeDelta::zero();
                let settings = vacuum::Settings { retain, dry_run: false };
                let done = vacuum::run(&lake, settings, |_| {}).await.expect("is done");
                gone += done.iter().map(|vacuumed| vacuumed.paths.len()).sum::<usize>();
            }
            gone
        })
    });
    let (writers, keepers) = (writers.collect::<Vec<_>>(), keepers.collect::<Vec<_>>());
    for writer in writers {
        writer.await.expect("ends well");
    }
    let mut gone = 0;
    for keeper in keepers {
        gone += keeper.await.expect("ends well");
    }
    assert!(gone > 0, "no file was deleted meanwhile");
    let lake = open(&path).await;
    assert_whole(&lake).await;
    compact_all(&lake).await;
    assert_whole(&lake).await;
    let deletion = Deletion::new(&lake, &CLOUDTRAIL, "event_id = '3'", &Limits::default()).expect("is sound");
    deletion.run(true, |_| {}).await.expect("is done");
    let ids = "select count(distinct event_id) from cloudtrail where cast(event_id as int) % 10 <> 3";
    assert_eq!(number(&lake, ids).await, 91, "101 ids, of which every tenth may be deleted");
    assert_eq!(number(&lake, "select count(*) - count(distinct event_id) from cloudtrail").await, 0);
}

#[tokio::test]
async fn a_file_whose_path_another_program_encoded_goes_when_its_rows_are_written_again() {
    for (name, encoded) in
        [("part x.parquet", "part%20x.parquet"), ("part%20x#.parquet", "part%2520x%23.parquet")]
    {
        let directory = tempfile::tempdir().expect("a directory");
        let lake = open(directory.path()).await;
        add(&lake, vec![object("a", &[("1", 1, "x"), ("2", 2, "y")]), object_of("b", 11, &[("3", 1, "x")])])
            .await;
        let log = lake.log("cloudtrail").expect("a table");
        let snapshot = log.snapshot().await.expect("a state");
        let mut actions = Vec::new();
        for file in &snapshot.files {
            let (folder, _) = file.path.split_once('/').expect("has a partition");
            let (from, to) = (&file.path, format!("{folder}/{name}"));
            let table = directory.path().join("cloudtrail");
            std::fs::copy(table.join(from), table.join(to)).expect("is copied");
            let add = Add {
                path: format!("{folder}/{encoded}"),
                partition_values: serde_json::Map::from_iter([(
                    "event_date".to_owned(),
                    folder[11..].into(),
                )]),
                size: file.size_bytes,
                modification_time: 0,
                data_change: false,
                stats: None,
                tags: None,
            };
            actions.extend([Action::replace(from, 0), Action::add(add)]);
        }
        log.try_commit(snapshot.version + 1, &actions).await.expect("is committed");
        assert_eq!(rows(&lake).await, 3);
        assert_eq!(compact_all(&lake).await.iter().filter(|done| done.table == "cloudtrail").count(), 2);
        assert_eq!(rows(&lake).await, 3);
        assert_whole(&lake).await;
        let files = log.snapshot().await.expect("a state").files;
        assert!(files.len() == 2 && files.iter().all(|file| file.path.contains("/compact-")), "{files:?}");
    }
}

#[tokio::test]
async fn deleted_rows_are_accounted_for_and_never_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    let delete = async |condition: &str, commit: bool| {
        let deletion = Deletion::new(&lake, &CLOUDTRAIL, condition, &Limits::default()).expect("is sound");
        let erased = deletion.run(commit, |_| {}).await.expect("is done");
        erased.iter().map(|erased| erased.rows).sum::<u64>()
    };
    assert_eq!(delete("identity_user_name = 'x'", false).await, 4);
    assert_eq!(rows(&lake).await, 7, "nothing was changed");
    assert_eq!(delete("identity_user_name = 'nobody'", true).await, 0);
    assert_eq!(delete("identity_user_name = 'x'", true).await, 4);
    assert_eq!(rows(&lake).await, 3);
    assert_whole(&lake).await;
    // All that is left of a day.
    assert_eq!(delete("event_date = date '2026-03-11'", true).await, 1);
    assert_whole(&lake).await;
    compact_all(&lake).await;
    assert_whole(&lake).await;
    // A replay, by a process that never saw it, after the index was lost.
    std::fs::remove_dir_all(directory.path().join("objects")).expect("is removed");
    let again = small_lake(directory.path()).await;
    assert_eq!(rows(&again).await, 2);
    assert_whole(&again).await;
    let log = std::fs::read_dir(directory.path().join("cloudtrail/_delta_log")).expect("a log");
    let texts = log.map(|file| std::fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
    assert!(!texts.collect::<String>().contains("identity_user_name ="), "the condition may name a person");
}

#[tokio::test]
async fn conditions_that_are_not_about_one_row_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    for condition in [
        "",
        "no_such_column = 1",
        "event_id",
        "1 = 1) or (1 = 1",
        "event_id = '1'; drop table cloudtrail",
        "event_id in (select event_id from cloudtrail)",
        "exists (select 1)",
        "event_time < now()",
        "random() < 0.5",
        "count(*) > 1",
        "event_id = $1",
    ] {
        let refused = Deletion::new(&lake, &CLOUDTRAIL, condition, &Limits::default());
        assert!(refused.is_err(), "`{condition}` is taken");
    }
}

#[tokio::test]
async fn expired_days_go_whole_and_never_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    let first_kept = NaiveDate::from_ymd_opt(2026, 3, 11).expect("a day");
    let told = erase::expire(&lake, first_kept, false, |_| {}).await.expect("is told");
    assert_eq!((told.len(), told[0].rows, rows(&lake).await), (1, 4, 7));
    erase::expire(&lake, first_kept, true, |_| {}).await.expect("is done");
    assert_eq!(rows(&lake).await, 3);
    assert_whole(&lake).await;
    assert!(erase::expire(&lake, first_kept, true, |_| {}).await.expect("is done").is_empty());
    let forever = vacuum::Settings { retain: TimeDelta::MAX, dry_run: false };
    vacuum::run(&lake, forever, |_| {}).await.expect("keeps everything");
    let again = small_lake(directory.path()).await;
    assert_eq!(rows(&again).await, 3);
    assert_whole(&again).await;
}

/// Makes an empty file that was written so many hours ago.
fn put_old(path: &Path, hours: u64) {
    let file = std::fs::File::create(path).expect("is made");
    file.set_modified(SystemTime::now() - Duration::from_hours(hours)).expect("is made old");
}

#[tokio::test]
async fn only_old_files_that_no_version_in_use_names_are_deleted() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    let day = directory.path().join("cloudtrail/event_date=2026-03-10");
    put_old(&day.join("young.parquet"), 23);
    put_old(&day.join("old.parquet"), 25);
    compact_all(&lake).await;
    let run = async |days: i64, dry_run: bool| {
        let settings = vacuum::Settings { retain: TimeDelta::days(days), dry_run };
        let all = vacuum::run(&lake, settings, |_| {}).await.expect("is done");
        all.into_iter().flat_map(|vacuumed| vacuumed.paths).collect::<Vec<_>>()
    };
    let old = "event_date=2026-03-10/old.parquet".to_owned();
    assert_eq!(run(7, true).await, std::slice::from_ref(&old));
    assert!(day.join("old.parquet").exists(), "a dry run deletes nothing");
    assert_eq!(run(7, false).await, [old]);
    assert!(!day.join("old.parquet").exists() && day.join("young.parquet").exists());
    // What was compacted away stays while versions that name it are young, and while it is young itself.
    assert!(run(0, false).await.is_empty());
    make_old(&directory.path().join("cloudtrail"), 8 * 24);
    assert_eq!(run(9, false).await, ["event_date=2026-03-10/young.parquet"]);
    let gone = run(7, false).await;
    assert_eq!(gone.len(), 2, "those that were compacted away: {gone:?}");
    assert!(run(7, false).await.is_empty());
    assert_eq!(rows(&lake).await, 7);
    assert_whole(&lake).await;
    assert!(checked(&lake).await.problems.is_empty());
}

#[tokio::test]
async fn what_killed_writers_left_behind_is_deleted_once_it_is_old() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    let table = directory.path().join("cloudtrail");
    let left = ["_delta_log/00000000000000000009.json#123", "event_date=2026-03-10/compact-a.parquet#4"];
    for name in left {
        put_old(&table.join(name), 25);
    }
    let young = "event_date=2026-03-10/compact-b.parquet#5";
    put_old(&table.join(young), 23);
    for dry_run in [true, false] {
        let settings = vacuum::Settings { retain: TimeDelta::days(7), dry_run };
        let done = vacuum::run(&lake, settings, |_| {}).await.expect("is done");
        let mut paths: Vec<String> = done.into_iter().flat_map(|vacuumed| vacuumed.paths).collect();
        paths.sort_unstable();
        assert_eq!(paths, left);
        assert!(left.iter().all(|name| table.join(name).exists() == dry_run));
    }
    assert!(table.join(young).exists(), "it may still be written");
    assert_whole(&lake).await;
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_added_to_and_not_written_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = small_lake(directory.path()).await;
    let first = directory.path().join("cloudtrail/_delta_log/00000000000000000000.json");
    let commit = std::fs::read_to_string(&first).expect("is there");
    let more = r#"\"fields\":[{\"name\":\"from_the_future\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},"#;
    std::fs::write(&first, commit.replacen(r#"\"fields\":["#, more, 1)).expect("is written");
    let again = open(directory.path()).await;
    add(&again, vec![object("d", &[("8", 8, "x")])]).await;
    assert_eq!(rows(&again).await, 8);
    assert_whole(&again).await;
    let job = compact::jobs(&again, &settings(), Some("cloudtrail")).await.expect("are found").remove(0);
    let refused = compact::run(&again, job, &settings(), |_| {}).await.expect_err("is refused").to_string();
    assert!(refused.contains("`from_the_future`"), "{refused}");
    let deletion =
        Deletion::new(&again, &CLOUDTRAIL, "event_id = '1'", &Limits::default()).expect("is sound");
    let refused = deletion.run(true, |_| {}).await.expect_err("is refused").to_string();
    assert!(refused.contains("`from_the_future`"), "{refused}");

    // A protocol this version does not speak: nothing is added.
    let log = lake.log("cloudtrail").expect("a table");
    let version = log.snapshot().await.expect("a state").version + 1;
    let protocol = serde_json::json!({ "minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"] });
    log.try_commit(version, &[Action { protocol: Some(protocol), ..Action::default() }])
        .await
        .expect("is committed");
    let refused = again.commit(vec![object("e", &[("9", 9, "x")])]).await.expect_err("is refused");
    assert!(matches!(refused, lake::Error::Protocol { .. }), "{refused}");
    assert!(log.snapshot().await.is_err(), "rows may be deleted in a way this version does not see");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_compacts_and_tells_others_nothing_new() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = directory.path().join("lake");
    small_lake(&lake).await;
    std::fs::create_dir(directory.path().join("logs")).expect("is made");
    let file = directory.path().join("t.toml");
    let text = "lake = 'lake'\n[[source]]\nkind = 'folder'\npath = 'logs'\n[maintain]\ninterval_seconds = 1\n\
                closed_after_seconds = 0\n";
    std::fs::write(&file, text).expect("is written");
    let config = config::load(Some(&file), config::Overrides::default()).expect("is sound");
    let options = service::Options { signals: false, ..service::Options::default() };
    let stop = options.stop.clone();
    let running = tokio::spawn(async move { service::run(&config, options).await });
    // Two days, and one of `objects`: the day of the tests' clock is long over.
    let mut compacted = 0;
    for _ in 0..600 {
        let tables = ["cloudtrail", "objects"];
        let files = tables.iter().flat_map(|table| data_files(&lake, table));
        compacted = files.filter(|path| path.contains("/compact-")).count();
        if compacted == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(compacted, 3);
    stop.cancel();
    running.await.expect("ends").expect("ends well");
    let lake = open(&lake).await;
    assert_eq!(rows(&lake).await, 7);
    assert_whole(&lake).await;
}
