//! What a detection found: one finding per rule, entity and window of event time.

use std::collections::BTreeMap;
use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Error;
use super::detection::{Detection, Kind};

/// At most so many ids of events are kept with a finding.
pub const MAX_EVENT_IDS: usize = 100;

/// A finding. Times are microseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// 32 hex digits: the first half of the SHA-256 of rule, entity and window.
    pub id: String,
    /// What it is about: column to value, in the detection's order.
    pub entity: Map<String, Value>,
    /// What was seen, in words.
    pub summary: String,
    /// The start of its window.
    pub window_start: i64,
    /// The first event.
    pub first_time: i64,
    /// The last event.
    pub last_time: i64,
    /// How many events.
    pub event_count: i64,
    /// The ids of the events, at most [`MAX_EVENT_IDS`].
    pub event_ids: Vec<String>,
    /// The first row, column to value; nulls are left out.
    pub evidence: Map<String, Value>,
}

/// What one run of a detection found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The findings, by entity and window.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit, which are not kept.
    pub suppressed: usize,
}

/// Gathers the rows of a detection's result into findings.
pub struct Gatherer<'a> {
    detection: &'a Detection,
    limit: usize,
    found: BTreeMap<String, Finding>,
    suppressed: std::collections::HashSet<String>,
}

impl<'a> Gatherer<'a> {
    /// A gatherer that keeps at most `limit` findings.
    pub fn new(detection: &'a Detection, limit: usize) -> Self {
        Gatherer { detection, limit, found: BTreeMap::new(), suppressed: std::collections::HashSet::new() }
    }

    /// Takes the rows of a batch whose window `keep` accepts, by its start.
    pub fn take(&mut self, batch: &RecordBatch, keep: impl Fn(i64) -> bool) -> Result<(), Error> {
        let columns = Columns::new(self.detection, batch)?;
        for row in 0..batch.num_rows() {
            // A row without a time belongs to no window; the event itself is in the lake all the same.
            let Some((window_start, first, last)) = columns.times(row, self.detection) else { continue };
            if !keep(window_start) {
                continue;
            }
            let entity = columns.entity(row);
            let id = finding_id(&self.detection.id, &entity, window_start);
            let count = columns.count(row);
            let ids = columns.ids(row);
            if let Some(finding) = self.found.get_mut(&id) {
                // An event that was delivered twice is one.
                let is_known = |id: &String| finding.event_ids.contains(id);
                if self.detection.kind != Kind::Event || !ids.iter().any(is_known) {
                    finding.extend(first, last, count, ids);
                }
                continue;
            }
            if self.found.len() >= self.limit {
                self.suppressed.insert(id);
                continue;
            }
            let mut finding = Finding {
                id: id.clone(),
                entity,
                summary: self.detection.render_summary(|name| columns.text(name, row)),
                window_start,
                first_time: first,
                last_time: last,
                event_count: count,
                event_ids: ids,
                evidence: evidence(&batch.slice(row, 1)),
            };
            finding.event_ids.truncate(MAX_EVENT_IDS);
            self.found.insert(id, finding);
        }
        Ok(())
    }

    /// The findings, ordered by window and id.
    pub fn finish(self) -> Findings {
        let mut findings: Vec<Finding> = self.found.into_values().collect();
        findings.sort_by(|a, b| (a.window_start, &a.id).cmp(&(b.window_start, &b.id)));
        Findings { findings, suppressed: self.suppressed.len() }
    }
}

impl Finding {
    /// Adds more events of the same rule, entity and window.
    fn extend(&mut self, first: i64, last: i64, count: i64, ids: Vec<String>) {
        self.first_time = self.first_time.min(first);
        self.last_time = self.last_time.max(last);
        self.event_count = self.event_count.saturating_add(count);
        let room = MAX_EVENT_IDS.saturating_sub(self.event_ids.len());
        self.event_ids.extend(ids.into_iter().take(room));
    }
}

/// The columns of a result that make a finding.
struct Columns<'a> {
    batch: &'a RecordBatch,
    entity: Vec<(&'a str, ArrayRef)>,
    first: ArrayRef,
    last: ArrayRef,
    window: Option<ArrayRef>,
    count: Option<ArrayRef>,
    ids: Option<ArrayRef>,
}

impl<'a> Columns<'a> {
    fn new(detection: &'a Detection, batch: &'a RecordBatch) -> Result<Self, Error> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .cloned()
                .ok_or_else(|| Error::NoColumn { rule: detection.id.clone(), column: name.to_owned() })
        };
        let as_type = |name: &str, to: &DataType| {
            cast(&column(name)?, to).map_err(|source| Error::ColumnType {
                rule: detection.id.clone(),
                column: name.to_owned(),
                source,
            })
        };
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let entity = detection.entity.iter().map(|name| Ok((name.as_str(), column(name)?)));
        let entity = entity.collect::<Result<_, Error>>()?;
        let has = |name: &str| batch.column_by_name(name).is_some();
        Ok(match detection.kind {
            Kind::Event => {
                let times = as_type(detection.table.time_column, &time)?;
                let ids = has("event_id").then(|| as_type("event_id", &DataType::Utf8)).transpose()?;
                Columns { batch, entity, first: times.clone(), last: times, window: None, count: None, ids }
            }
            Kind::Aggregate => Columns {
                batch,
                entity,
                first: as_type("first_time", &time)?,
                last: as_type("last_time", &time)?,
                window: Some(as_type("window_start", &time)?),
                count: Some(as_type("event_count", &DataType::Int64)?),
                ids: has("event_ids").then(|| column("event_ids")).transpose()?,
            },
        })
    }

    /// Window start, first and last time of a row.
    fn times(&self, row: usize, detection: &Detection) -> Option<(i64, i64, i64)> {
        let at = |array: &ArrayRef| {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            times.is_valid(row).then(|| times.value(row))
        };
        let (first, last) = (at(&self.first)?, at(&self.last)?);
        let window = match &self.window {
            Some(window) => at(window)?,
            None => floor(first, detection.window.num_microseconds()?),
        };
        Some((window, first, last))
    }

    fn entity(&self, row: usize) -> Map<String, Value> {
        let value = |array: &ArrayRef| text_of(array, row).map_or(Value::Null, Value::String);
        self.entity.iter().map(|(name, array)| ((*name).to_owned(), value(array))).collect()
    }

    fn count(&self, row: usize) -> i64 {
        self.count.as_ref().map_or(1, |array| array.as_primitive::<Int64Type>().value(row))
    }

    fn ids(&self, row: usize) -> Vec<String> {
        let Some(array) = &self.ids else { return Vec::new() };
        if let DataType::List(_) = array.data_type() {
            let list = array.as_list::<i32>().value(row);
            return (0..list.len()).take(MAX_EVENT_IDS).filter_map(|at| text_of(&list, at)).collect();
        }
        text_of(array, row).into_iter().collect()
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        text_of(self.batch.column_by_name(name)?, row)
    }
}

fn text_of(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).ok()?;
    let mut text = String::new();
    write!(text, "{}", formatter.value(row)).ok()?;
    Some(text)
}

/// A row as JSON, nulls left out.
fn evidence(row: &RecordBatch) -> Map<String, Value> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    // What cannot be written as JSON is still in the lake, under the ids of the events.
    if writer.write(row).and_then(|()| writer.finish()).is_err() {
        return Map::new();
    }
    serde_json::from_slice(&writer.into_inner()).unwrap_or_default()
}

/// The start of the window a time lies in; windows are counted from 1970-01-01.
pub fn floor(time: i64, window: i64) -> i64 {
    time - time.rem_euclid(window.max(1))
}

fn finding_id(rule: &str, entity: &Map<String, Value>, window_start: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(rule.as_bytes());
    hash.update([0]);
    // Arrays of names and values: no entity can be written to look like another.
    let pairs: Vec<(&String, &Value)> = entity.iter().collect();
    hash.update(serde_json::to_vec(&pairs).unwrap_or_default());
    hash.update([0]);
    hash.update(window_start.to_be_bytes());
    hash.finalize()[..16].iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
