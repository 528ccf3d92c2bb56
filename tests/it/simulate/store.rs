//! The object store as a worker sees it: requests fail, answers lie, puts land long after they were given up.
//!
//! What is carried out is carried out by the in-memory store of `object_store`, one request at a time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::{Value, json};
use trailhound::lake::ObjectId;

use super::Mutant;
use super::world::{Kind, Lie, World};

/// Which objects the versions that are really there name; with final states only.
pub type Durable = Arc<Mutex<HashMap<ObjectId, usize>>>;

/// A store with the faults of the world in front of it, for one life of a worker.
#[derive(Debug)]
pub struct LyingStore {
    pub world: World,
    pub inner: Arc<InMemory>,
    pub durable: Durable,
    pub mutant: Mutant,
    /// Versions that this life tried to write without seeing it succeed.
    pub unresolved: Arc<Mutex<HashSet<String>>>,
}

impl fmt::Display for LyingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LyingStore")
    }
}

/// A path without what is random in it.
fn told(path: &Path) -> String {
    let path = path.as_ref();
    let table = path.split("/lake/").nth(1).unwrap_or(path);
    match table.split_once("/part-") {
        Some((directory, _)) => format!("{directory}/part"),
        None => table.to_owned(),
    }
}

/// The version of a path in a log.
fn version(path: &Path) -> Option<u64> {
    path.as_ref().rsplit_once("_delta_log/")?.1.strip_suffix(".json")?.parse().ok()
}

fn failed() -> Error {
    Error::Generic { store: "LyingStore", source: "injected fault".into() }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("memory answers at once")
}

/// The objects that a version names.
pub fn objects_of(body: &[u8]) -> Vec<(ObjectId, String)> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let actions = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut found = Vec::new();
    for action in actions {
        let objects = action["commitInfo"]["trailhound"]["objects"].as_array().cloned().unwrap_or_default();
        found.extend(objects.iter().map(|object| {
            let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
            (text("object_id").parse().unwrap(), text("state"))
        }));
    }
    found
}

/// A version as one reads it who does not care for the objects in it.
fn without_objects(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut action: Value = serde_json::from_slice(line).unwrap();
        if let Some(info) = action.pointer_mut("/commitInfo/trailhound").and_then(Value::as_object_mut) {
            info.remove("objects");
        }
        out.extend(serde_json::to_vec(&action).unwrap());
        out.push(b'\n');
    }
    out
}

impl LyingStore {
    fn has(&self, version: u64, path: &Path) -> bool {
        let name = format!("{version:020}.json");
        let Some((log, _)) = path.as_ref().rsplit_once('/') else { return false };
        now(self.inner.head(&Path::from(format!("{log}/{name}")))).is_ok()
    }

    /// What the mutants make of a version they read.
    fn mutated(&self, path: &Path, result: Result<GetResult>) -> Result<GetResult> {
        let Some(number) = version(path) else { return result };
        let unresolved = self.unresolved.lock().unwrap().contains(path.as_ref());
        let forgets = match self.mutant {
            Mutant::HasNoLedger => true,
            Mutant::Forgets => self.has(number + 2, path),
            Mutant::DoesNotReadAgain => unresolved,
            _ => false,
        };
        match result {
            Ok(found) if forgets => {
                let body = now(found.bytes())?;
                read_from(&without_objects(&body))
            }
            Err(Error::NotFound { .. }) if unresolved && self.mutant == Mutant::SkipsUnresolved => {
                read_from(format!("{}\n", json!({ "commitInfo": {} })).as_bytes())
            }
            other => other,
        }
    }
}

/// An answer with these bytes.
fn read_from(body: &[u8]) -> Result<GetResult> {
    let (store, path) = (InMemory::new(), Path::from("x"));
    now(store.put(&path, Bytes::copy_from_slice(body).into()))?;
    now(store.get(&path))
}

/// Notes what a version that was just written names.
fn note_commit(world: &World, durable: &Durable, path: &Path, body: &[u8]) {
    if version(path).is_none() {
        return;
    }
    for (id, state) in objects_of(body) {
        if state == "committed" || state == "empty" {
            let mut durable = durable.lock().unwrap();
            let times = durable.entry(id).or_default();
            *times += 1;
            if *times > 1 {
                world.violation(format!("object {id} is committed {times} times"));
            }
        }
    }
}

#[async_trait]
impl ObjectStore for LyingStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let conditional = options.mode == PutMode::Create;
        let kind = if conditional { Kind::ConditionalPut } else { Kind::Put };
        if conditional && self.mutant == Mutant::PutsUnconditionally {
            options.mode = PutMode::Overwrite;
        }
        let (world, inner, durable) =
            (self.world.clone(), Arc::clone(&self.inner), Arc::clone(&self.durable));
        let to = path.clone();
        let apply = move || {
            let result = now(inner.put_opts(&to, payload.clone(), options));
            match &result {
                Ok(_) => note_commit(&world, &durable, &to, &Bytes::from(payload)),
                Err(_) => world.count(|counts| counts.races += 1),
            }
            result
        };
        let to = path.to_string();
        let answer = move |done: Option<Result<PutResult>>, lie| match (done, lie) {
            (_, Some(Lie::AlreadyExists)) => {
                Err(Error::AlreadyExists { path: to, source: "injected".into() })
            }
            (Some(done), None) => done,
            _ => Err(failed()),
        };
        let what = format!("{} {}", if conditional { "create" } else { "put" }, told(path));
        let result = self.world.request(kind, what, apply, answer).await;
        if conditional && result.is_err() {
            self.unresolved.lock().unwrap().insert(path.to_string());
        }
        result
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let (inner, from) = (Arc::clone(&self.inner), path.clone());
        let apply = move || now(inner.get_opts(&from, options));
        let answer = |done: Option<Result<GetResult>>, lie| match (done, lie) {
            (Some(done), None) => done,
            _ => Err(failed()),
        };
        let result = self.world.request(Kind::Read, format!("get {}", told(path)), apply, answer).await;
        self.mutated(path, result)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
