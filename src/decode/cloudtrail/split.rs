//! Where one JSON document ends and the next begins, in a text that may hold several, with or without lines between.
//!
//! Must never judge: what is no JSON comes out as a document, for the parser to refuse.

use memchr::{memchr, memchr2, memmem};

/// The documents of a text, as byte offsets of their beginning and end.
#[derive(Debug)]
pub struct Documents<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Documents<'a> {
    /// All documents of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Documents { text, at: 0 }
    }
}

impl Iterator for Documents<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        let end = match self.text[start] {
            b'{' | b'[' => container_end(self.text, start),
            _ => memchr(b'\n', &self.text[start..]).map_or(self.text.len(), |at| start + at),
        };
        self.at = end;
        Some((start, end))
    }
}

/// A list of records in a document: where its opening and its closing bracket are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// The opening bracket.
    pub start: usize,
    /// The closing bracket.
    pub end: usize,
}

/// Where a list of records begins: with its bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The opening bracket.
    pub start: usize,
    /// Whether the list is the only field, `Records`, of an object.
    pub is_enveloped: bool,
}

/// The beginning of a list that a text is, or of the only field, `Records`, of the object that it is.
pub fn head(text: &[u8]) -> Option<Head> {
    let skip = |at: usize| at + text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let expect = |at: usize, token: &[u8]| text[at..].starts_with(token).then(|| skip(at + token.len()));
    let first = skip(0);
    if text[first..].starts_with(b"[") {
        return Some(Head { start: first, is_enveloped: false });
    }
    let colon = expect(expect(first, b"{")?, b"\"Records\"")?;
    let start = expect(colon, b":")?;
    text[start..].starts_with(b"[").then_some(Head { start, is_enveloped: true })
}

/// The bracket that a list with this beginning ends with, if it is followed by nothing but the end of its object.
pub fn tail(text: &[u8], head: &Head) -> Option<usize> {
    let back = |end: usize, token: u8| {
        let kept = text[..end].trim_ascii_end();
        kept.ends_with(&[token]).then(|| kept.len() - 1)
    };
    let end = if head.is_enveloped { back(text.len(), b'}')? } else { text.len() };
    back(end, b']')
}

/// The list that a text is, or that is the only field, `Records`, of the object that it is; by its two ends alone.
pub fn list(text: &[u8]) -> Option<List> {
    let head = head(text)?;
    let end = tail(text, &head)?;
    (head.start < end).then_some(List { start: head.start, end })
}

/// A comma, at least `least` bytes after a bracket or comma of a list, that is most likely between two of its records,
/// or the end of the list; none when there is none within `most` bytes.
///
/// What is between two such places is balanced only if both are outside of all records: when it parses, it is right.
pub fn quick_cut(text: &[u8], start: usize, list: &List, least: usize, most: usize) -> Option<usize> {
    if list.end - start <= least + least / 2 {
        return Some(list.end);
    }
    let window = &text[start + least..list.end.min(start + most)];
    memmem::find(window, b"},{\"eventVersion\"").map(|found| start + least + found + 1)
}

/// Where a part of a list ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A comma between two records.
    Comma(usize),
    /// The bracket that closes the list.
    Closing(usize),
    /// The end of the text: a record or the list goes on after it.
    None,
}

/// The first comma between two records that is at least `least` bytes after a bracket or comma of a list, or what
/// closes the list; whatever is in its records, and at the price of looking at every byte.
pub fn exact_cut(text: &[u8], start: usize, least: usize) -> Cut {
    let mut at = start + 1;
    while at < text.len() {
        at = match text[at] {
            b'"' => string_end(text, at + 1),
            b'{' | b'[' => container_end(text, at),
            b']' => return Cut::Closing(at),
            b',' if at - start >= least => return Cut::Comma(at),
            _ => at + 1,
        };
    }
    Cut::None
}

/// Where the container that begins at a byte ends; the end of the text when it is never closed.
fn container_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < text.len() {
        match text[at] {
            b'"' => at = string_end(text, at + 1),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

/// Where the string ends whose first character is at a byte; the end of the text or beyond when it is cut.
pub fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_end_with_their_container() {
        for (text, expected) in [
            ("", &[][..]),
            (" \r\n", &[]),
            ("{} {}", &["{}", "{}"]),
            (r#"{"a":"}\"{"}[{"b":[]}]"#, &[r#"{"a":"}\"{"}"#, r#"[{"b":[]}]"#]),
            ("{\"a\":\n{}}\n\n{}\r\n", &["{\"a\":\n{}}", "{}"]),
            ("7 8\n{}", &["7 8", "{}"]),
            // JSON knows no such blank.
            ("{}\x0c{}", &["{}", "\x0c{}"]),
            ("{}x{}\n{}", &["{}", "x{}", "{}"]),
            ("{\"a\":[1\n{}", &["{\"a\":[1\n{}"]),
            ("{\"a", &["{\"a"]),
            ("{\"a\\", &["{\"a\\"]),
            ("}{}", &["}{}"]),
        ] {
            let found: Vec<&str> =
                Documents::new(text.as_bytes()).map(|(start, end)| &text[start..end]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn lists_are_known_by_their_ends() {
        for (text, expected) in [
            (r#"{"Records":[{},{}]}"#, Some("[{},{}]")),
            (" {\n \"Records\" : [ 1 ] \r\n}\n", Some("[ 1 ]")),
            ("[]", Some("[]")),
            ("[[],[]]\n", Some("[[],[]]")),
            // Not in truth, but what is between its brackets is then no list of records.
            (r#"{"Records":[{}],"x":[1]}"#, Some(r#"[{}],"x":[1]"#)),
            (r#"{"Records":{"x":[]}}"#, None),
            (r#"{"x":1,"Records":[]}"#, None),
            (r#"{"Records":[]} {}"#, None),
            (r#"{"Records":["#, None),
            ("[", None),
            ("]", None),
            ("", None),
        ] {
            let found = list(text.as_bytes()).map(|list| &text[list.start..=list.end]);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn exact_cuts_are_between_records() {
        let text = br#"[{"a":"},{\"x"},{"b":[{},{}]} , [1,2],"s,t",3]}{"Records":[{},{}]}"#;
        let mut cuts = vec![0];
        while let Cut::Comma(at) | Cut::Closing(at) = exact_cut(text, cuts[cuts.len() - 1], 1) {
            cuts.push(at);
            if text[at] == b']' {
                break;
            }
        }
        let parts: Vec<&[u8]> = cuts.windows(2).map(|ends| &text[ends[0] + 1..ends[1]]).collect();
        let expected: [&[u8]; 5] = [br#"{"a":"},{\"x"}"#, br#"{"b":[{},{}]} "#, b" [1,2]", br#""s,t""#, b"3"];
        assert_eq!(parts, expected);
        for text in ["[", "[{}", "[{}, {", "[{\"]", "[{},\"]\"", "[{}}"] {
            assert_eq!(exact_cut(text.as_bytes(), 0, 99), Cut::None, "{text}");
        }
    }
}
