//! Untrusted text made fit for a terminal: what cannot be seen, or acts on the terminal, becomes a visible escape.
//!
//! Must never let a control character, a change of direction or an invisible character through, and must never
//! change text that holds none of them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// The text on one line: control, direction and invisible characters as escapes such as `\u{1b}`, `\n`, `\t`.
///
/// Backslashes stay as they are, so the result is for reading, not for parsing.
pub fn safe(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe, Form::Rust)
}

/// As [`safe`], but line feeds and tabs stay: for text whose lines are wanted.
pub fn safe_lines(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe_in_lines, Form::Rust)
}

/// A writer that makes the UTF-8 it is given safe for a terminal and hands it on.
///
/// Line feeds and tabs stay. Escapes have JSON's form (`\u001b`), so that JSON stays the same JSON. Bytes that are
/// not UTF-8 become U+FFFD. A character may be split over two writes; call [`SafeWriter::finish`] at the end, or
/// an incomplete last character is lost. Holds no buffer: put a `BufWriter` inside it, not around it.
#[derive(Debug)]
pub struct SafeWriter<W> {
    inner: W,
    /// The start of a character whose end has not come yet.
    partial: [u8; 4],
    partial_len: usize,
}

impl<W: io::Write> SafeWriter<W> {
    /// A safe writer in front of `inner`.
    pub fn new(inner: W) -> SafeWriter<W> {
        SafeWriter { inner, partial: [0; 4], partial_len: 0 }
    }

    /// Writes what stands for an incomplete last character, flushes, and gives the inner writer back.
    pub fn finish(mut self) -> io::Result<W> {
        if self.partial_len > 0 {
            self.partial_len = 0;
            self.write_text("\u{fffd}")?;
        }
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn write_text(&mut self, text: &str) -> io::Result<()> {
        self.inner.write_all(escape(text, is_unsafe_in_lines, Form::Json).as_bytes())
    }

    /// Writes all of `bytes` but an incomplete last character, and returns that.
    fn write_complete<'a>(&mut self, mut bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(text) => {
                    self.write_text(text)?;
                    return Ok(&[]);
                }
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            // Valid by the split above: nothing is replaced here.
            self.write_text(&String::from_utf8_lossy(valid))?;
            let Some(invalid) = error.error_len() else { return Ok(rest) };
            self.write_text("\u{fffd}")?;
            bytes = &rest[invalid..];
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        self.partial[..rest.len()].copy_from_slice(rest);
        self.partial_len = rest.len();
    }
}

impl<W: io::Write> io::Write for SafeWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes_left = bytes;
        // Byte by byte until the character begun in an earlier write is whole, or proves to be none.
        while self.partial_len > 0 {
            let Some((&byte, rest)) = bytes_left.split_first() else { return Ok(bytes.len()) };
            let mut joined = self.partial;
            joined[self.partial_len] = byte;
            let joined_len = self.partial_len + 1;
            self.partial_len = 0;
            let still_partial = self.write_complete(&joined[..joined_len])?;
            self.keep(still_partial);
            bytes_left = rest;
        }
        let rest = self.write_complete(bytes_left)?;
        self.keep(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[derive(Clone, Copy)]
enum Form {
    /// `\u{1b}`.
    Rust,
    /// `\u001b`; outside the basic plane two escapes.
    Json,
}

fn escape(text: &str, is_unsafe: fn(char) -> bool, form: Form) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if is_unsafe(c) {
            push_escape(&mut out, c, form);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn push_escape(out: &mut String, c: char, form: Form) {
    // Writing to a `String` cannot fail.
    let _ = match (c, form) {
        ('\n', _) => out.write_str("\\n"),
        ('\r', _) => out.write_str("\\r"),
        ('\t', _) => out.write_str("\\t"),
        (_, Form::Rust) => write!(out, "\\u{{{:x}}}", u32::from(c)),
        (_, Form::Json) => {
            c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
        }
    };
}

fn is_unsafe_in_lines(c: char) -> bool {
    is_unsafe(c) && !matches!(c, '\n' | '\t')
}

fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(c,
        '\u{80}'..='\u{9f}' // C1 controls
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // direction
        | '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' // no width
        | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' // blank, yet not white space
        | '\u{2028}' | '\u{2029}' // line and paragraph separators
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn escapes_what_acts_on_a_terminal() {
        let check = |input: &str, line: &str, lines: &str| {
            assert_eq!(safe(input), line, "{input:?}");
            assert_eq!(safe_lines(input), lines, "{input:?}");
        };
        check("", "", "");
        check(
            "plain, größe, 日本語, 🦀, e\u{301}",
            "plain, größe, 日本語, 🦀, e\u{301}",
            "plain, größe, 日本語, 🦀, e\u{301}",
        );
        check("a\u{1b}[2Jb", "a\\u{1b}[2Jb", "a\\u{1b}[2Jb");
        check("a\nb\tc\rd", "a\\nb\\tc\\rd", "a\nb\tc\\rd");
        check("\0\u{7}\u{8}\u{7f}", "\\u{0}\\u{7}\\u{8}\\u{7f}", "\\u{0}\\u{7}\\u{8}\\u{7f}");
        check("\u{9b}31m", "\\u{9b}31m", "\\u{9b}31m");
        check("\u{85}", "\\u{85}", "\\u{85}");
        check("abc\u{202e}txt.exe", "abc\\u{202e}txt.exe", "abc\\u{202e}txt.exe");
        check("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}", "a\\u{2028}b\\u{2029}");
        check("\u{e0041}", "\\u{e0041}", "\\u{e0041}");
        check("\\u{1b}", "\\u{1b}", "\\u{1b}");
    }

    #[test]
    fn no_listed_character_passes() {
        let ranges: [(u32, u32); 9] = [
            (0x00, 0x1f),
            (0x7f, 0x9f),
            (0x61c, 0x61c),
            (0x200b, 0x200f),
            (0x2028, 0x202e),
            (0x2060, 0x2060),
            (0x2066, 0x2069),
            (0xfeff, 0xfeff),
            (0xe0000, 0xe007f),
        ];
        for c in ranges.into_iter().flat_map(|(first, last)| first..=last).filter_map(char::from_u32) {
            let text = c.to_string();
            assert!(safe(&text).starts_with('\\'), "{c:?} in safe");
            let kept = matches!(c, '\n' | '\t');
            assert_eq!(safe_lines(&text).starts_with('\\'), !kept, "{c:?} in safe_lines");
            assert_eq!(written(&[text.as_bytes()]).starts_with('\\'), !kept, "{c:?} in SafeWriter");
        }
    }

    #[test]
    fn text_with_nothing_to_hide_is_borrowed() {
        assert!(matches!(safe("arn:aws:iam::111122223333:root"), Cow::Borrowed(_)));
        assert!(matches!(safe("a\u{1b}"), Cow::Owned(_)));
    }

    fn written(parts: &[&[u8]]) -> String {
        let mut writer = SafeWriter::new(Vec::new());
        for part in parts {
            writer.write_all(part).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn writer_escapes_and_replaces() {
        let check = |input: &[u8], expect: &str| assert_eq!(written(&[input]), expect, "{input:?}");
        check(b"", "");
        check(b"a\tb\n", "a\tb\n");
        check(b"\x1b[31m\r\n", "\\u001b[31m\\r\n");
        check("\u{202e}\u{9b}".as_bytes(), "\\u202e\\u009b");
        check("\u{e0041}".as_bytes(), "\\udb40\\udc41");
        check(b"a\xffb\xc0\x9b", "a\u{fffd}b\u{fffd}\u{fffd}");
        check(b"\x9b31m", "\u{fffd}31m"); // the one-byte CSI of an 8-bit terminal
        check(b"ab\xe2\x82", "ab\u{fffd}");
    }

    #[test]
    fn writer_result_does_not_depend_on_where_writes_split() {
        let input = b"ok \xe2\x80\xae \xf0\x9f\xa6\x80 \xff \xf0\x9f\xe2\x80\xae \xc2\x9b \x1b \xe2\x82A \xf0\x9f\xa6";
        let expect = written(&[input]);
        for first in 0..=input.len() {
            for second in first..=input.len() {
                let parts = [&input[..first], &input[first..second], &input[second..]];
                assert_eq!(written(&parts), expect, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn writer_keeps_json_the_same_json() {
        let value = serde_json::json!({ "a\u{202e}\u{7f}": ["\u{1b}\u{9b}\u{2028}\u{e0041}\\", "日本\n\t"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = written(&[text.as_bytes()]);
        assert_eq!(shown.find(is_unsafe_in_lines), None);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
