//! Envelopes of records: `CloudWatch` Logs, the answers of `LookupEvents`, what flow logs are sent to Firehose in, and
//! lists of `EventBridge` events.
//!
//! A `CloudWatch` Logs subscription delivers documents of `{"messageType":"DATA_MESSAGE","logEvents":[{"message":
//! "..."}]}`, often several in one object with nothing between them; `FilterLogEvents` and `GetLogEvents` answer
//! `{"events":[{"message":"..."}]}`, and an export of a log group to S3 has lines of a time and the message.
//! `LookupEvents` answers `{"Events":[{"CloudTrailEvent":"..."}]}`; flow logs that are sent to Firehose come as
//! `{"message":"..."}`. Splunk exports `{"result":{"_raw":"..."}}`, and Cribl writes `{"_raw":"..."}`. People also keep the
//! items of such lists, or the texts in them, one after another or as a list, and put whole log files into a list.
//! A message is a record in its own bytes, and they are what counts: what else the envelope says is not kept. Exported
//! lines of flow logs are not for here: there the time is a field more.
//!
//! What the content begins with decides whether it is an envelope. Must never open part of an object: every message in
//! it comes out, in order, or there is an error; and must never open what has the version of a record, nor `Records`
//! beside anything else.

use std::borrow::Cow;

use super::cloudtrail::fault::json_error;
use super::cloudtrail::scan::{self, Fault, Inside, Member};
use super::cloudtrail::unescape::{key_of, string_of};
use super::cloudtrail::{Decoder, Likeness, MAX_DEPTH, likeness, utf8};
use super::columns::{AGGREGATED_EVENTS, CLOUDTRAIL, Table};
use super::vpc_flow::{self, Formats};
use super::{Decoded, Error, ErrorKind, check_offsets, time, without_mark};

/// More messages than this in one object are refused: no envelope comes near.
const MAX_MESSAGES: usize = 20_000_000;

/// A time before a message is at most so long, with its blank: `2026-01-31T12:00:00.000000000+00:00 `.
const MAX_TIME_BYTES: usize = 36;

/// A record may be as deep in an envelope as anywhere.
const MAX_LEVELS: usize = MAX_DEPTH + 2;

/// The messages of an object's content, unescaped, in order; none when it is no envelope.
pub fn open<'a>(text: &'a [u8], formats: &Formats) -> Result<Option<Vec<Cow<'a, str>>>, Error> {
    let (mark, text) = without_mark(text);
    // Most logs are told by their first bytes.
    if is_plain(text) {
        return Ok(None);
    }
    let (known, broken) = utf8(text);
    let mut content = Content::new(known, broken.is_some(), formats);
    let read = content.read();
    if content.opened == 0 {
        // What is wrong with other content is for its own decoder to say.
        return Ok(None);
    }
    check_offsets(text.len())?;
    let is_before = |error: &Error| error.offset.is_some_and(|offset| offset < known.len());
    match read {
        Err(error) if broken.is_none() || is_before(&error) => Err(error.shifted(mark)),
        _ if broken.is_some() => {
            // Of lines it is known how many records they are.
            let record = content.is_exported.then_some(content.messages.len());
            Err(ErrorKind::Utf8.at(record, known.len()).shifted(mark))
        }
        _ => Ok(Some(content.messages)),
    }
}

/// Whether content that begins like this is an envelope.
pub fn begins(text: &[u8], formats: &Formats) -> bool {
    let (_, text) = without_mark(text);
    if is_list_of_files(text) {
        return true;
    }
    let mut content = Content { most: 1, ..Content::new(utf8(text).0, false, formats) };
    // Of a beginning, only what is whole in it can be read.
    !is_plain(text) && content.read().is_ok() && content.opened > 0
}

/// Whether the content begins with a message that is JSON, where neither a brace nor a bracket tells: a line of an
/// exported log group, or the text of a record in quotes.
pub fn begins_with_message(text: &[u8]) -> bool {
    let start = without_mark(text).1.trim_ascii_start();
    start.starts_with(b"\"{") || exported(start).is_some()
}

/// Whether content is a log as CloudTrail delivers it.
fn is_plain(text: &[u8]) -> bool {
    let start = text.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    start.is_some_and(|inside| inside.starts_with(b"\"Records\""))
}

/// Whether content begins like a list of log files, of which the first may be too long to be seen whole.
fn is_list_of_files(text: &[u8]) -> bool {
    let (mut inside, mut is_list) = (text.trim_ascii_start(), false);
    while let Some(rest) = inside.strip_prefix(b"[") {
        (inside, is_list) = (rest.trim_ascii_start(), true);
    }
    is_list && is_plain(inside)
}

/// What follows the time in a line of an export of a log group, if that is JSON.
fn exported(line: &[u8]) -> Option<&[u8]> {
    let space = memchr::memchr(b' ', &line[..line.len().min(MAX_TIME_BYTES)])?;
    let message = line[space..].trim_ascii_start();
    (message.starts_with(b"{") && time::parse_iso8601(&line[..space]).is_some()).then_some(message)
}

/// Decodes messages: each a CloudTrail document, or each a line of VPC flow logs.
///
/// Errors name the message as the record, of flow logs the line that is not blank; a byte offset would be one inside
/// the message, so there is none.
pub fn decode(
    messages: &[Cow<'_, str>],
    decoder: &mut Decoder,
    formats: &Formats,
    source_object: &str,
) -> Result<Decoded, Error> {
    let refused = |what: &str, record| {
        Err(Error { kind: ErrorKind::Shape(what.to_owned()), record: Some(record), offset: None })
    };
    let first = messages.iter().find(|message| !message.trim_ascii_start().is_empty());
    if first.is_none_or(|message| is_json(message)) {
        let is_other = |message: &Cow<'_, str>| !is_json(message) && looks_like_flows(formats, message);
        if let Some(other) = messages.iter().position(is_other) {
            return refused(OF_TWO_KINDS, other);
        }
        let table = first.map_or(&CLOUDTRAIL, |message| table_of(message));
        let batch = decoder.decode_each(table, messages.iter().map(AsRef::as_ref), source_object)?;
        return Ok(Decoded { table, batch });
    }
    // One record may not tell its format: those after it do.
    let lines = messages.join("\n");
    if !looks_like_flows(formats, &lines) {
        let other = "the messages are neither CloudTrail records nor flow log records in a known format";
        let of_flows = first.and_then(|message| vpc_flow::of_no_format(message.as_bytes()));
        return refused(of_flows.as_deref().unwrap_or(other), 0);
    }
    if let Some(other) = messages.iter().position(|message| is_json(message)) {
        return refused(OF_TWO_KINDS, other);
    }
    vpc_flow::decode_any_in(formats, lines.as_bytes(), source_object)
        .map_err(|error| Error { offset: None, ..error })
}

const OF_TWO_KINDS: &str = "the object holds messages of different kinds, CloudTrail records and flow logs";

fn is_json(message: &str) -> bool {
    message.trim_ascii_start().starts_with('{')
}

fn looks_like_flows(formats: &Formats, message: &str) -> bool {
    formats.looks_like(message.as_bytes()).is_some()
}

fn table_of(message: &str) -> &'static Table {
    if likeness(message.as_bytes()) == Likeness::Aggregated { &AGGREGATED_EVENTS } else { &CLOUDTRAIL }
}

/// Content, and what was opened of it.
struct Content<'a, 'f> {
    text: &'a str,
    /// Those that records of flow logs may be in.
    formats: &'f Formats,
    /// Whether more follows that is no text.
    is_cut: bool,
    /// Whether it is lines of an exported log group.
    is_exported: bool,
    messages: Vec<Cow<'a, str>>,
    /// How many documents, items of lists and lines were opened.
    opened: usize,
    /// After so many, no more are.
    most: usize,
}

/// A part of the text, as byte offsets.
type Span = (usize, usize);

impl<'a, 'f> Content<'a, 'f> {
    fn new(text: &'a str, is_cut: bool, formats: &'f Formats) -> Self {
        Content {
            text,
            formats,
            is_cut,
            is_exported: false,
            messages: Vec::new(),
            opened: 0,
            most: usize::MAX,
        }
    }

    /// Opens everything, up to the first thing that is no envelope.
    fn read(&mut self) -> Result<(), Error> {
        let bytes = self.text.as_bytes();
        let mut at = scan::blank(bytes, 0);
        if exported(&bytes[at..]).is_some() {
            self.is_exported = true;
            return self.lines(at);
        }
        while at < bytes.len() && self.opened < self.most {
            at = if bytes[at] == b'[' { self.list(at, false)? } else { self.item(at, false)? };
            at = scan::blank(bytes, at);
        }
        Ok(())
    }

    /// The lines of an exported log group.
    fn lines(&mut self, mut at: usize) -> Result<(), Error> {
        for line in self.text[at..].split_inclusive('\n') {
            if self.opened == self.most || (self.is_cut && !line.ends_with('\n')) {
                break;
            }
            if time::parse_iso8601(line.trim_ascii().as_bytes()).is_none() && !line.trim_ascii().is_empty() {
                let Some(message) = exported(line.trim_ascii_start().as_bytes()) else {
                    return self
                        .refused("no line of an exported log group: a time, a blank and a JSON object", at);
                };
                self.add(Cow::Borrowed(&line[line.len() - message.len()..]), at)?;
                self.opened += 1;
            }
            at += line.len();
        }
        Ok(())
    }

    /// The items of the list that begins at a byte; returns where it ends. If a list around it was looked at, so was its
    /// depth.
    fn list(&mut self, at: usize, is_checked: bool) -> Result<usize, Error> {
        let mut items = Inside::new(self.text.as_bytes(), at, MAX_LEVELS);
        while self.opened < self.most {
            let Some((_, item)) = items.begin().map_err(error)? else { break };
            let bytes = self.text.as_bytes();
            let end = if scan::byte(bytes, item).map_err(error)? == b'[' {
                // Before it is gone into; what is inside of it is looked at no more.
                if !is_checked {
                    scan::value(bytes, item, MAX_LEVELS).map_err(error)?;
                }
                self.list(item, true)?
            } else {
                self.item(item, true)?
            };
            items.go_on(end);
        }
        Ok(items.end())
    }

    /// The item that begins at a byte, by itself or in a list; returns where it ends.
    fn item(&mut self, at: usize, is_listed: bool) -> Result<usize, Error> {
        match self.text.as_bytes()[at] {
            b'{' => self.document(at, is_listed),
            b'"' => {
                let end = scan::value(self.text.as_bytes(), at, 0).map_err(error)?;
                let is_message = |text: &Cow<'_, str>| is_json(text) || looks_like_flows(self.formats, text);
                let message = string_of(&self.text[at..end]).filter(is_message);
                let Some(message) = message else { return self.no_envelope(at, is_listed) };
                self.opened += 1;
                self.add(message, at)?;
                Ok(end)
            }
            _ => self.no_envelope(at, is_listed),
        }
    }

    /// Refuses what begins at a byte: in a list as what it is, unless it is no JSON at all.
    fn no_envelope<T>(&self, at: usize, is_listed: bool) -> Result<T, Error> {
        // Before the first envelope nobody asks: it is left to other decoders.
        if is_listed && self.opened > 0 {
            scan::value(self.text.as_bytes(), at, MAX_LEVELS).map_err(error)?;
        }
        self.refused(NO_ENVELOPE, at)
    }

    fn document(&mut self, at: usize, is_listed: bool) -> Result<usize, Error> {
        let mut fields = Fields::default();
        let mut inside = Inside::new(self.text.as_bytes(), at, MAX_LEVELS);
        while let Some(member) = inside.member().map_err(error)? {
            if !fields.note(self.text, self.formats, member) {
                return self.no_envelope(at, is_listed);
            }
        }
        let Some(envelope) = fields.envelope(self.text, is_listed || self.opened > 0) else {
            return self.no_envelope(at, is_listed);
        };
        self.opened += 1;
        match envelope {
            Envelope::Nothing => {}
            Envelope::Message(span) => self.message(span)?,
            Envelope::Record((start, end)) => self.add(Cow::Borrowed(&self.text[start..end]), start)?,
            Envelope::List(start, key) => self.messages(start, key)?,
            Envelope::File => self.add(Cow::Borrowed(&self.text[at..inside.end()]), at)?,
        }
        Ok(inside.end())
    }

    /// The messages below a key of every item of the list that begins at a byte.
    fn messages(&mut self, start: usize, key: &str) -> Result<(), Error> {
        let mut items = Inside::new(self.text.as_bytes(), start, MAX_LEVELS);
        while let Some((_, item)) = items.begin().map_err(error)? {
            let (message, end) = self.below(key, item)?;
            match message {
                Some(message) => self.message(message)?,
                None => return self.refused(&format!("an item of the list has no `{key}`"), item),
            }
            items.go_on(end);
        }
        Ok(())
    }

    /// The value of the field of this name of the object that begins at a byte, and where the object ends.
    fn below(&self, key: &str, start: usize) -> Result<(Option<Span>, usize), Error> {
        let mut found = None;
        let mut fields = Inside::new(self.text.as_bytes(), start, MAX_LEVELS);
        if self.text.as_bytes().get(start) != Some(&b'{') {
            return Ok((found, start));
        }
        while let Some(field) = fields.member().map_err(error)? {
            if key_of(self.text, field).is_some_and(|name| name == key)
                && found.replace((field.value, field.end)).is_some()
            {
                return self.refused(&format!("`{key}` is there twice"), start);
            }
        }
        Ok((found, fields.end()))
    }

    fn message(&mut self, (start, end): Span) -> Result<(), Error> {
        match string_of(&self.text[start..end]) {
            Some(message) => self.add(message, start),
            None => self.refused("a message is no text", start),
        }
    }

    fn add(&mut self, message: Cow<'a, str>, at: usize) -> Result<(), Error> {
        if self.messages.len() == MAX_MESSAGES {
            return self.refused(&format!("more than {MAX_MESSAGES} messages"), at);
        }
        self.messages.push(message);
        Ok(())
    }

    fn refused<T>(&self, what: &str, at: usize) -> Result<T, Error> {
        Err(ErrorKind::Shape(what.to_owned()).at(Some(self.messages.len()), at))
    }
}

/// Where a document breaks off, it is not known which of its messages that is.
fn error(fault: Fault) -> Error {
    json_error(fault, None, 0)
}

const NO_ENVELOPE: &str = "an envelope is followed by something else";

/// What an envelope carries.
enum Envelope {
    /// What was sent to see whether the destination is there: a message that is no record.
    Nothing,
    /// One message, a string.
    Message(Span),
    /// One record, an object.
    Record(Span),
    /// A list of objects, which begins at a byte, each with a message below this key.
    List(usize, &'static str),
    /// A log file by itself, in a list of such.
    File,
}

/// The fields of a document that tell which envelope it is.
#[derive(Default)]
struct Fields {
    message_type: Option<Span>,
    log_events: Option<Span>,
    /// `events`, of an answer of `FilterLogEvents` or `GetLogEvents`.
    log_group_events: Option<Span>,
    /// `Events`, of an answer of `LookupEvents`.
    looked_up: Option<Span>,
    cloudtrail_event: Option<Span>,
    /// `message`, or `_raw` in its place.
    message: Option<Span>,
    is_raw: bool,
    /// Whether there are fields of an event: what else was kept of it, it is one itself.
    is_event: bool,
    /// `Records`, of a log file in a list of such.
    records: Option<Span>,
    /// How many fields there are.
    count: usize,
    detail_type: Option<Span>,
    detail: Option<Span>,
    /// Whether there are fields that an answer of either has not.
    is_no_answer: bool,
}

impl Fields {
    /// Notes a field, if it is of the type that such a field of an envelope has; false when it is one that no envelope
    /// has, or has twice.
    fn note(&mut self, text: &str, formats: &Formats, member: Member) -> bool {
        self.count += 1;
        let Some(key) = key_of(text, member) else { return true };
        let (place, first) = match &*key {
            // A record, or records with something else.
            "eventVersion" => return false,
            "Records" if self.count > 1 || text.as_bytes()[member.value] != b'[' => return false,
            "Records" => (&mut self.records, b'['),
            "eventTime" | "eventName" => {
                (self.is_event, self.is_no_answer) = (true, true);
                return true;
            }
            "messageType" => (&mut self.message_type, b'"'),
            "logEvents" => (&mut self.log_events, b'['),
            "events" => (&mut self.log_group_events, b'['),
            "Events" => (&mut self.looked_up, b'['),
            "CloudTrailEvent" => (&mut self.cloudtrail_event, b'"'),
            "message" => (&mut self.message, b'"'),
            "_raw" => return self.note_raw(text, formats, member),
            "result" => return self.note_result(text, formats, member),
            "detail-type" => (&mut self.detail_type, b'"'),
            "detail" => (&mut self.detail, b'{'),
            key => {
                self.is_no_answer |= !OF_ANSWERS.contains(&key);
                return true;
            }
        };
        let found = text.as_bytes()[member.value];
        if found == first {
            return place.replace((member.value, member.end)).is_none();
        }
        self.is_no_answer |= found != b'n';
        true
    }

    /// Notes the text that an event was before it was taken apart, if it is there, and is that of a log.
    fn note_raw(&mut self, text: &str, formats: &Formats, member: Member) -> bool {
        let raw = string_of(&text[member.value..member.end]);
        self.is_no_answer = true;
        if raw.is_some_and(|raw| is_json(&raw) || looks_like_flows(formats, &raw)) {
            let is_first = !self.is_raw && self.message.is_none();
            (self.is_raw, self.message) = (true, Some((member.value, member.end)));
            return is_first;
        }
        !self.is_raw
    }

    /// Notes what Splunk exports: the text of an event is below `_raw` of the result.
    fn note_result(&mut self, text: &str, formats: &Formats, member: Member) -> bool {
        self.is_no_answer = true;
        let mut inside = Inside::new(text.as_bytes(), member.value, MAX_LEVELS);
        let is_object = text.as_bytes()[member.value] == b'{';
        while is_object && let Ok(Some(field)) = inside.member() {
            if key_of(text, field).is_some_and(|key| key == "_raw") && !self.note_raw(text, formats, field) {
                return false;
            }
        }
        true
    }

    /// The envelope that has these fields; an `EventBridge` event is one only in a list, by itself it is read as it is.
    fn envelope(&self, text: &str, is_listed: bool) -> Option<Envelope> {
        let list = |span: Option<Span>, key| Some(Envelope::List(span?.0, key));
        let detail = self.detail_type.and(self.detail).filter(|_| is_listed);
        if self.records.is_some() {
            return (is_listed && self.count == 1).then_some(Envelope::File);
        }
        if self.is_raw && self.is_event {
            return None;
        }
        let kinds = [self.log_group_events, self.looked_up, self.cloudtrail_event, self.message, detail];
        if let Some((start, end)) = self.message_type {
            return match string_of(&text[start..end]).as_deref() {
                _ if kinds.iter().any(Option::is_some) => None,
                Some("CONTROL_MESSAGE") => self.log_events.map(|_| Envelope::Nothing),
                Some("DATA_MESSAGE") => list(self.log_events, "message"),
                _ => None,
            };
        }
        match (kinds, self.log_events) {
            ([Some(_), None, None, None, None], None) if !self.is_no_answer => {
                list(self.log_group_events, "message")
            }
            ([None, Some(_), None, None, None], None) if !self.is_no_answer => {
                list(self.looked_up, "CloudTrailEvent")
            }
            ([None, None, Some(text), None, None] | [None, None, None, Some(text), None], None) => {
                Some(Envelope::Message(text))
            }
            ([None, None, None, None, Some(detail)], None) => Some(Envelope::Record(detail)),
            _ => None,
        }
    }
}

/// What else there is in an answer with events, as the clients of AWS write them.
const OF_ANSWERS: [&str; 8] = [
    "searchedLogStreams",
    "nextToken",
    "nextForwardToken",
    "nextBackwardToken",
    "NextToken",
    "interleaved",
    "ResponseMetadata",
    "$metadata",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A record without traffic fits most formats: those after it tell which it is in.
    #[test]
    fn messages_tell_their_format_together() {
        let format = "${srcaddr} ${dstaddr} ${bytes} ${start} ${end} ${action}";
        let formats = Formats::parse([format]).expect("is a format");
        let nothing = "- - - 1431280876 1431280934 -";
        let messages = [nothing, "", "10.0.0.1 10.0.0.2 40 1431280876 1431280934 ACCEPT"].map(Cow::Borrowed);
        let decoded = decode(&messages, &mut Decoder::default(), &formats, "o").expect("are read");
        assert_eq!((decoded.table.name, decoded.batch.num_rows()), ("vpc_flow", 2));
        let alone = decode(&messages[..1], &mut Decoder::default(), &formats, "o").expect_err("may be any");
        assert!(alone.to_string().starts_with("the messages are neither"), "{alone}");
    }

    fn check(text: &str, expected: Option<&[&str]>) {
        let found =
            open(text.as_bytes(), &Formats::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = found.map(|messages| messages.iter().map(ToString::to_string).collect::<Vec<_>>());
        let expected = expected.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn messages_come_out_unescaped_and_in_order() {
        let data = |messages: &str| {
            format!(r#"{{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{messages}]}}"#)
        };
        let control = r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination"}]}"#;
        let one = data(r#"{"id":"1","timestamp":1e400,"message":"{\"a\":\"\\u00e9\\n\\ud800\"}"}"#);
        let two = data(r#"{"message":"x"},{"message":"y"}"#);
        check(&one, Some(&[r#"{"a":"\u00e9\n\ud800"}"#]));
        check(
            &format!("{one}{two}\n{control}{one}"),
            Some(&[r#"{"a":"\u00e9\n\ud800"}"#, "x", "y", r#"{"a":"\u00e9\n\ud800"}"#]),
        );
        check(control, Some(&[]));
        check(&data(""), Some(&[]));
        check(r#"{"Events":[{"EventId":"1","CloudTrailEvent":"{}"}],"NextToken":"x"}"#, Some(&["{}"]));
        check(
            "{\"EventId\":\"1\",\"CloudTrailEvent\":\"{}\"}\n{\"CloudTrailEvent\":\"[]\"}",
            Some(&["{}", "[]"]),
        );
        check(r#"[{"CloudTrailEvent":"{}"},{"CloudTrailEvent":"[]"}]"#, Some(&["{}", "[]"]));
        check(r#"[{"Events":[{"CloudTrailEvent":"{}"}]},{"Events":[]}]"#, Some(&["{}"]));
        check(r#"{"Events":[]}"#, Some(&[]));
        check(r#"{ "Events" : [] , "NextToken" : "x" }"#, Some(&[]));
        check(
            r#"{"events":[{"logStreamName":"s","message":"{}","ingestionTime":1}],"nextToken":"x"}"#,
            Some(&["{}"]),
        );
        check(
            r#"[{"searchedLogStreams":[],"events":[{"message":"x","ingestionTime":1}]},{"events":[]}]"#,
            Some(&["x"]),
        );
        check(
            r#"[{"detail-type":"AWS API Call via CloudTrail","detail":{"a": 1.0}}]"#,
            Some(&[r#"{"a": 1.0}"#]),
        );
        let resources = "\"r\",".repeat(5000);
        check(
            &format!(
                r#"[{{"detail":{{"a":1}},"resources":[{resources}"r"],"detail-type":"x"}}] [{{"detail-type":"x","detail":{{}}}}]"#
            ),
            Some(&[r#"{"a":1}"#, "{}"]),
        );
        check(r#"[{"logStreamName":"s","message":"x","eventId":"1"}]"#, Some(&["x"]));
        check(r#"{"searchedLogStreams":[],"events":[],"nextToken":"x"}"#, Some(&[]));
        check(r#"[{"events":[]}]"#, Some(&[]));
        check(r#"{"events":[{"message":"x"}],"NextToken":"y","ResponseMetadata":{}}"#, Some(&["x"]));
        // Fields that are null, or of another type, are none of an envelope.
        check(
            r#"{"message":null,"CloudTrailEvent":"{}","eventName":"x","detail":{},"events":1}"#,
            Some(&["{}"]),
        );
        check(r#"[[{"CloudTrailEvent":"{}"}],[{"CloudTrailEvent":"[]"},"{}"]]"#, Some(&["{}", "[]", "{}"]));
        check(
            r#"[{"detail-type":"x","detail":{}}]{"detail-type":"x","detail":{"a":1}}"#,
            Some(&["{}", r#"{"a":1}"#]),
        );
        check("2026-03-10T12:00:00.000Z {}\n2026-03-10T12:00:00.000Z \n", Some(&["{}\n"]));
        let flow =
            "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";
        check(&format!("[\"{flow}\"]"), Some(&[flow]));
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
        let deep = format!(r#"{{"a":{deep}}}"#);
        check(&format!(r#"[{{"detail-type":"x","detail":{deep}}}]"#), Some(&[&deep]));
        check("2026-03-10T12:00:00.123456+00:00 {}", Some(&["{}"]));
        check("\"{\\\"a\\\":1}\"\n\"{}\"", Some(&[r#"{"a":1}"#, "{}"]));
        check(r#"["{\"a\":1}"]"#, Some(&[r#"{"a":1}"#]));
        check(
            "\n2026-03-10T12:00:00.000Z {\"a\":\"b c\"}\r\n\n2026-03-10T12:00:01Z  {}",
            Some(&["{\"a\":\"b c\"}\r\n", "{}"]),
        );
        check(
            r#"[{"Records":[{"a": 1.0},{}]}, {"Records":[ ]},{"Records":[{"b":1}]}]"#,
            Some(&[r#"{"Records":[{"a": 1.0},{}]}"#, r#"{"Records":[ ]}"#, r#"{"Records":[{"b":1}]}"#]),
        );
        check(r#"{"_raw":"{}","host":"x"}{"_raw":" {\"a\":1}"}"#, Some(&["{}", r#" {"a":1}"#]));
        check(&format!(r#"{{"_raw":"{flow}"}}"#), Some(&[flow]));
        check(r#"{"preview":false,"result":{"_time":1,"_raw":"{}"}}"#, Some(&["{}"]));
        check("{\"message\":\"2 1 eni-1\"}{\"message\":\"x\"}\n", Some(&["2 1 eni-1", "x"]));
    }

    #[test]
    fn records_that_speak_of_envelopes_are_none() {
        for text in [
            "",
            "{}",
            r#"{"Records":[{"messageType":"DATA_MESSAGE","logEvents":[]}]}"#,
            r#"{"eventName":"PutLogEvents","requestParameters":{"messageType":"DATA_MESSAGE","logEvents":[]}}"#,
            r#"{"eventName":"x","requestParameters":{"CloudTrailEvent":"{}"}}"#,
            r#"{"CloudTrailEvent":7}"#,
            r#"{"message":7}"#,
            r#"{"message":{"a":"b"},"Events":[]}"#,
            r#"[{},{"CloudTrailEvent":"{}"}]"#,
            "[]",
            "[",
            r#"{"events":7}"#,
            r#"{"events":[],"x":1}"#,
            r#"{"events":[],"eventVersion":"1.08"}"#,
            r#"{"events":[{"message":"{}"}],"Records":[{}]}"#,
            r#"{"message":"{}","eventVersion":null}"#,
            r#"{"messageType":"CONTROL_MESSAGE","eventID":"x"}"#,
            r#"{"messageType":"DATA_MESSAGE","logEvents":[],"message":"x"}"#,
            r#"[["a"]]"#,
            r#"{"message":"{}","message":"{}"}"#,
            r#"{"eventVersion":"x","detail-type":"x","detail":{"eventName":"y"},"CloudTrailEvent":"{}"}"#,
            r#"[{"eventVersion":"x","detail-type":"x","detail":{"eventName":"y"}}]"#,
            r#"{"detail-type":"x","detail":{"eventName":"CloudTrailEvent"}}{"messageType":"logEvents"}"#,
            r#"[{"detail-type":"x","detail":[]}]"#,
            r#"[{"eventVersion":"1.08","requestParameters":{"detail-type":"x","detail":{}}}]"#,
            r#"[{"Records":[{}],"x":1}]"#,
            r#"[{"x":1,"Records":[{}]}]"#,
            r#"[{"Records":{}}]"#,
            r#"[{"Records":7,"message":"{}"}]"#,
            r#"{"result":{"a":"b"}}"#,
            r#"{"result":{"_raw":"{}","_raw":7}}"#,
            r#"{"result":{"_raw":""}}"#,
            r#"{"events":[{"message":"{}"}],"result":{"a":1}}"#,
            r#"{"_raw":"plain"}"#,
            r#"[{"eventTime":"x","eventName":"y","_raw":"{}"}]"#,
            r#"{"_raw":"{}","eventName":"y"}"#,
            r#"{"result":{"_raw":7}}"#,
            r#"{"result":{"_raw":"{}"},"message":"{}"}"#,
            r#""a","b""#,
            r#"["a"]"#,
            "2026-03-10T12:00:00.000Z 2 123456789010 eni-1",
            "2026-03-10 {}",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn what_is_only_half_an_envelope_is_an_error() {
        let data = r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":"x"}]}"#;
        for text in [format!("{data}{{}}"), format!("{data}{{"), format!("{data} 7")] {
            open(text.as_bytes(), &Formats::default()).expect_err(&text);
        }
        for (text, expected) in [
            (
                "2026-03-10T12:00:00.000Z {}\nx",
                "no line of an exported log group: a time, a blank and a JSON object (record 1, byte 28)",
            ),
            ("\"{}\" \"x\"", "an envelope is followed by something else (record 1, byte 5)"),
            ("\"{}\",\"{}\"", "an envelope is followed by something else (record 1, byte 4)"),
            (
                r#"[{"CloudTrailEvent":"{}"},{}]"#,
                "an envelope is followed by something else (record 1, byte 26)",
            ),
            (
                r#"[{"detail-type":"x","detail":{}},{"detail-type":"x","detail":null}]"#,
                "an envelope is followed by something else (record 1, byte 33)",
            ),
            (r#"[{"message":"{}"},]"#, "invalid JSON: expected value (byte 18)"),
            (r#"[{"message":"{}"},nul]"#, "invalid JSON: expected ident (byte 21)"),
            (r#"[{"message":"{}"},{"Records":7"#, "invalid JSON: EOF while parsing a value (byte 30)"),
            (r#"{"events":[{"message":"x"},7]}"#, "an item of the list has no `message` (record 1, byte 27)"),
            (r#"{"events":[{"message":7}]}"#, "a message is no text (record 0, byte 22)"),
            (
                r#"{"events":[{"message":"x"},{"message":"y","message":"z"}]}"#,
                "`message` is there twice (record 1, byte 27)",
            ),
            (r#"{"CloudTrailEvent":"\ud800"}"#, "a message is no text (record 0, byte 19)"),
            ("\u{feff}{\"message\":\"x\"}{\"message\"}", "invalid JSON: expected `:` (byte 28)"),
        ] {
            let error = open(text.as_bytes(), &Formats::default()).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
        let error =
            open(b"{\"message\":\"x\"}{\"message\":\"\xff\"}", &Formats::default()).expect_err("is no UTF-8");
        assert_eq!(error.to_string(), "not valid UTF-8 (byte 27)");
        let exported = b"2026-03-10T12:00:00.000Z {}\n2026-03-10T12:00:00.000Z {\"a\":\"\xff\"}\n";
        let error = open(exported, &Formats::default()).expect_err("is no UTF-8");
        assert_eq!(error.to_string(), "not valid UTF-8 (record 1, byte 59)");
        let error = open(b"\"{}\" 7 \xff", &Formats::default()).expect_err("is no envelope first");
        assert_eq!(error.to_string(), "an envelope is followed by something else (record 1, byte 5)");
        let error = open(b"[{\"message\":\"x\"},{\"message\":\"", &Formats::default()).expect_err("is cut");
        assert_eq!(error.to_string(), "invalid JSON: EOF while parsing a value (byte 29)");
        let lone = r#"{"CloudTrailEvent":"{}"}{"CloudTrailEvent":"\ud800"}"#;
        open(lone.as_bytes(), &Formats::default())
            .expect_err("a lone surrogate outside the record cannot be unescaped");
    }

    #[test]
    fn a_beginning_tells() {
        for (text, expected) in [
            (r#"[{"detail-type":"x","detail":{}},{"detail-ty"#, true),
            ("2026-03-10T12:00:00.000Z {}\n2026-03-", true),
            (r#"[{"eventVersion":"1.08","requestParameters":{"detail-type":"x","detail":{}}},{"#, false),
            (r#"{"eventVersion":"1.08"}{"eventVer"#, false),
            (r#"{"Records":[{"eventV"#, false),
            (r#"[{"detail-type":"x""#, false),
        ] {
            assert_eq!(begins(text.as_bytes(), &Formats::default()), expected, "{text}");
        }
    }

    #[test]
    fn messages_are_records_or_flows() {
        let record = r#"{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z","requestParameters":{"a": "\ud800"}}"#;
        let flow =
            "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";
        let aggregated =
            r#"{"eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","timeWindow":{},"summary":{}}"#;
        let mut decoder = Decoder::new();
        let mut outcome = |messages: &[&str]| {
            let messages: Vec<Cow<'_, str>> = messages.iter().map(|text| Cow::Borrowed(*text)).collect();
            decode(&messages, &mut decoder, &Formats::default(), "o")
                .map(|found| (found.table.name, found.batch.num_rows()))
        };
        for (messages, expected) in [
            (&[][..], ("cloudtrail", 0)),
            (&[record, "", record], ("cloudtrail", 2)),
            (&[flow, flow], ("vpc_flow", 2)),
            (&["\n", flow], ("vpc_flow", 1)),
            (&[aggregated, aggregated], ("aggregated_events", 2)),
        ] {
            assert_eq!(outcome(messages).expect("decodes"), expected, "{messages:?}");
        }
        for (messages, expected) in [
            (&[record, "START RequestId"][..], "invalid JSON: "),
            (&[record, "{\"status\":\"info\"}"], "no `Records` among the keys `status` (record 1)"),
            (
                &["START RequestId"],
                "the messages are neither CloudTrail records nor flow log records in a known format (record 0)",
            ),
            (&[flow, "2 1"], "2 fields where the format has 14 (record 1)"),
            (&["START RequestId", record], "the messages are neither"),
            (
                &[record, flow],
                "the object holds messages of different kinds, CloudTrail records and flow logs (record 1)",
            ),
            (
                &["", flow, record],
                "the object holds messages of different kinds, CloudTrail records and flow logs (record 2)",
            ),
            // Cut in two, a record is none.
            (&[&record[..20], &record[20..]], "invalid JSON: "),
            (&[record, aggregated], "an aggregated event among events (record 1)"),
            (&[aggregated, record], "no `Records` among the keys "),
        ] {
            let error = outcome(messages).expect_err(expected).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
