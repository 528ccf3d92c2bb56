//! The header line of a flow log: which field is where, and which column it fills.
//!
//! Must never refuse a name for not knowing it: AWS adds fields, and each flow log chooses its own.

use chrono::DateTime;

use super::formats::{Formats, Shape, is_address};
use super::lines::{self, Lines, Span};
use crate::decode::columns::{TRANSIT_GATEWAY_FLOW, Table, VPC_FLOW, are_like_flow_fields};
use crate::decode::{Error, ErrorKind};

/// There are 54 fields in version 11.
const MAX_FIELDS: usize = 256;

/// The longest name has 26; that of a field without a column is in every row.
const MAX_NAME_BYTES: usize = 64;

/// The default format: all fields of version 2.
const DEFAULT_FORMAT: [&str; 14] = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
];

/// The name of the time that stands before each record of an exported log group; it has no column.
pub const EXPORT_TIME: &str = "timestamp";

/// The default format of transit gateway flow logs: all fields of versions 2 to 6.
const DEFAULT_GATEWAY_FORMAT: [&str; 36] = [
    "version",
    "resource-type",
    "account-id",
    "tgw-id",
    "tgw-attachment-id",
    "tgw-src-vpc-account-id",
    "tgw-dst-vpc-account-id",
    "tgw-src-vpc-id",
    "tgw-dst-vpc-id",
    "tgw-src-subnet-id",
    "tgw-dst-subnet-id",
    "tgw-src-eni",
    "tgw-dst-eni",
    "tgw-src-az-id",
    "tgw-dst-az-id",
    "tgw-pair-attachment-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "log-status",
    "type",
    "packets-lost-no-route",
    "packets-lost-blackhole",
    "packets-lost-mtu-exceeded",
    "packets-lost-ttl-expired",
    "tcp-flags",
    "region",
    "flow-direction",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
];

/// The fields of one flow log, in order.
#[derive(Debug)]
pub struct Header {
    /// The table the records are for.
    pub table: &'static Table,
    /// The names.
    pub names: Vec<String>,
    /// For each name the column it fills, as an index into the table's columns.
    pub columns: Vec<Option<usize>>,
    /// Where the records come without a header, what the values of the fields are like; else empty. Another format must
    /// not be taken for this one.
    pub shapes: Vec<Shape>,
    /// Whether it stands in the text, before the records.
    pub is_read: bool,
}

impl PartialEq for Header {
    fn eq(&self, other: &Self) -> bool {
        // The columns follow from the rest.
        self.table.name == other.table.name
            && self.names == other.names
            && self.shapes == other.shapes
            && self.is_read == other.is_read
    }
}

impl Header {
    /// Reads the header line, or leaves the lines where they are and returns the format that they are records in: one of
    /// `formats`, or a default one. When the first line is neither, that is an error, with the byte it begins at.
    pub fn read(lines: &mut Lines<'_>, formats: &Formats) -> Result<Header, Error> {
        let mut ahead = lines.clone();
        let mut spans: Vec<Span> = Vec::new();
        let Some(offset) = ahead.next_fields(None, &mut spans)? else {
            return Ok(Header::of(&VPC_FLOW, &[]));
        };
        let fields: Vec<&str> = spans.into_iter().map(|span| ahead.field(span)).collect();
        let refused = |what: String| ErrorKind::Shape(what).at(None, offset);
        if let Some(table) = table_of(&fields) {
            check_names(&fields).map_err(refused)?;
            *lines = ahead;
            return Ok(Header::of(table, &fields));
        }
        if let Some(header) = formats.header_of(lines.rest().as_bytes()) {
            return Ok(header);
        }
        Err(refused(of_no_format(&fields).unwrap_or_else(|| {
            "the first line is neither a flow log header nor a record in a known format".to_owned()
        })))
    }

    /// Of records that may have the time before them which an export of a log group puts there.
    pub fn timed(table: &'static Table, has_time: bool, names: &[&str]) -> Header {
        let time = if has_time { &[EXPORT_TIME][..] } else { &[] };
        Header { is_read: false, ..Header::of(table, &[time, names].concat()) }
    }

    /// Of a name that is repeated, the last one fills the column.
    pub fn of(table: &'static Table, names: &[&str]) -> Header {
        let mut columns: Vec<Option<usize>> = Vec::with_capacity(names.len());
        for name in names {
            let column = column_of(table, name);
            if let Some(earlier) = columns.iter_mut().find(|earlier| column.is_some() && **earlier == column)
            {
                *earlier = None;
            }
            columns.push(column);
        }
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Header { table, names, columns, shapes: Vec::new(), is_read: true }
    }

    /// Whether a line that begins with these fields may be a header, this one or another: cheap, for it is asked of every
    /// line. One of the two names that another begins with is known.
    #[inline]
    pub fn may_repeat<'a>(&self, first: &str, second: impl FnOnce() -> &'a str) -> bool {
        self.names.first().is_some_and(|name| name == first)
            || (first.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
                && (is_known(first) || is_known(second())))
    }
}

/// The header that [`Header::read`] reads from a text, when it reads one.
pub fn of_text(text: &[u8], formats: &Formats) -> Option<Header> {
    let fields = lines::first_fields(text)?;
    match table_of(&fields) {
        Some(table) => check_names(&fields).ok().map(|()| Header::of(table, &fields)),
        None => formats.header_of(text),
    }
}

/// Why a first line is refused that names the fields of a flow log, but not as AWS does.
fn of_other_names(fields: &[&str]) -> Option<String> {
    let words = fields.iter().flat_map(|field| field.split(',')).map(|word| word.trim_matches('"'));
    if !are_like_flow_fields(words.take(MAX_FIELDS)) {
        return None;
    }
    let odd = fields
        .iter()
        .find(|field| !is_name(field))
        .or_else(|| fields.iter().find(|field| !is_known(field)))?;
    let begin: String = odd.chars().take(MAX_NAME_BYTES).collect();
    Some(format!(
        "what may be the header of a flow log, but AWS does not write `{begin}` in one: names are like `account-id`, with \
         blanks between them"
    ))
}

/// Why a first line is refused that may be one of a flow log: what to do about it.
pub fn of_no_format(fields: &[&str]) -> Option<String> {
    let is_telling = |field: &&str| {
        matches!(*field, "ACCEPT" | "REJECT" | "NODATA" | "SKIPDATA")
            || ["eni-", "tgw-", "TransitGateway"].iter().any(|start| field.starts_with(start))
    };
    let of_record = || {
        format!(
            "what may be a flow log, but without a header and in no known format: name its {} fields in their order, with \
             `--flow-format` or with `ingest.flow_formats` in the configuration",
            without_time(fields).len()
        )
    };
    let may_be_record = fields.len() > 2 && fields.iter().any(is_telling);
    of_other_names(fields).or_else(|| may_be_record.then(of_record))
}

/// The table whose records follow a line of these fields, when they are mostly names of its fields.
pub fn table_of(fields: &[&str]) -> Option<&'static Table> {
    let is_of_gateway = |field: &&str| {
        *field == "resource-type" || field.starts_with("tgw-") || field.starts_with("packets-lost-")
    };
    let of_gateway = fields.iter().any(is_of_gateway);
    let table = if of_gateway { &TRANSIT_GATEWAY_FLOW } else { &VPC_FLOW };
    let known = fields.iter().filter(|field| column_of(table, field).is_some()).count();
    (known * 2 > fields.len() && fields.iter().all(|field| is_name(field))).then_some(table)
}

/// Refuses names, of a header that is one, that are too many or too long.
pub fn check_names(names: &[&str]) -> Result<(), String> {
    if names.len() > MAX_FIELDS {
        return Err(format!("a header of {} fields, more than {MAX_FIELDS}", names.len()));
    }
    let Some(place) = names.iter().position(|name| name.len() > MAX_NAME_BYTES) else { return Ok(()) };
    let begin: String = names[place].chars().take(MAX_NAME_BYTES).collect();
    Err(format!("the name of field {}, `{begin}...`, is longer than {MAX_NAME_BYTES} bytes", place + 1))
}

/// The table of the default format that the fields of a line are a record in, with or without the time before it.
pub fn default_table(fields: &[&str]) -> Option<&'static Table> {
    default_format(without_time(fields)).map(|(table, _)| table)
}

/// The header of the default format that the fields of a line are a record in.
pub fn of_default_record(fields: &[&str]) -> Option<Header> {
    let record = without_time(fields);
    let (table, names) = default_format(record)?;
    Some(Header::timed(table, record.len() < fields.len(), names))
}

/// A record without the time of the log event, which an export of a log group to S3 puts before it.
pub fn without_time<'a, 'b>(fields: &'a [&'b str]) -> &'a [&'b str] {
    match fields.split_first() {
        Some((time, record)) if DateTime::parse_from_rfc3339(time).is_ok() => record,
        _ => fields,
    }
}

fn default_format(fields: &[&str]) -> Option<(&'static Table, &'static [&'static str])> {
    if is_default_record(fields) {
        return Some((&VPC_FLOW, &DEFAULT_FORMAT));
    }
    is_default_gateway_record(fields).then_some((&TRANSIT_GATEWAY_FLOW, &DEFAULT_GATEWAY_FORMAT))
}

/// Whether the fields of a line are a record of transit gateway flow logs in their default format.
fn is_default_gateway_record(fields: &[&str]) -> bool {
    fields.len() == DEFAULT_GATEWAY_FORMAT.len()
        && matches!(fields[1], "TransitGateway" | "TransitGatewayAttachment")
        && [fields[0], fields[23], fields[24]]
            .iter()
            .all(|field| field.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether the fields of a line are a record in the default format: another of as many fields must not be taken for it.
fn is_default_record(fields: &[&str]) -> bool {
    let &[version, account, interface, source, destination, .., start, end, action, status] = fields else {
        return false;
    };
    let is_number = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit());
    fields.len() == DEFAULT_FORMAT.len()
        && version == "2"
        && (matches!(account, "unknown" | "-") || is_number(account))
        && (interface == "-" || interface.starts_with("eni-"))
        && [source, destination].into_iter().all(|field| field == "-" || is_address(field))
        && [start, end].into_iter().all(is_number)
        && matches!(action, "ACCEPT" | "REJECT" | "-")
        && matches!(status, "OK" | "NODATA" | "SKIPDATA")
}

/// Whether a text is the name of a field that has a column. None of them has a digit but at its end, and most values have.
fn is_known(field: &str) -> bool {
    !field.bytes().rev().skip(1).any(|byte| byte.is_ascii_digit())
        && [&VPC_FLOW, &TRANSIT_GATEWAY_FLOW].iter().any(|table| column_of(table, field).is_some())
}

/// Whether a text is like the names of fields.
pub fn is_name(field: &str) -> bool {
    field.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The column that a field of this name fills, as an index into the table's columns.
pub fn column_of(table: &Table, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| column.source == name && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_with_columns_are_known() {
        let columns = [&VPC_FLOW, &TRANSIT_GATEWAY_FLOW].map(|table| table.columns).concat();
        let mut names = columns.iter().map(|column| column.source).filter(|source| !source.is_empty());
        assert_eq!(names.find(|name| !is_known(name)), None);
        for value in ["", "eni-0a1b2c", "srcaddr-", "vpc", "10.0.0.1", "unknown"] {
            assert!(!is_known(value), "{value}");
        }
    }
}
