//! The object store as a worker or maintainer sees it: requests fail, answers lie, puts land long after they were given
//! up, and its clock is its own.
//!
//! What is carried out is carried out by the in-memory store of `object_store`, one request at a time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use serde_json::{Value, json};
use trailhound::lake::ObjectId;

use super::Mutant;
use super::world::{Kind, Lie, World, time_of};

/// Which objects the versions that are really there name; with final states only.
pub type Durable = Arc<Mutex<HashMap<ObjectId, usize>>>;

/// What is stored, and when, by the store's own clock, which may be far ahead of everybody else's.
#[derive(Debug, Default)]
pub struct Stored {
    pub files: Arc<InMemory>,
    written: Mutex<HashMap<Path, Duration>>,
    /// How many seconds pass on the store's clock in one.
    pub pace: u32,
}

impl Stored {
    pub fn new(pace: u32) -> Self {
        Stored { pace, ..Stored::default() }
    }

    fn put(&self, world: &World, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let done = now(self.files.put_opts(path, payload, options))?;
        self.written.lock().unwrap().insert(path.clone(), world.now());
        Ok(done)
    }

    /// What is known of a file, with the time it was written at.
    fn dated(&self, meta: ObjectMeta) -> ObjectMeta {
        let written = self.written.lock().unwrap().get(&meta.location).copied().unwrap_or_default();
        ObjectMeta { last_modified: self.time(written), ..meta }
    }

    fn time(&self, at: Duration) -> DateTime<Utc> {
        time_of(at * self.pace)
    }

    fn list(&self, prefix: Option<&Path>) -> Vec<Result<ObjectMeta>> {
        let listed = now(self.files.list(prefix).collect::<Vec<_>>());
        listed.into_iter().map(|meta| meta.map(|meta| self.dated(meta))).collect()
    }
}

/// What a mutant remembers of what it did.
#[derive(Debug, Default)]
pub struct Memory {
    /// Versions that this life tried to write without seeing it succeed.
    unresolved: HashSet<String>,
    /// Tables for which it has written new files since it last read the log from its beginning.
    rewriting: HashSet<String>,
    /// The newest version that there is for it, by table, while it deletes files.
    frozen: HashMap<String, u64>,
}

impl Memory {
    /// Something new is begun.
    pub fn begin(&mut self) {
        *self = Memory::default();
    }
}

/// A store with the faults of the world in front of it, for one life.
#[derive(Debug)]
pub struct LyingStore {
    pub world: World,
    pub inner: Arc<Stored>,
    pub durable: Durable,
    pub mutant: Mutant,
    pub memory: Arc<Mutex<Memory>>,
}

impl fmt::Display for LyingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LyingStore")
    }
}

/// A path without what is random in it.
fn told(path: &Path) -> String {
    let path = path.as_ref();
    let path = path.split("/lake/").nth(1).unwrap_or(path);
    match path.rsplit_once('/') {
        Some((directory, name)) if name.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            format!("{directory}/{}", name.split('-').next().unwrap_or(name))
        }
        _ => path.to_owned(),
    }
}

/// The version of a path in a log.
fn version(path: &Path) -> Option<u64> {
    path.as_ref().rsplit_once("_delta_log/")?.1.strip_suffix(".json")?.parse().ok()
}

/// Whether a path is that of a version or of the hint to a checkpoint.
fn is_of_log(path: &Path) -> bool {
    version(path).is_some() || path.as_ref().ends_with("_delta_log/_last_checkpoint")
}

/// The table that a path is of.
fn table(path: &Path) -> String {
    told(path).split('/').next().unwrap_or_default().to_owned()
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

/// A version as one reads it who does not see everything in it.
fn without(body: &[u8], hide: impl Fn(&mut Value)) -> Result<GetResult> {
    let mut out = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut action: Value = serde_json::from_slice(line).unwrap();
        hide(&mut action);
        out.extend(serde_json::to_vec(&action).unwrap());
        out.push(b'\n');
    }
    read_from(&out)
}

fn hide_objects(action: &mut Value) {
    if let Some(info) = action.pointer_mut("/commitInfo/trailhound").and_then(Value::as_object_mut) {
        info.remove("objects");
    }
}

fn hide_removes(action: &mut Value) {
    if let Some(action) = action.as_object_mut() {
        action.remove("remove");
    }
}

fn is_vacuum(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("\"operation\":\"VACUUM START\"")
}

impl LyingStore {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    fn has(&self, version: u64, path: &Path) -> bool {
        let name = format!("{version:020}.json");
        let Some((log, _)) = path.as_ref().rsplit_once('/') else { return false };
        now(self.inner.files.head(&Path::from(format!("{log}/{name}")))).is_ok()
    }

    /// What the mutants make of a version they read.
    fn mutated(&self, path: &Path, result: Result<GetResult>) -> Result<GetResult> {
        let Some(number) = version(path) else { return result };
        let (unresolved, rewriting, frozen) = {
            let memory = self.memory();
            let table = table(path);
            let frozen = memory.frozen.get(&table).is_some_and(|newest| number > *newest);
            (memory.unresolved.contains(path.as_ref()), memory.rewriting.contains(&table), frozen)
        };
        if frozen {
            return Err(Error::NotFound { path: path.to_string(), source: "not looked for".into() });
        }
        let hide: fn(&mut Value) = match self.mutant {
            Mutant::HasNoLedger => hide_objects,
            Mutant::Forgets if self.has(number + 2, path) => hide_objects,
            Mutant::DoesNotReadAgain if unresolved => hide_objects,
            Mutant::RewritesWhatIsGone if rewriting => hide_removes,
            _ => |_| {},
        };
        match result {
            Ok(found) if self.mutant != Mutant::None => without(&now(found.bytes())?, hide),
            Err(Error::NotFound { .. }) if unresolved && self.mutant == Mutant::SkipsUnresolved => {
                read_from(format!("{}\n", json!({ "commitInfo": {} })).as_bytes())
            }
            other => other,
        }
    }

    /// What the mutants remember of a list they asked for.
    fn note_list(&self, prefix: Option<&Path>) {
        let Some(prefix) = prefix else { return };
        let (table, of_log) = (table(prefix), prefix.as_ref().contains("_delta_log"));
        let mut memory = self.memory();
        memory.rewriting.remove(&table);
        if !of_log && self.mutant == Mutant::VacuumsByAnOldLog {
            // It has read the log before it lists the files, and they are of now: the log is of an hour ago.
            let hour_ago = self.world.now().saturating_sub(Duration::from_hours(1));
            let log = Path::from(format!("{prefix}/_delta_log"));
            let written = |path: &Path| self.inner.written.lock().unwrap().get(path).copied();
            let listed = now(self.inner.files.list(Some(&log)).try_collect::<Vec<_>>()).unwrap_or_default();
            let old = listed.iter().filter(|meta| written(&meta.location).is_none_or(|at| at <= hour_ago));
            let newest = old.filter_map(|meta| version(&meta.location)).max().unwrap_or(0);
            memory.frozen.insert(table, newest);
        }
    }

    /// Whether a mutant keeps this version to itself.
    fn keeps(&self, path: &Path, payload: &PutPayload) -> bool {
        let silent = self.mutant == Mutant::VacuumsByAnOldLog;
        silent && version(path).is_some() && is_vacuum(&Bytes::from(payload.clone()))
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

/// A file that is sent in parts: nothing is there before the last request.
#[derive(Debug)]
struct Upload {
    world: World,
    inner: Arc<Stored>,
    path: Path,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.push(data.into());
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let what = format!("upload {}", told(&self.path));
        let (world, inner, path) = (self.world.clone(), Arc::clone(&self.inner), self.path.clone());
        let parts = PutPayload::from_iter(std::mem::take(&mut self.parts));
        let apply = move || inner.put(&world, &path, parts, PutOptions::default());
        self.world.request(Kind::Put, what, apply, honestly).await
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The answer, unless it is a lie.
fn honestly<T>(done: Option<Result<T>>, lie: Option<Lie>) -> Result<T> {
    match (done, lie) {
        (Some(done), None) => done,
        _ => Err(failed()),
    }
}

#[async_trait]
impl ObjectStore for LyingStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.keeps(path, &payload) {
            return Ok(PutResult { e_tag: None, version: None });
        }
        let conditional = options.mode == PutMode::Create;
        let kind = if conditional { Kind::ConditionalPut } else { Kind::Put };
        if conditional && self.mutant == Mutant::PutsUnconditionally {
            options.mode = PutMode::Overwrite;
        }
        let (world, inner, durable) =
            (self.world.clone(), Arc::clone(&self.inner), Arc::clone(&self.durable));
        let to = path.clone();
        let apply = move || {
            let result = inner.put(&world, &to, payload.clone(), options);
            match &result {
                Ok(_) => note_commit(&world, &durable, &to, &Bytes::from(payload)),
                Err(_) => world.count("versions taken by others"),
            }
            result
        };
        let to = path.to_string();
        let answer = move |done: Option<Result<PutResult>>, lie| match lie {
            Some(Lie::AlreadyExists) => Err(Error::AlreadyExists { path: to, source: "injected".into() }),
            lie => honestly(done, lie),
        };
        let what = format!("{} {}", if conditional { "create" } else { "put" }, told(path));
        let result = self.world.request(kind, what, apply, answer).await;
        if conditional && result.is_err() {
            self.memory().unresolved.insert(path.to_string());
        }
        result
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.memory().rewriting.insert(table(path));
        let (world, inner) = (self.world.clone(), Arc::clone(&self.inner));
        Ok(Box::new(Upload { world, inner, path: path.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let (inner, from) = (Arc::clone(&self.inner), path.clone());
        let apply = move || {
            let found = now(inner.files.get_opts(&from, options))?;
            Ok(GetResult { meta: inner.dated(found.meta.clone()), ..found })
        };
        let kind = if is_of_log(path) { Kind::ReadLog } else { Kind::Read };
        let result = self.world.request(kind, format!("get {}", told(path)), apply, honestly).await;
        self.mutated(path, result)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (world, inner) = (self.world.clone(), Arc::clone(&self.inner));
        let delete = move |path: Result<Path>| {
            let (world, inner) = (world.clone(), Arc::clone(&inner));
            async move {
                let path = path?;
                let what = format!("delete {}", told(&path));
                let deleted = path.clone();
                let counted = world.clone();
                let apply = move || {
                    if deleted.extension() == Some("parquet") {
                        counted.count("files deleted");
                    }
                    now(inner.files.delete(&deleted))
                };
                world.request(Kind::Delete, what, apply, honestly).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note_list(prefix);
        let (world, inner, prefix) = (self.world.clone(), Arc::clone(&self.inner), prefix.cloned());
        let listed = async move {
            let what = format!("list {}", prefix.as_ref().map(told).unwrap_or_default());
            let apply = move || Ok(inner.list(prefix.as_ref()));
            match world.request(Kind::Read, what, apply, honestly).await {
                Ok(found) => stream::iter(found),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.files.copy_opts(from, to, options).await
    }
}
