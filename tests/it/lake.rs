//! The lake over many commits: checkpoints, several writers, and an index that is made again from the log.

use std::sync::Arc;

use bytes::Bytes;
use trailhound::clock::{Clock, SystemClock};
use trailhound::decode::gzip;
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{Lake, ReadObject, State};
use trailhound::query::{Limits, Session};
use trailhound::store::{self, AwsSettings, Location};

async fn open(directory: &std::path::Path) -> Lake {
    let place =
        store::lake(&Location::Local(directory.to_owned()), &AwsSettings::default()).await.expect("a store");
    Lake::create(place, clock()).await.expect("a lake")
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// An object of `rows` records, all of its own.
fn object(number: usize, rows: usize) -> ReadObject {
    let record = |row: usize| {
        format!(
            r#"{{"eventVersion":"1.08","eventTime":"2026-03-{:02}T12:00:00Z","eventName":"E","eventID":"{number}-{row}"}}"#,
            1 + number % 3
        )
    };
    let records: Vec<String> = (0..rows).map(record).collect();
    let fetched = Fetched {
        bucket: "b".to_owned(),
        key: format!("key-{number}"),
        etag: Some("e".to_owned()),
        version_id: None,
        announced_at: None,
        bytes: Bytes::from(format!(r#"{{"Records":[{}]}}"#, records.join(","))),
    };
    Reader::new(gzip::Limits::default(), clock()).read(&fetched)
}

async fn number(lake: &Lake, sql: &str) -> i64 {
    let session = Session::open(lake, Limits::default()).await.expect("a session");
    let batches = session.query(sql, Vec::new()).await.expect("is planned").collect().await.expect("runs");
    let values = batches[0].column(0);
    let values = arrow::compute::cast(values, &arrow::datatypes::DataType::Int64).expect("a number");
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&values).value(0)
}

#[tokio::test]
async fn many_commits_are_read_through_checkpoints() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    for at in 0..60 {
        let report = lake.commit(vec![object(at, 2)]).await.expect("is committed");
        assert_eq!((report.added.len(), report.known.len()), (1, 0));
    }
    let checkpoint = directory.path().join("cloudtrail/_delta_log/_last_checkpoint");
    assert!(checkpoint.exists(), "a checkpoint is written after 50 versions");
    lake.update_index().await.expect("is indexed");
    assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 120);
    assert_eq!(number(&lake, "select count(distinct object_id) from objects").await, 60);
    assert_eq!(
        number(&lake, "select count(*) from cloudtrail where event_date = date '2026-03-02'").await,
        40
    );

    // Another process knows all of it, from the index and the log.
    let again = open(directory.path()).await;
    let report = again.commit((0..60).map(|at| object(at, 2)).collect()).await.expect("is committed");
    assert_eq!((report.added.len(), report.known.len()), (0, 60));
    let known = &report.known[0];
    assert!(report.committed.settles(*known));
    assert_eq!(again.states(&[*known]).await.expect("is known"), [Some(State::Committed)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_side_by_side_add_each_object_once() {
    let directory = tempfile::tempdir().expect("a directory");
    open(directory.path()).await;
    let path = directory.path().to_owned();
    let writers = (0..4).map(|writer| {
        let path = path.clone();
        tokio::spawn(async move {
            let lake = open(&path).await;
            let mut added = 0;
            for at in 0..12 {
                // Every object is given to every writer, in an order of its own.
                let objects = (0..2).map(|n| object((at * 5 + writer * 7 + n) % 12, 3)).collect();
                added += lake.commit(objects).await.expect("is committed").added.len();
                lake.update_index().await.expect("is indexed");
            }
            added
        })
    });
    let mut added = 0;
    for writer in writers.collect::<Vec<_>>() {
        added += writer.await.expect("ends well");
    }
    assert_eq!(added, 12);
    let lake = open(directory.path()).await;
    assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 36);
    assert_eq!(number(&lake, "select count(distinct event_id) from cloudtrail").await, 36);
    assert_eq!(number(&lake, "select count(*) from objects").await, 12);
}

#[tokio::test]
async fn an_index_that_was_lost_is_made_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = open(directory.path()).await;
    lake.commit(vec![object(1, 1), object(2, 1)]).await.expect("is committed");
    lake.update_index().await.expect("is indexed");
    std::fs::remove_dir_all(directory.path().join("objects")).expect("is removed");
    let lake = open(directory.path()).await;
    let report = lake.commit(vec![object(1, 1), object(3, 1)]).await.expect("is committed");
    assert_eq!((report.added.len(), report.known.len()), (1, 1), "the log knows what the index forgot");
    lake.update_index().await.expect("is indexed");
    assert_eq!(number(&lake, "select count(*) from objects").await, 3);
    assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 3);
}
