//! What there is to read: the files of a folder, and the days that are wanted.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use rayon::prelude::*;
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

/// What there is at a path.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files that look like logs, in path order.
    pub found: Vec<Found>,
    /// What could not be looked into and is left out.
    pub skipped: Vec<Skipped>,
    /// How many files have names that no log has, by how these end: `.csv`; `others` for what is no usual end.
    pub left_out: BTreeMap<String, usize>,
}

/// A file or folder that cannot be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// The days to read, by the date in the key; objects without one are always read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Days {
    /// The first day.
    pub since: Option<NaiveDate>,
    /// The last day, included.
    pub until: Option<NaiveDate>,
}

impl Days {
    /// Whether a key's day is among them.
    pub fn hold(self, key: &str) -> bool {
        (self.since.is_none() && self.until.is_none())
            || route::by_key(key).date.is_none_or(|day| self.hold_day(day))
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

/// The files at a path: the file itself, or those below it that look like logs. What cannot be looked into below a
/// folder keeps nothing else from being found; what vanishes meanwhile is not there.
pub fn files(path: &Path, days: Days) -> Result<Listing, Error> {
    let failed = |path: &Path, source| Error::Path { path: path.to_owned(), source };
    let root = path.canonicalize().map_err(|source| failed(path, source))?;
    if root.ancestors().any(is_table) {
        let what = "it is of a Delta table, whose rows would be there twice";
        return Err(failed(path, std::io::Error::other(what)));
    }
    if root.is_file() {
        let size_bytes = root.metadata().map_err(|source| failed(&root, source))?.len();
        let found = Found { key: key_of(&root), size_bytes, etag: None };
        let found = Some(found).filter(|found| days.hold(&found.key));
        return Ok(Listing { found: found.into_iter().collect(), ..Listing::default() });
    }
    let (mut listing, mut keys) = (Listing::default(), Vec::new());
    // Entries of one folder are compared: their paths differ in their names. Asked for in each comparison, names took a
    // fifth of the time.
    let name_order = |one: &walkdir::DirEntry, other: &walkdir::DirEntry| {
        one.path().as_os_str().cmp(other.path().as_os_str())
    };
    // A folder is entered unless it is hidden or a Delta table: a lake below the logs must not be read as logs.
    let mut entries = WalkDir::new(&root).sort_by(name_order).into_iter().filter_entry(|entry| {
        let is_lake = || entry.file_type().is_dir() && is_table(entry.path());
        entry.depth() == 0 || !(is_hidden(entry.file_name()) || is_lake())
    });
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) if entry.file_type().is_dir() && entry.path().to_str().is_none() => {
                listing.skip(entry.path(), NOT_UTF8);
                entries.skip_current_dir();
            }
            Ok(entry) if entry.path_is_symlink() && entry.path().is_dir() => {
                listing.skip(entry.path(), LINKED);
            }
            Ok(entry) if is_log(entry.file_name()) => {
                if is_file(&entry) {
                    match entry.path().to_str() {
                        Some(key) if days.hold(key) => keys.push(key.to_owned()),
                        Some(_) => {}
                        None => listing.skip(entry.path(), NOT_UTF8),
                    }
                }
            }
            Ok(entry) if is_file(&entry) => listing.leave_out(entry.file_name()),
            Ok(_) => {}
            Err(error) => {
                let (depth, path) = (error.depth(), error.path().unwrap_or(&root).to_owned());
                let no_cause = || std::io::Error::other("it cannot be looked into");
                let source = error.into_io_error().unwrap_or_else(no_cause);
                if depth == 0 {
                    return Err(failed(&path, source));
                }
                listing.skip_unless_gone(&path, &source);
            }
        }
    }
    listing.measure(keys);
    Ok(listing)
}

/// Ends of names are told apart up to this length, and this many of them.
const MAX_END_BYTES: usize = 16;
const MAX_ENDS: usize = 100;

/// Why a path is left out whose name no key can be made of.
const NOT_UTF8: &str = "its name is not UTF-8";

/// Why a link is left out: following it may never end, or read the same again.
const LINKED: &str = "a link to a folder, which is read only where it is named itself";

/// Whether a folder is that of a Delta table.
fn is_table(folder: &Path) -> bool {
    folder.join("_delta_log").is_dir()
}

impl Listing {
    /// Adds files with their sizes, which are asked for side by side: that takes longer than finding the files.
    fn measure(&mut self, keys: Vec<String>) {
        let sized = |key: String| {
            let size_bytes = Path::new(&key).metadata().map(|metadata| metadata.len());
            (key, size_bytes)
        };
        let sized: Vec<(String, std::io::Result<u64>)> = keys.into_par_iter().map(sized).collect();
        self.found.reserve_exact(sized.len());
        for (key, size_bytes) in sized {
            match size_bytes {
                Ok(size_bytes) => self.found.push(Found { key, size_bytes, etag: None }),
                Err(error) => self.skip_unless_gone(Path::new(&key), &error),
            }
        }
    }

    fn leave_out(&mut self, name: &OsStr) {
        let name = name.to_string_lossy().to_ascii_lowercase();
        let whole = unzipped(&name);
        let is_usual =
            |end: &&str| (1..=MAX_END_BYTES).contains(&end.len()) && !end.contains(char::is_control);
        let end = whole.rsplit_once('.').map(|(_, end)| end).filter(is_usual);
        let end = end.map(|end| format!(".{end}{}", &name[whole.len()..]));
        let known = end.filter(|end| self.left_out.contains_key(end) || self.left_out.len() < MAX_ENDS);
        *self.left_out.entry(known.unwrap_or_else(|| "others".to_owned())).or_default() += 1;
    }

    pub(super) fn skip_unless_gone(&mut self, path: &Path, error: &std::io::Error) {
        if error.kind() != std::io::ErrorKind::NotFound {
            self.skip(path, &error.to_string());
        }
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        self.skipped.push(Skipped { path: path.to_owned(), reason: reason.to_owned() });
    }
}

/// Whether a file's name may be that of a log: `.json`, `.log`, `.ndjson`, `.jsonl`, `.txt`, `.cloudtrail`, each also
/// gzipped, Parquet, or no extension but a number, or what has a hyphen, as days and the names of streams have. Copies
/// that editors and browsers make, as `a.json~`, are none: their rows would be there twice. Hidden files are left out
/// before.
fn is_log(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    match unzipped(&name).rsplit_once('.') {
        None => true,
        Some((_, end)) => {
            let is_of_name = end.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && (end.contains('-') || end.bytes().all(|byte| byte.is_ascii_digit()));
            is_of_name || ["json", "log", "ndjson", "jsonl", "txt", "cloudtrail", "parquet"].contains(&end)
        }
    }
}

/// A name without what says that the file is gzipped.
fn unzipped(name: &str) -> &str {
    [".gz", ".gzip"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Whether an entry is a file, or a link to one.
fn is_file(entry: &walkdir::DirEntry) -> bool {
    let kind = entry.file_type();
    kind.is_file() || (kind.is_symlink() && entry.path().is_file())
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// The key of a file that was named itself. Names of files are bytes on Unix: where one is not UTF-8, the file is then not
/// found, and what is told is readable.
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
    fn names_of_logs_are_told_from_others() {
        for (name, expected) in [
            ("a.json", true),
            ("B.JSON", true),
            ("a.LOG.GZ", true),
            ("a.json.gzip", true),
            ("a.snappy.parquet", true),
            ("plain", true),
            ("my.stream-1-2026-03-10-12-00-00-4f0c", true),
            ("my.stream-1-2026-03-10-12-00-00-4f0c.gz", true),
            ("flow.log.1", true),
            ("flow.log-20260310", true),
            ("aws.json.cloudtrail", true),
            ("a.png", false),
            ("logs.tar.gz", false),
            ("a.json~", false),
            ("a.json (1)", false),
            ("song.mp3", false),
        ] {
            assert_eq!(is_log(OsStr::new(name)), expected, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_to_files_are_followed_and_those_to_folders_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let (logs, elsewhere) = (directory.path().join("logs"), directory.path().join("elsewhere"));
        for folder in [&logs, &elsewhere] {
            std::fs::create_dir(folder).expect("is made");
        }
        std::fs::write(elsewhere.join("a.json"), "x").expect("is written");
        let link =
            |to: &Path, name: &str| std::os::unix::fs::symlink(to, logs.join(name)).expect("is linked");
        link(&elsewhere.join("a.json"), "b.json");
        link(&elsewhere, "c");
        link(&elsewhere.join("gone"), "d.json");
        let listing = files(&logs, Days::default()).expect("is listed");
        let found: Vec<(&str, u64)> = listing
            .found
            .iter()
            .map(|found| (found.key.rsplit('/').next().unwrap_or_default(), found.size_bytes))
            .collect();
        assert_eq!(found, [("b.json", 1)]);
        // One that leads to a folder is told, since what is there is not read.
        let skipped: Vec<_> =
            listing.skipped.iter().map(|s| (s.path.file_name(), s.reason.as_str())).collect();
        assert_eq!(skipped, [(Some(OsStr::new("c")), LINKED)]);
        assert_eq!(files(&logs.join("c"), Days::default()).expect("is listed").found.len(), 1);
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
        let found = files(root, Days::default()).expect("is walked").found;
        let root = root.canonicalize().expect("exists");
        let names: Vec<_> = found
            .iter()
            .map(|f| local_path(&f.key).strip_prefix(&root).expect("is below").display().to_string())
            .collect();
        assert_eq!(names, ["a/y.log.gz", "b/x.json", "plain"]);
        files(&root.join("missing"), Days::default()).expect_err("is not there");
        for of_table in ["lake/t", "lake/t/_delta_log", "lake/t/p.json"] {
            files(&root.join(of_table), Days::default()).expect_err(of_table);
        }
        assert_eq!(files(&root.join("lake"), Days::default()).expect("is walked").found, []);
    }

    #[test]
    fn days_hold_for_a_file_that_is_named_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json");
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("is made");
        std::fs::write(&file, "x").expect("is written");
        for (since, count) in [(9, 1), (10, 1), (11, 0)] {
            let days = Days { since: NaiveDate::from_ymd_opt(2026, 3, since), until: None };
            assert_eq!(files(&file, days).expect("is listed").found.len(), count, "{since}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_looked_into_is_named_and_keeps_nothing_from_being_found() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("exists");
        let odd = |name: &[u8]| root.join(OsStr::from_bytes(name));
        for path in [root.join("a.json"), root.join("z.json"), odd(b"b\xff.json"), odd(b"b\xff.png")] {
            std::fs::write(path, "x").expect("is written");
        }
        std::fs::create_dir(odd(b"c\xff")).expect("is made");
        std::fs::write(odd(b"c\xff").join("in.json"), "x").expect("is written");
        // Two halves of a path that is too long for the system when they are put together.
        let half = |name: &str| (0..12).fold(root.join(name), |path, _| path.join("d".repeat(200)));
        for name in ["long", "longer"] {
            std::fs::create_dir_all(half(name)).expect("is made");
        }
        std::fs::rename(root.join("longer"), half("long").join("longer")).expect("is moved");
        let listing = files(&root, Days::default()).expect("is walked");
        let found: Vec<_> = listing.found.iter().map(|found| Path::new(&found.key).file_name()).collect();
        assert_eq!(found, [Some(OsStr::new("a.json")), Some(OsStr::new("z.json"))]);
        let reasons: Vec<&str> = listing.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
        assert_eq!(reasons, [NOT_UTF8, NOT_UTF8, "File name too long (os error 36)"]);
        assert_eq!(listing.skipped[0].path, odd(b"b\xff.json"));
        assert_eq!(listing.skipped[1].path, odd(b"c\xff"));
    }
}
