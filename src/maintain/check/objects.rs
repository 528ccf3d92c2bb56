//! What the commits say of objects, and a bit for each of their rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::Array;

use super::Report;
use crate::decode::columns::Table;
use crate::lake::{self, Action, OBJECTS, ObjectId, Removal, State};
use crate::maintain::provenance::Rows;

/// At most so many objects with rows that are wrong are remembered.
const MAX_ODD: usize = 100_000;

/// An object whose rows a commit added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub id: ObjectId,
    pub table: &'static str,
    pub version: i64,
    pub rows: u32,
    /// Where its bits begin.
    first: u64,
}

/// An outcome without rows that a commit of `objects` notes.
pub(super) type Outcomes = HashMap<(ObjectId, State), u32>;

/// Everything the commits say.
#[derive(Default)]
pub(super) struct Objects {
    all: Vec<Object>,
    by_id: HashMap<ObjectId, usize>,
    outcomes: Outcomes,
    removals: Vec<(&'static str, i64, Removal)>,
    bits: Vec<AtomicU64>,
    odd: Mutex<BTreeMap<(&'static str, String), Odd>>,
}

/// Rows of one object that should not be there.
#[derive(Debug, Default, Clone, Copy)]
struct Odd {
    twice: u64,
    beyond: u64,
    unknown: u64,
    elsewhere: u64,
    first: u32,
}

impl Objects {
    /// How many objects with rows.
    pub fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// Objects with rows.
    pub fn all(&self) -> &[Object] {
        &self.all
    }

    /// Outcomes without rows.
    pub fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// How many rows commits took out of a table.
    pub fn removed_of(&self, table: &str) -> u64 {
        self.removals.iter().filter(|(of, ..)| *of == table).map(|(.., removal)| removal.rows.count()).sum()
    }

    /// Notes what one version says.
    pub fn note(&mut self, table: &'static Table, version: i64, actions: &[Action], report: &mut Report) {
        let name = table.name;
        let (mut listed, mut understood) = (0, 0);
        for record in lake::objects_of(actions) {
            listed += 1;
            let Ok(record) = record else { continue };
            understood += 1;
            if name == OBJECTS.name {
                *self.outcomes.entry((record.object_id, record.state)).or_default() += 1;
                continue;
            }
            let Ok(rows) = u32::try_from(record.row_count) else {
                report.error(
                    name,
                    "commit-unreadable",
                    &version,
                    format!("an object of {} rows", record.row_count),
                );
                continue;
            };
            if let Some(known) = self.by_id.get(&record.object_id).and_then(|at| self.all.get(*at)) {
                let detail = format!("version {} of `{}` added it already", known.version, known.table);
                report.error(name, "object-twice", &record.object_id, detail);
                continue;
            }
            self.by_id.insert(record.object_id, self.all.len());
            self.all.push(Object { id: record.object_id, table: name, version, rows, first: 0 });
        }
        if understood != listed {
            let detail = format!(
                "{} of {listed} objects are in a form this version does not know",
                listed - understood
            );
            report.error(name, "commit-unreadable", &version, detail);
        }
        for removal in lake::removals(actions) {
            match removal {
                Ok(removal) => self.removals.push((name, version, removal)),
                Err(text) => {
                    report.error(
                        name,
                        "commit-unreadable",
                        &version,
                        format!("the rows it took out: {text}"),
                    );
                }
            }
        }
    }

    /// Makes room for a bit per row, once all objects are known.
    pub fn allocate(&mut self) {
        let mut bits = 0_u64;
        for object in &mut self.all {
            object.first = bits;
            bits += u64::from(object.rows);
        }
        let words = usize::try_from(bits.div_ceil(64)).unwrap_or(usize::MAX);
        self.bits = (0..words).map(|_| AtomicU64::new(0)).collect();
    }

    /// Marks the rows that commits took out as accounted for.
    pub fn take_out(&mut self, report: &mut Report) {
        for (table, version, removal) in std::mem::take(&mut self.removals) {
            for (id, ranges) in removal.rows.iter() {
                let object =
                    self.by_id.get(&id).and_then(|at| self.all.get(*at)).filter(|o| o.table == table);
                let Some(object) = object else {
                    let detail =
                        format!("version {version} took out rows of an object that no version added");
                    report.error(table, "removal-wrong", &id, detail);
                    continue;
                };
                let wrong: u64 = ranges.iter().map(|range| self.mark_range(object, *range)).sum();
                if wrong > 0 {
                    let detail = format!(
                        "version {version} took out {wrong} rows that were not there to be taken out"
                    );
                    report.error(table, "removal-wrong", &id, detail);
                }
            }
            self.removals.push((table, version, removal));
        }
    }

    /// Marks rows; returns how many are not rows of the object or were marked before.
    fn mark_range(&self, object: &Object, (first, last): (u32, u32)) -> u64 {
        let end = (u64::from(last) + 1).min(u64::from(object.rows));
        let beyond = u64::from(last) + 1 - end.max(u64::from(first));
        let inside = u64::from(first)..end;
        beyond + inside.filter(|row| self.mark(object.first + row)).count() as u64
    }

    /// Marks a row; returns whether it was marked before.
    fn mark(&self, bit: u64) -> bool {
        let mask = 1_u64 << (bit % 64);
        let word = usize::try_from(bit / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word.fetch_or(mask, Ordering::Relaxed) & mask != 0)
    }

    /// Marks rows of a file of a table; returns how many do not say where they are from.
    pub fn mark_rows(&self, table: &'static str, rows: &Rows<'_>) -> u64 {
        let mut nowhere = 0;
        // Which object each id is: found once per batch, for the ids that occur.
        let mut known: Vec<Option<Option<Object>>> = vec![None; rows.objects.len()];
        for row in rows.iter() {
            let Some((key, number)) = row else {
                nowhere += 1;
                continue;
            };
            let object = *known[key].get_or_insert_with(|| self.find(rows.objects.value(key)));
            let problem: fn(&mut Odd) = match object {
                None => |odd| odd.unknown += 1,
                Some(object) if object.table != table => |odd| odd.elsewhere += 1,
                Some(object) if number >= object.rows => |odd| odd.beyond += 1,
                Some(object) if self.mark(object.first + u64::from(number)) => |odd| odd.twice += 1,
                Some(_) => continue,
            };
            self.note_odd(table, rows.objects.value(key), number, problem);
        }
        nowhere
    }

    fn find(&self, id: &str) -> Option<Object> {
        self.by_id.get(&id.parse().ok()?).and_then(|at| self.all.get(*at)).copied()
    }

    #[cold]
    fn note_odd(&self, table: &'static str, id: &str, row: u32, problem: fn(&mut Odd)) {
        let mut odd = self.odd.lock().unwrap_or_else(PoisonError::into_inner);
        if odd.len() < MAX_ODD {
            let id: String = id.chars().take(64).collect();
            problem(odd.entry((table, id)).or_insert(Odd { first: row, ..Odd::default() }));
        }
    }

    /// Tells of every object that is not there once and whole.
    pub fn report(&self, report: &mut Report) {
        let odd = self.odd.lock().unwrap_or_else(PoisonError::into_inner);
        for ((table, id), odd) in odd.iter() {
            let from = odd.first;
            for (count, kind, what) in [
                (odd.twice, "rows-twice", "are there more than once, or though a commit took them out"),
                (odd.beyond, "rows-beyond", "have a number beyond the rows of the object"),
                (odd.unknown, "object-unknown", "are of an object that no commit names"),
                (odd.elsewhere, "object-elsewhere", "are of an object of another table"),
            ] {
                if count > 0 {
                    report.error(table, kind, &id, format!("{count} rows, the first is {from}, {what}"));
                }
            }
        }
        for object in &self.all {
            let (missing, first) = self.missing(object);
            if missing > 0 {
                let detail = format!(
                    "{missing} of {} rows, the first is {first}, are in no file though version {} added them",
                    object.rows, object.version
                );
                report.error(object.table, "rows-missing", &object.id, detail);
            }
        }
    }

    /// How many rows of an object are not marked, and the first of them.
    fn missing(&self, object: &Object) -> (u64, u64) {
        let (mut missing, mut first) = (0, None);
        let end = object.first + u64::from(object.rows);
        let mut bit = object.first;
        while bit < end {
            let upto = end.min((bit / 64 + 1) * 64);
            let width = upto - bit;
            let mask = (u64::MAX >> (64 - width)) << (bit % 64);
            let word = usize::try_from(bit / 64).ok().and_then(|word| self.bits.get(word));
            let unset = !word.map_or(0, |word| word.load(Ordering::Relaxed)) & mask;
            if unset != 0 {
                missing += u64::from(unset.count_ones());
                first.get_or_insert(bit / 64 * 64 + u64::from(unset.trailing_zeros()) - object.first);
            }
            bit = upto;
        }
        (missing, first.unwrap_or(0))
    }
}
