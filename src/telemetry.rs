//! Our own logs: to standard error, for a person on a terminal and as JSON otherwise.
//!
//! Must never let a logged value act on the terminal or pass for a second log line, and must never show what the
//! AWS SDK and the HTTP stack log below `info`: requests with their credentials.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::{Clock, SystemClock};
use crate::text;

/// The environment variable that says what is logged: `level` or `target=level`, comma separated.
pub const FILTER_VARIABLE: &str = "TRAILHOUND_LOG";

/// Prefixes of the targets that can log credentials. They stay at `warn` unless named, and never pass `info`.
const GUARDED: [&str; 6] = ["aws_", "h2", "hyper", "object_store", "reqwest", "rustls"];

/// How much our own code says where the environment does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What happens, once per batch or run.
    #[default]
    Normal,
    /// What happens, once per object.
    Verbose,
    /// Everything.
    Trace,
}

impl Verbosity {
    /// From the command line: `-q`, and how many `-v`. Quiet wins.
    pub fn from_flags(quiet: bool, verbose: u8) -> Verbosity {
        match (quiet, verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Trace,
        }
    }

    fn filter_text(self) -> &'static str {
        match self {
            Verbosity::Quiet => "warn",
            Verbosity::Normal => "warn,trailhound=info",
            Verbosity::Verbose => "warn,trailhound=debug",
            Verbosity::Trace => "warn,trailhound=trace",
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("`{FILTER_VARIABLE}` is not a log filter such as `warn,trailhound=debug`: `{}`", text::safe(.filter))]
    Filter {
        /// The filter as written.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging is already set up")]
    AlreadySetUp(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends the process's logs to standard error. To be called once, by `main`.
///
/// `json` chooses the form; without it, JSON unless standard error is a terminal.
pub fn init(verbosity: Verbosity, json: Option<bool>) -> Result<(), Error> {
    let terminal = io::stderr().is_terminal();
    let environment = std::env::var_os(FILTER_VARIABLE).unwrap_or_default();
    let filter = filter(&environment.to_string_lossy(), verbosity)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let result = if json.unwrap_or(!terminal) {
        json_subscriber(filter, clock, io::stderr).try_init()
    } else {
        human_subscriber(filter, clock, terminal && wants_colour(), io::stderr).try_init()
    };
    result.map_err(Error::AlreadySetUp)
}

fn wants_colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The filter in force: what the environment asks for, else the verbosity's, within the bounds of [`GUARDED`].
fn filter(environment: &str, verbosity: Verbosity) -> Result<Targets, Error> {
    let environment = environment.trim();
    let text = if environment.is_empty() { verbosity.filter_text() } else { environment };
    let asked: Targets = text.parse().map_err(|source| Error::Filter { filter: text.to_string(), source })?;

    let default = asked.default_level().unwrap_or(LevelFilter::OFF);
    let guards = GUARDED.into_iter().map(|prefix| (prefix, default.min(LevelFilter::WARN)));
    // The reader of table logs reports as errors what it also returns, and what is then handled.
    let guards = guards.chain([("buoyant_kernel", LevelFilter::OFF)]);
    let bounded = asked.iter().map(|(target, level)| {
        let guarded = GUARDED.iter().any(|prefix| target.starts_with(prefix));
        (target, if guarded { level.min(LevelFilter::INFO) } else { level })
    });
    // The longest matching prefix decides, so a guard gives way only to a target that names more than it does.
    Ok(Targets::new().with_default(default).with_targets(guards).with_targets(bounded))
}

fn human_subscriber<W>(
    filter: Targets,
    clock: Arc<dyn Clock>,
    colour: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false) // the fields carry no escapes of their own; the line adds ours after making them safe
        .event_format(HumanLine { clock, colour })
        .with_writer(writer);
    tracing_subscriber::registry().with(filter).with(lines)
}

fn json_subscriber<W>(filter: Targets, clock: Arc<dyn Clock>, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_timer(Timer(clock))
        .with_writer(SafeWriters(writer));
    tracing_subscriber::registry().with(filter).with(lines)
}

/// Makes JSON safe to look at on a terminal: `serde_json` leaves C1 controls and direction marks as they are.
struct SafeWriters<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for SafeWriters<W> {
    type Writer = text::SafeWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        text::SafeWriter::new(self.0.make_writer())
    }
}

struct Timer(Arc<dyn Clock>);

impl FormatTime for Timer {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{}", self.0.now().format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

/// `2026-01-02T03:04:05Z  INFO ingest{queue=logs}: 12 objects committed version=7`
struct HumanLine {
    clock: Arc<dyn Clock>,
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for HumanLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = self.clock.now();
        let level = *event.metadata().level();
        let (on, off) = if self.colour { (colour(level), "\u{1b}[0m") } else { ("", "") };
        write!(out, "{} {on}{level:>5}{off} ", time.format("%Y-%m-%dT%H:%M:%SZ"))?;

        let mut line = String::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            line.push_str(span.name());
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                line.push('{');
                line.push_str(fields);
                line.push('}');
            }
            line.push_str(": ");
        }
        context.format_fields(Writer::new(&mut line), event)?;
        writeln!(out, "{}", text::safe(&line))
    }
}

fn colour(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "\u{1b}[1;31m",
        tracing::Level::WARN => "\u{1b}[33m",
        tracing::Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use chrono::DateTime;
    use tracing::Level;

    use super::*;
    use crate::clock::FixedClock;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(FixedClock::new(DateTime::from_timestamp(1_767_323_045, 678_000_000).unwrap()))
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `log` writes, through the subscriber that `subscriber` makes around a buffer.
    fn logged<S: Subscriber + Send + Sync + 'static>(
        subscriber: impl FnOnce(Buffer) -> S,
        log: impl FnOnce(),
    ) -> String {
        let buffer = Buffer::default();
        tracing::subscriber::with_default(subscriber(buffer.clone()), log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\r\n2026 ERROR forged\u{202e}\u{7f}";

    fn log_hostile() {
        let span = tracing::info_span!("object", key = %HOSTILE);
        let _entered = span.enter();
        tracing::info!(display = %HOSTILE, debug = ?HOSTILE, plain = HOSTILE, "{HOSTILE}");
    }

    #[test]
    fn human_lines() {
        let filter = filter("", Verbosity::Normal).unwrap();
        let line = logged(
            |buffer| human_subscriber(filter, clock(), false, move || buffer.clone()),
            || {
                let span = tracing::info_span!("ingest", queue = "logs");
                let _entered = span.enter();
                tracing::info!(version = 7, "12 objects committed");
                tracing::debug!("not shown");
            },
        );
        assert_eq!(
            line,
            "2026-01-02T03:04:05Z  INFO ingest{queue=\"logs\"}: 12 objects committed version=7\n"
        );
    }

    #[test]
    fn human_lines_let_no_escape_and_no_second_line_through() {
        for colour in [false, true] {
            let filter = filter("trace", Verbosity::Normal).unwrap();
            let shown = logged(
                |buffer| human_subscriber(filter, clock(), colour, move || buffer.clone()),
                log_hostile,
            );
            let (line, rest) = shown.split_once('\n').unwrap();
            assert_eq!(rest, "", "one line");
            let ours =
                if colour { line.replacen("\u{1b}[32m INFO\u{1b}[0m", " INFO", 1) } else { line.into() };
            assert_eq!(text::safe(&ours), ours, "nothing left to escape");
            assert_eq!(ours.matches("forged").count(), 5, "every field is shown: {ours}");
        }
    }

    #[test]
    fn json_lines_are_safe_and_say_the_same() {
        let filter = filter("trace", Verbosity::Normal).unwrap();
        let shown = logged(|buffer| json_subscriber(filter, clock(), move || buffer.clone()), log_hostile);
        let (line, rest) = shown.split_once('\n').unwrap();
        assert_eq!(rest, "", "one line");
        assert_eq!(text::safe(line), line, "nothing left to escape");
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["timestamp"], "2026-01-02T03:04:05.678Z");
        assert_eq!(value["level"], "INFO");
        assert_eq!(value["message"], HOSTILE);
        assert_eq!(value["display"], HOSTILE);
        assert_eq!(value["plain"], HOSTILE);
    }

    #[test]
    fn filter_guards_what_can_log_credentials() {
        let check = |environment: &str, target: &str, most: Option<Level>| {
            let filter = filter(environment, Verbosity::Normal).unwrap();
            let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
            let found = levels.into_iter().find(|level| filter.would_enable(target, level));
            assert_eq!(found, most, "{target} under `{environment}`");
        };
        check("", "trailhound::ingest", Some(Level::INFO));
        check("", "deltalake_core", Some(Level::WARN));
        check("trace", "trailhound", Some(Level::TRACE));
        check("trace", "datafusion", Some(Level::TRACE));
        for target in ["aws_config::profile", "aws_smithy_runtime::client", "hyper_util::client", "h2::codec"]
            .into_iter()
            .chain(["reqwest::connect", "rustls::client", "object_store::aws"])
        {
            check("", target, Some(Level::WARN));
            check("trace", target, Some(Level::WARN));
            check("error", target, Some(Level::ERROR));
            check("off", target, None);
            check("a=trace,h=trace,r=trace,o=trace", target, None);
            let (name, _) = target.split_once("::").unwrap();
            check(&format!("{name}=trace"), target, Some(Level::INFO));
            check(&format!("trace,{target}=debug"), target, Some(Level::INFO));
            check(&format!("{name}=error"), target, Some(Level::ERROR));
        }
        check("aws_=trace", "aws_config", Some(Level::INFO));
        check(" trailhound=debug ", "trailhound::ingest", Some(Level::DEBUG));
    }

    #[test]
    fn filter_that_cannot_be_read_is_an_error() {
        let error = filter("trailhound=loud\u{1b}", Verbosity::Normal).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`TRAILHOUND_LOG` is not a log filter such as `warn,trailhound=debug`: `trailhound=loud\\u{1b}`"
        );
    }

    #[test]
    fn verbosity_from_flags() {
        let check = |quiet, verbose, expect| assert_eq!(Verbosity::from_flags(quiet, verbose), expect);
        check(false, 0, Verbosity::Normal);
        check(false, 1, Verbosity::Verbose);
        check(false, 9, Verbosity::Trace);
        check(true, 2, Verbosity::Quiet);
        for verbosity in [Verbosity::Quiet, Verbosity::Normal, Verbosity::Verbose, Verbosity::Trace] {
            assert!(filter("", verbosity).is_ok());
        }
    }
}
