//! LIST requests: at most so many at once, counted, and sent again when they fail for a passing reason.

use std::sync::Arc;

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::{ListResult, ObjectMeta};
use tokio::sync::Semaphore;

use super::super::Error;
use super::super::listing::Found;
use super::super::progress::Progress;
use super::super::worker::Backoff;

/// How often a request is sent, on top of what the client repeats by itself.
const TRIES: u32 = 5;

/// Sends LIST requests.
pub(super) struct Requests {
    pub(super) store: Arc<dyn PaginatedListStore>,
    pub(super) slots: Semaphore,
    pub(super) backoff: Backoff,
    pub(super) progress: Arc<Progress>,
}

/// The answer to one request.
pub(super) struct Page {
    pub(super) objects: Vec<Found>,
    /// With a slash at the end.
    pub(super) prefixes: Vec<String>,
    /// Asks for the next page.
    pub(super) next: Option<String>,
}

impl Requests {
    /// One page of the keys below a prefix that ends with a slash; with `levels`, of those directly below it.
    pub(super) async fn page(&self, prefix: &str, levels: bool, next: Option<String>) -> Result<Page, Error> {
        let mut attempt = 1;
        loop {
            let options = PaginatedListOptions {
                delimiter: levels.then_some("/".into()),
                page_token: next.clone(),
                ..PaginatedListOptions::default()
            };
            let slot = self.slots.acquire().await;
            let answer = self.store.list_paginated(Some(prefix).filter(|p| !p.is_empty()), options).await;
            drop(slot);
            match answer {
                Ok(answer) => {
                    self.progress.requested();
                    return Ok(page(prefix, answer.result, answer.page_token));
                }
                Err(error) if attempt < TRIES && is_passing(&error) => {
                    self.progress.repeated();
                    tracing::debug!(prefix, attempt, %error, "a listing failed; trying again");
                    tokio::time::sleep(self.backoff.after(attempt)).await;
                    attempt += 1;
                }
                Err(source) => return Err(Error::List { prefix: prefix.to_owned(), source }),
            }
        }
    }

    /// All that is directly below a prefix.
    pub(super) async fn children(&self, prefix: &str) -> Result<(Vec<Found>, Vec<String>), Error> {
        let (mut objects, mut prefixes, mut next) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.page(prefix, true, next).await?;
            objects.extend(page.objects);
            prefixes.extend(page.prefixes);
            next = page.next;
            if next.is_none() {
                return Ok((objects, prefixes));
            }
        }
    }
}

fn page(prefix: &str, listed: ListResult, next: Option<String>) -> Page {
    // A folder made by hand is an empty object with the name of the prefix.
    let is_folder = |meta: &ObjectMeta| meta.location.as_ref() == prefix.trim_end_matches('/');
    let objects = listed.objects.into_iter().filter(|meta| !is_folder(meta)).map(found).collect();
    let prefixes = listed.common_prefixes.into_iter().map(|prefix| format!("{prefix}/")).collect();
    Page { objects, prefixes, next }
}

fn found(meta: ObjectMeta) -> Found {
    let etag = meta.e_tag.map(|etag| etag.trim_matches('"').to_owned());
    Found { key: meta.location.into(), size_bytes: meta.size, etag }
}

fn is_passing(error: &object_store::Error) -> bool {
    !matches!(
        error,
        object_store::Error::NotFound { .. }
            | object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. }
            | object_store::Error::InvalidPath { .. }
            | object_store::Error::NotSupported { .. }
            | object_store::Error::NotImplemented { .. }
    )
}
