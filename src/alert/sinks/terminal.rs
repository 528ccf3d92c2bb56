//! An alert as a person wants to read it at three in the morning.
//!
//! Must never pass untrusted text on as it is: everything but our own colours goes through `text::safe`.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Error, Sink};
use crate::alert::{Alert, Severity};
use crate::text::safe;

/// Whether the terminal shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With ANSI colours. No meaning is in the colour only.
    Colour,
}

/// The narrowest that text is wrapped to, in characters.
const MIN_WIDTH: usize = 40;
/// The most characters of one value that are shown; the whole of it is in the lake.
const MAX_VALUE: usize = 300;
/// The most characters of a text that are shown.
const MAX_TEXT: usize = 4000;
/// The most entity columns, techniques and lines of next steps that are shown.
const MAX_ITEMS: usize = 40;
/// Where the values of the labelled lines begin.
const INDENT: usize = 8;
/// Enough of an alert's id to find it among millions.
const SHORT_ID: usize = 12;

const RESET: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";

/// The whole alert on several lines, wrapped to `width` characters where it has spaces, ending in a line feed.
pub fn render(alert: &Alert, style: Style, width: usize) -> String {
    let mut page = Page { out: String::new(), style, width: width.max(MIN_WIDTH) };
    page.headline(alert);
    page.section("about", &entity_lines(alert));
    page.section("seen", &[clip(&alert.summary, MAX_TEXT)]);
    page.section("when", &[when(alert)]);
    let mitre: Vec<&str> = mitre(alert).collect();
    page.section("mitre", &[clip(&mitre.join(", "), MAX_VALUE)]);
    page.section("next", &clip_lines(&alert.next_steps));
    page.section("rule", &[clip(&alert.rule_id, MAX_VALUE)]);
    page.section("show", &[format!("trailhound alerts show {}", safe(short_id(alert)))]);
    page.out
}

/// The alert on one line of at most `width` characters, without a line feed: for lists.
pub fn render_line(alert: &Alert, style: Style, width: usize) -> String {
    let (id, last) = (safe(short_id(alert)), minutes(alert.last_time));
    let mut entity = String::new();
    for value in alert.entity.values().take(MAX_ITEMS) {
        let _ = write!(entity, " {}", value_text(value));
    }
    let head = format!("{id:<SHORT_ID$}  {last}  ");
    let badge = format!("{:<8}", word(alert.severity));
    let events = events(alert.event_count);
    let tail = format!("  {} ({events}){}", clip(&alert.title, MAX_VALUE), safe(&entity));
    let room = width.max(MIN_WIDTH).saturating_sub(head.chars().count() + badge.chars().count());
    format!("{head}{}{}", paint(style, colour(alert.severity), &badge), cut(&tail, room))
}

/// The first 12 characters of the alert's id: what people type.
pub fn short_id(alert: &Alert) -> &str {
    let id = alert.alert_id.as_str();
    id.char_indices().nth(SHORT_ID).map_or(id, |(end, _)| &id[..end])
}

/// Writes alerts to a writer of the caller's, in the long form with an empty line after each.
pub struct TerminalSink {
    name: String,
    style: Style,
    width: usize,
    writer: Arc<Mutex<Box<dyn io::Write + Send>>>,
}

impl TerminalSink {
    /// A sink named `name` that writes to `writer`.
    pub fn new(
        name: impl Into<String>,
        style: Style,
        width: usize,
        writer: Box<dyn io::Write + Send>,
    ) -> TerminalSink {
        TerminalSink { name: name.into(), style, width, writer: Arc::new(Mutex::new(writer)) }
    }
}

#[async_trait]
impl Sink for TerminalSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&self, alert: &Alert) -> Result<(), Error> {
        let mut page = render(alert, self.style, self.width);
        page.push('\n');
        let writer = Arc::clone(&self.writer);
        // A terminal can be stopped with control-S: that may hold up this sink, but no thread of the runtime.
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.write_all(page.as_bytes())?;
            writer.flush()
        });
        let source: super::Cause = match written.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.into(),
            Err(error) => error.into(),
        };
        let reason = "cannot write to the terminal".to_string();
        Err(Error::Retry { sink: self.name.clone(), reason, after: None, source: Some(source) })
    }
}

/// The text as it grows.
struct Page {
    out: String,
    style: Style,
    width: usize,
}

impl Page {
    fn headline(&mut self, alert: &Alert) {
        let badge = format!(" {} ", word(alert.severity));
        let title = wrapped(&clip(&alert.title, MAX_VALUE), self.width, badge.chars().count() + 1);
        let mut lines = title.lines();
        let first = paint(self.style, BOLD, lines.next().unwrap_or_default());
        let _ = writeln!(self.out, "{} {first}", paint(self.style, colour(alert.severity), &badge));
        for line in lines {
            let _ = writeln!(self.out, "{}", paint(self.style, BOLD, line));
        }
    }

    /// A label, and text beside it; nothing if there is no text. The text is safe already.
    fn section(&mut self, label: &str, paragraphs: &[String]) {
        let mut label = label;
        for paragraph in paragraphs.iter().filter(|text| !text.trim().is_empty()) {
            let text = wrapped(paragraph, self.width, INDENT);
            // Padded before it is painted: escapes have no width.
            let padded = format!("  {label:<width$}", width = INDENT - 2);
            let _ = writeln!(self.out, "{}{text}", paint(self.style, DIM, &padded));
            label = "";
        }
    }
}

fn entity_lines(alert: &Alert) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (column, value) in alert.entity.iter().take(MAX_ITEMS) {
        lines.push(format!("{} {}", clip(column, MAX_VALUE), clip(&value_text(value), MAX_VALUE)));
    }
    lines.extend(left_out(alert.entity.len()));
    lines
}

fn clip_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().take(MAX_ITEMS).map(|line| clip(line, MAX_TEXT)).collect();
    lines.extend(left_out(text.lines().count()));
    lines
}

fn left_out(count: usize) -> Option<String> {
    (count > MAX_ITEMS).then(|| format!("... and {} more", count - MAX_ITEMS))
}

fn when(alert: &Alert) -> String {
    let (first, last) = (alert.first_time, alert.last_time);
    let start = first.format("%Y-%m-%d %H:%M:%S");
    let end = if first == last {
        String::new()
    } else if first.date_naive() == last.date_naive() {
        format!(" to {}", last.format("%H:%M:%S"))
    } else {
        format!(" to {}", last.format("%Y-%m-%d %H:%M:%S"))
    };
    format!("{start}{end} UTC, {}", events(alert.event_count))
}

fn minutes(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%MZ").to_string()
}

fn events(count: i64) -> String {
    if count == 1 { "1 event".to_string() } else { format!("{count} events") }
}

fn mitre(alert: &Alert) -> impl Iterator<Item = &str> {
    alert.mitre_tactics.iter().chain(&alert.mitre_techniques).map(String::as_str).take(MAX_ITEMS)
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Safe, and no longer than `max` characters of the original.
fn clip(text: &str, max: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(max) else { return safe(text).into_owned() };
    let more = text[end..].chars().count();
    format!("{}... ({more} more characters)", safe(&text[..end]))
}

/// At most `room` characters, the last of them an ellipsis if something is missing. Takes safe text.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_string();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Lines of at most `width` characters, all but the first indented. Runs of white space become one space, so no
/// value can draw a layout of its own; a longer word, such as an ARN, stays whole to be copied.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if out.is_empty() {
            column += length;
        } else if column + 1 + length <= width {
            out.push(' ');
            column += 1 + length;
        } else {
            let _ = write!(out, "\n{:indent$}", "");
            column = indent + length;
        }
        out.push_str(word);
    }
    out
}

fn paint(style: Style, on: &str, text: &str) -> String {
    match style {
        Style::Plain => text.to_string(),
        Style::Colour => format!("{on}{text}{RESET}"),
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "INFO",
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => DIM,
        Severity::Low => "\u{1b}[36m",
        Severity::Medium => "\u{1b}[1;33m",
        Severity::High => "\u{1b}[1;31m",
        Severity::Critical => "\u{1b}[1;97;41m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::sinks::tests::alert;

    fn check(rendered: &str, expect: &[&str]) {
        assert_eq!(rendered, expect.join("\n"), "\n{rendered}");
    }

    #[test]
    fn whole_alert() {
        check(
            &render(&alert(), Style::Plain, 80),
            &[
                " HIGH  Access key created for another user",
                "  about account_id 111122223333",
                "        actor_arn arn:aws:iam::111122223333:user/build",
                "  seen  `build` created an access key for `admin`, which it had never done in",
                "        the 90 days before.",
                "  when  2026-01-02 03:04:05 to 03:14:15 UTC, 12 events",
                "  mitre TA0003, T1098.001",
                "  next  1. Ask the owner of `build`.",
                "        2. Deactivate the key if nobody knows of it.",
                "  rule  access-key-for-another-user",
                "  show  trailhound alerts show 0123456789ab",
                "",
            ],
        );
    }

    #[test]
    fn alert_with_the_least() {
        let alert = Alert {
            alert_id: "ab".into(),
            severity: Severity::Informational,
            entity: serde_json::Map::new(),
            summary: String::new(),
            last_time: alert().first_time,
            event_count: 1,
            mitre_tactics: vec![],
            mitre_techniques: vec![],
            next_steps: "\n".into(),
            ..alert()
        };
        check(
            &render(&alert, Style::Plain, 0),
            &[
                " INFO  Access key created for another",
                "       user",
                "  when  2026-01-02 03:04:05 UTC, 1 event",
                "  rule  access-key-for-another-user",
                "  show  trailhound alerts show ab",
                "",
            ],
        );
    }

    #[test]
    fn alert_over_midnight_in_colour() {
        let alert = Alert {
            severity: Severity::Critical,
            entity: serde_json::Map::new(),
            summary: String::new(),
            last_time: "2026-01-03T00:00:01Z".parse().unwrap(),
            mitre_tactics: vec![],
            mitre_techniques: vec![],
            next_steps: String::new(),
            ..alert()
        };
        check(
            &render(&alert, Style::Colour, 80),
            &[
                "\u{1b}[1;97;41m CRITICAL \u{1b}[0m \u{1b}[1mAccess key created for another user\u{1b}[0m",
                "\u{1b}[2m  when  \u{1b}[0m2026-01-02 03:04:05 to 2026-01-03 00:00:01 UTC, 12 events",
                "\u{1b}[2m  rule  \u{1b}[0maccess-key-for-another-user",
                "\u{1b}[2m  show  \u{1b}[0mtrailhound alerts show 0123456789ab",
                "",
            ],
        );
    }

    #[test]
    fn line_for_lists() {
        let line = |width| render_line(&alert(), Style::Plain, width);
        check(
            &line(200),
            &["0123456789ab  2026-01-02 03:14Z  HIGH      Access key created for another user (12 events) \
               111122223333 arn:aws:iam::111122223333:user/build"],
        );
        check(&line(60), &["0123456789ab  2026-01-02 03:14Z  HIGH      Access key creat…"]);
        assert_eq!(line(60).chars().count(), 60);
        let painted = render_line(&alert(), Style::Colour, 60);
        check(
            &painted,
            &["0123456789ab  2026-01-02 03:14Z  \u{1b}[1;31mHIGH    \u{1b}[0m  Access key creat…"],
        );
    }

    /// An alert with something hostile in every text.
    fn hostile() -> Alert {
        let text = "x\u{1b}]8;;http://evil\u{7}\r\n CRITICAL  forged\u{202e}\u{9b}2J\u{2028}";
        let mut entity = serde_json::Map::new();
        entity.insert(text.into(), text.into());
        entity.insert("nested".into(), serde_json::json!([text]));
        Alert {
            alert_id: text.into(),
            rule_id: text.into(),
            title: text.into(),
            entity,
            summary: text.into(),
            mitre_tactics: vec![text.into()],
            mitre_techniques: vec![text.into()],
            next_steps: text.into(),
            ..alert()
        }
    }

    #[test]
    fn no_text_acts_on_the_terminal_or_forges_a_line() {
        let page = render(&hostile(), Style::Plain, 80);
        assert_eq!(crate::text::safe_lines(&page), page);
        for line in page.lines().skip(1) {
            assert!(line.starts_with("  "), "all but the headline is indented: {line}");
        }
        let line = render_line(&hostile(), Style::Plain, 1000);
        assert_eq!(safe(&line), line);
        assert!(page.contains("\\u{1b}") && line.contains("\\u{1b}"), "what was there is shown");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let long = "ab ".repeat(100_000);
        let mut entity = serde_json::Map::new();
        for n in 0..1000 {
            entity.insert(format!("c{n}"), long.as_str().into());
        }
        let alert = Alert {
            title: long.clone(),
            summary: long.clone(),
            next_steps: "step\n".repeat(1000),
            entity,
            mitre_techniques: vec![long.clone(); 100],
            rule_id: long.clone(),
            ..alert()
        };
        let page = render(&alert, Style::Plain, 80);
        assert!(page.len() < 40_000, "{}", page.len());
        assert!(page.contains("(299700 more characters)"));
        assert!(page.contains("... and 960 more"));
        assert_eq!(render_line(&alert, Style::Plain, 120).chars().count(), 120);
    }

    #[test]
    fn wraps_at_spaces_only() {
        let check = |text: &str, expect: &str| assert_eq!(wrapped(text, 10, 2), expect);
        check("", "");
        check("  a  b\u{3000}c ", "a b c");
        check("12345678", "12345678");
        check("1234 678", "1234 678");
        check("1234 6789", "1234\n  6789");
        check("a 1234567890123 b", "a\n  1234567890123\n  b");
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn sink_writes_the_long_form() {
        let shared = Shared::default();
        let sink = TerminalSink::new("terminal", Style::Plain, 80, Box::new(shared.clone()));
        sink.deliver(&alert()).await.unwrap();
        sink.deliver(&alert()).await.unwrap();
        let page = render(&alert(), Style::Plain, 80);
        let written = shared.0.lock().unwrap().clone();
        assert_eq!(String::from_utf8(written).unwrap(), format!("{page}\n{page}\n"));
    }

    #[tokio::test]
    async fn sink_that_cannot_write_asks_for_a_retry() {
        let sink = TerminalSink::new("terminal", Style::Plain, 80, Box::new(Closed));
        let error = sink.deliver(&alert()).await.unwrap_err();
        assert_eq!(error.to_string(), "sink `terminal` did not take the alert: cannot write to the terminal");
        assert!(matches!(error, Error::Retry { source: Some(_), .. }));
    }
}
