//! From text to columns: one walk over the keys of a record, each value straight into its column.
//!
//! What is inside an object that repeats, an identity above all, is read once for every distinct text of it, and its
//! end is not looked for where it is seen again. Must never leave a part of an object behind: rows are dropped again
//! when a later record cannot be read.

mod bounds;
mod ends;

use std::borrow::Cow;
use std::ops::Range;

use arrow::record_batch::RecordBatch;

use super::fault::json_error;
use super::keys::{Keys, Target};
use super::nested::{Group, Nested};
use super::outline::{OF_RECORD, Outline};
use super::scan::{self, Fault, What};
use super::unescape::unescaped;
use crate::decode::columns::{AGGREGATED_EVENTS, CLOUDTRAIL, DIGESTS, Kind, Table};
use crate::decode::fill::{self, Column, NO_CELL, TextColumn};
use crate::decode::time;
use crate::decode::{Error, ErrorKind};

/// More records than this in one object are refused: rows take memory even when they are empty, and no log file comes
/// near.
const MAX_RECORDS: usize = 4_000_000;

/// The most bytes of one record, and of a document that is no list of records; CloudTrail's own limit is 1 MB.
pub const MAX_RECORD_BYTES: usize = fill::MAX_TEXT_BYTES;

/// Room for this many fields without a column is kept from record to record.
const KEPT_OTHERS: usize = 4096;

/// Room for this much text of them is kept from record to record.
const KEPT_TEXT_BYTES: usize = 1 << 20;

/// Rows that columns get room for at a time.
const ROOM: usize = 256;

/// Records nested deeper than this are refused; CloudTrail itself stays under 20.
pub const MAX_DEPTH: usize = 256;

/// The rows gathered so far, of one object or of many.
#[derive(Debug)]
pub struct Rows {
    table: &'static Table,
    keys: Keys,
    columns: Vec<Column>,
    groups: Vec<Group>,
    special: Special,
    /// The first row of the object at hand.
    first: usize,
    count: usize,
    /// The columns of the keys that tell a record, one bit each.
    of_event: u128,
    /// Those of them that no other kind of event has: the time and the name.
    of_call: u128,
    record: Record,
    /// Bytes of records since it was looked at how large the columns have become.
    unlooked: usize,
    /// After so many it is looked at again.
    between_looks: usize,
    /// More memory than this to know texts again is refused.
    most_of_numbers: usize,
}

/// Where the columns are that no field fills by itself.
#[derive(Debug)]
struct Special {
    time: usize,
    others: usize,
    nulls: usize,
    object: usize,
    row: usize,
    date: usize,
}

/// A slice of the source, as byte offsets.
type Span = (usize, usize);

/// The record at hand.
#[derive(Debug, Default)]
struct Record {
    /// Which columns had a field: one bit each.
    seen: u128,
    /// For the columns seen: their field.
    fields: Vec<Filled>,
    /// Fields that have no column or do not fit theirs.
    others: Vec<Span>,
    /// Columns whose field is an explicit null, in source order.
    nulls: Vec<u16>,
    text: String,
}

/// A top-level field that has a column.
#[derive(Debug, Clone, Copy)]
struct Field {
    column: usize,
    /// The level its value's own keys are looked up in.
    level: Option<u16>,
    /// Where its key begins.
    key: usize,
    /// Where its value begins.
    value: usize,
}

/// A field that was put into its column.
#[derive(Debug, Clone, Copy)]
struct Filled {
    field: Field,
    end: usize,
    went: Went,
}

/// How far a list was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Up to the bracket or comma before a record that goes on after the text.
    UpTo(usize),
    /// To its closing bracket.
    Whole(usize),
}

/// Where a value went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    /// Into its column, which holds all of it.
    Column,
    /// Into its column, and the source's own form is kept besides.
    ColumnAndOther,
    /// Among the explicit nulls.
    Null,
    /// Among the other fields.
    Other,
}

impl Rows {
    /// No rows yet.
    pub fn new(table: &'static Table) -> Self {
        let keys = Keys::new(table);
        let columns = table.columns.iter().map(|column| Column::new(column.kind)).collect();
        let position =
            |kind| table.columns.iter().position(|column| column.kind == kind).unwrap_or(usize::MAX);
        let special = Special {
            time: table.index_of(table.time_column).unwrap_or(usize::MAX),
            others: position(Kind::OtherFields),
            nulls: position(Kind::NullFields),
            object: position(Kind::SourceObject),
            row: position(Kind::SourceRow),
            date: position(Kind::EventDate),
        };
        let groups = keys.top_levels().map(|level| Group::new(table, &keys, level)).collect();
        let nothing = Field { column: 0, level: None, key: 0, value: 0 };
        let fields = vec![Filled { field: nothing, end: 0, went: Went::Null }; table.columns.len()];
        let record = Record { fields, ..Record::default() };
        let columns_of = |names: &[&str]| {
            let columns = names.iter().filter_map(|name| keys.find(0, name.as_bytes())?.column);
            columns.fold(0, |all, column| all | 1_u128 << column)
        };
        let (of_event, of_call) = (columns_of(&OF_RECORD), columns_of(&OF_RECORD[1..]));
        Rows {
            table,
            keys,
            columns,
            groups,
            special,
            first: 0,
            count: 0,
            of_event,
            of_call,
            record,
            unlooked: 0,
            between_looks: bounds::BYTES_BETWEEN_LOOKS,
            most_of_numbers: bounds::MAX_BYTES_OF_NUMBERS,
        }
    }

    /// The table that these are rows of.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// Whether these are rows of digests.
    pub fn is_digest(&self) -> bool {
        self.table.name == DIGESTS.name
    }

    /// How many rows the object at hand has so far.
    pub fn of_object(&self) -> usize {
        self.count - self.first
    }

    /// How many bytes of text the columns hold.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// The error for a record, the next one of the object at hand, or a document of more bytes than this.
    pub fn too_large(&self, limit_bytes: usize, offset: usize) -> Error {
        let what = format!("a record of more than {limit_bytes} bytes");
        ErrorKind::Shape(what).at(Some(self.of_object()), offset)
    }

    /// Begins an object, whose records follow; `end` or `drop_object` ends it.
    pub fn begin(&mut self) {
        self.first = self.count;
    }

    /// Ends an object: all its records are there. Returns its rows.
    pub fn end(&mut self, source_object: &str) -> Range<usize> {
        let rows = self.first..self.count;
        if let Some(Column::Text(column)) = self.columns.get_mut(self.special.object)
            && !rows.is_empty()
        {
            column.fill(rows.clone(), source_object);
        }
        if let Some(Column::Int32(values)) = self.columns.get_mut(self.special.row) {
            for (number, value) in (0..).zip(&mut values[rows.clone()]) {
                *value = number;
            }
        }
        rows
    }

    /// Whether the object at hand has rows, and none of them has anything in these columns.
    pub fn lacks(&self, names: &[&str]) -> bool {
        let rows = self.first..self.count;
        let columns = names.iter().filter_map(|name| self.table.index_of(name));
        !rows.is_empty() && columns.into_iter().all(|index| self.columns[index].is_null_in(rows.clone()))
    }

    /// Whether the object at hand has rows, and all have texts that begin so in this column.
    pub fn all_begin(&self, name: &str, start: &str) -> bool {
        let column = self.table.index_of(name).and_then(|index| self.columns.get(index));
        let Some(Column::Text(column)) = column else { return false };
        let begins = |row| column.get(row).is_some_and(|text| text.starts_with(start));
        self.first < self.count && (self.first..self.count).all(begins)
    }

    /// Drops the rows of the object at hand, which may have ended: it cannot be read as a whole.
    pub fn drop_object(&mut self) {
        self.count = self.first;
        self.columns.iter_mut().for_each(|column| column.resize(self.first));
    }

    /// Adds the records of one document, which begins at a byte of the content, to the object at hand.
    pub fn read(&mut self, text: &str, offset: usize) -> Result<(), Error> {
        let bytes = text.as_bytes();
        let start = scan::blank(bytes, 0);
        if self.event(text, start, offset)? {
            return Ok(());
        }
        let outline = Outline::of(text, start).map_err(|fault| json_error(fault, None, offset))?;
        let shape = |what: &str, at: usize| Err(ErrorKind::Shape(what.to_owned()).at(None, offset + at));
        if self.is_digest() {
            if outline.of_digest < 2 {
                return shape("not a digest", start);
            }
            self.one(text, start, offset)?;
            self.fill_digest(self.count - 1, text);
            return Ok(());
        }
        match (bytes[start], outline) {
            (b'[', _) => self.whole_list(text, start, offset),
            (b'{', Outline { again: Some(key), .. }) => shape("`Records` is there twice", key),
            (b'{', Outline { records: Some(list), .. }) if bytes[list] == b'[' => {
                self.whole_list(text, list, offset)
            }
            (b'{', Outline { records: Some(value), .. }) => shape("`Records` is not an array", value),
            (b'{', outline) => match self.single_record(&outline, text, start) {
                Some(record) => self.one(text, record, offset),
                None if outline.of_aggregated >= 2 => shape("an aggregated event among events", start),
                None if outline.is_bus_event && self.table.name == CLOUDTRAIL.name => {
                    shape("an EventBridge event whose `detail` is no event of CloudTrail", start)
                }
                None if outline.is_like_a_flow() => shape(
                    "what may be a record of a flow log as JSON: they are read as text or Parquet",
                    start,
                ),
                None => shape(&format!("no `Records` among the keys {}", outline.some_keys()), start),
            },
            _ => shape("expected a JSON object or array", start),
        }
    }

    /// Adds a document that is the record of an event and shows it by its keys, as most do, in one walk; false, and
    /// nothing is added, when it is to be looked at first: it is something else, or wrong.
    fn event(&mut self, text: &str, start: usize, offset: usize) -> Result<bool, Error> {
        let bytes = text.as_bytes();
        let begins_like_one = || {
            let key = scan::key(bytes, scan::blank(bytes, start + 1)).ok()?;
            self.keys.find(0, &bytes[key.start + 1..key.quoted.end - 1])?.column
        };
        if self.table.name != CLOUDTRAIL.name
            || bytes.get(start) != Some(&b'{')
            || begins_like_one().is_none()
        {
            return Ok(false);
        }
        self.grow(1, offset + start)?;
        let end = self.record(self.count, text, start);
        // Also of what is looked at again: its values are known by now.
        self.look_after(bytes.len(), offset + start)?;
        if end.is_ok_and(|end| scan::blank(bytes, end) == bytes.len()) && self.is_event(text) {
            self.count += 1;
            return Ok(true);
        }
        self.columns.iter_mut().for_each(|column| column.resize(self.count));
        Ok(false)
    }

    /// Whether the record at hand, with these keys, can be nothing but that of an event.
    fn is_event(&self, text: &str) -> bool {
        let is_other = |(key, _): &Span| match scan::key(text.as_bytes(), *key) {
            Ok(key) => key.quoted.is_escaped || text[key.start..key.quoted.end] == *"\"Records\"",
            Err(_) => true,
        };
        (self.record.seen & self.of_event).count_ones() >= 2 && !self.record.others.iter().any(is_other)
    }

    /// What the record at hand is, if it is certainly none: a log file, an envelope, or an event of another table. It has
    /// neither the time nor the name of an event.
    fn other_kind(&self, text: &str) -> Option<&'static str> {
        if self.table.name != CLOUDTRAIL.name || self.record.seen & self.of_call != 0 {
            return None;
        }
        let is_of_event = self.record.seen & self.of_event != 0;
        self.record.others.iter().find_map(|(at, _)| {
            let key = scan::key(text.as_bytes(), *at).ok()?;
            kind_of_field(&text[key.start..key.quoted.end], &text[key.value..], is_of_event)
        })
    }

    /// Where the record of a document begins that is no list of records.
    fn single_record(&self, outline: &Outline, text: &str, start: usize) -> Option<usize> {
        if self.table.name == AGGREGATED_EVENTS.name {
            return (outline.of_aggregated >= 2).then_some(start);
        }
        outline.record(text, start)
    }

    /// Adds the records of a list, which begins with the bracket or comma at a byte, to the object at hand. The text
    /// begins at byte `offset` of the content.
    pub fn list(&mut self, text: &str, start: usize, offset: usize) -> Result<Listed, Error> {
        let before = self.count;
        let listed = self.records(text, start, offset);
        if !matches!(listed, Ok(Listed::Whole(_))) || self.count > before {
            self.columns.iter_mut().for_each(|column| column.resize(self.count));
        }
        listed
    }

    fn whole_list(&mut self, text: &str, start: usize, offset: usize) -> Result<(), Error> {
        match self.list(text, start, offset)? {
            Listed::Whole(_) => Ok(()),
            // The list was scanned to its end before.
            Listed::UpTo(at) => {
                Err(ErrorKind::Json("the list is not closed".to_owned()).at(None, offset + at))
            }
        }
    }

    /// All rows as a batch, text columns as dictionaries; nothing is left.
    pub fn finish(&mut self) -> Result<RecordBatch, Error> {
        self.fill_groups();
        self.fill_dates();
        let failed = |error| ErrorKind::Shape(format!("rows do not fit a batch: {error}")).nowhere();
        (self.first, self.count) = (0, 0);
        // All of them, also after one that fails.
        let arrays: Vec<_> = self.columns.iter_mut().map(Column::finish).collect();
        let arrays = arrays.into_iter().collect::<Result<_, _>>().map_err(failed)?;
        fill::batch(self.table, arrays).map_err(failed)
    }

    fn records(&mut self, text: &str, start: usize, offset: usize) -> Result<Listed, Error> {
        let bytes = text.as_bytes();
        // The bracket or comma before the next record.
        let (mut before, mut room) = (start, self.count);
        loop {
            let at = scan::blank(bytes, before + 1);
            match bytes.get(at) {
                None => return Ok(Listed::UpTo(before)),
                Some(b']') if bytes[before] == b'[' => return Ok(Listed::Whole(at)),
                Some(_) => {}
            }
            if self.count == room {
                room = self.grow(ROOM, offset + at)?;
            }
            let end = match self.record(self.count, text, at).and_then(|end| after(text, end)) {
                Ok(end) => end,
                Err(Fault { what: What::End, .. }) => return Ok(Listed::UpTo(before)),
                Err(fault) => return Err(self.error(fault, offset)),
            };
            if let Some(kind) = self.other_kind(text) {
                let what = format!("{kind} in the place of a record");
                return Err(ErrorKind::Shape(what).at(Some(self.of_object()), offset + at));
            }
            if end - at > MAX_RECORD_BYTES {
                return Err(self.too_large(MAX_RECORD_BYTES, offset + at));
            }
            self.look_after(end - at, offset + at)?;
            self.count += 1;
            if bytes[end] == b']' {
                return Ok(Listed::Whole(end));
            }
            before = end;
        }
    }

    fn error(&self, fault: Fault, offset: usize) -> Error {
        json_error(fault, Some(self.of_object()), offset)
    }

    /// Adds the record that begins at a byte, of which it is known that it is JSON.
    fn one(&mut self, text: &str, start: usize, offset: usize) -> Result<(), Error> {
        self.grow(1, offset + start)?;
        let read = self.record(self.count, text, start);
        let end = read.map_err(|fault| self.error(fault, offset))?;
        self.look_after(end - start, offset + start)?;
        self.count += 1;
        Ok(())
    }

    /// Makes room for records after those that are there, which begin at a byte; returns how many rows there is room
    /// for.
    fn grow(&mut self, records: usize, offset: usize) -> Result<usize, Error> {
        if self.count - self.first >= MAX_RECORDS {
            return Err(ErrorKind::Shape(format!("more than {MAX_RECORDS} records")).at(None, offset));
        }
        let rows = (self.count + records).min(self.first + MAX_RECORDS);
        self.columns.iter_mut().for_each(|column| column.resize(rows));
        Ok(rows)
    }

    /// Reads the record that begins at a byte into a row; returns where it ends.
    fn record(&mut self, row: usize, text: &str, start: usize) -> Result<usize, Fault> {
        let bytes = text.as_bytes();
        if scan::byte(bytes, start)? != b'{' {
            scan::value(bytes, start, MAX_DEPTH)?;
            return Err(Fault { at: start, what: What::NotARecord });
        }
        self.record.clear();
        let mut at = scan::blank(bytes, start + 1);
        if scan::byte(bytes, at)? == b'}' {
            return Ok(at + 1);
        }
        let mut before = self.keys.start();
        loop {
            let (target, value) = match self.keys.likely(before, &bytes[at..]) {
                Some((target, length)) => (Some(target), scan::blank(bytes, at + length)),
                None => self.key(text, at, before)?,
            };
            before = target.map_or(before, |target| target.top);
            let end = if let Some(Target { column: Some(column), level, .. }) = target {
                self.field(row, text, Field { column: usize::from(column), level, key: at, value })?
            } else {
                let end = scan::value(bytes, value, MAX_DEPTH - 1)?;
                self.record.others.push((at, end));
                end
            };
            at = scan::blank(bytes, end);
            match scan::byte(bytes, at)? {
                b',' => at = scan::blank(bytes, at + 1),
                b'}' => break,
                _ => return Err(Fault { at, what: What::Syntax("expected `,` or `}`") }),
            }
        }
        self.fill_others(row, text);
        self.fill_nulls(row);
        Ok(at + 1)
    }

    /// What the key at a byte leads to, and where its value begins.
    fn key(&mut self, text: &str, at: usize, before: usize) -> Result<(Option<Target>, usize), Fault> {
        let key = scan::key(text.as_bytes(), at)?;
        let target = if key.quoted.is_escaped {
            unescaped(text, at, key.quoted.end).and_then(|key| self.keys.find(0, key.as_bytes()))
        } else {
            self.keys.find(0, &text.as_bytes()[at + 1..key.quoted.end - 1])
        };
        if let Some(target) = target {
            self.keys.follows(before, target.top);
        }
        Ok((target, key.value))
    }

    /// Puts a known top-level field into its column, or among the nulls or the others; returns where it ends.
    #[inline]
    fn field(&mut self, row: usize, text: &str, field: Field) -> Result<usize, Fault> {
        let Field { column, key, .. } = field;
        let bit = 1_u128 << column;
        let repeated = self.record.seen & bit != 0;
        if repeated {
            self.forget(row, column);
        }
        let (went, end) = self.place(row, text, field)?;
        if went == Went::Null {
            self.record.nulls.push(u16::try_from(column).unwrap_or(u16::MAX));
        }
        // Beside an earlier value in another form, this one would not tell which is the last.
        let beside = repeated && went == Went::Column && self.table.columns[column].kind.has_forms();
        if beside || matches!(went, Went::Other | Went::ColumnAndOther) {
            self.record.others.push((key, end));
        }
        self.record.seen |= bit;
        let went = if beside { Went::ColumnAndOther } else { went };
        self.record.fields[column] = Filled { field, end, went };
        Ok(end)
    }

    /// Puts a value into its column, if it fits; returns where it went, and where it ends.
    #[inline]
    fn place(&mut self, row: usize, text: &str, field: Field) -> Result<(Went, usize), Fault> {
        let Field { column, level, value, .. } = field;
        let bytes = text.as_bytes();
        let first = scan::byte(bytes, value)?;
        let kind = self.table.columns[column].kind;
        if kind == Kind::Json && first != b'n' {
            let end = self.json(row, text, column, level, value)?;
            return Ok((Went::Column, end));
        }
        if first != b'"' {
            let end = scan::value(bytes, value, MAX_DEPTH - 1)?;
            return Ok((self.bare(row, column, first), end));
        }
        if let (Kind::Text, Column::Text(column)) = (kind, &mut self.columns[column]) {
            return self::text(row, text, value, column);
        }
        let quoted = scan::string(bytes, value + 1)?;
        let found = if quoted.is_escaped {
            unescaped(text, value, quoted.end).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(&text[value + 1..quoted.end - 1]))
        };
        let went = match found {
            Some(found) => self.string(row, column, &found),
            None => Went::Other,
        };
        Ok((went, quoted.end))
    }

    /// Puts a value that is no string into a column that is not of JSON.
    fn bare(&mut self, row: usize, column: usize, first: u8) -> Went {
        match (self.table.columns[column].kind, &mut self.columns[column], first) {
            (_, _, b'n') => Went::Null,
            (kind, Column::Bool(values), b't' | b'f') => {
                values[row] = u8::from(first == b't');
                if kind == Kind::Bool { Went::Column } else { Went::ColumnAndOther }
            }
            _ => Went::Other,
        }
    }

    /// Puts a string into a column that is not of text.
    #[inline]
    fn string(&mut self, row: usize, column: usize, found: &str) -> Went {
        match (self.table.columns[column].kind, &mut self.columns[column]) {
            (kind, Column::Bool(values)) if matches!(found, "true" | "false") => {
                values[row] = u8::from(found == "true");
                if kind == Kind::BoolText { Went::Column } else { Went::ColumnAndOther }
            }
            (Kind::Timestamp, Column::Time(times)) => {
                let Some(time) = time::parse_iso8601(found.as_bytes()) else { return Went::Other };
                times[row] = time;
                let is_whole = found.len() == "2026-01-31T12:00:00Z".len()
                    && found.ends_with('Z')
                    && found.as_bytes().get(10) == Some(&b'T');
                if is_whole { Went::Column } else { Went::ColumnAndOther }
            }
            _ => Went::Other,
        }
    }

    /// Puts a value into a column of JSON, and what is inside of it into those below; returns where it ends.
    #[inline]
    fn json(
        &mut self,
        row: usize,
        text: &str,
        column: usize,
        level: Option<u16>,
        value: usize,
    ) -> Result<usize, Fault> {
        let Column::Text(found) = &mut self.columns[column] else {
            return scan::value(text.as_bytes(), value, MAX_DEPTH - 1);
        };
        let rest = &text.as_bytes()[value..];
        let is_container = matches!(rest[0], b'{' | b'[');
        let known = if is_container { found.texts.container(rest) } else { None };
        let (number, end) = if let Some((number, length)) = known {
            (number, value + length)
        } else {
            let end = scan::value(text.as_bytes(), value, MAX_DEPTH - 1)?;
            (found.texts.number_container(&text[value..end]), end)
        };
        found.set_number(row, number);
        if let (Some(level), b'{') = (level, rest[0])
            && number != fill::NULL
        {
            self.group(row, text, column, level, number, value);
        }
        Ok(end)
    }

    /// A key is there again: the last one counts, and the one before it moves to the others.
    fn forget(&mut self, row: usize, column: usize) {
        let Filled { field, end, went } = self.record.fields[column];
        if went == Went::Null {
            self.record.nulls.retain(|null| usize::from(*null) != column);
        }
        if matches!(went, Went::Null | Went::Column) {
            self.record.others.push((field.key, end));
        }
        self.columns[column].clear(row);
        if let Some(group) = self.groups.iter().find(|group| Some(group.level) == field.level) {
            group.columns.iter().for_each(|below| self.columns[usize::from(*below)].clear(row));
        }
    }

    /// Reads what is inside of an object whose text has this number in its own column, unless that was done before; the
    /// columns from inside are filled at the end, but where each text is a new one.
    fn group(&mut self, row: usize, text: &str, column: usize, level: u16, number: u32, value: usize) {
        let Rows { columns, groups, keys, table, .. } = self;
        let Some(group) = groups.iter_mut().find(|group| group.level == level) else { return };
        let is_shared = matches!(&columns[column], Column::Text(text) if text.texts.is_shared());
        if is_shared && group.has(number) {
            return;
        }
        let mut cells = std::mem::take(&mut group.at_hand);
        cells.fill(NO_CELL);
        Nested { columns, keys, table, text, below: &group.columns }.read(level, value, &mut cells);
        if let Some(actor) = &group.actor {
            actor.fill(columns, &group.columns, &mut cells);
        }
        if is_shared {
            group.keep(number, &cells);
        } else {
            for (below, cell) in group.columns.iter().zip(&cells) {
                columns[usize::from(*below)].set_cell(row, *cell);
            }
        }
        group.at_hand = cells;
    }
}

/// Puts the string that begins at a byte into a column of text; returns where it went, and where it ends.
#[inline]
fn text(row: usize, text: &str, value: usize, column: &mut TextColumn) -> Result<(Went, usize), Fault> {
    // Where the string ends does not wait for the texts that were there before: the next field can be begun.
    let quoted = scan::string(text.as_bytes(), value + 1)?;
    let went = if !quoted.is_escaped {
        let number = column.texts.number_again(&text[value + 1..quoted.end - 1]);
        column.set_number(row, number);
        Went::Column
    } else if let Some(found) = unescaped(text, value, quoted.end) {
        column.set(row, &found);
        Went::Column
    } else {
        Went::Other
    };
    Ok((went, quoted.end))
}

/// The comma or bracket after a record of a list that ends at a byte.
fn after(text: &str, end: usize) -> Result<usize, Fault> {
    let at = scan::blank(text.as_bytes(), end);
    match scan::byte(text.as_bytes(), at)? {
        b',' | b']' => Ok(at),
        _ => Err(Fault { at, what: What::Syntax("expected `,` or `]`") }),
    }
}

impl Record {
    fn clear(&mut self) {
        self.seen = 0;
        self.others.clear();
        self.nulls.clear();
        // What one strange record needed is not kept.
        self.others.shrink_to(KEPT_OTHERS);
        self.text.shrink_to(KEPT_TEXT_BYTES);
    }
}

/// What has a field of this name, in quotes, with a value that begins like this, and neither the time nor the name of an
/// event: none unless only things that are no record have it.
fn kind_of_field(key: &str, value: &str, is_of_event: bool) -> Option<&'static str> {
    let kind = match (key, value.as_bytes().first()) {
        ("\"timeWindow\"", Some(b'{')) => return Some("an aggregated event"),
        ("\"Records\"", Some(b'[')) => "a list of records",
        ("\"detail-type\"", Some(b'"')) => "an EventBridge event",
        ("\"logEvents\"", Some(b'[')) => "a message of CloudWatch Logs",
        ("\"Events\"" | "\"events\"", Some(b'[')) => "a list of events",
        ("\"CloudTrailEvent\"" | "\"_raw\"", Some(b'"')) => "the text of a record",
        ("\"digestS3Object\"", Some(b'"')) => "a digest",
        _ => return None,
    };
    Some(kind).filter(|_| !is_of_event)
}
