//! The tables of the lake and their Delta metadata.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::decode::columns::{
    AGGREGATED_EVENTS, CLOUDTRAIL, Column, DIGESTS, Kind, TRANSIT_GATEWAY_FLOW, Table, VPC_FLOW, column,
};

/// The ingest ledger: one row per source object.
pub static OBJECTS: Table = Table {
    name: "objects",
    doc: "The log objects that were read, one row each: what became of them and where their rows are.",
    time_column: "read_at",
    columns: OBJECTS_COLUMNS,
};

/// Findings of detections.
pub static ALERTS: Table = Table {
    name: "alerts",
    doc: "Findings of detections, one row per rule, entity and window.",
    time_column: "window_start",
    columns: ALERTS_COLUMNS,
};

/// The tables that hold rows of log objects.
pub static DATA_TABLES: [&Table; 5] =
    [&CLOUDTRAIL, &VPC_FLOW, &TRANSIT_GATEWAY_FLOW, &AGGREGATED_EVENTS, &DIGESTS];

/// Every table of the lake.
pub static TABLES: [&Table; 7] =
    [&CLOUDTRAIL, &VPC_FLOW, &TRANSIT_GATEWAY_FLOW, &AGGREGATED_EVENTS, &DIGESTS, &OBJECTS, &ALERTS];

/// Tables that were added later: a lake without them is whole, and they are made when the first rows come.
pub static LATER_TABLES: [&Table; 3] = [&TRANSIT_GATEWAY_FLOW, &AGGREGATED_EVENTS, &DIGESTS];

/// A table by its name in SQL.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.into_iter().find(|table| table.name == name)
}

/// The schemas of the tables as text: whoever opens a lake compares them.
static SCHEMAS: LazyLock<Vec<String>> = LazyLock::new(|| TABLES.map(schema_text).into());

/// The schema as a Delta table's metadata writes it.
pub fn delta_schema(table: &Table) -> String {
    let place = TABLES.iter().position(|known| std::ptr::eq(*known, table));
    place.and_then(|place| SCHEMAS.get(place)).cloned().unwrap_or_else(|| schema_text(table))
}

fn schema_text(table: &Table) -> String {
    let fields: Vec<_> = table
        .columns
        .iter()
        .map(|c| {
            let metadata = json!({ "comment": c.doc });
            json!({ "name": c.name, "type": delta_type(c.kind), "nullable": true, "metadata": metadata })
        })
        .collect();
    json!({ "type": "struct", "fields": fields }).to_string()
}

/// A schema as metadata has it, with the table's columns that it lacks behind those it has; none when it lacks none.
pub(super) fn widened(schema: &str, table: &Table) -> Result<Option<String>, serde_json::Error> {
    let mut schema: Value = serde_json::from_str(schema)?;
    let mut wanted: Value = serde_json::from_str(&delta_schema(table))?;
    let (Some(fields), Some(wanted)) = (schema["fields"].as_array_mut(), wanted["fields"].as_array_mut())
    else {
        return Ok(None);
    };
    wanted.retain(|column| !fields.iter().any(|field| field["name"] == column["name"]));
    if wanted.is_empty() {
        return Ok(None);
    }
    fields.append(wanted);
    Ok(Some(schema.to_string()))
}

fn delta_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text
        | Kind::Json
        | Kind::Derived
        | Kind::OtherFields
        | Kind::NullFields
        | Kind::SourceObject => "string",
        Kind::Bool | Kind::BoolText => "boolean",
        Kind::Int32 | Kind::SourceRow => "integer",
        Kind::Int64 => "long",
        Kind::Timestamp | Kind::Seconds => "timestamp",
        Kind::Date | Kind::EventDate => "date",
    }
}

static OBJECTS_COLUMNS: &[Column] = &[
    column(
        "object_id",
        "",
        Kind::Text,
        "The id rows carry in `source_object`: the first half of the SHA-256 of bucket, key and etag, in hex.",
    ),
    column(
        "state",
        "",
        Kind::Text,
        "`committed` (its rows are in the lake), `empty` (it has none), `quarantined` (it could not be read) or `unsupported` (a known kind that is not read yet).",
    ),
    column(
        "kind",
        "",
        Kind::Text,
        "What the object holds: `cloudtrail`, `vpc_flow`, `cloudtrail_digest`, ...",
    ),
    column("bucket", "", Kind::Text, "The S3 bucket, or `file` for a local file."),
    column("key", "", Kind::Text, "The object's key, or the absolute path of a local file."),
    column(
        "etag",
        "",
        Kind::Text,
        "The etag of the bytes that were read; for a local file the SHA-256 of its bytes.",
    ),
    column("version_id", "", Kind::Text, "The S3 version that was read, in a versioned bucket."),
    column(
        "sha256",
        "",
        Kind::Text,
        "The SHA-256 of the object as it was read, in hex; null where it was too large to be.",
    ),
    column("size_bytes", "", Kind::Int64, "The size of the object as stored."),
    column("content_bytes", "", Kind::Int64, "The size of the decompressed content."),
    column("row_count", "", Kind::Int64, "How many rows it gave."),
    column("first_event_time", "", Kind::Timestamp, "The earliest event in it."),
    column("last_event_time", "", Kind::Timestamp, "The latest event in it."),
    column("account_id", "", Kind::Text, "The account named in the key."),
    column("region", "", Kind::Text, "The region named in the key."),
    column(
        "delivery_date",
        "",
        Kind::Date,
        "The day named in the key: the day of delivery, not of the events.",
    ),
    column("reason", "", Kind::Text, "Why it was quarantined, and where in the object."),
    column("table_name", "", Kind::Text, "The table its rows went to."),
    column("table_version", "", Kind::Int64, "The version of that table that holds its rows."),
    column(
        "announced_at",
        "",
        Kind::Timestamp,
        "When the notification said the object was written; null without one.",
    ),
    column("read_at", "", Kind::Timestamp, "When it was read."),
    column("committed_at", "", Kind::Timestamp, "When the commit was made that says so."),
    column(
        "event_date",
        "",
        Kind::EventDate,
        "The day in the key, as `YYYY/MM/DD` or `year=YYYY/month=MM/day=DD`, null without one: the partition.",
    ),
];

static ALERTS_COLUMNS: &[Column] = &[
    column(
        "alert_id",
        "",
        Kind::Text,
        "The first half of the SHA-256 of rule, entity and window, in hex: the same finding has the same id.",
    ),
    column("rule_id", "", Kind::Text, "The detection that found it."),
    column("title", "", Kind::Text, "The detection's title."),
    column("severity", "", Kind::Text, "`informational`, `low`, `medium`, `high` or `critical`."),
    column("entity", "", Kind::Json, "What the alert is about, a JSON object of column and value."),
    column("summary", "", Kind::Text, "What was seen, in words."),
    column("window_start", "", Kind::Timestamp, "The start of the window the finding belongs to."),
    column("first_time", "", Kind::Timestamp, "The first event."),
    column("last_time", "", Kind::Timestamp, "The last event."),
    column("event_count", "", Kind::Int64, "How many events."),
    column("event_ids", "", Kind::Json, "The ids of the events, at most 100, a JSON array."),
    column("mitre_tactics", "", Kind::Json, "MITRE ATT&CK tactics, a JSON array."),
    column("mitre_techniques", "", Kind::Json, "MITRE ATT&CK techniques, a JSON array."),
    column("next_steps", "", Kind::Text, "What to do next."),
    column("evidence", "", Kind::Json, "The first matching row, a JSON object."),
    column("created_at", "", Kind::Timestamp, "When the alert was raised."),
    column("deliveries", "", Kind::Json, "Per sink: state, attempts and the last error, a JSON object."),
    column("event_date", "", Kind::EventDate, "The UTC day of `window_start`: the partition."),
];
