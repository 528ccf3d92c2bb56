//! What there is to read: the files of a folder, the objects of a bucket.
//!
//! A bucket is listed by account, region and day side by side. Must never go by "the last key seen": CloudTrail
//! delivers out of order, and a key that sorts earlier can appear later.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use walkdir::WalkDir;

use super::Error;
use super::route;

/// How many prefixes are listed at once.
const LISTINGS_AT_ONCE: usize = 16;

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The key, or the absolute path of a local file.
    pub key: String,
    /// The size as stored.
    pub size_bytes: u64,
    /// The etag of the listing, without quotes; none for a local file.
    pub etag: Option<String>,
}

/// The days to read, by the date in the key; objects without one are always read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Days {
    /// The first day.
    pub since: Option<NaiveDate>,
    /// The last day, included.
    pub until: Option<NaiveDate>,
}

impl Days {
    /// Whether a key's day is among them.
    pub fn hold(self, key: &str) -> bool {
        route::by_key(key).date.is_none_or(|day| self.hold_day(day))
    }

    fn hold_day(self, day: NaiveDate) -> bool {
        self.since.is_none_or(|since| day >= since) && self.until.is_none_or(|until| day <= until)
    }

    fn is_all(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }
}

/// The files at a path: the file itself, or those below it that look like logs, in path order.
pub fn files(path: &Path, days: Days) -> Result<Vec<Found>, Error> {
    let failed = |path: &Path, source| Error::Path { path: path.to_owned(), source };
    let root = path.canonicalize().map_err(|source| failed(path, source))?;
    if root.is_file() {
        let size_bytes = root.metadata().map_err(|source| failed(&root, source))?.len();
        return Ok(vec![Found { key: key_of(&root), size_bytes, etag: None }]);
    }
    let mut found = Vec::new();
    // A folder is entered unless it is hidden or a Delta table: a lake below the logs must not be read as logs.
    let entries = WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(|entry| {
        entry.depth() == 0 || !(is_hidden(entry.path()) || entry.path().join("_delta_log").is_dir())
    });
    for entry in entries {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(&root).to_owned();
            failed(&path, error.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop of links")))
        })?;
        let key = key_of(entry.path());
        if entry.file_type().is_file() && is_log(entry.path()) && days.hold(&key) {
            let size_bytes = entry.metadata().map_err(|error| failed(entry.path(), error.into()))?.len();
            found.push(Found { key, size_bytes, etag: None });
        }
    }
    Ok(found)
}

/// Whether a file's name is that of a log: `.json`, `.log`, `.ndjson`, `.jsonl`, `.txt`, each also gzipped,
/// Parquet, or no extension.
fn is_log(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    if name.starts_with('.') {
        return false;
    }
    let name = name.strip_suffix(".gz").unwrap_or(name);
    match name.rsplit_once('.') {
        None => true,
        Some((_, extension)) => ["json", "log", "ndjson", "jsonl", "txt", "parquet"].contains(&extension),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
}

/// Names of files are bytes on Unix; a name that is not UTF-8 is kept readable rather than refused.
fn key_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The path a local key names.
pub fn local_path(key: &str) -> PathBuf {
    PathBuf::from(key)
}

/// The objects of a bucket below a prefix.
pub async fn objects(store: &Arc<dyn ObjectStore>, prefix: &str, days: Days) -> Result<Vec<Found>, Error> {
    let failed = |source| Error::List { prefix: prefix.to_owned(), source };
    let mut prefixes = vec![object_store::path::Path::from(prefix)];
    let mut found = Vec::new();
    // Down to the level of days, one delimiter at a time: `AWSLogs/o-x/account/service/region/year/month/day`.
    for _ in 0..LEVELS {
        let listings = futures::stream::iter(std::mem::take(&mut prefixes))
            .map(|prefix| async move { store.list_with_delimiter(Some(&prefix)).await })
            .buffer_unordered(LISTINGS_AT_ONCE)
            .try_collect::<Vec<_>>()
            .await
            .map_err(failed)?;
        for listing in listings {
            found.extend(
                listing
                    .objects
                    .into_iter()
                    .filter(|meta| days.hold(meta.location.as_ref()))
                    .map(found_object),
            );
            prefixes
                .extend(listing.common_prefixes.into_iter().filter(|prefix| may_hold(prefix.as_ref(), days)));
        }
        if prefixes.is_empty() {
            break;
        }
    }
    let deeper = futures::stream::iter(prefixes)
        .map(|prefix| async move { store.list(Some(&prefix)).try_collect::<Vec<_>>().await })
        .buffer_unordered(LISTINGS_AT_ONCE)
        .try_collect::<Vec<_>>()
        .await
        .map_err(failed)?;
    found.extend(
        deeper.into_iter().flatten().filter(|meta| days.hold(meta.location.as_ref())).map(found_object),
    );
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// `AWSLogs`, organization, account, service, region, year, month, day, and one for a prefix of the trail's owner.
const LEVELS: usize = 9;

fn found_object(meta: object_store::ObjectMeta) -> Found {
    let etag = meta.e_tag.map(|etag| etag.trim_matches('"').to_owned());
    Found { key: meta.location.to_string(), size_bytes: meta.size, etag }
}

/// Whether a prefix may hold keys of the days: years and months are left out whole where they can be.
fn may_hold(prefix: &str, days: Days) -> bool {
    if days.is_all() {
        return true;
    }
    let number = |text: &str, digits: usize| -> Option<u32> {
        let text = text.rsplit_once('=').map_or(text, |(_, value)| value);
        (text.len() == digits).then(|| text.parse().ok()).flatten()
    };
    let segments: Vec<&str> = prefix.split('/').collect();
    let Some(logs) = segments.iter().rposition(|segment| *segment == "AWSLogs") else { return true };
    let rest = &segments[logs + 1..];
    let Some(at) =
        rest.iter().position(|text| number(text, 4).is_some_and(|year| (2000..2100).contains(&year)))
    else {
        return true;
    };
    let year = rest.get(at).and_then(|text| number(text, 4)).and_then(|year| i32::try_from(year).ok());
    let month = rest.get(at + 1).and_then(|text| number(text, 2));
    let day = rest.get(at + 2).and_then(|text| number(text, 2));
    let Some(year) = year else { return true };
    let first = NaiveDate::from_ymd_opt(year, month.unwrap_or(1), day.unwrap_or(1));
    let last = match (month, day) {
        (Some(month), Some(day)) => NaiveDate::from_ymd_opt(year, month, day),
        (Some(month), None) => last_of_month(year, month),
        _ => NaiveDate::from_ymd_opt(year, 12, 31),
    };
    let (Some(first), Some(last)) = (first, last) else { return true };
    days.since.is_none_or(|since| last >= since) && days.until.is_none_or(|until| first <= until)
}

fn last_of_month(year: i32, month: u32) -> Option<NaiveDate> {
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    NaiveDate::from_ymd_opt(year, month, 1)?.pred_opt()
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    fn days(since: &str, until: &str) -> Days {
        Days { since: since.parse().ok(), until: until.parse().ok() }
    }

    #[tokio::test]
    async fn objects_are_selected_by_the_day_in_the_key() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for key in [
            "p/AWSLogs/o-x/111122223333/CloudTrail/us-east-1/2023/12/31/a.json.gz",
            "p/AWSLogs/o-x/111122223333/CloudTrail/us-east-1/2024/01/01/b.json.gz",
            "p/AWSLogs/o-x/111122223333/CloudTrail/eu-west-1/2024/02/29/c.json.gz",
            "p/AWSLogs/aws-account-id=1/aws-service=vpcflowlogs/aws-region=x/year=2024/month=01/day=02/hour=03/d.log.gz",
            "p/other.json",
            "q/AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/01/e.json.gz",
        ] {
            store.put(&key.into(), "x".into()).await.expect("is put");
        }
        for (since, until, expected) in [
            ("", "", "a b c d other"),
            ("2024-01-01", "", "b c d other"),
            ("", "2024-01-01", "a b other"),
            ("2024-01-01", "2024-01-31", "b d other"),
            ("2025-01-01", "", "other"),
        ] {
            let found = objects(&store, "p", days(since, until)).await.expect("is listed");
            let mut names: Vec<&str> =
                found.iter().filter_map(|f| f.key.rsplit('/').next()?.split('.').next()).collect();
            names.sort_unstable();
            assert_eq!(names.join(" "), expected, "{since}..{until}");
        }
    }

    #[test]
    fn folders_are_walked_and_lakes_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for path in [
            "b/x.json",
            "a/y.log.gz",
            "plain",
            "c.png",
            ".hidden/z.json",
            "lake/t/_delta_log/0.json",
            "lake/t/p.json",
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("is made");
            std::fs::write(path, "x").expect("is written");
        }
        let found = files(root, Days::default()).expect("is walked");
        let root = root.canonicalize().expect("exists");
        let names: Vec<_> = found
            .iter()
            .map(|f| local_path(&f.key).strip_prefix(&root).expect("is below").display().to_string())
            .collect();
        assert_eq!(names, ["a/y.log.gz", "b/x.json", "plain"]);
        files(&root.join("missing"), Days::default()).expect_err("is not there");
    }
}
