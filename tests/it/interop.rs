//! Other programs on the same tables: what `deltalake` and Polars read, and what is left after they compacted,
//! sorted and vacuumed the tables in their own way. And lakes that other versions of this program made.

use std::path::{Path, PathBuf};
use std::process::Command;

use trailhound::generate::{self, Plan};
use trailhound::lake::{self, Lake};
use trailhound::maintain::erase::Deletion;
use trailhound::query::Limits;
use trailhound::store::{self, AwsSettings, Location};

use super::maintain::{assert_whole, clock, compact_all, number, object_of, open};
use super::{moto, samples};

pub const PACKAGES: [&str; 2] = ["deltalake==1.6.6", "polars==2.1.0"];

/// `compare LAKE EXPORT` compares tables, column by column, with what this program exported; `rewrite LAKE` does what a
/// foreign writer may do to the tables; `clean LAKE` makes checkpoints and deletes the versions before them.
const SCRIPT: &str = r#"
import pathlib
import sys
import polars
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

verb, lake = sys.argv[1:3]
for table in ["cloudtrail", "vpc_flow"] + ["objects"] * (verb != "compare"):
    place = f"{lake}/{table}"
    if verb == "clean":
        there = DeltaTable(place)
        there.create_checkpoint()
        for file in pathlib.Path(place, "_delta_log").glob("*.json"):
            if int(file.stem) < there.version():
                file.unlink()
    elif verb == "compare":
        theirs = polars.read_delta(place)
        ours = polars.read_parquet(f"{sys.argv[3]}/{table}.parquet")
        keys = ["source_object", "source_row"]
        assert_frame_equal(theirs.sort(keys), ours.sort(keys), check_column_order=False)
        assert theirs.select(keys).n_unique() == len(theirs) > 0
        print(table, len(theirs))
    else:
        done = DeltaTable(place).optimize.compact()
        assert done["numFilesAdded"] < done["numFilesRemoved"], done
        DeltaTable(place).optimize.z_order(["row_count" if table == "objects" else "source_row"])
        DeltaTable(place).create_checkpoint()
        gone = DeltaTable(place).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        assert len(gone) >= done["numFilesRemoved"], gone
        print(table, len(gone))
"#;

struct Place {
    directory: tempfile::TempDir,
    python: PathBuf,
}

impl Place {
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn told(&self, program: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path());
        for variable in ["TRAILHOUND_LAKE", "TRAILHOUND_CONFIG", "TRAILHOUND_LOG"] {
            command.env_remove(variable);
        }
        let output = command.output().expect("the program runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?}: {stderr}\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
        format!("{}{stderr}", String::from_utf8_lossy(&output.stdout))
    }

    fn trailhound(&self, arguments: &[&str]) -> String {
        self.told(Path::new(env!("CARGO_BIN_EXE_trailhound")), arguments)
    }

    fn python(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-c", SCRIPT];
        all.extend(arguments);
        self.told(&self.python, &all)
    }

    /// The tables read by others and by this program hold the same.
    fn compare(&self) -> String {
        std::fs::create_dir_all(self.path("export")).expect("is made");
        for table in ["cloudtrail", "vpc_flow"] {
            let query = format!("select * from {table}");
            let output = Command::new(env!("CARGO_BIN_EXE_trailhound"))
                .args(["sql", "--format", "parquet", &query])
                .current_dir(self.directory.path())
                .output()
                .expect("the program runs");
            assert!(output.status.success());
            std::fs::write(self.path(&format!("export/{table}.parquet")), output.stdout).expect("is written");
        }
        self.python(&["compare", "lake", "export"])
    }

    fn check(&self) {
        let told = self.trailhound(&["lake", "check"]);
        assert!(told.contains("every row of every object is there once"), "{told}");
    }

    /// Loads a day of generated logs; returns how many objects were new.
    fn ingest(&self, seed: u64) -> String {
        let plan = Plan { seed, events: 600, flow_records: 900, attack: false, ..Plan::demo() };
        let folder = self.path(&format!("logs{seed}"));
        generate::write_to(&plan, Path::new(&folder)).expect("is generated");
        let told = self.trailhound(&["ingest", &folder]);
        told.lines().find(|line| line.starts_with("objects")).expect("is told").to_owned()
    }
}

#[test]
fn other_programs_read_the_same_and_may_rewrite_the_tables() {
    let place =
        Place { directory: tempfile::tempdir().expect("a directory"), python: moto::python_with(&PACKAGES) };
    // Objects are loaded three at a time, and each time others and then this program write the tables anew.
    for round in 1..=2 {
        for seed in 3 * round - 2..=3 * round {
            assert!(!place.ingest(seed).contains(" 0 read"), "new objects are added");
        }
        let expected = format!("cloudtrail {}\nvpc_flow {}\n", round * 1800, round * 2700);
        assert_eq!(place.compare(), expected);
        place.python(&["rewrite", "lake"]);
        place.check();
        assert_eq!(place.compare(), expected);
        let told = place.trailhound(&["lake", "compact"]);
        assert!(told.contains("cloudtrail 2025-10-14: ") && told.contains("vpc_flow 2025-10-14: "), "{told}");
        place.check();
        assert_eq!(place.compare(), expected);
    }
    for seed in 1..=6 {
        let told = place.ingest(seed);
        assert!(told.contains(" 0 read") && told.contains(" 0 rejected"), "{told}");
    }
    let told = place.trailhound(&["lake", "delete", "--where", "read_only", "--yes"]);
    assert!(!told.contains("\n0 rows taken out"), "{told}");
    place.check();
    place.compare();
    // Others clean up the logs, which they are told not to: what is in is known from the index.
    assert!(!place.ingest(7).contains(" 0 read"));
    let before = place.compare();
    place.python(&["clean", "lake"]);
    assert_eq!(place.compare(), before);
    for seed in 1..=7 {
        assert!(place.ingest(seed).contains(" 0 read"));
    }
    assert_eq!(place.compare(), before);
    assert!(!place.ingest(8).contains(" 0 read"));
    place.compare();
}

/// The version that made the lake in `testdata/lakes`.
const GOLDEN: &str = "0.1.0";

/// What is in the golden lake: five objects in as many commits, one of them with events of another.
fn golden_objects() -> Vec<lake::ReadObject> {
    vec![
        object_of("a", 10, &[("1", 1, "x"), ("2", 2, "x"), ("3", 3, "y")]),
        object_of("b", 10, &[("3", 3, "y"), ("4", 4, "x")]),
        object_of("c", 11, &[("5", 5, "x"), ("6", 6, "y")]),
        object_of("d", 12, &[("7", 7, "y"), ("8", 8, "x")]),
        object_of("empty", 12, &[]),
    ]
}

/// Makes the golden lake of this version anew: `cargo test --test it make_golden_lake -- --ignored`. The lakes of
/// versions that were released stay as they are.
#[tokio::test]
#[ignore = "writes into testdata"]
async fn make_golden_lake() {
    let directory = samples::testdata("lakes").join(GOLDEN);
    if directory.exists() {
        std::fs::remove_dir_all(&directory).expect("is removed");
    }
    let lake = open(&directory).await;
    let mut objects = golden_objects();
    let added_later = objects.split_off(3);
    for object in objects {
        lake.commit(vec![object]).await.expect("is committed");
        lake.update_index().await.expect("is indexed");
    }
    compact_all(&lake).await;
    let deletion =
        Deletion::new(&lake, &trailhound::decode::columns::CLOUDTRAIL, "event_id = '6'", &Limits::default());
    deletion.expect("is sound").run(true, |_| {}).await.expect("is done");
    for object in added_later {
        lake.commit(vec![object]).await.expect("is committed");
        lake.update_index().await.expect("is indexed");
    }
    let log = lake.log("cloudtrail").expect("a table");
    let live = log.snapshot().await.expect("a state").files;
    for file in log.list_files().await.expect("are listed") {
        if !live.iter().any(|live| live.path == file.location.as_ref()) {
            std::fs::remove_file(directory.join("cloudtrail").join(file.location.as_ref()))
                .expect("is removed");
        }
    }
}

#[tokio::test]
async fn lakes_of_every_version_are_read_checked_added_to_and_compacted() {
    let mut seen = 0;
    for version in std::fs::read_dir(samples::testdata("lakes")).expect("there are lakes") {
        let version = version.expect("a lake").path();
        if !version.is_dir() {
            continue;
        }
        seen += 1;
        let directory = tempfile::tempdir().expect("a directory");
        for file in samples::files_under(&version) {
            let copy = directory.path().join(file.strip_prefix(&version).expect("is below"));
            std::fs::create_dir_all(copy.parent().expect("a directory")).expect("is made");
            std::fs::copy(&file, &copy).expect("is copied");
        }
        let place = store::lake(&Location::Local(directory.path().to_owned()), &AwsSettings::default()).await;
        let lake = Lake::open(place.expect("a store"), clock()).await.expect("is whole");
        assert_whole(&lake).await;
        let sums = "select count(*) * 100 + sum(cast(event_id as int)) from cloudtrail";
        assert_eq!(number(&lake, sums).await, 730, "{}", version.display());
        let lake = open(directory.path()).await;
        let report = lake.commit(golden_objects()).await.expect("is committed");
        assert_eq!(report.added.len(), 0, "{:?}", report.added);
        lake.commit(vec![object_of("new", 12, &[("9", 9, "x"), ("7", 7, "y")])]).await.expect("is committed");
        lake.update_index().await.expect("is indexed");
        assert_eq!(number(&lake, "select count(*) from cloudtrail").await, 9);
        compact_all(&lake).await;
        assert_eq!(number(&lake, sums).await, 839, "{}", version.display());
        assert_whole(&lake).await;
    }
    assert!(seen >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_s3_is_kept_in_order_too() {
    let moto = moto::Moto::start();
    moto.create_bucket("lake-bucket").await;
    let directory = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_trailhound"))
            .args([
                "--lake",
                "s3://lake-bucket/a lake",
                "--endpoint",
                &moto.endpoint,
                "--region",
                moto::REGION,
            ])
            .args(arguments)
            .current_dir(directory.path())
            .env_remove("AWS_PROFILE")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .expect("the program runs");
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {told}");
        told
    };
    let logs = samples::testdata("cloudtrail").display().to_string();
    run(&["ingest", &logs]);
    assert!(run(&["lake", "compact"]).contains(" duplicates taken out, in "));
    assert!(run(&["lake", "delete", "--where", "read_only", "--yes"]).contains(" rows taken out; "));
    assert!(run(&["lake", "check"]).contains("every row of every object is there once"));
    // What was written just now is too young, whatever the retention.
    assert!(run(&["lake", "vacuum", "--retain-hours", "0"]).contains("0 files of 0 B deleted"));
    assert!(run(&["ingest", &logs]).contains(" 0 read, 2 already known"));
}
