//! Many objects: how long listing a million keys takes, how fast a backlog is worked off, how soon rows are seen.
//!
//! - `cargo bench --bench scale -- list`: a million keys in memory, with the latency of S3;
//! - `cargo bench --bench scale -- backlog [OBJECTS] [GROUP]`: two processes, each with a queue in memory, objects in a
//!   folder, one lake in a directory; objects are decoded in groups of so many;
//! - `cargo bench --bench scale -- emulated [OBJECTS]`: two daemons on the emulator moto, and what moto itself can do;
//! - `cargo bench --bench scale -- fresh [RATE] [SECONDS]`: a steady stream of objects, and when their rows are there.
//!
//! All of them stay on this machine and end by themselves.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::expect_used, clippy::unwrap_used)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "scale/backlog.rs"]
mod backlog;
#[path = "scale/emulated.rs"]
mod emulated;
#[path = "scale/list.rs"]
mod list;
#[path = "../tests/it/moto.rs"]
#[allow(dead_code, unused_imports)]
mod moto;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number =
        |text: Option<&&str>, usual: usize| text.map_or(usual, |text| text.parse().expect("a number"));
    match words.as_slice() {
        ["list"] => list::run(),
        ["backlog", rest @ ..] => backlog::run(number(rest.first(), 100_000), number(rest.get(1), 256)),
        ["backlog-worker", rest @ ..] => backlog::work(rest),
        ["emulated", rest @ ..] => emulated::backlog(number(rest.first(), 500)),
        ["fresh", rest @ ..] => emulated::fresh(number(rest.first(), 10), number(rest.get(1), 120)),
        _ => println!("one of: list, backlog, emulated, fresh"),
    }
}

/// A line of the kernel's account of this process, in KiB.
pub fn memory(name: &str) -> u64 {
    memory_of("self", name)
}

/// The same of another process.
pub fn memory_of(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Lets the peak begin anew.
pub fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
