//! Lines of a flow log, and where their fields are.
//!
//! Must never copy text: a field is a span of the source.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64};
use memchr::{memchr, memchr_iter, memrchr};

use super::header::{self, Header};
use crate::decode::{Error, ErrorKind};

/// No record is anywhere near this long.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// The most records of one object; a delivered file has at most 75 MB of gzip, which is about eight million.
pub const MAX_RECORDS: usize = 10_000_000;

/// How many lines are split before their columns are filled: their text and spans stay in the cache.
const CHUNK_RECORDS: usize = 1024;

/// A slice of the source, as byte offsets; the source is under 2 GiB.
pub type Span = (u32, u32);

/// So many lines tell the format of records that have no header: those without traffic fit many.
const TELLING_LINES: usize = 256;

/// Bytes whose marks are looked for at once.
const BLOCK: usize = 64;

/// Marks that are found before any is looked at, at most, but for those of the last block.
const MARKS: usize = 1024;

/// A block rarely has more marks than this: as many are written, so that most blocks take the same steps.
const USUAL_MARKS: usize = 12;

/// The lines of a text that are not blank.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    text: &'a str,
    /// Where the next line begins.
    at: usize,
    /// Bytes that are at most a blank: where they are, those that were not passed yet in this range.
    marks: Box<[u32; MARKS + BLOCK]>,
    ahead: Range<usize>,
    /// From here on they were not looked for.
    block: usize,
    /// Whether the marks that were found last are single blanks and line ends, so that each ends a field.
    are_plain: bool,
    /// Of these, how many of those that are not passed yet are line ends.
    line_ends: usize,
    /// Whether the last byte that was looked at is a mark.
    ends_in_mark: bool,
    /// Whether any byte that was looked at is of no ASCII: then there may be blanks that are no marks.
    is_wide: bool,
    /// How many plain lines are next, once it was asked.
    plain_ahead: Option<usize>,
}

impl<'a> Lines<'a> {
    /// All lines of a text.
    pub fn new(text: &'a str) -> Self {
        let marks = Box::new([0; MARKS + BLOCK]);
        let (ahead, are_plain, line_ends) = (0..0, false, 0);
        let (ends_in_mark, is_wide, plain_ahead) = (true, false, None);
        Lines {
            text,
            at: 0,
            marks,
            ahead,
            block: 0,
            are_plain,
            line_ends,
            ends_in_mark,
            is_wide,
            plain_ahead,
        }
    }

    /// Appends the spans of the next line's fields and returns where the line begins; `None` after the last line.
    pub fn next_fields(
        &mut self,
        record: Option<usize>,
        spans: &mut Vec<Span>,
    ) -> Result<Option<usize>, Error> {
        let before = spans.len();
        while self.at < self.text.len() {
            let start = self.at;
            if !self.line(spans) {
                return Err(too_long(record, start));
            }
            if self.is_wide {
                split_at_wide_blanks(self.text, spans, before);
            }
            if spans.len() > before {
                return Ok(Some(start));
            }
        }
        Ok(None)
    }

    /// Appends the spans of a line's fields and goes on to the next; false when it is too long.
    #[inline]
    fn line(&mut self, spans: &mut Vec<Span>) -> bool {
        let bytes = self.text.as_bytes();
        let line = self.at;
        let mut start = line;
        loop {
            for (passed, mark) in self.marks[self.ahead.clone()].iter().enumerate() {
                let end = *mark as usize;
                let is_last = bytes[end] == b'\n';
                if !is_last && !is_blank(bytes[end]) {
                    continue;
                }
                if end - line > MAX_LINE_BYTES {
                    return false;
                }
                if end > start {
                    spans.push((narrow(start), narrow(end)));
                }
                start = end + 1;
                if is_last {
                    self.ahead.start += passed + 1;
                    self.line_ends -= 1;
                    self.plain_ahead = self.plain_ahead.map(|lines| lines.saturating_sub(1));
                    self.at = start;
                    return true;
                }
            }
            if !self.look_ahead() {
                break;
            }
        }
        // The last line need not end.
        let end = bytes.len();
        if end - line > MAX_LINE_BYTES {
            return false;
        }
        if end > start {
            spans.push((narrow(start), narrow(end)));
        }
        self.at = end;
        true
    }

    /// How many lines there are next that are so plain that their fields are known: as many of them as `width`, with one
    /// blank between two, all in lines that are not too long. Of those, at most as many as are found already.
    ///
    /// The same width is asked for each time; it is looked at once.
    fn plain_lines(&mut self, width: usize) -> usize {
        let lines = self.plain_ahead.unwrap_or_else(|| self.count_plain_lines(width));
        self.plain_ahead = Some(lines);
        lines
    }

    fn count_plain_lines(&self, width: usize) -> usize {
        let ahead = &self.marks[self.ahead.clone()];
        let count = ahead.len() / width;
        // As many as there are lines, and one at the end of each: then there are none in between.
        if !self.are_plain || count != self.line_ends {
            return 0;
        }
        let bytes = self.text.as_bytes();
        let mut before = self.at;
        let is_plain = ahead.chunks_exact(width).all(|line| {
            let end = line[width - 1] as usize;
            let is_short = end - before <= MAX_LINE_BYTES;
            before = end + 1;
            is_short && bytes[end] == b'\n'
        });
        if is_plain { count } else { 0 }
    }

    /// Appends the spans of the fields of the next so many plain lines, which all have this many, up to the first that
    /// is not wanted; returns how many.
    fn pass_plain_lines(
        &mut self,
        count: usize,
        width: usize,
        is_wanted: impl Fn(&str, &dyn Fn() -> &'a str) -> bool,
        spans: &mut Vec<Span>,
    ) -> usize {
        let ahead = &self.marks[self.ahead.clone()][..count * width];
        let mut start = narrow(self.at);
        let wanted = ahead.chunks_exact(width).take_while(|line| {
            let first = (start, line[0]);
            start = line[width - 1] + 1;
            let second = || line.get(1).map_or("", |end| self.field((line[0] + 1, *end)));
            is_wanted(self.field(first), &second)
        });
        let count = wanted.count();
        let ends = &ahead[..count * width];
        let Some(last) = ends.last() else { return 0 };
        spans.push((narrow(self.at), ends[0]));
        spans.extend(ends.iter().zip(&ends[1..]).map(|(before, end)| (before + 1, *end)));
        self.at = *last as usize + 1;
        self.ahead.start += ends.len();
        self.line_ends -= count;
        self.plain_ahead = self.plain_ahead.map(|lines| lines.saturating_sub(count));
        count
    }

    /// Looks for the next marks, when all that were found are passed; false when there are none.
    ///
    /// Reading takes 0.95 of the time with the registers and the counting of bits that not every processor has
    /// (benches/README.md).
    fn look_ahead(&mut self) -> bool {
        dispatch!(Level::new(), simd => self.look_ahead_with(simd))
    }

    #[expect(clippy::inline_always, reason = "it is compiled for what each processor can do")]
    #[inline(always)]
    fn look_ahead_with<S: Simd>(&mut self, simd: S) -> bool {
        let bytes = self.text.as_bytes();
        let (mut found, mut line_ends) = (0, 0);
        // Of all blocks, marks next to each other, and those that are neither blanks nor line ends.
        let (mut neighbours, mut others) = (0, 0);
        let mut wide = 0;
        while found < MARKS && self.block < bytes.len() {
            let marks = Marks::of(bytes, self.block, simd);
            let mut bits = marks.all;
            others |= marks.all & !(marks.blanks | marks.line_ends);
            wide |= marks.wide;
            line_ends += marks.line_ends.count_ones() as usize;
            neighbours |= bits & (bits << 1 | u64::from(self.ends_in_mark));
            self.ends_in_mark = bits >> (BLOCK - 1) == 1;
            let count = bits.count_ones() as usize;
            let mut next = || {
                let mark = self.block + bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                narrow(mark)
            };
            let (usual, rest) = self.marks[found..].split_at_mut(USUAL_MARKS);
            usual.fill_with(&mut next);
            if count > USUAL_MARKS {
                rest[..count - USUAL_MARKS].fill_with(&mut next);
            }
            found += count;
            self.block += BLOCK;
        }
        self.ahead = 0..found;
        self.plain_ahead = None;
        self.line_ends = line_ends;
        self.is_wide |= wide != 0;
        self.are_plain = !self.is_wide && neighbours | others == 0;
        found > 0
    }

    /// The text that was not passed yet.
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The text of a span.
    pub fn field(&self, span: Span) -> &'a str {
        field(self.text, span)
    }
}

/// The error for a line that begins at a byte.
pub fn too_long(record: Option<usize>, start: usize) -> Error {
    ErrorKind::Shape(format!("a line longer than {MAX_LINE_BYTES} bytes")).at(record, start)
}

/// The text of a span.
#[inline]
pub fn field(text: &str, (start, end): Span) -> &str {
    &text[start as usize..end as usize]
}

/// The first line that is not blank.
pub fn first(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let start = rest.iter().position(|byte| !is_blank(*byte) && *byte != b'\n')?;
        rest = &rest[start..];
        match wide_blank_bytes(rest) {
            0 => break,
            blank => rest = &rest[blank..],
        }
    }
    rest = &rest[..rest.len().min(MAX_LINE_BYTES)];
    Some(&rest[..memchr(b'\n', rest).unwrap_or(rest.len())])
}

/// How many bytes the blank that ASCII does not have takes which a text begins with; 0 when it does not.
fn wide_blank_bytes(text: &[u8]) -> usize {
    let character =
        text.get(..4).unwrap_or(text).utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    character.filter(|character| is_wide_blank(*character)).map_or(0, char::len_utf8)
}

/// The first lines, as many as tell the format of records that have no header; whole ones, if there is more.
pub fn beginning(text: &[u8]) -> &[u8] {
    let most = &text[..text.len().min(MAX_LINE_BYTES)];
    let end = memchr_iter(b'\n', most).nth(TELLING_LINES - 1);
    let end = end.or_else(|| memrchr(b'\n', most).filter(|_| most.len() < text.len()));
    end.map_or(most, |end| &most[..=end])
}

/// The fields of the first line that is not blank, of a text that may be cut off or be something else altogether.
pub fn first_fields(text: &[u8]) -> Option<Vec<&str>> {
    let line = std::str::from_utf8(first(text)?).ok()?;
    let mut spans = Vec::new();
    Lines::new(line).next_fields(None, &mut spans).ok()??;
    Some(spans.into_iter().map(|span| field(line, span)).collect())
}

/// Splits the spans from one on at the blanks that ASCII does not have, as there are in text that was copied from a page:
/// no value of a field has one.
fn split_at_wide_blanks(text: &str, spans: &mut Vec<Span>, from: usize) {
    if spans[from..].iter().all(|span| field(text, *span).is_ascii()) {
        return;
    }
    for (start, end) in spans.split_off(from) {
        let mut at = start;
        for part in field(text, (start, end)).split_inclusive(is_wide_blank) {
            let value = part.trim_end_matches(is_wide_blank);
            if !value.is_empty() {
                spans.push((at, at + narrow(value.len())));
            }
            at += narrow(part.len());
        }
    }
}

fn is_wide_blank(character: char) -> bool {
    !character.is_ascii() && character.is_whitespace()
}

/// Which bytes of a block are at most a blank, which of these are one or end a line, and which are of no ASCII: a bit for
/// each.
struct Marks {
    all: u64,
    blanks: u64,
    line_ends: u64,
    wide: u64,
}

impl Marks {
    /// The marks of a block from a place on; beyond the end there are none.
    #[expect(clippy::inline_always, reason = "it is compiled for what each processor can do")]
    #[inline(always)]
    fn of<S: Simd>(bytes: &[u8], from: usize, simd: S) -> Self {
        let rest = bytes.get(from..).unwrap_or_default();
        let block = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut block = [b'~'; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            block
        });
        let block: u8x64<S> = block.simd_into(simd);
        Marks {
            all: block.simd_le(b' ').to_bitmask(),
            blanks: block.simd_eq(b' ').to_bitmask(),
            line_ends: block.simd_eq(b'\n').to_bitmask(),
            wide: block.simd_ge(0x80).to_bitmask(),
        }
    }
}

/// A carriage return counts as a blank, which takes care of lines that end in CR LF.
///
/// One bit for each, as a `match` would become a jump that processors foresee badly.
#[inline]
fn is_blank(byte: u8) -> bool {
    const BLANKS: u64 = 1 << b' ' | 1 << b'\t' | 1 << b'\r';
    byte < 64 && BLANKS >> byte & 1 == 1
}

/// Never cuts: the decoder refuses a text of 2 GiB.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the text is under 2 GiB, and this runs for every field")]
fn narrow(offset: usize) -> u32 {
    offset as u32
}

/// The spans of some records: a matrix of records by fields, in source order.
#[derive(Debug)]
pub struct Chunk {
    spans: Vec<Span>,
    width: usize,
}

impl Chunk {
    /// An empty chunk of records with `width` fields.
    pub fn new(width: usize) -> Self {
        Chunk { spans: Vec::with_capacity(width * CHUNK_RECORDS), width }
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        self.spans.len() / self.width.max(1)
    }

    /// How many bytes there are from the first field to the last.
    pub fn bytes(&self) -> usize {
        let ends = self.spans.first().zip(self.spans.last());
        ends.map_or(0, |(first, last)| (last.1 - first.0) as usize)
    }

    /// The spans of one field, record by record.
    pub fn column(&self, position: usize) -> impl Iterator<Item = Span> {
        self.spans.chunks_exact(self.width.max(1)).map(move |record| record[position])
    }

    /// The span of one field of one record.
    pub fn span(&self, record: usize, position: usize) -> Span {
        self.spans[record * self.width + position]
    }

    /// Replaces the content with the next records, which follow `before` records; false when there are none.
    ///
    /// A repeated header, as in files that were joined, is not a record. A different one is an error: it would give
    /// the fields that follow another meaning.
    pub fn fill(&mut self, lines: &mut Lines<'_>, header: &Header, before: usize) -> Result<bool, Error> {
        self.spans.clear();
        while self.records() < CHUNK_RECORDS {
            let first = self.spans.len();
            let record = before + self.records();
            if header.shapes.is_empty() && self.width > 0 {
                // Most lines are plain.
                let wanted = (CHUNK_RECORDS - self.records()).min(MAX_RECORDS - record);
                let count = lines.plain_lines(self.width).min(wanted);
                let is_wanted = |first: &str, second: &dyn Fn() -> _| !header.may_repeat(first, second);
                if lines.pass_plain_lines(count, self.width, is_wanted, &mut self.spans) > 0 {
                    continue;
                }
            }
            let Some(offset) = lines.next_fields(Some(record), &mut self.spans)? else { break };
            let found = &self.spans[first..];
            let second = || found.get(1).map_or("", |span| lines.field(*span));
            if header.may_repeat(lines.field(found[0]), second) {
                let fields: Vec<&str> = found.iter().map(|span| lines.field(*span)).collect();
                if fields == header.names {
                    self.spans.truncate(first);
                    continue;
                }
                if header::table_of(&fields).is_some() {
                    return Err(shape("a second header that differs from the first", record, offset));
                }
            }
            if found.len() != self.width {
                let names = if header.is_read { "the header names" } else { "the format has" };
                let what = format!("{} fields where {names} {}", found.len(), self.width);
                return Err(shape(&what, record, offset));
            }
            let misfit =
                header.shapes.iter().zip(found).position(|(shape, span)| !shape.has(lines.field(*span)));
            if let Some(place) = misfit {
                let what = format!(
                    "field {} cannot be `{}`, which it is in the format that the records before it fit",
                    place + 1,
                    header.names[place]
                );
                return Err(shape(&what, record, offset));
            }
            if record == MAX_RECORDS {
                return Err(shape(&format!("more than {MAX_RECORDS} records"), record, offset));
            }
        }
        Ok(!self.spans.is_empty())
    }
}

fn shape(what: &str, record: usize, offset: usize) -> Error {
    ErrorKind::Shape(what.to_owned()).at(Some(record), offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_the_same_on_every_processor() {
        let kinds = b" \t\r\n\0\x0b\x1f!-09a\x7f\x80\xa0\xff";
        let mut number = 1_u64;
        let mut byte = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            kinds[(number >> 33) as usize % kinds.len()]
        };
        let text: Vec<u8> = (0..500).map(|_| byte()).collect();
        for from in 0..text.len() {
            let rest = &text[from..text.len().min(from + BLOCK)];
            let slowly = |is_marked: fn(u8) -> bool| {
                let bit = |(at, byte): (usize, &u8)| u64::from(is_marked(*byte)) << at;
                rest.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit)
            };
            let expected = [
                slowly(|byte| byte <= b' '),
                slowly(|byte| byte == b' '),
                slowly(|byte| byte == b'\n'),
                slowly(|byte| !byte.is_ascii()),
            ];
            for level in [Level::baseline(), Level::new()] {
                let Marks { all, blanks, line_ends, wide } =
                    dispatch!(level, simd => Marks::of(&text, from, simd));
                assert_eq!([all, blanks, line_ends, wide], expected, "{level:?} from {from}");
            }
        }
    }

    fn is_separator(character: char) -> bool {
        matches!(character, ' ' | '\t' | '\r' | '\n' | '\u{a0}' | '\u{3000}')
    }

    /// The fields of the lines that have some, and where these lines begin.
    fn slowly(text: &str) -> Vec<(usize, Vec<&str>)> {
        let mut start = 0;
        let mut lines = Vec::new();
        for line in text.split('\n') {
            let fields: Vec<&str> = line.split(is_separator).filter(|field| !field.is_empty()).collect();
            if !fields.is_empty() {
                lines.push((start, fields));
            }
            start += line.len() + 1;
        }
        lines
    }

    fn check(text: &str) {
        let (mut lines, mut spans, mut found) = (Lines::new(text), Vec::new(), Vec::new());
        while let Some(start) = lines.next_fields(None, &mut spans).unwrap() {
            found.push((start, spans.drain(..).map(|span| field(text, span)).collect::<Vec<_>>()));
        }
        assert_eq!(found, slowly(text), "{text:?}");
        assert_eq!(lines.next_fields(None, &mut spans).unwrap(), None);
    }

    #[test]
    fn lines_are_split_wherever_their_blanks_are() {
        let pieces = [
            "a",
            "10.0.0.1",
            " ",
            "  ",
            "\n",
            "\r\n",
            "\t",
            "\u{b}",
            "\0",
            "é",
            "\u{1f600}",
            "-",
            "\u{a0}",
            "\u{3000}",
            "\u{feff}",
        ];
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..3000 {
            let count = next(80);
            check(&(0..count).map(|_| pieces[next(pieces.len())]).collect::<String>());
        }
        // Each blank at every place of a block and of the one after it.
        for blank in [" ", "\n", "\r\n", "\u{a0}", " \u{3000}\n"] {
            for at in 0..3 * BLOCK {
                for after in 0..3 {
                    check(&format!("{}{blank}{}", "x".repeat(at), "y".repeat(after * BLOCK)));
                }
            }
        }
    }

    /// The fields of the records of a text, or the place and beginning of the reason why there are none.
    fn filled(text: &str, header: &Header) -> Result<Vec<Vec<String>>, String> {
        let (mut lines, mut chunk) = (Lines::new(text), Chunk::new(header.names.len()));
        let mut records = Vec::new();
        while chunk.fill(&mut lines, header, records.len()).map_err(|error| error.to_string())? {
            for record in 0..chunk.records() {
                let fields = (0..header.names.len()).map(|field| chunk.span(record, field));
                records.push(fields.map(|span| lines.field(span).to_owned()).collect());
            }
        }
        Ok(records)
    }

    #[test]
    fn plain_lines_are_read_as_others_are() {
        let header = Header::of(&crate::decode::columns::VPC_FLOW, &["srcaddr", "dstaddr", "bytes"]);
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let odd = [
            "a  b c\n",
            "a b c\r\n",
            "\n",
            " a b c\n",
            "a b c \n",
            "a\tb c\n",
            "srcaddr dstaddr bytes\n",
            "\u{b} b c\n",
            "a b\u{a0}\u{a0}c\u{a0}\n",
            "\u{a0}\n",
            "a b\u{b7} c\n",
        ];
        let wrong = ["a b\n", "a b c d\n", "a\nb c d e\n", "srcaddr bytes dstaddr\n"];
        let (mut odd_ones, mut wrong_ones) = (0, 0);
        for round in 0..600 {
            let mut text = String::new();
            let mut expected = Ok(Vec::new());
            for _ in 0..next(2500) {
                let line = match next(400 * (1 + round % 3)) {
                    0 => odd[next(odd.len())].to_owned(),
                    1 if round % 5 == 0 => wrong[next(wrong.len())].to_owned(),
                    _ => format!("{} {} {}\n", "x".repeat(1 + next(20)), "y".repeat(1 + next(9)), next(1000)),
                };
                odd_ones += usize::from(odd.contains(&line.as_str()));
                if wrong.contains(&line.as_str()) {
                    wrong_ones += 1;
                    expected = Err(text.len());
                    text.push_str(&line);
                    break;
                }
                let fields = line.split(is_separator).filter(|field| !field.is_empty());
                let fields: Vec<String> = fields.map(str::to_owned).collect();
                if let (Ok(records), false) = (&mut expected, fields.is_empty() || fields == header.names) {
                    records.push(fields);
                }
                text.push_str(&line);
            }
            if expected.is_ok() && next(2) == 0 {
                // The last line need not end.
                text.truncate(text.trim_end().len());
            }
            match expected {
                Ok(records) => assert_eq!(filled(&text, &header), Ok(records)),
                Err(place) => {
                    let error = filled(&text, &header).unwrap_err();
                    assert!(error.ends_with(&format!(", byte {place})")), "{error}, not at {place}");
                }
            }
        }
        assert!(odd_ones > 500 && wrong_ones > 50, "{odd_ones} {wrong_ones}");
        // As many line ends as there would be, but not where they would be; and a line that is too long.
        let (few, many) = ("a b\nc d e f\n", "a b c\n".repeat(400));
        assert!(filled(few, &header).unwrap_err().ends_with("(record 0, byte 0)"));
        assert!(filled(&format!("{many}{few}"), &header).unwrap_err().ends_with("(record 400, byte 2400)"));
        let long = format!("{many}a {} c\n", "b".repeat(MAX_LINE_BYTES));
        assert!(filled(&long, &header).unwrap_err().ends_with("(record 400, byte 2400)"));
    }

    #[test]
    fn a_long_line_is_refused_before_its_fields_take_memory() {
        let long = "x ".repeat(MAX_LINE_BYTES);
        for (text, refused_at) in [
            (format!("a b\n{long}"), Some(4)),
            (format!("a b\n{}\n", "x".repeat(MAX_LINE_BYTES + 1)), Some(4)),
            (format!("a b\n{}", " ".repeat(MAX_LINE_BYTES + 1)), Some(4)),
            (format!("a b\n{}\n", "x".repeat(MAX_LINE_BYTES)), None),
        ] {
            let (mut lines, mut spans) = (Lines::new(&text), Vec::new());
            assert_eq!(lines.next_fields(Some(0), &mut spans).unwrap(), Some(0));
            let second = lines.next_fields(Some(1), &mut spans).map_err(|error| error.to_string());
            assert!(spans.len() <= 2 + MAX_LINE_BYTES / 2 + 1);
            let refused = refused_at.map(|at| too_long(Some(1), at).to_string());
            assert_eq!(second, refused.map_or(Ok(Some(4)), Err));
        }
    }
}
