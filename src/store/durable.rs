//! The local file system as an object store whose writes have reached the disk when they return.
//!
//! `object_store`'s own local store does not sync. Here a put writes a temporary file, syncs it, links or renames
//! it into place and syncs the directory: what a reader can see was synced before it could be seen.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::failpoint;

const STORE: &str = "DurableLocal";

/// The whole local file system, rooted at `/`.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    inner: Arc<LocalFileSystem>,
    /// Directories that this process has seen to be on disk themselves.
    settled: Arc<Mutex<HashSet<PathBuf>>>,
}

/// More directories than this are not remembered: syncing one again costs little.
const MAX_SETTLED: usize = 10_000;

impl Default for DurableLocal {
    fn default() -> Self {
        DurableLocal { inner: Arc::new(LocalFileSystem::new()), settled: Arc::default() }
    }
}

impl std::fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let replace = match options.mode {
            PutMode::Create => false,
            PutMode::Overwrite => true,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        let (location, settled) = (location.to_string(), Arc::clone(&self.settled));
        blocking(move || write(&path, &payload, replace, &location, &settled)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload { inner, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.sync(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync(to).await
    }
}

impl DurableLocal {
    async fn sync(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || sync_file_and_directory(&path).map_err(|error| generic(&path, &error))).await
    }
}

/// A multipart upload that is synced when it completes.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let path = self.path.clone();
        blocking(move || sync_file_and_directory(&path).map_err(|error| generic(&path, &error))).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Generic { store: STORE, source: Box::new(error) })?
}

fn generic(path: &FilePath, error: &std::io::Error) -> Error {
    let words = format!("{}: {error}", path.display());
    Error::Generic { store: STORE, source: Box::new(std::io::Error::new(error.kind(), words)) }
}

/// Syncs a directory, so that the files that were seen in it stay; one that is not there holds none.
pub async fn settle_directory(directory: PathBuf) -> Result<()> {
    blocking(move || match sync_directory(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(generic(&directory, &error)),
        _ => Ok(()),
    })
    .await
}

fn write(
    path: &FilePath,
    payload: &PutPayload,
    replace: bool,
    location: &str,
    settled: &Mutex<HashSet<PathBuf>>,
) -> Result<()> {
    let directory = path.parent().unwrap_or(FilePath::new("/"));
    make_directories(directory, settled).map_err(|error| generic(directory, &error))?;
    let temporary = temporary_name(path);
    let placed = write_synced(&temporary, payload)
        .and_then(|()| if replace { fs::rename(&temporary, path) } else { fs::hard_link(&temporary, path) });
    failpoint::pass("file_placed");
    if !replace || placed.is_err() {
        // The name is ours alone; a leftover is ignored by listings.
        let _ = fs::remove_file(&temporary);
    }
    match placed {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::AlreadyExists { path: location.to_owned(), source: Box::new(error) })
        }
        Err(error) => Err(generic(path, &error)),
        Ok(()) => {
            sync_directory(directory).map_err(|error| generic(directory, &error))?;
            failpoint::pass("directory_synced");
            Ok(())
        }
    }
}

/// A name in the same directory of the form that `LocalFileSystem` leaves out of listings.
fn temporary_name(path: &FilePath) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("#{}", uuid::Uuid::new_v4().as_u128()));
    path.with_file_name(name)
}

fn write_synced(path: &FilePath, payload: &PutPayload) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    for chunk in payload {
        file.write_all(chunk)?;
    }
    failpoint::pass("file_written");
    file.sync_all()?;
    failpoint::pass("file_synced");
    Ok(())
}

/// Makes a directory and those above it, and syncs the directory that each new one is an entry of. One that was there
/// may have been made by somebody who died before that sync: then it is done here, once for each process.
fn make_directories(directory: &FilePath, settled: &Mutex<HashSet<PathBuf>>) -> std::io::Result<()> {
    let remembered = || settled.lock().unwrap_or_else(PoisonError::into_inner);
    if remembered().contains(directory) {
        // It may have been removed since, with all that was in it.
        if directory.is_dir() {
            return Ok(());
        }
        remembered().remove(directory);
    }
    let Some(above) = directory.parent() else { return Ok(()) };
    if !directory.is_dir() {
        make_directories(above, settled)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    match sync_directory(above) {
        // Above the lake there may be directories that can be passed but not opened.
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    let mut remembered = remembered();
    if remembered.len() >= MAX_SETTLED {
        remembered.clear();
    }
    remembered.insert(directory.to_owned());
    Ok(())
}

fn sync_file_and_directory(path: &FilePath) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_directory(path.parent().unwrap_or(FilePath::new("/")))
}

fn sync_directory(directory: &FilePath) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn a_put_is_seen_once_and_create_has_one_winner() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = DurableLocal::default();
        let path = Path::from_absolute_path(directory.path().join("a/b/c.json")).expect("a path");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, "one".into(), create()).await.expect("is created");
        let again = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(store.get(&path).await.expect("is there").bytes().await.expect("is read"), "one");
        store.put(&path, "three".into()).await.expect("is replaced");
        assert_eq!(store.get(&path).await.expect("is there").bytes().await.expect("is read"), "three");
        let names: Vec<_> = fs::read_dir(directory.path().join("a/b")).expect("a directory").collect();
        assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
    }
}
