//! What must hold when all is done, read from the store itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use trailhound::clock::SystemClock;
use trailhound::lake::{DATA_TABLES, Lake, ObjectId, ObjectName, Removal, State, TABLES, TableLog, removals};

use super::place;
use super::store::Durable;
use super::world::World;

/// A row that was sent.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The event's id, for rows of which another copy is as good.
    pub event: Option<String>,
    /// Whether it is of a day that expires.
    pub old: bool,
    /// Whether somebody wants it deleted.
    pub unwanted: bool,
}

/// All that was sent, by object.
pub type Sent = BTreeMap<ObjectId, Vec<Row>>;

/// Where each row is, or why it is there no more; a row that is there twice has two of them.
type Fates = BTreeMap<(ObjectId, usize), Vec<String>>;

const LIVE: &str = "live";
const DUPLICATE: &str = "duplicate";

/// Reports everything that is not as it must be.
pub async fn check(
    world: &World,
    store: &Arc<InMemory>,
    durable: &Durable,
    sent: &Sent,
    etags: &HashMap<String, String>,
) {
    let lake = match Lake::open(place(Arc::clone(store) as _).await, Arc::new(SystemClock)).await {
        Ok(lake) => lake,
        Err(error) => return world.violation(format!("the lake cannot be opened: {error}")),
    };
    if let Err(error) = lake.update_index().await {
        world.violation(format!("the index cannot be brought up to date: {error}"));
    }
    let mut fates = Fates::new();
    let mut indexed = Vec::new();
    for table in TABLES {
        let read = async {
            let log = lake.log(table.name).map_err(|error| error.to_string())?;
            let (live, removed) = live_files(store, log, table.name).await?;
            if table.name == "objects" {
                let rows = read(log, &live, &["object_id", "state"]).await?;
                indexed.extend(rows.into_iter().map(|row| row[0].clone()));
            } else if DATA_TABLES.iter().any(|data| data.name == table.name) {
                for row in read(log, &live, &["source_object", "source_row"]).await? {
                    let place = (row[0].parse().unwrap(), row[1].parse().unwrap());
                    fates.entry(place).or_default().push(LIVE.to_owned());
                }
                for removal in removed {
                    note_removal(&mut fates, &removal);
                }
            }
            Ok::<_, String>(())
        };
        if let Err(what) = read.await {
            world.violation(format!("`{}`: {what}", table.name));
        }
    }
    check_index(world, durable, indexed);
    check_rows(world, fates, sent);
    check_states(world, &lake, etags).await;
}

/// The values of two columns of some files.
async fn read(log: &TableLog, live: &BTreeSet<String>, columns: &[&str]) -> Result<Vec<[String; 2]>, String> {
    let mut rows = Vec::new();
    for path in live {
        let batches = log.read_file(path, columns).await;
        for batch in batches.map_err(|error| format!("a file cannot be read: {error}"))? {
            for row in 0..batch.num_rows() {
                rows.push([0, 1].map(|at| array_value_to_string(batch.column(at), row).unwrap()));
            }
        }
    }
    Ok(rows)
}

fn note_removal(fates: &mut Fates, removal: &Removal) {
    for (object, ranges) in removal.rows.iter() {
        for row in ranges.into_iter().flat_map(|(first, last)| first..=last) {
            let place = (object, usize::try_from(row).unwrap());
            fates.entry(place).or_default().push(removal.reason.clone());
        }
    }
}

/// Every row is there once, or was taken out once and for its reason; and there is nothing else.
fn check_rows(world: &World, mut fates: Fates, sent: &Sent) {
    let mut kept = HashSet::new();
    for ((object, row), found) in &fates {
        let event = sent.get(object).and_then(|rows| rows.get(*row)?.event.as_ref());
        if found.iter().any(|fate| fate != DUPLICATE) {
            kept.extend(event);
        }
    }
    for (id, rows) in sent {
        let found: Vec<_> =
            (0..rows.len()).map(|row| fates.remove(&(*id, row)).unwrap_or_default()).collect();
        let sound = rows.iter().zip(&found).filter(|(row, fates)| match fates.as_slice() {
            [fate] => match fate.as_str() {
                LIVE => true,
                DUPLICATE => row.event.as_ref().is_some_and(|event| kept.contains(event)),
                "expired" => row.old,
                "deleted" => row.unwanted,
                _ => false,
            },
            _ => false,
        });
        let sound = sound.count();
        if sound != rows.len() {
            world.violation(format!(
                "of {} rows of an object, {sound} are as they should be: {found:?}",
                rows.len()
            ));
        }
    }
    if !fates.is_empty() {
        world.violation(format!("{} rows are in the lake that never were", fates.len()));
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

/// The live files, and what was taken out, by a reading of the log that shares nothing with the program's; checks that
/// no version is missing.
async fn live_files(
    store: &Arc<InMemory>,
    log: &TableLog,
    table: &str,
) -> Result<(BTreeSet<String>, Vec<Removal>), String> {
    let prefix = Path::from(format!("{}/{table}/_delta_log", super::ROOT.trim_start_matches('/')));
    let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await.map_err(|error| error.to_string())?;
    let name = |path: &Path| path.filename()?.strip_suffix(".json")?.parse::<i64>().ok();
    let versions: BTreeSet<i64> = listed.iter().filter_map(|meta| name(&meta.location)).collect();
    let count = i64::try_from(versions.len()).unwrap();
    if !versions.iter().copied().eq(0..count) {
        return Err(format!("versions {versions:?} have a hole"));
    }
    let (mut live, mut removed) = (BTreeSet::new(), Vec::new());
    for version in versions {
        let actions = log.actions(version).await.map_err(|error| error.to_string())?.unwrap();
        for removal in removals(&actions) {
            removed.push(removal?);
        }
        for action in actions {
            if let Some(remove) = action.remove
                && !live.remove(&remove.path)
            {
                return Err(format!("version {version} removes a file that is not there"));
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
    Ok((live, removed))
}
