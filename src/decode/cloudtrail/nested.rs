//! The columns that are filled from inside a top-level object, as an identity: what they hold is read once for every
//! distinct text of it.
//!
//! Must never make an object smaller: it is kept as JSON, whatever is in it.

use super::keys::Keys;
use super::rows::MAX_DEPTH;
use super::scan::{Inside, Member};
use super::unescape::{key_of, string_of};
use crate::decode::columns::{Kind, Table};
use crate::decode::fill::{Column, NO_CELL, NULL};
use crate::decode::time;

/// Room for what is inside of more objects than this is not kept.
const KEPT_CELLS: usize = 1 << 15;

/// The columns filled from inside one top-level object.
#[derive(Debug)]
pub struct Group {
    /// The level of its keys.
    pub level: u16,
    /// The columns, with that of the actor at the end.
    pub columns: Vec<u16>,
    /// The column of the object itself.
    pub of: usize,
    /// Who acted, where it tells.
    pub actor: Option<Actor>,
    /// For each number of a text of its column, which object it is; [`NULL`] for what is none.
    objects: Vec<u32>,
    /// What each of the columns holds, for each object.
    pub cells: Vec<Vec<i64>>,
    /// Room for what they hold of one object.
    pub at_hand: Vec<i64>,
}

/// The column of who acted, and where that is taken from: the first of these that is there and not empty.
#[derive(Debug)]
pub struct Actor {
    column: usize,
    sources: Vec<usize>,
}

const ACTOR_SOURCES: [&str; 6] = [
    "session_issuer_arn",
    "identity_arn",
    "identity_principal_id",
    "on_behalf_of_user_id",
    "identity_account_id",
    "invoked_by",
];

impl Group {
    /// The columns of a table below the keys of a level.
    pub fn new(table: &Table, keys: &Keys, level: u16) -> Self {
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
        let of = keys.of_level(level).map_or(usize::MAX, usize::from);
        let (cells, at_hand) = (vec![Vec::new(); columns.len()], vec![NO_CELL; columns.len()]);
        Group { level, columns, of, actor, objects: Vec::new(), cells, at_hand }
    }

    /// Whether it is known what is inside of the object whose text has this number.
    pub fn has(&self, number: u32) -> bool {
        self.objects.get(number as usize).is_some_and(|object| *object != NULL)
    }

    /// How many bytes what is known takes.
    pub fn bytes(&self) -> usize {
        let of_cells: usize = self.cells.iter().map(|cells| cells.len() * size_of::<i64>()).sum();
        of_cells + self.objects.len() * size_of::<u32>()
    }

    /// Forgets what is known, and keeps the room for as much if it is not large.
    pub fn clear(&mut self) {
        self.objects.clear();
        self.objects.shrink_to(KEPT_CELLS);
        for cells in &mut self.cells {
            cells.clear();
            cells.shrink_to(KEPT_CELLS);
        }
    }

    /// Notes what is inside of the object whose text has this number. A text is met for the first time in the order of
    /// its number; those between were of no object.
    pub fn keep(&mut self, number: u32, found: &[i64]) {
        let object = self.cells.first().map_or(0, Vec::len);
        self.objects.resize(number as usize, NULL);
        // No more than there are numbers.
        self.objects.push(u32::try_from(object).unwrap_or(NULL));
        for (cells, found) in self.cells.iter_mut().zip(found) {
            cells.push(*found);
        }
    }

    /// For each number of a text, the place of its cells, or [`NULL`].
    pub fn places(&self, numbers: &[u32]) -> Vec<u32> {
        numbers.iter().map(|number| self.objects.get(*number as usize).copied().unwrap_or(NULL)).collect()
    }
}

impl Actor {
    /// Fills its column, once the cells of its sources are there.
    pub fn fill(&self, columns: &mut [Column], below: &[u16], cells: &mut [i64]) {
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
pub struct Nested<'a> {
    /// All columns.
    pub columns: &'a mut [Column],
    /// Their keys.
    pub keys: &'a Keys,
    /// Their table.
    pub table: &'static Table,
    /// The source.
    pub text: &'a str,
    /// The columns whose cells are filled.
    pub below: &'a [u16],
}

impl Nested<'_> {
    /// Reads the object that begins at a byte, and of which it is known that it is JSON.
    pub fn read(&mut self, level: u16, start: usize, cells: &mut [i64]) {
        let bytes = self.text.as_bytes();
        if bytes.get(start) != Some(&b'{') {
            return;
        }
        // Nothing in it is deeper than it was found to be.
        let mut inside = Inside::new(bytes, start, MAX_DEPTH);
        while let Ok(Some(member)) = inside.member() {
            let key = key_of(self.text, member);
            let target = key.and_then(|key| self.keys.find(level, key.as_bytes()));
            let Some(target) = target else { continue };
            if let Some(cell) = target.column.and_then(|column| self.cell(column)) {
                cells[cell] = self.value(usize::from(self.below[cell]), member);
            }
            if let Some(deeper) = target.level {
                // An object that is there again inside its own: nothing of the one before it counts.
                for column in self.keys.columns_below(deeper) {
                    if let Some(cell) = self.cell(*column) {
                        cells[cell] = NO_CELL;
                    }
                }
                self.read(deeper, member.value, cells);
            }
        }
    }

    fn cell(&self, column: u16) -> Option<usize> {
        self.below.iter().position(|below| *below == column)
    }

    fn value(&mut self, column: usize, member: Member) -> i64 {
        let raw = &self.text[member.value..member.end];
        let kind = self.table.columns[column].kind;
        let found = match (kind, raw) {
            (Kind::Bool | Kind::BoolText, "true" | "false") => Some(i64::from(raw == "true")),
            _ => string_of(raw).and_then(|text| match (kind, &mut self.columns[column]) {
                (Kind::Text, Column::Text(column)) => Some(i64::from(column.texts.number(&text))),
                (Kind::Bool | Kind::BoolText, _) if matches!(&*text, "true" | "false") => {
                    Some(i64::from(text == "true"))
                }
                (Kind::Timestamp, _) => time::parse_iso8601(text.as_bytes()),
                _ => None,
            }),
        };
        found.unwrap_or(NO_CELL)
    }
}
