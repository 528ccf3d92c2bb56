//! Alerts appended to a file, one JSON object per line, for whatever ships or tails files.
//!
//! Must never say an alert is delivered before it is on the disk, and must never write through a symbolic link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Error, Sink};
use crate::alert::Alert;

/// Appends alerts to a file.
///
/// A line has the fields of [`Alert`]. A new file is readable by its owner only; an existing one keeps its mode.
/// The file is opened for every alert, so it may be moved away by a log rotator at any time. An alert that is
/// tried again after a crash can be there twice: the `alert_id` tells. A last line that a crash cut short is ended
/// before the next alert, so at most that one line does not parse.
#[derive(Debug, Clone)]
pub struct JsonLinesSink {
    name: String,
    file: Arc<Mutex<PathBuf>>,
}

impl JsonLinesSink {
    /// A sink named `name` that appends to the file at `path`, which is created if it is not there.
    pub fn open(name: impl Into<String>, path: impl Into<PathBuf>) -> Result<JsonLinesSink, Error> {
        let (name, path) = (name.into(), path.into());
        match open_for_append(&path) {
            Ok(_) => Ok(JsonLinesSink { name, file: Arc::new(Mutex::new(path)) }),
            Err(error) => Err(Error::Configuration {
                sink: name,
                reason: format!("cannot open `{}` for appending", path.display()),
                source: Some(error.into()),
            }),
        }
    }
}

#[async_trait]
impl Sink for JsonLinesSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&self, alert: &Alert) -> Result<(), Error> {
        let retry = |reason: &str, source: super::Cause| Error::Retry {
            sink: self.name.clone(),
            reason: reason.to_string(),
            after: None,
            source: Some(source),
        };
        let mut line =
            serde_json::to_vec(alert).map_err(|error| retry("cannot write it as JSON", error.into()))?;
        line.push(b'\n');
        let file = Arc::clone(&self.file);
        let appended = tokio::task::spawn_blocking(move || {
            // One alert at a time: between looking at the last line and writing the next nobody else may write.
            let path = file.lock().unwrap_or_else(PoisonError::into_inner);
            append(&path, &line)
        });
        match appended.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(Error::Refused { sink: self.name.clone(), reason: error.to_string() })
            }
            Ok(Err(error)) => Err(retry("cannot append to the file", error.into())),
            Err(error) => Err(retry("the write was cut off", error.into())),
        }
    }
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = open_for_append(path)?;
    // One write for the whole line: other processes that append to the file do not land inside it.
    if last_byte(&mut file)?.is_none_or(|byte| byte == b'\n') {
        file.write_all(line)?;
    } else {
        file.write_all(&[b"\n", line].concat())?;
    }
    file.sync_all()
}

fn last_byte(file: &mut File) -> io::Result<Option<u8>> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(Some(byte[0]))
}

/// Opens the file, or creates it and makes its name durable.
///
/// The standard library has no `O_NOFOLLOW`. Instead: creating is exclusive, which follows no link; an existing
/// file is looked at before it is opened (opening a pipe would wait for its reader), and looked at again after, to
/// see that the name still means the very file that was opened.
fn open_for_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            sync_folder_of(path)?;
            return Ok(file);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    require_regular(path, &fs::symlink_metadata(path)?)?;
    let file = options.open(path)?;
    let found = fs::symlink_metadata(path)?;
    require_regular(path, &found)?;
    if !same_file(&found, &file.metadata()?) {
        return Err(io::Error::other(format!("`{}` was replaced while it was opened", path.display())));
    }
    Ok(file)
}

fn require_regular(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let text = format!("`{}` is not a regular file", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

#[cfg(unix)]
fn same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true // no file identity here; links were refused before
}

#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(()) // folders cannot be opened here
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::sinks::tests::{alert, chain};

    #[tokio::test]
    async fn appends_one_line_per_alert() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let sink = JsonLinesSink::open("file", &path).unwrap();
        assert_eq!(sink.name(), "file");
        assert_eq!(fs::read(&path).unwrap(), b"");

        let first = alert();
        let second = Alert { title: "line\nfeed".into(), ..alert() };
        sink.deliver(&first).await.unwrap();
        sink.deliver(&second).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let read: Vec<Alert> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [first, second]);
        assert!(text.ends_with('\n'));
    }

    #[tokio::test]
    async fn lines_of_alerts_delivered_together_stay_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let sink = JsonLinesSink::open("file", &path).unwrap();
        let alerts: Vec<Alert> = (0..50).map(|n| Alert { event_count: n, ..alert() }).collect();
        futures::future::try_join_all(alerts.iter().map(|alert| sink.deliver(alert))).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let mut counts: Vec<i64> =
            text.lines().map(|line| serde_json::from_str::<Alert>(line).unwrap().event_count).collect();
        counts.sort_unstable();
        assert_eq!(counts, (0..50).collect::<Vec<i64>>());
    }

    #[tokio::test]
    async fn ends_a_line_that_a_crash_cut_short() {
        let check = async |before: &str, between: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("alerts.jsonl");
            fs::write(&path, before).unwrap();
            JsonLinesSink::open("file", &path).unwrap().deliver(&alert()).await.unwrap();
            let line = serde_json::to_string(&alert()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{before}{between}{line}\n"));
        };
        check("", "").await;
        check("{}\n", "").await;
        check("{\"alert_id\":\"01", "\n").await;
    }

    #[tokio::test]
    async fn follows_a_rotated_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let sink = JsonLinesSink::open("file", &path).unwrap();
        sink.deliver(&alert()).await.unwrap();
        fs::rename(&path, folder.path().join("alerts.jsonl.1")).unwrap();
        sink.deliver(&alert()).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_new_file_is_its_owners_and_an_old_one_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let sink = JsonLinesSink::open("file", &path).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        sink.deliver(&alert()).await.unwrap();
        assert_eq!(mode(), 0o640);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn refuses_what_is_not_a_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "untouched").unwrap();
        let path = folder.path().join("alerts.jsonl");
        let sink = JsonLinesSink::open("file", &path).unwrap();

        for link_to in [target.clone(), folder.path().join("nowhere")] {
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&link_to, &path).unwrap();
            let error = sink.deliver(&alert()).await.unwrap_err();
            assert!(matches!(&error, Error::Refused { sink, .. } if sink == "file"), "{error}");
            let error = JsonLinesSink::open("file", &path).unwrap_err();
            let text = format!(
                "sink `file` cannot be used: cannot open `{0}` for appending: `{0}` is not a regular file",
                path.display()
            );
            assert_eq!(chain(&error), text);
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
        assert!(!folder.path().join("nowhere").exists());
        assert!(matches!(JsonLinesSink::open("file", folder.path()), Err(Error::Configuration { .. })));
    }

    #[tokio::test]
    async fn a_folder_that_went_away_is_worth_a_retry() {
        let folder = tempfile::tempdir().unwrap();
        let sink = JsonLinesSink::open("file", folder.path().join("alerts.jsonl")).unwrap();
        folder.close().unwrap();
        let error = sink.deliver(&alert()).await.unwrap_err();
        assert!(matches!(error, Error::Retry { after: None, source: Some(_), .. }), "{error}");
    }
}
