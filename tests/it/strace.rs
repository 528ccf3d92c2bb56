//! What the program asks of Linux, watched and disturbed by `strace`: files reach the disk before anything is
//! acknowledged, and a call that fails leaves a lake that is whole.
//!
//! Skipped where `strace` is missing. `TRAILHOUND_STRACE=30` fails each call up to its thirtieth time in every thread,
//! with every error, instead of a few.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::daemon::{lines, trailhound};
use crate::kill::{Stage, grow_old};
use crate::moto::{Moto, REGION};
use crate::worker::cloudtrail;

fn strace_is_missing() -> bool {
    let missing = Command::new("strace").args(["-f", "true"]).stderr(Stdio::null()).status();
    let missing = !missing.is_ok_and(|status| status.success());
    if missing {
        println!("skipped: no strace here, or it may not trace");
    }
    missing
}

/// A call, when it began and when it had been answered, as line numbers of the trace.
#[derive(Debug)]
struct Call {
    began: usize,
    ended: usize,
    text: String,
}

/// The calls of a trace of several threads, in the order they began.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        if text.starts_with("<... ") {
            if let Some(call) = open.remove(thread) {
                calls[call].ended = at;
                calls[call].text += text;
            }
            continue;
        }
        if text.contains("<unfinished ...>") {
            open.insert(thread, calls.len());
        }
        let ended = if text.contains("<unfinished ...>") { usize::MAX } else { at };
        calls.push(Call { began: at, ended, text: text.to_owned() });
    }
    calls
}

/// What is between quotes in a call.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// Checks that a file was synced, then put in its place, then its directory synced; returns when that was done.
fn placed(calls: &[Call], call: &Call) -> usize {
    let names = quoted(&call.text);
    let (temporary, path) = (names[0], Path::new(names[1]));
    let syncs = |path: &str| {
        let end = format!("<{path}>");
        calls.iter().filter(move |call| call.text.starts_with("fsync(") && call.text.contains(&end))
    };
    let file = syncs(temporary).find(|sync| sync.ended < call.began);
    assert!(file.is_some(), "`{temporary}` is not synced before it is put in its place");
    let directory = path.parent().unwrap().display().to_string();
    let directory_sync = syncs(&directory).find(|sync| sync.began > call.ended);
    directory_sync.unwrap_or_else(|| panic!("`{directory}` is not synced after `{}`", path.display())).ended
}

#[tokio::test]
async fn files_and_directories_are_synced_before_messages_are_deleted() {
    if strace_is_missing() {
        return;
    }
    let moto = Moto::start();
    moto.create_bucket("logs").await;
    let (queue, arn) = moto.create_plain_queue("announcements").await;
    moto.put_bucket_notification("logs", &arn).await;
    for number in 0..3 {
        moto.put_object("logs", &format!("{number}.json"), &cloudtrail([format!("{number}")])).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let (config, trace) = (directory.path().join("trailhound.toml"), directory.path().join("trace"));
    let text = format!(
        "lake = 'lake'\n[aws]\nendpoint = '{}'\nregion = '{REGION}'\n[[source]]\nkind = 'sqs'\nqueue = '{queue}'\n\
         buckets = ['logs']\nworkers = 1\n[ingest]\nbatch_age_seconds = 1\n[detect]\nbuilt_in = false\n",
        moto.endpoint
    );
    std::fs::write(&config, text).unwrap();
    let calls = trace_until_empty(&moto, &queue, &config, &trace).await;
    let deletes = calls.iter().filter(|call| call.text.contains("AmazonSQS.DeleteMessage"));
    let last_delete = deletes.map(|call| call.began).max().expect("messages are deleted");
    let moves: Vec<&Call> = calls
        .iter()
        .filter(|call| ["rename", "link"].iter().any(|name| call.text.starts_with(name)))
        .filter(|call| call.began < last_delete && call.text.contains("/cloudtrail/"))
        .collect();
    let of = |end: &str| moves.iter().filter(|call| quoted(&call.text)[1].ends_with(end)).count();
    assert!(of(".parquet") >= 1 && of(".json") >= 2, "{moves:#?}");
    for call in &moves {
        let done = placed(&calls, call);
        assert!(done < last_delete, "a message is deleted before this was on disk: {call:?}");
    }
    println!("{} files of `cloudtrail` were on disk before the last message was deleted", moves.len());
}

/// A large file is written part by part, and a checkpoint as one: no commit may name what could still vanish.
#[tokio::test]
async fn files_of_compaction_are_synced_before_they_can_be_seen() {
    if strace_is_missing() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (config, trace) = (directory.path().join("trailhound.toml"), directory.path().join("trace"));
    std::fs::write(&config, "lake = 'lake'\n[maintain]\nclosed_after_seconds = 0\n").unwrap();
    for number in 0..2 {
        let object = directory.path().join(format!("{number}.json"));
        let content = String::from_utf8(cloudtrail([format!("{number}")])).unwrap();
        std::fs::write(&object, content.replace("2026-03-10T", "2024-03-10T")).unwrap();
        let done = trailhound(&config).arg("ingest").arg(&object).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let plain = trailhound(&config);
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-y", "-o"])
        .arg(&trace)
        .args(["-e", "trace=fsync,rename,renameat,renameat2,link,linkat"]);
    traced.arg(plain.get_program()).args(plain.get_args()).args(["lake", "compact"]);
    let done = traced.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let trace = std::fs::read_to_string(&trace).unwrap();
    let calls = calls(&trace);
    let is_move = |call: &&Call| ["rename", "link"].iter().any(|name| call.text.starts_with(name));
    let mut moves = calls.iter().filter(is_move).filter(|call| call.text.contains("/cloudtrail/"));
    let compacted = moves.find(|call| call.text.contains("/compact-")).expect("a file is placed");
    let commit = moves.find(|call| call.text.contains("/_delta_log/")).expect("is committed");
    assert!(placed(&calls, compacted) < commit.began, "it is named before it is on disk: {commit:?}");
}

/// A version of the log may be seen although its directory was never synced: whoever relies on it syncs it first.
#[tokio::test]
async fn what_another_placed_is_synced_before_it_is_relied_on() {
    if strace_is_missing() {
        return;
    }
    let mut stage = Stage::new(false).await;
    grow_old(&stage, 0).await;
    stage.send(1, &mut StdRng::seed_from_u64(1)).await;
    // The second file is the log's: it is in its place, and the process ends.
    let mut process = stage.start(Some(("file_placed", 2)));
    let started = Instant::now();
    while !process.has_aborted() {
        assert!(started.elapsed() < Duration::from_mins(2), "it does not end: {}", stage.told());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.moto.advance(Duration::from_mins(10));
    let trace = stage.directory.path().join("trace");
    let calls = trace_until_empty(&stage.moto, &stage.queue.url, &stage.config, &trace).await;
    let first = |what: &[&str]| calls.iter().find(|call| what.iter().all(|what| call.text.contains(what)));
    let delete = first(&["AmazonSQS.DeleteMessage"]).expect("the message is deleted");
    assert!(first(&["link", "/cloudtrail/_delta_log/"]).is_none(), "the version is there already");
    let sync = first(&["fsync(", "/cloudtrail/_delta_log>"]).expect("the log is synced");
    assert!(sync.ended < delete.began, "{sync:?}\n{delete:?}");
}

/// What a daemon asks of the system until the queue is empty.
async fn trace_until_empty(moto: &Moto, queue: &str, config: &Path, trace: &Path) -> Vec<Call> {
    let traced = "trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2,write,writev,sendto,sendmsg";
    let mut daemon =
        traced_by(&["-y", "-s", "1000", "-e", traced], trace, config).arg("run").spawn().unwrap();
    let started = Instant::now();
    while moto.queue_counts(queue).await != (0, 0) {
        assert!(started.elapsed() < Duration::from_mins(2), "it does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    end_of_the_traced(trace);
    calls(&std::fs::read_to_string(trace).unwrap())
}

/// The program under `strace`.
fn traced_by(options: &[&str], trace: &Path, config: &Path) -> Command {
    let program = trailhound(config);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o"])
        .arg(trace)
        .args(options)
        .arg(program.get_program())
        .args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A killed `strace` lets go of the program, which then goes on: it is the thread of the first line.
fn end_of_the_traced(trace: &Path) {
    let text = std::fs::read_to_string(trace).unwrap();
    let process = text.split_whitespace().next().expect("a trace");
    let _ = Command::new("kill").args(["-9", process]).stderr(Stdio::null()).status();
}

/// Objects in a folder, a configuration, and a lake that is not there yet.
struct Folder {
    directory: tempfile::TempDir,
    config: PathBuf,
}

const OBJECTS: usize = 4;

impl Folder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        for number in 0..OBJECTS {
            let events = cloudtrail((0..2).map(|event| format!("{number}-{event}")));
            std::fs::write(logs.join(format!("{number}.json")), events).unwrap();
        }
        let config = directory.path().join("trailhound.toml");
        std::fs::write(&config, "lake = 'lake'\n").unwrap();
        Folder { directory, config }
    }

    fn ingest(&self, injected: Option<&str>) -> Output {
        let logs = self.directory.path().join("logs");
        let mut command = match injected {
            None => trailhound(&self.config),
            Some(fault) => traced_by(&["-e", fault], &self.directory.path().join("trace"), &self.config),
        };
        command.arg("ingest").arg(logs).output().unwrap()
    }

    /// A run that may write no file larger than so many kilobytes.
    fn ingest_small(&self, kilobytes: u32) -> Output {
        let program = trailhound(&self.config);
        let mut command = Command::new("bash");
        // Without the signal, the call fails as it does on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(program.get_program()).args(program.get_args());
        command.env_remove("TRAILHOUND_LAKE").stdin(Stdio::null());
        command.arg("ingest").arg(self.directory.path().join("logs")).output().unwrap()
    }

    /// After a run in which something failed, one in which nothing does.
    fn check(&self, fault: &str, disturbed: &Output) -> bool {
        let told = String::from_utf8_lossy(&disturbed.stderr).into_owned();
        let code = disturbed.status.code();
        let unloaded = code == Some(127) && told.contains("shared libraries");
        assert!(unloaded || code.is_some_and(|code| code < 100), "{fault}: {:?} {told}", disturbed.status);
        assert!(code == Some(0) || !told.is_empty(), "{fault}: it failed without a word");
        let clean = self.ingest(None);
        assert!(clean.status.success(), "{fault}: {told}\n{}", String::from_utf8_lossy(&clean.stderr));
        let sql =
            "select count(*) as n, count(distinct source_object || '/' || source_row) as d from cloudtrail";
        let counts = lines(&self.config, sql).remove(0);
        assert_eq!(
            (&counts["n"], &counts["d"]),
            (&json!(2 * OBJECTS), &json!(2 * OBJECTS)),
            "{fault}: {told}"
        );
        code != Some(0)
    }
}

#[test]
fn a_call_that_fails_leaves_a_lake_that_is_whole() {
    if strace_is_missing() {
        return;
    }
    let full = std::env::var("TRAILHOUND_STRACE").ok().map(|text| text.parse::<u32>().expect("a number"));
    let errors: &[&str] = if full.is_some() { &["ENOSPC", "EIO", "EROFS", "EMFILE"] } else { &["ENOSPC"] };
    for call in ["fsync", "linkat", "rename", "mkdir", "openat"] {
        for error in errors {
            let (mut runs, mut failed) = (0, 0);
            let (first, last) = match (full, call) {
                (Some(most), _) => (1, most),
                // The first files that are opened are those of the program itself.
                (None, "openat") => (30, 30),
                (None, _) => (1, 1),
            };
            for when in first..=last {
                let fault = format!("inject={call}:error={error}:when={when}");
                runs += 1;
                let folder = Folder::new();
                failed += u32::from(folder.check(&fault, &folder.ingest(Some(&fault))));
            }
            println!(
                "{call} with {error}: {runs} runs, {failed} failed and said so, all whole after the next"
            );
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_whole_leaves_a_lake_that_is_whole() {
    let full = std::env::var("TRAILHOUND_STRACE").is_ok();
    let sizes: &[u32] = if full { &[0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32] } else { &[2, 12] };
    let mut failed = 0;
    for kilobytes in sizes {
        let folder = Folder::new();
        let told = format!("files of at most {kilobytes} kB");
        failed += u32::from(folder.check(&told, &folder.ingest_small(*kilobytes)));
    }
    assert!(failed > 0, "no size was too small");
    println!(
        "write with EFBIG: {} sizes, {failed} failed and said so, all whole after the next",
        sizes.len()
    );
}
