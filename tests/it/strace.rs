//! What the program asks of Linux, watched and disturbed by `strace`: files reach the disk before anything is
//! acknowledged, and a call that fails leaves a lake that is whole.
//!
//! Skipped where `strace` is missing. `TRAILHOUND_STRACE=30` fails each call at its first to its thirtieth time in every
//! thread, with every error, instead of a few; `TRAILHOUND_STRACE=all` at every time there is.

use std::collections::HashMap;
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::daemon::{lines, trailhound};
use crate::interop;
use crate::kill::{self, Stage, grow_old};
use crate::moto::{self, Moto, REGION};
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

/// What is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Ingest,
    Compact,
}

/// Objects in folders, a configuration, and a lake: not there yet when it is to be loaded, of two loads when it is to be
/// compacted.
struct Folder {
    directory: tempfile::TempDir,
    verb: Verb,
}

/// How a lake is.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Not there, or not all of its tables.
    Missing,
    /// Sound, with so many rows.
    Sound(i64),
}

const OBJECTS: usize = 4;
/// Two of each object.
const ROWS: i64 = 8;

impl Folder {
    fn new(verb: Verb) -> Self {
        let folder = Folder { directory: tempfile::tempdir().unwrap(), verb };
        for number in 0..OBJECTS {
            let logs = folder.path(&format!("logs/{}", number % 2));
            std::fs::create_dir_all(&logs).unwrap();
            let events = cloudtrail((0..2).map(|event| format!("{number}-{event}")));
            std::fs::write(logs.join(format!("{number}.json")), events).unwrap();
        }
        std::fs::write(folder.config(), "lake = 'lake'\n").unwrap();
        if verb == Verb::Compact {
            for part in ["logs/0", "logs/1"] {
                let output =
                    trailhound(&folder.config()).arg("ingest").arg(folder.path(part)).output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
        }
        folder
    }

    /// Another folder with the same in it.
    fn copy(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for entry in walkdir::WalkDir::new(self.directory.path()).min_depth(1) {
            let entry = entry.unwrap();
            let to = directory.path().join(entry.path().strip_prefix(self.directory.path()).unwrap());
            if entry.file_type().is_dir() {
                std::fs::create_dir(to).unwrap();
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
        Folder { directory, verb: self.verb }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("trailhound.toml")
    }

    fn arguments(&self) -> Vec<String> {
        match self.verb {
            Verb::Ingest => vec!["ingest".to_owned(), self.path("logs").display().to_string()],
            Verb::Compact => vec!["lake".to_owned(), "compact".to_owned()],
        }
    }

    /// A run in which nothing fails.
    fn run(&self) -> Output {
        trailhound(&self.config()).args(self.arguments()).output().unwrap()
    }

    /// A run in which calls fail; returns those that did, too.
    fn disturbed(&self, calls: &str, error: &str, when: u32) -> (Output, Vec<String>) {
        let trace = self.path("trace");
        let (traced, fault) = (format!("trace={calls}"), format!("inject={calls}:error={error}:when={when}"));
        let options = ["--seccomp-bpf", "-y", "-s", "1", "-e", &traced, "-e", &fault];
        let output = traced_by(&options, &trace, &self.config()).args(self.arguments()).output().unwrap();
        let text = std::fs::read(&trace).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = text.unwrap_or_default();
        (output, text.lines().filter(|line| line.contains("(INJECTED)")).map(str::to_owned).collect())
    }

    /// A run that may write no file larger than so many kilobytes.
    fn run_small(&self, kilobytes: u32) -> Output {
        let program = trailhound(&self.config());
        let mut command = Command::new("bash");
        // Without the signal, the call fails as it does on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(program.get_program()).args(program.get_args());
        command.env_remove("TRAILHOUND_LAKE").stdin(Stdio::null()).args(self.arguments()).output().unwrap()
    }

    /// Proves the lake whole by the program, and reads it by the Python package `deltalake`.
    fn look(&self, told: &str, python: Option<&Path>) -> Look {
        let check = trailhound(&self.config()).args(["lake", "check"]).output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        if said.contains("no lake at") {
            return Look::Missing;
        }
        let found = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success(), "{told}: `lake check` finds {found} {said}");
        let sql =
            "select count(*) as n, count(distinct source_object || '/' || source_row) as d from cloudtrail";
        let counts = lines(&self.config(), sql).remove(0);
        assert_eq!(counts["n"], counts["d"], "{told}");
        let rows = counts["n"].as_i64().unwrap();
        if let Some(python) = python {
            let read = kill::read_by_python(python, &self.path("lake").display().to_string(), "");
            assert!(read.starts_with(&format!("cloudtrail {rows} {rows}\n")), "{told}: {read}");
        }
        Look::Sound(rows)
    }
}

/// What became of the runs of a sweep.
#[derive(Debug, Default)]
struct Sweep {
    runs: u32,
    said: u32,
    whole_at_once: u32,
    whole_after_next: u32,
}

impl Sweep {
    /// Looks at the lake after a run in which something failed, and after one in which nothing does.
    fn note(&mut self, folder: &Folder, told: &str, disturbed: &Output, python: Option<&Path>) {
        self.runs += 1;
        let said = String::from_utf8_lossy(&disturbed.stderr);
        let code = disturbed.status.code();
        let unloaded = code == Some(127) && said.contains("shared libraries");
        assert!(unloaded || code.is_some_and(|code| code < 100), "{told}: {} {said}", disturbed.status);
        assert!(code == Some(0) || !said.trim().is_empty(), "{told}: it failed without a word");
        self.said += u32::from(code != Some(0));
        let whole = Look::Sound(ROWS);
        let after = folder.look(told, python);
        let whole_at_once = code == Some(0) && after == whole;
        assert!(code != Some(0) || whole_at_once, "{told}: it said that all is well: {after:?}");
        self.whole_at_once += u32::from(whole_at_once);
        let next = folder.run();
        assert!(next.status.success(), "{told}: {said}\n{}", String::from_utf8_lossy(&next.stderr));
        assert_eq!(folder.look(told, python), whole, "{told}: {said}");
        self.whole_after_next += 1;
    }

    fn print(&self, verb: Verb, call: &str, error: &str) {
        let Sweep { runs, said, whole_at_once, whole_after_next } = self;
        println!("| {verb:?} | {call} | {error} | {runs} | {said} | {whole_at_once} | {whole_after_next} |");
    }
}

/// Calls that change or open files, and what they may fail with.
///
/// Writes are not among them: those by which threads wake each other never fail for want of room, and cannot be told
/// from those to files. For writes there are files and disks that are full.
const FAULTS: [(&str, &str, &[&str]); 6] = [
    ("sync", "fsync,fdatasync", &["EIO", "ENOSPC"]),
    ("link", "?link,linkat", &["ENOSPC", "EIO", "EROFS"]),
    ("rename", "?rename,?renameat,renameat2", &["ENOSPC", "EIO", "EROFS"]),
    ("mkdir", "?mkdir,mkdirat", &["ENOSPC", "EIO", "EROFS"]),
    ("open", "?open,openat", &["EMFILE", "ENOSPC", "EIO", "EROFS"]),
    ("unlink", "?unlink,unlinkat", &["EIO", "EROFS"]),
];

/// At which times a call fails.
fn times(wanted: Option<&str>, call: &str) -> RangeInclusive<u32> {
    match (wanted, call) {
        (Some("all"), _) => 1..=10_000,
        (Some(number), _) => 1..=number.parse().expect("a number, or `all`"),
        // The first files that are opened are those of the program itself.
        (None, "open") => 30..=30,
        (None, _) => 1..=1,
    }
}

fn sweep(verb: Verb) {
    if strace_is_missing() {
        return;
    }
    let wanted = std::env::var("TRAILHOUND_STRACE").ok();
    let only = std::env::var("TRAILHOUND_STRACE_CALL").ok();
    let python = wanted.as_ref().map(|_| moto::python_with(&interop::PACKAGES));
    let template = Folder::new(verb);
    println!("| of | call | error | runs | said so | whole at once | whole after the next |");
    println!("|---|---|---|---|---|---|---|");
    for (call, calls, errors) in
        FAULTS.iter().filter(|fault| only.as_deref().is_none_or(|only| only == fault.0))
    {
        let errors = if wanted.is_some() { errors } else { &errors[..1] };
        for error in errors {
            let mut sweep = Sweep::default();
            let mut missed = 0;
            for when in times(wanted.as_deref(), call) {
                let folder = template.copy();
                let (output, injected) = folder.disturbed(calls, error, when);
                if injected.is_empty() {
                    missed += 1;
                    // Threads share the work as it comes: another run may go further than this one.
                    if missed == 3 {
                        break;
                    }
                    continue;
                }
                missed = 0;
                let told = format!("{verb:?} with {call} and {error} at {when}: {injected:?}");
                sweep.note(&folder, &told, &output, python.as_deref());
            }
            sweep.print(verb, call, error);
            assert_eq!(sweep.runs, sweep.whole_after_next);
        }
    }
}

#[test]
fn a_call_that_fails_in_a_load_leaves_a_lake_that_is_whole() {
    sweep(Verb::Ingest);
}

#[test]
fn a_call_that_fails_in_compaction_leaves_a_lake_that_is_whole() {
    sweep(Verb::Compact);
}

#[test]
fn a_file_that_cannot_be_written_whole_leaves_a_lake_that_is_whole() {
    let full = std::env::var("TRAILHOUND_STRACE").is_ok();
    let sizes: &[u32] = if full { &[0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32] } else { &[2, 12] };
    for verb in [Verb::Ingest, Verb::Compact] {
        let template = Folder::new(verb);
        let mut sweep = Sweep::default();
        for kilobytes in sizes {
            let folder = template.copy();
            let told = format!("{verb:?} with files of at most {kilobytes} kB");
            sweep.note(&folder, &told, &folder.run_small(*kilobytes), None);
        }
        assert!(sweep.said > 0, "no size was too small");
        sweep.print(verb, "write", "EFBIG");
    }
}

/// A lake on a disk of so many kilobytes, which then gets larger.
const ON_A_SMALL_DISK: &str = r#"
lake=$1; size=$2; shift 2
mkdir -p "$lake" && mount -t tmpfs -o size="${size}k" none "$lake" || exit 99
"$@" ingest "$(dirname "$lake")/logs" 2>"$lake.said"; echo "ingest $?"
"$@" lake check >/dev/null 2>"$lake.checked"; echo "check $?"
mount -o remount,size=16m "$lake" || exit 99
"$@" ingest "$(dirname "$lake")/logs" >/dev/null 2>&1; echo "again $?"
"$@" lake check >/dev/null 2>&1; echo "check again $?"
"$@" sql --format csv "select count(*) as n, count(distinct source_object || '/' || source_row) as d from cloudtrail"
"#;

#[test]
fn a_disk_that_is_full_leaves_a_lake_that_is_whole() {
    if !may_mount() {
        return;
    }
    let full = std::env::var("TRAILHOUND_STRACE").is_ok();
    let step = if full { 4 } else { 40 };
    let (mut runs, mut said) = (0, 0);
    for kilobytes in (4..=124).step_by(step) {
        let folder = Folder::new(Verb::Ingest);
        let program = trailhound(&folder.config());
        let mut command = Command::new("unshare");
        command.args(["-rm", "bash", "-c", ON_A_SMALL_DISK, "bash"]).arg(folder.path("lake"));
        command.arg(kilobytes.to_string()).arg(program.get_program()).args(program.get_args());
        let output = command.env_remove("TRAILHOUND_LAKE").stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let read = |name: &str| std::fs::read_to_string(folder.path(name)).unwrap_or_default();
        let (ingest, check) = (read("lake.said"), read("lake.checked"));
        let code = |what: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(&format!("{what} ")));
            line.unwrap_or_else(|| panic!("{kilobytes} kB: {told}")).parse::<i32>().unwrap()
        };
        runs += 1;
        said += i32::from(code("ingest") != 0);
        assert!(
            code("ingest") < 100 && (code("ingest") == 0 || !ingest.is_empty()),
            "{kilobytes} kB: {ingest}"
        );
        assert!(code("check") == 0 || check.contains("no lake at"), "{kilobytes} kB: {ingest} {check}");
        assert_eq!((code("again"), code("check again")), (0, 0), "{kilobytes} kB: {ingest}");
        assert!(told.trim_end().ends_with(&format!("{ROWS},{ROWS}")), "{kilobytes} kB: {told}");
    }
    assert!(0 < said && said < runs, "{said} of {runs} disks were too small");
    println!("| Ingest | a full disk | ENOSPC | {runs} | {said} | {} | {runs} |", runs - said);
}

fn may_mount() -> bool {
    let mounted = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stderr(Stdio::null())
        .status();
    let may = mounted.is_ok_and(|status| status.success());
    if !may {
        println!("skipped: nothing may be mounted here");
    }
    may
}

/// The daemon, disturbed for a while: it goes on by itself.
#[tokio::test]
async fn a_daemon_goes_on_when_calls_no_longer_fail() {
    if strace_is_missing() {
        return;
    }
    let full = std::env::var("TRAILHOUND_STRACE").is_ok();
    let faults: &[(&str, &str)] = &[
        ("fsync", "EIO"),
        ("openat", "EMFILE"),
        ("linkat", "ENOSPC"),
        ("mkdir", "EROFS"),
        ("rename", "EIO"),
        ("unlink", "EROFS"),
        ("fsync,linkat,mkdir,openat,rename,unlink", "EIO"),
    ];
    let mut random = StdRng::seed_from_u64(1);
    let mut stage = Stage::new(false).await;
    let mut daemon = stage.start(None);
    stage.ready(1).await;
    for (calls, error) in if full { faults } else { &faults[..2] } {
        let before = stage.told_lines();
        let fault = format!("inject={calls}:error={error}");
        let mut strace = Command::new("strace")
            .args(["-f", "-qq", "--seccomp-bpf", "-o"])
            .arg(stage.directory.path().join("trace"))
            .args(["-e", &format!("trace={calls}"), "-e", &fault, "-p", &daemon.id().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        stage.send(8, &mut random).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        if strace.try_wait().unwrap().is_some() {
            println!("skipped: strace may not attach to a process");
            return;
        }
        // So it lets go of the process, which goes on.
        let _ = Command::new("kill").args(["-INT", &strace.id().to_string()]).status();
        strace.wait().unwrap();
        let said = stage.told_lines() - before;
        let started = Instant::now();
        stage.drain(&mut daemon).await;
        println!(
            "{calls} with {error} for 4 s: {said} lines said meanwhile, all done {:.1} s after",
            started.elapsed().as_secs_f64()
        );
    }
    stage.stop(daemon).await;
    stage.verify(&moto::python_with(&interop::PACKAGES));
}

/// A disk that is full for a while, and then has room: the daemon goes on by itself.
#[tokio::test]
async fn a_daemon_goes_on_when_the_disk_has_room_again() {
    if !may_mount() {
        return;
    }
    let mut random = StdRng::seed_from_u64(2);
    let mut stage = Stage::new(false).await;
    let lake = stage.lake_directory();
    std::fs::create_dir(&lake).unwrap();
    let script = "mount -t tmpfs -o size=2m none \"$0\"; exec \"$@\"";
    let mut daemon = stage.start_with(|program| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "bash", "-c", script]).arg(&lake).arg(program);
        command
    });
    stage.ready(1).await;
    let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.id(), lake.display()));
    for round in 0..2 {
        let filler = inside.join("filler");
        // As long as there is room.
        let _ = std::fs::write(&filler, vec![7; 4 << 20]);
        let before = stage.told_lines();
        stage.send(8, &mut random).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let said = stage.told_lines() - before;
        assert!(said > 0, "a full disk is worth a word");
        std::fs::remove_file(&filler).unwrap();
        let started = Instant::now();
        stage.drain(&mut daemon).await;
        println!(
            "full disk for 4 s, round {round}: {said} lines said meanwhile, all done {:.1} s after",
            started.elapsed().as_secs_f64()
        );
    }
    // The lake is gone with the process, but for whoever has it open.
    let open = File::open(&inside).unwrap();
    stage.stop(daemon).await;
    let kept = format!("/proc/{}/fd/{}/.", std::process::id(), open.as_raw_fd());
    assert!(Command::new("cp").arg("-r").arg(kept).arg(&lake).status().unwrap().success());
    stage.verify(&moto::python_with(&interop::PACKAGES));
}
