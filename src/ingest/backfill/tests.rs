use std::collections::HashSet;

use object_store::Error as StoreError;

use super::*;
use crate::ingest::key;
use crate::store::memory::MemoryBucket;

fn wanted(since: &str, until: &str) -> Days {
    Days { since: since.parse().ok(), until: until.parse().ok() }
}

fn settings(at_once: usize) -> Settings {
    let backoff = Backoff { first: Duration::ZERO, longest: Duration::ZERO };
    Settings { at_once, backoff, ..Settings::default() }
}

/// All keys in the order they come, and how far the listing says it is.
async fn keys(
    bucket: MemoryBucket,
    prefix: &str,
    days: Days,
    at_once: usize,
) -> (Vec<String>, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    let mut chunks = list(Arc::new(bucket), prefix, days, settings(at_once), Arc::clone(&progress));
    let mut keys = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        keys.extend(chunk.expect("is listed").into_iter().map(|found| found.key));
    }
    (keys, progress)
}

#[tokio::test]
async fn objects_are_selected_by_the_day_in_the_key() {
    for (since, until, expected) in [
        ("", "", "other c d b a"),
        ("2024-01-01", "", "other c d b"),
        ("", "2024-01-01", "other b a"),
        ("2024-01-01", "2024-01-31", "other d b"),
        ("2025-01-01", "", "other"),
    ] {
        let bucket = MemoryBucket::new(
            [
                "p/AWSLogs/o-x/111122223333/CloudTrail/us-east-1/2023/12/31/a.json.gz",
                "p/AWSLogs/o-x/111122223333/CloudTrail/us-east-1/2024/01/01/b.json.gz",
                "p/AWSLogs/o-x/111122223333/CloudTrail/eu-west-1/2024/02/29/c.json.gz",
                "p/AWSLogs/aws-account-id=1/aws-service=vpcflowlogs/aws-region=x/year=2024/month=01/day=02/hour=03/d.log.gz",
                "p/other.json",
                "q/AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/01/e.json.gz",
            ]
            .map(str::to_owned),
        );
        let (found, _) = keys(bucket, "p", wanted(since, until), 4).await;
        let names: Vec<&str> =
            found.iter().filter_map(|key| key.rsplit('/').next()?.split('.').next()).collect();
        assert_eq!(names.join(" "), expected, "{since}..{until}");
    }
}

/// Keys of accounts with so many objects a day, over two years and in part of a third.
fn trail(per_day: &[usize]) -> Vec<String> {
    let first = NaiveDate::from_ymd_opt(2023, 11, 20).unwrap();
    let mut keys = Vec::new();
    for (account, count) in per_day.iter().enumerate() {
        for day in first.iter_days().take(80) {
            let folder = format!("AWSLogs/{account:012}/CloudTrail/eu-west-1/{}", day.format("%Y/%m/%d"));
            keys.extend((0..*count).map(|number| format!("{folder}/{number:04}.json.gz")));
        }
    }
    keys
}

#[tokio::test]
async fn every_object_comes_once_and_the_newest_day_first() {
    // A page of ten: a year, a month and a day of few and of many pages.
    for per_day in [&[0][..], &[1], &[3], &[25], &[1, 3, 25, 0, 11]] {
        let expected = trail(per_day);
        for (prefix, at_once) in [("", 1), ("AWSLogs", 16), ("AWSLogs/000000000000/CloudTrail/eu-west-1", 3)]
        {
            let bucket = MemoryBucket::new(expected.clone()).with_pages_of(10);
            let (found, progress) = keys(bucket, prefix, Days::default(), at_once).await;
            let below: HashSet<&String> = expected.iter().filter(|key| key.starts_with(prefix)).collect();
            assert_eq!(found.len(), below.len(), "{per_day:?} {prefix}");
            assert_eq!(found.iter().collect::<HashSet<_>>(), below, "{per_day:?} {prefix}");
            let days: Vec<_> = found.iter().map(|key| route::by_key(key).date.unwrap()).collect();
            assert!(days.is_sorted_by(|a, b| a >= b), "{per_day:?} {prefix}");
            let counts = progress.counts();
            assert!(counts.is_listed);
            assert_eq!((counts.listed, counts.objects), (found.len() as u64, found.len() as u64));
            assert_eq!(counts.days, if found.is_empty() { 0 } else { 80 }, "{per_day:?} {prefix}");
        }
    }
}

#[tokio::test]
async fn prefixes_may_end_anywhere_in_the_layout() {
    let all = trail(&[3, 25]);
    for (prefix, expected) in [
        ("AWSLogs/000000000001/CloudTrail/eu-west-1/2023", 42 * 25),
        ("AWSLogs/000000000001/CloudTrail/eu-west-1/2024/01", 31 * 25),
        ("AWSLogs/000000000001/CloudTrail/eu-west-1/2024/01/31", 25),
        ("AWSLogs/000000000001/CloudTrail/eu-west-1/2025", 0),
        ("AWSLogs/00000000000", 0),
    ] {
        let bucket = MemoryBucket::new(all.clone()).with_pages_of(10);
        let (found, _) = keys(bucket, prefix, Days::default(), 4).await;
        assert_eq!(found.len(), expected, "{prefix}");
    }
}

#[tokio::test]
async fn other_layouts_are_taken_as_they_come() {
    let all: Vec<String> = (0..500).map(|n| format!("a/b/c/d/e/{}/f/{n}.json", n % 7)).collect();
    let bucket = MemoryBucket::new(all.clone()).with_pages_of(10);
    let (mut found, progress) = keys(bucket, "a", Days::default(), 4).await;
    found.sort_unstable();
    let mut expected = all;
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(progress.counts().requests < 100, "{:?}", progress.counts());
}

fn passing() -> StoreError {
    StoreError::Generic { store: "S3", source: "503 Slow Down".into() }
}

#[tokio::test]
async fn passing_faults_are_repeated_and_others_end_the_listing() {
    let refused = || StoreError::PermissionDenied { path: "AWSLogs".to_owned(), source: "403".into() };
    for (faults, is_whole) in [
        ((0..4).map(|_| passing()).collect(), true),
        ((0..5).map(|_| passing()).collect(), false),
        (vec![refused()], false),
    ] {
        let count = faults.len() as u64;
        let bucket = MemoryBucket::new(trail(&[2])).with_faults(faults);
        let progress = Arc::new(Progress::default());
        let mut chunks = list(Arc::new(bucket), "", Days::default(), settings(1), Arc::clone(&progress));
        let first = chunks.recv().await.expect("an answer");
        if is_whole {
            assert_eq!(first.expect("is listed").len(), 160);
            assert_eq!(progress.counts().repeated, count);
        } else {
            assert!(matches!(first, Err(Error::List { .. })));
        }
        assert!(chunks.recv().await.is_none());
    }
}

#[tokio::test]
async fn nothing_is_listed_for_nobody() {
    let bucket = Arc::new(MemoryBucket::new(trail(&[10_000])).with_pages_of(1));
    let chunks = list(bucket.clone(), "", Days::default(), settings(2), Arc::default());
    drop(chunks);
    let mut before = 0;
    // The task ends by itself: the requests cease.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        if Arc::strong_count(&bucket) == 1 {
            return;
        }
        before = bucket.requests();
    }
    assert!(Arc::strong_count(&bucket) == 1, "still listing after {before} requests");
}

/// A bucket that is listed as the client does it: a page with a key that its paths cannot hold is an error.
#[derive(Debug)]
struct StrictBucket {
    /// In order.
    keys: Vec<String>,
    page_keys: usize,
    requests: std::sync::atomic::AtomicUsize,
}

impl StrictBucket {
    fn new(keys: &[String], page_keys: usize) -> Self {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        StrictBucket { keys, page_keys, requests: std::sync::atomic::AtomicUsize::new(0) }
    }
}

#[async_trait::async_trait]
impl PaginatedListStore for StrictBucket {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: object_store::list::PaginatedListOptions,
    ) -> object_store::Result<object_store::list::PaginatedListResult> {
        self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let prefix = prefix.unwrap_or_default();
        let mut at = self.keys.partition_point(|key| key.as_str() < prefix);
        if let Some(offset) = &options.offset {
            at = at.max(self.keys.partition_point(|key| key <= offset));
        }
        if let Some(token) = &options.page_token {
            at = token.parse().unwrap();
        }
        let most = options.max_keys.unwrap_or(1_000).min(self.page_keys);
        let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
        while let Some(key) = self.keys.get(at).filter(|key| key.starts_with(prefix)) {
            if objects.len() + prefixes.len() == most {
                break;
            }
            let end = options.delimiter.as_ref().and_then(|_| key[prefix.len()..].find('/'));
            if let Some(end) = end {
                let below = &key[..=prefix.len() + end];
                prefixes.push(below);
                at += self.keys[at..].partition_point(|key| key.starts_with(below));
            } else {
                objects.push(key);
                at += 1;
            }
        }
        let more = self.keys.get(at).is_some_and(|key| key.starts_with(prefix));
        let parse = |key: &str| object_store::path::Path::parse(key);
        let common_prefixes = prefixes.into_iter().map(parse).collect::<Result<_, _>>()?;
        let mut listed = Vec::new();
        for key in objects {
            listed.push(object_store::ObjectMeta {
                location: parse(key)?,
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size: u64::from(!key.ends_with("empty/")),
                e_tag: Some("\"e\"".to_owned()),
                version: None,
            });
        }
        let result = object_store::ListResult { common_prefixes, objects: listed };
        Ok(object_store::list::PaginatedListResult { result, page_token: more.then(|| at.to_string()) })
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_asked_for_takes_no_other_with_it() {
    let trail = "AWSLogs/000000000000/CloudTrail/eu-west-1";
    let good = trail_with_flat();
    let refused = [
        "//".to_owned(),
        "/AWSLogs/x.json".to_owned(),
        "AWSLogs//a.json".to_owned(),
        "AWSLogs//b/c.json".to_owned(),
        "AWSLogs/../a.json".to_owned(),
        format!("{trail}/2023/12//0.json.gz"),
        format!("{trail}/2023/12//1.json.gz"),
        format!("{trail}/2024/01/01/0001.json\n.gz"),
        format!("{trail}/2024/01/01/0001.json\r.gz"),
        format!("{trail}/2024/01/./x/y.json.gz"),
        format!("{trail}/2024/full/"),
    ];
    let folders = ["AWSLogs/empty/".to_owned(), format!("{trail}/2024/empty/")];
    let mut expected = [
        "/".to_owned(),
        "AWSLogs//".to_owned(),
        "AWSLogs/../".to_owned(),
        format!("{trail}/2023/12//"),
        format!("{trail}/2024/01/01/0001.json\n.gz"),
        format!("{trail}/2024/01/01/0001.json\r.gz"),
        format!("{trail}/2024/01/./"),
    ];
    expected.sort_unstable();
    let all = [&good[..], &refused, &folders].concat();
    for page_keys in [1, 2, 7, 1_000] {
        let bucket = Arc::new(StrictBucket::new(&all, page_keys));
        let mut chunks = list(bucket.clone(), "", Days::default(), settings(4), Arc::default());
        let mut found = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            found.extend(chunk.expect("is listed"));
        }
        let (mut named, mut whole): (Vec<_>, Vec<_>) = found
            .into_iter()
            .map(|found| found.key)
            // In a whole year they are shown without their slash; whoever fetches them finds nothing.
            .filter(|key| !["2024/full", "2024/full/", "2024/empty"].iter().any(|end| key.ends_with(end)))
            .partition(|key| key::path(key).is_err());
        named.sort_unstable();
        whole.sort_unstable();
        assert_eq!(named, expected, "pages of {page_keys}");
        let mut good = good.clone();
        good.sort_unstable();
        assert_eq!(whole, good, "pages of {page_keys}");
        let requests = bucket.requests.load(std::sync::atomic::Ordering::Relaxed);
        assert!(page_keys < 1_000 || requests < 400, "{requests} requests");
    }
}

/// A trail of many objects, and others in folders without a date.
fn trail_with_flat() -> Vec<String> {
    let mut keys = trail(&[25]);
    keys.extend((0..1_500).map(|number| format!("AWSLogs/other/a/b/c/d/e/f/{number:04}.json")));
    keys
}

#[tokio::test]
async fn a_flat_prefix_is_given_out_page_by_page() {
    for prefix in ["p", "AWSLogs/000000000000/CloudTrail/eu-west-1/2024"] {
        let all: Vec<String> = (0..60_000).map(|number| format!("{prefix}/{number:06}.json")).collect();
        let bucket = Arc::new(StrictBucket::new(&all, 1_000));
        let mut chunks = list(bucket.clone(), prefix, Days::default(), settings(4), Arc::default());
        let mut listed = chunks.recv().await.expect("a chunk").expect("is listed").len();
        let requests = bucket.requests.load(std::sync::atomic::Ordering::Relaxed);
        assert!(requests < 30, "{requests} requests for the first {listed} objects of `{prefix}`");
        while let Some(chunk) = chunks.recv().await {
            listed += chunk.expect("is listed").len();
        }
        assert_eq!(listed, all.len());
    }
}

#[tokio::test]
async fn prefixes_beyond_those_that_are_held_are_taken_as_they_come() {
    let mut all: Vec<String> = Vec::new();
    for number in 0..90 {
        all.push(format!("{number:02}"));
        all.extend((0..3).map(|below| format!("{number:02}/{below}/a.json")));
        all.push(format!("{number:02}/b.json"));
    }
    all.sort_unstable();
    for (page_keys, level_prefixes) in [(1, 0), (1, 10), (7, 0), (7, 30), (7, 100), (1_000, 50)] {
        let bucket = Arc::new(StrictBucket::new(&all, page_keys));
        let settings = Settings { level_prefixes, ..settings(3) };
        let mut chunks = list(bucket, "", Days::default(), settings, Arc::default());
        let mut found = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            found.extend(chunk.expect("is listed").into_iter().map(|found| found.key));
        }
        found.sort_unstable();
        assert_eq!(found, all, "pages of {page_keys}, {level_prefixes} prefixes");
    }
}
