//! Integers in few bits: Parquet's RLE and bit-packing hybrid, and its delta encoding.
//!
//! The formats are those of the Parquet specification, "Encodings": `RLE` and `DELTA_BINARY_PACKED`. Must never
//! allocate more than what it writes and a block.

use fearless_simd::{Level, dispatch};

/// Values that are packed together.
const GROUP: usize = 8;

/// Values in a block of deltas, and in each of the parts of it that have a width of their own.
const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// How many bits the values up to this one need.
pub fn width_of(most: u64) -> u8 {
    // At most 64.
    u8::try_from(u64::BITS - most.leading_zeros()).unwrap_or(64)
}

/// Appends values, each of at most `width` bits, as runs of one value and packed groups of eight.
pub fn hybrid(values: &[u32], width: u8, out: &mut Vec<u8>) {
    let mut packed_from = 0;
    let mut at = 0;
    while let Some(group) = values[at..].first_chunk::<GROUP>() {
        let value = group[0];
        // All at once: most groups are no runs.
        if !are_all(group, value) {
            at += GROUP;
            continue;
        }
        let run = GROUP + run_of(value, &values[at + GROUP..]);
        packed(&values[packed_from..at], width, out);
        repeated(value, run, width, out);
        at += run;
        packed_from = at;
    }
    packed(&values[packed_from..], width, out);
}

fn are_all(group: &[u32; GROUP], value: u32) -> bool {
    group.iter().fold(0, |differences, other| differences | (value ^ other)) == 0
}

/// How many values there are of this one before the first other.
fn run_of(value: u32, values: &[u32]) -> usize {
    let (groups, _) = values.as_chunks::<GROUP>();
    let whole = groups.iter().take_while(|group| are_all(group, value)).count() * GROUP;
    whole + values[whole..].iter().take_while(|other| **other == value).count()
}

/// Appends a run of one value of at most `width` bits.
pub fn repeated(value: u32, count: usize, width: u8, out: &mut Vec<u8>) {
    varint((count as u64) << 1, out);
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(width).div_ceil(8)]);
}

fn packed(values: &[u32], width: u8, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    varint((values.len().div_ceil(GROUP) as u64) << 1 | 1, out);
    let (groups, rest) = values.as_chunks::<GROUP>();
    let mut last = [0; GROUP];
    last[..rest.len()].copy_from_slice(rest);
    pack(groups, width, out);
    if !rest.is_empty() {
        pack(&[last], width, out);
    }
}

/// Appends values of `width` bits, the lowest bits first; eight of them end with a whole byte.
pub fn pack(groups: &[[u32; GROUP]], width: u8, out: &mut Vec<u8>) {
    if let Some(pack) = PACK.get(usize::from(width)) {
        pack(groups, out);
    }
}

type Pack = fn(&[[u32; GROUP]], &mut Vec<u8>);

/// How values are packed, by their width.
const PACK: [Pack; 33] = {
    macro_rules! of_widths {
        ($($width:literal)*) => { [$(pack_in::<$width>),*] };
    }
    of_widths!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
};

fn pack_in<const WIDTH: usize>(groups: &[[u32; GROUP]], out: &mut Vec<u8>) {
    // A length that is known beforehand is written without a call: more is written than stays, up to this.
    const WINDOW: usize = 32;
    let start = out.len();
    out.resize(start + groups.len() * WIDTH + WINDOW, 0);
    let mut at = start;
    for group in groups {
        let pair = |first: usize| u64::from(group[first]) | u64::from(group[first + 1]) << WIDTH;
        let half = |first: usize| u128::from(pair(first)) | u128::from(pair(first + 2)) << (2 * WIDTH);
        let (low, high) = (half(0), half(4));
        let (low, high) = match WIDTH {
            0 => (0, 0),
            32 => (low, high),
            _ => (low | high << (4 * WIDTH), high >> (128 - 4 * WIDTH)),
        };
        if let Some(window) = out.get_mut(at..at + WINDOW) {
            let (first, second) = window.split_at_mut(WINDOW / 2);
            first.copy_from_slice(&low.to_le_bytes());
            if WIDTH > 16 {
                second.copy_from_slice(&high.to_le_bytes());
            }
        }
        at += WIDTH;
    }
    out.truncate(at);
}

/// Appends booleans, a bit each, the lowest first.
pub fn booleans(values: &[bool], out: &mut Vec<u8>) {
    let byte = |of: &[bool]| of.iter().rev().fold(0, |byte, value| byte << 1 | u8::from(*value));
    out.extend(values.chunks(8).map(byte));
}

/// Appends values of any width, the lowest bits first, so many that they end with a whole byte.
fn pack_wide(values: impl Iterator<Item = u64>, width: u8, out: &mut Vec<u8>) {
    let (mut pending, mut held) = (0_u128, 0);
    for value in values {
        pending |= u128::from(value) << held;
        held += u32::from(width);
        while held >= 8 {
            out.push(pending.to_le_bytes()[0]);
            pending >>= 8;
            held -= 8;
        }
    }
}

/// Appends integers as their differences, packed; those of 32 bits have differences of 32 bits.
pub fn deltas(values: &[i64], is_narrow: bool, out: &mut Vec<u8>) {
    dispatch!(Level::new(), _ => deltas_here(values, is_narrow, out));
}

#[expect(clippy::inline_always, reason = "it is compiled for what each processor can do")]
#[inline(always)]
fn deltas_here(values: &[i64], is_narrow: bool, out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(values.len() as u64, out);
    varint(zigzag(values.first().copied().unwrap_or(0)), out);
    let mut before = values.first().copied().unwrap_or(0);
    let mut block = Vec::with_capacity(BLOCK);
    for chunk in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        block.clear();
        for value in chunk {
            let delta = value.wrapping_sub(before);
            let [a, b, c, d, ..] = delta.to_le_bytes();
            block.push(if is_narrow { i64::from(i32::from_le_bytes([a, b, c, d])) } else { delta });
            before = *value;
        }
        let least = block.iter().copied().min().unwrap_or(0);
        varint(zigzag(least), out);
        let excess = |delta: &i64| delta.wrapping_sub(least).cast_unsigned();
        let widths_at = out.len();
        out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
        for (part, deltas) in block.chunks(MINIBLOCK).enumerate() {
            let width = width_of(deltas.iter().map(excess).fold(0, |all, excess| all | excess));
            out[widths_at + part] = width;
            let mut excesses = [0; MINIBLOCK];
            excesses.iter_mut().zip(deltas).for_each(|(to, delta)| *to = excess(delta));
            if width <= 32 {
                // Cuts nothing, by the width.
                let narrow = excesses.map(|excess| u32::try_from(excess).unwrap_or(u32::MAX));
                pack(narrow.as_chunks().0, width, out);
            } else {
                pack_wide(excesses.into_iter(), width, out);
            }
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 127 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_groups_as_the_specification_writes_them() {
        let check = |values: &[u32], width, expected: &[u8]| {
            let mut out = Vec::new();
            hybrid(values, width, &mut out);
            assert_eq!(out, expected, "{values:?}");
        };
        // The example of the specification: 0 to 7 in three bits.
        check(&[0, 1, 2, 3, 4, 5, 6, 7], 3, &[3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        check(&[4; 50], 3, &[100, 4]);
        check(&[300; 8], 9, &[16, 44, 1]);
        check(&[], 3, &[]);
        check(&[1], 1, &[3, 1]);
        // A run gives the group before it what that lacks.
        check(&[&[1, 0][..], &[1; 20]].concat(), 1, &[3, 0b1111_1101, 28, 1]);
        check(&[0; 3], 0, &[3]);
    }

    #[test]
    fn values_are_packed_bit_by_bit_in_any_width() {
        for width in 0..=64_u8 {
            for groups in [1, 2, 7] {
                let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                let value = |at: u64| (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
                let values: Vec<u64> = (0..groups * GROUP as u64).map(value).collect();
                let check = |out: &[u8]| {
                    assert_eq!(out.len(), 1 + values.len() * usize::from(width) / 8);
                    for (at, value) in values.iter().enumerate() {
                        let bit = |bit: usize| u64::from(out[1 + bit / 8]) >> (bit % 8) & 1;
                        let first = at * usize::from(width);
                        let found = (0..usize::from(width))
                            .fold(0, |found, place| found | bit(first + place) << place);
                        assert_eq!(found, *value, "{at} of {groups} groups, {width} bits");
                    }
                };
                let mut out = vec![7];
                pack_wide(values.iter().copied(), width, &mut out);
                check(&out);
                if width <= 32 {
                    let narrow: Vec<u32> =
                        values.iter().map(|value| u32::try_from(*value).unwrap()).collect();
                    let mut out = vec![7];
                    pack(narrow.as_chunks().0, width, &mut out);
                    check(&out);
                }
            }
        }
    }

    #[test]
    fn widths() {
        for (most, width) in [(0, 0), (1, 1), (2, 2), (255, 8), (256, 9), (u64::MAX, 64)] {
            assert_eq!(width_of(most), width);
        }
    }
}
