//! Integers in few bits: Parquet's RLE and bit-packing hybrid, and its delta encoding.
//!
//! The formats are those of the Parquet specification, "Encodings": `RLE` and `DELTA_BINARY_PACKED`. Must never
//! allocate more than what it writes.

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
    let (groups, rest) = values.as_chunks::<GROUP>();
    varint((values.len().div_ceil(GROUP) as u64) << 1 | 1, out);
    out.reserve(values.len() * usize::from(width) / 8 + GROUP);
    for group in groups {
        pack_group(&group.map(u64::from), width, out);
    }
    if !rest.is_empty() {
        pack(rest.iter().map(|value| u64::from(*value)), GROUP, width, out);
    }
}

/// Appends `count` values of `width` bits, a multiple of eight of them, the lowest bits first; those that are missing
/// are 0. Eight values end with a whole byte, so that each eight are packed by themselves.
pub fn pack(values: impl Iterator<Item = u64>, count: usize, width: u8, out: &mut Vec<u8>) {
    let end = out.len() + (count * usize::from(width)).div_ceil(8);
    let mut group = [0; GROUP];
    let mut held = 0;
    for value in values {
        group[held] = value;
        held += 1;
        if held == GROUP {
            pack_group(&group, width, out);
            held = 0;
        }
    }
    group[held..].fill(0);
    if held > 0 {
        pack_group(&group, width, out);
    }
    out.resize(end, 0);
}

fn pack_group(values: &[u64; GROUP], width: u8, out: &mut Vec<u8>) {
    let (bits, bytes) = (u32::from(width), usize::from(width));
    match width {
        0 => {}
        1..=8 => {
            let all = (0..).zip(values).fold(0, |all, (at, value)| all | value << (at * bits));
            out.extend_from_slice(&all.to_le_bytes()[..bytes]);
        }
        9..=16 => {
            let (low, high) = values.split_at(GROUP / 2);
            let half =
                |values: &[u64]| (0..).zip(values).fold(0, |all, (at, value)| all | value << (at * bits));
            let all = u128::from(half(low)) | u128::from(half(high)) << (4 * bits);
            out.extend_from_slice(&all.to_le_bytes()[..bytes]);
        }
        _ => {
            let (mut pending, mut held) = (0_u128, 0);
            for value in values {
                pending |= u128::from(*value) << held;
                held += bits;
                if held >= 64 {
                    let [low @ .., _, _, _, _, _, _, _, _] = pending.to_le_bytes();
                    out.extend_from_slice(&low);
                    pending >>= 64;
                    held -= 64;
                }
            }
            out.extend_from_slice(&pending.to_le_bytes()[..(held / 8) as usize]);
        }
    }
}

/// Appends integers as their differences, packed; those of 32 bits have differences of 32 bits.
pub fn deltas(values: &[i64], is_narrow: bool, out: &mut Vec<u8>) {
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
            pack(deltas.iter().map(excess), MINIBLOCK, width, out);
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
    fn eight_values_are_packed_bit_by_bit_in_any_width() {
        for width in 0..=64_u8 {
            for count in [1, 7, 8, 9, 32] {
                let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                let value = |at: u64| (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
                let values: Vec<u64> = (0..count).map(value).collect();
                let all = values.len().next_multiple_of(GROUP);
                let mut out = vec![7];
                pack(values.iter().copied(), all, width, &mut out);
                assert_eq!(out.len(), 1 + all * usize::from(width) / 8);
                for (at, value) in values.iter().enumerate() {
                    let bit = |bit: usize| u64::from(out[1 + bit / 8]) >> (bit % 8) & 1;
                    let first = at * usize::from(width);
                    let found =
                        (0..usize::from(width)).fold(0, |found, place| found | bit(first + place) << place);
                    assert_eq!(found, *value, "{at} of {count}, {width} bits");
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
