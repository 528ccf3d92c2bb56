//! Strict JSON, looked at where it stands: where a value ends, and nothing else.
//!
//! No tape, no tree, no copy: whoever wants a value takes its bytes. Strings are looked at sixteen bytes at a time. What
//! is JSON is what RFC 8259 says, with numbers of any size and escapes that are no characters; must never take
//! anything else, and must never read beyond the text: what ends too early is [`What::End`], for those who have more.

use wide::u8x16;

/// More levels than this are never read, whatever is asked for.
const MOST_LEVELS: usize = 320;

/// What is wrong at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The byte.
    pub at: usize,
    /// What is wrong there.
    pub what: What,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The text ends inside of a value.
    End,
    /// Something else should be there.
    Syntax(&'static str),
    /// One level more than is read.
    TooDeep,
    /// A value that is no object, where a record should be.
    NotARecord,
}

/// A string: where it ends, after its quote, and whether it has escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The byte after its second quote.
    pub end: usize,
    /// Whether it has escapes.
    pub is_escaped: bool,
}

/// A key of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its first quote.
    pub start: usize,
    /// The string.
    pub quoted: Quoted,
    /// Where its value begins.
    pub value: usize,
}

/// The fields of an object, or the items of a list.
#[derive(Debug)]
pub struct Inside<'a> {
    text: &'a [u8],
    /// After the opening bracket, or after the last member; at last after the closing bracket.
    at: usize,
    levels: usize,
    is_object: bool,
    is_first: bool,
}

/// What is inside of an object or a list: a field with its key, or an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The key, when it is a field.
    pub key: Option<Key>,
    /// Where the value begins.
    pub value: usize,
    /// Where the value ends.
    pub end: usize,
}

impl Fault {
    fn syntax<T>(at: usize, expected: &'static str) -> Result<T, Fault> {
        Err(Fault { at, what: What::Syntax(expected) })
    }

    fn end(text: &[u8]) -> Fault {
        Fault { at: text.len(), what: What::End }
    }
}

/// The first byte that is no blank.
#[inline]
pub fn blank(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The byte at a place.
#[inline]
pub fn byte(text: &[u8], at: usize) -> Result<u8, Fault> {
    text.get(at).copied().ok_or_else(|| Fault::end(text))
}

/// The string whose first quote is before a byte.
#[inline]
pub fn string(text: &[u8], start: usize) -> Result<Quoted, Fault> {
    let mut at = start;
    let mut is_escaped = false;
    loop {
        at = special(text, at);
        match byte(text, at)? {
            b'"' => return Ok(Quoted { end: at + 1, is_escaped }),
            b'\\' => {
                at = escape(text, at)?;
                is_escaped = true;
            }
            _ => return Fault::syntax(at, "control character in a string"),
        }
    }
}

/// Bytes that are looked at at once.
const BLOCK: usize = 16;

/// The first quote, backslash or control character; the end of the text when there is none.
#[inline]
fn special(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let block = u8x16::new(*block);
        let control = block.min(u8x16::splat(0x1f)).simd_eq(block);
        let found = control | block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\'));
        let found = found.to_bitmask();
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// What follows an escape.
fn escape(text: &[u8], at: usize) -> Result<usize, Fault> {
    match byte(text, at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
        b'u' => {
            for digit in at + 2..at + 6 {
                if !byte(text, digit)?.is_ascii_hexdigit() {
                    return Fault::syntax(digit, "invalid escape");
                }
            }
            Ok(at + 6)
        }
        _ => Fault::syntax(at + 1, "invalid escape"),
    }
}

/// The key at a byte.
#[inline]
pub fn key(text: &[u8], start: usize) -> Result<Key, Fault> {
    if byte(text, start)? != b'"' {
        return Fault::syntax(start, "key must be a string");
    }
    let quoted = string(text, start + 1)?;
    let colon = blank(text, quoted.end);
    if byte(text, colon)? != b':' {
        return Fault::syntax(colon, "expected `:`");
    }
    Ok(Key { start, quoted, value: blank(text, colon + 1) })
}

/// The containers that are open: whether each is an object, by bits.
struct Open {
    objects: [u64; MOST_LEVELS / 64],
    depth: usize,
}

impl Open {
    #[inline]
    fn push(&mut self, is_object: bool) {
        let (word, bit) = (self.depth / 64 % self.objects.len(), 1 << (self.depth % 64));
        if is_object {
            self.objects[word] |= bit;
        } else {
            self.objects[word] &= !bit;
        }
        self.depth += 1;
    }

    #[inline]
    fn is_in_object(&self) -> bool {
        let top = self.depth - 1;
        self.objects[top / 64 % self.objects.len()] >> (top % 64) & 1 == 1
    }
}

/// Where the value ends that begins at a byte, and may have so many levels.
pub fn value(text: &[u8], start: usize, levels: usize) -> Result<usize, Fault> {
    let levels = levels.min(MOST_LEVELS);
    let mut open = Open { objects: [0; MOST_LEVELS / 64], depth: 0 };
    let mut at = start;
    loop {
        at = match byte(text, at)? {
            b'"' => string(text, at + 1)?.end,
            first @ (b'{' | b'[') => {
                if open.depth >= levels {
                    return Err(Fault { at, what: What::TooDeep });
                }
                let is_object = first == b'{';
                let inside = blank(text, at + 1);
                if byte(text, inside)? == if is_object { b'}' } else { b']' } {
                    inside + 1
                } else {
                    open.push(is_object);
                    at = if is_object { key(text, inside)?.value } else { inside };
                    continue;
                }
            }
            _ => scalar(text, at)?,
        };
        loop {
            if open.depth == 0 {
                return Ok(at);
            }
            at = blank(text, at);
            match (byte(text, at)?, open.is_in_object()) {
                (b',', is_object) => {
                    at = blank(text, at + 1);
                    if is_object {
                        at = key(text, at)?.value;
                    }
                    break;
                }
                (b'}', true) | (b']', false) => {
                    open.depth -= 1;
                    at += 1;
                }
                (_, true) => return Fault::syntax(at, "expected `,` or `}`"),
                (_, false) => return Fault::syntax(at, "expected `,` or `]`"),
            }
        }
    }
}

/// A literal or a number.
fn scalar(text: &[u8], at: usize) -> Result<usize, Fault> {
    match byte(text, at)? {
        b't' => literal(text, at, b"true"),
        b'f' => literal(text, at, b"false"),
        b'n' => literal(text, at, b"null"),
        b'-' | b'0'..=b'9' => number(text, at),
        _ => Fault::syntax(at, "expected value"),
    }
}

fn literal(text: &[u8], start: usize, word: &[u8]) -> Result<usize, Fault> {
    for (at, expected) in (start..).zip(word) {
        if byte(text, at)? != *expected {
            return Fault::syntax(at, "expected ident");
        }
    }
    Ok(start + word.len())
}

fn number(text: &[u8], start: usize) -> Result<usize, Fault> {
    let digits = |at: usize| at + text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let some_digits = |at: usize| match byte(text, at)? {
        b'0'..=b'9' => Ok(digits(at)),
        _ => Fault::syntax(at, "invalid number"),
    };
    let first = if text[start] == b'-' { start + 1 } else { start };
    let mut at = if byte(text, first)? == b'0' { first + 1 } else { some_digits(first)? };
    if text.get(at) == Some(&b'.') {
        at = some_digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = some_digits(at)?;
    }
    Ok(at)
}

impl<'a> Inside<'a> {
    /// What is inside of the object or list that begins at a byte, and may have so many levels, its own included.
    pub fn new(text: &'a [u8], start: usize, levels: usize) -> Self {
        let is_object = text.get(start) == Some(&b'{');
        Inside { text, at: start + 1, levels: levels.saturating_sub(1), is_object, is_first: true }
    }

    /// The next field or item, or nothing when the container ends.
    pub fn member(&mut self) -> Result<Option<Member>, Fault> {
        let Some((key, start)) = self.begin()? else { return Ok(None) };
        let end = value(self.text, start, self.levels)?;
        self.go_on(end);
        Ok(Some(Member { key, value: start, end }))
    }

    /// The key of the next field, or none of an item, and where its value begins, or nothing when the container ends.
    /// The value is for the caller to read, who then has to say where it ends.
    pub fn begin(&mut self) -> Result<Option<(Option<Key>, usize)>, Fault> {
        let text = self.text;
        let mut at = blank(text, self.at);
        match (byte(text, at)?, self.is_object) {
            (b'}', true) | (b']', false) => {
                self.at = at + 1;
                return Ok(None);
            }
            _ if self.is_first => {}
            (b',', _) => at = blank(text, at + 1),
            (_, true) => return Fault::syntax(at, "expected `,` or `}`"),
            (_, false) => return Fault::syntax(at, "expected `,` or `]`"),
        }
        let key = if self.is_object { Some(key(text, at)?) } else { None };
        Ok(Some((key, key.map_or(at, |key| key.value))))
    }

    /// Goes on after a value that began, and ends before a byte.
    pub fn go_on(&mut self, end: usize) {
        (self.at, self.is_first) = (end, false);
    }

    /// After the last member: where the container ends.
    pub fn end(&self) -> usize {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    /// Where a value is all of a text but for blanks, or what is wrong.
    fn check(text: &str) -> Result<(), Fault> {
        let bytes = text.as_bytes();
        let end = value(bytes, blank(bytes, 0), 256)?;
        match blank(bytes, end) {
            end if end == bytes.len() => Ok(()),
            at => Fault::syntax(at, "trailing characters"),
        }
    }

    /// Pieces of JSON, well put together or not.
    const PIECES: [&str; 26] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\":",
        " ",
        "\n",
        "1",
        "-",
        "0",
        ".5",
        "e+7",
        "true",
        "fals",
        "null",
        "\\",
        "\"\\u00",
        "ab\"",
        "\u{1}",
        "\"é\\n\"",
        "\"12345678\"",
        "x",
    ];

    #[test]
    fn what_is_json_is_what_another_parser_says() {
        let mut number = 1_u64;
        let mut valid = 0;
        for _ in 0..200_000 {
            let mut text = String::new();
            for _ in 0..9 {
                number =
                    number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let piece = (number >> 33) as usize;
                if piece.is_multiple_of(3) {
                    break;
                }
                text.push_str(PIECES[piece % PIECES.len()]);
            }
            let expected = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            assert_eq!(check(&text).is_ok(), expected, "{text}");
            valid += u32::from(expected);
        }
        assert!(valid > 5000, "{valid}");
    }

    #[test]
    fn every_text_that_is_cut_ends_too_early() {
        let text = r#"{"a" :[1.5e-3, {"b":"c\u00e9\"d"},true,null,[],{}],"e":"ffffffffffffffffffff"}"#;
        assert_eq!(check(text), Ok(()));
        for end in 0..text.len() {
            let fault = check(&text[..end]).unwrap_err();
            assert_eq!(fault, Fault { at: end, what: What::End }, "{}", &text[..end]);
        }
    }

    #[test]
    fn faults_are_where_something_else_should_be() {
        for (text, at) in [
            ("[1,]", 3),
            ("{\"a\" 1}", 5),
            ("{\"a\":1 \"b\":2}", 7),
            ("{a:1}", 1),
            ("[\"\\x\"]", 3),
            ("[\"\\u12g4\"]", 6),
            ("[\"a\nb\"]", 3),
            ("[01]", 2),
            ("[1.]", 3),
            ("[-]", 2),
            ("[1e]", 3),
            ("[trux]", 4),
            ("[1}", 2),
        ] {
            let fault = check(text).unwrap_err();
            assert!(matches!(fault.what, What::Syntax(_)), "{text}: {fault:?}");
            assert_eq!(fault.at, at, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| "[{\"a\":".repeat(levels / 2) + "1" + &"}]".repeat(levels / 2);
        assert_eq!(check(&nested(256)), Ok(()));
        let deeper = format!("[{}]", nested(256));
        let fault = check(&deeper).unwrap_err();
        let last = deeper.rfind('{').unwrap();
        assert_eq!(fault, Fault { at: last, what: What::TooDeep });
        let text = nested(6);
        assert!(value(text.as_bytes(), 0, 6).is_ok() && value(text.as_bytes(), 0, 5).is_err());
        let text = nested(1000);
        assert!(value(text.as_bytes(), 0, 1000).is_err(), "more levels than are kept");
    }

    #[test]
    fn members_are_those_of_one_container() {
        let text = br#" { "a" : [1, 2] ,"b\"":{} } x"#;
        let mut inside = Inside::new(text, 1, 3);
        let mut found = Vec::new();
        while let Some(Member { key, value, end }) = inside.member().unwrap() {
            let key = key.unwrap();
            found.push((&text[key.start..key.quoted.end], key.quoted.is_escaped, &text[value..end]));
        }
        assert_eq!(found, [(&b"\"a\""[..], false, &b"[1, 2]"[..]), (br#""b\"""#, true, b"{}")]);
        assert_eq!(inside.end(), text.len() - 2);
    }
}
