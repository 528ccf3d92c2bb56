//! What verbs print: data on standard output, everything said to a person on standard error. Only logs, the sink that is a
//! terminal, and wrong use of the command line are printed by others.
//!
//! Must never let a control character of a log, a file or a message reach a terminal.

use std::error::Error;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::{self, SafeWriter};

/// The buffer before standard output, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
/// How often progress is redrawn, per second.
const REDRAWS_PER_SECOND: u8 = 8;
/// The width of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked; nothing was found.
    Done,
    /// It did what was asked, and found what it was asked to look for.
    Found,
    /// It could not do what was asked.
    Failed,
    /// What was asked makes no sense: wrong flags, a wrong configuration.
    WrongUse,
}

impl Outcome {
    /// The exit code: 0 done, 1 found something or failed, 2 wrong use.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Found | Outcome::Failed => 1,
            Outcome::WrongUse => 2,
        }
    }
}

impl From<Outcome> for std::process::ExitCode {
    fn from(outcome: Outcome) -> Self {
        outcome.code().into()
    }
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn decide(self, terminal: bool, environment: &dyn Fn(&str) -> Option<String>) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let forbidden = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = environment("TERM").is_some_and(|term| term == "dumb");
                terminal && !forbidden && !dumb
            }
        }
    }
}

type Sink = Arc<Mutex<Box<dyn Write + Send>>>;

/// What an output writes to: the process's own streams, or buffers in tests.
pub struct Streams {
    /// Where data goes.
    pub stdout: Box<dyn Write + Send>,
    /// Where everything else goes.
    pub stderr: Box<dyn Write + Send>,
    /// The width in columns of the terminal data goes to; `None` when it does not go to one.
    pub width: Option<usize>,
    /// Whether everything else goes to a terminal.
    pub stderr_is_terminal: bool,
    /// Whether lines on standard error are coloured.
    pub color: bool,
    /// Whether notes and progress are left out.
    pub quiet: bool,
}

/// Standard output and standard error.
pub struct Output {
    stdout: Sink,
    stderr: Sink,
    width: Option<usize>,
    color: bool,
    quiet: bool,
    closed: Arc<AtomicBool>,
    bars: MultiProgress,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("width", &self.width)
            .field("color", &self.color)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// The process's own streams.
    pub fn new(color: Color, quiet: bool) -> Output {
        let environment = |name: &str| std::env::var(name).ok();
        let stderr_is_terminal = io::stderr().is_terminal();
        Output::with(Streams {
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            width: io::stdout().is_terminal().then(|| terminal_width(&environment)),
            stderr_is_terminal,
            color: color.decide(stderr_is_terminal, &environment),
            quiet,
        })
    }

    /// Any streams.
    pub fn with(streams: Streams) -> Output {
        let target = if streams.stderr_is_terminal && !streams.quiet {
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        Output {
            stdout: Arc::new(Mutex::new(streams.stdout)),
            stderr: Arc::new(Mutex::new(streams.stderr)),
            width: streams.width,
            color: streams.color,
            quiet: streams.quiet,
            closed: Arc::new(AtomicBool::new(false)),
            bars: MultiProgress::with_draw_target(target),
        }
    }

    /// A buffered writer for data. On a terminal, control characters other than the line end and the tab are escaped.
    ///
    /// Flush it: a failure while it is dropped is lost.
    pub fn data(&self) -> Box<dyn Write + Send> {
        let pipe = Pipe { sink: self.stdout.clone(), closed: self.closed.clone() };
        let buffered = BufWriter::with_capacity(BUFFER_BYTES, pipe);
        if self.width.is_some() { Box::new(SafeWriter::new(buffered)) } else { Box::new(buffered) }
    }

    /// Whether data goes to a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// The width of the terminal in columns; `None` when data does not go to one.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether what is said to a person is coloured.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Whether a person sits at both ends: there can be a prompt.
    pub fn interactive(&self) -> bool {
        self.stdout_is_terminal() && io::stdin().is_terminal()
    }

    /// Whether the reader of standard output has gone, e.g. `| head`. Then the program ends quietly with `Outcome::Done`.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// A line for a person, left out when quiet.
    pub fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.line(None, &text);
        }
    }

    /// `warning: ...`
    pub fn warn(&self, text: impl fmt::Display) {
        self.line(Some(("warning:", "\x1b[1;33m")), &text);
    }

    /// `error: ...`
    pub fn error(&self, text: impl fmt::Display) {
        self.line(Some(("error:", "\x1b[1;31m")), &text);
    }

    /// `hint: ...`, best a command to paste.
    pub fn hint(&self, text: impl fmt::Display) {
        self.line(Some(("hint:", "\x1b[1;36m")), &text);
    }

    /// An error with its causes, each on a line of its own. Says nothing when the reader of standard output has gone.
    pub fn report(&self, error: &(dyn Error + 'static)) {
        if self.closed() {
            return;
        }
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let reason = error.to_string();
            // Some libraries repeat the cause in their own text.
            if !text.ends_with(&reason) {
                text.extend(["\n  because: ", &reason]);
            }
            cause = error.source();
        }
        self.error(text);
    }

    /// A bar that counts bytes up to a total.
    pub fn progress_bytes(&self, total: u64, what: &str) -> Progress {
        let template = "{msg} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        self.bar(ProgressBar::new(total), template, what)
    }

    /// A bar that counts things up to a total.
    pub fn progress_items(&self, total: u64, what: &str) -> Progress {
        let template = "{msg} [{bar:24}] {human_pos}/{human_len} {per_sec}, {eta} left";
        self.bar(ProgressBar::new(total), template, what)
    }

    /// A sign of life for work of unknown length.
    pub fn spinner(&self, what: &str) -> Progress {
        let progress = self.bar(ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}", what);
        if !progress.0.is_hidden() {
            progress.0.enable_steady_tick(Duration::from_millis(125));
        }
        progress
    }

    /// Whether progress is seen: not when standard error is no terminal, nor when quiet.
    pub fn shows_progress(&self) -> bool {
        !self.bars.is_hidden()
    }

    fn bar(&self, bar: ProgressBar, template: &str, what: &str) -> Progress {
        let bar = self.bars.add(bar);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let progress = Progress(bar);
        progress.describe(what);
        progress
    }

    /// A failure to write to standard error has nobody left to be told to.
    fn line(&self, label: Option<(&str, &str)>, text: &dyn fmt::Display) {
        let text = printable(&text.to_string());
        let line = match label {
            None => format!("{text}\n"),
            Some((word, color)) if self.color => format!("{color}{word}\x1b[0m {text}\n"),
            Some((word, _)) => format!("{word} {text}\n"),
        };
        self.bars.suspend(|| {
            let mut stderr = lock(&self.stderr);
            let _ = stderr.write_all(line.as_bytes());
            let _ = stderr.flush();
        });
    }
}

fn lock(sink: &Sink) -> MutexGuard<'_, Box<dyn Write + Send>> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The width of the terminal behind standard output.
fn terminal_width(environment: &dyn Fn(&str) -> Option<String>) -> usize {
    let told = environment("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let asked = || {
        let (columns, _) = rustyline::DefaultEditor::new().ok()?.dimensions()?;
        Some(usize::from(columns)).filter(|columns| *columns > 0)
    };
    told.or_else(asked).unwrap_or(USUAL_WIDTH)
}

/// Text for a terminal: control characters other than the line end and the tab are escaped.
pub fn printable(text: &str) -> String {
    text::safe_lines(text).into_owned()
}

/// Standard output that remembers when its reader has gone.
struct Pipe {
    sink: Sink,
    closed: Arc<AtomicBool>,
}

impl Pipe {
    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = lock(&self.sink).write(bytes);
        self.watch(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = lock(&self.sink).flush();
        self.watch(result)
    }
}

/// How far some work is; invisible where there is no terminal. Gone from the screen once dropped.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// More is done.
    pub fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// There is more to do than was known.
    pub fn extend(&self, by: u64) {
        self.0.inc_length(by);
    }

    /// What is being done.
    pub fn describe(&self, what: &str) {
        self.0.set_message(printable(what).replace(['\n', '\t'], " "));
    }

    /// How much is done.
    pub fn position(&self) -> u64 {
        self.0.position()
    }

    /// Takes it off the screen.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Bytes for a person: `512 B`, `1.5 GiB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would round to `1024.0` is one of the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count for a person: `1,234,567`.
pub fn human_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration for a person: `850 ms`, `1.25 s`, `2 min 05 s`, `3 h 07 min`, `4 d 02 h`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_millis() == 0 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{}.{:02} s", seconds, duration.subsec_millis() / 10),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that can be looked at.
    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A stream nobody reads.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(stdout_is_terminal: bool, color: bool, quiet: bool) -> (Output, Buffer, Buffer) {
        let (stdout, stderr) = (Buffer::default(), Buffer::default());
        let streams = Streams {
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
            width: stdout_is_terminal.then_some(100),
            stderr_is_terminal: false,
            color,
            quiet,
        };
        (Output::with(streams), stdout, stderr)
    }

    #[test]
    fn data_is_escaped_on_a_terminal_only() {
        let data = b"a\tb\x1b[2Jc\xc2\x9b\xff\xc3\nd";
        let written = |terminal| {
            let (output, stdout, _) = output(terminal, false, false);
            let mut writer = output.data();
            // One byte at a time: characters are cut in the middle.
            for byte in data {
                writer.write_all(&[*byte]).unwrap();
            }
            writer.flush().unwrap();
            stdout.0.lock().unwrap().clone()
        };
        assert_eq!(String::from_utf8_lossy(&written(true)), "a\tb\\u001b[2Jc\\u009b\u{fffd}\u{fffd}\nd");
        assert_eq!(written(false), data);
    }

    #[test]
    fn lines_on_standard_error() {
        let say = |color, quiet| {
            let (output, stdout, stderr) = output(false, color, quiet);
            output.note("read 3 files");
            output.warn("odd");
            output.error("cannot read `\x1b]0;x\x07`");
            output.hint("trailhound ingest");
            assert_eq!(stdout.text(), "");
            stderr.text()
        };
        let plain = "warning: odd\nerror: cannot read `\\u{1b}]0;x\\u{7}`\nhint: trailhound ingest\n";
        assert_eq!(say(false, false), format!("read 3 files\n{plain}"));
        assert_eq!(say(false, true), plain);
        assert!(say(true, false).contains("\x1b[1;31merror:\x1b[0m cannot"));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the lake")]
    struct Outer(#[source] io::Error);

    #[test]
    fn errors_come_with_their_causes() {
        let (output, _, stderr) = output(false, false, false);
        output.report(&Outer(io::Error::other("disk on fire")));
        assert_eq!(stderr.text(), "error: cannot open the lake\n  because: disk on fire\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let stderr = Buffer::default();
        let output = Output::with(Streams {
            stdout: Box::new(Gone),
            stderr: Box::new(stderr.clone()),
            width: None,
            stderr_is_terminal: false,
            color: false,
            quiet: false,
        });
        let mut data = output.data();
        data.write_all(b"x").unwrap();
        assert!(!output.closed());
        let error = data.flush().unwrap_err();
        assert!(output.closed());
        output.report(&Outer(error));
        assert_eq!(stderr.text(), "");
    }

    #[test]
    fn color_is_decided_once() {
        let check = |color: Color, terminal, variable: Option<(&str, &str)>, expect| {
            let environment = |name: &str| variable.filter(|(n, _)| *n == name).map(|(_, v)| v.to_owned());
            assert_eq!(color.decide(terminal, &environment), expect, "{color:?} {terminal} {variable:?}");
        };
        check(Color::Auto, true, None, true);
        check(Color::Auto, false, None, false);
        check(Color::Auto, true, Some(("NO_COLOR", "1")), false);
        check(Color::Auto, true, Some(("NO_COLOR", "")), true);
        check(Color::Auto, true, Some(("TERM", "dumb")), false);
        check(Color::Always, false, Some(("NO_COLOR", "1")), true);
        check(Color::Never, true, None, false);
    }

    #[test]
    fn progress_is_hidden_without_a_terminal() {
        let (output, stdout, stderr) = output(true, false, false);
        for progress in [output.progress_bytes(10, "x"), output.progress_items(10, "x"), output.spinner("x")]
        {
            progress.extend(5);
            progress.advance(3);
            assert_eq!(progress.position(), 3);
            progress.finish();
        }
        assert_eq!((stdout.text(), stderr.text()), (String::new(), String::new()));
    }

    #[test]
    fn width_is_of_a_terminal() {
        assert_eq!(output(true, false, false).0.width(), Some(100));
        assert_eq!(output(false, false, false).0.width(), None);
        let told = |columns: &str| terminal_width(&|name| (name == "COLUMNS").then(|| columns.to_owned()));
        assert_eq!(told("132"), 132);
    }

    #[test]
    fn outcomes_have_three_codes() {
        let codes = [Outcome::Done, Outcome::Found, Outcome::Failed, Outcome::WrongUse].map(Outcome::code);
        assert_eq!(codes, [0, 1, 1, 2]);
    }

    #[test]
    fn numbers_for_people() {
        let check = |found: String, expect: &str| assert_eq!(found, expect);
        check(human_bytes(0), "0 B");
        check(human_bytes(1023), "1023 B");
        check(human_bytes(1024), "1.0 KiB");
        check(human_bytes(1_048_575), "1.0 MiB");
        check(human_bytes(1_610_612_736), "1.5 GiB");
        check(human_bytes(u64::MAX), "16.0 EiB");
        check(human_count(0), "0");
        check(human_count(999), "999");
        check(human_count(1_000), "1,000");
        check(human_count(1_234_567), "1,234,567");
        check(human_duration(Duration::from_micros(7)), "7 µs");
        check(human_duration(Duration::from_millis(850)), "850 ms");
        check(human_duration(Duration::from_millis(1_259)), "1.25 s");
        check(human_duration(Duration::from_secs(125)), "2 min 05 s");
        check(human_duration(Duration::from_mins(187)), "3 h 07 min");
        check(human_duration(Duration::from_secs(353_000)), "4 d 02 h");
    }
}
