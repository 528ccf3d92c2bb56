//! What there is to read: the files of a folder, and the days that are wanted.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use walkdir::WalkDir;

use super::Error;
use super::route;

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

    /// Whether a day is among them.
    pub fn hold_day(self, day: NaiveDate) -> bool {
        self.overlap(day, day)
    }

    /// Whether any day from a first to a last one is among them.
    pub fn overlap(self, first: NaiveDate, last: NaiveDate) -> bool {
        self.since.is_none_or(|since| last >= since) && self.until.is_none_or(|until| first <= until)
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

#[cfg(test)]
mod tests {
    use super::*;

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
