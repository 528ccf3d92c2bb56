//! The ledger against a plain map: random histories of commits, indexing, compaction, deletion of old files, files
//! of an earlier version and restarts, with so little memory that days come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trailhound::decode::gzip;
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{
    self, Action, Add, COMPACTED, DayWriter, Lake, LedgerLimits, OBJECTS, ObjectId, ObjectName, ObjectRecord,
    Placed, ReadObject, Rewrite, Rewritten, State,
};
use trailhound::maintain::vacuum;

use super::maintain::{assert_whole, clock, compact_all, make_old, number, open};

const TINY: LedgerLimits = LedgerLimits { index_bytes: 900, fresh_objects: 6, versions_behind: 10 };
const OBJECTS_THERE_MAY_BE: usize = 48;

async fn open_tiny(directory: &Path) -> Lake {
    open(directory).await.with_ledger_limits(TINY)
}

/// The key of an object: on one of six days, or on none.
fn key(number: usize) -> String {
    match number % 8 {
        day @ 0..4 => {
            format!("AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/{:02}/{number}.json", day + 10)
        }
        day @ 4..6 => format!("flows/year=2026/month=03/day={}/{number}.log", day + 10),
        _ => format!("loose/{number}.json"),
    }
}

/// An object as it is read: the same bytes may be understood by one version and not by another.
fn object(number: usize, state: State) -> ReadObject {
    let content = match state {
        State::Committed => format!(
            r#"{{"Records":[{{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventID":"{number}"}}]}}"#
        ),
        State::Empty => r#"{"Records":[]}"#.to_owned(),
        State::Quarantined => "{".to_owned(),
        State::Unsupported => r#"{"configurationItems":[]}"#.to_owned(),
    };
    let fetched = Fetched {
        bucket: "b".to_owned(),
        key: key(number),
        etag: Some("e".to_owned()),
        version_id: None,
        announced_at: None,
        bytes: Bytes::from(content),
    };
    let object = Reader::new(gzip::Limits::default(), clock()).read(&fetched);
    assert_eq!(object.record.state, state, "{:?}", object.record);
    object
}

/// What a map says of objects.
#[derive(Default)]
struct Model(BTreeMap<ObjectId, BTreeSet<&'static str>>);

impl Model {
    /// Adds an outcome; whether it was new.
    fn add(&mut self, id: ObjectId, state: State) -> bool {
        let known = self.0.entry(id).or_default();
        let is_settled = known.contains("committed") || known.contains("empty");
        !is_settled && known.insert(state.name())
    }

    fn state(&self, id: ObjectId) -> Option<State> {
        let known = self.0.get(&id)?;
        ["committed", "empty", "unsupported", "quarantined"]
            .into_iter()
            .find(|state| known.contains(state))
            .and_then(State::parse)
    }

    /// Compares what a lake says of some objects, those there are and others.
    async fn check(&self, lake: &Lake, random: &mut StdRng, what: &str) {
        let some = random.random_range(1..OBJECTS_THERE_MAY_BE);
        let numbers: Vec<usize> = (0..some).map(|_| random.random_range(0..OBJECTS_THERE_MAY_BE)).collect();
        let keys: Vec<String> = numbers.iter().map(|number| key(*number)).collect();
        let etag = |at: usize| if at % 5 == 4 { "another" } else { "e" };
        let names: Vec<ObjectName<'_>> =
            keys.iter().enumerate().map(|(at, key)| ObjectName::new("b", key, etag(at))).collect();
        let expected: Vec<Option<State>> = names.iter().map(|name| self.state(name.id())).collect();
        assert_eq!(lake.states(&names).await.expect("is looked up"), expected, "{what}");
    }
}

/// Makes of a file of the index one as version 0.1.0 wrote them: in the partition of the day it was read.
async fn make_legacy(lake: &Lake, directory: &Path, random: &mut StdRng) {
    let log = lake.log(OBJECTS.name).expect("a table");
    let snapshot = log.snapshot().await.expect("a state");
    if snapshot.files.is_empty() {
        return;
    }
    let file = &snapshot.files[random.random_range(0..snapshot.files.len())];
    let bytes = std::fs::read(directory.join("objects").join(&file.path)).expect("is there");
    let path = format!("event_date=2026-03-18/part-{}.parquet", random.random::<u64>());
    log.put_file(&path, bytes.into()).await.expect("is stored");
    let add = Add {
        path,
        partition_values: serde_json::Map::from_iter([("event_date".to_owned(), "2026-03-18".into())]),
        size: file.size_bytes,
        modification_time: 0,
        data_change: false,
        stats: Some(format!(r#"{{"numRecords":{}}}"#, file.rows.expect("is known"))),
        tags: None,
    };
    let rewrite = Rewrite {
        operation: "OPTIMIZE",
        read_at: snapshot.version,
        remove: vec![file.path.clone()],
        add: vec![add],
        removal: None,
    };
    let rewritten = lake.rewrite(log, rewrite).await.expect("is done");
    assert!(matches!(rewritten, Rewritten::Committed(_)));
}

async fn history(seed: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let mut random = StdRng::seed_from_u64(seed);
    let mut model = Model::default();
    let mut lakes = [open_tiny(path).await, open_tiny(path).await];
    for step in 0..40 {
        let at = random.random_range(0..2);
        let what = format!("seed {seed}, step {step}");
        match random.random_range(0..20) {
            0..9 => {
                let states = [State::Committed, State::Empty, State::Quarantined, State::Unsupported];
                let mut numbers: BTreeSet<usize> = BTreeSet::new();
                for _ in 0..random.random_range(1..8) {
                    numbers.insert(random.random_range(0..OBJECTS_THERE_MAY_BE));
                }
                let objects: Vec<ReadObject> =
                    numbers.iter().map(|number| object(*number, states[random.random_range(0..4)])).collect();
                let mut expected: Vec<ObjectId> = Vec::new();
                for ReadObject { record, .. } in &objects {
                    if model.add(record.object_id, record.state) {
                        expected.push(record.object_id);
                    }
                }
                let report = lakes[at].commit(objects).await.expect("is committed");
                let mut added: Vec<ObjectId> = report.added.iter().map(|record| record.object_id).collect();
                added.sort_unstable();
                expected.sort_unstable();
                assert_eq!(added, expected, "{what}");
            }
            9..12 => lakes[at].update_index().await.expect("is indexed"),
            12 => lakes[at] = open_tiny(path).await,
            13 => lakes[at] = open(path).await,
            14..16 => {
                compact_all(&lakes[at]).await;
            }
            16 => {
                make_old(path, 48);
                let settings = vacuum::Settings { retain: TimeDelta::zero(), dry_run: false };
                vacuum::run(&lakes[at], settings, |_| {}).await.expect("is done");
            }
            17 => make_legacy(&lakes[at], path, &mut random).await,
            _ => {}
        }
        for lake in &lakes {
            model.check(lake, &mut random, &what).await;
        }
    }
    lakes[0].update_index().await.expect("is indexed");
    compact_all(&lakes[0]).await;
    for file in lakes[1].log(OBJECTS.name).expect("a table").snapshot().await.expect("a state").files {
        assert!(lake::day::is_marked(&file.path), "seed {seed}: {} is by no day", file.path);
    }
    assert_whole(&lakes[1]).await;
    let outcomes: usize = model.0.values().map(BTreeSet::len).sum();
    assert_eq!(
        number(&lakes[1], "select count(*) from objects").await,
        i64::try_from(outcomes).expect("fits")
    );
    let misplaced = "select count(*) from objects where (event_date is null) <> (key like 'loose/%') or delivery_date <> event_date";
    assert_eq!(number(&lakes[1], misplaced).await, 0, "seed {seed}");
}

/// `TRAILHOUND_SEEDS` says how many histories.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_says_what_a_map_would() {
    let seeds = std::env::var("TRAILHOUND_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    for seed in 0..seeds {
        history(seed).await;
    }
}

#[tokio::test]
async fn an_index_that_is_lost_while_it_is_in_use_is_made_again_from_the_logs() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open_tiny(directory.path()).await;
    let all = || (0..OBJECTS_THERE_MAY_BE).map(|number| object(number, State::Committed)).collect::<Vec<_>>();
    for objects in all().chunks(12) {
        lake.commit(objects.to_vec()).await.expect("is committed");
        lake.update_index().await.expect("is indexed");
    }
    compact_all(&lake).await;
    let ready = open_tiny(directory.path()).await;
    assert!(ready.states(&[object(0, State::Committed).record.name()]).await.expect("is there")[0].is_some());
    std::fs::remove_dir_all(directory.path().join("objects")).expect("is removed");
    open(directory.path()).await;
    // What it knew of the other logs was in the index: they are read again.
    let objects = all();
    let names: Vec<_> = objects.iter().map(|object| object.record.name()).collect();
    let states = ready.states(&names).await.expect("is looked up");
    assert_eq!(states, vec![Some(State::Committed); OBJECTS_THERE_MAY_BE]);
    for lake in [lake, ready] {
        let report = lake.commit(all()).await.expect("is committed");
        assert_eq!((report.added.len(), report.known.len()), (0, OBJECTS_THERE_MAY_BE));
        lake.update_index().await.expect("is indexed");
        assert_eq!(
            number(&lake, "select count(distinct object_id) from objects").await,
            i64::try_from(OBJECTS_THERE_MAY_BE).expect("fits")
        );
    }
}

#[tokio::test]
async fn a_file_of_the_index_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    lake.commit((0..OBJECTS_THERE_MAY_BE).map(|number| object(number, State::Committed)).collect())
        .await
        .expect("is committed");
    lake.update_index().await.expect("is indexed");
    compact_all(&lake).await;
    for damage in ["cut", "gone"] {
        for number in 0..8 {
            let day = match number {
                0..6 => format!("event_date=2026-03-{}", number + 10),
                _ => "event_date=__HIVE_DEFAULT_PARTITION__".to_owned(),
            };
            let log = lake.log(OBJECTS.name).expect("a table");
            let files = log.snapshot().await.expect("a state").files;
            let file = files.iter().find(|file| file.path.starts_with(&day)).expect("a file of the day");
            let path = directory.path().join("objects").join(&file.path);
            let whole = std::fs::read(&path).expect("is there");
            let reopened = open_tiny(directory.path()).await;
            if damage == "cut" {
                std::fs::write(&path, &whole[..whole.len() / 2]).expect("is cut");
            } else {
                std::fs::remove_file(&path).expect("is removed");
            }
            let record = object(number, State::Committed).record;
            let looked_up = reopened.states(&[record.name()]).await;
            assert!(looked_up.is_err(), "{damage}, {number}: {looked_up:?}");
            let committed = reopened.commit(vec![object(number, State::Committed)]).await;
            assert!(committed.is_err(), "{damage}, {number}");
            std::fs::write(&path, &whole).expect("is whole again");
            assert_eq!(reopened.states(&[record.name()]).await.expect("is there"), [Some(State::Committed)]);
        }
    }
}

#[tokio::test]
async fn old_days_are_looked_up_in_their_files_within_the_limit() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    let limits = LedgerLimits { index_bytes: 64 << 10, fresh_objects: 10, ..LedgerLimits::default() };
    let lake = lake.with_ledger_limits(limits);
    lake.commit((0..OBJECTS_THERE_MAY_BE).map(|number| object(number, State::Committed)).collect())
        .await
        .expect("is committed");
    for number in (0..OBJECTS_THERE_MAY_BE).rev().chain(0..OBJECTS_THERE_MAY_BE) {
        let known = lake.states(&[object(number, State::Committed).record.name()]).await.expect("is there");
        assert_eq!(known, [Some(State::Committed)], "{number}");
        assert!(lake.ledger_bytes().await <= limits.index_bytes, "{}", lake.ledger_bytes().await);
    }
}

#[tokio::test]
async fn an_index_that_is_far_behind_is_caught_up_with_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    for number in 0..40 {
        lake.commit(vec![object(number, State::Committed)]).await.expect("is committed");
    }
    let indexed = async || {
        let app_id = lake::index_app_id("cloudtrail");
        lake.log(OBJECTS.name).expect("a table").progress(&[app_id]).await.expect("is read").1[0]
    };
    let record = object(0, State::Committed).record;
    let large = LedgerLimits { versions_behind: 42, fresh_objects: 100, ..TINY };
    let behind = open(directory.path()).await.with_ledger_limits(large);
    assert_eq!(behind.states(&[record.name()]).await.expect("is looked up"), [Some(State::Committed)]);
    assert_eq!(indexed().await, None);
    let behind = open_tiny(directory.path()).await;
    assert_eq!(behind.states(&[record.name()]).await.expect("is looked up"), [Some(State::Committed)]);
    assert_eq!(indexed().await, Some(40));
}

#[tokio::test]
async fn who_only_asks_what_is_known_does_not_hold_what_others_add() {
    let directory = tempfile::tempdir().expect("a directory");
    let (asks, adds) = (open_tiny(directory.path()).await, open(directory.path()).await);
    let record = object(0, State::Committed).record;
    let mut most = 0;
    for number in 0..40 {
        adds.commit(vec![object(number, State::Committed)]).await.expect("is committed");
        assert_eq!(asks.states(&[record.name()]).await.expect("is looked up"), [Some(State::Committed)]);
        most = most.max(asks.ledger_bytes().await);
    }
    // Of those it need not look up again, and of days that are read whole.
    assert!(most <= TINY.index_bytes + 2 * TINY.fresh_objects * 72, "{most}");
}

#[tokio::test]
async fn a_file_of_the_index_that_is_gone_is_told_and_not_others_who_commit() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    lake.commit((0..8).map(|number| object(number, State::Committed)).collect()).await.expect("is committed");
    lake.update_index().await.expect("is indexed");
    // An old day, which is looked into only when it is asked for.
    let lake = open_tiny(directory.path()).await;
    std::fs::remove_dir_all(directory.path().join("objects/event_date=2026-03-10")).expect("is removed");
    let error = lake.states(&[object(0, State::Committed).record.name()]).await.expect_err("is gone");
    let told = format!("{error:?}");
    assert!(matches!(error, lake::Error::Table { table: "objects", .. }), "{told}");
    assert!(told.contains("NotFound") && told.contains("event_date=2026-03-10"), "{told}");
}

#[tokio::test]
async fn to_an_index_that_is_not_there_nothing_is_added() {
    let directory = tempfile::tempdir().expect("a directory");
    let index = directory.path().join("objects");
    let lake = open(directory.path()).await;
    lake.commit(vec![object(0, State::Committed)]).await.expect("is committed");
    lake.update_index().await.expect("is indexed");
    lake.commit(vec![object(1, State::Committed)]).await.expect("is committed");
    std::fs::remove_dir_all(&index).expect("is removed");
    for _ in 0..2 {
        lake.update_index().await.expect_err("is not there");
        // A first version without the table's schema would be no table to anybody.
        assert!(!index.join("_delta_log/00000000000000000000.json").exists());
    }
    let again = open(directory.path()).await;
    for lake in [&lake, &again] {
        lake.update_index().await.expect("is indexed");
        assert_eq!(number(lake, "select count(*) from objects").await, 2);
    }
}

/// A day of the index as compaction leaves it, with so many objects that reading it for one would not pay.
async fn large_day(lake: &Lake, day: u32, objects: usize) -> Vec<ObjectRecord> {
    let template = object(0, State::Committed).record;
    let mut placed: Vec<Placed> = (0..objects)
        .map(|number| {
            // Every fourth key was written twice, one of each version at the end of a page and one in the next.
            let is_again = number > 0 && number % 4 == 0;
            let (number, etag) = if is_again { (number - 1, "again") } else { (number, "e") };
            let key = format!("AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/{day:02}/{number:08}.json");
            let state = if number % 1000 == 999 { State::Quarantined } else { State::Committed };
            let object_id = ObjectId::new("b", &key, etag);
            let record = ObjectRecord { object_id, state, key, etag: etag.to_owned(), ..template.clone() };
            Placed { record, rows_in: Some(("cloudtrail", 0)), committed_at: None }
        })
        .collect();
    placed.sort_by(|a, b| a.record.key.cmp(&b.record.key));
    let rows = lake::object_rows(&placed).expect("fits");
    let rows = rows.project(&(0..rows.num_columns() - 1).collect::<Vec<_>>()).expect("has these columns");
    let log = lake.log(OBJECTS.name).expect("a table");
    let date = chrono::NaiveDate::from_ymd_opt(2026, 3, day);
    let mut writer = DayWriter::new(log, date, 1 << 30, COMPACTED, 0);
    writer.write(rows).await.expect("is written");
    let mut actions =
        vec![Action::info("WRITE", 0, &serde_json::json!({ "index": true })).expect("is written")];
    actions.extend(writer.finish().await.expect("is written").into_iter().map(Action::add));
    let version = log.snapshot().await.expect("a state").version + 1;
    log.try_commit(version, &actions).await.expect("is committed");
    placed.into_iter().map(|placed| placed.record).collect()
}

#[tokio::test]
async fn single_objects_of_old_days_are_found_in_their_pages() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    let records = large_day(&lake, 1, 40_000).await;
    for day in [2, 3] {
        large_day(&lake, day, 10).await;
    }
    let (mut known, mut unknown) = (0, 0);
    for at in [0, 1, 3, 999, 8190, 8191, 8192, 8193, 16_383, 16_384, 20_000, 32_767, 32_768, 39_999] {
        // Anew each time: after some looks the day would be read whole.
        let lake = open(directory.path()).await;
        let record = &records[at];
        assert_eq!(lake.states(&[record.name()]).await.expect("is looked up"), [Some(record.state)], "{at}");
        let others = [
            ObjectName::new("b", &record.key, "another"),
            ObjectName::new("another", &record.key, &record.etag),
            ObjectName::new("b", "AWSLogs/1/CloudTrail/us-east-1/2026/03/01/first.json", "e"),
            ObjectName::new("b", "z/2026/03/01/last.json", "e"),
        ];
        assert_eq!(lake.states(&others).await.expect("is looked up"), [None; 4], "{at}");
        (known, unknown) = (known + 1, unknown + others.len());
        let bytes = lake.ledger_bytes().await;
        assert!(bytes < records.len() * 16, "{at}: {bytes}");
    }
    assert_eq!((known, unknown), (14, 56));
    // All of them at once, which reads the day.
    let lake = open(directory.path()).await;
    let names: Vec<ObjectName<'_>> = records.iter().map(ObjectRecord::name).collect();
    let states = lake.states(&names).await.expect("is looked up");
    assert!(states.iter().zip(&records).all(|(state, record)| *state == Some(record.state)));
    assert!(lake.ledger_bytes().await >= records.len() * 16);
    // And where it may not be kept.
    let lake = open_tiny(directory.path()).await;
    assert_eq!(lake.states(&names).await.expect("is looked up"), states);
    assert_eq!(lake.states(&names[..1]).await.expect("is looked up"), states[..1]);
    assert!(lake.ledger_bytes().await < 200_000);
}
