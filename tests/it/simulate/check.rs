//! What must hold when all is done, read from the store itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use trailhound::clock::SystemClock;
use trailhound::lake::{DATA_TABLES, Lake, ObjectId, ObjectName, State, TABLES, TableLog};

use super::place;
use super::store::Durable;
use super::world::World;

/// Reports everything that is not as it must be. `expected` says how many rows each object has.
pub async fn check(
    world: &World,
    store: &Arc<InMemory>,
    durable: &Durable,
    expected: &BTreeMap<ObjectId, usize>,
    etags: &HashMap<String, String>,
) {
    let fail = |what: String| world.violation(what);
    let lake = match Lake::open(place(Arc::clone(store) as _).await, Arc::new(SystemClock)).await {
        Ok(lake) => lake,
        Err(error) => return fail(format!("the lake cannot be opened: {error}")),
    };
    if let Err(error) = lake.update_index().await {
        fail(format!("the index cannot be brought up to date: {error}"));
    }
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for table in TABLES {
        let log = lake.log(table.name).unwrap();
        let live = match live_files(store, log, table.name).await {
            Ok(live) => live,
            Err(what) => {
                fail(format!("`{}`: {what}", table.name));
                continue;
            }
        };
        let columns: &[&str] = match table.name {
            "objects" => &["object_id", "state"],
            name if DATA_TABLES.iter().any(|table| table.name == name) => &["source_object", "source_row"],
            _ => continue,
        };
        for path in live {
            match log.read_file(&path, columns).await {
                Err(error) => fail(format!("`{path}` of `{}` cannot be read: {error}", table.name)),
                Ok(batches) => {
                    for batch in batches {
                        for row in 0..batch.num_rows() {
                            let value = |at: usize| array_value_to_string(batch.column(at), row).unwrap();
                            let key = if table.name == "objects" { "objects" } else { &value(0) };
                            let kept = if key == "objects" { value(0) } else { value(1) };
                            rows.entry(key.to_owned()).or_default().push(kept);
                        }
                    }
                }
            }
        }
    }
    check_index(world, durable, rows.remove("objects").unwrap_or_default());
    check_rows(world, &rows, expected);
    check_states(world, &lake, etags).await;
}

/// Every object whole, once, and nothing else.
fn check_rows(world: &World, rows: &BTreeMap<String, Vec<String>>, expected: &BTreeMap<ObjectId, usize>) {
    for (id, count) in expected {
        let found = rows.get(&id.to_string()).map_or(&[][..], Vec::as_slice);
        let distinct: BTreeSet<_> = found.iter().collect();
        if (found.len(), distinct.len()) != (*count, *count) {
            let (rows, distinct) = (found.len(), distinct.len());
            world.violation(format!("object {id} has {rows} rows, {distinct} different, of {count}"));
        }
    }
    let strange = rows.keys().filter(|id| !expected.contains_key(&id.parse().unwrap())).count();
    if strange > 0 {
        world.violation(format!("{strange} objects are in the lake that never were"));
    }
}

/// The index names what the commits name, once each.
fn check_index(world: &World, durable: &Durable, mut indexed: Vec<String>) {
    let mut committed: Vec<String> = durable.lock().unwrap().keys().map(ToString::to_string).collect();
    committed.sort_unstable();
    indexed.sort_unstable();
    if committed != indexed {
        let (commits, index) = (committed.len(), indexed.len());
        world.violation(format!("the commits name {commits} objects and the index {index}, or others"));
    }
}

/// A worker that starts now knows every object.
async fn check_states(world: &World, lake: &Lake, etags: &HashMap<String, String>) {
    let names: Vec<ObjectName<'_>> =
        etags.iter().map(|(key, etag)| ObjectName::new("logs", key, etag)).collect();
    match lake.states(&names).await {
        Err(error) => world.violation(format!("the ledger cannot be read: {error}")),
        Ok(states) => {
            let unknown = states.iter().filter(|state| !state.is_some_and(State::is_final)).count();
            if unknown > 0 {
                world.violation(format!("a new worker does not know {unknown} objects"));
            }
        }
    }
}

/// The live files by a reading of the log that shares nothing with the program's; checks that no version is missing.
async fn live_files(store: &Arc<InMemory>, log: &TableLog, table: &str) -> Result<BTreeSet<String>, String> {
    let prefix = Path::from(format!("{}/{table}/_delta_log", super::ROOT.trim_start_matches('/')));
    let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await.map_err(|error| error.to_string())?;
    let name = |path: &Path| path.filename()?.strip_suffix(".json")?.parse::<i64>().ok();
    let versions: BTreeSet<i64> = listed.iter().filter_map(|meta| name(&meta.location)).collect();
    let count = i64::try_from(versions.len()).unwrap();
    if !versions.iter().copied().eq(0..count) {
        return Err(format!("versions {versions:?} have a hole"));
    }
    let mut live = BTreeSet::new();
    for version in versions {
        let actions = log.actions(version).await.map_err(|error| error.to_string())?.unwrap();
        for action in actions {
            if let Some(remove) = action.remove {
                live.remove(&remove.path);
            }
            if let Some(add) = action.add
                && !live.insert(add.path.clone())
            {
                return Err(format!("version {version} adds a file twice"));
            }
        }
    }
    let snapshot = log.snapshot().await.map_err(|error| {
        format!("deltalake cannot read it: {error}: {:?}", std::error::Error::source(&error))
    })?;
    let theirs: BTreeSet<String> = snapshot.files.into_iter().map(|file| file.path).collect();
    if theirs != live {
        return Err(format!("deltalake sees {} files of {}", theirs.len(), live.len()));
    }
    Ok(live)
}
