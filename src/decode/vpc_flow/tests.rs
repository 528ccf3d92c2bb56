use std::fmt::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::decode::columns::TRANSIT_GATEWAY_FLOW;
use crate::decode::columns::{Kind, VPC_FLOW};

const DEFAULT_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                              start end action log-status";
const ACCEPTED: &str = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 \
                        1418530010 1418530070 ACCEPT OK";
const NO_DATA: &str = "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA";

fn decoded(text: &str) -> RecordBatch {
    decode(text.as_bytes(), "object-1").unwrap()
}

/// A cell as text; times as microseconds, days as days.
fn cell(batch: &RecordBatch, row: usize, name: &str) -> Option<String> {
    let array = batch.column_by_name(name).unwrap();
    if array.is_null(row) {
        return None;
    }
    Some(match VPC_FLOW.columns[VPC_FLOW.index_of(name).unwrap()].kind {
        Kind::Int32 | Kind::SourceRow => array.as_primitive::<Int32Type>().value(row).to_string(),
        Kind::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        Kind::Seconds => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        Kind::EventDate => array.as_primitive::<Date32Type>().value(row).to_string(),
        _ => array.as_string::<i32>().value(row).to_owned(),
    })
}

/// Checks that the cells of a row are these, and that every other cell but its place is null.
fn check_row(batch: &RecordBatch, row: usize, expect: &[(&str, &str)]) {
    for column in VPC_FLOW.columns.iter().filter(|column| !column.name.starts_with("source_")) {
        let expected = expect.iter().find(|(name, _)| *name == column.name).map(|(_, value)| *value);
        assert_eq!(cell(batch, row, column.name).as_deref(), expected, "row {row}, `{}`", column.name);
    }
    assert_eq!(cell(batch, row, "source_object").as_deref(), Some("object-1"));
    assert_eq!(cell(batch, row, "source_row"), Some(row.to_string()));
}

fn check_error(text: &[u8], expect: &str) {
    assert_eq!(decode(text, "object-1").unwrap_err().to_string(), expect);
}

const ACCEPTED_CELLS: [(&str, &str); 15] = [
    ("version", "2"),
    ("account_id", "123456789010"),
    ("interface_id", "eni-1235b8ca123456789"),
    ("srcaddr", "172.31.16.139"),
    ("dstaddr", "172.31.16.21"),
    ("srcport", "20641"),
    ("dstport", "22"),
    ("protocol", "6"),
    ("packets", "20"),
    ("bytes", "4249"),
    ("start_time", "1418530010000000"),
    ("end_time", "1418530070000000"),
    ("action", "ACCEPT"),
    ("log_status", "OK"),
    ("event_date", "16418"),
];

#[test]
fn the_default_format() {
    let no_data = [
        ("version", "2"),
        ("account_id", "123456789010"),
        ("interface_id", "eni-1235b8ca123456789"),
        ("start_time", "1431280876000000"),
        ("end_time", "1431280934000000"),
        ("log_status", "NODATA"),
        ("event_date", "16565"),
    ];
    let with_header = format!("{DEFAULT_HEADER}\n{ACCEPTED}\n{NO_DATA}\n");
    let headerless = format!("{ACCEPTED}\n{NO_DATA}\n");
    for text in [with_header, headerless] {
        let batch = decoded(&text);
        assert_eq!(batch.num_rows(), 2);
        check_row(&batch, 0, &ACCEPTED_CELLS);
        check_row(&batch, 1, &no_data);
    }
}

#[test]
fn the_schema_is_the_table() {
    for text in ["", DEFAULT_HEADER, ACCEPTED] {
        assert_eq!(decoded(text).schema(), VPC_FLOW.schema());
    }
}

#[test]
fn blanks_and_line_ends() {
    let texts = [
        format!("{DEFAULT_HEADER}\r\n{ACCEPTED}\r\n"),
        format!("{DEFAULT_HEADER}\n{ACCEPTED}"),
        format!("{DEFAULT_HEADER}\r\n{ACCEPTED}\r"),
        format!("\n  \n{DEFAULT_HEADER}  \n\r\n \t\n{ACCEPTED}\n\n"),
        format!("{DEFAULT_HEADER}\n{}\n", ACCEPTED.replace(' ', "   ")),
        format!("{DEFAULT_HEADER}\n {} \n", ACCEPTED.replace(' ', "\t")),
        format!("{DEFAULT_HEADER}\n{DEFAULT_HEADER}\n{ACCEPTED}\n{DEFAULT_HEADER}\n"),
    ];
    for text in texts {
        let batch = decoded(&text);
        assert_eq!(batch.num_rows(), 1, "{text:?}");
        check_row(&batch, 0, &ACCEPTED_CELLS);
    }
}

#[test]
fn texts_without_records() {
    let headers = format!("{DEFAULT_HEADER}\n{DEFAULT_HEADER}\n");
    for text in ["", "\n", "\r\n \n", DEFAULT_HEADER, &headers] {
        assert_eq!(decoded(text).num_rows(), 0, "{text:?}");
    }
}

#[test]
fn fields_without_a_column_are_kept() {
    let text = "end resource-ix version what-is-this interface-tag start\n\
                1418530070 nat-1 9 a\"b\\c\u{1}é - 1418530010\n\
                - - - - - -\n\
                1418530070 - 9 - - 1418530010\n\
                - - - x %20 -\n";
    let batch = decoded(text);
    let times =
        [("end_time", "1418530070000000"), ("start_time", "1418530010000000"), ("event_date", "16418")];
    let other = r#"{"resource-ix":"nat-1","what-is-this":"a\"b\\c\u0001é"}"#;
    check_row(&batch, 0, &[times.as_slice(), &[("version", "9"), ("other_fields", other)]].concat());
    check_row(&batch, 1, &[]);
    check_row(&batch, 2, &[times.as_slice(), &[("version", "9")]].concat());
    check_row(&batch, 3, &[("interface_tag", "%20"), ("other_fields", r#"{"what-is-this":"x"}"#)]);
}

#[test]
fn values_that_do_not_fit_are_kept() {
    let cases = [
        ("0", Some("0")),
        ("65535", Some("65535")),
        ("-1", Some("-1")),
        ("2147483647", Some("2147483647")),
        ("-2147483648", Some("-2147483648")),
        ("2147483648", None),
        ("-2147483649", None),
        ("99999999999999999999999", None),
        ("6.0", None),
        ("+6", None),
        ("06", None),
        ("-0", None),
        ("--", None),
        ("0x6", None),
        ("٣", None),
        ("tcp", None),
    ];
    for (value, expect) in cases {
        let batch = decoded(&format!("protocol action\n{value} REJECT\n"));
        let kept = format!(r#"{{"protocol":"{value}"}}"#);
        let cells = match expect {
            Some(number) => [("action", "REJECT"), ("protocol", number)],
            None => [("action", "REJECT"), ("other_fields", &kept)],
        };
        check_row(&batch, 0, &cells);
    }
}

#[test]
fn long_integers() {
    let cases = [
        ("999999999999999999", true),
        ("9223372036854775807", true),
        ("-9223372036854775808", true),
        ("9223372036854775808", false),
        ("1234567890123456789a", false),
    ];
    for (value, fits) in cases {
        let batch = decoded(&format!("bytes action\n{value} -\n"));
        assert_eq!(cell(&batch, 0, "bytes").as_deref(), fits.then_some(value));
        assert_eq!(cell(&batch, 0, "other_fields").is_some(), !fits, "{value}");
    }
}

#[test]
fn times_out_of_range() {
    let cases = [
        ("0", Some("0"), None),
        ("946684800", Some("946684800000000"), Some("10957")),
        ("946684799", Some("946684799000000"), None),
        ("7258118399", Some("7258118399000000"), None),
        ("7258118400", None, None),
        ("253402300799", None, None),
        ("9223372036854775807", None, None),
        ("1418530010.5", None, None),
        ("now", None, None),
    ];
    for (value, time, date) in cases {
        let batch = decoded(&format!("start end\n{value} {value}\n"));
        assert_eq!(cell(&batch, 0, "start_time").as_deref(), time, "{value}");
        assert_eq!(cell(&batch, 0, "end_time").as_deref(), time, "{value}");
        assert_eq!(cell(&batch, 0, "event_date").as_deref(), date, "{value}");
        let kept = format!(r#"{{"start":"{value}","end":"{value}"}}"#);
        assert_eq!(cell(&batch, 0, "other_fields"), time.is_none().then_some(kept), "{value}");
    }
}

#[test]
fn a_repeated_name() {
    let batch = decoded("action srcaddr action new-one new-one\nACCEPT 10.0.0.1 REJECT x y\n");
    let other = r#"{"action":"ACCEPT","new-one":"x","new-one":"y"}"#;
    check_row(&batch, 0, &[("action", "REJECT"), ("srcaddr", "10.0.0.1"), ("other_fields", other)]);
}

#[test]
fn lines_of_another_width_are_errors() {
    let header = DEFAULT_HEADER.len() + 1;
    let line = ACCEPTED.len() + 1;
    let cut = ACCEPTED.rsplit_once(' ').unwrap().0;
    check_error(
        format!("{DEFAULT_HEADER}\n{ACCEPTED}\n{cut}").as_bytes(),
        &format!("13 fields where the header names 14 (record 1, byte {})", header + line),
    );
    check_error(
        format!("{DEFAULT_HEADER}\n\n{ACCEPTED} 7\n{ACCEPTED}\n").as_bytes(),
        &format!("15 fields where the header names 14 (record 0, byte {})", header + 1),
    );
    check_error(
        format!("{ACCEPTED}\n{ACCEPTED}\n2 1\n").as_bytes(),
        &format!("2 fields where the format has 14 (record 2, byte {})", 2 * line),
    );
}

#[test]
fn another_header_is_an_error() {
    check_error(
        b"srcaddr dstaddr\n10.0.0.1 10.0.0.2\ndstaddr srcaddr\n10.0.0.1 10.0.0.2\n",
        "a second header that differs from the first (record 1, byte 34)",
    );
}

#[test]
fn names_as_values_are_not_a_header() {
    let batch = decoded("region az-id\nregion use1-az1\nregion region-7\n");
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(cell(&batch, 1, "az_id").as_deref(), Some("region-7"));
}

/// As text that was copied from a page has them.
#[test]
fn blanks_that_ascii_does_not_have() {
    let plain = format!("{ACCEPTED}\n{NO_DATA}\n");
    for text in [
        plain.replace('\n', "\u{a0}\n"),
        plain.replace('\n', "\u{a0}\r\n"),
        plain.replace(' ', "\u{a0}"),
        plain.replace(' ', " \u{2003}"),
        format!("\u{a0}\n\u{3000}{plain}"),
    ] {
        assert_eq!(decoded(&text), decoded(&plain), "{text:?}");
        let headed = |text: &str| decoded(&format!("{DEFAULT_HEADER}\n{text}"));
        assert_eq!(headed(&text), headed(&plain), "{text:?}");
    }
    check_error(
        format!("{ACCEPTED}\n2\u{a0}1\n").as_bytes(),
        &format!("2 fields where the format has 14 (record 1, byte {})", ACCEPTED.len() + 1),
    );
}

/// Of as many fields as the default format, or nearly: what is no record in it must not be read as one.
#[test]
fn other_formats_without_a_header_are_refused() {
    for record in [
        "5 vpc-0a subnet-0b i-0c eni-0d 10.0.1.5 52.94.1.1 443 51000 6 1773144000 1773144060 ACCEPT OK",
        "3 10.0.1.5 52.94.1.1 443 51000 6 10 840 10.0.1.5 52.94.1.1 1773144000 1773144060 ACCEPT OK",
        "2 vpc-0a eni-0d 10.0.1.5 52.94.1.1 443 51000 6 10 840 1773144000 1773144060 ACCEPT OK",
        "2 111122223333 i-0d 10.0.1.5 52.94.1.1 443 51000 6 10 840 1773144000 1773144060 ACCEPT OK",
        "2 111122223333 eni-0d 443 51000 10.0.1.5 52.94.1.1 6 10 840 1773144000 1773144060 ACCEPT OK",
        "2026-03-10T12:00:00Z 5 111122223333 eni-0d 10.0.1.5 10.0.1.6 443 51000 6 10 840 1773144000 1773144060 ACCEPT OK",
    ] {
        let fields = record.trim_start_matches("2026-03-10T12:00:00Z ").split(' ').count();
        let refused = format!(
            "what may be a flow log, but without a header and in no known format: name its {fields} fields in their \
             order, with `--flow-format` or with `ingest.flow_formats` in the configuration (byte 0)"
        );
        check_error(record.as_bytes(), &refused);
    }
    for record in [
        "2 unknown eni-0d - - - - - - - 1773144000 1773144060 - SKIPDATA",
        "2 111122223333 - 10.0.1.5 2001:db8::1 443 51000 6 10 840 1773144000 1773144060 ACCEPT OK",
        // Traffic of an Elastic Fabric Adapter.
        "2 3794735123 eni-0d 01:23:45:67:89:ab 05:23:45:67:89:ab - - - 9 5689 1521232534 1524512343 ACCEPT OK",
    ] {
        assert_eq!(decoded(record).num_rows(), 1, "{record}");
    }
}

/// The time that an export of a log group puts before each record is kept, and so is all else.
#[test]
fn exported_log_groups() {
    let batch =
        decoded(&format!("2026-03-10T12:00:00.000Z {ACCEPTED}\n2026-03-10T12:00:01.000Z {NO_DATA}\n"));
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(cell(&batch, 1, "log_status").as_deref(), Some("NODATA"));
    assert_eq!(
        cell(&batch, 0, "other_fields").as_deref(),
        Some(r#"{"timestamp":"2026-03-10T12:00:00.000Z"}"#)
    );
}

#[test]
fn a_mark_of_the_byte_order_is_no_part_of_the_first_field() {
    let marked = format!("\u{feff}{ACCEPTED}\n{NO_DATA}\n");
    assert_eq!(decoded(&marked), decoded(&marked[3..]));
    check_error(
        "\u{feff}action srcaddr\nACCEPT\n".as_bytes(),
        "1 fields where the header names 2 (record 0, byte 18)",
    );
}

#[test]
fn not_utf8() {
    check_error(b"action srcaddr\nACCEPT 10.0.0.\xff\n", "not valid UTF-8 (record 0, byte 29)");
}

#[test]
fn not_a_flow_log() {
    let refused = "the first line is neither a flow log header nor a record in a known format";
    check_error(b"{\"Records\":[]}", &format!("{refused} (byte 0)"));
    check_error(b"\n\nversion;account-id;action\n", &format!("{refused} (byte 2)"));
    check_error(b"the end of the action\n", &format!("{refused} (byte 0)"));
    let tgw = "version resource-type account-id tgw-id srcaddr dstaddr log-status\n";
    check_error(tgw.as_bytes(), "a transit gateway flow log, not one of a VPC");
}

#[test]
fn limits() {
    let long = format!("action srcaddr\nACCEPT {}\n", "x".repeat(1 << 20));
    check_error(long.as_bytes(), "a line longer than 1048576 bytes (record 0, byte 15)");
    let wide = "action ".repeat(257);
    check_error(wide.as_bytes(), "a header of 257 fields, more than 256 (byte 0)");
    assert_eq!(decoded(&wide[7..]).num_rows(), 0);
}

/// More records than one chunk, with misfits in some of them.
#[test]
fn many_records() {
    let mut text = "srcport new-one action\n".to_owned();
    for row in 0..5000 {
        let port = if row % 700 == 3 { "many".to_owned() } else { row.to_string() };
        let new = if row % 1100 == 5 { "x" } else { "-" };
        writeln!(text, "{port} {new} ACCEPT").unwrap();
    }
    let batch = decoded(&text);
    assert_eq!(batch.num_rows(), 5000);
    for row in 0..5000 {
        let misfit = row % 700 == 3;
        let other = match (misfit, row % 1100 == 5) {
            (true, true) => Some(r#"{"srcport":"many","new-one":"x"}"#),
            (true, false) => Some(r#"{"srcport":"many"}"#),
            (false, true) => Some(r#"{"new-one":"x"}"#),
            (false, false) => None,
        };
        assert_eq!(cell(&batch, row, "other_fields").as_deref(), other, "{row}");
        assert_eq!(cell(&batch, row, "srcport"), (!misfit).then(|| row.to_string()));
        assert_eq!(cell(&batch, row, "source_row"), Some(row.to_string()));
    }
}

#[test]
fn what_looks_like_a_flow_log() {
    let tgw = "version resource-type account-id tgw-id srcaddr dstaddr log-status\n";
    let v9 = "version resource-id encryption-status an-unheard-of-field start\n";
    let (flow, gateway) = (Some("vpc_flow"), Some("transit_gateway_flow"));
    let cases: [(&str, Option<&str>); 11] = [
        (DEFAULT_HEADER, flow),
        (ACCEPTED, flow),
        (NO_DATA, flow),
        (v9, flow),
        (tgw, gateway),
        (GATEWAY, gateway),
        ("", None),
        ("{\"Records\":[]}", None),
        ("action", None),
        ("the type of a resource-type\n{}", None),
        ("2 the end\n", None),
    ];
    for (text, table) in cases {
        assert_eq!(Formats::default().looks_like(text.as_bytes()).map(|table| table.name), table, "{text}");
    }
    assert!(Formats::default().looks_like(b"\xff\xfe").is_none());
    assert!(Formats::default().looks_like(b"\0\0\0").is_none());
}

const GATEWAY: &str = "6 TransitGateway 123456789010 tgw-1 tgw-attach-1 111122223333 - vpc-1 - subnet-1 - eni-1 - \
                       use1-az1 - tgw-attach-2 10.0.0.1 10.1.0.1 443 50000 6 3 180 1418530010 1418530070 OK IPv4 0 \
                       1 0 0 18 us-east-1 ingress - S3";

#[test]
fn transit_gateway_flow_logs_have_a_table() {
    let custom = "version resource-type tgw-id start packets-lost-no-route news\n6 TransitGateway tgw-1 1418530010 x y";
    let decoded = decode_any(format!("{GATEWAY}\n{GATEWAY}").as_bytes(), "o").unwrap();
    assert_eq!(decoded.table.name, "transit_gateway_flow");
    assert_eq!(decoded.batch.schema(), TRANSIT_GATEWAY_FLOW.schema());
    assert_eq!(decoded.batch.num_rows(), 2);
    let text = |batch: &RecordBatch, name: &str| {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        column.is_valid(0).then(|| column.value(0).to_owned())
    };
    for (name, expected) in [
        ("resource_type", Some("TransitGateway")),
        ("tgw_pair_attachment_id", Some("tgw-attach-2")),
        ("tgw_dst_vpc_id", None),
        ("pkt_dst_aws_service", Some("S3")),
        ("other_fields", None),
    ] {
        assert_eq!(text(&decoded.batch, name).as_deref(), expected, "{name}");
    }
    let lost = decoded.batch.column_by_name("packets_lost_blackhole").unwrap();
    assert_eq!(lost.as_primitive::<Int64Type>().value(1), 1);
    let days = decoded.batch.column_by_name("event_date").unwrap();
    assert_eq!(days.as_primitive::<Date32Type>().value(1), 16_418);
    let attachment = GATEWAY.replace("6 TransitGateway ", "6 TransitGatewayAttachment ");
    let of_attachment = decode_any(attachment.as_bytes(), "o").unwrap().batch;
    assert_eq!(text(&of_attachment, "resource_type").as_deref(), Some("TransitGatewayAttachment"));
    let decoded = decode_any(custom.as_bytes(), "o").unwrap();
    assert_eq!(
        text(&decoded.batch, "other_fields").as_deref(),
        Some(r#"{"packets-lost-no-route":"x","news":"y"}"#)
    );
}

/// A cut text is an error, or gives the rows before the cut and at most a shorter last field.
#[test]
fn cut_anywhere() {
    let text = format!("{DEFAULT_HEADER}\n{ACCEPTED}\n{NO_DATA}\n");
    let whole = decoded(&text);
    for end in DEFAULT_HEADER.len()..text.len() {
        let Ok(batch) = decode(&text.as_bytes()[..end], "object-1") else { continue };
        let same = batch.num_rows().saturating_sub(1);
        assert_eq!(batch.slice(0, same), whole.slice(0, same), "cut at {end}");
        for column in
            VPC_FLOW.columns.iter().filter(|column| batch.num_rows() > 0 && column.name != "log_status")
        {
            assert_eq!(cell(&batch, same, column.name), cell(&whole, same, column.name), "cut at {end}");
        }
    }
}

#[test]
fn every_field_has_a_builder_of_its_kind() {
    let columns = VPC_FLOW.columns.iter().chain(TRANSIT_GATEWAY_FLOW.columns);
    for column in columns.filter(|column| !column.source.is_empty()) {
        assert!(
            matches!(column.kind, Kind::Text | Kind::Int32 | Kind::Int64 | Kind::Seconds),
            "`{}` has a kind that the decoder does not fill",
            column.name
        );
    }
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let lines: String =
        (0..3000).map(|number| format!("{ACCEPTED}\n").replace("20641", &number.to_string())).collect();
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status new-field\n";
    let custom = lines.lines().fold(header.to_owned(), |all, line| all + line + " x\r\n");
    for content in [lines, custom, format!("\n\n{ACCEPTED}"), String::new()] {
        let whole = decode_any(content.as_bytes(), "o").unwrap().batch;
        for piece_bytes in [200, 5000, 100_000, 10_000_000] {
            let mut pieces = Pieces::new(Formats::default());
            let (mut start, mut held) = (0, piece_bytes);
            loop {
                let end = content.len().min(start + held);
                let is_last = end == content.len();
                let taken = pieces.append(&content.as_bytes()[start..end], is_last).unwrap();
                if is_last {
                    break;
                }
                start += taken;
                held = if taken == 0 { held * 2 } else { held };
            }
            let Decoded { table, batch } = pieces.finish("o").unwrap();
            assert_eq!(fill::unpacked(table, &batch).unwrap(), whole, "{piece_bytes}");
        }
    }
    let mut pieces = Pieces::new(Formats::default());
    let text = format!("{ACCEPTED}\n{ACCEPTED}\n");
    assert_eq!(pieces.append(text.as_bytes(), false).unwrap(), text.len());
    let error = pieces.append(b"2 1\n", true).unwrap_err().to_string();
    assert!(error.ends_with(&format!("(record 2, byte {})", text.len())), "{error}");
    assert!(Pieces::new(Formats::default()).append(&vec![b'x'; lines::MAX_LINE_BYTES + 1], false).is_err());
}

#[test]
fn digits_are_read_at_any_place() {
    let mut text = String::new();
    let numbers = [
        "0",
        "1",
        "-",
        "00",
        "01",
        "-1",
        "7",
        "10",
        "99",
        "65535",
        "1234567",
        "12345678",
        "123456789",
        "1418530010",
        "999999999999999",
        "1234567890123456",
        "12345678901234567",
        "9223372036854775807",
        "9223372036854775808",
        "0123456789",
        "1/",
        "1:",
        ":1",
        "/9",
        "12345678:",
        "1234a678",
        "+1",
        "é",
        "00000000",
        "10000000",
        "100000000",
    ];
    for number in numbers.iter().cycle().take(numbers.len() * 3) {
        let span = (text.len(), text.len() + number.len());
        text.push_str(number);
        let narrow = |at: usize| u32::try_from(at).unwrap();
        let found = rows::integer_at(text.as_bytes(), (narrow(span.0), narrow(span.1)));
        let plain: Option<i64> = number.parse().ok().filter(|parsed: &i64| parsed.to_string() == **number);
        let expected = plain.filter(|_| (1..=16).contains(&number.len()) && !number.starts_with('-'));
        // What has too little before it is left to the slow way, and so is nothing else.
        let room = if number.len() <= 8 { 8 } else { 16 };
        assert_eq!(found, expected.filter(|_| span.1 >= room), "{number} at {}", span.0);
        assert_eq!(rows::integer(number), plain, "{number}");
    }
}

#[test]
fn gathered_rows_are_those_of_each_object() {
    let custom = "account-id start new-field srcaddr\n1 1418530010 x 10.0.0.1\n2 - - é\n";
    let tens = (0..10).fold(String::new(), |all, number| all + ACCEPTED + &format!(" {number}\n"));
    let wide = format!(
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status odd\n{tens}"
    );
    let objects = [
        ACCEPTED.to_owned(),
        custom.to_owned(),
        String::new(),
        format!("{ACCEPTED}\n{ACCEPTED}\n2 1\n"),
        " \n\n".to_owned(),
        wide.clone(),
        format!("{custom}1 2\n"),
        format!("\r\n{custom}"),
        wide.replace("20641", "x").replace("ACCEPT", "-"),
        format!("{wide}{ACCEPTED}\n"),
        ACCEPTED.replace("eni", "é"),
        "not a flow log".to_owned(),
    ];
    let mut gatherer = Gatherer::default();
    for _ in 0..2 {
        let found: Vec<_> = (0..)
            .zip(&objects)
            .map(|(number, object)| gatherer.append(object.as_bytes(), &format!("object {number}")))
            .collect();
        assert!(gatherer.bytes() > 0);
        let batches: Vec<Decoded> = gatherer.take().into_iter().map(Result::unwrap).collect();
        assert_eq!((batches.len(), gatherer.bytes()), (3, 0));
        for ((number, object), found) in (0..).zip(&objects).zip(found) {
            let alone = decode_any(object.as_bytes(), &format!("object {number}"));
            match (alone, found) {
                (Ok(alone), Ok(Some(found))) => {
                    if found.rows.is_empty() {
                        assert_eq!(alone.batch.num_rows(), 0);
                        continue;
                    }
                    let Decoded { table, batch } = &batches[found.batch];
                    assert_eq!(table.name, alone.table.name);
                    let rows = batch.slice(found.rows.start, found.rows.len());
                    assert_eq!(fill::unpacked(table, &rows).unwrap(), alone.batch, "{object}");
                }
                (Err(alone), Err(found)) => assert_eq!(found.to_string(), alone.to_string()),
                (alone, found) => panic!("{object}: {alone:?} and {found:?}"),
            }
        }
    }
    let headers = ["action", "start", "end", "packets", "bytes"].map(|name| format!("srcaddr {name}\nx 1\n"));
    let found = headers.map(|object| gatherer.append(object.as_bytes(), "o").unwrap().is_some());
    assert_eq!(found, [true, true, true, true, false], "the batches are so many at the most");
}

#[test]
fn long_names_are_refused() {
    let header = |bytes: usize| format!("srcaddr dstaddr {}\n1 2 3\n", "n".repeat(bytes));
    let decoded = decode_any(header(64).as_bytes(), "o").unwrap();
    let others = decoded.batch.column_by_name("other_fields").unwrap().as_string::<i32>();
    assert_eq!(others.value(0), format!(r#"{{"{}":"3"}}"#, "n".repeat(64)));
    for bytes in [65, 1 << 19] {
        let error = decode_any(header(bytes).as_bytes(), "o").unwrap_err().to_string();
        let begin = "n".repeat(64);
        assert_eq!(error, format!("the name of field 3, `{begin}...`, is longer than 64 bytes (byte 0)"));
    }
}
