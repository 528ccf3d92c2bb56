//! The files of a table: that those the log names are there as they were written, and what else lies beside them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::objects::Objects;
use super::{Error, Progress, Report, Seen, Settings};
use crate::lake::{self, Action, Add, FileReader, Snapshot, TableLog};
use crate::maintain::provenance;
use crate::store;

/// The files of a table, as its log and the listing of its directory tell.
pub(super) struct TableFiles {
    listed: HashMap<String, u64>,
    live: BTreeMap<String, Add>,
    /// Files that were live once.
    retired: HashSet<String>,
}

/// What was seen of one file.
#[derive(Default)]
struct Outcome {
    rows: u64,
    hashed: bool,
    problems: Vec<(&'static str, String)>,
}

impl TableFiles {
    pub fn new(listed: Vec<ObjectMeta>) -> Self {
        let listed = listed.into_iter().map(|file| (file.location.to_string(), file.size)).collect();
        TableFiles { listed, live: BTreeMap::new(), retired: HashSet::new() }
    }

    /// Notes what one version adds and removes.
    pub fn note(&mut self, actions: &[Action]) {
        for action in actions {
            if let Some(remove) = &action.remove {
                let path = remove.file_path();
                self.live.remove(&path);
                self.retired.insert(path);
            }
        }
        for add in actions.iter().filter_map(|action| action.add.clone()) {
            let path = add.file_path();
            self.retired.remove(&path);
            self.live.insert(path, add);
        }
    }

    /// How many rows the log speaks of.
    pub fn rows(&self) -> u64 {
        self.live.values().filter_map(Add::rows).sum()
    }

    /// The live files and their paths.
    pub fn live(&self) -> impl Iterator<Item = (&str, &Add)> {
        self.live.iter().map(|(path, add)| (path.as_str(), add))
    }

    /// Compares the state the log's commits add up to with the one its checkpoints tell; with commits gone, only
    /// the latter is known.
    pub fn compare(&mut self, table: &'static str, snapshot: &Snapshot, gone: bool, report: &mut Report) {
        let told: HashMap<&str, u64> =
            snapshot.files.iter().map(|file| (file.path.as_str(), file.size_bytes)).collect();
        if gone {
            self.live.retain(|path, _| told.contains_key(path.as_str()));
            for file in &snapshot.files {
                self.live.entry(file.path.clone()).or_insert_with(|| Add {
                    path: file.path.clone(),
                    partition_values: serde_json::Map::new(),
                    size: file.size_bytes,
                    modification_time: 0,
                    data_change: true,
                    stats: None,
                    tags: None,
                });
            }
            return;
        }
        for path in self.live.keys().filter(|path| !told.contains_key(path.as_str())) {
            report.error(table, "checkpoint-wrong", &path, "live by the commits, and not by the checkpoint");
        }
        for path in told.keys().filter(|path| !self.live.contains_key(**path)) {
            report.error(table, "checkpoint-wrong", &path, "live by the checkpoint, and not by the commits");
        }
    }

    /// Reads the files; `objects` learn of the rows in them.
    pub async fn check(
        &self,
        log: &TableLog,
        objects: Option<&Arc<Objects>>,
        settings: Settings,
        progress: &Arc<dyn Progress>,
        seen: &mut Seen,
        report: &mut Report,
    ) -> Result<(), Error> {
        let table = log.table().name;
        self.orphans(table, seen, report);
        let files: Vec<LiveFile> = self.live_files(log).collect();
        let outcomes = futures::stream::iter(files).map(|file| {
            let (objects, progress) = (objects.cloned(), Arc::clone(progress));
            // A task of its own: files are decoded on all threads.
            tokio::spawn(async move {
                let outcome = file.check(objects.as_deref(), settings).await;
                progress.read(outcome.rows);
                (file, outcome)
            })
        });
        let mut outcomes = outcomes.buffer_unordered(settings.at_once.max(1));
        while let Some(checked) = outcomes.next().await {
            let (LiveFile { path, add, .. }, outcome) = checked.map_err(|_| lake::Error::Worker)?;
            seen.files += 1;
            seen.bytes += add.size;
            seen.rows += outcome.rows;
            seen.hashed += usize::from(outcome.hashed);
            seen.without_hash += usize::from(add.sha256().is_none());
            for (kind, detail) in outcome.problems {
                report.error(table, kind, &path, detail);
            }
        }
        Ok(())
    }

    fn live_files<'a>(&'a self, log: &'a TableLog) -> impl Iterator<Item = LiveFile> + 'a {
        self.live.iter().map(|(path, add)| LiveFile {
            table: log.table().name,
            store: Arc::clone(log.store()),
            path: path.clone(),
            add: add.clone(),
            listed: self.listed.get(path).copied(),
        })
    }

    fn orphans(&self, table: &'static str, seen: &mut Seen, report: &mut Report) {
        let mut orphans: Vec<(&String, &u64)> =
            self.listed.iter().filter(|(path, _)| !self.live.contains_key(*path)).collect();
        orphans.sort_unstable();
        for (path, size) in orphans {
            if self.retired.contains(path) {
                seen.retired += 1;
            } else {
                report.note(table, "file-orphan", &path, format!("{size} bytes that no version names"));
            }
        }
    }
}

/// A live file that is checked.
struct LiveFile {
    table: &'static str,
    store: Arc<dyn ObjectStore>,
    path: String,
    add: Add,
    listed: Option<u64>,
}

impl LiveFile {
    async fn check(&self, objects: Option<&Objects>, settings: Settings) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(problem) = self.size_problem().await {
            outcome.problems.push(problem);
            return outcome;
        }
        if let (true, Some(wanted)) = (settings.hashes, self.add.sha256()) {
            outcome.hashed = true;
            match self.sha256().await {
                Ok(found) if found == wanted => {}
                Ok(found) => {
                    let detail = format!("SHA-256 is {found}, and the commit says {wanted}");
                    outcome.problems.push(("file-hash", detail));
                }
                Err(error) => outcome.problems.push(("file-unreadable", chain(&error))),
            }
        }
        self.read_rows(objects, &mut outcome).await;
        outcome
    }

    async fn size_problem(&self) -> Option<(&'static str, String)> {
        // A file that was committed after the listing is not in it.
        let size = match self.listed {
            Some(size) => Ok(size),
            None => self.store.head(&store::path_of(&self.path)).await.map(|meta| meta.size),
        };
        let wanted = self.add.size;
        match size {
            Err(object_store::Error::NotFound { .. }) => {
                Some(("file-missing", format!("{wanted} bytes are gone")))
            }
            Err(error) => Some(("file-unreadable", chain(&error))),
            Ok(size) if size != wanted => {
                Some(("file-size", format!("{size} bytes, and the commit says {wanted}")))
            }
            Ok(_) => None,
        }
    }

    /// Reads where the rows are from, or at least how many there are.
    async fn read_rows(&self, objects: Option<&Objects>, outcome: &mut Outcome) {
        let mut nowhere = 0;
        let (path, size) = (self.path.as_str(), self.add.size);
        let read = match objects {
            Some(objects) => {
                provenance::read(&self.store, path, size, |rows| {
                    nowhere += objects.mark_rows(self.table, rows);
                })
                .await
            }
            None => FileReader::new(Arc::clone(&self.store), path, size)
                .metadata()
                .await
                .map(|metadata| (u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0), true)),
        };
        match read {
            Ok((rows, says)) => {
                outcome.rows = rows;
                if let Some(told) = self.add.rows().filter(|told| *told != rows) {
                    outcome.problems.push(("file-rows", format!("{rows} rows, and the commit says {told}")));
                }
                if !says || nowhere > 0 {
                    let count = if says { nowhere } else { rows };
                    outcome
                        .problems
                        .push(("rows-of-nothing", format!("{count} rows say no object they are from")));
                }
            }
            Err(error) => outcome.problems.push(("file-unreadable", chain(&error))),
        }
    }

    /// The hash of the file, read in parts.
    async fn sha256(&self) -> Result<String, object_store::Error> {
        let mut parts = self.store.get(&store::path_of(&self.path)).await?.into_stream();
        let mut hash = Sha256::new();
        while let Some(part) = parts.try_next().await? {
            hash.update(&part);
        }
        Ok(lake::hex(&hash.finalize()))
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.extend([": ", &reason]);
        }
        cause = error.source();
    }
    text
}
