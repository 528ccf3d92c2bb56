//! What is filled when a record, or a batch of them, is at its end: from what was noted of it, or from other columns.
//!
//! Must never be asked for a record that is not whole.

use super::{MAX_DEPTH, Record, Rows};
use crate::decode::cloudtrail::scan::Inside;
use crate::decode::fill::{Column, NO_TIME};
use crate::decode::time;

impl Rows {
    /// Fills the columns from inside of objects that were read once for each distinct text.
    pub(super) fn fill_groups(&mut self) {
        for group in &mut self.groups {
            let Some(Column::Text(of)) = self.columns.get_mut(group.of) else { continue };
            if of.texts.is_shared() {
                let places = group.places(of.numbers());
                for (below, cells) in group.columns.iter().zip(&group.cells) {
                    self.columns[usize::from(*below)].set_cells(&places, cells);
                }
            }
            group.clear();
        }
    }

    pub(super) fn fill_others(&mut self, row: usize, source: &str) {
        let Record { others, text, .. } = &mut self.record;
        if others.is_empty() {
            return;
        }
        others.sort_unstable();
        text.clear();
        for (start, end) in others.iter() {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&source[*start..*end]);
        }
        text.push('}');
        if let Some(Column::Text(column)) = self.columns.get_mut(self.special.others) {
            column.set(row, text);
        }
    }

    pub(super) fn fill_nulls(&mut self, row: usize) {
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
    pub(super) fn fill_digest(&mut self, row: usize, text: &str) {
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
            values[row] = items(text, self.record.fields[files].field.value);
        }
    }

    pub(super) fn fill_dates(&mut self) {
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

/// How many items the list has that begins at a byte; none when that is something else.
fn items(text: &str, start: usize) -> Option<i64> {
    let bytes = text.as_bytes();
    let mut inside = Inside::new(bytes, start, MAX_DEPTH);
    let mut count = 0;
    while bytes.get(start) == Some(&b'[') {
        match inside.member() {
            Ok(Some(_)) => count += 1,
            _ => return Some(count),
        }
    }
    None
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
