//! Which column a key of a record fills: the paths of the column table, laid out for fast look-up.
//!
//! Must never know a field by name: everything comes from the table of columns.

use crate::decode::columns::Table;
use crate::decode::fill::begins_with;

/// The longest key that has a bucket of its own; no CloudTrail field is longer.
const LONGEST: usize = 40;

/// What a key leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Target {
    /// The column filled by the value, as an index into the table's columns.
    pub column: Option<u16>,
    /// The level the value's own keys are looked up in.
    pub level: Option<u16>,
    /// The number of a key of a record.
    pub top: usize,
}

/// The keys of one object of the record, by length.
#[derive(Debug)]
struct Level {
    by_length: Vec<Vec<(&'static [u8], Target)>>,
}

impl Level {
    fn new() -> Self {
        Level { by_length: vec![Vec::new(); LONGEST + 1] }
    }

    fn entry(&mut self, key: &'static str) -> &mut Target {
        let bucket = &mut self.by_length[key.len().min(LONGEST)];
        let at = bucket.iter().position(|(known, _)| *known == key.as_bytes()).unwrap_or(bucket.len());
        if at == bucket.len() {
            bucket.push((key.as_bytes(), Target::default()));
        }
        &mut bucket[at].1
    }
}

/// A key of a record.
#[derive(Debug)]
struct Top {
    /// With its quotes and the colon, as it stands in compact JSON.
    literal: Vec<u8>,
    target: Target,
}

/// All paths of a table's columns.
#[derive(Debug)]
pub struct Keys {
    levels: Vec<Level>,
    /// The keys of a record, and last one that none has.
    top: Vec<Top>,
    /// For each of those, the one that came after it last time.
    after: Vec<usize>,
    /// For each level, the columns filled from inside it.
    below: Vec<Vec<u16>>,
}

impl Keys {
    /// Lays out the paths of a table.
    pub fn new(table: &Table) -> Self {
        let mut keys =
            Keys { levels: vec![Level::new()], top: Vec::new(), after: Vec::new(), below: Vec::new() };
        for (index, column) in table.columns.iter().enumerate().filter(|(_, c)| !c.source.is_empty()) {
            keys.insert(column.source, u16::try_from(index).unwrap_or(u16::MAX));
        }
        keys.below = (0..keys.levels.len()).map(|level| keys.collect_below(level)).collect();
        for (number, (key, target)) in (0..).zip(keys.levels[0].by_length.iter_mut().flatten()) {
            target.top = number;
            keys.top.push(Top { literal: [b"\"", *key, b"\":"].concat(), target: *target });
        }
        keys.top.push(Top { literal: Vec::new(), target: Target::default() });
        keys.after = vec![keys.top.len() - 1; keys.top.len()];
        keys
    }

    fn insert(&mut self, path: &'static str, column: u16) {
        let mut level = 0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                self.levels[level].entry(part).column = Some(column);
                return;
            }
            let next = self.levels[level].entry(part).level;
            level = if let Some(next) = next {
                usize::from(next)
            } else {
                self.levels.push(Level::new());
                let new = self.levels.len() - 1;
                self.levels[level].entry(part).level = Some(u16::try_from(new).unwrap_or(u16::MAX));
                new
            };
        }
    }

    /// What a key at a level leads to; level 0 is the record itself.
    #[inline]
    pub fn find(&self, level: u16, key: &[u8]) -> Option<Target> {
        let bucket = self.levels[usize::from(level)].by_length.get(key.len())?;
        bucket.iter().find(|(known, _)| *known == key).map(|(_, target)| *target)
    }

    /// The number that stands for the beginning of a record, before its keys.
    pub fn start(&self) -> usize {
        self.top.len() - 1
    }

    /// What the key leads to that a text begins with, and how long it is with its colon: if it is the one that came
    /// after this one last time. Records of a kind have their keys in one order.
    #[inline]
    pub fn likely(&self, before: usize, text: &[u8]) -> Option<(Target, usize)> {
        let Top { literal, target } = &self.top[self.after[before]];
        (!literal.is_empty() && begins_with(text, literal)).then_some((*target, literal.len()))
    }

    /// Remembers which key comes after another.
    pub fn follows(&mut self, before: usize, after: usize) {
        self.after[before] = after;
    }

    /// The columns filled from inside a level, its own levels included.
    #[inline]
    pub fn columns_below(&self, level: u16) -> &[u16] {
        &self.below[usize::from(level)]
    }

    /// The column of the object in the record whose keys these are.
    pub fn of_level(&self, level: u16) -> Option<u16> {
        let mut targets = self.levels[0].by_length.iter().flatten().map(|(_, target)| target);
        targets.find(|target| target.level == Some(level))?.column
    }

    /// The levels of the objects directly in the record.
    pub fn top_levels(&self) -> impl Iterator<Item = u16> {
        self.levels[0].by_length.iter().flatten().filter_map(|(_, target)| target.level)
    }

    fn collect_below(&self, level: usize) -> Vec<u16> {
        let mut found = Vec::new();
        for (_, target) in self.levels[level].by_length.iter().flatten() {
            found.extend(target.column);
            if let Some(deeper) = target.level {
                found.extend(self.collect_below(usize::from(deeper)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::columns::CLOUDTRAIL;

    #[test]
    fn every_source_path_is_found() {
        let keys = Keys::new(&CLOUDTRAIL);
        for (index, column) in CLOUDTRAIL.columns.iter().enumerate().filter(|(_, c)| !c.source.is_empty()) {
            let mut level = 0;
            let mut target = Target::default();
            for part in column.source.split('.') {
                target = keys
                    .find(level, part.as_bytes())
                    .unwrap_or_else(|| panic!("`{part}` of `{}`", column.source));
                level = target.level.unwrap_or(0);
            }
            assert_eq!(target.column.map(usize::from), Some(index), "{}", column.source);
        }
    }

    #[test]
    fn a_key_is_known_by_the_one_before_it() {
        let mut keys = Keys::new(&CLOUDTRAIL);
        let find = |keys: &Keys, key: &str| keys.find(0, key.as_bytes()).unwrap();
        let (name, time) = (find(&keys, "eventName"), find(&keys, "eventTime"));
        let text = br#""eventTime":"2026"#;
        assert_eq!(keys.likely(keys.start(), text), None);
        keys.follows(keys.start(), time.top);
        keys.follows(time.top, name.top);
        assert_eq!(keys.likely(keys.start(), text), Some((time, 12)));
        assert_eq!(keys.likely(keys.start(), &text[..11]), None);
        assert_eq!(keys.likely(time.top, text), None);
        assert_eq!(keys.likely(time.top, br#""eventName":"#), Some((name, 12)));
        assert_eq!(keys.likely(time.top, br#""eventNames":"#), None);
    }

    #[test]
    fn unknown_keys_lead_nowhere() {
        let keys = Keys::new(&CLOUDTRAIL);
        for key in ["", "eventtime", "EventTime", "x", &"k".repeat(500)] {
            assert_eq!(keys.find(0, key.as_bytes()), None, "{key}");
        }
    }
}
