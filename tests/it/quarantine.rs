//! Objects that could not be read: listed, and read again.

use trailhound::lake::State;

use crate::cli::{Place, Ran};

const GOOD: &str =
    r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"A"}]}"#;
const CUT: &str = r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"A"}"#;

/// A record that is larger than the smallest limit that can be configured.
fn large() -> String {
    format!(
        r#"{{"Records":[{{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"{}"}}]}}"#,
        "B".repeat(3000)
    )
}

impl Place {
    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("is made");
        std::fs::write(path, content).expect("is written");
    }

    fn limit_content(&self, bytes: usize) {
        self.write("trailhound.toml", &format!("[ingest]\nmax_content_bytes = {bytes}\n"));
    }

    /// What is quarantined, as `key: reason` with the directory of the test left out.
    fn quarantined(&self, arguments: &[&str]) -> Vec<String> {
        let all = [&["lake", "quarantine", "--format", "ndjson"], arguments].concat();
        let printed = self.ok(&all);
        let line = |line: &str| {
            let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let text = |name: &str| object[name].as_str().expect("text").to_owned();
            assert!(text("read_at").starts_with("20") && object["size_bytes"].is_number(), "{line}");
            let key = text("key");
            format!("{}: {}", key.rsplit('/').next().unwrap_or_default(), text("reason"))
        };
        let mut found: Vec<String> = printed.lines().map(line).collect();
        found.sort_unstable();
        found
    }

    /// What a run printed, with what differs from run to run left out.
    fn steady(&self, ran: &Ran) -> String {
        let root = self.path("").canonicalize().expect("exists").display().to_string();
        let lines =
            ran.stdout.lines().filter(|line| !line.starts_with("time ") && !line.starts_with("lake "));
        let stdout: Vec<&str> = lines.collect();
        let stderr = ran.stderr.replace(&root, "");
        format!("exit code {}\n-- stdout\n{}\n-- stderr\n{stderr}", ran.code, stdout.join("\n"))
    }
}

#[test]
fn what_a_limit_refused_is_read_with_a_larger_one_exactly_once() {
    let place = Place::new();
    place.limit_content(1024);
    place.write("logs/good.json", GOOD);
    place.write("logs/large.json", &large());
    place.write("logs/cut.json", CUT);
    assert_eq!(place.run(&["ingest", "logs"]).code, 1);
    let refused = [
        "cut.json: invalid JSON: EOF while parsing a list (record 1, byte 86)",
        "large.json: content is larger than the limit of 1024 bytes",
    ];
    assert_eq!(place.quarantined(&[]), refused);
    assert_eq!(place.quarantined(&["large"]), [refused[1]]);
    assert_eq!(place.quarantined(&["--since", "2099-01-01"]), [""; 0]);
    assert_eq!(place.quarantined(&["--limit", "1"]).len(), 1);

    // Nothing has changed: nothing is read that was not, and nothing is noted twice.
    let again = place.run(&["lake", "quarantine", "--retry"]);
    insta::assert_snapshot!("quarantine_retry_in_vain", place.steady(&again));
    assert_eq!(place.rows("select count(*) as n from objects"), "n\n3\n");

    place.limit_content(1 << 20);
    let retried = place.run(&["lake", "quarantine", "--retry", "large"]);
    assert_eq!(retried.code, 0, "{}", retried.stderr);
    insta::assert_snapshot!("quarantine_retry", place.steady(&retried));
    let sql = "select event_name = 'A' as good, count(*) as n from cloudtrail group by 1 order by 1";
    assert_eq!(place.rows(sql), "good,n\nfalse,1\ntrue,1\n");
    assert_eq!(place.quarantined(&[]).len(), 1);
    let none = place.run(&["lake", "quarantine", "--retry", "large"]);
    assert_eq!((none.code, none.stderr.as_str()), (0, "no quarantined object fits\n"));
    assert_eq!(place.run(&["ingest", "logs"]).code, 1);
    assert_eq!(place.rows(sql), "good,n\nfalse,1\ntrue,1\n");
    let states = "select state, count(*) as n from objects where key like '%large%' group by 1 order by 1";
    assert_eq!(place.rows(states), "state,n\ncommitted,1\nquarantined,1\n");
}

#[test]
fn an_object_that_was_replaced_is_a_new_one_and_one_that_is_gone_stays() {
    let place = Place::new();
    for name in ["replaced", "gone", "emptied"] {
        place.write(&format!("logs/{name}.json"), CUT);
    }
    assert_eq!(place.run(&["ingest", "logs"]).code, 1);
    assert_eq!(place.quarantined(&[]).len(), 3);
    place.write("logs/replaced.json", GOOD);
    place.write("logs/emptied.json", "");
    std::fs::remove_file(place.path("logs/gone.json")).expect("is removed");
    let ran = place.run(&["lake", "quarantine", "--retry"]);
    insta::assert_snapshot!("quarantine_retry_replaced", place.steady(&ran));
    assert_eq!(place.quarantined(&[]).len(), 1, "the one that is gone");
    assert_eq!(place.rows("select count(*) as n from cloudtrail"), "n\n1\n");
}

#[test]
fn flow_logs_without_a_header_are_read_once_their_format_is_known() {
    let place = Place::new();
    let line = "vpc-1 10.0.0.1 10.0.0.2 ACCEPT 17 1418530010";
    place.write("logs/flows.log", &format!("{line}\n{line}\n"));
    place.write("logs/firehose.json", &format!(r#"{{"message":"{line}"}}"#));
    assert_eq!(place.run(&["ingest", "logs"]).code, 1);
    let reason = "what may be a flow log, but without a header and in no known format: name its 6 fields in their order, \
                  with `--flow-format` or with `ingest.flow_formats` in the configuration";
    let refused = [format!("firehose.json: {reason} (record 0)"), format!("flows.log: {reason}")];
    assert_eq!(place.quarantined(&[]), refused);

    let wrong = place.run(&["ingest", "logs", "--flow-format", "vpc-id,srcaddr"]);
    insta::assert_snapshot!("flow_format_wrong", place.steady(&wrong));
    place.write("wrong.toml", "[ingest]\nflow_formats = ['vpc-id srcaddr', 'vpc-id vpc-id']\n");
    let checked = place.run(&["config", "check", "--config", "wrong.toml"]);
    assert_eq!(checked.code, 2, "{}", checked.stderr);
    assert!(checked.stderr.contains("`vpc-id vpc-id` is no format of a flow log: `vpc-id` is there twice"));

    let format = "${vpc-id} ${srcaddr} ${dstaddr} ${action} ${novel} ${start}";
    place.write("logs/other.log", "10.0.0.9 17\n");
    place.write("trailhound.toml", "[ingest]\nflow_formats = ['${srcaddr} ${bytes}']\n");
    let loaded = place.run(&["ingest", "logs/flows.log", "logs/other.log", "--flow-format", format]);
    insta::assert_snapshot!("flow_format", place.steady(&loaded));
    let retried = place.run(&["lake", "quarantine", "--retry", "--flow-format", format]);
    assert_eq!(retried.code, 0, "{}", retried.stderr);
    let sql = "select vpc_id, srcaddr, dstaddr, bytes, start_time, other_fields, count(*) as n \
               from vpc_flow group by all order by vpc_id";
    let rows = "vpc_id,srcaddr,dstaddr,bytes,start_time,other_fields,n\n\
                vpc-1,10.0.0.1,10.0.0.2,,2014-12-14T04:06:50Z,\"{\"\"novel\"\":\"\"17\"\"}\",3\n\
                ,10.0.0.9,,17,,,1\n";
    assert_eq!(place.rows(sql), rows);
    assert!(place.quarantined(&[]).is_empty());
}

#[tokio::test]
async fn an_object_that_was_read_by_a_clock_that_is_behind_is_no_longer_quarantined() {
    let place = Place::new();
    let lake = crate::maintain::open(&place.path("lake")).await;
    let read = |key: &str, state: State, read_at: i64| {
        let mut object = crate::maintain::object_of(key, 10, &[("1", 1, "x")]);
        object.record.read_at = read_at;
        object.record.state = state;
        if state == State::Quarantined {
            object.record.reason = Some("cut".to_owned());
            object.rows = None;
        }
        object
    };
    for object in [
        read("a", State::Quarantined, 2_000_000),
        read("b", State::Quarantined, 2_000_000),
        read("a", State::Committed, 1_000_000),
    ] {
        lake.commit(vec![object]).await.expect("is committed");
        lake.update_index().await.expect("is indexed");
    }
    let listed = place.ok(&["lake", "quarantine", "--format", "ndjson"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains(r#""key":"b""#), "{listed}");
}
