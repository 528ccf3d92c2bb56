//! An object: what identifies it, what became of it, and what a commit says of it.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::de::Visitor;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::lake::action::Action;

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

impl ObjectId {
    /// The id as a number, in the order of its text.
    pub(super) fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
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
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = ObjectId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object id")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ObjectId, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

/// An object to be looked up: its id, and the key that says in which part of the ledger it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectName<'a> {
    id: ObjectId,
    key: &'a str,
}

impl<'a> ObjectName<'a> {
    /// The name of an object by what identifies it.
    pub fn new(bucket: &str, key: &'a str, etag: &str) -> Self {
        ObjectName { id: ObjectId::new(bucket, key, etag), key }
    }

    /// The id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The key the id is made of.
    pub fn key(&self) -> &'a str {
        self.key
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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

impl ObjectRecord {
    /// What it is looked up by.
    pub fn name(&self) -> ObjectName<'_> {
        ObjectName { id: self.object_id, key: &self.key }
    }
}

/// The objects a version's commit names; an error for each that is in a form this version does not know.
pub fn objects_of(actions: &[Action]) -> impl Iterator<Item = Result<ObjectRecord, serde_json::Error>> + '_ {
    let lists = actions.iter().filter_map(|action| action.noted("objects"));
    lists
        .flat_map(|list| <Vec<&RawValue>>::deserialize(list).unwrap_or_else(|_| vec![list]))
        .map(ObjectRecord::deserialize)
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
