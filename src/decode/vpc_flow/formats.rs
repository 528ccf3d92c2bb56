//! Formats of flow logs that come without a header: through `CloudWatch` Logs or Firehose, only who made the flow log
//! knows which field is which.
//!
//! Must never take a record for one of a format that it does not fit: its values would be read as others.

use std::net::IpAddr;
use std::sync::Arc;

use super::header::{self, Header};
use super::lines;
use super::rows::integer;
use crate::decode::columns::{Kind, Table};
use crate::decode::{Error, ErrorKind};

/// The formats that records without a header may be in, besides the default ones; the first that fits is taken.
#[derive(Debug, Clone, Default)]
pub struct Formats {
    all: Arc<[Format]>,
}

/// The fields of a record, in order.
#[derive(Debug)]
struct Format {
    table: &'static Table,
    names: Vec<String>,
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

    /// Names in the formats that are of no column: fields newer than this version, or mistaken.
    pub fn names_without_a_column(&self) -> Vec<&str> {
        let has_none = |format: &Format, name: &str| header::column_of(format.table, name).is_none();
        let names = |format| Format::names(format).into_iter().filter(move |name| has_none(format, name));
        self.all.iter().flat_map(names).collect()
    }

    /// The table of the flow logs that a text begins like: with a header line of known field names, or a record in a
    /// default format or in one of these.
    pub fn looks_like(&self, text: &[u8]) -> Option<&'static Table> {
        let fields = lines::first_fields(text)?;
        let known = self.format_of(header::without_time(&fields)).map(|format| format.table);
        known
            .or_else(|| header::default_table(&fields))
            .or_else(|| header::table_of(&fields).filter(|_| fields.len() > 1))
    }

    /// Whether a text begins with a record in one of these formats, without the time of an export.
    pub fn knows(&self, text: &[u8]) -> bool {
        lines::first_fields(text).is_some_and(|fields| self.format_of(&fields).is_some())
    }

    /// The header that a record would have had, with or without the time that an export of a log group puts before it.
    pub(super) fn header_of(&self, fields: &[&str]) -> Option<Header> {
        let record = header::without_time(fields);
        let format = self.format_of(record)?;
        Some(Header::timed(format.table, record.len() < fields.len(), &format.names()))
    }

    fn format_of(&self, record: &[&str]) -> Option<&Format> {
        self.all.iter().find(|format| format.fits(record))
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
        let names: Vec<&str> = names.collect::<Result<_, _>>()?;
        header::check_names(&names)?;
        if let Some((_, name)) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name))
        {
            return Err(format!("`{name}` is there twice"));
        }
        let table = header::table_of(&names).filter(|_| names.len() > 1);
        let table = table.ok_or("most of its names are of no field of flow logs, or it has only one")?;
        Ok(Format { table, names: names.into_iter().map(str::to_owned).collect() })
    }

    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// Whether the fields of a record are values that the fields of this format can have.
    fn fits(&self, record: &[&str]) -> bool {
        record.len() == self.names.len()
            && self.names.iter().zip(record).all(|(name, field)| *field == "-" || self.can_be(name, field))
    }

    fn can_be(&self, name: &str, field: &str) -> bool {
        match name {
            "action" => matches!(field, "ACCEPT" | "REJECT"),
            "log-status" => matches!(field, "OK" | "NODATA" | "SKIPDATA"),
            "interface-id" => field.starts_with("eni-"),
            "srcaddr" | "dstaddr" | "pkt-srcaddr" | "pkt-dstaddr" => field.parse::<IpAddr>().is_ok(),
            _ => match header::column_of(self.table, name).map(|column| self.table.columns[column].kind) {
                Some(Kind::Int32 | Kind::Int64 | Kind::Seconds) => integer(field).is_some(),
                _ => true,
            },
        }
    }
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
        let found = formats(&["version srcaddr dstaddr not-yet-known", "start end", "end brand-new action"]);
        assert_eq!(found.names_without_a_column(), ["not-yet-known", "brand-new"]);
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
            (&long, &format!("the name of field 4, `{}...`, is longer than 64 bytes", "x".repeat(64))),
            (&many, "a header of 257 fields, more than 256"),
        ] {
            let error = Formats::parse(["version srcaddr", text]).unwrap_err().to_string();
            assert_eq!(error, format!("`{}` is no format of a flow log: {expected}", text.trim()));
        }
    }

    #[test]
    fn a_record_is_of_the_first_format_that_it_fits() {
        let formats = formats(&[
            "version action srcaddr start",
            "version interface-id bytes log-status",
            "vpc-id srcaddr dstaddr start",
            "resource-type tgw-id start",
        ]);
        for (line, expected) in [
            ("3 ACCEPT 10.0.0.1 17", Some("action")),
            ("3 - - 17", Some("action")),
            ("2026-03-10T12:00:00Z 3 REJECT ::1 -", Some("action")),
            ("3 eni-1 20 OK", Some("interface-id")),
            ("vpc-1 10.0.0.1 10.0.0.2 17", Some("srcaddr")),
            ("TransitGateway tgw-1 17", Some("tgw-id")),
            ("3 accept 10.0.0.1 17", None),
            ("3 ACCEPT 10.0.0 17", None),
            ("3 ACCEPT 10.0.0.1 x", None),
            ("3 eni-1 20 ok", None),
            ("3 lo 20 OK", None),
            ("3 ACCEPT 10.0.0.1", None),
            ("3 ACCEPT 10.0.0.1 17 18", None),
        ] {
            let fields: Vec<&str> = line.split(' ').collect();
            let header = formats.header_of(&fields);
            assert_eq!(
                header.as_ref().map(|header| header.names.len()),
                expected.map(|_| fields.len()),
                "{line}"
            );
            let has_name =
                |name| header.as_ref().is_some_and(|header| header.names.iter().any(|of| of == name));
            assert!(expected.is_none_or(has_name), "{line}");
            assert_eq!(formats.looks_like(line.as_bytes()).is_some(), expected.is_some(), "{line}");
        }
    }
}
