//! Writers of the small pieces that log records are made of: digits, ids, times.
//!
//! Must never build a value in memory first: everything goes straight to the end of a byte buffer.
//! Must never see text from outside the generator: nothing here escapes.

use chrono::{Days, NaiveDate, NaiveTime};

/// The alphabet of access key and principal ids.
pub const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The alphabet of S3 and `DynamoDB` request ids.
pub const UPPER36: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// The alphabet of the unique part of a log file's name.
pub const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The alphabet of tokens.
pub const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Seconds in a day.
pub const DAY: i32 = 86_400;

/// Scrambles two numbers into one (the finalizer of `SplitMix64`): the source of every stable name.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number for a text, for [`mix`] (FNV-1a).
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A position below `len` out of a scrambled number; 0 when `len` is 0.
pub fn index(x: u64, len: usize) -> usize {
    usize::try_from((x >> 8).checked_rem(len as u64).unwrap_or(0)).unwrap_or(0)
}

/// Appends text as it is.
pub fn text(out: &mut Vec<u8>, value: &str) {
    out.extend_from_slice(value.as_bytes());
}

/// Appends a decimal number.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + digit(value % 10);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the `len` (at most 16) lowest hex digits.
pub fn hex(out: &mut Vec<u8>, value: u64, len: u32) {
    for place in (0..len.min(16)).rev() {
        out.push(HEX[usize::from(digit((value >> (4 * place)) & 0xf))]);
    }
}

/// Appends `len` characters of an alphabet, all drawn from one seed.
pub fn letters(out: &mut Vec<u8>, alphabet: &[u8], mut seed: u64, len: usize) {
    let mut pool = 0_u64;
    for place in 0..len {
        if place % 10 == 0 {
            seed = mix(seed, 1);
            pool = seed;
        }
        out.push(alphabet[index(pool << 8, alphabet.len())]);
        pool >>= 6;
    }
}

/// Appends a random (version 4) GUID.
pub fn guid(out: &mut Vec<u8>, a: u64, b: u64) {
    let a = (a & !0xf000) | 0x4000;
    let b = (b & !(0b11 << 62)) | (0b10 << 62);
    hex(out, a >> 32, 8);
    out.push(b'-');
    hex(out, a >> 16, 4);
    out.push(b'-');
    hex(out, a, 4);
    out.push(b'-');
    hex(out, b >> 48, 4);
    out.push(b'-');
    hex(out, b, 12);
}

/// Appends an IPv4 address.
pub fn address(out: &mut Vec<u8>, octets: [u8; 4]) {
    for (place, octet) in octets.into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        number(out, u64::from(octet));
    }
}

/// The lowest byte.
pub fn byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

fn digit(value: u64) -> u8 {
    byte(value)
}

fn two(out: &mut Vec<u8>, value: i32) {
    for digit in [value / 10 % 10, value % 10] {
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// The day of the logs, and the texts that are the same in every record of it.
#[derive(Debug, Clone)]
pub struct Clock {
    day: NaiveDate,
    dates: [String; 3],
    words: String,
    slashed: String,
}

impl Clock {
    /// The clock of a UTC day.
    pub fn new(day: NaiveDate) -> Clock {
        let before = day.checked_sub_days(Days::new(1)).unwrap_or(day);
        let after = day.checked_add_days(Days::new(1)).unwrap_or(day);
        Clock {
            day,
            dates: [before, day, after].map(|d| d.format("%Y-%m-%d").to_string()),
            words: day.format("%b %-d, %Y").to_string(),
            slashed: day.format("%Y/%m/%d").to_string(),
        }
    }

    /// Unix seconds of midnight.
    pub fn midnight(&self) -> i64 {
        self.day.and_time(NaiveTime::MIN).and_utc().timestamp()
    }

    /// `2025/10/14`.
    pub fn slashed(&self) -> &str {
        &self.slashed
    }

    /// `2025-10-14`.
    pub fn date(&self) -> &str {
        &self.dates[1]
    }

    /// The S3 path `2025/10/14` and the file name time `20251014T1405Z` of a minute, which may lie in the next day.
    pub fn delivery(&self, minute: i32) -> (String, String) {
        let days = u64::try_from(minute / 1440).unwrap_or(0);
        let day = self.day.checked_add_days(Days::new(days)).unwrap_or(self.day);
        let (hour, minute) = (minute % 1440 / 60, minute % 60);
        (day.format("%Y/%m/%d").to_string(), format!("{}T{hour:02}{minute:02}Z", day.format("%Y%m%d")))
    }

    /// Appends `2025-10-14T13:41:12Z`; a negative second lies in the day before.
    pub fn iso(&self, out: &mut Vec<u8>, second: i32) {
        let date = match second {
            i32::MIN..0 => &self.dates[0],
            0..DAY => &self.dates[1],
            DAY.. => &self.dates[2],
        };
        text(out, date);
        out.push(b'T');
        let second = second.rem_euclid(DAY);
        two(out, second / 3600);
        out.push(b':');
        two(out, second / 60 % 60);
        out.push(b':');
        two(out, second % 60);
        out.push(b'Z');
    }

    /// Appends `Oct 14, 2025, 1:41:12 PM`, the way IAM writes times in its answers.
    pub fn words(&self, out: &mut Vec<u8>, second: i32) {
        text(out, &self.words);
        let second = second.rem_euclid(DAY);
        let hour = second / 3600;
        text(out, ", ");
        number(out, u64::from((hour + 11).rem_euclid(12).unsigned_abs() + 1));
        out.push(b':');
        two(out, second / 60 % 60);
        out.push(b':');
        two(out, second % 60);
        text(out, if hour < 12 { " AM" } else { " PM" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn clock() -> Clock {
        Clock::new(NaiveDate::from_ymd_opt(2025, 12, 31).unwrap())
    }

    #[test]
    fn numbers_and_ids() {
        for (value, expect) in [(0, "0"), (7, "7"), (1_024, "1024"), (u64::MAX, "18446744073709551615")] {
            assert_eq!(written(|out| number(out, value)), expect);
        }
        assert_eq!(written(|out| hex(out, 0xdead_beef, 6)), "adbeef");
        assert_eq!(
            written(|out| guid(out, 0x0123_4567_89ab_cdef, u64::MAX)),
            "01234567-89ab-4def-bfff-ffffffffffff"
        );
        assert_eq!(written(|out| address(out, [10, 0, 255, 1])), "10.0.255.1");
        let id = written(|out| letters(out, BASE32, 5, 17));
        assert_eq!(id.len(), 17);
        assert_ne!(id, written(|out| letters(out, BASE32, 6, 17)));
    }

    #[test]
    fn times() {
        for (second, expect) in [
            (0, "2025-12-31T00:00:00Z"),
            (-1, "2025-12-30T23:59:59Z"),
            (49_272, "2025-12-31T13:41:12Z"),
            (DAY, "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(written(|out| clock().iso(out, second)), expect);
        }
        for (second, expect) in [
            (0, "Dec 31, 2025, 12:00:00 AM"),
            (43_200, "Dec 31, 2025, 12:00:00 PM"),
            (49_272, "Dec 31, 2025, 1:41:12 PM"),
        ] {
            assert_eq!(written(|out| clock().words(out, second)), expect);
        }
        assert_eq!(clock().delivery(1_445), ("2026/01/01".into(), "20260101T0005Z".into()));
        assert_eq!(clock().delivery(5), ("2025/12/31".into(), "20251231T0005Z".into()));
    }

    #[test]
    fn the_last_day_there_is_does_not_panic() {
        let clock = Clock::new(NaiveDate::MAX);
        assert_eq!(clock.delivery(1_445).0, clock.slashed());
    }
}
