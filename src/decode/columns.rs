//! The columns of every log type: one table each, which drives schema, decoder, documentation and `--describe`.
//!
//! Must never hold decoding logic: a column is data.

mod aggregated_events;
mod cloudtrail;
mod digests;
mod transit_gateway_flow;
mod vpc_flow;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// How a column is filled and what type it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string of the source, unescaped.
    Text,
    /// The source's own bytes of a JSON value.
    Json,
    /// A boolean that the source writes as JSON does; as a string it is taken too.
    Bool,
    /// A boolean that the source writes as the string `"true"` or `"false"`; as JSON writes it, it is taken too.
    BoolText,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A time the source writes as ISO 8601 text; microseconds, UTC.
    Timestamp,
    /// A time the source writes as Unix seconds; microseconds, UTC.
    Seconds,
    /// A day.
    Date,
    /// Text computed from other fields.
    Derived,
    /// What had no column or did not fit: a JSON object.
    OtherFields,
    /// Names of source fields that were an explicit null.
    NullFields,
    /// The id of the source object.
    SourceObject,
    /// The row's number in the source object.
    SourceRow,
    /// The partition: the UTC day of the table's time column; of `objects`, the day in the key.
    EventDate,
}

/// One column: its name in SQL, the path of the field in the source, how it is filled, and a line of documentation.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name in SQL, `snake_case`.
    pub name: &'static str,
    /// The dotted path in the source record; empty when no single field is behind it.
    pub source: &'static str,
    /// How it is filled.
    pub kind: Kind,
    /// One line for a person.
    pub doc: &'static str,
}

/// Builds a column: for the tables of columns only.
pub const fn column(name: &'static str, source: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { name, source, kind, doc }
}

impl Kind {
    /// Whether a value of JSON can be written in several ways that are the same to the column.
    pub fn has_forms(self) -> bool {
        matches!(self, Kind::Bool | Kind::BoolText | Kind::Timestamp)
    }

    /// The Arrow type of such a column in the lake.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Text
            | Kind::Json
            | Kind::Derived
            | Kind::OtherFields
            | Kind::NullFields
            | Kind::SourceObject => DataType::Utf8,
            Kind::Bool | Kind::BoolText => DataType::Boolean,
            Kind::Int32 | Kind::SourceRow => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Timestamp | Kind::Seconds => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Date | Kind::EventDate => DataType::Date32,
        }
    }
}

/// A table of the lake: its name, its columns, and the column that says when a row happened.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The name in SQL and the directory in the lake.
    pub name: &'static str,
    /// What it holds, one line.
    pub doc: &'static str,
    /// The column with the time of the row.
    pub time_column: &'static str,
    /// The columns in order; the partition column `event_date` is the last.
    pub columns: &'static [Column],
}

impl Table {
    /// The Arrow schema: every column nullable, in table order, the partition column last.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|c| Field::new(c.name, c.kind.data_type(), true)).collect();
        Arc::new(Schema::new(fields))
    }

    /// The position of a column by name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

/// Whether these may be the fields of a flow log as others write them, `accountId` or `ACCOUNT_ID`: most of them are, and
/// one is an address of the flow.
pub fn are_like_flow_fields<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    let spelled = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let names: Vec<String> = names.into_iter().map(spelled).collect();
    let is_field = |name: &&String| {
        let columns = VPC_FLOW.columns.iter().chain(TRANSIT_GATEWAY_FLOW.columns);
        columns
            .map(|column| column.source.replace('-', ""))
            .any(|source| source == **name && !source.is_empty())
    };
    names.iter().filter(is_field).count() * 2 > names.len()
        && names.iter().any(|name| ["srcaddr", "dstaddr"].contains(&name.as_str()))
}

/// CloudTrail management, data, network activity and Insights events.
pub static CLOUDTRAIL: Table = Table {
    name: "cloudtrail",
    doc: "AWS API calls and sign-ins, one row per CloudTrail event.",
    time_column: "event_time",
    columns: cloudtrail::COLUMNS,
};

/// VPC Flow Logs.
pub static VPC_FLOW: Table = Table {
    name: "vpc_flow",
    doc: "Network flows, one row per VPC flow log record.",
    time_column: "start_time",
    columns: vpc_flow::COLUMNS,
};

/// Transit gateway flow logs.
pub static TRANSIT_GATEWAY_FLOW: Table = Table {
    name: "transit_gateway_flow",
    doc: "Network flows through transit gateways, one row per transit gateway flow log record.",
    time_column: "start_time",
    columns: transit_gateway_flow::COLUMNS,
};

/// CloudTrail digests.
pub static DIGESTS: Table = Table {
    name: "digests",
    doc: "CloudTrail digest files, one row each: which log files were delivered in an hour, and their hashes.",
    time_column: "digest_end_time",
    columns: digests::COLUMNS,
};

/// CloudTrail aggregated events.
pub static AGGREGATED_EVENTS: Table = Table {
    name: "aggregated_events",
    doc: "CloudTrail aggregated events, one row each: counts of the data events of five minutes, by one dimension.",
    time_column: "window_start",
    columns: aggregated_events::COLUMNS,
};

/// What a record of JSON has that no column takes.
const OTHER_FIELDS: Column = column(
    "other_fields",
    "",
    Kind::OtherFields,
    "Every field that has no column or did not fit its column, as a JSON object.",
);

/// What a line of a flow log has that no column takes.
const OTHER_STRINGS: Column = column(
    "other_fields",
    "",
    Kind::OtherFields,
    "Every field that has no column or did not fit its column, as a JSON object of strings.",
);

/// What a record of JSON says is null.
const NULL_FIELDS: Column = column(
    "null_fields",
    "",
    Kind::NullFields,
    "Top-level fields that were present with a JSON null, comma separated; their columns are null.",
);

/// The object a row is from.
const SOURCE_OBJECT: Column = column(
    "source_object",
    "",
    Kind::SourceObject,
    "The `object_id` in `objects` of the log object this row came from.",
);

/// Where in its object a row stood.
const SOURCE_ROW: Column =
    column("source_row", "", Kind::SourceRow, "The row's number in its log object, from 0.");

/// The partition of a flow log's row.
const START_DATE: Column = column(
    "event_date",
    "",
    Kind::EventDate,
    "The UTC day of `start_time`: the partition; null when the time is missing or absurd.",
);

// What a flow is, whatever it goes through.
const START_TIME: Column =
    column("start_time", "start", Kind::Seconds, "When the first packet of the flow was seen, UTC.");
const END_TIME: Column =
    column("end_time", "end", Kind::Seconds, "When the last packet of the flow was seen, UTC.");
const SRCADDR: Column = column("srcaddr", "srcaddr", Kind::Text, "Source address.");
const DSTADDR: Column = column("dstaddr", "dstaddr", Kind::Text, "Destination address.");
const SRCPORT: Column = column("srcport", "srcport", Kind::Int32, "Source port.");
const DSTPORT: Column = column("dstport", "dstport", Kind::Int32, "Destination port.");
const PROTOCOL: Column =
    column("protocol", "protocol", Kind::Int32, "IANA protocol number: 1 ICMP, 6 TCP, 17 UDP.");
const PACKETS: Column = column("packets", "packets", Kind::Int64, "Packets in the flow.");
const BYTES: Column = column("bytes", "bytes", Kind::Int64, "Bytes in the flow.");
