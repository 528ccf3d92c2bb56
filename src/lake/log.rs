//! A Delta table's log: what a version changed, the files that are live, and the one way to add a version.
//!
//! Must never retry a commit: whoever commits reads the log again and decides.

use std::collections::HashSet;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use deltalake::logstore::{LogStore, StorageConfig, default_logstore};
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaTable, checkpoints};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::action::{Action, Add, Stats, decoded_path};
use super::commits_only::CommitsOnly;
use super::ledger::{ObjectRecord, objects_of};
use super::reader::FileReader;
#[cfg(debug_assertions)]
use super::replay::replayed;
use super::tables::{delta_schema, widened};
use super::{Error, on_cpu};
use crate::decode::columns::Table;
use crate::failpoint;
use crate::store::{self, Leftover};

/// A checkpoint is written every so many versions.
const CHECKPOINT_INTERVAL: i64 = 50;

/// The versions of the Delta protocol this program speaks: appends, removes, and no features beyond.
const READER_VERSION: i32 = 1;
const WRITER_VERSION: i32 = 2;

/// The log of one table.
#[derive(Clone)]
pub struct TableLog {
    table: &'static Table,
    store: Arc<dyn ObjectStore>,
    log_store: Arc<dyn LogStore>,
    /// The store that the URL's path is below, and the URL.
    root: (Arc<dyn ObjectStore>, Url),
    /// Whether it was told that the log is read without its checkpoints.
    told: Arc<AtomicBool>,
    /// Where the log's files are, for a lake in a directory.
    directory: Option<PathBuf>,
}

/// A data file that is live at some version.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// The path below the table's directory.
    pub path: String,
    /// The size in bytes.
    pub size_bytes: u64,
    /// The partition; none for rows without a usable time.
    pub event_date: Option<NaiveDate>,
    /// Rows, from the statistics.
    pub rows: Option<u64>,
    /// The earliest time in it, microseconds since the epoch, from the statistics.
    pub min_time: Option<i64>,
    /// The latest time in it, never too early, microseconds since the epoch, from the statistics.
    pub max_time: Option<i64>,
}

/// The state of a table at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The table version.
    pub version: i64,
    /// The live data files, by path.
    pub files: Vec<DataFile>,
}

impl TableLog {
    /// The log of a table in the directory `root` names.
    pub fn new(table: &'static Table, root_store: &Arc<dyn ObjectStore>, root: &Url) -> Result<Self, Error> {
        let url = root.join(&format!("{}/", table.name)).map_err(|error| Error::table(table, error))?;
        let prefix = Path::from_url_path(url.path()).map_err(|error| Error::table(table, error))?;
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(root_store), prefix));
        let log_store = log_store(Arc::clone(&store), Arc::clone(root_store), &url);
        let directory = url.to_file_path().ok().map(|path| path.join("_delta_log"));
        let root = (Arc::clone(root_store), url);
        Ok(TableLog { table, store, log_store, root, told: Arc::default(), directory })
    }

    /// The table's columns.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// The object store rooted at the table's directory.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Creates the table when it is not there; losing the race to another process is as good as winning.
    /// A table of an earlier version gets the columns it lacks.
    pub async fn create_if_missing(&self, at_millis: i64) -> Result<(), Error> {
        if self.exists().await? {
            return self.widen(at_millis).await;
        }
        let protocol = json!({ "minReaderVersion": READER_VERSION, "minWriterVersion": WRITER_VERSION });
        let metadata = json!({
            "id": uuid::Uuid::new_v4().to_string(),
            "name": self.table.name,
            "description": self.table.doc,
            "format": { "provider": "parquet", "options": {} },
            "schemaString": delta_schema(self.table),
            "partitionColumns": ["event_date"],
            "createdTime": at_millis,
            // The log is the record of what was ingested: no writer may clean it up by age.
            "configuration": {
                "delta.logRetentionDuration": "interval 36500 days",
                "delta.enableExpiredLogCleanup": "false",
            },
        });
        let actions = [
            Action { protocol: Some(protocol), ..Action::default() },
            Action { meta_data: Some(metadata), ..Action::default() },
            self.info("CREATE TABLE", at_millis, &json!({}))?,
        ];
        match self.try_commit(0, &actions).await {
            Ok(()) => Ok(()),
            Err(error) if self.exists().await? => {
                tracing::debug!(table = self.table.name, %error, "somebody else made the table");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Adds the columns to the schema that it lacks, for other readers: this program goes by its own table of columns.
    async fn widen(&self, at_millis: i64) -> Result<(), Error> {
        let first = self.actions(0).await?.unwrap_or_default();
        let as_made = first.iter().find_map(|action| action.meta_data.as_ref());
        if as_made.is_some_and(|metadata| metadata["schemaString"] == delta_schema(self.table)) {
            return Ok(());
        }
        let table = self.load().await?;
        let state = self.state_of(&table)?;
        let failed = |error: serde_json::Error| Error::table(self.table, error);
        // What others changed stays: their columns, and whatever else they say of the table.
        let mut metadata = serde_json::to_value(state.metadata()).map_err(failed)?;
        let schema = metadata["schemaString"].as_str().unwrap_or_default();
        let Some(schema) = widened(schema, self.table).map_err(failed)? else { return Ok(()) };
        self.check_protocol(state.protocol().min_reader_version(), state.protocol().min_writer_version())?;
        metadata["schemaString"] = json!(schema);
        let actions = [
            Action { meta_data: Some(metadata), ..Action::default() },
            self.info("ADD COLUMNS", at_millis, &json!({}))?,
        ];
        if let Err(error) = self.try_commit(version_number(state.version()) + 1, &actions).await {
            // Somebody committed first; the next to open the lake for writing tries again.
            tracing::warn!(table = self.table.name, %error, "could not add new columns to the table's schema");
        }
        Ok(())
    }

    /// The actions of one version; none when that version does not exist yet.
    pub async fn actions(&self, version: i64) -> Result<Option<Vec<Action>>, Error> {
        let path = log_path(version);
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map_err(|error| Error::table(self.table, error))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(Error::table(self.table, error)),
        };
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let actions: Result<Vec<Action>, _> = lines.map(serde_json::from_slice).collect();
        actions.map(Some).map_err(|source| Error::Log { table: self.table.name, version, source })
    }

    /// Makes sure that the versions that were read stay: in a directory, whoever wrote the newest may have died, or
    /// failed, before it was on disk, and what is told of it must not outlive it.
    pub async fn settle(&self) -> Result<(), Error> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        store::settle_directory(directory).await.map_err(|error| Error::table(self.table, error))
    }

    /// The information of a commit, see [`Action::info`]; the error names the table.
    pub fn info(
        &self,
        operation: &str,
        at_millis: i64,
        trailhound: &impl Serialize,
    ) -> Result<Action, Error> {
        Action::info(operation, at_millis, trailhound).map_err(|error| Error::table(self.table, error))
    }

    /// Adds a version, if nobody else has. Any error leaves the outcome open: read the version to know.
    pub async fn try_commit(&self, version: i64, actions: &[Action]) -> Result<(), Error> {
        let mut body = Vec::new();
        for action in actions {
            serde_json::to_writer(&mut body, action).map_err(|source| Error::Log {
                table: self.table.name,
                version,
                source,
            })?;
            body.push(b'\n');
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        failpoint::pass("before_log_put");
        self.store
            .put_opts(&log_path(version), body.into(), options)
            .await
            .map_err(|error| Error::table(self.table, error))?;
        failpoint::pass("after_log_put");
        self.check_appended(version).await?;
        if version > 0 && version % CHECKPOINT_INTERVAL == 0 {
            failpoint::pass("before_checkpoint");
            self.checkpoint().await;
            failpoint::pass("after_checkpoint");
        }
        Ok(())
    }

    /// Writes a checkpoint; the table is whole without one, so a failure is only worth a warning.
    async fn checkpoint(&self) {
        let written = match self.load().await {
            Ok(table) => {
                let written = checkpoints::create_checkpoint(&table, None).await;
                written.map_err(|error| Error::table(self.table, error))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                table = self.table.name,
                error,
                "could not write a checkpoint; reading the log gets slower"
            );
        }
    }

    /// Whether the table has been created.
    pub async fn exists(&self) -> Result<bool, Error> {
        if self.has_version(0).await? {
            return Ok(true);
        }
        // Another program may have cleaned up its first versions.
        let table = DeltaTable::new(Arc::clone(&self.log_store));
        table.verify_deltatable_existence().await.map_err(|error| Error::table(self.table, error))
    }

    /// The newest state of the table; before its first version when it has not been created.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.snapshot_and_trouble().await?.0)
    }

    /// The newest state, and why the checkpoints could not be read where only the commits tell it.
    pub async fn snapshot_and_trouble(&self) -> Result<(Snapshot, Option<Error>), Error> {
        #[cfg(debug_assertions)]
        if let Some(state) = replayed(self).await? {
            self.check_protocol(state.reader, WRITER_VERSION)?;
            return Ok((state.into_snapshot(), None));
        }
        match self.snapshot_by(&self.log_store).await {
            Ok(snapshot) => Ok((snapshot, None)),
            Err(_) if !self.exists().await? => Ok((Snapshot { version: -1, files: Vec::new() }, None)),
            Err(error) => {
                let commits = self.commits_only(&error).await;
                let Some(commits) = commits else { return Err(error) };
                Ok((self.snapshot_by(&commits).await?, Some(error)))
            }
        }
    }

    async fn snapshot_by(&self, log_store: &Arc<dyn LogStore>) -> Result<Snapshot, Error> {
        let table = self.load_by(log_store).await?;
        let state = self.state_of(&table)?;
        // Files of a later protocol may hold rows that are deleted in a way this program does not see.
        self.check_protocol(state.protocol().min_reader_version(), WRITER_VERSION)?;
        self.files_of(state, log_store).await
    }

    async fn files_of(
        &self,
        state: &DeltaTableState,
        log_store: &Arc<dyn LogStore>,
    ) -> Result<Snapshot, Error> {
        let views = state.snapshot().file_views(log_store.as_ref(), None);
        let views: Vec<_> = views.try_collect().await.map_err(|error| Error::table(self.table, error))?;
        let mut files = Vec::with_capacity(views.len());
        for view in views {
            let partition = view.partition_values_map().remove("event_date").flatten();
            let size = u64::try_from(view.size()).unwrap_or(0);
            files.push(self.data_file(&view.path(), size, partition.as_deref(), view.stats().as_deref()));
        }
        files.sort_by(|a: &DataFile, b| a.path.cmp(&b.path));
        Ok(Snapshot { version: version_number(state.version()), files })
    }

    /// The newest state for a writer, with how far applications have come, by their id; before its first version when
    /// it has not been created.
    pub async fn state(&self, app_ids: &[String]) -> Result<(Snapshot, Vec<Option<i64>>), Error> {
        #[cfg(debug_assertions)]
        if let Some(state) = replayed(self).await? {
            self.check_protocol(state.reader, state.writer)?;
            let progress = app_ids.iter().map(|app_id| state.progress.get(app_id).copied()).collect();
            return Ok((state.into_snapshot(), progress));
        }
        match self.state_by(&self.log_store, app_ids).await {
            Ok(found) => Ok(found),
            Err(_) if !self.exists().await? => {
                Ok((Snapshot { version: -1, files: Vec::new() }, vec![None; app_ids.len()]))
            }
            Err(error) => match self.commits_only(&error).await {
                Some(commits) => self.state_by(&commits, app_ids).await,
                None => Err(error),
            },
        }
    }

    async fn state_by(
        &self,
        log_store: &Arc<dyn LogStore>,
        app_ids: &[String],
    ) -> Result<(Snapshot, Vec<Option<i64>>), Error> {
        let table = self.load_by(log_store).await?;
        let state = self.state_of(&table)?;
        let protocol = state.protocol();
        self.check_protocol(protocol.min_reader_version(), protocol.min_writer_version())?;
        Ok((self.files_of(state, log_store).await?, self.progress_of(state, log_store, app_ids).await?))
    }

    fn state_of<'a>(&self, table: &'a DeltaTable) -> Result<&'a DeltaTableState, Error> {
        table.snapshot().map_err(|error| Error::table(self.table, error))
    }

    /// Refuses a table that asks for a protocol this version does not speak; one that is not there asks for nothing.
    pub async fn check_writable(&self) -> Result<(), Error> {
        if !self.exists().await? {
            return Ok(());
        }
        #[cfg(debug_assertions)]
        if let Some(state) = replayed(self).await? {
            return self.check_protocol(state.reader, state.writer);
        }
        let table = self.load().await?;
        let state = self.state_of(&table)?;
        self.check_protocol(state.protocol().min_reader_version(), state.protocol().min_writer_version())
    }

    /// Refuses a table whose rows this version would not write again whole: with columns it does not know.
    pub async fn check_rewritable(&self) -> Result<(), Error> {
        #[cfg(debug_assertions)]
        if let Some(state) = replayed(self).await? {
            self.check_protocol(state.reader, state.writer)?;
            return self.check_columns(state.columns);
        }
        let table = self.load().await?;
        let state = self.state_of(&table)?;
        self.check_protocol(state.protocol().min_reader_version(), state.protocol().min_writer_version())?;
        self.check_columns(state.schema().fields().map(|field| field.name().clone()).collect())
    }

    /// Refuses columns that this version does not know.
    fn check_columns(&self, columns: Vec<String>) -> Result<(), Error> {
        let unknown: Vec<String> =
            columns.into_iter().filter(|column| self.table.index_of(column).is_none()).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Error::UnknownColumns { table: self.table.name, columns: unknown })
    }

    /// Refuses a protocol this version does not speak.
    fn check_protocol(&self, reader: i32, writer: i32) -> Result<(), Error> {
        if reader <= READER_VERSION && writer <= WRITER_VERSION {
            return Ok(());
        }
        Err(Error::Protocol { table: self.table.name, reader, writer })
    }

    /// Refuses a version that raises the protocol above what this program speaks.
    pub fn check_actions(&self, actions: &[Action]) -> Result<(), Error> {
        for protocol in actions.iter().filter_map(|action| action.protocol.as_ref()) {
            let number = |name: &str| {
                protocol
                    .get(name)
                    .and_then(Value::as_i64)
                    .and_then(|n| i32::try_from(n).ok())
                    .unwrap_or(i32::MAX)
            };
            self.check_protocol(number("minReaderVersion"), number("minWriterVersion"))?;
        }
        Ok(())
    }

    /// The objects that a version names. What is not understood is never passed over: its object would be taken for
    /// one that the lake does not have.
    pub fn objects_of(&self, version: i64, actions: &[Action]) -> Result<Vec<ObjectRecord>, Error> {
        let table = self.table.name;
        let unknown = |source| Error::UnknownObject { table, version, source };
        objects_of(actions).map(|record| record.map_err(unknown)).collect()
    }

    /// How far applications have come, by their id, at the newest version.
    pub async fn progress(&self, app_ids: &[String]) -> Result<(i64, Vec<Option<i64>>), Error> {
        #[cfg(debug_assertions)]
        if let Some(state) = replayed(self).await? {
            let progress = app_ids.iter().map(|app_id| state.progress.get(app_id).copied());
            return Ok((state.version, progress.collect()));
        }
        match self.progress_by(&self.log_store, app_ids).await {
            Ok(found) => Ok(found),
            Err(error) => match self.commits_only(&error).await {
                Some(commits) => self.progress_by(&commits, app_ids).await,
                None => Err(error),
            },
        }
    }

    async fn progress_by(
        &self,
        log_store: &Arc<dyn LogStore>,
        app_ids: &[String],
    ) -> Result<(i64, Vec<Option<i64>>), Error> {
        let table = self.load_by(log_store).await?;
        let state = self.state_of(&table)?;
        Ok((version_number(state.version()), self.progress_of(state, log_store, app_ids).await?))
    }

    async fn progress_of(
        &self,
        state: &DeltaTableState,
        log_store: &Arc<dyn LogStore>,
        app_ids: &[String],
    ) -> Result<Vec<Option<i64>>, Error> {
        let mut found = Vec::with_capacity(app_ids.len());
        for app_id in app_ids {
            let version = state.snapshot().transaction_version(log_store.as_ref(), app_id).await;
            found.push(version.map_err(|error| Error::table(self.table, error))?);
        }
        Ok(found)
    }

    async fn load(&self) -> Result<DeltaTable, Error> {
        match self.load_by(&self.log_store).await {
            Ok(table) => Ok(table),
            Err(error) => match self.commits_only(&error).await {
                Some(commits) => self.load_by(&commits).await,
                None => Err(error),
            },
        }
    }

    async fn load_by(&self, log_store: &Arc<dyn LogStore>) -> Result<DeltaTable, Error> {
        let mut table = DeltaTable::new(Arc::clone(log_store));
        table.load().await.map_err(|error| Error::table(self.table, error))?;
        Ok(table)
    }

    /// The log without its checkpoints, when it failed with them: a copy may lack the one that is named as the newest,
    /// and one may be broken. None when that is no way out.
    async fn commits_only(&self, error: &Error) -> Option<Arc<dyn LogStore>> {
        if !matches!(error, Error::Table { .. }) || !self.has_version(0).await.unwrap_or(false) {
            return None;
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            let (table, error): (_, &dyn std::error::Error) = (self.table.name, error);
            tracing::warn!(
                table,
                error,
                "the table cannot be read by its checkpoints, so all its commits are read"
            );
        }
        let (root, url) = &self.root;
        let store: Arc<dyn ObjectStore> = Arc::new(CommitsOnly::of(&self.store));
        Some(log_store(store, Arc::new(CommitsOnly::of(root)), url))
    }

    /// Stores a data file; it is not in the table before a commit adds it.
    pub async fn put_file(&self, path: &str, content: PutPayload) -> Result<(), Error> {
        failpoint::pass("before_data_put");
        let stored = self.store.put(&store::path_of(path), content).await;
        failpoint::pass("after_data_put");
        stored.map(|_| ()).map_err(|error| Error::table(self.table, error))
    }

    /// Some columns of a data file, whole, in the order and of the types of this program whoever wrote it; null where
    /// the file lacks one.
    pub async fn read_file(&self, path: &str, columns: &[&str]) -> Result<Vec<RecordBatch>, Error> {
        let failed = |error: object_store::Error| Error::table(self.table, error);
        let bytes =
            self.store.get(&store::path_of(path)).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let read = || -> Result<Vec<RecordBatch>, parquet::errors::ParquetError> {
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            let reader = builder.with_projection(mask).build()?;
            Ok(reader.collect::<Result<_, _>>()?)
        };
        let batches = read().map_err(|error| Error::table(self.table, error))?;
        batches.iter().map(|batch| self.typed(path, batch, columns)).collect()
    }

    /// The columns of a batch as this program has them: others write the same values in other types.
    fn typed(&self, path: &str, batch: &RecordBatch, columns: &[&str]) -> Result<RecordBatch, Error> {
        let wrong = |name: &str, problem: String| Error::Value {
            table: self.table.name,
            column: name.to_owned(),
            problem,
        };
        let mut typed: Vec<(&str, ArrayRef, bool)> = Vec::with_capacity(columns.len());
        for name in columns {
            let column = self.table.index_of(name).and_then(|at| self.table.columns.get(at));
            let column = column.ok_or_else(|| wrong(name, "is not one of this version".to_owned()))?;
            let kind = column.kind.data_type();
            let values = match batch.column_by_name(name) {
                // What does not fit is an error: a null would be taken for what the file says.
                Some(values) => {
                    let strict = CastOptions { safe: false, ..CastOptions::default() };
                    cast_with_options(values, &kind, &strict)
                        .map_err(|error| wrong(name, format!("cannot be read in `{path}`: {error}")))?
                }
                None => new_null_array(&kind, batch.num_rows()),
            };
            typed.push((name, values, true));
        }
        RecordBatch::try_from_iter_with_nullable(typed).map_err(|error| Error::table(self.table, error))
    }

    /// How many rows a data file holds, by its own word.
    pub async fn count_rows(&self, path: &str, size_bytes: u64) -> Result<u64, Error> {
        let mut reader = FileReader::new(Arc::clone(&self.store), path, size_bytes);
        let metadata = reader.metadata().await.map_err(|error| Error::table(self.table, error))?;
        Ok(u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0))
    }

    /// The files below the table's directory that hold rows or once may have, named by a version or not.
    pub async fn list_files(&self) -> Result<Vec<ObjectMeta>, Error> {
        let failed = |error: object_store::Error| Error::table(self.table, error);
        let found: Vec<ObjectMeta> = self.store.list(None).try_collect().await.map_err(failed)?;
        let is_data = |meta: &ObjectMeta| {
            let hidden = meta.location.parts().any(|part| part.as_ref().starts_with(['_', '.']));
            !hidden && meta.location.extension() == Some("parquet")
        };
        Ok(found.into_iter().filter(is_data).collect())
    }

    /// The versions of the log that are there, with the times the store says they were written.
    pub async fn list_versions(&self) -> Result<Vec<(i64, DateTime<Utc>)>, Error> {
        let failed = |error: object_store::Error| Error::table(self.table, error);
        let found = self.store.list(Some(&Path::from("_delta_log")));
        let found: Vec<ObjectMeta> = found.try_collect().await.map_err(failed)?;
        let version = |meta: &ObjectMeta| {
            let name = meta.location.filename()?.strip_suffix(".json")?;
            Some((name.parse().ok().filter(|_| name.len() == 20)?, meta.last_modified))
        };
        let mut versions: Vec<_> = found.iter().filter_map(version).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// The store's own time: that of a file written now.
    pub async fn store_time(&self) -> Result<DateTime<Utc>, Error> {
        let failed = |error: object_store::Error| Error::table(self.table, error);
        let path = Path::from(format!("_trailhound/time-{}", uuid::Uuid::new_v4()));
        self.store.put(&path, Bytes::new().into()).await.map_err(failed)?;
        let time = self.store.head(&path).await.map_err(failed)?.last_modified;
        self.store.delete(&path).await.map_err(failed)?;
        Ok(time)
    }

    /// Deletes data files; returns the paths of those that are gone, and the errors of those that are still there.
    pub async fn delete_files(&self, paths: Vec<Path>) -> (HashSet<String>, Vec<object_store::Error>) {
        let mut gone = HashSet::new();
        let mut errors = Vec::new();
        let mut outcomes =
            self.store.delete_stream(futures::stream::iter(paths.clone().into_iter().map(Ok)).boxed());
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(path) => _ = gone.insert(path.to_string()),
                // Somebody else deleted it; the path of the error begins at the root of the store.
                Err(object_store::Error::NotFound { path, .. }) => {
                    gone.extend(paths.iter().map(Path::to_string).filter(|known| path.ends_with(known)));
                }
                Err(error) => errors.push(error),
            }
        }
        (gone, errors)
    }

    /// The table's directory, for a lake in a directory.
    fn own_directory(&self) -> Option<PathBuf> {
        self.directory.as_deref().and_then(FilePath::parent).map(FilePath::to_owned)
    }

    /// Temporary files of a lake in a directory that nobody has written to since a time, see [`store::leftovers`].
    pub async fn leftovers(&self, since: DateTime<Utc>) -> Result<Vec<Leftover>, Error> {
        let Some(directory) = self.own_directory() else { return Ok(Vec::new()) };
        let found = on_cpu(move || store::leftovers(&directory, since.into())).await?;
        found.map_err(|error| Error::table(self.table, error))
    }

    /// Deletes temporary files, and says of each whether it was there or why it still is; see
    /// [`store::delete_leftover`].
    pub async fn delete_leftovers(
        &self,
        leftovers: Vec<Leftover>,
    ) -> Result<Vec<(Leftover, std::io::Result<bool>)>, Error> {
        let Some(directory) = self.own_directory() else { return Ok(Vec::new()) };
        let delete = move |leftover: Leftover| {
            let deleted = store::delete_leftover(&directory, &leftover);
            (leftover, deleted)
        };
        on_cpu(move || leftovers.into_iter().map(delete).collect()).await
    }

    /// A file as an `add` action describes it.
    pub fn added_file(&self, add: &Add) -> DataFile {
        let partition = add.partition_values.get("event_date").and_then(Value::as_str);
        self.data_file(&decoded_path(&add.path), add.size, partition, add.stats.as_deref())
    }

    fn data_file(
        &self,
        path: &str,
        size_bytes: u64,
        partition: Option<&str>,
        stats: Option<&str>,
    ) -> DataFile {
        let stats: Stats = stats.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let time = |values: &Map<String, Value>| {
            let text = values.get(self.table.time_column)?.as_str()?;
            DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
        };
        DataFile {
            path: path.to_owned(),
            size_bytes,
            event_date: partition.and_then(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()),
            rows: stats.num_records,
            min_time: time(&stats.min_values),
            // Statistics of times are cut to milliseconds.
            max_time: time(&stats.max_values).map(|micros| micros + 999),
        }
    }
}

fn log_store(store: Arc<dyn ObjectStore>, root: Arc<dyn ObjectStore>, url: &Url) -> Arc<dyn LogStore> {
    default_logstore(store, root, url, &StorageConfig::default())
}

pub(super) fn log_path(version: i64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

fn version_number(version: impl TryInto<i64>) -> i64 {
    version.try_into().unwrap_or(i64::MAX)
}
