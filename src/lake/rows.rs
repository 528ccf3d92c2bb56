//! Sets of rows of objects, as commits record which rows they took out of a table.
//!
//! As text a set is a list of ranges, `0-57,60`; as JSON an object from object id to such a list.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ledger::ObjectId;

/// Ranges of one object are put in order when there are more than so many.
const LOOSE_RANGES: usize = 64;

/// Rows of some objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectRows {
    objects: BTreeMap<ObjectId, Ranges>,
}

/// Ranges of row numbers, both ends included; in order up to `sorted`, where the loose ones begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges {
    ranges: Vec<(u32, u32)>,
    sorted: usize,
}

impl ObjectRows {
    /// Adds a row.
    pub fn insert(&mut self, object: ObjectId, row: u32) {
        self.objects.entry(object).or_default().insert(row);
    }

    /// Adds other rows.
    pub fn extend(&mut self, other: ObjectRows) {
        for (object, ranges) in other.objects {
            let all = self.objects.entry(object).or_default();
            all.ranges.extend(ranges.ranges);
            all.settle();
        }
    }

    /// How many rows.
    pub fn count(&self) -> u64 {
        let lengths = self.objects.values().map(|ranges| {
            ranges.in_order().iter().map(|(first, last)| u64::from(last - first) + 1).sum::<u64>()
        });
        lengths.sum()
    }

    /// How many objects.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// How many ranges of rows, as far as they were put together.
    pub fn ranges(&self) -> usize {
        self.objects.values().map(|ranges| ranges.ranges.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The ranges of each object, in order, both ends included.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectId, Vec<(u32, u32)>)> + '_ {
        self.objects.iter().map(|(object, ranges)| (*object, ranges.in_order()))
    }

    /// From object id to ranges, as commits hold it.
    pub fn to_json(&self) -> Value {
        let text = |ranges: Vec<(u32, u32)>| {
            let words = ranges.into_iter().map(|(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            });
            json!(words.collect::<Vec<_>>().join(","))
        };
        Value::Object(self.iter().map(|(id, ranges)| (id.to_string(), text(ranges))).collect::<Map<_, _>>())
    }

    /// What [`ObjectRows::to_json`] made; none when it is something else.
    pub fn from_json(value: &Value) -> Option<Self> {
        let mut objects = BTreeMap::new();
        for (id, text) in value.as_object()? {
            let mut ranges = Ranges::default();
            for word in text.as_str()?.split(',') {
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                if first > last {
                    return None;
                }
                ranges.ranges.push((first, last));
            }
            ranges.settle();
            objects.insert(id.parse().ok()?, ranges);
        }
        Some(ObjectRows { objects })
    }
}

impl Ranges {
    fn insert(&mut self, row: u32) {
        // Rows mostly come in the order they have in their object.
        match self.ranges.last_mut() {
            Some((first, last)) if *first <= row && row <= *last => return,
            Some((_, last)) if last.checked_add(1) == Some(row) => {
                *last = row;
                return;
            }
            _ => self.ranges.push((row, row)),
        }
        if self.ranges.len() - self.sorted > LOOSE_RANGES + self.sorted {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.ranges = self.in_order();
        self.sorted = self.ranges.len();
    }

    fn in_order(&self) -> Vec<(u32, u32)> {
        let mut ranges = self.ranges.clone();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_ranges_in_any_order_and_survive_json() {
        let (a, b) = (ObjectId::new("b", "a", "e"), ObjectId::new("b", "b", "e"));
        for (rows, text) in [
            (vec![0, 1, 2], "0-2"),
            (vec![2, 1, 0, 1], "0-2"),
            (vec![7], "7"),
            (vec![5, 0, 6, 1, 9], "0-1,5-6,9"),
            ((0..1000).rev().collect(), "0-999"),
            ((0..1000).map(|row| row * 7 % 1000).collect(), "0-999"),
        ] {
            let mut set = ObjectRows::default();
            for row in &rows {
                set.insert(a, *row);
            }
            set.insert(b, u32::MAX);
            let json = set.to_json();
            assert_eq!(json[a.to_string()], text, "{rows:?}");
            let again = ObjectRows::from_json(&json).expect("is understood");
            assert_eq!(again.iter().collect::<Vec<_>>(), set.iter().collect::<Vec<_>>());
            let distinct = rows.iter().collect::<std::collections::HashSet<_>>().len() as u64;
            assert_eq!(set.count(), distinct + 1);
        }
        for wrong in
            [json!([]), json!({ "x": "1" }), json!({ a.to_string(): "2-1" }), json!({ a.to_string(): "" })]
        {
            assert_eq!(ObjectRows::from_json(&wrong), None, "{wrong}");
        }
    }
}
