//! What a document is, by its outermost keys: a list of records, one record, the event of a bus, an aggregated event, a
//! digest, or none of them.
//!
//! The EventBridge event is that of the EventBridge user guide: `detail-type`, and the record in `detail`. Must never
//! say of a document that is no JSON what it is.

use std::borrow::Cow;

use super::rows::MAX_DEPTH;
use super::scan::{self, Fault, Inside, Member, What};
use super::unescape::key_of;
use crate::decode::columns::are_like_flow_fields;

/// The levels of `{"Records":[...]}` around a record.
const ENVELOPE_DEPTH: usize = 2;

/// What a document holds, by its outermost keys.
#[derive(Debug, Default)]
pub struct Outline<'a> {
    /// Where the value of `Records` begins.
    pub records: Option<usize>,
    /// Where a second such key begins.
    pub again: Option<usize>,
    /// How many of the keys of a record that tell it there are.
    pub of_record: usize,
    /// The same of a digest.
    pub of_digest: usize,
    /// The same of an aggregated event.
    pub of_aggregated: usize,
    /// Whether it is an event of a bus, of CloudTrail or not.
    pub is_bus_event: bool,
    details: Vec<usize>,
    keys: Vec<Cow<'a, str>>,
}

/// Keys that are shown of a document that is nothing known.
const SHOWN_KEYS: usize = 5;

/// The keys of a record that tell it.
pub const OF_RECORD: [&str; 3] = ["eventVersion", "eventTime", "eventName"];
const OF_DIGEST: [&str; 3] = ["digestStartTime", "digestEndTime", "digestS3Object"];
const OF_AGGREGATED: [&str; 3] = ["eventCategory", "timeWindow", "summary"];

impl<'a> Outline<'a> {
    /// The outline of a document that begins at a byte of a text, and is all of its rest.
    pub fn of(text: &'a str, start: usize) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let mut outline = Outline::default();
        let end = if scan::byte(bytes, start)? == b'{' {
            let mut inside = Inside::new(bytes, start, MAX_DEPTH + ENVELOPE_DEPTH);
            let mut seen = [[false; 3]; 3];
            while let Some(member) = inside.member()? {
                outline.add(text, member, &mut seen);
            }
            let count = |seen: [bool; 3]| seen.into_iter().filter(|seen| *seen).count();
            [outline.of_record, outline.of_digest, outline.of_aggregated] = seen.map(count);
            inside.end()
        } else {
            scan::value(bytes, start, MAX_DEPTH + ENVELOPE_DEPTH)?
        };
        match scan::blank(bytes, end) {
            at if at == bytes.len() => Ok(outline),
            at => Err(Fault { at, what: What::Syntax("trailing characters") }),
        }
    }

    fn add(&mut self, text: &'a str, member: Member, seen: &mut [[bool; 3]; 3]) {
        let Some(key) = key_of(text, member) else { return };
        for (names, seen) in [OF_RECORD, OF_DIGEST, OF_AGGREGATED].iter().zip(seen) {
            if let Some(name) = names.iter().position(|name| *name == key) {
                seen[name] = true;
            }
        }
        match (&*key, self.records) {
            ("Records", None) => self.records = Some(member.value),
            ("Records", Some(_)) => self.again = self.again.or(member.key.map(|key| key.start)),
            ("detail-type", _) => self.is_bus_event = true,
            ("detail", _) if self.details.len() < 2 => self.details.push(member.value),
            _ => {}
        }
        if self.keys.len() < SHOWN_KEYS {
            self.keys.push(key);
        }
    }

    /// Where the record begins that the document is, or that is the `detail` of the EventBridge event that it is.
    pub fn record(&self, text: &str, start: usize) -> Option<usize> {
        if self.of_record >= 2 {
            return Some(start);
        }
        let [detail] = self.details[..] else { return None };
        if !self.is_bus_event || text.as_bytes()[detail] != b'{' {
            return None;
        }
        let mut inside = Inside::new(text.as_bytes(), detail, MAX_DEPTH);
        let mut seen = [false; 3];
        while let Ok(Some(member)) = inside.member() {
            // One with half of a surrogate pair is none of these.
            let Some(key) = key_of(text, member) else { continue };
            OF_RECORD.iter().zip(&mut seen).for_each(|(name, seen)| *seen |= *name == key);
        }
        (seen.into_iter().filter(|seen| *seen).count() >= 2).then_some(detail)
    }

    /// Whether it may be a record of a flow log, by its first keys.
    pub fn is_like_a_flow(&self) -> bool {
        are_like_flow_fields(self.keys.iter().map(AsRef::as_ref))
    }

    /// The first keys, in words.
    pub fn some_keys(&self) -> String {
        let cut = |key: &Cow<str>| format!("`{}`", key.chars().take(40).collect::<String>());
        let shown: Vec<String> = self.keys.iter().map(cut).collect();
        if shown.is_empty() { "(none)".to_owned() } else { shown.join(", ") }
    }
}
