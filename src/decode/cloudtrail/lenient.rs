//! What the fast parser refuses although it is JSON: a surrogate without its other half, a number beyond a double.
//!
//! Such tokens are made harmless in the parser's own copy of the text, byte for byte, so that every other token
//! stays where it is. Must never touch the source: what is kept as JSON is a slice of that.

use memchr::memchr2;
use simd_json::Node;

/// Numbers of more bytes than this, or with an exponent, are replaced: no column is filled from a number.
const SHORT_NUMBER_BYTES: usize = 18;

/// `\ufffd`, which takes the place of an escape that is no character.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

/// What was replaced in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Patches {
    /// Where the replaced escapes are, ascending.
    pub escapes: Vec<u32>,
    /// How many numbers were replaced.
    pub numbers: usize,
}

/// Replaces the tokens in a copy of a JSON text; anything that is no JSON is left as it is.
pub fn patch(text: &mut [u8]) -> Patches {
    let mut patches = Patches::default();
    let mut at = 0;
    while at < text.len() {
        at = match text[at] {
            b'"' => patch_string(text, at + 1, &mut patches.escapes),
            b'-' | b'0'..=b'9' => {
                let end = at + text[at..].iter().take_while(|byte| is_of_number(**byte)).count();
                patches.numbers += usize::from(patch_number(&mut text[at..end]));
                end
            }
            _ => at + 1,
        };
    }
    patches
}

/// Replaces the lone surrogates of a string that begins at a byte; returns where it ends.
fn patch_string(text: &mut [u8], start: usize, escapes: &mut Vec<u32>) -> usize {
    let mut at = start;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += match surrogate(&text[at..]) {
            None => 2,
            Some(first) if first < 0xdc00 && surrogate(&text[at + 6..]).is_some_and(|low| low >= 0xdc00) => {
                12
            }
            Some(_) => {
                text[at..at + 6].copy_from_slice(REPLACEMENT);
                escapes.push(u32::try_from(at).unwrap_or(u32::MAX));
                6
            }
        };
    }
    text.len()
}

/// The surrogate that an escape at the beginning of some text stands for.
fn surrogate(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let mut value = 0;
    for digit in digits {
        value = value * 16 + char::from(*digit).to_digit(16)?;
    }
    (0xd800..0xe000).contains(&value).then_some(value)
}

/// Replaces a number that may be beyond the parser; whether it was.
fn patch_number(token: &mut [u8]) -> bool {
    let long = token.len() > SHORT_NUMBER_BYTES || token.iter().any(|byte| matches!(byte, b'e' | b'E'));
    if !long || !is_number(token) {
        return false;
    }
    token.fill(b'0');
    token[1] = b'.';
    true
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether a token is a number by JSON's grammar.
fn is_number(token: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = token.strip_prefix(b"-").unwrap_or(token);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest[0] == b'0' {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

/// The strings of a tape that hold replaced escapes, as tape indices, ascending: see `document` for the arithmetic.
pub fn spoiled(tape: &[Node], structurals: &[u32], escapes: &[u32]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut ends: Vec<usize> = Vec::new();
    let mut empties = 0;
    let mut escapes = escapes.iter().peekable();
    for (index, node) in tape.iter().enumerate() {
        while ends.last() == Some(&index) {
            ends.pop();
        }
        let structural = 2 * index + empties - ends.len();
        match node {
            Node::Object { len: 0, .. } | Node::Array { len: 0, .. } => empties += 1,
            Node::Object { count, .. } | Node::Array { count, .. } => ends.push(index + 1 + count),
            Node::String(_) => {
                let end = structurals.get(structural + 1).copied().unwrap_or(u32::MAX);
                let mut holds = false;
                while escapes.next_if(|at| **at < end).is_some() {
                    holds = true;
                }
                if holds {
                    found.push(u32::try_from(index).unwrap_or(u32::MAX));
                }
            }
            Node::Static(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str, escapes: &[u32]) {
        let mut copy = text.as_bytes().to_vec();
        let patches = patch(&mut copy);
        assert_eq!(String::from_utf8_lossy(&copy), expected);
        assert_eq!(patches.escapes, escapes, "{text}");
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        for (text, expected, escapes) in [
            (r#"["\ud800"]"#, r#"["\ufffd"]"#, &[2][..]),
            (r#"["\udc00\ud800"]"#, r#"["\ufffd\ufffd"]"#, &[2, 8]),
            (r#"["\uD83D\uDE80"]"#, r#"["\uD83D\uDE80"]"#, &[]),
            (r#"["\ud83d\ud83d\ude80"]"#, r#"["\ufffd\ud83d\ude80"]"#, &[2]),
            (r#"["\\ud800","\"\udfff"]"#, r#"["\\ud800","\"\ufffd"]"#, &[14]),
            (r#"["\ud80"]"#, r#"["\ud80"]"#, &[]),
            (r#"["\ud800"#, r#"["\ufffd"#, &[2]),
            (r#"["\"#, r#"["\"#, &[]),
        ] {
            check(text, expected, escapes);
        }
    }

    #[test]
    fn numbers_beyond_a_double_are_replaced() {
        for (text, expected) in [
            ("[1e400,-1E+9]", "[0.000,0.000]"),
            ("[1e5]", "[0.0]"),
            ("[1e,01e5,1.e5,1e5x,--1e5,1e+]", "[1e,01e5,1.e5,0.0x,--1e5,1e+]"),
            ("[18446744073709551616]", "[0.000000000000000000]"),
            ("[1234567890,1.5,\"1e400\"]", "[1234567890,1.5,\"1e400\"]"),
        ] {
            check(text, expected, &[]);
        }
    }
}
