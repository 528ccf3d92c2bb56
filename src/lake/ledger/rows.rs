//! Rows of the `objects` table: the index of what the commits say.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::day;
use super::object::ObjectRecord;
use crate::lake::tables::OBJECTS;
use crate::lake::{Error, file};

/// Where an object's rows are.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The object.
    pub record: ObjectRecord,
    /// The table and its version, for an object with rows.
    pub rows_in: Option<(&'static str, i64)>,
    /// When that was committed, by the commit's own word; microseconds since the epoch.
    pub committed_at: Option<i64>,
}

/// The application id under which `objects` notes how far it has indexed a table.
pub fn index_app_id(table: &str) -> String {
    format!("trailhound/index/{table}")
}

/// Rows of the `objects` table.
pub fn rows(placed: &[Placed]) -> Result<RecordBatch, Error> {
    let text = |get: &dyn for<'p> Fn(&'p Placed) -> Option<&'p str>| -> ArrayRef {
        Arc::new(placed.iter().map(get).collect::<StringArray>())
    };
    let long = |get: &dyn Fn(&Placed) -> Option<i64>| -> ArrayRef {
        Arc::new(placed.iter().map(get).collect::<Int64Array>())
    };
    let time = |get: &dyn Fn(&Placed) -> Option<i64>| -> ArrayRef {
        Arc::new(placed.iter().map(get).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let days = |get: &dyn Fn(&Placed) -> Option<i32>| -> ArrayRef {
        Arc::new(placed.iter().map(get).collect::<Date32Array>())
    };
    let columns = OBJECTS.columns.iter().map(|column| match column.name {
        "object_id" => {
            let ids = placed.iter().map(|p| Some(p.record.object_id.to_string()));
            Arc::new(ids.collect::<StringArray>())
        }
        "state" => text(&|p| Some(p.record.state.name())),
        "kind" => text(&|p| Some(&p.record.kind)),
        "bucket" => text(&|p| Some(&p.record.bucket)),
        "key" => text(&|p| Some(&p.record.key)),
        "etag" => text(&|p| Some(&p.record.etag)),
        "version_id" => text(&|p| p.record.version_id.as_deref()),
        "sha256" => text(&|p| p.record.sha256.as_deref()),
        "size_bytes" => long(&|p| Some(p.record.size_bytes)),
        "content_bytes" => long(&|p| Some(p.record.content_bytes)),
        "row_count" => long(&|p| Some(p.record.row_count)),
        "first_event_time" => time(&|p| p.record.first_event_time),
        "last_event_time" => time(&|p| p.record.last_event_time),
        "account_id" => text(&|p| p.record.account_id.as_deref()),
        "region" => text(&|p| p.record.region.as_deref()),
        "delivery_date" => days(&|p| p.record.delivery_date.map(|day| day.to_epoch_days())),
        "reason" => text(&|p| p.record.reason.as_deref()),
        "table_name" => text(&|p| p.rows_in.map(|(table, _)| table)),
        "table_version" => long(&|p| p.rows_in.map(|(_, version)| version)),
        "announced_at" => time(&|p| p.record.announced_at),
        "read_at" => time(&|p| Some(p.record.read_at)),
        "committed_at" => time(&|p| p.committed_at),
        // Of the key, not of the delivery date in the record, which another version may have read otherwise.
        "event_date" => days(&|p| day::of_key(&p.record.key).map(|day| day.to_epoch_days())),
        other => unreachable!("`objects` has no column `{other}`"),
    });
    file::batch(&OBJECTS, columns.collect())
}
