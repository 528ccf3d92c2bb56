//! A log as its commits alone tell it: for when a checkpoint is missing or cannot be read.
//!
//! Must never hide a checkpoint that was written through it: whoever writes one looks at it afterwards.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// A store in which there are no checkpoints of logs, nor the hint that names the newest.
#[derive(Debug, Clone)]
pub(super) struct CommitsOnly {
    inner: Arc<dyn ObjectStore>,
    written: Arc<Mutex<HashSet<Path>>>,
}

impl CommitsOnly {
    pub fn of(store: &Arc<dyn ObjectStore>) -> Self {
        CommitsOnly { inner: Arc::clone(store), written: Arc::default() }
    }

    fn hides(&self, path: &Path) -> bool {
        is_checkpoint(path) && !self.written.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn show(&self, path: &Path) {
        if is_checkpoint(path) {
            self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        }
    }

    fn shown(&self, found: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let view = self.clone();
        let is_shown = move |meta: &Result<ObjectMeta>| {
            std::future::ready(!meta.as_ref().is_ok_and(|meta| view.hides(&meta.location)))
        };
        found.filter(is_shown).boxed()
    }
}

/// Whether a file is a checkpoint, a part of one, or the hint that names the newest.
fn is_checkpoint(path: &Path) -> bool {
    let mut parts = path.parts().rev();
    let name = parts.next();
    let is_of_log = parts.take(2).any(|part| part.as_ref() == "_delta_log");
    let is_of_checkpoint = |name: &str| name == "_last_checkpoint" || name.contains(".checkpoint.");
    is_of_log && name.is_some_and(|name| is_of_checkpoint(name.as_ref()))
}

impl fmt::Display for CommitsOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CommitsOnly {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.inner.put_opts(path, payload, options).await?;
        self.show(path);
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.show(path);
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if self.hides(path) {
            return Err(Error::NotFound { path: path.to_string(), source: "not looked at".into() });
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shown(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shown(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        found.objects.retain(|meta| !self.hides(&meta.location));
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.show(to);
        Ok(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.show(to);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_known_by_their_names() {
        for (path, expected) in [
            ("lake/t/_delta_log/_last_checkpoint", true),
            ("lake/t/_delta_log/00000000000000000050.checkpoint.parquet", true),
            ("t/_delta_log/00000000000000000050.checkpoint.0000000001.0000000002.parquet", true),
            ("t/_delta_log/00000000000000000050.checkpoint.80a083e8-7026.json", true),
            ("t/_delta_log/_sidecars/3a0d65cd.checkpoint.parquet", true),
            ("t/_delta_log/00000000000000000050.json", false),
            ("t/_delta_log/00000000000000000050.crc", false),
            ("t/event_date=2026-03-10/x.checkpoint.parquet", false),
            ("t/_last_checkpoint", false),
        ] {
            assert_eq!(is_checkpoint(&Path::from(path)), expected, "{path}");
        }
    }
}
