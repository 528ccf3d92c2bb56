//! The local file system as an object store whose writes have reached the disk when they return.
//!
//! `object_store`'s own local store does not sync. Here a put writes a temporary file, syncs it, links or renames
//! it into place and syncs the directory: what a reader can see was synced before it could be seen.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

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
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let settled = Arc::clone(&self.settled);
        let upload = blocking(move || DurableUpload::begin(path, &settled)).await?;
        Ok(Box::new(upload))
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

/// A file that is written part by part: synced, renamed into its place when it is complete, and the directory synced.
#[derive(Debug)]
struct DurableUpload {
    path: PathBuf,
    temporary: PathBuf,
    /// None once it is complete or given up.
    file: Option<Arc<Mutex<File>>>,
    /// Where the next part begins.
    end: u64,
}

impl DurableUpload {
    fn begin(path: PathBuf, settled: &Mutex<HashSet<PathBuf>>) -> Result<Self> {
        let directory = path.parent().unwrap_or(FilePath::new("/"));
        make_directories(directory, settled).map_err(|error| generic(directory, &error))?;
        let temporary = temporary_name(&path);
        let file = File::create_new(&temporary).map_err(|error| generic(&temporary, &error))?;
        Ok(DurableUpload { path, temporary, file: Some(Arc::new(Mutex::new(file))), end: 0 })
    }

    /// The file, no longer to be removed by whoever drops this.
    fn take_file(&mut self) -> Result<Arc<Mutex<File>>> {
        let ended = || generic(&self.path, &std::io::Error::other("the upload has ended"));
        self.file.take().ok_or_else(ended)
    }
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let begin = self.end;
        self.end += data.content_length() as u64;
        let (file, path) = (self.file.clone(), self.path.clone());
        Box::pin(blocking(move || {
            let ended = || std::io::Error::other("the upload has ended");
            let written = file.ok_or_else(ended).and_then(|file| write_part(&file, begin, &data));
            written.map_err(|error| generic(&path, &error))
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let file = self.take_file()?;
        let (path, temporary) = (self.path.clone(), self.temporary.clone());
        blocking(move || {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let placed = file.sync_all().and_then(|()| fs::rename(&temporary, &path));
            if placed.is_err() {
                // The name is ours alone; a leftover is ignored by listings.
                let _ = fs::remove_file(&temporary);
            }
            let directory = path.parent().unwrap_or(FilePath::new("/"));
            placed.and_then(|()| sync_directory(directory)).map_err(|error| generic(&path, &error))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        // An upload whose end failed was given up there, and its writer is to hear of that failure, not of this.
        if self.file.take().is_none() {
            return Ok(());
        }
        let temporary = self.temporary.clone();
        blocking(move || fs::remove_file(&temporary).map_err(|error| generic(&temporary, &error))).await
    }
}

impl Drop for DurableUpload {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Cancelled: nobody will complete it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn write_part(file: &Mutex<File>, begin: u64, data: &PutPayload) -> std::io::Result<()> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(begin))?;
    data.iter().try_for_each(|chunk| file.write_all(chunk))
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

/// A temporary file that its put left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is, below the directory that was looked through.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// The temporary files below a directory that nobody has written to since a time: those of puts whose process was
/// killed. No listing shows them. Of one that is still being written, to take it away only makes its put fail. What
/// cannot be looked into is an error, which names it; what vanishes meanwhile is none.
pub fn leftovers(directory: &FilePath, since: SystemTime) -> std::io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(directory) {
        let look = entry.and_then(|entry| Ok((entry.metadata()?, entry.into_path())));
        let (metadata, path) = match look {
            Ok(found) => found,
            // Placed or taken away meanwhile.
            Err(error) if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) => {
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if metadata.is_file() && is_temporary(&path) && metadata.modified()? < since {
            let path = path.strip_prefix(directory).unwrap_or(&path).to_owned();
            found.push(Leftover { path, size_bytes: metadata.len() });
        }
    }
    Ok(found)
}

/// Deletes a temporary file below a directory; false when somebody else has. Nothing is synced: one that comes back is
/// found again.
pub fn delete_leftover(directory: &FilePath, leftover: &Leftover) -> std::io::Result<bool> {
    match fs::remove_file(directory.join(&leftover.path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a name is one of [`temporary_name`], or of `object_store`'s own local store.
fn is_temporary(path: &FilePath) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('#')
        .is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit()))
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

    #[tokio::test]
    async fn an_upload_is_seen_when_it_is_complete_and_not_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = DurableLocal::default();
        let path = Path::from_absolute_path(directory.path().join("a/b/c.parquet")).expect("a path");
        let names = || -> Vec<_> {
            let entries = fs::read_dir(directory.path().join("a/b")).expect("a directory");
            entries.map(|entry| entry.expect("an entry").file_name()).collect()
        };
        let mut upload = store.put_multipart(&path).await.expect("is begun");
        assert!(store.settled.lock().expect("a lock").contains(&directory.path().join("a/b")));
        // Parts are in the order they were given in, whichever is written first.
        let (first, second) = (upload.put_part("one ".into()), upload.put_part("two".into()));
        second.await.expect("is written");
        first.await.expect("is written");
        assert!(matches!(store.get(&path).await, Err(Error::NotFound { .. })));
        upload.complete().await.expect("is complete");
        assert_eq!(store.get(&path).await.expect("is there").bytes().await.expect("is read"), "one two");
        upload.complete().await.expect_err("is complete already");
        upload.put_part("three".into()).await.expect_err("is complete already");
        upload.abort().await.expect("there is nothing to give up");
        drop(upload);
        assert_eq!(names(), ["c.parquet"]);

        let mut given_up = store.put_multipart(&path).await.expect("is begun");
        given_up.put_part("other".into()).await.expect("is written");
        assert_eq!(names().len(), 2);
        given_up.abort().await.expect("is given up");
        drop(store.put_multipart(&path).await.expect("is begun"));
        assert_eq!(names(), ["c.parquet"]);
        assert_eq!(store.get(&path).await.expect("is there").bytes().await.expect("is read"), "one two");
    }

    #[tokio::test]
    async fn a_writer_hears_why_its_upload_could_not_be_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = DurableLocal::default();
        let path = Path::from_absolute_path(directory.path().join("taken")).expect("a path");
        fs::create_dir(directory.path().join("taken")).expect("is made");
        let upload = store.put_multipart(&path).await.expect("is begun");
        let mut writer = object_store::WriteMultipart::new(upload);
        writer.write(b"one");
        // It gives up an upload whose end failed, and tells of the first thing that fails.
        let error = writer.finish().await.expect_err("is taken").to_string();
        assert!(error.contains("directory") && !error.contains("has ended"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1, "nothing is left behind");
    }
}
