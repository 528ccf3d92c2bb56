//! What a version of a table's log says: each line of its file is one of these actions, a JSON object whose one key names
//! it. The format is that of the Delta protocol, section "Actions":
//! <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#actions>.
//!
//! What a commit says of itself is kept as text and read where somebody asks: it names every object it adds, and who
//! writes or reads thousands of them must not build a tree of them first.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

/// An `add` action.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// The path below the table's directory, URL-encoded.
    pub path: String,
    /// Partition column to value.
    pub partition_values: Map<String, Value>,
    /// The size in bytes.
    pub size: u64,
    /// Milliseconds since the epoch.
    pub modification_time: i64,
    /// False when the rows were in the table before.
    pub data_change: bool,
    /// Statistics as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// What the writer says about the file, see [`Add::sha256`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Map<String, Value>>,
}

/// The tag of an `add` action that holds the SHA-256 of the file, in hex.
const SHA256_TAG: &str = "trailhound.sha256";

impl Add {
    /// The tags of a file whose content has this hash.
    pub(super) fn tags_of(sha256: &str) -> Map<String, Value> {
        Map::from_iter([(SHA256_TAG.to_owned(), json!(sha256))])
    }

    /// The SHA-256 of the file in hex, as its writer noted it; files of other programs have none.
    pub fn sha256(&self) -> Option<&str> {
        self.tags.as_ref()?.get(SHA256_TAG)?.as_str()
    }

    /// The path below the table's directory, decoded.
    pub fn file_path(&self) -> String {
        decoded_path(&self.path)
    }

    /// How many rows the statistics speak of; none without statistics, or with some of another form.
    pub fn rows(&self) -> Option<u64> {
        let stats: Stats = serde_json::from_str(self.stats.as_deref()?).ok()?;
        stats.num_records
    }
}

/// The statistics of an `add` action that are used here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stats {
    pub num_records: Option<u64>,
    pub min_values: Map<String, Value>,
    pub max_values: Map<String, Value>,
}

/// A `remove` action.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    /// The path below the table's directory, URL-encoded.
    pub path: String,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub deletion_timestamp: Option<i64>,
    /// False when the rows are still in the table, in another file.
    #[serde(default)]
    pub data_change: bool,
}

impl Remove {
    /// The path below the table's directory, decoded.
    pub fn file_path(&self) -> String {
        decoded_path(&self.path)
    }
}

/// A `txn` action: how far an application has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    /// The application.
    pub app_id: String,
    /// How far, in its own count; here, in versions of a table's log.
    pub version: i64,
}

/// What one version changed, as far as it matters here; other actions are ignored, as the protocol asks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// A file is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<Add>,
    /// A file is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
    /// An application's progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<Txn>,
    /// Who committed, and what: holds the identities of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_info: Option<CommitInfo>,
    /// The protocol, in version 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Value>,
    /// The schema, in version 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<Value>,
}

impl Action {
    /// An action that adds a file.
    pub fn add(add: Add) -> Self {
        Action { add: Some(add), ..Action::default() }
    }

    /// An action that removes a file, by its path as [`Add::file_path`] gives it, and its rows with it.
    pub fn remove(path: &str, at_millis: i64) -> Self {
        let path = encoded_path(path);
        let remove = Remove { path, deletion_timestamp: Some(at_millis), data_change: true };
        Action { remove: Some(remove), ..Action::default() }
    }

    /// An action that removes a file whose rows are in other files of the same commit.
    pub fn replace(path: &str, at_millis: i64) -> Self {
        let path = encoded_path(path);
        let remove = Remove { path, deletion_timestamp: Some(at_millis), data_change: false };
        Action { remove: Some(remove), ..Action::default() }
    }

    /// What this program noted in the commit's information under a name: a JSON value, as it stands in the log.
    pub fn noted(&self, name: &str) -> Option<&RawValue> {
        self.commit_info.as_ref()?.noted(name)
    }

    /// Whether the commit is the one that was given this id.
    pub fn is_commit(&self, id: &str) -> bool {
        self.noted("commit").is_some_and(|noted| String::deserialize(noted).is_ok_and(|noted| noted == id))
    }

    /// When the commit was made, by its own word, in microseconds since the epoch.
    pub fn committed_at(&self) -> Option<i64> {
        self.commit_info.as_ref()?.timestamp?.checked_mul(1000)
    }

    /// Whether the commit says that files without a name in the log are about to be deleted: whoever stored a file
    /// before it and has not committed it must store it again.
    pub fn is_vacuum(&self) -> bool {
        let operation = self.commit_info.as_ref().and_then(|info| info.operation.as_deref());
        operation.is_some_and(|operation| operation.starts_with("VACUUM"))
    }

    /// An action that notes an application's progress.
    pub fn txn(app_id: impl Into<String>, version: i64) -> Self {
        Action { txn: Some(Txn { app_id: app_id.into(), version }), ..Action::default() }
    }

    /// The commit's information: `operation` is a word such as `WRITE`, `at_millis` is since the epoch, and
    /// `trailhound` is an object of what is noted, by name. What cannot be written as JSON is an error.
    pub fn info(
        operation: &str,
        at_millis: i64,
        trailhound: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let info = CommitInfo {
            timestamp: Some(at_millis),
            operation: Some(operation.to_owned()),
            trailhound: Some(to_raw_value(trailhound)?),
        };
        Ok(Action { commit_info: Some(info), ..Action::default() })
    }
}

/// What a commit says of itself, as far as it matters here. Each program may say what it likes: a value of another type
/// than this one writes is as good as none.
#[derive(Debug, Clone)]
pub struct CommitInfo {
    /// Milliseconds since the epoch.
    timestamp: Option<i64>,
    operation: Option<String>,
    /// What this program noted: an object.
    trailhound: Option<Box<RawValue>>,
}

impl CommitInfo {
    fn noted(&self, name: &str) -> Option<&RawValue> {
        Members::deserialize(self.trailhound.as_deref()?).ok()?.remove(name)
    }
}

/// The values of an object, as they stand in the text.
type Members<'a> = HashMap<String, &'a RawValue>;

impl<'de> Deserialize<'de> for CommitInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut said = Members::deserialize(deserializer)?;
        let trailhound = said.remove("trailhound").filter(|value| value.get().starts_with('{'));
        // Text is not looked into before it is asked for: a key that cannot be read must not pass for none.
        trailhound.map(Members::deserialize).transpose().map_err(D::Error::custom)?;
        let operation = said.remove("operation").filter(|value| value.get().starts_with('"'));
        Ok(CommitInfo {
            timestamp: said.remove("timestamp").and_then(|value| i64::deserialize(value).ok()),
            operation: operation.map(String::deserialize).transpose().map_err(D::Error::custom)?,
            trailhound: trailhound.map(RawValue::to_owned),
        })
    }
}

impl Serialize for CommitInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut info = serializer.serialize_map(None)?;
        info.serialize_entry("timestamp", &self.timestamp)?;
        info.serialize_entry("operation", &self.operation)?;
        info.serialize_entry("operationParameters", &json!({}))?;
        info.serialize_entry("engineInfo", concat!("trailhound/", env!("CARGO_PKG_VERSION")))?;
        info.serialize_entry("trailhound", &self.trailhound)?;
        info.end()
    }
}

/// What is encoded in the paths of actions, whose texts must be the same where a file comes and where it goes: what
/// RFC 2396 excludes from a URI, as `delta-rs` does. Names of this program have nothing of it.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'*')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path for an action.
fn encoded_path(path: &str) -> String {
    utf8_percent_encode(path, ENCODED).to_string()
}

/// A path of an action, decoded.
pub(super) fn decoded_path(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(info: &str) -> Result<Action, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"commitInfo":{info}}}"#))
    }

    #[test]
    fn what_is_noted_is_read_again_as_it_was_written() {
        let noted = json!({ "commit": "c\u{e9}", "objects": [{ "a": 1.0 }, null], "rewrite": true });
        let written = Action::info("VACUUM START", 7, &noted).unwrap();
        let text = serde_json::to_string(&written).unwrap();
        let read: Action = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        for action in [&written, &read] {
            assert_eq!(action.committed_at(), Some(7000));
            assert!(action.is_vacuum() && action.is_commit("cé") && !action.is_commit("c"));
            assert_eq!(action.noted("objects").map(RawValue::get), Some(r#"[{"a":1.0},null]"#));
            assert_eq!(action.noted("removed").map(RawValue::get), None);
        }
        assert!(!Action::info("WRITE", 0, &json!({})).unwrap().is_vacuum());
    }

    #[test]
    fn what_others_say_in_their_own_way_is_passed_over() {
        for info in [
            "{}",
            r#"{"timestamp":"now","operation":["VACUUM"],"trailhound":[1]}"#,
            r#"{"timestamp":1e3,"operation":null,"trailhound":null}"#,
            r#"{"timestamp":{},"operation":5,"trailhound":"commit","more":[{"commit":"x"}]}"#,
        ] {
            let action = action(info).unwrap();
            assert_eq!((action.committed_at(), action.is_vacuum()), (None, false), "{info}");
            assert!(action.noted("commit").is_none(), "{info}");
        }
        let text = r#" { "trailhound" : { "commit" : "\u0078" , "x" : 1 } , "timestamp" : 3 } "#;
        let spaced = action(text).unwrap();
        assert!(spaced.is_commit("x"));
        assert_eq!(spaced.committed_at(), Some(3000));
        for wrong in [
            "[]",
            "3",
            r#""x""#,
            "{",
            r#"{"trailhound":{}"#,
            // Half a character is no text.
            r#"{"\ud800":1}"#,
            r#"{"trailhound":{"\ud800":1,"objects":[]}}"#,
            r#"{"operation":"VACUUM START \ud83d"}"#,
        ] {
            action(wrong).unwrap_err();
        }
    }
}
