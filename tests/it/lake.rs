//! The lake over many commits: checkpoints, several writers, and an index that is made again from the log.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use trailhound::clock::{Clock, SystemClock};
use trailhound::decode::columns::{CLOUDTRAIL, Kind, Table, column};
use trailhound::decode::gzip;
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{self, Action, Lake, ReadObject, State};
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
    assert!(report.committed.settles(report.known[0]));
    let known = object(0, 2).record;
    assert_eq!(again.states(&[known.name()]).await.expect("is known"), [Some(State::Committed)]);
}

#[tokio::test]
async fn a_lake_is_where_its_place_says_whatever_is_in_the_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let name = "a b% c#d?e~f[g]ü";
    let bucket = Arc::new(object_store::memory::InMemory::new());
    let aws = AwsSettings { region: Some("eu-west-1".to_owned()), ..AwsSettings::default() };
    for location in [
        Location::Local(directory.path().join(name)),
        format!("s3://my-lake/{name}/{name}").parse().expect("a location"),
    ] {
        let mut place = store::lake(&location, &aws).await.expect("a store");
        if matches!(location, Location::S3 { .. }) {
            place.store = Arc::clone(&bucket) as Arc<dyn ObjectStore>;
        }
        let lake = Lake::create(place, clock()).await.expect("a lake");
        for at in 0..51 {
            lake.commit(vec![object(at, 2)]).await.expect("is committed");
        }
        lake.update_index().await.expect("is indexed");
        assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 102, "{location}");
        assert_eq!(number(&lake, "select count(*) from objects").await, 51, "{location}");
    }
    assert!(directory.path().join(name).join("cloudtrail/_delta_log/_last_checkpoint").exists());
    let stored: Vec<_> = bucket.list(None).try_collect().await.expect("is listed");
    let place = format!("{name}/{name}/");
    assert!(stored.iter().all(|meta| meta.location.as_ref().starts_with(&place)), "{stored:?}");
    let hint = format!("{place}cloudtrail/_delta_log/_last_checkpoint");
    assert!(stored.iter().any(|meta| meta.location.as_ref() == hint));
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

/// The `cloudtrail` table as a version with fewer columns knew it.
static OLD: Table = Table {
    name: "cloudtrail",
    doc: "",
    time_column: "event_time",
    columns: &[
        column("event_time", "eventTime", Kind::Timestamp, ""),
        column("event_id", "eventID", Kind::Text, ""),
        column("event_date", "", Kind::EventDate, ""),
    ],
};

/// Takes away what an earlier version did not know: some tables, and columns in the schema and in a file.
async fn made_old(directory: &std::path::Path) -> Lake {
    let lake = open(directory).await;
    for table in lake::LATER_TABLES {
        std::fs::remove_dir_all(directory.join(table.name)).expect("is removed");
    }
    let first = directory.join("cloudtrail/_delta_log/00000000000000000000.json");
    let commit = std::fs::read_to_string(&first).expect("is there");
    let schema = |table| serde_json::Value::from(lake::delta_schema(table)).to_string();
    let old = commit.replace(&schema(&CLOUDTRAIL), &schema(&OLD));
    assert_ne!(old, commit);
    std::fs::write(&first, old).expect("is written");
    let rows = object(1, 2).rows.expect("has rows").to_batch();
    let columns = OLD.columns.iter().map(|column| {
        let gathered = rows.column_by_name(column.name).expect("is there");
        arrow::compute::cast(gathered, &column.kind.data_type()).expect("is of the column's type")
    });
    let file = lake::encode(&OLD, &[lake::batch(&OLD, columns.collect()).expect("fits")])
        .expect("is encoded")
        .remove(0);
    let (log, path) = (lake.log("cloudtrail").expect("is a table"), file.new_path());
    log.put_file(&path, file.content.clone()).await.expect("is stored");
    log.try_commit(1, &[Action::add(file.add(&path, 0))]).await.expect("is committed");
    lake
}

#[tokio::test]
async fn a_lake_of_an_earlier_version_is_read_and_grows() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(made_old(directory.path()).await);
    let place = store::lake(&Location::Local(directory.path().to_owned()), &AwsSettings::default()).await;
    let lake = Lake::open(place.expect("a store"), clock()).await.expect("is whole");
    assert_eq!(number(&lake, "select count(*) from digests").await, 0);
    let both = "select count(event_id) * 10 + count(insight_type) from cloudtrail";
    assert_eq!(number(&lake, both).await, 20);
    assert_eq!(
        number(&lake, "select count(record) from cloudtrail_records where record like '%1-0%'").await,
        1
    );
    let fetched = Fetched {
        bucket: "b".to_owned(),
        key: "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/03/10/x.json.gz".to_owned(),
        etag: None,
        version_id: None,
        announced_at: None,
        bytes: Bytes::from_static(
            br#"{"digestStartTime":"2026-03-10T12:00:00Z","digestEndTime":"2026-03-10T13:00:00Z"}"#,
        ),
    };
    let digest = Reader::new(gzip::Limits::default(), clock()).read(&fetched);
    let report = lake.commit(vec![digest]).await.expect("is committed");
    assert_eq!(report.rows.get("digests"), Some(&1));
    assert_eq!(number(&lake, "select count(*) from digests").await, 1);

    let lake = open(directory.path()).await;
    let schema = |version| {
        let path = format!("cloudtrail/_delta_log/{version:020}.json");
        std::fs::read_to_string(directory.path().join(path)).unwrap_or_default()
    };
    assert!(schema(2).contains("insight_type"), "the schema has the new columns: {}", schema(2));
    lake.commit(vec![object(2, 3)]).await.expect("is committed");
    assert_eq!(number(&lake, both).await, 50);
    drop(open(directory.path()).await);
    assert_eq!(schema(4), "", "columns are added once");
}
