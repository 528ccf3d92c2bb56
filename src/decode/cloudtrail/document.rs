//! One parsed JSON document: the tape's nodes, and where each of them is in the untouched source.
//!
//! The tape holds no byte offsets, the structural indexes do. Node `i` of the tape at depth `d` is the structural
//! character number `2 * i - d + e`, where `e` counts the empty containers before it: every node before `i` has
//! one structural character of its own and one that follows it (`:`, `,` or a closing bracket), save the `d`
//! containers that are still open; an empty container has its closing bracket besides.

use simd_json::Node;

use crate::decode::{Error, ErrorKind};

/// A parsed document and its source.
pub struct Document<'a> {
    source: &'a str,
    offset: usize,
    tape: &'a [Node<'a>],
    structurals: &'a [u32],
    spoiled: &'a [u32],
}

/// A place in the document while it is walked in order.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The node on the tape.
    pub node: usize,
    /// How many containers are open around it.
    pub depth: usize,
    /// Empty containers before it on the tape.
    pub empties: usize,
}

/// A slice of the source, as byte offsets.
pub type Span = (u32, u32);

impl<'a> Document<'a> {
    /// A document over its source, which begins at byte `offset` of the object's content. The text of the `spoiled`
    /// nodes, ascending, is not that of the source.
    pub fn new(
        source: &'a str,
        offset: usize,
        tape: &'a [Node<'a>],
        structurals: &'a [u32],
        spoiled: &'a [u32],
    ) -> Self {
        Document { source, offset, tape, structurals, spoiled }
    }

    /// Whether a string is no text in the source: a surrogate stands alone in it.
    #[inline]
    pub fn is_spoiled(&self, index: usize) -> bool {
        !self.spoiled.is_empty()
            && u32::try_from(index).is_ok_and(|node| self.spoiled.binary_search(&node).is_ok())
    }

    /// How many bytes the source has.
    pub fn size_bytes(&self) -> usize {
        self.source.len()
    }

    /// The place of the whole document.
    pub fn root() -> Place {
        Place { node: 0, depth: 0, empties: 0 }
    }

    /// The node at a tape index.
    #[inline]
    pub fn node(&self, index: usize) -> Node<'a> {
        self.tape[index]
    }

    /// The string at a tape index: the key of an object, always.
    #[inline]
    pub fn key(&self, index: usize) -> &'a str {
        match self.tape[index] {
            Node::String(text) => text,
            _ => "",
        }
    }

    /// How many nodes the value at a tape index takes, itself included.
    #[inline]
    pub fn count(&self, index: usize) -> usize {
        match self.tape[index] {
            Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
            Node::String(_) | Node::Static(_) => 1,
        }
    }

    /// How many empty containers the value at a tape index holds, itself included.
    #[inline]
    pub fn empties_in(&self, index: usize) -> usize {
        let nodes = &self.tape[index..index + self.count(index)];
        nodes
            .iter()
            .filter(|node| matches!(node, Node::Object { len: 0, .. } | Node::Array { len: 0, .. }))
            .count()
    }

    /// The byte in the source where a node begins.
    #[inline]
    pub fn start(&self, place: Place) -> usize {
        self.structurals.get(structural(place)).map_or(self.source.len(), |at| *at as usize)
    }

    /// The source's own bytes of a value that holds `inside` empty containers.
    #[inline]
    pub fn span(&self, place: Place, inside: usize) -> Span {
        let first = structural(place);
        let start = self.start(place);
        let end = match self.tape[place.node] {
            Node::Object { count, .. } | Node::Array { count, .. } => {
                let last = first + 2 * count + inside;
                self.structurals.get(last).map_or(self.source.len(), |at| *at as usize + 1)
            }
            Node::String(_) | Node::Static(_) => {
                let next = self.structurals.get(first + 1).map_or(self.source.len(), |at| *at as usize);
                let value = &self.source.as_bytes()[start..next.min(self.source.len())];
                start + value.trim_ascii_end().len()
            }
        };
        (narrow(start), narrow(end))
    }

    /// The text of a span.
    #[inline]
    pub fn text(&self, (start, end): Span) -> &'a str {
        // Spans begin and end at ASCII characters; a boundary inside another would be a fault of the index.
        self.source.get(start as usize..end as usize).unwrap_or_default()
    }

    /// An error about the shape of the content at a place.
    pub fn shape_error(&self, record: Option<usize>, place: Place, what: String) -> Error {
        ErrorKind::Shape(what).at(record, self.offset + self.start(place))
    }
}

#[inline]
fn structural(place: Place) -> usize {
    2 * place.node + place.empties - place.depth
}

/// Offsets fit in 32 bits: simd-json itself indexes with them and refuses more.
#[inline]
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
