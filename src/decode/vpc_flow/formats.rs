//! Formats of flow logs that come without a header: through `CloudWatch` Logs or Firehose, only who made the flow log
//! knows which field is which. They are written as `LogFormat` of `DescribeFlowLogs` is; the names of fields, and what
//! their values are like, are those of the VPC User Guide, "Flow log records", and of the Transit Gateway guide.
//!
//! Must never take a record for one of a format that it does not fit: its values would be read as others.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::header::{self, EXPORT_TIME, Header};
use super::lines::{self, Lines};
use crate::decode::columns::Table;
use crate::decode::{Error, ErrorKind};

/// The formats that records without a header may be in, besides the default ones.
#[derive(Debug, Clone, Default)]
pub struct Formats {
    all: Arc<[Format]>,
}

/// The fields of a record, in order.
#[derive(Debug)]
struct Format {
    table: &'static Table,
    names: Vec<String>,
    shapes: Vec<Shape>,
}

/// What the values of a field are like, where they are not `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Anything.
    Any,
    /// Digits.
    Number,
    /// Digits, or `unknown`.
    Account,
    /// An address, see [`is_address`].
    Address,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Something that begins so.
    Beginning(&'static str),
}

impl Formats {
    /// Reads formats as a flow log's description shows them, `${version} ${srcaddr} ...`, or names by themselves,
    /// with blanks between them. The error names the format and what is wrong in it.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Formats, Error> {
        let formats = texts.into_iter().map(|text| {
            Format::parse(text).map_err(|what| {
                ErrorKind::Shape(format!("`{}` is no format of a flow log: {what}", text.trim())).nowhere()
            })
        });
        Ok(Formats { all: formats.collect::<Result<_, _>>()? })
    }

    /// Names in the formats that are no field of their table, each with that: newer than this version, or mistaken.
    pub fn unknown_names(&self) -> BTreeSet<(&str, &'static str)> {
        let mut unknown = BTreeSet::new();
        for format in self.all.iter() {
            let names = format.names.iter().filter(|name| header::column_of(format.table, name).is_none());
            unknown.extend(names.map(|name| (name.as_str(), format.table.name)));
        }
        unknown
    }

    /// The table of the flow logs that a text begins like: with a header line of known field names, or with records in a
    /// default format or in one of these.
    pub fn looks_like(&self, text: &[u8]) -> Option<&'static Table> {
        let fields = lines::first_fields(text)?;
        let by_header = header::table_of(&fields).filter(|_| fields.len() > 1);
        by_header.or_else(|| self.header_of(text).map(|header| header.table))
    }

    /// The header that the records which a text begins with would have had: in the format that most of the first of them
    /// fit, as one with few values fits many; of several, the first, and a default one last. The first 256 lines are
    /// looked at, of at most a megabyte. Records may all have the time before them that an export of a log group puts
    /// there.
    pub(super) fn header_of(&self, text: &[u8]) -> Option<Header> {
        if self.all.is_empty() {
            return header::of_default_record(&lines::first_fields(text)?);
        }
        let beginning = lines::beginning(text);
        let text = std::str::from_utf8(beginning)
            .or_else(|error| std::str::from_utf8(&beginning[..error.valid_up_to()]));
        let (mut lines, mut spans) = (Lines::new(text.ok()?), Vec::new());
        let mut next = || {
            lines.next_fields(None, &mut spans).ok()??;
            Some(spans.drain(..).map(|span| lines.field(span)).collect::<Vec<&str>>())
        };
        let first = next()?;
        let default = header::of_default_record(&first);
        let record = header::without_time(&first);
        let time = first.len() - record.len();
        // Mostly the first tells, and the others need not be looked at.
        let mut fitting = self.all.iter().filter(|format| format.fits(record));
        if let (Some(only), None) = (fitting.next(), fitting.next())
            && default.is_none()
            && only.tells(record)
        {
            return Some(only.header(time > 0));
        }
        let mut records = vec![first];
        records.extend(std::iter::from_fn(next));
        let records: Vec<&[&str]> =
            records.iter().map(|record| record.get(time..).unwrap_or_default()).collect();
        let in_default = records.iter().take_while(|record| header::default_table(record).is_some()).count();
        // Of those that as many fit, the first.
        let all = self.all.iter().rev().map(|format| (format.leading(&records), format));
        let best = all.max_by_key(|(most, _)| *most);
        let best = best.filter(|(fitting, _)| *fitting > 0 && *fitting >= in_default);
        best.map(|(_, format)| format.header(time > 0)).or(default)
    }

    /// Whether a text begins with records that are in one of these formats rather than in a default one.
    pub fn know(&self, text: &[u8]) -> bool {
        header::of_text(text, self).is_some_and(|header| !header.shapes.is_empty())
    }
}

impl Format {
    fn parse(text: &str) -> Result<Format, String> {
        let names = text.split_ascii_whitespace().map(|word| {
            let name = word.strip_prefix("${").map_or(Some(word), |name| name.strip_suffix('}'));
            let name = name.filter(|name| !name.is_empty() && header::is_name(name));
            name.ok_or_else(|| {
                format!("`{word}` is no name of a field, which are like `srcaddr` and `log-status`")
            })
        });
        let mut names: Vec<&str> = names.collect::<Result<_, _>>()?;
        // The time of an export is found in any case, and is no part of the record.
        if names.first() == Some(&EXPORT_TIME) {
            names.remove(0);
        }
        header::check_names(&names)?;
        if let Some((_, name)) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name))
        {
            return Err(format!("`{name}` is there twice"));
        }
        let table = header::table_of(&names).filter(|_| names.len() > 1);
        let table = table.ok_or("most of its names are of no field of flow logs, or it has only one")?;
        let shapes: Vec<Shape> = names.iter().map(|name| Shape::of(name)).collect();
        if !shapes.iter().any(|shape| shape.is_telling()) {
            return Err(
                "none of its fields tells its records from other text, as `srcaddr` or `action` does"
                    .to_owned(),
            );
        }
        Ok(Format { table, names: names.into_iter().map(str::to_owned).collect(), shapes })
    }

    /// How many of the first records can be of this format; none when nothing in them tells that they are.
    fn leading(&self, records: &[&[&str]]) -> usize {
        let fitting = records.iter().take_while(|record| self.fits(record)).count();
        if records[..fitting].iter().any(|record| self.tells(record)) { fitting } else { 0 }
    }

    /// Whether the fields of a record are values that the fields of this format can have.
    fn fits(&self, record: &[&str]) -> bool {
        record.len() == self.shapes.len()
            && self.shapes.iter().zip(record).all(|(shape, value)| shape.has(value))
    }

    /// Whether one of the fields of a record that fits is hardly found in other text.
    fn tells(&self, record: &[&str]) -> bool {
        self.shapes.iter().zip(record).any(|(shape, value)| shape.is_telling() && *value != "-")
    }

    fn header(&self, has_time: bool) -> Header {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let time = has_time.then_some(Shape::Any);
        let shapes = time.into_iter().chain(self.shapes.iter().copied()).collect();
        Header { shapes, ..Header::timed(self.table, has_time, &names) }
    }
}

impl Shape {
    /// By the name of the field, as the documentation of AWS has it.
    fn of(name: &str) -> Shape {
        match name {
            "version" | "srcport" | "dstport" | "protocol" | "packets" | "bytes" | "start" | "end"
            | "tcp-flags" => Shape::Number,
            "account-id" | "tgw-src-vpc-account-id" | "tgw-dst-vpc-account-id" => Shape::Account,
            "srcaddr" | "dstaddr" | "pkt-srcaddr" | "pkt-dstaddr" => Shape::Address,
            "action" => Shape::OneOf(&["ACCEPT", "REJECT"]),
            "log-status" => Shape::OneOf(&["OK", "NODATA", "SKIPDATA"]),
            "type" => Shape::OneOf(&["IPv4", "IPv6", "EFA"]),
            "flow-direction" => Shape::OneOf(&["ingress", "egress"]),
            "resource-type" => Shape::Beginning("TransitGateway"),
            "interface-id" | "tgw-src-eni" | "tgw-dst-eni" => Shape::Beginning("eni-"),
            "vpc-id" | "tgw-src-vpc-id" | "tgw-dst-vpc-id" => Shape::Beginning("vpc-"),
            "subnet-id" | "tgw-src-subnet-id" | "tgw-dst-subnet-id" => Shape::Beginning("subnet-"),
            "instance-id" => Shape::Beginning("i-"),
            "tgw-id" => Shape::Beginning("tgw-"),
            _ => Shape::Any,
        }
    }

    /// Whether a value can be of a field of this shape.
    pub fn has(self, value: &str) -> bool {
        let is_number = || value.bytes().all(|byte| byte.is_ascii_digit());
        value == "-"
            || match self {
                Shape::Any => true,
                Shape::Number => is_number(),
                Shape::Account => value == "unknown" || is_number(),
                Shape::Address => is_address(value),
                Shape::OneOf(words) => words.contains(&value),
                Shape::Beginning(start) => value.starts_with(start),
            }
    }

    /// Whether values of this shape are hardly found in other text.
    fn is_telling(self) -> bool {
        !matches!(self, Shape::Any | Shape::Number | Shape::Account)
    }
}

/// Whether a value is an IP address or, as records of traffic of Elastic Fabric Adapters have it in its place, a MAC
/// address.
pub fn is_address(value: &str) -> bool {
    value.parse::<IpAddr>().is_ok() || is_mac_address(value.as_bytes())
}

fn is_mac_address(value: &[u8]) -> bool {
    value.len() == 17
        && (0..)
            .zip(value)
            .all(|(at, byte)| if at % 3 == 2 { *byte == b':' } else { byte.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::columns::{TRANSIT_GATEWAY_FLOW, VPC_FLOW};

    fn formats(texts: &[&str]) -> Formats {
        Formats::parse(texts.iter().copied()).unwrap()
    }

    #[test]
    fn formats_are_read_as_aws_shows_them_and_as_headers_have_them() {
        for text in
            ["${version} ${vpc-id} ${srcaddr}", " version\tvpc-id   srcaddr ", "${version} vpc-id srcaddr"]
        {
            let formats = formats(&[text]);
            assert_eq!(formats.all[0].names, ["version", "vpc-id", "srcaddr"], "{text}");
            assert_eq!(formats.all[0].table.name, VPC_FLOW.name);
        }
        assert_eq!(
            formats(&["${resource-type} ${tgw-id} ${start}"]).all[0].table.name,
            TRANSIT_GATEWAY_FLOW.name
        );
        let names =
            ["timestamp srcaddr new new-too dstaddr start", "tgw-id action start", "srcaddr dstaddr new"];
        let found = formats(&names);
        let unknown = [("action", "transit_gateway_flow"), ("new", "vpc_flow"), ("new-too", "vpc_flow")];
        assert_eq!(found.unknown_names().into_iter().collect::<Vec<_>>(), unknown);
        let long = format!("version srcaddr dstaddr {}", "x".repeat(65));
        let many = "field ".repeat(257);
        for (text, expected) in [
            ("", "most of its names are of no field of flow logs, or it has only one"),
            ("srcaddr", "most of its names are of no field of flow logs, or it has only one"),
            ("a b version", "most of its names are of no field of flow logs, or it has only one"),
            (
                "version,srcaddr",
                "`version,srcaddr` is no name of a field, which are like `srcaddr` and `log-status`",
            ),
            (
                "version src_addr",
                "`src_addr` is no name of a field, which are like `srcaddr` and `log-status`",
            ),
            (
                "version ${srcaddr",
                "`${srcaddr` is no name of a field, which are like `srcaddr` and `log-status`",
            ),
            ("version ${}", "`${}` is no name of a field, which are like `srcaddr` and `log-status`"),
            ("start end start", "`start` is there twice"),
            (
                "account-id start end",
                "none of its fields tells its records from other text, as `srcaddr` or `action` does",
            ),
            (&long, &format!("the name of field 4, `{}...`, is longer than 64 bytes", "x".repeat(64))),
            (&many, "a header of 257 fields, more than 256"),
        ] {
            let error = Formats::parse(["version srcaddr", text]).unwrap_err().to_string();
            assert_eq!(error, format!("`{}` is no format of a flow log: {expected}", text.trim()));
        }
    }

    /// The fields that the records of a text would be read as, without those that are alike in all formats.
    fn check(formats: &Formats, text: &str, expected: Option<&str>) {
        let header = header::of_text(text.as_bytes(), formats);
        assert_eq!(header.as_ref().map(|header| header.names.join(" ")).as_deref(), expected, "{text}");
        let table = header.map(|header| header.table.name);
        assert_eq!(formats.looks_like(text.as_bytes()).map(|table| table.name), table, "{text}");
    }

    #[test]
    fn records_are_of_the_format_that_they_fit() {
        let all = [
            "version action srcaddr start",
            "version interface-id bytes log-status",
            "vpc-id srcaddr dstaddr start",
            "resource-type tgw-id start",
            "version srcaddr dstaddr action",
        ];
        let formats = formats(&all);
        let timed = format!("timestamp {}", all[0]);
        for (text, expected) in [
            ("3 ACCEPT 10.0.0.1 17", Some(all[0])),
            ("3 REJECT 2001:db8::1 -", Some(all[0])),
            ("2026-03-10T12:00:00Z 3 REJECT ::1 -", Some(&*timed)),
            ("3 eni-1 99999999999999999999 OK", Some(all[1])),
            ("vpc-1 10.0.0.1 10.0.0.2 17", Some(all[2])),
            ("TransitGateway tgw-1 17", Some(all[3])),
            ("3 10.0.0.1 10.0.0.2 ACCEPT", Some(all[4])),
            ("3 01:23:45:67:89:ab 05:23:45:67:89:AB ACCEPT", Some(all[4])),
            ("TransitGatewayAttachment tgw-1 17", Some(all[3])),
            // What follows tells what a record of nothing is.
            ("3 - - -\n3 ACCEPT 10.0.0.1 17", Some(all[0])),
            ("3 - - -\n\n3 10.0.0.1 10.0.0.2 ACCEPT", Some(all[4])),
            ("- - - -\nvpc-1 10.0.0.1 10.0.0.2 17", Some(all[2])),
            ("3 - - -", None),
            ("3 accept 10.0.0.1 17", None),
            ("3 ACCEPT 10.0.0 17", None),
            ("3 ACCEPT 01:23:45:67:89:ax 17", None),
            ("3 ACCEPT 01:23:45:67:89:ab: 17", None),
            ("3 ACCEPT 01-23-45-67-89-ab 17", None),
            ("3 ACCEPT 10.0.0.1 x", None),
            ("3 eni-1 20 ok", None),
            ("3 lo 20 OK", None),
            ("3 ACCEPT 10.0.0.1", None),
            ("3 ACCEPT 10.0.0.1 17 18", None),
            // A header is one whatever its names could be.
            ("start end", Some("start end")),
        ] {
            check(&formats, text, expected);
        }
        // The first 256 lines tell.
        let late = |before: usize| format!("{}3 10.0.0.1 10.0.0.2 ACCEPT\n", "3 - - -\n".repeat(before));
        check(&formats, &late(255), Some(all[4]));
        check(&formats, &late(256), None);
    }

    #[test]
    fn records_in_a_default_format_are_no_others() {
        const DEFAULT: &str =
            "2 123456789010 eni-1 10.0.0.1 10.0.0.2 443 51000 6 20 4249 1418530010 1418530070 ACCEPT OK";
        let default = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                       action log-status";
        let other = default.replace("account-id", "vpc-id");
        let turned = default.replace("srcaddr dstaddr", "dstaddr srcaddr");
        let of_vpc = DEFAULT.replace("123456789010", "vpc-1");
        let nothing = "2 - eni-1 - - - - - - - 1418530010 1418530070 - NODATA";
        let formats = formats(&[&other]);
        check(&formats, DEFAULT, Some(default));
        check(&formats, &of_vpc, Some(&*other));
        check(&formats, &format!("{nothing}\n{DEFAULT}"), Some(default));
        check(&formats, &format!("{nothing}\n{of_vpc}"), Some(&*other));
        // Where nothing tells them apart, it is as it was said.
        check(&super::Formats::parse([&*turned]).unwrap(), DEFAULT, Some(&*turned));
        check(&Formats::default(), DEFAULT, Some(default));
        check(&Formats::default(), &of_vpc, None);
    }
}
