//! The state of a table by reading its log version by version, as `deltalake` does with checkpoints and in parallel.
//!
//! Only for simulations, which open tables hundreds of times in a run: not in release builds, and never but on a thread
//! that asked for it.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::log::{DataFile, TableLog};
use super::{Error, Snapshot};

thread_local! {
    static REPLAYS: Cell<bool> = const { Cell::new(false) };
}

/// Whether logs are read version by version on this thread from now on.
pub fn replay_logs(replay: bool) {
    REPLAYS.set(replay);
}

/// What a log says at its newest version.
pub(super) struct Replayed {
    pub version: i64,
    pub reader: i32,
    pub writer: i32,
    pub columns: Vec<String>,
    pub progress: HashMap<String, i64>,
    files: BTreeMap<String, DataFile>,
}

impl Replayed {
    pub fn into_snapshot(self) -> Snapshot {
        Snapshot { version: self.version, files: self.files.into_values().collect() }
    }
}

/// The newest state of a table; none where logs are not to be read like this, or there is no table.
pub(super) async fn replayed(log: &TableLog) -> Result<Option<Replayed>, Error> {
    if !REPLAYS.get() {
        return Ok(None);
    }
    let (progress, files) = (HashMap::new(), BTreeMap::new());
    let mut state = Replayed { version: -1, reader: 0, writer: 0, columns: Vec::new(), progress, files };
    // In a task of its own: nobody waits for its requests one by one, as nobody does for those of `deltalake`.
    let log = log.clone();
    let read = tokio::spawn(async move {
        while let Some(actions) = log.actions(state.version + 1).await? {
            state.version += 1;
            for action in actions {
                if let Some(protocol) = &action.protocol {
                    let number =
                        |name: &str| i32::try_from(protocol[name].as_i64().unwrap_or(0)).unwrap_or(i32::MAX);
                    (state.reader, state.writer) = (number("minReaderVersion"), number("minWriterVersion"));
                }
                if let Some(text) = action.meta_data.as_ref().and_then(|data| data["schemaString"].as_str()) {
                    let schema: Value = serde_json::from_str(text).unwrap_or_default();
                    let fields = schema["fields"].as_array().cloned().unwrap_or_default();
                    let names = fields.iter().filter_map(|field| field["name"].as_str().map(str::to_owned));
                    state.columns = names.collect();
                }
                if let Some(txn) = action.txn {
                    state.progress.insert(txn.app_id, txn.version);
                }
                if let Some(remove) = &action.remove {
                    state.files.remove(&remove.file_path());
                }
                if let Some(add) = &action.add {
                    state.files.insert(add.file_path(), log.added_file(add));
                }
            }
        }
        Ok::<_, Error>(state)
    });
    let state = read.await.map_err(|_| Error::Worker)??;
    Ok((state.version >= 0).then_some(state))
}
