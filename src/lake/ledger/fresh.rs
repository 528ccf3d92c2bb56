//! What the logs say that the index may not hold yet.

use std::collections::HashMap;

use super::object::{ObjectId, State};
use super::states::States;

/// Objects by the table whose log names them, with the newest version that does.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    tables: HashMap<&'static str, HashMap<ObjectId, (States, i64)>>,
}

impl Fresh {
    /// Adds what a version says.
    pub(super) fn note(&mut self, table: &'static str, version: i64, id: ObjectId, state: State) {
        let (states, newest) = self.tables.entry(table).or_default().entry(id).or_default();
        *states = states.and(States::of(state));
        *newest = version.max(*newest);
    }

    /// What is known of an object.
    pub(super) fn get(&self, id: ObjectId) -> States {
        let known = self.tables.values().filter_map(|table| table.get(&id));
        known.fold(States::default(), |all, (states, _)| all.and(*states))
    }

    /// How many objects.
    pub(super) fn len(&self) -> usize {
        self.tables.values().map(HashMap::len).sum()
    }

    /// Lets go what the index holds: it has all versions of a table up to one.
    pub(super) fn let_go(&mut self, table: &str, indexed: i64) {
        if let Some(objects) = self.tables.get_mut(table) {
            objects.retain(|_, (_, version)| *version > indexed);
            objects.shrink_to_fit();
        }
    }
}
