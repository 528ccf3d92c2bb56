//! From a parsed document to columns: one walk over the keys of a record, each value straight into its column.
//!
//! What is inside an object that repeats, an identity above all, is read once for every distinct text of it. Must
//! never leave a part of an object behind: rows are dropped again when a later record cannot be read.

use std::ops::Range;

use arrow::record_batch::RecordBatch;
use simd_json::{Node, StaticNode};

use super::document::{Document, Place, Span};
use super::keys::{Keys, Target};
use crate::decode::columns::{DIGESTS, Kind, Table};
use crate::decode::fill::{self, Column, NO_CELL, NO_TIME};
use crate::decode::time;
use crate::decode::{Error, ErrorKind};

/// More records than this in one object are refused: rows take memory even when they are empty, and no log file comes
/// near.
const MAX_RECORDS: usize = 4_000_000;

/// More text than this in one column of one batch is refused: Arrow's offsets have 31 bits.
const MAX_COLUMN_BYTES: usize = 1 << 30;

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
    record: Record,
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

/// The columns filled from inside one top-level object.
#[derive(Debug)]
struct Group {
    level: u16,
    columns: Vec<u16>,
    actor: Option<Actor>,
    /// What they hold, for each distinct text of the object.
    cells: Vec<i64>,
}

/// The column of who acted, and where that is taken from: the first of these that is there and not empty.
#[derive(Debug)]
struct Actor {
    column: usize,
    sources: Vec<usize>,
}

const ACTOR_SOURCES: [&str; 5] =
    ["session_issuer_arn", "identity_arn", "identity_principal_id", "identity_account_id", "invoked_by"];

/// The record at hand.
#[derive(Debug, Default)]
struct Record {
    /// Which columns had a field: one bit each.
    seen: u128,
    /// For the columns seen: the field's key, how many empty containers are in its value, where the value went.
    fields: Vec<(Place, usize, Went)>,
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
    key: Place,
    /// How many empty containers are in its value.
    inside: usize,
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
        let fields = vec![(Document::root(), 0, Went::Null); table.columns.len()];
        let record = Record { fields, ..Record::default() };
        Rows { table, keys, columns, groups, special, first: 0, count: 0, record }
    }

    /// Whether these are rows of digests.
    pub fn is_digest(&self) -> bool {
        self.table.name == DIGESTS.name
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
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

    /// Drops the rows of the object at hand, which may have ended: it cannot be read as a whole.
    pub fn drop_object(&mut self) {
        self.count = self.first;
        self.columns.iter_mut().for_each(|column| column.resize(self.first));
    }

    /// Adds the records of a document to the object at hand.
    pub fn read(&mut self, document: &Document) -> Result<(), Error> {
        let root = Document::root();
        if self.is_digest() {
            if !has_most(document, 0, ["digestStartTime", "digestEndTime", "digestS3Object"]) {
                return Err(document.shape_error(None, root, "not a digest".to_owned()));
            }
            self.one(document, root)?;
            self.fill_digest(self.count - 1, document);
            return Ok(());
        }
        match document.node(0) {
            Node::Array { len, .. } => self.array(document, root, len),
            Node::Object { len, .. } => {
                if let Some((place, len)) = find_records(document, len)? {
                    return self.array(document, place, len);
                }
                let record = if is_record(document, 0) { Some(root) } else { find_detail(document, len) };
                let Some(record) = record else {
                    let what = format!("no `Records` among the keys {}", some_keys(document));
                    return Err(document.shape_error(None, root, what));
                };
                self.one(document, record)
            }
            _ => Err(document.shape_error(None, root, "expected a JSON object or array".to_owned())),
        }
    }

    /// All rows as a batch, text columns as dictionaries; nothing is left.
    pub fn finish(&mut self) -> Result<RecordBatch, Error> {
        self.fill_dates();
        let failed = |error| ErrorKind::Shape(format!("rows do not fit a batch: {error}")).nowhere();
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<_, _>>().map_err(failed)?;
        self.groups.iter_mut().for_each(|group| group.cells.clear());
        (self.first, self.count) = (0, 0);
        fill::batch(self.table, arrays).map_err(failed)
    }

    fn array(&mut self, document: &Document, place: Place, len: usize) -> Result<(), Error> {
        let before = self.count - self.first;
        self.grow(len, document, place)?;
        let mut empties = place.empties;
        let mut node = place.node + 1;
        for record in 0..len {
            let here = Place { node, depth: place.depth + 1, empties };
            let Node::Object { .. } = document.node(node) else {
                let what = "record is not a JSON object".to_owned();
                let rows = self.count;
                self.columns.iter_mut().for_each(|column| column.resize(rows));
                return Err(document.shape_error(Some(before + record), here, what));
            };
            empties = self.record(self.count + record, document, here);
            node += document.count(node);
        }
        self.count += len;
        self.check_size()
    }

    fn one(&mut self, document: &Document, place: Place) -> Result<(), Error> {
        self.grow(1, document, place)?;
        self.record(self.count, document, place);
        self.count += 1;
        self.check_size()
    }

    /// Makes room for records, which are at a place.
    fn grow(&mut self, records: usize, document: &Document, place: Place) -> Result<(), Error> {
        if self.count - self.first + records > MAX_RECORDS {
            let what = format!("more than {MAX_RECORDS} records");
            return Err(document.shape_error(None, place, what));
        }
        let rows = self.count + records;
        self.columns.iter_mut().for_each(|column| column.resize(rows));
        Ok(())
    }

    fn check_size(&self) -> Result<(), Error> {
        match self.columns.iter().map(Column::bytes).max() {
            Some(bytes) if bytes > MAX_COLUMN_BYTES => {
                Err(ErrorKind::TooLarge { limit_bytes: MAX_COLUMN_BYTES }.nowhere())
            }
            _ => Ok(()),
        }
    }

    /// Reads one record into a row; returns the empty containers seen up to its end.
    fn record(&mut self, row: usize, document: &Document, place: Place) -> usize {
        let Node::Object { len, .. } = document.node(place.node) else { return place.empties };
        if len == 0 {
            return place.empties + 1;
        }
        self.record.clear();
        let mut key = Place { node: place.node + 1, depth: place.depth + 1, empties: place.empties };
        for _ in 0..len {
            let value = key.node + 1;
            let inside = document.empties_in(value);
            match self.keys.find(0, document.key(key.node)) {
                Some(Target { column: Some(column), level }) => {
                    let field = Field { column: usize::from(column), level, key, inside };
                    self.field(row, document, field);
                }
                _ => self.record.others.push(document.field_span(key, inside)),
            }
            key.empties += inside;
            key.node = value + document.count(value);
        }
        self.fill_others(row, document);
        self.fill_nulls(row);
        key.empties
    }

    /// Puts a known top-level field into its column, or among the nulls or the others.
    #[inline]
    fn field(&mut self, row: usize, document: &Document, field: Field) {
        let Field { column, key, inside, .. } = field;
        let bit = 1_u128 << column;
        let repeated = self.record.seen & bit != 0;
        if repeated {
            self.forget(row, document, column);
        }
        let went = self.place(row, document, field);
        if went == Went::Null {
            self.record.nulls.push(u16::try_from(column).unwrap_or(u16::MAX));
        }
        // Beside an earlier time in another form, this one would not tell which is the last.
        let beside = repeated && went == Went::Column && self.table.columns[column].kind == Kind::Timestamp;
        if beside || matches!(went, Went::Other | Went::ColumnAndOther) {
            self.record.others.push(document.field_span(key, inside));
        }
        self.record.seen |= bit;
        let went = if beside { Went::ColumnAndOther } else { went };
        self.record.fields[column] = (key, inside, went);
    }

    fn place(&mut self, row: usize, document: &Document, field: Field) -> Went {
        let Field { column, level, key, inside } = field;
        let value = Place { node: key.node + 1, ..key };
        match (self.table.columns[column].kind, document.node(value.node), &mut self.columns[column]) {
            (_, Node::Static(StaticNode::Null), _) => Went::Null,
            (Kind::Json, node, Column::Text(text)) => {
                let number = text.texts.number(document.text(document.span(value, inside)));
                text.set_number(row, number);
                if let (Some(level), Node::Object { .. }) = (level, node) {
                    self.group(row, document, column, level, number, value.node);
                }
                Went::Column
            }
            (Kind::Text, Node::String(_), _) if document.is_spoiled(value.node) => Went::Other,
            (Kind::Text, Node::String(found), Column::Text(text)) => {
                text.set(row, found);
                Went::Column
            }
            (Kind::Bool, Node::Static(StaticNode::Bool(found)), Column::Bool(values)) => {
                values[row] = u8::from(found);
                Went::Column
            }
            (Kind::BoolText, Node::String(found @ ("true" | "false")), Column::Bool(values)) => {
                values[row] = u8::from(found == "true");
                Went::Column
            }
            (Kind::Timestamp, Node::String(found), Column::Time(times)) => {
                let Some(time) = time::parse_iso8601(found.as_bytes()) else { return Went::Other };
                times[row] = time;
                let is_whole = found.len() == "2026-01-31T12:00:00Z".len() && found.ends_with('Z');
                if is_whole { Went::Column } else { Went::ColumnAndOther }
            }
            _ => Went::Other,
        }
    }

    /// A key is there again: the last one counts, and the one before it moves to the others.
    fn forget(&mut self, row: usize, document: &Document, column: usize) {
        let (key, inside, went) = self.record.fields[column];
        if went == Went::Null {
            self.record.nulls.retain(|null| usize::from(*null) != column);
        }
        if matches!(went, Went::Null | Went::Column) {
            self.record.others.push(document.field_span(key, inside));
        }
        self.columns[column].clear(row);
        let level = self.keys.find(0, document.key(key.node)).and_then(|target| target.level);
        if let Some(group) = self.groups.iter().find(|group| Some(group.level) == level) {
            group.columns.iter().for_each(|below| self.columns[usize::from(*below)].clear(row));
        }
    }

    /// Fills the columns from inside an object whose text has this number in its own column.
    fn group(
        &mut self,
        row: usize,
        document: &Document,
        column: usize,
        level: u16,
        number: u32,
        node: usize,
    ) {
        let Rows { columns, groups, keys, table, .. } = self;
        let Some(group) = groups.iter_mut().find(|group| group.level == level) else { return };
        let is_shared = matches!(&columns[column], Column::Text(text) if text.texts.is_shared());
        let width = group.columns.len();
        let mut start = number as usize * width;
        if !is_shared || start >= group.cells.len() {
            // A text is met for the first time in the order of its number, unless it was no object then.
            start = if is_shared { start } else { 0 };
            group.cells.resize(start + width, NO_CELL);
            let cells = &mut group.cells[start..];
            cells.fill(NO_CELL);
            Nested { columns, keys, table, document, below: &group.columns }.read(level, node, cells);
            if let Some(actor) = &group.actor {
                actor.fill(columns, &group.columns, cells);
            }
        }
        for (below, cell) in group.columns.iter().zip(&group.cells[start..start + width]) {
            columns[usize::from(*below)].set_cell(row, *cell);
        }
    }

    fn fill_others(&mut self, row: usize, document: &Document) {
        let Record { others, text, .. } = &mut self.record;
        if others.is_empty() {
            return;
        }
        others.sort_unstable();
        text.clear();
        for span in others.iter() {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(document.text(*span));
        }
        text.push('}');
        if let Some(Column::Text(column)) = self.columns.get_mut(self.special.others) {
            column.set(row, text);
        }
    }

    fn fill_nulls(&mut self, row: usize) {
        let Record { nulls, text, .. } = &mut self.record;
        if nulls.is_empty() {
            return;
        }
        text.clear();
        for column in nulls.iter() {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(self.table.columns[usize::from(*column)].source);
        }
        if let Some(Column::Text(column)) = self.columns.get_mut(self.special.nulls) {
            column.set(row, text);
        }
    }

    /// The columns of a digest that are taken from others: the region in its key, and how many log files it lists.
    fn fill_digest(&mut self, row: usize, document: &Document) {
        let index = |name| self.table.index_of(name).unwrap_or(usize::MAX);
        let (key, region) = (index("digest_s3_object"), index("region"));
        let (files, count) = (index("log_files"), index("log_file_count"));
        let key = match self.columns.get(key) {
            Some(Column::Text(column)) => column.get(row).and_then(region_of).map(str::to_owned),
            _ => None,
        };
        if let (Some(Column::Text(column)), Some(found)) = (self.columns.get_mut(region), key) {
            column.set(row, &found);
        }
        let is_seen = self.record.seen & (1_u128 << files) != 0;
        if let (true, Some(Column::Int64(values))) = (is_seen, self.columns.get_mut(count)) {
            values[row] = match document.node(self.record.fields[files].0.node + 1) {
                Node::Array { len, .. } => i64::try_from(len).ok(),
                _ => None,
            };
        }
    }

    fn fill_dates(&mut self) {
        let dates = match &self.columns.get(self.special.time) {
            Some(Column::Time(times)) => times
                .iter()
                .map(|time| if *time == NO_TIME { None } else { time::event_date(*time) })
                .collect(),
            _ => return,
        };
        if let Some(Column::Date(column)) = self.columns.get_mut(self.special.date) {
            *column = dates;
        }
    }
}

/// The `Records` array of an object, when it has one.
fn find_records(document: &Document, len: usize) -> Result<Option<(Place, usize)>, Error> {
    let mut found = None;
    for (key, value) in fields(document, len) {
        if document.key(key.node) == "Records" {
            let Node::Array { len, .. } = document.node(value.node) else {
                return Err(document.shape_error(None, value, "`Records` is not an array".to_owned()));
            };
            if found.is_some() {
                return Err(document.shape_error(None, key, "`Records` is there twice".to_owned()));
            }
            found = Some((value, len));
        }
    }
    Ok(found)
}

/// The record in an EventBridge event: its `detail`.
fn find_detail(document: &Document, len: usize) -> Option<Place> {
    let mut details = fields(document, len).filter(|(key, _)| document.key(key.node) == "detail");
    let (_, detail) = details.next()?;
    let is_event = top_keys(document, 0).any(|key| key == "detail-type");
    (is_event && details.next().is_none() && is_record(document, detail.node)).then_some(detail)
}

/// The places of the keys and values of the document's outermost object, which has `len` of them.
fn fields<'a>(document: &'a Document, len: usize) -> impl Iterator<Item = (Place, Place)> + 'a {
    let mut next = Place { node: 1, depth: 1, empties: 0 };
    (0..len).map(move |_| {
        let key = next;
        let value = Place { node: key.node + 1, ..key };
        next.empties += document.empties_in(value.node);
        next.node = value.node + document.count(value.node);
        (key, value)
    })
}

/// Whether the value at a tape index is an object with fields of a record.
fn is_record(document: &Document, node: usize) -> bool {
    has_most(document, node, ["eventVersion", "eventTime", "eventName"])
}

/// Whether the value at a tape index is an object with at least two of these fields.
fn has_most(document: &Document, node: usize, names: [&str; 3]) -> bool {
    let keys: Vec<&str> = top_keys(document, node).collect();
    names.iter().filter(|name| keys.contains(name)).count() >= 2
}

/// The keys of the object at a tape index; none when it is something else.
fn top_keys<'a>(document: &'a Document, object: usize) -> impl Iterator<Item = &'a str> {
    let len = if let Node::Object { len, .. } = document.node(object) { len } else { 0 };
    let mut node = object + 1;
    (0..len).map(move |_| {
        let key = node;
        node += 1 + document.count(node + 1);
        document.key(key)
    })
}

fn some_keys(document: &Document) -> String {
    let shown: Vec<String> = top_keys(document, 0)
        .take(5)
        .map(|key| format!("`{}`", key.chars().take(40).collect::<String>()))
        .collect();
    if shown.is_empty() { "(none)".to_owned() } else { shown.join(", ") }
}

/// The region in a digest's key: `.../CloudTrail-Digest/<region>/...`.
fn region_of(key: &str) -> Option<&str> {
    let mut after = None;
    for segment in key.rsplit('/') {
        if segment == "CloudTrail-Digest" {
            return after;
        }
        after = Some(segment);
    }
    None
}

impl Group {
    fn new(table: &Table, keys: &Keys, level: u16) -> Self {
        let mut columns = keys.columns_below(level).to_vec();
        let sources: Vec<usize> = ACTOR_SOURCES.iter().filter_map(|name| table.index_of(name)).collect();
        let is_below = |index: &usize| columns.iter().any(|below| usize::from(*below) == *index);
        let actor = table
            .index_of("actor_arn")
            .filter(|_| sources.iter().all(is_below))
            .map(|column| Actor { column, sources });
        if let Some(column) = actor.as_ref().and_then(|actor| u16::try_from(actor.column).ok()) {
            columns.push(column);
        }
        Group { level, columns, actor, cells: Vec::new() }
    }
}

impl Actor {
    fn fill(&self, columns: &mut [Column], below: &[u16], cells: &mut [i64]) {
        let position = |index: usize| below.iter().position(|column| usize::from(*column) == index);
        let text = self.sources.iter().find_map(|source| {
            let number = u32::try_from(cells[position(*source)?]).ok()?;
            let Column::Text(column) = &columns[*source] else { return None };
            Some(column.texts.get(number)).filter(|text| !text.is_empty()).map(str::to_owned)
        });
        if let (Some(text), Some(cell), Column::Text(column)) =
            (text, position(self.column), &mut columns[self.column])
        {
            cells[cell] = i64::from(column.texts.number(&text));
        }
    }
}

/// A walk over the values inside an object that have columns; the object itself is kept as JSON, whatever is in it.
struct Nested<'a> {
    columns: &'a mut [Column],
    keys: &'a Keys,
    table: &'static Table,
    document: &'a Document<'a>,
    below: &'a [u16],
}

impl Nested<'_> {
    fn read(&mut self, level: u16, node: usize, cells: &mut [i64]) {
        let Node::Object { len, .. } = self.document.node(node) else { return };
        let mut key = node + 1;
        for _ in 0..len {
            let value = key + 1;
            if let Some(target) = self.keys.find(level, self.document.key(key)) {
                if let Some(cell) = target.column.and_then(|column| self.cell(column)) {
                    cells[cell] = self.value(usize::from(self.below[cell]), value);
                }
                if let Some(deeper) = target.level {
                    // An object that is there again inside its own: nothing of the one before it counts.
                    for column in self.keys.columns_below(deeper) {
                        if let Some(cell) = self.cell(*column) {
                            cells[cell] = NO_CELL;
                        }
                    }
                    self.read(deeper, value, cells);
                }
            }
            key = value + self.document.count(value);
        }
    }

    fn cell(&self, column: u16) -> Option<usize> {
        self.below.iter().position(|below| *below == column)
    }

    fn value(&mut self, column: usize, node: usize) -> i64 {
        let found =
            match (self.table.columns[column].kind, self.document.node(node), &mut self.columns[column]) {
                (Kind::Text, Node::String(_), _) if self.document.is_spoiled(node) => None,
                (Kind::Text, Node::String(text), Column::Text(column)) => {
                    Some(i64::from(column.texts.number(text)))
                }
                (Kind::Bool, Node::Static(StaticNode::Bool(found)), _) => Some(i64::from(found)),
                (Kind::BoolText, Node::String(found @ ("true" | "false")), _) => {
                    Some(i64::from(found == "true"))
                }
                (Kind::Timestamp, Node::String(text), _) => time::parse_iso8601(text.as_bytes()),
                _ => None,
            };
        found.unwrap_or(NO_CELL)
    }
}

impl Record {
    fn clear(&mut self) {
        self.seen = 0;
        self.others.clear();
        self.nulls.clear();
    }
}
