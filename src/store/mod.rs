//! Where bytes are: the local file system and S3, behind one trait.
//!
//! Must never hold credentials: they come from the SDK's chain each time they are needed.

pub mod aws;
mod conditional;
mod durable;
pub mod memory;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::aws::AmazonS3;
use object_store::list::PaginatedListStore;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RetryConfig,
};
use url::Url;

pub use durable::{DurableLocal, Leftover, delete_leftover, leftovers, settle_directory};

/// A directory or a place in a bucket, as the user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local directory or file.
    Local(PathBuf),
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some(rest) = text.strip_prefix("s3://") else {
            if text.is_empty() || text.contains("://") {
                return Err(Error::Location { text: text.to_owned() });
            }
            return Ok(Location::Local(PathBuf::from(text)));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket_character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if bucket.len() < 3 || !bucket.chars().all(bucket_character) {
            return Err(Error::Location { text: text.to_owned() });
        }
        Ok(Location::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(path) => write!(f, "{}", path.display()),
            Location::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Location::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// What can go wrong with opening a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is neither a path nor an S3 URL.
    #[error("`{text}` is neither a directory nor `s3://bucket/prefix`")]
    Location {
        /// What was given.
        text: String,
    },
    /// A path cannot be used.
    #[error("cannot use `{}`", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A `%` in the place that libraries take for the beginning of an escape.
    #[error(
        "a lake cannot be at `{place}`: `%` and two hex digits in its path would be read as another character"
    )]
    Percent {
        /// The place.
        place: String,
    },
    /// The store does not keep what the lake relies on.
    #[error(
        "`{place}`{} ignores `If-None-Match: *` when a file is put: two writers would overwrite each other's commits",
        endpoint.as_ref().map(|endpoint| format!(" at `{endpoint}`")).unwrap_or_default()
    )]
    Unconditional {
        /// Where the lake is.
        place: String,
        /// The endpoint, if one was set.
        endpoint: Option<String>,
    },
    /// It cannot be told whether the store keeps what the lake relies on.
    #[error("cannot put a file at `{place}` on the condition that there is none")]
    Conditional {
        /// Where the lake is.
        place: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// S3 cannot be used.
    #[error("cannot use bucket `{bucket}`")]
    S3 {
        /// The bucket.
        bucket: String,
        /// The cause.
        #[source]
        source: aws::Error,
    },
}

/// How AWS is reached; credentials always come from the SDK's chain.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The endpoint of an S3-compatible store.
    pub endpoint: Option<String>,
    /// The region, when the chain's is not wanted.
    pub region: Option<String>,
}

impl AwsSettings {
    /// A bucket's store, with the SDK's chain behind it.
    pub async fn bucket(&self, bucket: &str, retry: RetryConfig) -> Result<Arc<dyn ObjectStore>, Error> {
        Ok(Arc::new(self.s3(bucket, retry).await?))
    }

    /// A bucket's store for listing it page by page.
    pub async fn bucket_pages(
        &self,
        bucket: &str,
        retry: RetryConfig,
    ) -> Result<Arc<dyn PaginatedListStore>, Error> {
        Ok(Arc::new(self.s3(bucket, retry).await?))
    }

    async fn s3(&self, bucket: &str, retry: RetryConfig) -> Result<AmazonS3, Error> {
        let sdk = aws::sdk_config(self.endpoint.as_deref(), self.region.as_deref()).await;
        let options = aws::S3Options { endpoint: self.endpoint.clone(), retry, ..aws::S3Options::default() };
        aws::s3(bucket, &sdk, options).map_err(|source| Error::S3 { bucket: bucket.to_owned(), source })
    }
}

/// Where a lake is kept.
#[derive(Clone)]
pub struct LakeStore {
    /// The store: rooted at `/` for a directory, at the bucket for S3.
    pub store: Arc<dyn ObjectStore>,
    /// The lake's own URL, ending in a slash.
    pub url: Url,
    location: Location,
    endpoint: Option<String>,
}

impl fmt::Display for LakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)
    }
}

/// Opens the store of a lake. Nothing is created.
pub async fn lake(location: &Location, aws: &AwsSettings) -> Result<LakeStore, Error> {
    let location = location.clone();
    let invalid = |text: String| Error::Location { text };
    let (store, url) = match &location {
        Location::Local(path) => {
            let absolute = absolute(path)?;
            let url =
                Url::from_directory_path(&absolute).map_err(|()| invalid(absolute.display().to_string()))?;
            (Arc::new(DurableLocal::default()) as Arc<dyn ObjectStore>, url)
        }
        Location::S3 { bucket, prefix } => {
            let data = aws.bucket(bucket, RetryConfig::default()).await?;
            let no_retry = RetryConfig {
                max_retries: 0,
                retry_timeout: Duration::from_mins(1),
                ..RetryConfig::default()
            };
            let log = aws.bucket(bucket, no_retry).await?;
            let url = s3_url(bucket, prefix).ok_or_else(|| invalid(location.to_string()))?;
            (Arc::new(CreateOnce { data, log }) as Arc<dyn ObjectStore>, url)
        }
    };
    let path = percent_encoding::percent_decode_str(url.path()).collect::<Vec<u8>>();
    if percent_encoding::percent_decode(&path).ne(path.iter().copied()) {
        return Err(Error::Percent { place: location.to_string() });
    }
    Ok(LakeStore { store, url, location, endpoint: aws.endpoint.clone() })
}

/// The path of a file by its own name: as it is, also where it holds what a new name would not.
pub fn path_of(name: &str) -> object_store::path::Path {
    object_store::path::Path::parse(name).unwrap_or_else(|_| name.into())
}

/// The URL of a place in a bucket, ending in a slash. The prefix is one of keys, so what means something in a URL
/// stands for itself.
fn s3_url(bucket: &str, prefix: &str) -> Option<Url> {
    let mut url = Url::parse(&format!("s3://{bucket}/")).ok()?;
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(prefix.split('/').filter(|part| !part.is_empty()))
        .push("");
    Some(url)
}

/// An absolute path with `.` and `..` taken out and links followed as far as it exists.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::Path { path: path.to_owned(), source };
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let absolute = std::path::absolute(path).map_err(failed)?;
    let mut clean = PathBuf::new();
    for part in absolute.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Ok(clean)
}

/// An S3 store that never repeats a conditional put by itself: a repeat of one's own write that landed looks like
/// somebody else's, so whoever commits must read the log and decide.
#[derive(Debug)]
struct CreateOnce {
    data: Arc<dyn ObjectStore>,
    log: Arc<dyn ObjectStore>,
}

impl fmt::Display for CreateOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CreateOnce {
    async fn put_opts(
        &self,
        location: &object_store::path::Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        match options.mode {
            PutMode::Create => self.log.put_opts(location, payload, options).await,
            PutMode::Overwrite | PutMode::Update(_) => self.data.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &object_store::path::Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.data.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &object_store::path::Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.data.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<object_store::path::Path>>,
    ) -> BoxStream<'static, object_store::Result<object_store::path::Path>> {
        self.data.delete_stream(locations)
    }

    fn list(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.data.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> object_store::Result<ListResult> {
        self.data.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &object_store::path::Path,
        to: &object_store::path::Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.data.copy_opts(from, to, options).await
    }

    async fn rename_opts(
        &self,
        from: &object_store::path::Path,
        to: &object_store::path::Path,
        options: RenameOptions,
    ) -> object_store::Result<()> {
        self.data.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_would_be_taken_for_another_is_refused() {
        let aws = AwsSettings { region: Some("eu-west-1".to_owned()), ..AwsSettings::default() };
        for (text, is_refused) in [
            ("s3://my-logs/a%20b", true),
            ("/tmp/a%20b", true),
            ("/tmp/a%2fb", true),
            ("s3://my-logs/100%", false),
            ("/tmp/100% done#1?", false),
            ("/tmp/ü b", false),
        ] {
            let opened = lake(&text.parse().expect("a location"), &aws).await.map(|place| place.to_string());
            assert_eq!(matches!(opened, Err(Error::Percent { .. })), is_refused, "{opened:?}");
        }
    }

    #[test]
    fn the_url_of_a_prefix_names_the_same_keys() {
        for (prefix, url) in [
            ("", "s3://my-logs/"),
            ("a/b", "s3://my-logs/a/b/"),
            ("a?b/c#d/e%20f g", "s3://my-logs/a%3Fb/c%23d/e%2520f%20g/"),
            ("ü~[x]", "s3://my-logs/%C3%BC~[x]/"),
        ] {
            let found = s3_url("my-logs", prefix).expect("is a URL");
            assert_eq!(found.as_str(), url);
            let path = object_store::path::Path::from_url_path(found.path()).expect("is a path");
            assert_eq!(path.as_ref(), prefix);
        }
    }

    #[test]
    fn locations_are_paths_or_buckets() {
        let s3 =
            |bucket: &str, prefix: &str| Some(Location::S3 { bucket: bucket.into(), prefix: prefix.into() });
        for (text, expected) in [
            ("s3://my-logs", s3("my-logs", "")),
            ("s3://my-logs/a/b/", s3("my-logs", "a/b")),
            ("./lake", Some(Location::Local("./lake".into()))),
            ("/var/lake", Some(Location::Local("/var/lake".into()))),
            ("", None),
            ("s3://", None),
            ("s3://UPPER/x", None),
            ("https://x/y", None),
        ] {
            assert_eq!(text.parse::<Location>().ok(), expected, "{text}");
        }
    }
}
