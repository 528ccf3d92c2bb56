//! Hostile input.
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use std::sync::Arc;
use trailhound::clock::SystemClock;
use trailhound::decode::gzip;
use trailhound::ingest::read::{Fetched, Reader};

const TRAIL: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
const FLOW: &str = "AWSLogs/111122223333/vpcflowlogs/us-east-1/2026/03/10/x.log.gz";

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn show(name: &str, key: &str, bytes: Vec<u8>) {
    let start = std::time::Instant::now();
    let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
    let fetched = Fetched {
        bucket: "b".into(),
        key: key.into(),
        etag: Some("e".into()),
        version_id: None,
        announced_at: None,
        bytes: Bytes::from(bytes),
    };
    let o = reader.read(&fetched);
    println!(
        "{name:30} {:?} rows {} kind {} {:?}  [{:?}]",
        o.record.state,
        o.record.row_count,
        o.record.kind,
        o.record.reason,
        start.elapsed()
    );
}

#[test]
fn explore() {
    let rec = r#"{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"A"}"#;
    let good = format!(r#"{{"Records":[{rec}]}}"#);
    let j = |s: &str| s.as_bytes().to_vec();
    let g = gz(good.as_bytes());
    let mut flip = g.clone();
    flip[20] ^= 0x10;
    let mut crc = g.clone();
    let n = crc.len();
    crc[n - 8] ^= 1;
    let mut size = g.clone();
    size[n - 1] ^= 1;
    show("good", TRAIL, g.clone());
    show("truncated", TRAIL, g[..40].to_vec());
    show("flip", TRAIL, flip);
    show("crc", TRAIL, crc);
    show("size", TRAIL, size);
    show("garbage", TRAIL, [g.clone(), b"garbage".to_vec()].concat());
    show("members", TRAIL, gz(b"").repeat(100_001));
    show("members ok", TRAIL, gz(b"").repeat(100_000));
    show("gz in gz", TRAIL, gz(&g));
    show("gz in gz unknown", "x.gz", gz(&g));
    show("empty", TRAIL, vec![]);
    show("gz nothing", TRAIL, gz(b""));
    show("depth [", TRAIL, vec![b'['; 1_000_000]);
    show("depth {a", TRAIL, j(&"{\"a\":".repeat(1_000_000)));
    show(
        "depth in record",
        TRAIL,
        j(&format!(r#"{{"Records":[{rec},{{"a":{}1{}}}]}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000))),
    );
    show(
        "depth 255",
        TRAIL,
        j(&format!(r#"{{"Records":[{rec},{{"a":{}1{}}}]}}"#, "[".repeat(255), "]".repeat(255))),
    );
    show(
        "depth 256",
        TRAIL,
        j(&format!(r#"{{"Records":[{rec},{{"a":{}1{}}}]}}"#, "[".repeat(256), "]".repeat(256))),
    );
    show(
        "depth env",
        "x",
        j(&format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":{}"#, "[".repeat(1_000_000))),
    );
    show(
        "depth env2",
        "x",
        j(&format!(r#"{{"messageType":"DATA_MESSAGE","x":{},"logEvents":[]}}"#, "[".repeat(1_000_000))),
    );
    for (n, bad) in [
        ("cut in key", r#"{"Records":[{"a":1},{"b"#),
        ("cut in value", r#"{"Records":[{"a":1},{"b":"x"#),
        ("cut after record", r#"{"Records":[{"a":1},{"b":"x"}"#),
        ("missing comma", r#"{"Records":[{"a":1} {"b":2}]}"#),
        ("missing colon", r#"{"Records":[{"a":1},{"b" 2}]}"#),
        ("bad escape", r#"{"Records":[{"a":1},{"b":"\x"}]}"#),
        ("bad literal", r#"{"Records":[{"a":1},{"b":nul}]}"#),
        ("bad number", r#"{"Records":[{"a":1},{"b":01}]}"#),
        ("trailing", r#"{"Records":[{"a":1},{"b":1}]}x"#),
        ("trailing comma", r#"{"Records":[{"a":1},{"b":1},]}"#),
        ("single quotes", r"{'Records':[{'a':1}]}"),
        ("raw newline in string", "{\"Records\":[{\"a\":1},{\"b\":\"x\ny\"}]}"),
        ("raw nul in string", "{\"Records\":[{\"a\":1},{\"b\":\"x\0y\"}]}"),
        ("nul after", "{\"Records\":[{\"a\":1},{\"b\":\"y\"}]}\0\0"),
        ("nul between", "{\"Records\":[{\"a\":1},\0{\"b\":\"y\"}]}"),
        ("escaped nul", r#"{"Records":[{"a":1},{"eventName":"x\u0000y"}]}"#),
        (
            "ndjson bad third",
            "{\"eventName\":1,\"eventTime\":2}\n{\"eventName\":1,\"eventTime\":2}\n{\"eventName\":1,\"eventTime\":2",
        ),
        (
            "ndjson bad second",
            "{\"eventName\":1,\"eventTime\":2}\n{\"eventName\":1 \"eventTime\":2}\n{\"eventName\":1,\"eventTime\":2}",
        ),
        ("bom missing comma", "\u{feff}{\"Records\":[{\"a\":1} {\"b\":2}]}"),
        ("Records nested", r#"{"a":{"Records":[{"a":1}]}}"#),
        ("Records later", r#"{"a":{"Records":[{"a":1}]},"Records":[{"a":1},{}]}"#),
        ("Records twice", r#"{"Records":[{"a":1}],"Records":[{"a":1}]}"#),
        ("Records null", r#"{"Records":null}"#),
        ("Records object", r#"{"Records":{"a":1}}"#),
        ("Records string", r#"{"Records":"[]"}"#),
        ("Records numbers", r#"{"Records":[1,2]}"#),
        ("Records mixed", r#"{"Records":[{"a":1},[],{}]}"#),
        ("root string", r#""x""#),
        ("root number", "17"),
        ("unescaped ctl key", "{\"Records\":[{\"a\x01\":1}]}"),
        ("del", "{\"Records\":[{\"a\":1e400,\"b\":-1e999}]}"),
    ] {
        show(n, TRAIL, bad.as_bytes().to_vec());
    }
    for (n, bad) in [
        ("utf8 key", &b"{\"Records\":[{\"a\":1},{\"b\xff\":1}]}"[..]),
        ("utf8 value", b"{\"Records\":[{\"a\":1},{\"b\":\"\xc3\x28\"}]}"),
        ("utf8 envelope", b"{\"\xf0\x9f\":1,\"Records\":[{\"a\":1}]}"),
        ("utf8 outside", b"\xff{\"Records\":[{\"a\":1}]}"),
        ("utf8 cut end", b"{\"Records\":[{\"a\":1}]}\xc3"),
        ("utf16", b"\xff\xfe{\0\"\0"),
        ("utf8 surrogate", b"{\"Records\":[{\"a\":\"\xed\xa0\x80\"}]}"),
        ("utf8 ndjson", b"{\"eventName\":1,\"eventTime\":2}\n{\"eventName\":\"\xff\",\"eventTime\":2}"),
    ] {
        show(n, TRAIL, bad.to_vec());
    }
    let big = "x".repeat(64 << 20);
    show("64MB string", TRAIL, j(&format!(r#"{{"Records":[{rec},{{"eventName":"{big}"}},{rec}]}}"#)));
    let keys = |n: usize| (0..n).map(|i| format!("\"k{i}\":{i}")).collect::<Vec<_>>().join(",");
    show("1M keys top", TRAIL, j(&format!(r#"{{"Records":[{rec},{{{}}},{rec}]}}"#, keys(1_000_000))));
    show(
        "1M keys nested",
        TRAIL,
        j(&format!(r#"{{"Records":[{rec},{{"requestParameters":{{{}}}}},{rec}]}}"#, keys(1_000_000))),
    );
    show(
        "1M keys nested ui",
        TRAIL,
        j(&format!(r#"{{"Records":[{rec},{{"userIdentity":{{{}}}}},{rec}]}}"#, keys(1_000_000))),
    );
    show("1M keys envelope", TRAIL, j(&format!(r#"{{{},"Records":[{rec},{rec}]}}"#, keys(1_000_000))));
    for n in [5_000, 10_000, 20_000] {
        show(
            &format!("dup eventName {n}"),
            TRAIL,
            j(&format!(
                r#"{{"Records":[{rec},{{"eventName":"x"{}}},{rec}]}}"#,
                r#","eventName":"x""#.repeat(n)
            )),
        );
        show(
            &format!("dup eventName null {n}"),
            TRAIL,
            j(&format!(
                r#"{{"Records":[{rec},{{"eventName":"x"{}}},{rec}]}}"#,
                r#","eventName":null"#.repeat(n)
            )),
        );
        show(
            &format!("dup ui {n}"),
            TRAIL,
            j(&format!(
                r#"{{"Records":[{rec},{{"a":1{}}},{rec}]}}"#,
                r#","userIdentity":{"type":"x"}"#.repeat(n)
            )),
        );
        show(
            &format!("dup unknown {n}"),
            TRAIL,
            j(&format!(r#"{{"Records":[{rec},{{"a":1{}}},{rec}]}}"#, r#","a":1"#.repeat(n))),
        );
        show(
            &format!("dup nested {n}"),
            TRAIL,
            j(&format!(
                r#"{{"Records":[{rec},{{"userIdentity":{{"a":1{}}}}},{rec}]}}"#,
                r#","sessionContext":{"attributes":{}}"#.repeat(n)
            )),
        );
        show(
            &format!("records with dup {n}"),
            TRAIL,
            j(&format!(r#"{{"Records":[{rec}{}]}}"#, r#",{"eventName":"x","eventName":"y"}"#.repeat(n))),
        );
        show(
            &format!("records {n}"),
            TRAIL,
            j(&format!(r#"{{"Records":[{rec}{}]}}"#, format!(",{rec}").repeat(n))),
        );
        show(&format!("ndjson {n}"), TRAIL, j(&format!("{rec}\n").repeat(n)));
        show(&format!("concat {n}"), TRAIL, j(&rec.repeat(n)));
    }
}

#[test]
fn explore_flow() {
    let h = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
    let r = "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n";
    let j = |s: &str| s.as_bytes().to_vec();
    for key in [FLOW, "x"] {
        show("flow", key, j(&format!("{h}{r}")));
        show("64MB line first", key, vec![b'x'; 64 << 20]);
        show("64MB line", key, [h.as_bytes(), r.as_bytes(), &vec![b'x'; 64 << 20]].concat());
        show("64MB blank line", key, [h.as_bytes(), r.as_bytes(), &vec![b' '; 64 << 20]].concat());
        show("64MB blank lines", key, [h.as_bytes(), r.as_bytes(), &vec![b'\n'; 64 << 20]].concat());
        show("many fields header", key, j(&"version ".repeat(120_000)));
        show("many fields header 1M", key, j(&"version ".repeat(1_000_000)));
        show("many fields rec", key, j(&format!("{h}{r}{}", "1 ".repeat(500_000))));
        show("1M fields rec", key, j(&format!("{h}{r}{}", "1 ".repeat(1_000_000))));
        show("header only", key, j(h));
        show("header repeated", key, j(&format!("{h}{r}{h}{r}{h}")));
        show("header repeated 100k", key, j(&h.repeat(100_000)));
        show("header differs", key, j(&format!("{h}{r}version account-id\n")));
        show("nul", key, j(&format!("{h}{}", r.replace("eni-1", "e\0ni"))));
        show("nul line", key, j(&format!("{h}{r}\0\0\0\n{r}")));
        show("utf8", key, [h.as_bytes(), r.as_bytes(), b"2 \xff"].concat());
        show("utf8 first", key, [b"\xff ", h.as_bytes()].concat());
        show(
            "absurd",
            key,
            j(&format!(
                "{h}{}",
                r.replace("1418530010", "1e30")
                    .replace("1418530070", "-99999999999999999999")
                    .replace("4249", "99999999999999999999")
                    .replace("20641", "-1")
            )),
        );
        show(
            "absurd2",
            key,
            j(&format!(
                "{h}{}",
                r.replace("1418530010", "9223372036854775807")
                    .replace("1418530070", "-62135596800")
                    .replace("4249", "-0")
                    .replace("20641", "2147483648")
            )),
        );
        show("few", key, j(&format!("{h}{r}2 1\n")));
        show("version only 100k", key, j(&format!("version\n{}", "1\n".repeat(100_000))));
    }
}
