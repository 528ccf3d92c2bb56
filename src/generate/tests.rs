//! Tests of the generator as a whole: counts, shapes, the attack, and a background without alarms.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::*;

fn plan(events: usize, flow_records: usize, objects: Option<usize>, attack: bool) -> Plan {
    Plan { seed: 7, events, flow_records, objects, attack, ..Plan::demo() }
}

fn content(object: &Object) -> String {
    let mut out = vec![0; object.uncompressed_bytes];
    let size = libdeflater::Decompressor::new().gzip_decompress(&object.body, &mut out).unwrap();
    assert_eq!(size, object.uncompressed_bytes);
    String::from_utf8(out).unwrap()
}

fn is_trail(object: &Object) -> bool {
    object.key.contains("/CloudTrail/")
}

/// The records of a plan's CloudTrail objects, by object.
fn trail(plan: &Plan) -> Vec<Vec<Value>> {
    let read = |object: Object| match serde_json::from_str(&content(&object)).unwrap() {
        Value::Object(mut document) => match document.remove("Records") {
            Some(Value::Array(records)) => records,
            other => panic!("{other:?} in {}", object.key),
        },
        other => panic!("{other}"),
    };
    generate(plan).filter(is_trail).map(read).collect()
}

fn events(plan: &Plan) -> Vec<Value> {
    trail(plan).into_iter().flatten().collect()
}

/// The flow records of a plan as maps of the header's fields.
fn flows(plan: &Plan) -> Vec<BTreeMap<String, String>> {
    let mut rows = Vec::new();
    for object in generate(plan).filter(|object| !is_trail(object)) {
        let text = content(&object);
        let header: Vec<&str> = text.lines().next().unwrap().split(' ').collect();
        for line in text.lines().skip(1) {
            let values = line.split(' ').map(str::to_owned);
            rows.push(header.iter().map(ToString::to_string).zip(values).collect());
        }
    }
    rows
}

fn second(event: &Value) -> i64 {
    event["eventTime"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()
}

/// Most events of one actor within `seconds`, counted by a key.
fn busiest(events: &[&Value], seconds: i64, key: impl Fn(&Value) -> String) -> usize {
    let mut by_actor: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for event in events {
        let identity = &event["userIdentity"];
        let issuer = &identity["sessionContext"]["sessionIssuer"]["arn"];
        let actor = issuer.as_str().or(identity["arn"].as_str()).unwrap_or_default();
        by_actor.entry(actor.to_owned()).or_default().push((second(event), key(event)));
    }
    let mut most = 0;
    for seen in by_actor.values() {
        for (start, _) in seen {
            let inside = seen.iter().filter(|(at, _)| (*start..start + seconds).contains(at));
            most = most.max(inside.map(|(_, key)| key).collect::<BTreeSet<_>>().len());
        }
    }
    most
}

fn denied(event: &Value) -> bool {
    matches!(event["errorCode"].as_str(), Some("AccessDenied" | "Client.UnauthorizedOperation"))
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let plan = plan(3_000, 2_000, None, true);
    let once: Vec<Object> = generate(&plan).collect();
    assert_eq!(once, generate(&plan).collect::<Vec<_>>());
    let other = Plan { seed: 8, ..plan };
    assert_ne!(once, generate(&other).collect::<Vec<_>>());
}

#[test]
fn counts_are_exact() {
    for (events, flows, objects, attack) in [
        (0, 0, None, true),
        (1, 0, None, false),
        (0, 1, None, false),
        (40, 7, Some(1), false),
        (1_000, 500, Some(1_000), false),
        (1_999, 0, Some(400), false),
        (5_000, 6_000, None, true),
        (5_000, 6_000, Some(700), true),
        (5_003, 6_001, Some(3), false),
    ] {
        let plan = plan(events, flows, objects, attack);
        let made: Vec<Object> = generate(&plan).collect();
        let count = |trail| made.iter().filter(|o| is_trail(o) == trail).map(|o| o.records).sum::<usize>();
        assert_eq!((count(true), count(false)), (events, flows), "{plan:?}");
        for object in made.iter().filter(|o| is_trail(o)) {
            assert_eq!(content(object).matches(r#"{"eventVersion":""#).count(), object.records);
        }
        if events < 2_000
            && let Some(objects) = objects
        {
            assert_eq!(made.iter().filter(|o| is_trail(o)).count(), objects, "{plan:?}");
        }
    }
}

#[test]
fn a_plan_too_small_for_the_attack_still_tells_all_of_it() {
    let told = events(&plan(1, 0, None, true));
    assert!(told.len() > SECRETS_READ + DENIED_CALLS + OBJECTS_READ);
    assert!(told.iter().all(|event| event["sourceIPAddress"] == ATTACKER_ADDRESS
        || event["userIdentity"]["invokedBy"] == "secretsmanager.amazonaws.com"));
}

#[test]
fn records_are_like_delivered_ones() {
    let plan = plan(8_000, 0, None, false);
    let files = trail(&plan);
    let all: Vec<&Value> = files.iter().flatten().collect();
    let bytes: usize = all.iter().map(|event| event.to_string().len()).sum();
    let mean = bytes / all.len();
    assert!((1_100..1_500).contains(&mean), "{mean} bytes a record");
    let ids: HashSet<&str> = all.iter().map(|event| event["eventID"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all.len());
    assert!(all.iter().all(|event| event["eventTime"].as_str().unwrap().starts_with("2025-10-14T")));
    let names: HashSet<&str> = all.iter().map(|event| event["eventName"].as_str().unwrap()).collect();
    assert!(names.len() > 150, "{} event names", names.len());
    let failed = all.iter().filter(|event| event["errorCode"].is_string()).count();
    assert!((20..60).contains(&(failed * 1_000 / all.len())), "{failed} failed");
    let pairs = files.iter().flat_map(|file| file.windows(2));
    let (mut late, mut pairs_seen) = (0, 0);
    for pair in pairs {
        pairs_seen += 1;
        late += usize::from(second(&pair[0]) > second(&pair[1]));
    }
    assert!((80..230).contains(&(late * 1_000 / pairs_seen)), "{late} of {pairs_seen} out of order");
    let mut sizes: Vec<usize> = files.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert!(sizes[0] >= 1 && (12..32).contains(&sizes[sizes.len() / 2]), "{sizes:?}");
}

/// The file name time is two to ten minutes after every event of the file.
#[test]
fn delivery_follows_the_events() {
    let plan = plan(4_000, 0, None, true);
    for object in generate(&plan) {
        let name = object.key.rsplit('_').nth(1).unwrap().to_owned();
        let named = chrono::NaiveDateTime::parse_from_str(&format!("{name}00"), "%Y%m%dT%H%MZ%S").unwrap();
        let document: Value = serde_json::from_str(&content(&object)).unwrap();
        for event in document["Records"].as_array().unwrap() {
            let delay = named.and_utc().timestamp() - second(event);
            assert!((120..=600).contains(&delay), "{delay} s in {}", object.key);
            assert_eq!(event["recipientAccountId"].as_str(), object.key.split('/').nth(2));
            assert_eq!(event["awsRegion"].as_str(), object.key.split('/').nth(4));
        }
    }
}

#[test]
fn keys_are_as_aws_writes_them() {
    for object in generate(&plan(3_000, 3_000, None, false)) {
        let parts: Vec<&str> = object.key.split('/').collect();
        let (account, service, region, day, file) = match parts.as_slice() {
            ["AWSLogs", ORGANIZATION_ID, account, "CloudTrail", region, y, m, d, file] => {
                (account, "CloudTrail", region, format!("{y}{m}{d}"), file)
            }
            ["AWSLogs", account, "vpcflowlogs", region, y, m, d, file] => {
                (account, "vpcflowlogs", region, format!("{y}{m}{d}"), file)
            }
            _ => panic!("{}", object.key),
        };
        assert!(account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()), "{}", object.key);
        let rest = file.strip_prefix(&format!("{account}_{service}_{region}_")).unwrap();
        let (rest, end) = rest.rsplit_once('_').unwrap();
        let time = if service == "CloudTrail" {
            assert!(end.len() == 24 && end.ends_with(".json.gz"), "{}", object.key);
            rest
        } else {
            assert!(end.len() == 15 && end.ends_with(".log.gz"), "{}", object.key);
            let (id, time) = rest.split_once('_').unwrap();
            assert!(id.starts_with("fl-") && id.len() == 20, "{}", object.key);
            time
        };
        assert!(time.starts_with(&day) && time.len() == 14 && time.ends_with('Z'), "{}", object.key);
        assert!(["0", "5"].contains(&&time[12..13]), "{}", object.key);
    }
}

#[test]
fn the_attack_is_told_and_only_when_asked_for() {
    let quiet = plan(4_000, 4_000, None, false);
    let marks = [ATTACKER_ADDRESS, NEW_USER, NEW_ACCESS_KEY_ID, OUTSIDE_ACCOUNT_ID, SECURITY_GROUP_ID];
    for object in generate(&quiet) {
        let text = content(&object);
        assert!(marks.iter().all(|mark| !text.contains(mark)), "{}", object.key);
    }
    let told = events(&Plan { attack: true, ..quiet });
    let by = |key: &str| -> Vec<&Value> {
        told.iter().filter(|e| e["userIdentity"]["accessKeyId"] == key).collect()
    };
    let stolen = by(STOLEN_ACCESS_KEY_ID);
    assert!(stolen.iter().any(|e| e["sourceIPAddress"] != ATTACKER_ADDRESS), "no honest use before");
    assert_eq!(
        stolen.iter().filter(|e| e["sourceIPAddress"] == ATTACKER_ADDRESS && denied(e)).count(),
        DENIED_CALLS
    );
    let new = by(NEW_ACCESS_KEY_ID);
    let secrets: Vec<&Value> = new.iter().copied().filter(|e| e["eventName"] == "GetSecretValue").collect();
    let secret = |e: &Value| e["requestParameters"]["secretId"].to_string();
    assert_eq!(busiest(&secrets, 600, secret), SECRETS_READ);
    assert_eq!(new.iter().filter(|e| e["eventName"] == "GetObject").count(), OBJECTS_READ);
    let names: BTreeSet<&str> = told
        .iter()
        .filter(|e| e["sourceIPAddress"] == ATTACKER_ADDRESS)
        .filter_map(|e| e["eventName"].as_str())
        .collect();
    for name in [
        "CreateUser",
        "AttachUserPolicy",
        "CreateAccessKey",
        "ConsoleLogin",
        "DeleteDetector",
        "StopLogging",
        "AuthorizeSecurityGroupIngress",
        "ModifySnapshotAttribute",
        "PutBucketPolicy",
    ] {
        assert!(names.contains(name), "{name}");
    }
    let day = Plan::demo().day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
    let times = told.iter().filter(|e| e["sourceIPAddress"] == ATTACKER_ADDRESS).map(|e| second(e) - day);
    let (first, last) = times.fold((i64::MAX, 0), |(a, b), t| (a.min(t), b.max(t)));
    assert!(first == i64::from(story().starts_second) && last <= i64::from(story().ends_second));
}

#[test]
fn the_attack_shows_in_the_flows() {
    let rows = flows(&plan(0, 4_000, None, true));
    let from = |row: &BTreeMap<String, String>, a: &str, b: &str| row["srcaddr"] == a && row["dstaddr"] == b;
    let tried: BTreeSet<&str> = rows
        .iter()
        .filter(|row| from(row, ATTACKER_ADDRESS, HOST_ADDRESS) && row["action"] == "REJECT")
        .map(|row| row["dstport"].as_str())
        .collect();
    assert!(tried.len() >= 60, "{} ports", tried.len());
    let entered = |row: &&BTreeMap<String, String>| {
        from(row, ATTACKER_ADDRESS, HOST_ADDRESS) && row["action"] == "ACCEPT" && row["dstport"] == "22"
    };
    assert!(rows.iter().any(|row| entered(&row)));
    let mut hours: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| from(row, HOST_ADDRESS, ATTACKER_ADDRESS)) {
        let hour = row["start"].parse::<u64>().unwrap() / 3_600;
        *hours.entry(hour).or_default() += row["bytes"].parse::<u64>().unwrap();
    }
    assert!(hours.values().any(|bytes| *bytes > 3 << 30), "{hours:?}");
}

/// Without the attack nothing may look like one: these are the thresholds of the detections.
#[test]
fn the_background_is_clean() {
    let quiet = plan(20_000, 0, None, false);
    let all = events(&quiet);
    let denials: Vec<&Value> = all.iter().filter(|e| denied(e)).collect();
    assert!(busiest(&denials, 900, |e| e["eventID"].to_string()) < 20);
    let secrets: Vec<&Value> =
        all.iter().filter(|e| e["eventName"] == "GetSecretValue" && !denied(e)).collect();
    assert!(!secrets.is_empty());
    assert!(busiest(&secrets, 3_600, |e| e["requestParameters"]["secretId"].to_string()) < 10);
    for event in &all {
        assert_ne!(event["userIdentity"]["type"], "Root");
        let name = event["eventName"].as_str().unwrap();
        let alarming = [
            "StopLogging",
            "DeleteTrail",
            "UpdateTrail",
            "PutEventSelectors",
            "DeleteDetector",
            "StopConfigurationRecorder",
            "DeleteFlowLogs",
            "ScheduleKeyDeletion",
            "ModifySnapshotAttribute",
            "ModifyImageAttribute",
            "DeleteBucketPublicAccessBlock",
            "AttachUserPolicy",
            "CreateUser",
        ];
        assert!(!alarming.contains(&name), "{event}");
        let text = event["requestParameters"].to_string();
        assert!(!text.contains("AdministratorAccess"), "{event}");
        if event["responseElements"]["ConsoleLogin"] == "Success" {
            assert_eq!(event["additionalEventData"]["MFAUsed"], "Yes");
        }
    }
}

#[test]
fn quiet_flows_let_nobody_in() {
    let inside = |address: &str| address.starts_with("10.");
    let mut sent: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in flows(&plan(0, 20_000, None, false)) {
        if row["action"] == "-" {
            continue;
        }
        let open = row["action"] == "ACCEPT" && !inside(&row["srcaddr"]);
        assert!(!(open && ["22", "3389"].contains(&row["dstport"].as_str())), "{row:?}");
        if inside(&row["srcaddr"]) && !inside(&row["dstaddr"]) {
            let ends = (row["srcaddr"].clone(), row["dstaddr"].clone());
            *sent.entry(ends).or_default() += row["bytes"].parse::<u64>().unwrap();
        }
    }
    assert!(sent.values().all(|bytes| *bytes < 1 << 30));
}

#[test]
fn objects_are_made_when_asked_for() {
    let huge = plan(1_000_000_000, 1_000_000_000, None, false);
    let first = generate(&huge).next().unwrap();
    assert!(is_trail(&first) && first.records > 0);
}

#[test]
fn documents_hold_what_was_asked_for() {
    for records in [0, 1, 499, 500, 1_201] {
        let document = cloudtrail_json(3, Plan::demo().day, records);
        let parsed: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(parsed["Records"].as_array().unwrap().len(), records);
        assert_eq!(document, parsed.to_string().into_bytes(), "written as AWS does, without blanks");
    }
}

#[test]
fn files_are_written_at_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(300, 300, Some(9), false);
    let written = write_to(&plan, dir.path()).unwrap();
    assert_eq!((written.objects, written.records), (generate(&plan).count(), 600));
    for object in generate(&plan) {
        assert_eq!(std::fs::read(dir.path().join(&object.key)).unwrap(), object.body);
    }
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = write_to(&plan, &file).unwrap_err();
    assert!(error.to_string().starts_with("cannot write `"), "{error}");
}
