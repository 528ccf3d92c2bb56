//! What is known of objects, kept small: a set of states for each id.
//!
//! Sets, since the rows of an index come in any order: what is known must not depend on it.

use super::object::{ObjectId, State};

/// The states an object was seen in; which came first does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lake) struct States(u8);

impl States {
    /// One state.
    pub(super) fn of(state: State) -> Self {
        States(1 << bit(state))
    }

    /// Both.
    pub(super) fn and(self, other: States) -> Self {
        States(self.0 | other.0)
    }

    fn contains(self, state: State) -> bool {
        self.0 & (1 << bit(state)) != 0
    }

    /// Whether committing this outcome would tell nothing new.
    pub(in crate::lake) fn cover(self, state: State) -> bool {
        self.contains(state) || self.are_final()
    }

    /// Whether nothing more is to be done about the object.
    pub(super) fn are_final(self) -> bool {
        self.state().is_some_and(State::is_final)
    }

    /// The state that counts: a final one if there is one.
    pub(in crate::lake) fn state(self) -> Option<State> {
        [State::Committed, State::Empty, State::Unsupported, State::Quarantined]
            .into_iter()
            .find(|state| self.contains(*state))
    }
}

fn bit(state: State) -> u32 {
    match state {
        State::Committed => 0,
        State::Empty => 1,
        State::Quarantined => 2,
        State::Unsupported => 3,
    }
}

/// The ids of a part of the ledger: in order, and beside them the states that are not just `committed`.
#[derive(Debug, Default)]
pub(super) struct Part {
    ids: Vec<u128>,
    odd: Vec<(u128, States)>,
}

impl Part {
    /// A part of these objects, each of which may be there several times.
    pub(super) fn new(mut found: Found) -> Self {
        found.ids.sort_unstable();
        found.ids.dedup();
        found.ids.shrink_to_fit();
        found.odd.sort_unstable_by_key(|(id, _)| *id);
        let mut odd: Vec<(u128, States)> = Vec::with_capacity(found.odd.len());
        for (id, states) in found.odd {
            match odd.last_mut() {
                Some((last, known)) if *last == id => *known = known.and(states),
                _ => odd.push((id, states)),
            }
        }
        Part { ids: found.ids, odd }
    }

    /// What is known of an object.
    pub(super) fn get(&self, id: ObjectId) -> States {
        let id = id.number();
        let committed = if self.ids.binary_search(&id).is_ok() {
            States::of(State::Committed)
        } else {
            States::default()
        };
        let odd = self.odd.binary_search_by_key(&id, |(id, _)| *id).ok().and_then(|at| self.odd.get(at));
        committed.and(odd.map_or(States::default(), |(_, states)| *states))
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<u128>() + self.odd.capacity() * size_of::<(u128, States)>()
    }
}

/// Objects in the order they were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    ids: Vec<u128>,
    odd: Vec<(u128, States)>,
}

impl Found {
    /// Both.
    pub(super) fn and(mut self, other: Found) -> Self {
        if self.ids.is_empty() && self.odd.is_empty() {
            return other;
        }
        self.ids.extend(other.ids);
        self.odd.extend(other.odd);
        self
    }

    /// Adds what a row says.
    pub(super) fn push(&mut self, id: ObjectId, state: State) {
        match state {
            State::Committed => self.ids.push(id.number()),
            other => self.odd.push((id.number(), States::of(other))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_add_up_in_any_order() {
        use State::{Committed, Empty, Quarantined, Unsupported};
        for (seen, counts, covered) in [
            (vec![], None, vec![]),
            (vec![Quarantined], Some(Quarantined), vec![Quarantined]),
            (vec![Unsupported, Quarantined], Some(Unsupported), vec![Quarantined, Unsupported]),
            (vec![Quarantined, Committed], Some(Committed), vec![Committed, Empty, Quarantined, Unsupported]),
            (vec![Empty], Some(Empty), vec![Committed, Empty, Quarantined, Unsupported]),
        ] {
            let id = ObjectId::new("b", "k", "e");
            for reverse in [false, true] {
                let mut found = Found::default();
                found.push(ObjectId::new("b", "other", "e"), Committed);
                let order: Vec<State> =
                    if reverse { seen.iter().rev().copied().collect() } else { seen.clone() };
                for state in order.iter().chain(&order) {
                    found.push(id, *state);
                }
                let states = Part::new(found).get(id);
                assert_eq!(states.state(), counts, "{seen:?}");
                for state in [Committed, Empty, Quarantined, Unsupported] {
                    assert_eq!(states.cover(state), covered.contains(&state), "{seen:?} {state:?}");
                }
            }
        }
    }
}
