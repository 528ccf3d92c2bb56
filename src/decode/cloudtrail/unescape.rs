//! The text of strings that may have escapes.
//!
//! Must never give half a character for text: what is none is absent here, and its owner keeps the source.

use std::borrow::Cow;

use super::scan::Member;

/// The key of a field; none when it is no text.
pub fn key_of(text: &str, member: Member) -> Option<Cow<'_, str>> {
    let key = member.key?;
    if key.quoted.is_escaped {
        return unescaped(text, key.start, key.quoted.end).map(Cow::Owned);
    }
    Some(Cow::Borrowed(&text[key.start + 1..key.quoted.end - 1]))
}

/// The text of a string with escapes, given with its quotes; none when it is no text: half a surrogate pair is in it.
pub fn unescaped(text: &str, start: usize, end: usize) -> Option<String> {
    serde_json::from_str(&text[start..end]).ok()
}

/// The text of a value that is a string.
pub fn string_of(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        unescaped(raw, 0, raw.len()).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}
