//! The program as a person or a script meets it: what it prints, where, and the exit code.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory of its own for every test, and the program run inside it.
pub struct Place {
    directory: tempfile::TempDir,
}

/// How a run of the program ended.
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What it printed to standard output.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Place { directory: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_trailhound"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("TRAILHOUND_LAKE")
            .env_remove("TRAILHOUND_CONFIG")
            .env_remove("TRAILHOUND_LOG")
            .output()
            .expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs the program, which must end well; returns what it printed to standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    pub fn rows(&self, sql: &str) -> String {
        self.ok(&["sql", "--format", "csv", sql]).replace("\r\n", "\n")
    }
}

fn testdata() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").display().to_string()
}

#[test]
fn a_folder_is_loaded_once() {
    let place = Place::new();
    let logs = testdata();
    let cloudtrail = format!("{logs}/cloudtrail");
    let first = place.ok(&["ingest", &cloudtrail]);
    assert!(first.contains("objects   2 read, 0 already known, 0 rejected"), "{first}");
    assert!(first.contains("17 into `cloudtrail`"), "{first}");
    for _ in 0..2 {
        let again = place.ok(&["ingest", &cloudtrail]);
        assert!(again.contains("objects   0 read, 2 already known, 0 rejected"), "{again}");
        assert!(again.contains("rows      none"), "{again}");
    }
    let rows = place.rows("select count(*) as n, count(distinct source_object) as objects from cloudtrail");
    assert_eq!(rows, "n,objects\n17,2\n");
    let ledger = place.rows("select state, count(*) as n, sum(row_count) as r from objects group by 1");
    assert_eq!(ledger, "state,n,r\ncommitted,2,17\n");
    let flows = place.ok(&["ingest", &format!("{logs}/vpc_flow")]);
    assert!(flows.contains("into `vpc_flow`"), "{flows}");
}

#[test]
fn two_processes_load_the_same_folder_at_once() {
    let place = Place::new();
    let logs = place.path("logs");
    let logs = logs.display().to_string();
    place.ok(&["generate", &logs, "--events", "3000", "--objects", "40", "--flows", "1000"]);
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..3).map(|_| scope.spawn(|| place.ok(&["ingest", &logs]))).collect();
        for load in loads {
            load.join().expect("ends well");
        }
    });
    for table in ["cloudtrail", "vpc_flow"] {
        let sql = format!(
            "select count(*) as n, count(distinct source_object || '/' || source_row) as d from {table}"
        );
        let rows = place.rows(&sql);
        let (n, d) = rows.lines().nth(1).and_then(|row| row.split_once(',')).expect("two numbers");
        assert_eq!(n, d, "{table}");
        assert_eq!(n, if table == "cloudtrail" { "3000" } else { "1000" });
    }
    let ledger =
        place.rows("select count(*) as n, count(distinct object_id) as d, sum(row_count) as r from objects");
    let numbers: Vec<&str> = ledger.lines().nth(1).expect("a row").split(',').collect();
    assert_eq!(numbers[0], numbers[1], "{ledger}");
    assert_eq!(numbers[2], "4000", "{ledger}");
}

#[test]
fn what_is_recorded_nowhere_is_named_in_full() {
    let place = Place::new();
    std::fs::write(place.path("trailhound.toml"), "[ingest]\nmax_object_bytes = 1024\n").expect("is written");
    std::fs::create_dir(place.path("logs")).expect("is made");
    for number in 10..35 {
        let name = |kind: &str| place.path("logs").join(format!("{kind}-{number}.json"));
        std::fs::write(name("cut"), r#"{"Records":[{"eventName":"A"},"#).expect("is written");
        std::fs::write(name("large"), vec![b' '; 2000]).expect("is written");
    }
    let ran = place.run(&["ingest", "logs"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let lines = |word: &str| ran.stderr.lines().filter(|line| line.contains(word)).count();
    assert_eq!((lines("/cut-"), lines("and 5 more"), lines("/large-")), (20, 1, 25), "{}", ran.stderr);
    assert_eq!((lines("lake quarantine"), lines("run the same command again")), (1, 1), "{}", ran.stderr);
    let recorded = place.rows("select count(*) as n from objects where reason is not null");
    assert_eq!(recorded, "n\n25\n", "what is not shown is in the table");
}

#[test]
fn what_cannot_be_read_is_rejected_with_its_place_and_loses_nothing_else() {
    let place = Place::new();
    let logs = place.path("logs");
    std::fs::create_dir(&logs).expect("is made");
    let good = r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"A","eventID":"1"}]}"#;
    for (name, content) in [
        ("good.json", good),
        ("cut.json", &good[..60]),
        ("odd.json", r#"{"Records":[{"eventName":"B"},7]}"#),
        ("empty.json", ""),
        ("notes.txt", "not a log"),
        ("config.json", r#"{"fileVersion":"1.0","configurationItems":[]}"#),
        ("forged\nhint: `x.json", "[{\"a\\nhint: `b\": 1}]"),
    ] {
        std::fs::write(logs.join(name), content).expect("is written");
    }
    std::fs::write(logs.join("half.json.gz"), [0x1f, 0x8b, 8, 0, 0]).expect("is written");
    let ran = place.run(&["ingest", "logs"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("objects   2 read, 0 already known, 5 rejected"), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 of kind `config`, known but not supported yet"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("odd.json`: record is not a JSON object (record 1, byte 30)"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(r"logs/forged\nhint: `x.json`: "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("hint: `")).count(), 2, "{}", ran.stderr);
    let again = place.run(&["ingest", "logs"]);
    assert_eq!(again.code, 1, "a rejected object is still rejected");
    assert!(again.stdout.contains("objects   0 read, 3 already known, 5 rejected"), "{}", again.stdout);
    let rows = place.rows("select state, count(*) as n from objects group by 1 order by 1");
    assert_eq!(rows, "state,n\ncommitted,1\nempty,1\nquarantined,5\nunsupported,1\n");
    assert_eq!(place.rows("select event_id from cloudtrail"), "event_id\n1\n");
}

#[test]
fn what_is_passed_over_is_told() {
    let place = Place::new();
    let logs = place.path("logs");
    std::fs::create_dir(&logs).expect("is made");
    for name in ["a.csv", "b.csv", "c.csv.gz", "c.zip", "d.json~", "no end.of-a-name that is usual"] {
        std::fs::write(logs.join(name), "x").expect("is written");
    }
    let ran = place.run(&["ingest", "logs"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: found no log files in `logs`\n"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("by their names: 2 .csv, 1 .csv.gz, 1 .json~, 1 .zip, 1 others\n"),
        "{}",
        ran.stderr
    );
    let records = r#"{"Records":[{"eventVersion":"1.08","eventTime":"soon","eventName":"A"},
        {"eventVersion":"1.08","eventTime":"2026-03-10 12:00:00","eventName":"B"}]}"#;
    std::fs::write(logs.join("good.json"), records).expect("is written");
    let notification =
        r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}"#;
    std::fs::write(logs.join("told.json"), notification).expect("is written");
    let ran = place.run(&["ingest", "logs"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("1 of kind `event_notification`, known but not supported yet"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("left out in `logs`, by their names: "), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("warning: 1 row of `cloudtrail` without a time that can be read"),
        "{}",
        ran.stderr
    );
    let hinted: Vec<&str> = ran
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("hint: `trailhound sql \"")?.split_once("\"`"))
        .map(|(sql, _)| sql)
        .collect();
    assert_eq!(hinted.len(), 2, "{}", ran.stderr);
    assert_eq!(place.rows(hinted[0]).lines().count(), 2, "{}", hinted[0]);
    assert!(place.rows(hinted[1]).contains("told.json,event_notification\n"), "{}", hinted[1]);
    let elsewhere = place.run(&["ingest", "logs", "--lake", "x y"]);
    assert!(elsewhere.stderr.contains("hint: `trailhound sql --lake 'x y' \""), "{}", elsewhere.stderr);
    let again = place.run(&["ingest", "logs"]);
    assert!(!again.stderr.contains("without a time"), "{}", again.stderr);
}

#[test]
fn sql_only_reads() {
    let place = Place::new();
    place.ok(&["ingest", &testdata()]);
    for sql in
        ["drop table cloudtrail", "copy cloudtrail to 'x.csv'", "insert into alerts values (1)", "set a = b"]
    {
        let ran = place.run(&["sql", sql]);
        assert_eq!(ran.code, 2, "{sql}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{sql}");
    }
    assert!(!place.path("x.csv").exists());
    let record = place
        .rows("select record from cloudtrail_records where event_id is not null order by event_time limit 1");
    assert!(record.contains("eventVersion") && record.contains("userIdentity"), "{record}");
    let ran = place.run(&["sql", "delete from cloudtrail"]);
    insta::assert_snapshot!("sql_that_writes", ran.stderr);
    let ran = place.run(&["sql", "select event_nam from cloudtrail"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!("sql_unknown_column", ran.stderr);
    for sql in [
        "select srcadr from vpc_flow",
        "select vpc_flow.srcadr from cloudtrail join vpc_flow on vpc_flow.srcaddr = source_ip_address",
    ] {
        let ran = place.run(&["sql", sql]);
        assert!(ran.stderr.contains("sql --describe vpc_flow`"), "{}", ran.stderr);
    }
    for sql in ["select * from '/etc/passwd'", "select * from generate_series(1, 10)"] {
        assert_eq!(place.run(&["sql", sql]).code, 2, "{sql}");
    }
    for (terms, code) in [(300, 0), (5_000, 2)] {
        let flat = format!("select {}1", "1+".repeat(terms));
        assert_eq!(
            place.run(&["sql", &flat]).code,
            code,
            "{terms} terms are planned or refused, not a crash"
        );
    }
}

#[test]
fn results_come_in_every_format() {
    let place = Place::new();
    place.ok(&["ingest", &testdata()]);
    let sql = "select event_id, event_time from cloudtrail where event_time is not null order by event_time, event_id limit 1";
    for format in ["ndjson", "json", "csv", "table"] {
        let printed = place.ok(&["sql", "--format", format, sql]);
        assert!(printed.contains("2026-"), "{format}: {printed}");
    }
    assert!(place.ok(&["sql", "--describe", "cloudtrail"]).contains("access_key_id"));
    assert!(place.ok(&["sql", "--describe"]).contains("vpc_flow"));
    let wrong = place.run(&["sql", "--describe", "cloudtrial"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("cloudtrail_records"), "{}", wrong.stderr);
    // What is described is what can be asked, name by name.
    let tables = place.ok(&["sql", "--describe", "--format", "ndjson"]);
    let field = |line: &str, name: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        row[name].as_str().expect("text").to_owned()
    };
    let tables: Vec<String> = tables.lines().map(|line| field(line, "table")).collect();
    assert!(tables.iter().any(|table| table == "cloudtrail_records"), "{tables:?}");
    for table in tables {
        let columns = place.ok(&["sql", "--describe", &table, "--format", "ndjson"]);
        let described: Vec<String> = columns.lines().map(|line| field(line, "column")).collect();
        let asked = "select column_name from information_schema.columns where table_name = ";
        let asked = format!("{asked}'{table}' order by ordinal_position");
        let found = place.ok(&["sql", "--format", "ndjson", &asked]);
        let found: Vec<String> = found.lines().map(|line| field(line, "column_name")).collect();
        assert_eq!(described, found, "{table}");
    }
    let parquet = Command::new(env!("CARGO_BIN_EXE_trailhound"))
        .args(["sql", "--format", "parquet", sql])
        .current_dir(place.directory.path())
        .output()
        .expect("the program runs");
    assert!(parquet.stdout.starts_with(b"PAR1") && parquet.stdout.ends_with(b"PAR1"));
}

#[test]
fn every_saved_query_runs_over_a_lake() {
    let place = Place::new();
    place.ok(&["ingest", &testdata()]);
    let listed = place.ok(&["query"]);
    let names: Vec<&str> = listed.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(names.len() >= 12, "{names:?}");
    for example in listed.lines().filter_map(|line| line.trim().strip_prefix("$ trailhound ")) {
        let words: Vec<&str> =
            example.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        place.ok(&words);
    }
    let ran = place.run(&["query", "access-kee"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("hint: `trailhound query access-key`"), "{}", ran.stderr);
    let less = place.run(&["query", "failed-calls", "-p", "limit=-1"]);
    assert_eq!((less.code, less.stderr.as_str()), (2, "error: `-p limit=-1` is less than no rows\n"));
    let stopped = place.run(&["query", "top-talkers", "-p", "limit=1"]);
    assert_eq!((stopped.code, stopped.stdout.lines().count()), (0, 1), "{}", stopped.stderr);
    let told = "stopped at 1 row, there may be more: `-p limit=...` says how many\n";
    assert_eq!(stopped.stderr, told);
    assert_eq!(place.run(&["query", "top-talkers"]).stderr, "");
    let bound = place.ok(&["query", "access-key", "-p", "key=' or 1=1 --"]);
    assert_eq!(bound.trim(), "", "a parameter is a value, not SQL");
}

#[test]
fn the_attack_of_the_demo_is_found_once() {
    let place = Place::new();
    let ran = place.run(&["demo", "--dir", "demo", "--format", "ndjson"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let rule = |line: &str| {
        let alert: serde_json::Value = serde_json::from_str(line).expect("JSON");
        alert["rule_id"].as_str().expect("an id").to_owned()
    };
    let found: Vec<String> = ran.stdout.lines().map(rule).collect();
    assert!(found.len() >= 10, "{found:?}");
    let listed = place.ok(&["alerts", "list", "--lake", "demo/lake", "--limit", "1000"]);
    assert_eq!(listed.lines().count(), found.len());
    // Nothing came in since: nothing is found, and nothing is found twice.
    assert_eq!(place.ok(&["detect", "--lake", "demo/lake"]), "");
    let hunted = place.run(&["detect", "--lake", "demo/lake", "--since", "2000-01-01", "--save"]);
    assert_eq!(hunted.code, 0, "{}", hunted.stderr);
    assert_eq!(hunted.stdout, "", "a hunt finds the same alerts");
    let sql = "select count(*) as n, count(distinct alert_id) as d from alerts";
    let rows = place.ok(&["sql", "--lake", "demo/lake", "--format", "csv", sql]);
    assert_eq!(rows.replace("\r\n", "\n"), format!("n,d\n{0},{0}\n", found.len()));
    let first: serde_json::Value =
        serde_json::from_str(listed.lines().next().expect("an alert")).expect("JSON");
    let id = &first["alert_id"].as_str().expect("an id")[..12];
    let shown = place.ok(&["alerts", "show", id, "--format", "text", "--lake", "demo/lake"]);
    assert!(shown.contains("evidence"), "{shown}");
}

#[test]
fn one_absurd_time_ends_no_query_and_no_rule() {
    let place = Place::new();
    let times =
        ["0001-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:59Z"];
    let near = ["1700-01-01T00:00:00Z", "2199-12-31T23:59:59Z"];
    let record = |time: &&str| {
        format!(
            r#"{{"eventVersion":"1.08","eventTime":"{time}","eventSource":"iam.amazonaws.com","eventName":"ListUsers","eventID":"{time}","readOnly":true,"recipientAccountId":"1","userIdentity":{{"type":"IAMUser","arn":"arn:aws:iam::1:user/x","userName":"x"}}}}"#
        )
    };
    let records: Vec<String> = times.iter().chain(&near).map(record).collect();
    std::fs::write(place.path("a.json"), format!("{{\"Records\":[{}]}}", records.join(",")))
        .expect("is written");
    let seconds = ["0", "99999999999", "-99999999999", "253402300799"];
    let line = |at: &&str| format!("2 1 eni-1 198.51.100.7 10.0.0.5 1 22 6 1 40 {at} {at} REJECT OK\n");
    std::fs::write(place.path("f.log"), seconds.iter().map(line).collect::<String>()).expect("is written");
    let loaded = place.run(&["ingest", "a.json", "f.log"]);
    assert!(loaded.stderr.contains("4 rows of `cloudtrail` without a time"), "{}", loaded.stderr);
    assert!(loaded.stderr.contains("3 rows of `vpc_flow` without a time"), "{}", loaded.stderr);
    for table in ["cloudtrail", "vpc_flow"] {
        let time = if table == "cloudtrail" { "event_time" } else { "start_time" };
        for sql in [
            format!("select date_bin(interval '7 days', {time}), count(*) from {table} group by 1"),
            format!("select date_trunc('month', {time}), count(*) from {table} group by 1"),
            format!("select {time} - interval '400 days', {time} + interval '10 years' from {table}"),
        ] {
            place.ok(&["sql", &sql]);
        }
    }
    let kept =
        "select count(*) as n from cloudtrail where event_time is null and other_fields like '%eventTime%'";
    assert_eq!(place.rows(kept), "n\n4\n");
    for arguments in [&["detect"][..], &["detect", "--since", "1960-01-01", "--until", "2199-12-31"]] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    place.ok(&["query", "coverage"]);
}

#[test]
fn rules_pass_their_tests() {
    let place = Place::new();
    let passed = place.ok(&["rules", "test"]);
    assert!(passed.trim().ends_with(" passed, 0 failed"), "{passed}");
    let listed = place.ok(&["rules", "list"]);
    assert!(listed.lines().count() >= 15, "{listed}");
}

#[test]
fn mistakes_are_told_with_what_to_type_next() {
    let place = Place::new();
    let missing = place.run(&["sql", "select 1"]);
    assert_eq!(missing.code, 1);
    insta::assert_snapshot!("no_lake", missing.stderr);
    std::fs::write(
        place.path("trailhound.toml"),
        "lakee = \"./lake\"\n[detect]\nintervall_seconds = 5\n[[source]]\nkind = \"sqs\"\n",
    )
    .expect("is written");
    let config = place.run(&["config", "check"]);
    assert_eq!(config.code, 2);
    insta::assert_snapshot!("wrong_config_key", config.stderr);
    assert_eq!(place.run(&["ingest", "x", "--since", "yesterday"]).code, 2);
    assert_eq!(place.run(&["frobnicate"]).code, 2);
    assert_eq!(place.run(&["demo", "--lake", "elsewhere"]).code, 2);
    assert_eq!(place.run(&["--help"]).code, 0);
}

#[test]
fn the_configuration_can_be_shown_and_checked() {
    let place = Place::new();
    let shown = place.ok(&["config", "show", "--lake", "elsewhere"]);
    assert!(shown.contains("`--lake`"), "{shown}");
    std::fs::write(place.path("trailhound.toml"), &shown).expect("is written");
    place.ok(&["config", "check"]);
    assert!(place.ok(&["config", "reference"]).contains("batch_rows"));
    let wrong = "[detect]\nfolders = ['no-rules']\n[query]\nfolders = ['no-queries']\n[ingest]\nflow_formats = ['${x y']\n\
                 [[sink]]\nkind = 'webhook'\nname = 'hook'\nurl = 'https://example.com'\nsecret_env = 'TRAILHOUND_TEST_NOT_SET'\n";
    std::fs::write(place.path("trailhound.toml"), wrong).expect("is written");
    let checked = place.run(&["config", "check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (2, ""), "{}", checked.stderr);
    for named in ["no-rules", "no-queries", "${x y", "TRAILHOUND_TEST_NOT_SET"] {
        assert!(checked.stderr.contains(named), "{named}: {}", checked.stderr);
    }
}

#[test]
fn the_lake_is_checked_compacted_and_thinned_out() {
    let place = Place::new();
    place.ok(&["ingest", &format!("{}/cloudtrail", testdata())]);
    let check = place.run(&["lake", "check"]);
    assert_eq!((check.code, check.stdout.as_str()), (0, ""), "{}", check.stderr);
    assert!(check.stderr.contains(": every row of every object is there once\n"), "{}", check.stderr);

    let told = place.ok(&["lake", "compact", "--dry-run"]);
    assert!(told.starts_with("cloudtrail ") && told.contains(" rows to sort\n"), "{told}");
    let told = place.ok(&["lake", "compact"]);
    assert!(told.contains(" duplicates taken out, in "), "{told}");
    let again = place.run(&["lake", "compact"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, ""));
    assert!(again.stderr.contains("nothing to compact"), "{}", again.stderr);

    let rows = || place.rows("select count(*) as n from cloudtrail");
    let before = rows();
    let delete = ["lake", "delete", "--where", "event_name is not null"];
    let told = place.run(&delete);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stderr.contains("would be taken out; nothing was changed\nhint: "), "{}", told.stderr);
    assert_eq!(rows(), before);
    place.ok(&[&delete[..], &["--yes"]].concat());
    assert_eq!(place.rows("select count(*) as n from cloudtrail where event_name is not null"), "n\n0\n");
    place.ok(&["lake", "expire", "--older-than", "30d", "--yes"]);
    // Rows without a time have no age.
    assert_eq!(place.rows("select count(event_date) as n from cloudtrail"), "n\n0\n");
    let left = rows();
    place.ok(&["lake", "vacuum"]);
    place.ok(&["lake", "check", "--no-hash"]);
    let again = place.ok(&["ingest", &format!("{}/cloudtrail", testdata())]);
    assert!(again.contains("objects   0 read, 2 already known, 0 rejected"), "{again}");
    assert_eq!(rows(), left);

    let objects = walkdir::WalkDir::new(place.path("lake/objects")).into_iter().filter_map(Result::ok);
    let files: Vec<_> = objects
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .collect();
    assert!(!files.is_empty());
    for path in &files {
        std::fs::remove_file(path).expect("is removed");
    }
    let check = place.run(&["lake", "check", "--format", "ndjson"]);
    assert_eq!(check.code, 1, "{}", check.stderr);
    assert!(check.stdout.contains(r#""problem":"file-missing""#), "{}", check.stdout);

    for (wrong, expect) in [
        (&["lake", "delete", "--where", "event_nam = 'x'"][..], "No field named event_nam"),
        (&["lake", "delete", "--where", "true", "--table", "objects"], "rows of `objects` cannot be deleted"),
        (&["lake", "expire", "--older-than", "soon"], "takes a number of days, as in `400d`"),
        (&["lake", "compact", "--table", "none"], "there is no table `none`"),
    ] {
        let ran = place.run(wrong);
        assert_eq!(ran.code, 2, "{wrong:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expect), "{wrong:?}: {}", ran.stderr);
    }
}
