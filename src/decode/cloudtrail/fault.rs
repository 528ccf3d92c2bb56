//! What is wrong with a text that was refused, and where exactly: the record and the byte.
//!
//! The walk over the text tells where it gave up, which may be after what is wrong. What is here runs once an object is
//! refused, and may take its time; it must never make an error go away.

use memchr::memchr;
use serde::de::IgnoredAny;

use super::rows::MAX_DEPTH;
use super::scan::{Fault, What};
use super::split::{Documents, string_end};
use crate::decode::{Error, ErrorKind};

/// What is wrong with a record of this number, in a text that begins at byte `offset` of the content.
pub fn json_error(fault: Fault, record: Option<usize>, offset: usize) -> Error {
    let at = offset + fault.at;
    match fault.what {
        What::End => ErrorKind::Json("EOF while parsing a value".to_owned()).at(record, at),
        What::Syntax(words) => ErrorKind::Json(words.to_owned()).at(record, at),
        What::TooDeep => ErrorKind::TooDeep { levels: MAX_DEPTH }.at(record, at),
        What::NotARecord => ErrorKind::Shape("record is not a JSON object".to_owned()).at(record, at),
    }
}

/// The same error with its exact place, as far as that can be known.
pub fn pinpoint(text: &[u8], error: Error) -> Error {
    let error = match error.kind {
        ErrorKind::Json(_) => syntax_error(text).unwrap_or(error),
        _ => error,
    };
    let of_text = matches!(error.kind, ErrorKind::Json(_) | ErrorKind::Utf8 | ErrorKind::TooDeep { .. });
    match (error.record, error.offset) {
        (None, Some(offset)) if of_text => Error { record: record_at(text, offset), ..error },
        _ => error,
    }
}

/// The first error of a text's documents, as a parser tells that keeps count of where it is.
fn syntax_error(text: &[u8]) -> Option<Error> {
    Documents::new(text).find_map(|(start, end)| {
        let document = &text[start..end];
        let error = serde_json::from_slice::<IgnoredAny>(document).err()?;
        let said = error.to_string();
        let words = said.rsplit_once(" at line ").map_or(said.as_str(), |(words, _)| words);
        let mut offset = start + offset_of(document, &error);
        let mut words = words.to_owned();
        // This one alone is told before the byte is taken.
        if words.starts_with("control character") {
            "control character in a string".clone_into(&mut words);
            offset += 1;
        }
        Some(ErrorKind::Json(words).at(None, offset))
    })
}

/// The byte an error is about: the one that should not be there, or the end.
fn offset_of(document: &[u8], error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return document.len();
    }
    let mut line_start = 0;
    for _ in 1..error.line() {
        line_start += memchr(b'\n', &document[line_start..]).map_or(0, |at| at + 1);
    }
    // Columns count from 1; column 0 is the line end before.
    (line_start + error.column()).saturating_sub(1).min(document.len())
}

/// The number of the record that a byte is in, or before.
fn record_at(text: &[u8], offset: usize) -> Option<usize> {
    let mut before = 0;
    let mut documents = Documents::new(text).peekable();
    while let Some((start, end)) = documents.next() {
        let is_last = documents.peek().is_none();
        let scan = Scan::of(&text[start..end], offset.saturating_sub(start));
        if offset < end || is_last {
            return match scan {
                Scan { array: Array::Open, records } => Some(before + records),
                Scan { array: Array::None, .. } if before > 0 || !is_last => Some(before),
                _ => None,
            };
        }
        before += if scan.array == Array::None { 1 } else { scan.records };
    }
    None
}

/// The array of records in a document, up to some byte.
#[derive(Debug, PartialEq, Eq)]
enum Array {
    None,
    Open,
    Closed,
}

/// What a document holds up to some byte.
struct Scan {
    array: Array,
    /// Records that end before that byte.
    records: usize,
}

impl Scan {
    fn of(document: &[u8], until: usize) -> Scan {
        let mut scan = Scan { array: Array::None, records: 0 };
        // The array of records is the document itself, or below its key.
        let array_depth = if document.starts_with(b"[") { 1 } else { 2 };
        let (mut at, mut depth, mut after_key) = (0, 0_usize, array_depth == 1);
        while at < document.len().min(until) {
            let byte = document[at];
            match byte {
                b'"' => {
                    let end = string_end(document, at + 1);
                    let is_key = depth == 1 && document.get(at..end) == Some(b"\"Records\"");
                    after_key = array_depth == 2 && is_key;
                    at = end;
                    continue;
                }
                b'{' | b'[' => {
                    depth += 1;
                    if byte == b'[' && depth == array_depth && after_key && scan.array == Array::None {
                        scan.array = Array::Open;
                    }
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if scan.array == Array::Open && depth == array_depth {
                        scan.records += 1;
                    } else if scan.array == Array::Open && depth < array_depth {
                        scan.array = Array::Closed;
                    }
                }
                b',' => after_key = false,
                _ => {}
            }
            at += 1;
        }
        scan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_up_to_a_byte() {
        // `|` stands for the byte.
        for (text, expected) in [
            (r#"{"Records":[{"a":1},{"b"|:2}]}"#, Some(1)),
            (r#"{"Records":[{"a":1}|{"b":2}]}"#, Some(1)),
            (r#"{"Records":[|{"a":{}}]}"#, Some(0)),
            (r#"{"x":["Records",[{},{}]],"Records":[{"a":"]}"},{|"#, Some(1)),
            (r#"{"Records":[{}],|"x":[{}]}"#, None),
            (r#"{"Rec|ords":[{}]}"#, None),
            (r#"{"Records":"x","y":[{|}]}"#, None),
            ("[{},{},|", Some(2)),
            ("{}\n{}\n{|", Some(2)),
            ("{|}\n{}", Some(0)),
            ("{|", None),
            (r#"{"Records":[{},{}]}[{}]{"a":|"#, Some(3)),
        ] {
            let at = text.find('|').unwrap();
            assert_eq!(record_at(text.replacen('|', "", 1).as_bytes(), at), expected, "{text}");
        }
    }
}
