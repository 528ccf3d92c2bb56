//! The bytes of an object on S3, with the identity of exactly those bytes.

use bytes::Bytes;
use object_store::{GetOptions, GetResult, ObjectStore};

use super::key::{self, Unaskable};
use super::load::too_large;
use super::read::Fetched;

/// Why an object could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key names an object that this client would ask for by another key.
    #[error(transparent)]
    Unaskable(#[from] Unaskable),
    /// There is no such object, or it may not be read: S3 says the same for both without the right to list.
    #[error("the object is missing or may not be read")]
    Missing(#[source] object_store::Error),
    /// A passing fault.
    #[error("the object could not be fetched: {0}")]
    Passing(#[source] object_store::Error),
    /// Larger than objects may be.
    #[error("{}", too_large(*size_bytes, *limit_bytes))]
    TooLarge {
        /// The object, without its bytes.
        object: Box<Fetched>,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: usize,
    },
    /// S3 did not say which version of the object it sent.
    #[error("the answer has no etag")]
    NoEtag,
}

/// An object of which the answer has begun: its identity and size are known, its bytes are to come.
pub struct Opened {
    /// Without the bytes.
    fetched: Fetched,
    answer: GetResult,
}

impl Opened {
    /// How many bytes are to come.
    pub fn size_bytes(&self) -> u64 {
        self.answer.meta.size
    }

    /// Reads the bytes.
    pub async fn read(self) -> Result<Fetched, Error> {
        let bytes: Bytes = self.answer.bytes().await.map_err(failed)?;
        Ok(Fetched { bytes, ..self.fetched })
    }
}

/// Fetches an object whole; the etag is that of the answer the bytes came with.
pub async fn object(
    bucket: &str,
    store: &dyn ObjectStore,
    key: &str,
    limit: usize,
) -> Result<Fetched, Error> {
    open(bucket, store, key, limit).await?.read().await
}

/// Asks for an object; larger ones than the limit are refused before their bytes come.
pub async fn open(bucket: &str, store: &dyn ObjectStore, key: &str, limit: usize) -> Result<Opened, Error> {
    let path = key::path(key)?;
    let answer = store.get_opts(&path, GetOptions::default()).await.map_err(failed)?;
    let etag = answer.meta.e_tag.as_deref().ok_or(Error::NoEtag)?.trim_matches('"').to_owned();
    let fetched = Fetched {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        etag: Some(etag),
        version_id: answer.meta.version.clone(),
        announced_at: None,
        bytes: Bytes::new(),
    };
    let size_bytes = answer.meta.size;
    if usize::try_from(size_bytes).map_or(true, |size| size > limit) {
        return Err(Error::TooLarge { object: Box::new(fetched), size_bytes, limit_bytes: limit });
    }
    Ok(Opened { fetched, answer })
}

fn failed(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. }
        | object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Error::Missing(error),
        other => Error::Passing(other),
    }
}
