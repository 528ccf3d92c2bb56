//! LIST requests: at most so many at once, counted, and sent again when they fail for a passing reason.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::{ListResult, ObjectMeta, path};
use tokio::sync::Semaphore;

use super::super::Error;
use super::super::key;
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

/// Where a page begins.
#[derive(Debug, Clone)]
enum Start {
    /// Where S3 says that the one before ended.
    Token(String),
    /// Behind a key.
    Behind(String),
}

/// Asks for a page: the first one, or the one after another.
#[derive(Debug, Clone, Default)]
pub(super) struct Next {
    start: Option<Start>,
    /// So many keys before the next one, at most, is one that cannot be asked for.
    near: Option<usize>,
}

/// The answer to one request.
pub(super) struct Page {
    pub(super) objects: Vec<Found>,
    /// With a slash at the end.
    pub(super) prefixes: Vec<String>,
    /// Asks for the next page.
    pub(super) next: Option<Next>,
}

/// Keys of a page in which there is one that cannot be asked for, when it is asked for again.
const PAGE_KEYS: usize = 512;
/// Comes after whatever is below a folder.
const LAST: char = char::MAX;

impl Requests {
    /// One page of the keys below a prefix that ends with a slash; with `levels`, of those directly below it.
    ///
    /// The client answers nothing but an error for a page with a key that it cannot ask for. So smaller and smaller
    /// pages are asked for until that key is alone in one. It is given out for the loader to refuse, and what comes
    /// behind it is the next page.
    pub(super) async fn page(&self, prefix: &str, levels: bool, next: Next) -> Result<Page, Error> {
        let Next { start, mut near } = next;
        loop {
            match self.ask(prefix, levels, start.as_ref(), near.map(|near| near.max(1))).await {
                Ok(answer) => {
                    let near = near.filter(|near| *near > 0).map(|near| near / 2);
                    let next = answer.page_token.map(|token| Next { start: Some(Start::Token(token)), near });
                    return Ok(page(prefix, answer.result, next));
                }
                Err(error) => match refused_key(&error) {
                    Some(key) if near.is_some_and(|near| near <= 1) => return Ok(page_of_refused(&key)),
                    Some(_) => near = Some(near.map_or(PAGE_KEYS, |near| near / 2)),
                    None => return Err(Error::List { prefix: prefix.to_owned(), source: error }),
                },
            }
        }
    }

    /// Sends one request until it is answered.
    async fn ask(
        &self,
        prefix: &str,
        levels: bool,
        start: Option<&Start>,
        max_keys: Option<usize>,
    ) -> object_store::Result<PaginatedListResult> {
        let (page_token, offset) = match start {
            None => (None, None),
            Some(Start::Token(token)) => (Some(token.clone()), None),
            Some(Start::Behind(key)) => (None, Some(key.clone())),
        };
        let options = PaginatedListOptions {
            delimiter: levels.then_some("/".into()),
            page_token,
            offset,
            max_keys,
            ..PaginatedListOptions::default()
        };
        let mut attempt = 1;
        loop {
            let slot = self.slots.acquire().await;
            let prefix = Some(prefix).filter(|p| !p.is_empty());
            let answer = self.store.list_paginated(prefix, options.clone()).await;
            drop(slot);
            match answer {
                Err(error) if attempt < TRIES && is_passing(&error) => {
                    self.progress.repeated();
                    tracing::debug!(prefix, attempt, %error, "a listing failed; trying again");
                    tokio::time::sleep(self.backoff.after(attempt)).await;
                    attempt += 1;
                }
                answer => {
                    self.progress.requested();
                    return answer;
                }
            }
        }
    }

    /// What is directly below prefixes, so many of them at once, page by page with the prefix it is of.
    pub(super) fn children(
        self: &Arc<Self>,
        prefixes: Vec<String>,
        at_once: usize,
    ) -> impl Stream<Item = Result<(String, Page), Error>> + use<> {
        let requests = Arc::clone(self);
        let pages = move |prefix: String| {
            let requests = Arc::clone(&requests);
            Box::pin(futures::stream::try_unfold(Some(Next::default()), move |next| {
                let (requests, prefix) = (Arc::clone(&requests), prefix.clone());
                async move {
                    let Some(next) = next else { return Ok(None) };
                    let page = requests.page(&prefix, true, next).await?;
                    let next = page.next.clone();
                    Ok(Some(((prefix, page), next)))
                }
            }))
        };
        futures::stream::iter(prefixes).map(pages).flatten_unordered(at_once)
    }
}

impl Page {
    /// Asks for what comes behind this page, whatever its level: a token holds for listings of the same levels only.
    /// None for a page of nothing.
    pub(super) fn behind(&self) -> Option<Next> {
        if let Some(next @ Next { start: Some(Start::Behind(_)), .. }) = &self.next {
            return Some(next.clone());
        }
        let object = self.objects.iter().map(|found| found.key.clone()).max();
        let prefix = self.prefixes.iter().map(|prefix| format!("{prefix}{LAST}")).max();
        let start = Some(Start::Behind(object.max(prefix)?));
        Some(Next { start, near: None })
    }
}

fn page(prefix: &str, listed: ListResult, next: Option<Next>) -> Page {
    let objects = listed.objects.into_iter().filter_map(|meta| found(prefix, meta));
    let mut objects: Vec<Found> = objects.collect();
    let mut prefixes = Vec::with_capacity(listed.common_prefixes.len());
    for below in listed.common_prefixes {
        if below.is_root() {
            // Keys that begin with a slash, which the client leaves out.
            objects.push(refused("/".to_owned()));
        } else {
            prefixes.push(format!("{below}/"));
        }
    }
    Page { objects, prefixes, next }
}

/// A listed object; none for a folder made by hand, which is an empty object with the name of the prefix.
fn found(prefix: &str, meta: ObjectMeta) -> Option<Found> {
    let is_prefix = meta.location.as_ref() == prefix.trim_end_matches('/');
    if is_prefix && meta.size == 0 {
        return None;
    }
    let key = if is_prefix { prefix.to_owned() } else { meta.location.into() };
    let etag = meta.e_tag.map(|etag| etag.trim_matches('"').to_owned());
    Some(Found { key, size_bytes: meta.size, etag })
}

/// The key that made the client refuse a page.
fn refused_key(error: &object_store::Error) -> Option<String> {
    let object_store::Error::InvalidPath { source } = error else { return None };
    match source {
        path::Error::EmptySegment { path } | path::Error::BadSegment { path, .. } => Some(path.clone()),
        _ => None,
    }
}

/// A page of nothing but a key that cannot be asked for, or the folder where all keys are such.
fn page_of_refused(key: &str) -> Page {
    let (part, is_folder) = key::path(key).err().map_or((key, false), |fault| fault.part(key));
    let behind = if is_folder { format!("{part}{LAST}") } else { part.to_owned() };
    // Where there is one, there are others.
    let next = Next { start: Some(Start::Behind(behind)), near: Some(0) };
    Page { objects: vec![refused(part.to_owned())], prefixes: Vec::new(), next: Some(next) }
}

/// A key that cannot be asked for, as an object: whoever asks for it learns why.
fn refused(key: String) -> Found {
    Found { key, size_bytes: 0, etag: None }
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
