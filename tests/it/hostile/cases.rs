//! The objects, and what each is to become.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

/// The most content of an object in these tests.
pub const CONTENT_LIMIT: usize = 96 << 20;

pub const TRAIL: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json";
pub const TRAIL_GZ: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
pub const FLOW: &str = "AWSLogs/111122223333/vpcflowlogs/us-east-1/2026/03/10/x.log";

/// A log of one record.
pub const GOOD: &str =
    r#"{"Records":[{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"neighbour"}]}"#;

pub const FLOW_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
pub const FLOW_LINE: &str =
    "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";

/// What becomes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// So many rows.
    Committed(usize),
    Empty,
    Unsupported,
    /// Nothing of it is read, and why.
    Quarantined(String),
}

impl Expect {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        if let Expect::Committed(rows) = self { *rows } else { 0 }
    }
}

/// An object.
#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    pub key: String,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

fn case(name: &'static str, key: &str, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case { name, key: key.to_owned(), bytes: bytes.into(), expect }
}

fn refused(reason: impl Into<String>) -> Expect {
    Expect::Quarantined(reason.into())
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("is written");
    encoder.finish().expect("is finished")
}

/// The same content in a small object: repeated as gzip members.
fn repeated(before: &str, part: &str, times: usize, after: &str) -> Vec<u8> {
    let per_member = (1 << 20) / part.len();
    let (members, rest) = (times / per_member, times % per_member);
    let mut bytes = gzip(before.as_bytes());
    bytes.extend(gzip(part.repeat(per_member).as_bytes()).repeat(members));
    bytes.extend(gzip(format!("{}{after}", part.repeat(rest)).as_bytes()));
    bytes
}

/// A log whose second record is `{...}` with these fields, between two good ones.
fn with_fields(fields: &str) -> String {
    format!(r#"{{"Records":[{{"eventName":"first"}},{{{fields}}},{{"eventName":"last"}}]}}"#)
}

pub fn gzip_cases() -> Vec<Case> {
    let whole = gzip(GOOD.as_bytes());
    let end = whole.len();
    let flipped = |at: usize, bit: u8| {
        let mut bytes = whole.clone();
        bytes[at] ^= bit;
        bytes
    };
    let corrupt = |what: &str, at: usize| refused(format!("corrupt gzip: {what} at compressed byte {at}"));
    let checksum = "does not have a matching checksum";
    let trail = |name, bytes: Vec<u8>, expect| case(name, TRAIL_GZ, bytes, expect);
    vec![
        trail("whole", whole.clone(), Expect::Committed(1)),
        trail("cut in the header", whole[..7].to_vec(), corrupt("ends early", 7)),
        trail("cut in the content", whole[..40].to_vec(), corrupt("ends early", 40)),
        trail("cut in the trailer", whole[..end - 3].to_vec(), corrupt("ends early", end - 3)),
        trail("no deflate", flipped(10, 0x06), corrupt("corrupt deflate stream", 15)),
        trail("another content", flipped(60, 0x10), corrupt(checksum, end)),
        trail("another checksum", flipped(end - 8, 1), corrupt(checksum, end)),
        trail("another size", flipped(end - 1, 1), corrupt(checksum, end)),
        trail("garbage after it", [&whole[..], b"garbage"].concat(), corrupt("trailing garbage", end)),
        trail("zeros after it", [&whole[..], &[0; 512]].concat(), Expect::Committed(1)),
        trail("half a member after it", [&whole[..], &whole[..12]].concat(), corrupt("ends early", end + 12)),
        trail("as many members as may be", gzip(b"").repeat(100_000), Expect::Empty),
        trail("too many members", gzip(b"").repeat(100_001), corrupt("more than 100000 members", 2_000_000)),
        trail("gzip of gzip", gzip(&whole), refused("gzip inside gzip: compressed twice")),
        trail("gzip of nothing", gzip(b""), Expect::Empty),
        trail("nothing", Vec::new(), Expect::Empty),
        trail("text named gz", GOOD.as_bytes().to_vec(), Expect::Committed(1)),
        case("gzip named json", TRAIL, whole.clone(), Expect::Committed(1)),
        case(
            "not known by its key",
            "some/where.gz",
            gzip(b"\x00\x01\x02"),
            refused("neither CloudTrail nor VPC Flow Logs"),
        ),
        case("nothing anywhere", "some/where.json", Vec::new(), Expect::Empty),
        trail("a checksum in the header", with_header_checksum(&whole, 0), Expect::Committed(1)),
        trail(
            "another checksum in the header",
            with_header_checksum(&whole, 1),
            corrupt("does not have a matching checksum", 12),
        ),
    ]
}

/// A member with the optional checksum of its header, off by so much.
fn with_header_checksum(member: &[u8], off: u16) -> Vec<u8> {
    let mut header: [u8; 10] = *member.first_chunk().expect("a header");
    header[3] |= 1 << 1;
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    let [low, high, ..] = crc.sum().to_le_bytes();
    let checksum = u16::from_le_bytes([low, high]).wrapping_add(off).to_le_bytes();
    [&header[..], &checksum, &member[10..]].concat()
}

/// JSON that is none, is not of the shape of a log, or is too much.
pub fn json_cases() -> Vec<Case> {
    [deep_cases(), text_cases(), nul_cases(), shape_cases(), utf8_cases()].concat()
}

fn deep_cases() -> Vec<Case> {
    let deep = "nested deeper than 256 levels";
    let million = 1_000_000;
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    vec![
        case("open arrays", TRAIL, "[".repeat(million), refused(format!("{deep} (record 0, byte 257)"))),
        case("open objects", TRAIL, r#"{"a":"#.repeat(million), refused(format!("{deep} (byte 1290)"))),
        case(
            "deep in a record",
            TRAIL,
            with_fields(&format!(r#""requestParameters":{}"#, nested(million))),
            refused(format!("{deep} (record 1, byte 310)")),
        ),
        case(
            "as deep as may be",
            TRAIL,
            with_fields(&format!(r#""a":{}"#, nested(255))),
            Expect::Committed(3),
        ),
        case(
            "deep in an envelope",
            "some/where.json",
            format!(r#"{{"messageType":"DATA_MESSAGE","x":{},"logEvents":[]}}"#, nested(million)),
            refused(format!("{deep} (byte 291)")),
        ),
        case(
            "a long string where a list should be",
            "some/where.json",
            format!("\"{{}}\"{{\"events\":\"{}\"}}", "\x7f".repeat(million)),
            refused("an envelope is followed by something else (record 1, byte 4)"),
        ),
        case(
            "a long string that is no record",
            "some/where.json",
            format!("\"{{{}\"", "\x7f".repeat(million)),
            refused("invalid JSON: key must be a string (record 0)"),
        ),
        case(
            "open arrays in an envelope",
            "some/where.json",
            format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":{}"#, "[".repeat(million)),
            refused(format!("{deep} (byte 299)")),
        ),
        case(
            "no record in a list of files",
            "some/where.json",
            r#"[{"Records":[{"eventName":"a"}]},{"Records":[{"eventName":"b"},{"eventName":"c"},7]}]"#,
            refused("record is not a JSON object (record 3)"),
        ),
        case(
            "deep in a message",
            "some/where.json",
            format!(r#"{{"CloudTrailEvent":"{{\"a\":{}}}"}}"#, "[".repeat(million)),
            refused(format!("{deep} (record 0)")),
        ),
    ]
}

fn text_cases() -> Vec<Case> {
    texts([
        (
            "cut in a key",
            r#"{"Records":[{"a":1},{"b"#,
            refused("invalid JSON: EOF while parsing a string (record 1, byte 23)"),
        ),
        (
            "cut in a value",
            r#"{"Records":[{"a":1},{"b":"x"#,
            refused("invalid JSON: EOF while parsing a string (record 1, byte 27)"),
        ),
        (
            "cut after a record",
            r#"{"Records":[{"a":1},{"b":"x"}"#,
            refused("invalid JSON: EOF while parsing a list (record 2, byte 29)"),
        ),
        ("cut in the envelope", r#"{"Rec"#, refused("invalid JSON: EOF while parsing a string (byte 5)")),
        (
            "no comma",
            r#"{"Records":[{"a":1} {"b":2}]}"#,
            refused("invalid JSON: expected `,` or `]` (record 1, byte 20)"),
        ),
        (
            "a comma too many",
            r#"{"Records":[{"a":1},]}"#,
            refused("invalid JSON: expected value (record 1, byte 20)"),
        ),
        (
            "no colon",
            r#"{"Records":[{"a":1},{"b" 2}]}"#,
            refused("invalid JSON: expected `:` (record 1, byte 25)"),
        ),
        (
            "no escape",
            r#"{"Records":[{"a":1},{"b":"\x"}]}"#,
            refused("invalid JSON: invalid escape (record 1, byte 27)"),
        ),
        (
            "no literal",
            "{\"Records\":[{\"a\":1},\n{\"b\":nul}]}",
            refused("invalid JSON: expected ident (record 1, byte 29)"),
        ),
        (
            "no number",
            r#"{"Records":[{"a":1},{"b":01}]}"#,
            refused("invalid JSON: invalid number (record 1, byte 26)"),
        ),
        ("single quotes", "{'Records':[{'a':1}]}", refused("invalid JSON: key must be a string (byte 1)")),
        (
            "text after it",
            r#"{"Records":[{"a":1}]} x"#,
            refused("invalid JSON: expected value (record 1, byte 22)"),
        ),
        (
            "a mark before it",
            "\u{feff}{\"Records\":[{\"a\":1},{\"b\"}]}",
            refused("invalid JSON: expected `:` (record 1, byte 27)"),
        ),
        (
            "a line that is cut",
            "{\"eventName\":1,\"eventTime\":2}\n{\"eventName\":1,\"ev\n",
            refused("invalid JSON: control character in a string (record 1, byte 48)"),
        ),
        (
            "a line that is none",
            "{\"eventName\":1,\"eventTime\":2}\n{\"eventName\":1 \"eventTime\":2}\n{}",
            refused("invalid JSON: expected `,` or `}` (record 1, byte 45)"),
        ),
        (
            "a line end in a string",
            "{\"Records\":[{\"a\":1},{\"b\":\"x\ny\"}]}",
            refused("invalid JSON: control character in a string (record 1, byte 27)"),
        ),
    ])
}

fn nul_cases() -> Vec<Case> {
    texts([
        (
            "NUL in a string",
            "{\"Records\":[{\"a\":1},{\"b\":\"x\0y\"}]}",
            refused("invalid JSON: control character in a string (record 1, byte 27)"),
        ),
        (
            "NUL in a key",
            "{\"Records\":[{\"a\":1},{\"b\0\":\"x\"}]}",
            refused("invalid JSON: control character in a string (record 1, byte 23)"),
        ),
        (
            "NUL between records",
            "{\"Records\":[{\"a\":1},\0{\"b\":\"y\"}]}",
            refused("invalid JSON: expected value (record 1, byte 20)"),
        ),
        (
            "NUL after it",
            "{\"Records\":[{\"a\":1},{\"b\":\"y\"}]}\0\0",
            refused("invalid JSON: expected value (record 2, byte 31)"),
        ),
        ("NUL alone", "\0\0\0", refused("invalid JSON: expected value (byte 0)")),
        ("NUL with an escape", r#"{"Records":[{"a":1},{"eventName":"x\u0000y"}]}"#, Expect::Committed(2)),
        (
            "lone surrogates",
            r#"{"Records":[{"eventName":"\ud800"},{"\udc00":"\udc00\ud800"}]}"#,
            Expect::Committed(2),
        ),
        (
            "numbers beyond any",
            r#"{"Records":[{"a":1e400,"b":-1e999999999,"eventTime":123456789012345678901234567890}]}"#,
            Expect::Committed(1),
        ),
    ])
}

fn shape_cases() -> Vec<Case> {
    texts([
        (
            "Records below another key",
            r#"{"a":{"Records":[{"a":1}]}}"#,
            refused("no `Records` among the keys `a` (byte 0)"),
        ),
        (
            "Records after another key",
            r#"{"a":{"Records":[7]},"Records":[{"a":1},{}]}"#,
            Expect::Committed(2),
        ),
        (
            "Records twice",
            r#"{"Records":[{"a":1}],"Records":[{"a":1}]}"#,
            refused("`Records` is there twice (byte 21)"),
        ),
        ("Records null", r#"{"Records":null}"#, refused("`Records` is not an array (byte 11)")),
        ("Records an object", r#"{"Records":{"a":1}}"#, refused("`Records` is not an array (byte 11)")),
        ("Records a string", r#"{"Records":"[]"}"#, refused("`Records` is not an array (byte 11)")),
        (
            "Records numbers",
            r#"{"Records":[1,2]}"#,
            refused("record is not a JSON object (record 0, byte 12)"),
        ),
        (
            "Records of all kinds",
            r#"{"Records":[{"a":1},[],{}]}"#,
            refused("record is not a JSON object (record 1, byte 20)"),
        ),
        ("Records empty", r#"{"Records":[]}"#, Expect::Empty),
        ("no Records", "{}", refused("no `Records` among the keys (none) (byte 0)")),
        ("an array of numbers", "[1]", refused("record is not a JSON object (record 0, byte 1)")),
        ("a string", r#""Records""#, refused("expected a JSON object or array (byte 0)")),
        ("a number", "17", refused("expected a JSON object or array (byte 0)")),
        (
            "control characters in keys",
            r#"{"\u001b]0;x\u0007":1}"#,
            refused("no `Records` among the keys `\u{1b}]0;x\u{7}` (byte 0)"),
        ),
    ])
}

fn texts<const N: usize>(cases: [(&'static str, &str, Expect); N]) -> Vec<Case> {
    cases.into_iter().map(|(name, text, expect)| case(name, TRAIL, text, expect)).collect()
}

fn utf8_cases() -> Vec<Case> {
    let utf8 = |place: &str| refused(format!("not valid UTF-8 ({place})"));
    let bytes: [(&'static str, &[u8], Expect); 8] = [
        ("no UTF-8 in a key", b"{\"Records\":[{\"a\":1},{\"b\xff\":1}]}", utf8("record 1, byte 23")),
        ("no UTF-8 in a value", b"{\"Records\":[{\"a\":1},{\"b\":\"\xc3\x28\"}]}", utf8("record 1, byte 26")),
        ("no UTF-8 in the envelope", b"{\"\xf0\x9f\":1,\"Records\":[{\"a\":1}]}", utf8("byte 2")),
        ("no UTF-8 before it", b"\xff{\"Records\":[{\"a\":1}]}", utf8("byte 0")),
        ("no UTF-8 after it", b"{\"Records\":[{\"a\":1}]}\xc3", utf8("record 1, byte 21")),
        (
            "no UTF-8 in a line",
            b"{\"eventName\":1,\"eventTime\":2}\n{\"eventName\":\"\xff\",\"eventTime\":2}",
            utf8("record 1, byte 44"),
        ),
        ("surrogates as bytes", b"{\"Records\":[{\"a\":\"\xed\xa0\x80\"}]}", utf8("record 0, byte 18")),
        (
            "UTF-16",
            b"\xff\xfe{\0\"\0R\0",
            refused("UTF-16 text, which no log is delivered as: convert it to UTF-8"),
        ),
    ];
    bytes.into_iter().map(|(name, bytes, expect)| case(name, TRAIL, bytes, expect)).collect()
}

pub fn flow_cases() -> Vec<Case> {
    [line_cases(), header_cases()].concat()
}

/// A flow log of a header, a line, and these.
fn joined(lines: &[&str]) -> String {
    [&[FLOW_HEADER, FLOW_LINE], lines].concat().join("\n") + "\n"
}

/// Where the first of these begins.
const SECOND: usize = FLOW_HEADER.len() + FLOW_LINE.len() + 2;

fn flow(name: &'static str, bytes: Vec<u8>, expect: Expect) -> Case {
    case(name, FLOW, bytes, expect)
}

fn header_cases() -> Vec<Case> {
    vec![
        flow("header only", FLOW_HEADER.as_bytes().to_vec(), Expect::Empty),
        flow(
            "header again and again",
            (format!("{FLOW_HEADER}\n").repeat(100_000) + FLOW_LINE).into_bytes(),
            Expect::Committed(1),
        ),
        flow(
            "header between lines",
            joined(&[FLOW_HEADER, FLOW_LINE, FLOW_HEADER]).into_bytes(),
            Expect::Committed(2),
        ),
        flow(
            "another header",
            joined(&["version account-id"]).into_bytes(),
            refused(format!("a second header that differs from the first (record 1, byte {SECOND})")),
        ),
        flow(
            "the header of the other kind",
            b"interface-id srcaddr dstaddr\neni-1 10.0.0.1 10.0.0.2\ntgw-id dstaddr srcaddr\ntgw-1 1 2\n"
                .to_vec(),
            refused("a second header that differs from the first (record 1, byte 53)"),
        ),
        flow(
            "a header that begins with an unknown name",
            b"interface-id srcaddr dstaddr\neni-1 10.0.0.1 10.0.0.2\nnew dstaddr srcaddr\nx 1 2\n".to_vec(),
            refused("a second header that differs from the first (record 1, byte 53)"),
        ),
        flow(
            "a header that begins with names that end in numbers",
            b"interface-id srcaddr dstaddr\neni-1 10.0.0.1 10.0.0.2\ninstance-tag-2 asg-tag-2 srcaddr\na b 1\n".to_vec(),
            refused("a second header that differs from the first (record 1, byte 53)"),
        ),
        flow(
            "a header that begins with a number",
            b"2 action srcaddr\n2 action srcaddr\n".to_vec(),
            Expect::Empty,
        ),
        flow("a header and no line", b"action srcaddr\n".repeat(500_000), Expect::Empty),
    ]
}

fn line_cases() -> Vec<Case> {
    let long = "a line longer than 1048576 bytes";
    let changed = |from: &str, to: &str| joined(&[&FLOW_LINE.replace(from, to)]).into_bytes();
    let absurd = FLOW_LINE
        .replace("20641", "-1")
        .replace("4249", "99999999999999999999")
        .replace("1418530010", "1e30")
        .replace("1418530070", "-99999999999999999999");
    vec![
        flow("a first line of 64 MB", vec![b'x'; 64 << 20], refused(format!("{long} (byte 0)"))),
        flow(
            "a line of 64 MB",
            joined(&[&"x".repeat(64 << 20)]).into_bytes(),
            refused(format!("{long} (record 1, byte {SECOND})")),
        ),
        flow(
            "a million fields",
            joined(&[&"1 ".repeat(1_000_000)]).into_bytes(),
            refused(format!("{long} (record 1, byte {SECOND})")),
        ),
        flow(
            "half a million fields",
            joined(&[&"1 ".repeat(500_000)]).into_bytes(),
            refused(format!("500000 fields where the header names 14 (record 1, byte {SECOND})")),
        ),
        flow(
            "a header of many names",
            b"version ".repeat(130_000),
            refused("a header of 130000 fields, more than 256 (byte 0)"),
        ),
        flow(
            "blank lines",
            joined(&[&"\n".repeat(1_000_000), &" \r\n".repeat(100_000)]).into_bytes(),
            Expect::Committed(1),
        ),
        flow("NUL in a field", changed("eni-1", "eni\0-1"), Expect::Committed(2)),
        flow(
            "NUL for a line",
            joined(&["\0\0\0"]).into_bytes(),
            refused(format!("1 fields where the header names 14 (record 1, byte {SECOND})")),
        ),
        flow(
            "NUL in the header",
            FLOW_HEADER.replace("bytes", "by\0tes").into_bytes(),
            refused(
                "what may be the header of a flow log, but AWS does not write `by\0tes` in one: names are like \
                 `account-id`, with blanks between them (byte 0)",
            ),
        ),
        flow(
            "no UTF-8 in a field",
            [joined(&[]).as_bytes(), b"2 \xff"].concat(),
            refused(format!("not valid UTF-8 (record 1, byte {})", SECOND + 2)),
        ),
        flow(
            "no UTF-8 in the header",
            [b"\xff ", FLOW_HEADER.as_bytes()].concat(),
            refused("not valid UTF-8 (byte 0)"),
        ),
        flow(
            "no UTF-8 after what is wrong already",
            [joined(&["2 1"]).as_bytes(), b"2 \xff"].concat(),
            refused(format!("2 fields where the header names 14 (record 1, byte {SECOND})")),
        ),
        flow("absurd numbers", joined(&[&absurd]).into_bytes(), Expect::Committed(2)),
        flow(
            "too few fields",
            joined(&["2 1"]).into_bytes(),
            refused(format!("2 fields where the header names 14 (record 1, byte {SECOND})")),
        ),
        flow(
            "JSON that is no log",
            b"{\"a\":1}".to_vec(),
            refused("no `Records` among the keys `a` (byte 0)"),
        ),
    ]
}

/// Objects that are large, most of which are read.
pub fn large_cases() -> Vec<Case> {
    let keys = (0..1_000_000).map(|at| format!(r#""k{at}":{at}"#)).collect::<Vec<_>>().join(",");
    let repeated = |field: &str| with_fields(&[r#""a":1"#, &format!(",{field}").repeat(100_000)].concat());
    let small = r#"{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","eventName":"A"}"#;
    let list = |record: &str, times: usize| {
        format!(r#"{{"Records":[{record}{}]}}"#, format!(",{record}").repeat(times - 1))
    };
    let of_size =
        |bytes: usize| with_fields(&format!(r#""requestParameters":{{"a":"{}"}}"#, "x".repeat(bytes)));
    let trail = |name, text: String, rows| case(name, TRAIL, text, Expect::Committed(rows));
    vec![
        case(
            "a string of 64 MB",
            TRAIL,
            with_fields(&format!(r#""eventName":"{}""#, "x".repeat(64 << 20))),
            refused("a record of more than 33554432 bytes (record 1, byte 34)"),
        ),
        trail("a record of 1 MB", of_size(1 << 20), 3),
        trail("a record of 10 MB", of_size(10 << 20), 3),
        trail("a million keys", with_fields(&keys), 3),
        trail("a million keys below", with_fields(&format!(r#""requestParameters":{{{keys}}}"#)), 3),
        trail("a million keys of an identity", with_fields(&format!(r#""userIdentity":{{{keys}}}"#)), 3),
        trail("a million keys of an envelope", format!(r#"{{{keys},"Records":[{small}]}}"#), 1),
        trail("a text again and again", repeated(r#""eventName":"x""#), 3),
        trail("a null again and again", repeated(r#""eventName":null"#), 3),
        trail("a misfit again and again", repeated(r#""eventName":7"#), 3),
        trail("a time again and again", repeated(r#""eventTime":"2026-03-10T12:00:00.5Z""#), 3),
        trail(
            "an object again and again",
            repeated(r#""userIdentity":{"sessionContext":{"attributes":{}}}"#),
            3,
        ),
        trail("an unknown key again and again", repeated(r#""a":1"#), 3),
        trail(
            "an inner object again and again",
            with_fields(&format!(
                r#""userIdentity":{{"a":1{}}}"#,
                r#","sessionContext":{"attributes":{}}"#.repeat(100_000)
            )),
            3,
        ),
        trail(
            "a key twice in each record",
            list(r#"{"eventName":"x","eventName":null,"eventName":"y"}"#, 100_000),
            100_000,
        ),
        trail("many small records", list(small, 500_000), 500_000),
        trail("many empty records", list("{}", 100_000), 100_000),
        case(
            "too many lines",
            TRAIL,
            format!("[{{}}][{{}}{}]", ",{}".repeat(3_999_999)),
            refused("more than 4000000 records (byte 12000002)"),
        ),
        trail("many lines", format!("{small}\n").repeat(100_000), 100_000),
        case(
            "many lists with little in them",
            TRAIL_GZ,
            gzip(
                format!("{{\"Records\":[{small}]}}{}", format!("[]{}", " ".repeat(200)).repeat(360_000))
                    .as_bytes(),
            ),
            Expect::Committed(1),
        ),
        case(
            "lists within lists of envelopes",
            "some/where.json",
            format!("{}{}\"{{}}\"{}", "[".repeat(250), "\"{}\",".repeat(400_000), "]".repeat(250)),
            refused("no `Records` among the keys (none) (record 0)"),
        ),
    ]
}

/// Small objects of much content.
pub fn bombs() -> Vec<Case> {
    let too_large = || refused(format!("content is larger than the limit of {CONTENT_LIMIT} bytes"));
    let bomb = |name, bytes: Vec<u8>, expect| case(name, TRAIL_GZ, bytes, expect);
    vec![
        bomb("content without end", gzip(&vec![b' '; 16 << 20]).repeat(10), too_large()),
        bomb(
            "empty members",
            gzip(b"").repeat(150_000),
            refused("corrupt gzip: more than 100000 members at compressed byte 2000000"),
        ),
        bomb("blanks", repeated("", " ", 64 << 20, ""), Expect::Empty),
        bomb("many numbers", repeated(r#"{"Records":[{"a":[0"#, ",0", 5 << 20, "]}]}"), Expect::Committed(1)),
        bomb(
            "many empty records",
            repeated(r#"{"Records":[{}"#, ",{}", 500_000, "]}"),
            Expect::Committed(500_001),
        ),
        bomb(
            "too many empty records",
            repeated(r#"{"Records":[{}"#, ",{}", 5_000_000, "]}"),
            refused("more than 4000000 records (byte 12000012)"),
        ),
    ]
}

/// An object of so many records in which there is nothing, gzipped.
pub fn many_records(records: usize) -> Vec<u8> {
    gzip(format!("{{\"Records\":[{{}}{}]}}", ",{}".repeat(records - 1)).as_bytes())
}
