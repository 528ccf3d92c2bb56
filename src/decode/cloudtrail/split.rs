//! Where one JSON document ends and the next begins, in a text that may hold several, with or without lines between.
//!
//! Must never judge: what is no JSON comes out as a document, for the parser to refuse.

use memchr::{memchr, memchr2};

use super::scan;

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
        let start = self.at + scan::blank(rest, 0);
        if start == self.text.len() {
            return None;
        }
        let end = match self.text[start] {
            b'{' | b'[' => container_end(self.text, start),
            _ => memchr(b'\n', &self.text[start..]).map_or(self.text.len(), |at| start + at),
        };
        self.at = end;
        Some((start, end))
    }
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
    let skip = |at: usize| scan::blank(text, at);
    let expect = |at: usize, token: &[u8]| text[at..].starts_with(token).then(|| skip(at + token.len()));
    let first = skip(0);
    if text[first..].starts_with(b"[") {
        return Some(Head { start: first, is_enveloped: false });
    }
    let colon = expect(expect(first, b"{")?, b"\"Records\"")?;
    let start = expect(colon, b":")?;
    text[start..].starts_with(b"[").then_some(Head { start, is_enveloped: true })
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
    fn lists_are_known_by_their_beginning() {
        let enveloped = |start| Some(Head { start, is_enveloped: true });
        for (text, expected) in [
            (r#"{"Records":[{},{}]}"#, enveloped(11)),
            (" {\n \"Records\" : [ 1 ] \r\n}\n", enveloped(16)),
            ("[]", Some(Head { start: 0, is_enveloped: false })),
            (r#"{"Records":{"x":[]}}"#, None),
            (r#"{"x":1,"Records":[]}"#, None),
            (r#"{"Records""#, None),
            // JSON knows no such blank.
            ("{\x0c\"Records\":[]}", None),
            ("]", None),
            ("", None),
        ] {
            assert_eq!(head(text.as_bytes()), expected, "{text}");
        }
    }
}
