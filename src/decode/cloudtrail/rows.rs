//! From positions to columns: where every value of a document is, then one loop per column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanBuilder, Date32Builder, Int32Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::record_batch::RecordBatch;
use simd_json::{Node, StaticNode};

use super::document::{Document, Place, Span};
use super::keys::{Keys, Target};
use crate::decode::columns::{DIGESTS, Kind, Table};
use crate::decode::time;
use crate::decode::{Error, ErrorKind};

/// More records than this in one object are refused: rows take some 300 bytes each even when they are empty, and no
/// log file comes near.
const MAX_RECORDS: usize = 4_000_000;

/// The positions of so many records are noted before their columns are filled: their number must not grow with the
/// number of records, for an object of empty ones would take all memory.
const RECORDS_AT_ONCE: usize = 4096;

/// The rows decoded so far, column by column.
pub struct Rows {
    table: &'static Table,
    source_object: String,
    widths: Widths,
    builders: Vec<Builder>,
    count: usize,
    matrix: Matrix,
}

/// Where the values of one document are: a row per record, a column per column of the table.
#[derive(Default)]
struct Matrix {
    width: usize,
    /// Tape index of the value; 0, which is the root, for none.
    nodes: Vec<u32>,
    /// The value's bytes in the source, for columns of JSON.
    spans: Vec<Span>,
    /// Fields that have no column or do not fit theirs: record, key and value.
    others: Vec<(u32, Span)>,
    /// Fields that are an explicit null: record and column; no column for one whose key is there again.
    nulls: Vec<(u32, Option<u16>)>,
    /// For each column the field of the record at hand that fills it so far, to find duplicate keys.
    seen: Vec<Seen>,
}

/// A top-level field of a column.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Key and value; `(0, 0)` for none.
    field: Span,
    /// Whether it is among the others.
    in_others: bool,
    /// Where it is among the nulls.
    null: Option<usize>,
}

/// How many bytes a row took in each column of the objects before, so that the next one's buffers need not grow.
#[derive(Debug, Clone)]
pub struct Widths(Vec<usize>);

impl Widths {
    /// Nothing is known yet.
    pub fn new(table: &Table) -> Self {
        Widths(vec![0; table.columns.len()])
    }

    /// Learns from rows: quickly that they are wider, slowly that they are not.
    pub fn learn(&mut self, rows: &RecordBatch) {
        if rows.num_rows() == 0 {
            return;
        }
        for (width, column) in self.0.iter_mut().zip(rows.columns()) {
            if let Some(text) = column.as_string_opt::<i32>() {
                let now = text.value_data().len().div_ceil(rows.num_rows());
                // One odd object must not make those after it reserve what they do not use.
                *width = now.min(MAX_WIDTH).max((*width * 7 + now) / 8);
            }
        }
    }
}

/// No column reserves more than this a row.
const MAX_WIDTH: usize = 2048;

enum Builder {
    Text(StringBuilder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Date(Date32Builder),
}

impl Rows {
    /// No rows yet, all of which come from one source object.
    pub fn new(table: &'static Table, source_object: &str, widths: &Widths) -> Self {
        let builders = table.columns.iter().map(|column| Builder::new(column.kind, 0, 0)).collect();
        let matrix = Matrix { width: table.columns.len(), ..Matrix::default() };
        Rows {
            table,
            source_object: source_object.to_owned(),
            widths: widths.clone(),
            builders,
            count: 0,
            matrix,
        }
    }

    /// Whether these are rows of digests.
    pub fn is_digest(&self) -> bool {
        self.table.name == DIGESTS.name
    }

    /// Adds the records of a document.
    pub fn read(&mut self, document: &Document, keys: &Keys) -> Result<(), Error> {
        match self.find(document)? {
            Found::One(place) => {
                self.reserve(1, document, place)?;
                self.matrix.clear();
                self.matrix.record(0, document, keys, self.table, place);
                self.copy(1, document);
                Ok(())
            }
            Found::Array(place, len) => self.array(document, keys, place, len),
        }
    }

    /// Makes room for records, which are at a place; most objects are one small document.
    fn reserve(&mut self, records: usize, document: &Document, place: Place) -> Result<(), Error> {
        if self.count + records > MAX_RECORDS {
            let what = format!("more than {MAX_RECORDS} records");
            return Err(document.shape_error(None, place, what));
        }
        if self.count > 0 {
            return Ok(());
        }
        // What is reserved is what is used, unless these records have nothing in common with those before.
        let expected =
            self.widths.0.iter().map(|width| width.saturating_mul(records)).fold(0, usize::saturating_add);
        let fits = expected <= document.size_bytes().saturating_mul(2);
        let columns = self.table.columns.iter();
        let new = columns.zip(&self.widths.0).map(|(column, width)| {
            Builder::new(column.kind, records, if fits { records * width } else { 0 })
        });
        self.builders = new.collect();
        Ok(())
    }

    /// Copies the values of the records at hand into all columns.
    fn copy(&mut self, records: usize, document: &Document) {
        for index in 0..self.table.columns.len() {
            self.fill(index, records, document);
        }
        self.count += records;
    }

    /// All rows as a batch in the table's schema.
    pub fn finish(mut self) -> Result<RecordBatch, Error> {
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(Builder::finish).collect();
        RecordBatch::try_new(self.table.schema(), arrays)
            .map_err(|error| ErrorKind::Shape(format!("rows do not fit a batch: {error}")).nowhere())
    }

    /// Walks the document's envelope to its records.
    fn find(&self, document: &Document) -> Result<Found, Error> {
        let root = Document::root();
        if self.is_digest() {
            if !has_most(document, 0, ["digestStartTime", "digestEndTime", "digestS3Object"]) {
                return Err(document.shape_error(None, root, "not a digest".to_owned()));
            }
            return Ok(Found::One(root));
        }
        match document.node(0) {
            Node::Array { len, .. } => Ok(Found::Array(root, len)),
            Node::Object { len, .. } => {
                if let Some((place, len)) = find_records(document, len)? {
                    return Ok(Found::Array(place, len));
                }
                let record = if is_record(document, 0) { Some(root) } else { find_detail(document, len) };
                record.map(Found::One).ok_or_else(|| {
                    let what = format!("no `Records` among the keys {}", some_keys(document));
                    document.shape_error(None, root, what)
                })
            }
            _ => Err(document.shape_error(None, root, "expected a JSON object or array".to_owned())),
        }
    }

    fn array(&mut self, document: &Document, keys: &Keys, place: Place, len: usize) -> Result<(), Error> {
        self.reserve(len, document, place)?;
        let mut here = Place { node: place.node + 1, depth: place.depth + 1, empties: place.empties };
        let mut left = len;
        while left > 0 {
            let records = left.min(RECORDS_AT_ONCE);
            self.matrix.clear();
            for record in 0..records {
                let Node::Object { .. } = document.node(here.node) else {
                    let what = "record is not a JSON object".to_owned();
                    return Err(document.shape_error(Some(self.count + record), here, what));
                };
                here.empties = self.matrix.record(record, document, keys, self.table, here);
                here.node += document.count(here.node);
            }
            self.copy(records, document);
            left -= records;
        }
        Ok(())
    }

    /// Copies one column out of the document.
    fn fill(&mut self, index: usize, records: usize, document: &Document) {
        let matrix = &self.matrix;
        match (self.table.columns[index].kind, &mut self.builders[index]) {
            (Kind::Text, Builder::Text(builder)) => matrix.fill_text(index, records, document, builder),
            (Kind::Json, Builder::Text(builder)) => matrix.fill_json(index, records, document, builder),
            (Kind::Bool | Kind::BoolText, Builder::Bool(builder)) => {
                matrix.fill_bool(index, records, document, builder);
            }
            (Kind::Timestamp, Builder::Time(builder)) => {
                for record in 0..records {
                    builder.append_option(matrix.time(index, record, document));
                }
            }
            (Kind::OtherFields, Builder::Text(builder)) => matrix.fill_others(records, document, builder),
            (Kind::NullFields, Builder::Text(builder)) => matrix.fill_nulls(records, self.table, builder),
            (Kind::SourceObject, Builder::Text(builder)) => {
                (0..records).for_each(|_| builder.append_value(&self.source_object));
            }
            (Kind::SourceRow, Builder::Int32(builder)) => {
                let first = self.count;
                (first..first + records).for_each(|row| builder.append_option(i32::try_from(row).ok()));
            }
            (Kind::EventDate, Builder::Date(builder)) => {
                let time_index = self.table.index_of(self.table.time_column).unwrap_or(0);
                for record in 0..records {
                    let time = matrix.time(time_index, record, document);
                    builder.append_option(time.and_then(time::event_date));
                }
            }
            (Kind::Derived, Builder::Text(_)) => self.fill_derived(records, document, index),
            (Kind::Int64, Builder::Int64(builder)) => {
                let files = self.table.index_of("log_files").unwrap_or(0);
                for record in 0..records {
                    builder.append_option(matrix.length(files, record, document));
                }
            }
            (kind, _) => unreachable!("no CloudTrail column is filled from {kind:?}"),
        }
    }

    fn fill_derived(&mut self, records: usize, document: &Document, index: usize) {
        if self.table.columns[index].name == "region" {
            self.fill_region(records, document, index);
        } else {
            self.fill_actor(records, document, index);
        }
    }

    /// The region in a digest's key: `.../CloudTrail-Digest/<region>/...`.
    fn fill_region(&mut self, records: usize, document: &Document, index: usize) {
        let key = self.table.index_of("digest_s3_object").unwrap_or(0);
        let Builder::Text(builder) = &mut self.builders[index] else { return };
        for record in 0..records {
            let mut segments = self.matrix.string(key, record, document).unwrap_or_default().rsplit('/');
            let mut after = None;
            let found = segments.any(|segment| {
                let found = segment == "CloudTrail-Digest";
                after = if found { after } else { Some(segment) };
                found
            });
            builder.append_option(after.filter(|_| found));
        }
    }

    /// Who acted: the first of these fields that is there and not empty.
    fn fill_actor(&mut self, records: usize, document: &Document, index: usize) {
        const SOURCES: [&str; 5] = [
            "session_issuer_arn",
            "identity_arn",
            "identity_principal_id",
            "identity_account_id",
            "invoked_by",
        ];
        let sources = SOURCES.map(|name| self.table.index_of(name).unwrap_or(0));
        let Builder::Text(builder) = &mut self.builders[index] else { return };
        for record in 0..records {
            let mut found = sources.iter().map(|source| self.matrix.string(*source, record, document));
            builder.append_option(found.find_map(|text| text.filter(|text| !text.is_empty())));
        }
    }
}

/// Where the records of a document are.
enum Found {
    /// One record.
    One(Place),
    /// An array of so many.
    Array(Place, usize),
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

impl Matrix {
    fn clear(&mut self) {
        self.nodes.clear();
        self.spans.clear();
        self.others.clear();
        self.nulls.clear();
    }

    /// Notes where the values of one record are; returns the empty containers seen up to its end.
    fn record(
        &mut self,
        record: usize,
        document: &Document,
        keys: &Keys,
        table: &Table,
        place: Place,
    ) -> usize {
        self.nodes.resize((record + 1) * self.width, 0);
        self.spans.resize((record + 1) * self.width, (0, 0));
        self.seen.clear();
        self.seen.resize(self.width, Seen::default());
        let Node::Object { len, .. } = document.node(place.node) else { return place.empties };
        let mut key = Place { node: place.node + 1, depth: place.depth + 1, empties: place.empties };
        if len == 0 {
            return place.empties + 1;
        }
        for _ in 0..len {
            let value = Place { node: key.node + 1, ..key };
            let inside = document.empties_in(value.node);
            let (_, end) = document.span(value, inside);
            let field = (u32::try_from(document.start(key)).unwrap_or(u32::MAX), end);
            match keys.find(0, document.key(key.node)) {
                Some(target) => self.field(record, document, keys, table, target, value, inside, field),
                None => self.others.push((row(record), field)),
            }
            key.empties += inside;
            key.node = value.node + document.count(value.node);
        }
        key.empties
    }

    /// Notes a known top-level field: into its column, or among the nulls or the others.
    #[allow(clippy::too_many_arguments)] // The walk's whole state; a struct would be built and taken apart per field.
    fn field(
        &mut self,
        record: usize,
        document: &Document,
        keys: &Keys,
        table: &Table,
        target: Target,
        value: Place,
        inside: usize,
        field: Span,
    ) {
        if let Some(column) = target.column {
            let index = usize::from(column);
            let repeated = self.seen[index].field.1 != 0;
            if repeated {
                self.forget(record, keys, target, index);
            }
            let mut seen = Seen { field, ..Seen::default() };
            let at = record * self.width + index;
            match fit(table.columns[index].kind, document, value.node) {
                Fit::Column => {
                    self.nodes[at] = row(value.node);
                    match table.columns[index].kind {
                        Kind::Json => self.spans[at] = document.span(value, inside),
                        // Beside an earlier one in another form, the value would not tell which is the last.
                        Kind::Timestamp => seen.in_others = repeated,
                        _ => {}
                    }
                }
                Fit::ColumnAndOther => {
                    self.nodes[at] = row(value.node);
                    seen.in_others = true;
                }
                Fit::Null => {
                    seen.null = Some(self.nulls.len());
                    self.nulls.push((row(record), Some(column)));
                }
                Fit::Other => seen.in_others = true,
            }
            if seen.in_others {
                self.others.push((row(record), field));
            }
            self.seen[index] = seen;
        }
        if let Some(level) = target.level {
            self.nested(record, document, keys, table, level, value.node);
        }
    }

    /// A key is there again: the last one counts, and the one before it moves to the others.
    ///
    /// Takes the same time however often the key was there: a hostile record holds little else.
    fn forget(&mut self, record: usize, keys: &Keys, target: Target, index: usize) {
        let before = self.seen[index];
        if let Some(null) = before.null {
            self.nulls[null].1 = None;
        }
        if !before.in_others {
            self.others.push((row(record), before.field));
        }
        if let Some(level) = target.level {
            self.clear_below(record, keys, level);
        }
        self.nodes[record * self.width + index] = 0;
        self.spans[record * self.width + index] = (0, 0);
    }

    /// An object is there again inside its own: nothing of the one before it counts.
    fn clear_below(&mut self, record: usize, keys: &Keys, level: u16) {
        for column in keys.columns_below(level) {
            self.nodes[record * self.width + usize::from(*column)] = 0;
        }
    }

    /// Notes the values inside an object that have columns; the object itself is kept as JSON, whatever is in it.
    fn nested(
        &mut self,
        record: usize,
        document: &Document,
        keys: &Keys,
        table: &Table,
        level: u16,
        node: usize,
    ) {
        let Node::Object { len, .. } = document.node(node) else { return };
        let mut key = node + 1;
        for _ in 0..len {
            let value = key + 1;
            if let Some(target) = keys.find(level, document.key(key)) {
                if let Some(column) = target.column {
                    let index = usize::from(column);
                    let fits = fit(table.columns[index].kind, document, value);
                    let fits = matches!(fits, Fit::Column | Fit::ColumnAndOther);
                    self.nodes[record * self.width + index] = if fits { row(value) } else { 0 };
                }
                if let Some(deeper) = target.level {
                    self.clear_below(record, keys, deeper);
                    self.nested(record, document, keys, table, deeper, value);
                }
            }
            key = value + document.count(value);
        }
    }

    #[inline]
    fn string<'a>(&self, index: usize, record: usize, document: &Document<'a>) -> Option<&'a str> {
        match self.nodes[record * self.width + index] {
            0 => None,
            node => match document.node(node as usize) {
                Node::String(text) => Some(text),
                _ => None,
            },
        }
    }

    /// How many items an array has.
    fn length(&self, index: usize, record: usize, document: &Document) -> Option<i64> {
        match self.nodes[record * self.width + index] {
            0 => None,
            node => match document.node(node as usize) {
                Node::Array { len, .. } => i64::try_from(len).ok(),
                _ => None,
            },
        }
    }

    #[inline]
    fn time(&self, index: usize, record: usize, document: &Document) -> Option<i64> {
        self.string(index, record, document).and_then(|text| time::parse_iso8601(text.as_bytes()))
    }

    fn fill_text(&self, index: usize, records: usize, document: &Document, builder: &mut StringBuilder) {
        for record in 0..records {
            builder.append_option(self.string(index, record, document));
        }
    }

    fn fill_json(&self, index: usize, records: usize, document: &Document, builder: &mut StringBuilder) {
        for record in 0..records {
            match self.spans[record * self.width + index] {
                (_, 0) => builder.append_null(),
                span => builder.append_value(document.text(span)),
            }
        }
    }

    fn fill_bool(&self, index: usize, records: usize, document: &Document, builder: &mut BooleanBuilder) {
        for record in 0..records {
            let value = match self.nodes[record * self.width + index] {
                0 => None,
                node => match document.node(node as usize) {
                    Node::Static(StaticNode::Bool(value)) => Some(value),
                    Node::String(text) => Some(text == "true"),
                    _ => None,
                },
            };
            builder.append_option(value);
        }
    }

    fn fill_others(&self, records: usize, document: &Document, builder: &mut StringBuilder) {
        let mut others = self.others.clone();
        others.sort_unstable();
        let mut others = others.into_iter().peekable();
        for record in 0..records {
            let mut text = String::new();
            while let Some((_, span)) = others.next_if(|(row, _)| *row as usize == record) {
                text.push(if text.is_empty() { '{' } else { ',' });
                text.push_str(document.text(span));
            }
            if text.is_empty() {
                builder.append_null();
            } else {
                text.push('}');
                builder.append_value(text);
            }
        }
    }

    fn fill_nulls(&self, records: usize, table: &Table, builder: &mut StringBuilder) {
        let mut nulls = self.nulls.iter().peekable();
        for record in 0..records {
            let mut names: Vec<&str> = Vec::new();
            while let Some((_, column)) = nulls.next_if(|(row, _)| *row as usize == record) {
                names.extend(column.map(|column| table.columns[usize::from(column)].source));
            }
            if names.is_empty() {
                builder.append_null();
            } else {
                builder.append_value(names.join(","));
            }
        }
    }
}

/// Whether a value fits a column.
enum Fit {
    /// It does, and the column holds all of it.
    Column,
    /// It does, but the source's own form is kept besides.
    ColumnAndOther,
    /// It is an explicit null.
    Null,
    /// It does not.
    Other,
}

#[inline]
fn fit(kind: Kind, document: &Document, node: usize) -> Fit {
    match (kind, document.node(node)) {
        (_, Node::Static(StaticNode::Null)) => Fit::Null,
        (Kind::Text, Node::String(_)) if document.is_spoiled(node) => Fit::Other,
        (Kind::Json, _) | (Kind::Text, Node::String(_)) | (Kind::Bool, Node::Static(StaticNode::Bool(_))) => {
            Fit::Column
        }
        (Kind::BoolText, Node::String("true" | "false")) => Fit::Column,
        (Kind::Timestamp, Node::String(text)) => match time::parse_iso8601(text.as_bytes()) {
            Some(_) if text.len() == "2026-01-31T12:00:00Z".len() && text.ends_with('Z') => Fit::Column,
            Some(_) => Fit::ColumnAndOther,
            None => Fit::Other,
        },
        _ => Fit::Other,
    }
}

#[inline]
fn row(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl Builder {
    fn new(kind: Kind, rows: usize, bytes: usize) -> Self {
        match kind {
            Kind::Bool | Kind::BoolText => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            Kind::Timestamp | Kind::Seconds => {
                Builder::Time(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
            Kind::Int32 | Kind::SourceRow => Builder::Int32(Int32Builder::with_capacity(rows)),
            Kind::Int64 => Builder::Int64(Int64Builder::with_capacity(rows)),
            Kind::Date | Kind::EventDate => Builder::Date(Date32Builder::with_capacity(rows)),
            Kind::Text
            | Kind::Json
            | Kind::Derived
            | Kind::OtherFields
            | Kind::NullFields
            | Kind::SourceObject => Builder::Text(StringBuilder::with_capacity(rows, bytes)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
            Builder::Int32(builder) => Arc::new(builder.finish()),
            Builder::Int64(builder) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
        }
    }
}
