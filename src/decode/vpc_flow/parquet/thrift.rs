//! Thrift's compact protocol, which the footer and the headers of pages are written in.
//!
//! Must never take memory or stack for what is only claimed, and must never take other bytes for a field than the
//! reader of the pages does: what could be read in two ways is refused.

/// Structures and lists inside one another, at most.
const MAX_DEPTH: u32 = 16;

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Bool(bool),
    /// Of 16, 32 or 64 bits.
    Integer(i64),
    Bytes(&'a [u8]),
    /// For [`structure`].
    Structure(&'a [u8]),
    /// One after the other, for [`structure`].
    Structures(&'a [u8]),
    Other,
}

impl<'a> Value<'a> {
    /// An integer that is no less than 0 and fits 32 bits.
    pub fn count(self) -> Option<usize> {
        usize::try_from(i32::try_from(self.integer()?).ok()?).ok()
    }

    pub fn integer(self) -> Option<i64> {
        if let Value::Integer(value) = self { Some(value) } else { None }
    }

    pub fn bytes(self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub fn structure(self) -> Option<&'a [u8]> {
        if let Value::Structure(bytes) = self { Some(bytes) } else { None }
    }

    /// A list of structures; an empty list may say that it is one of something else.
    pub fn structures(self) -> Option<&'a [u8]> {
        if let Value::Structures(bytes) = self { Some(bytes) } else { None }
    }
}

/// Takes a structure off the front of some bytes; `found` hears of each field by its number, and refuses with `None`.
pub fn structure<'a>(
    bytes: &mut &'a [u8],
    found: &mut dyn FnMut(i64, Value<'a>) -> Option<()>,
) -> Option<()> {
    fields(bytes, MAX_DEPTH, found)
}

fn fields<'a>(
    bytes: &mut &'a [u8],
    depth: u32,
    found: &mut dyn FnMut(i64, Value<'a>) -> Option<()>,
) -> Option<()> {
    let mut last = 0_i64;
    loop {
        let first = byte(bytes)?;
        if first == 0 {
            return Some(());
        }
        let id = match first >> 4 {
            0 => zigzag(varint(bytes)?),
            delta => last + i64::from(delta),
        };
        // All writers write them in order. Of a field that is there twice readers take the first, the last or a mix.
        if id <= last || id > i64::from(i16::MAX) {
            return None;
        }
        last = id;
        found(id, value(bytes, first & 0x0f, depth)?)?;
    }
}

/// Takes a value of a type off the front of some bytes.
fn value<'a>(bytes: &mut &'a [u8], of_type: u8, depth: u32) -> Option<Value<'a>> {
    Some(match of_type {
        1 | 2 => Value::Bool(of_type == 1),
        3 => {
            byte(bytes)?;
            Value::Other
        }
        4..=6 => Value::Integer(zigzag(varint(bytes)?)),
        7 => {
            take(bytes, 8)?;
            Value::Other
        }
        8 => {
            let length = varint(bytes)?;
            Value::Bytes(take(bytes, length)?)
        }
        9 | 10 => list(bytes, depth.checked_sub(1)?)?,
        12 => {
            let whole = *bytes;
            fields(bytes, depth.checked_sub(1)?, &mut |_, _| Some(()))?;
            Value::Structure(&whole[..whole.len() - bytes.len()])
        }
        // Nothing that is read here has maps.
        _ => return None,
    })
}

fn list<'a>(bytes: &mut &'a [u8], depth: u32) -> Option<Value<'a>> {
    let first = byte(bytes)?;
    let of_type = first & 0x0f;
    let count = if first >> 4 == 15 { varint(bytes)? } else { u64::from(first >> 4) };
    // Each takes a byte at least; of booleans, readers disagree whether they do.
    (count <= bytes.len() as u64 && !(matches!(of_type, 1 | 2) && count > 0)).then_some(())?;
    let whole = *bytes;
    for _ in 0..count {
        value(bytes, of_type, depth)?;
    }
    let items = &whole[..whole.len() - bytes.len()];
    Some(if of_type == 12 || count == 0 { Value::Structures(items) } else { Value::Other })
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(bytes)?;
        value |= u64::from(next & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(mut bytes: &[u8]) -> Option<Vec<i64>> {
        let mut ids = Vec::new();
        structure(&mut bytes, &mut |id, _| {
            ids.push(id);
            Some(())
        })?;
        bytes.is_empty().then_some(ids)
    }

    #[test]
    fn fields_are_told_by_number() {
        // A boolean, 300 in two bytes, a text, a list of two integers, an empty list of no type, a number in full.
        let bytes = b"\x11\x15\xd8\x04\x18\x02ab\x19\x25\x01\x02\x19\x00\x0c\x50\x11\x00\x00";
        assert_eq!(ids(bytes), Some(vec![1, 2, 3, 4, 5, 40]));
        let mut found = Vec::new();
        structure(&mut &bytes[..], &mut |_, value| {
            found.push((value.count(), value.bytes().map(<[u8]>::to_vec)));
            Some(())
        });
        assert_eq!(found[1..3], [(Some(300), None), (None, Some(b"ab".to_vec()))]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bytes in [
            &b"\x15\x02"[..],
            // Twice, backwards, and as a number that wraps around in 16 bits.
            b"\x15\x02\x05\x02\x02\x00",
            b"\x25\x02\x05\x02\x02\x00",
            b"\x05\x82\x80\x08\x02\x00",
            // An end with a number, booleans in a list, a map, an identifier of 16 bytes.
            b"\x10",
            b"\x19\x21\x01\x02\x00",
            b"\x1b\x00\x00",
            b"\x1d0123456789abcdef\x00",
            // More than there is: of a list, of a text, of a number.
            b"\x19\xf5\xff\xff\xff\xff\x07\x00",
            b"\x18\xff\xff\xff\xff\x07a\x00",
            b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
        ] {
            assert_eq!(ids(bytes), None, "{}", bytes.escape_ascii());
        }
        assert_eq!(ids(&[&[0x1c; 16][..], &[0; 17]].concat()), Some(vec![1]));
        assert_eq!(ids(&[&[0x1c; 17][..], &[0; 18]].concat()), None);
        assert_eq!(ids(&vec![0x1c; 1 << 20]), None);
    }
}
