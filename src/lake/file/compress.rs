//! How pages are compressed in files that compaction will write again: zstd at its first level, looking for what was
//! there before at as many places as a column is worth.
//!
//! Frames are those of RFC 8878, whatever was looked at, and are read by everything that reads zstd. Must never leave
//! bytes as they are for having looked at few places: that is what zstd's levels below 1 do, whose tables are larger.

use std::io::Result;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch};

use crate::decode::columns::Kind;

const LEVEL: i32 = 1;

/// What a page of a column has that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Keys and values of JSON, mostly long.
    Phrases,
    /// Hardly anything: ids, addresses, ports, numbers of a dictionary. That some bytes are frequent is what makes it
    /// smaller.
    Little,
    /// Nothing is known of it.
    Unknown,
}

impl Repeats {
    /// What a column of a table of logs has.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Json | Kind::OtherFields => Repeats::Phrases,
            Kind::Text
            | Kind::Derived
            | Kind::NullFields
            | Kind::SourceObject
            | Kind::Int32
            | Kind::Int64 => Repeats::Little,
            // Differences of times and of row numbers are a few bytes that follow each other again and again.
            Kind::Timestamp
            | Kind::Seconds
            | Kind::SourceRow
            | Kind::Date
            | Kind::EventDate
            | Kind::Bool
            | Kind::BoolText => Repeats::Unknown,
        }
    }

    /// Sets what a compressor does with the pages that it is given next.
    pub fn set(self, compressor: &mut Compressor<'static>) -> Result<()> {
        // How many places are passed over where nothing was found, how many bits of a place's hash are kept, and how many
        // bytes a repeat has at least. Zero is what the level has.
        let (step, hash_log, min_match) = match self {
            // 0.83 of the time that the level takes for the JSON of CloudTrail, 0.97 of the size (`benches/README.md`).
            Repeats::Phrases => (3, 0, 0),
            // 0.48 to 0.64 of the time for ids, addresses and ports, and 1.00 to 1.04 of the size.
            Repeats::Little => (8, 12, 7),
            Repeats::Unknown => (0, 0, 0),
        };
        compressor.set_compression_level(LEVEL)?;
        compressor.set_parameter(CParameter::TargetLength(step))?;
        compressor.set_parameter(CParameter::HashLog(hash_log))?;
        compressor.set_parameter(CParameter::MinMatch(min_match))?;
        compressor.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn what_never_repeats_shrinks_to_what_its_characters_need() {
        let mut random = StdRng::seed_from_u64(19);
        // Four bits of each byte say something.
        let digits: Vec<u8> = (0..1 << 18).map(|_| b"0123456789abcdef"[random.random_range(0..16)]).collect();
        let mut compressor = Compressor::default();
        for repeats in [Repeats::Little, Repeats::Phrases, Repeats::Unknown, Repeats::Little] {
            repeats.set(&mut compressor).unwrap();
            let compressed = compressor.compress(&digits).unwrap();
            assert!(compressed.len() * 100 < digits.len() * 53, "{repeats:?}: {}", compressed.len());
            assert_eq!(zstd::bulk::decompress(&compressed, digits.len()).unwrap(), digits, "{repeats:?}");
        }
    }

    #[test]
    fn one_column_is_compressed_as_if_there_were_none_before_it() {
        let json = r#"{"bucketName":"a-bucket","Host":"s3.eu-west-1.amazonaws.com"},"#.repeat(4000);
        let ids: Vec<String> =
            (0..4000).map(|id| format!("{:016x}", 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(id))).collect();
        let all = [Repeats::Phrases, Repeats::Little, Repeats::Unknown];
        for text in [json, ids.concat()] {
            let alone = all.map(|repeats| {
                let mut compressor = Compressor::default();
                repeats.set(&mut compressor).unwrap();
                compressor.compress(text.as_bytes()).unwrap()
            });
            let mut compressor = Compressor::default();
            for at in [0, 1, 2, 1, 0, 2, 0] {
                all[at].set(&mut compressor).unwrap();
                assert!(compressor.compress(text.as_bytes()).unwrap() == alone[at], "{:?}", all[at]);
            }
        }
    }
}
