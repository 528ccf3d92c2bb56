//! A bucket of keys in memory that is listed as S3 lists, with a latency and faults on demand, for tests and trials.
//!
//! Must never be kinder than S3: at most a page of keys and prefixes together, and in the order of their bytes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;
use object_store::{Error, ListResult, ObjectMeta, Result};

/// The keys of a bucket.
#[derive(Debug)]
pub struct MemoryBucket {
    /// In order.
    keys: Vec<String>,
    latency: Duration,
    /// Keys and prefixes of a page.
    page_keys: usize,
    /// The errors of the next requests, the last one first.
    faults: Mutex<Vec<Error>>,
    requests: AtomicU64,
}

/// The size of every object.
pub const OBJECT_BYTES: u64 = 4_096;

impl MemoryBucket {
    /// A bucket with these keys, without latency, and with pages as large as those of S3.
    pub fn new(keys: impl IntoIterator<Item = String>) -> Self {
        let mut keys: Vec<String> = keys.into_iter().collect();
        keys.sort_unstable();
        MemoryBucket {
            keys,
            latency: Duration::ZERO,
            page_keys: 1_000,
            faults: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// The bucket with answers that take so long.
    #[must_use]
    pub fn with_latency(self, latency: Duration) -> Self {
        MemoryBucket { latency, ..self }
    }

    /// The bucket with pages of so many keys and prefixes.
    #[must_use]
    pub fn with_pages_of(self, page_keys: usize) -> Self {
        MemoryBucket { page_keys, ..self }
    }

    /// The bucket with errors in answer to its next requests.
    #[must_use]
    pub fn with_faults(self, faults: Vec<Error>) -> Self {
        MemoryBucket { faults: Mutex::new(faults), ..self }
    }

    /// How many requests came in.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The keys below a prefix from a position on, and where the next page begins.
    fn page(&self, prefix: &str, delimiter: Option<&str>, from: usize) -> (ListResult, Option<usize>) {
        let mut listed = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        let mut at = from;
        while let Some(key) = self.keys.get(at).filter(|key| key.starts_with(prefix)) {
            if listed.objects.len() + listed.common_prefixes.len() == self.page_keys {
                return (listed, Some(at));
            }
            let below = delimiter.and_then(|delimiter| {
                key[prefix.len()..].find(delimiter).map(|end| &key[..prefix.len() + end + delimiter.len()])
            });
            if let Some(below) = below {
                listed.common_prefixes.push(Path::from(below));
                at += self.keys[at..].partition_point(|key| key.starts_with(below));
            } else {
                listed.objects.push(ObjectMeta {
                    location: Path::from(key.as_str()),
                    last_modified: DateTime::UNIX_EPOCH,
                    size: OBJECT_BYTES,
                    e_tag: Some(format!("\"{at:032x}\"")),
                    version: None,
                });
                at += 1;
            }
        }
        (listed, None)
    }
}

#[async_trait]
impl PaginatedListStore for MemoryBucket {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let fault = self.faults.lock().ok().and_then(|mut faults| faults.pop());
        if let Some(error) = fault {
            return Err(error);
        }
        let prefix = prefix.unwrap_or_default();
        let begin = || self.keys.partition_point(|key| key.as_str() < prefix);
        let from = options.page_token.and_then(|token| token.parse().ok()).unwrap_or_else(begin);
        let (result, next) = self.page(prefix, options.delimiter.as_deref(), from);
        Ok(PaginatedListResult { result, page_token: next.map(|next| next.to_string()) })
    }
}
