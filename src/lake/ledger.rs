//! The ledger: which objects the lake knows, and what became of them.
//!
//! The commits are the one system of record: each names the objects whose rows it adds. The `objects` table is an
//! index of them, brought up to date after a commit and made again from the log when it is behind.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::log::{Action, TableLog};
use super::tables::OBJECTS;
use super::{Error, file};

/// What identifies an object: bucket, key and the etag of the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId([u8; 16]);

impl ObjectId {
    /// The first half of the SHA-256 of bucket, key and etag, each followed by a zero byte.
    pub fn new(bucket: &str, key: &str, etag: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [bucket, key, etag] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        ObjectId(id)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ObjectId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not an object id of 32 hex digits");
        if text.len() != 32 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut id = [0; 16];
        for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(ObjectId(id))
    }
}

impl Serialize for ObjectId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its rows are in the lake.
    Committed,
    /// It has no rows.
    Empty,
    /// It could not be read: nothing of it is in the lake.
    Quarantined,
    /// Of a known kind that is not read yet.
    Unsupported,
}

impl State {
    /// The word in the `state` column.
    pub fn name(self) -> &'static str {
        match self {
            State::Committed => "committed",
            State::Empty => "empty",
            State::Quarantined => "quarantined",
            State::Unsupported => "unsupported",
        }
    }

    /// The state a word in the `state` column names.
    pub fn parse(text: &str) -> Option<Self> {
        [State::Committed, State::Empty, State::Quarantined, State::Unsupported]
            .into_iter()
            .find(|s| s.name() == text)
    }

    /// Whether nothing more is to be done about the object.
    pub fn is_final(self) -> bool {
        matches!(self, State::Committed | State::Empty)
    }
}

/// One object, as the commit that holds it and the `objects` table say it. Times are microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The fields are the columns of `objects`, documented there.
pub struct ObjectRecord {
    pub object_id: ObjectId,
    pub state: State,
    pub kind: String,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    pub size_bytes: i64,
    #[serde(default)]
    pub content_bytes: i64,
    pub row_count: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_date: Option<NaiveDate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<i64>,
    pub read_at: i64,
}

/// Where an object's rows are.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The object.
    pub record: ObjectRecord,
    /// The table and its version, for an object with rows.
    pub rows_in: Option<(&'static str, i64)>,
}

/// The objects a version's commit names.
pub fn objects_of(actions: &[Action]) -> impl Iterator<Item = ObjectRecord> + '_ {
    let infos = actions.iter().filter_map(|action| action.commit_info.as_ref());
    let lists = infos.filter_map(|info| info.get("trailhound")?.get("objects")?.as_array());
    lists.flatten().filter_map(|value: &Value| match ObjectRecord::deserialize(value) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(%error, "a commit names an object in a form this version does not know");
            None
        }
    })
}

/// What is known of every object, in memory, as far as the logs were read.
#[derive(Debug, Default)]
pub struct Ledger {
    states: HashMap<ObjectId, State>,
    seen: HashMap<&'static str, i64>,
    vacuumed: HashMap<&'static str, i64>,
    /// Logs of which versions were read that may not be on disk yet.
    unsettled: HashSet<&'static str>,
}

impl Ledger {
    /// Reads the `objects` table; the logs are read on from there by [`Ledger::catch_up`].
    pub async fn load(objects: &TableLog, data: &[&TableLog]) -> Result<Self, Error> {
        let mut ledger = Ledger::default();
        if !objects.exists().await? {
            return Ok(ledger);
        }
        let app_ids: Vec<String> = data.iter().map(|log| index_app_id(log.table().name)).collect();
        // Progress first: a later snapshot may hold more, and reading a commit twice changes nothing.
        let (_, progress) = objects.progress(&app_ids).await?;
        let snapshot = objects.snapshot().await?;
        for data_file in &snapshot.files {
            for batch in objects.read_file(&data_file.path, &["object_id", "state"]).await? {
                ledger.note_batch(&batch);
            }
        }
        ledger.seen.insert(OBJECTS.name, snapshot.version);
        for (log, version) in data.iter().zip(progress) {
            ledger.seen.insert(log.table().name, version.unwrap_or(-1));
        }
        Ok(ledger)
    }

    /// Reads the versions of a log that were not read yet, and makes sure that they stay; returns the newest version.
    pub async fn catch_up(&mut self, log: &TableLog) -> Result<i64, Error> {
        let name = log.table().name;
        loop {
            let next = self.seen.get(name).copied().unwrap_or(-1) + 1;
            let Some(actions) = log.actions_after(next - 1).await? else {
                if self.unsettled.contains(name) {
                    log.settle().await?;
                    self.unsettled.remove(name);
                }
                return Ok(next - 1);
            };
            log.check_actions(&actions)?;
            if actions.iter().any(Action::is_vacuum) {
                self.vacuumed.insert(name, next);
            }
            self.unsettled.insert(name);
            for record in objects_of(&actions) {
                self.note(record.object_id, record.state);
            }
            self.seen.insert(name, next);
        }
    }

    /// The newest version that announced the deletion of files without a name in the log, as far as it was read.
    pub fn vacuumed(&self, table: &str) -> i64 {
        self.vacuumed.get(table).copied().unwrap_or(-1)
    }

    /// What became of an object, if it is known.
    pub fn state(&self, id: ObjectId) -> Option<State> {
        self.states.get(&id).copied()
    }

    /// Whether committing this outcome would tell the lake nothing new.
    pub fn covers(&self, record: &ObjectRecord) -> bool {
        self.state(record.object_id).is_some_and(|known| known.is_final() || known == record.state)
    }

    fn note(&mut self, id: ObjectId, state: State) {
        let known = self.states.entry(id).or_insert(state);
        if !known.is_final() {
            *known = state;
        }
    }

    fn note_batch(&mut self, batch: &RecordBatch) {
        let column =
            |name| batch.column_by_name(name).map(|array: &ArrayRef| array.as_string::<i32>().clone());
        let (Some(ids), Some(states)) = (column("object_id"), column("state")) else { return };
        for (id, state) in ids.iter().zip(states.iter()) {
            if let (Some(Ok(id)), Some(Some(state))) = (id.map(str::parse), state.map(State::parse)) {
                self.note(id, state);
            }
        }
    }
}

/// The application id under which `objects` notes how far it has indexed a table.
pub fn index_app_id(table: &str) -> String {
    format!("trailhound/index/{table}")
}

/// Rows of the `objects` table.
pub fn rows(placed: &[Placed]) -> Result<RecordBatch, Error> {
    let text = |get: &dyn Fn(&Placed) -> Option<String>| -> ArrayRef {
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
        "object_id" => text(&|p| Some(p.record.object_id.to_string())),
        "state" => text(&|p| Some(p.record.state.name().to_owned())),
        "kind" => text(&|p| Some(p.record.kind.clone())),
        "bucket" => text(&|p| Some(p.record.bucket.clone())),
        "key" => text(&|p| Some(p.record.key.clone())),
        "etag" => text(&|p| Some(p.record.etag.clone())),
        "version_id" => text(&|p| p.record.version_id.clone()),
        "size_bytes" => long(&|p| Some(p.record.size_bytes)),
        "content_bytes" => long(&|p| Some(p.record.content_bytes)),
        "row_count" => long(&|p| Some(p.record.row_count)),
        "first_event_time" => time(&|p| p.record.first_event_time),
        "last_event_time" => time(&|p| p.record.last_event_time),
        "account_id" => text(&|p| p.record.account_id.clone()),
        "region" => text(&|p| p.record.region.clone()),
        "delivery_date" => days(&|p| p.record.delivery_date.map(|day| day.to_epoch_days())),
        "reason" => text(&|p| p.record.reason.clone()),
        "table_name" => text(&|p| p.rows_in.map(|(table, _)| table.to_owned())),
        "table_version" => long(&|p| p.rows_in.map(|(_, version)| version)),
        "announced_at" => time(&|p| p.record.announced_at),
        "read_at" => time(&|p| Some(p.record.read_at)),
        "event_date" => days(&|p| crate::decode::time::event_date(p.record.read_at)),
        other => unreachable!("`objects` has no column `{other}`"),
    });
    file::batch(&OBJECTS, columns.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_objects_apart_and_survive_text() {
        let id = ObjectId::new("bucket", "key", "etag");
        assert_eq!(id.to_string().parse::<ObjectId>(), Ok(id));
        for (bucket, key, etag) in
            [("bucketk", "ey", "etag"), ("bucket", "keye", "tag"), ("bucket", "key", "etag2")]
        {
            assert_ne!(ObjectId::new(bucket, key, etag), id);
        }
        for text in ["", "zz", "0123456789abcdef0123456789abcdeg", "é123456789abcdef0123456789abcde"] {
            text.parse::<ObjectId>().expect_err(text);
        }
    }
}
