//! The header line of a flow log: which field is where, and which column it fills.
//!
//! Must never refuse a name it does not know: AWS adds fields, and each flow log chooses its own.

use super::lines::{Lines, Span};
use crate::decode::columns::VPC_FLOW;
use crate::decode::{Error, ErrorKind};

/// There are 54 fields in version 11.
const MAX_FIELDS: usize = 256;

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

/// Fields of versions 9 to 11, which have no column: they go to `other_fields`.
const FIELDS_WITHOUT_COLUMN: [&str; 14] = [
    "resource-id",
    "encryption-status",
    "instance-tag",
    "instance-tag-2",
    "interface-tag",
    "interface-tag-2",
    "asg-tag",
    "asg-tag-2",
    "interface-type",
    "next-hop-interface-id",
    "next-hop-subnet-id",
    "next-hop-az-id",
    "next-hop-vpc-id",
    "next-hop-interface-type",
];

/// The fields of one flow log, in order.
#[derive(Debug)]
pub struct Header<'a> {
    /// The names.
    pub names: Vec<&'a str>,
    /// For each name the column it fills, as an index into the table's columns.
    pub columns: Vec<Option<usize>>,
}

impl<'a> Header<'a> {
    /// Reads the header line, or leaves the lines where they are and returns the default format when the first line
    /// is a record in it.
    pub fn read(lines: &mut Lines<'a>) -> Result<Header<'a>, Error> {
        let mut ahead = lines.clone();
        let mut spans: Vec<Span> = Vec::new();
        let Some(offset) = ahead.next_fields(None, &mut spans)? else { return Ok(Header::of(Vec::new())) };
        let fields: Vec<&str> = spans.into_iter().map(|span| ahead.field(span)).collect();
        let refuse = |what: String| Err(ErrorKind::Shape(what).at(None, offset));
        if is_transit_gateway(&fields) {
            return refuse("transit gateway flow logs are not supported yet".to_owned());
        }
        if is_header(&fields) {
            if fields.len() > MAX_FIELDS {
                return refuse(format!("a header of {} fields, more than {MAX_FIELDS}", fields.len()));
            }
            *lines = ahead;
            return Ok(Header::of(fields));
        }
        if is_default_record(&fields) {
            return Ok(Header::of(DEFAULT_FORMAT.to_vec()));
        }
        refuse("the first line is neither a flow log header nor a record in the default format".to_owned())
    }

    /// Of a name that is repeated, the last one fills the column.
    fn of(names: Vec<&'a str>) -> Header<'a> {
        let mut columns: Vec<Option<usize>> = Vec::with_capacity(names.len());
        for name in &names {
            let column = column_of(name);
            if let Some(earlier) = columns.iter_mut().find(|earlier| column.is_some() && **earlier == column)
            {
                *earlier = None;
            }
            columns.push(column);
        }
        Header { names, columns }
    }

    /// Whether a line with this first field may be a header: cheap, for it is asked of every line.
    #[inline]
    pub fn may_repeat(&self, first: &str) -> bool {
        first.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && (self.names.first() == Some(&first) || is_known(first))
    }
}

/// Whether the fields of a line are mostly names of flow log fields.
pub fn is_header(fields: &[&str]) -> bool {
    let known = fields.iter().filter(|field| is_known(field)).count();
    known * 2 > fields.len() && fields.iter().all(|field| is_name(field))
}

/// Whether the fields of a line are the header of transit gateway flow logs.
pub fn is_transit_gateway(fields: &[&str]) -> bool {
    let of_gateway = |field: &str| {
        field == "resource-type" || field.starts_with("tgw-") || field.starts_with("packets-lost-")
    };
    let known = fields.iter().filter(|field| of_gateway(field) || is_known(field)).count();
    fields.iter().any(|field| matches!(*field, "tgw-id" | "resource-type"))
        && known * 2 > fields.len()
        && fields.iter().all(|field| is_name(field))
}

/// Whether the fields of a line are a record in the default format.
pub fn is_default_record(fields: &[&str]) -> bool {
    let &[version, _, _, _, _, _, _, _, _, _, start, end, action, status] = fields else { return false };
    [version, start, end].iter().all(|field| field.bytes().all(|byte| byte.is_ascii_digit()))
        && matches!(action, "ACCEPT" | "REJECT" | "-")
        && matches!(status, "OK" | "NODATA" | "SKIPDATA")
}

fn is_name(field: &str) -> bool {
    field.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_known(field: &str) -> bool {
    column_of(field).is_some() || FIELDS_WITHOUT_COLUMN.contains(&field)
}

fn column_of(name: &str) -> Option<usize> {
    VPC_FLOW.columns.iter().position(|column| column.source == name && !name.is_empty())
}
