//! Times as AWS writes them, to and from microseconds since 1970-01-01T00:00:00Z.
//!
//! Must never read a clock, and must never guess: a text that is not a time in one of the forms below is `None`.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// The years of times. Engines compute with times in nanoseconds, which from 1677 to 2262 are a number of 64 bits: beyond,
/// `date_bin` and the like are errors, and one absurd record would end every query over it. Some years are left, for what
/// is added to a time.
const FIRST_YEAR: i64 = 1700;
const LAST_YEAR: i64 = 2199;

/// The first second of these years, and the last, in Unix seconds.
const FIRST_SECOND: i64 = days_from_civil(FIRST_YEAR, 1, 1) * SECONDS_PER_DAY;
const LAST_SECOND: i64 = days_from_civil(LAST_YEAR + 1, 1, 1) * SECONDS_PER_DAY - 1;

/// Days outside 2000-01-01 to 2100-12-31 are a broken clock or a forged record, not a day to partition by.
const FIRST_EVENT_DAY: i64 = days_from_civil(2000, 1, 1);
const LAST_EVENT_DAY: i64 = days_from_civil(2100, 12, 31);

/// Microseconds since the epoch, UTC, of an ISO 8601 time.
///
/// Accepts `YYYY-MM-DDTHH:MM:SS`, with an optional fraction of one to nine digits (cut to microseconds), followed by
/// `Z`, `+hh:mm`, `+hhmm`, the same with `-`, or nothing (UTC); and the compact `YYYYMMDDTHHMMSSZ`, which older
/// CloudTrail records use for `creationDate`. A blank may be in place of the `T`, and ` UTC` in place of the `Z`, as in
/// what databases export. Years are 1700 to 2199, as written and in UTC. A leap second (`:60`) is `None`.
#[inline]
pub fn parse_iso8601(text: &[u8]) -> Option<i64> {
    match text.len() {
        20 if text[19] == b'Z' => seconds(&text[..19]).map(|s| s * MICROS_PER_SECOND),
        16 => compact(text),
        _ => general(text),
    }
}

/// Microseconds since the epoch of Unix seconds; `None` outside the years 1700 to 2199.
#[inline]
pub fn from_unix_seconds(seconds: i64) -> Option<i64> {
    (FIRST_SECOND..=LAST_SECOND).contains(&seconds).then(|| seconds * MICROS_PER_SECOND)
}

/// The UTC day of a time, in days since the epoch; `None` outside 2000-01-01 to 2100-12-31, which is absurd for a
/// log record.
#[inline]
pub fn event_date(micros: i64) -> Option<i32> {
    let day = micros.div_euclid(MICROS_PER_DAY);
    if (FIRST_EVENT_DAY..=LAST_EVENT_DAY).contains(&day) { i32::try_from(day).ok() } else { None }
}

/// The time as ISO 8601 text in UTC: no fraction when it is zero, else three digits when they suffice, else six.
pub fn format_iso8601(micros: i64) -> String {
    let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    let in_day = micros.rem_euclid(MICROS_PER_DAY);
    let (second_of_day, fraction) = (in_day / MICROS_PER_SECOND, in_day % MICROS_PER_SECOND);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let whole = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    match fraction {
        0 => format!("{whole}Z"),
        _ if fraction % 1000 == 0 => format!("{whole}.{:03}Z", fraction / 1000),
        _ => format!("{whole}.{fraction:06}Z"),
    }
}

/// Unix seconds of the 19 bytes `YYYY-MM-DDTHH:MM:SS`, or with a blank for the `T`, taken as UTC.
#[inline]
fn seconds(text: &[u8]) -> Option<i64> {
    let text: &[u8; 19] = text.try_into().ok()?;
    let is_between = matches!(text[10], b'T' | b' ');
    if text[4] != b'-' || text[7] != b'-' || !is_between || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let year = two(text[0], text[1])? * 100 + two(text[2], text[3])?;
    let month = two(text[5], text[6])?;
    let day = two(text[8], text[9])?;
    unix_seconds(
        year,
        month,
        day,
        two(text[11], text[12])?,
        two(text[14], text[15])?,
        two(text[17], text[18])?,
    )
}

fn compact(text: &[u8]) -> Option<i64> {
    let text: &[u8; 16] = text.try_into().ok()?;
    if text[8] != b'T' || text[15] != b'Z' {
        return None;
    }
    let year = two(text[0], text[1])? * 100 + two(text[2], text[3])?;
    let month = two(text[4], text[5])?;
    let day = two(text[6], text[7])?;
    unix_seconds(
        year,
        month,
        day,
        two(text[9], text[10])?,
        two(text[11], text[12])?,
        two(text[13], text[14])?,
    )
    .map(|s| s * MICROS_PER_SECOND)
}

fn general(text: &[u8]) -> Option<i64> {
    let (whole, rest) = text.split_at_checked(19)?;
    let (fraction, zone) = match rest.strip_prefix(b".") {
        Some(rest) => fraction_micros(rest)?,
        None => (0, rest),
    };
    let whole = from_unix_seconds(seconds(whole)? - offset_seconds(zone)?)?;
    Some(whole + fraction)
}

/// The microseconds of one to nine fraction digits, and what follows them.
fn fraction_micros(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (digits, rest) = text.split_at(digits);
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    Some((micros, rest))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"" | b"Z" | b" UTC" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let (hours, minutes) = (two(*h1, *h2)?, two(*m1, *m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { None } else { Some(i64::from(tens) * 10 + i64::from(ones)) }
}

#[inline]
fn unix_seconds(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let in_range = (FIRST_YEAR..=LAST_YEAR).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    in_range.then(|| days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second)
}

#[inline]
fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since the epoch of a day of the proleptic Gregorian calendar.
///
/// Years begin in March, so that the leap day is the last of its year; 400 years have 146,097 days. The method is
/// Howard Hinnant's `days_from_civil`.
#[inline]
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn accepted() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-06-04T23:12:50Z", 1_717_542_770_000_000),
            ("2024-06-04T23:12:50", 1_717_542_770_000_000),
            ("2024-06-04T23:12:50.1", 1_717_542_770_100_000),
            ("2024-06-04T23:12:50.5Z", 1_717_542_770_500_000),
            ("2024-06-04T23:12:50.123456789Z", 1_717_542_770_123_456),
            ("2024-06-04T23:12:50+01:00", 1_717_539_170_000_000),
            ("2024-06-04T23:12:50.25-00:30", 1_717_544_570_250_000),
            ("2024-06-04 23:12:50", 1_717_542_770_000_000),
            ("2024-06-04 23:12:50Z", 1_717_542_770_000_000),
            ("2024-06-04 23:12:50.000000000", 1_717_542_770_000_000),
            ("2024-06-04 23:12:50.500 UTC", 1_717_542_770_500_000),
            ("2024-06-04T23:12:50+0100", 1_717_539_170_000_000),
            ("2024-06-04 23:12:50.25-0030", 1_717_544_570_250_000),
            ("20240604T231250Z", 1_717_542_770_000_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("1700-01-01T00:00:00Z", -8_520_336_000_000_000),
            ("2199-12-31T23:59:59Z", 7_258_118_399_000_000),
            ("2199-12-31T23:59:59.999999999+00:00", 7_258_118_399_999_999),
            ("2199-12-31T23:58:59-00:01", 7_258_118_399_000_000),
            ("1700-01-01T00:01:00+00:01", -8_520_336_000_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(parse_iso8601(text.as_bytes()), Some(micros), "{text}");
        }
    }

    #[test]
    fn refused() {
        let cases = [
            "",
            "Z",
            "foo",
            "2024-06-04",
            "2024-06-04T23:12",
            "2024-06-04t23:12:50z",
            "2024-06-04_23:12:50Z",
            "2024-06-04  23:12:50Z",
            "2024-06-04 23:12:50 Z",
            "2024-06-04 23:12:50UTC",
            "2024-06-04 23:12:50 UTC ",
            "2024-06-04T23:12:50+01",
            "2024-06-04T23:12:50+010",
            "2024-06-04T23:12:50+2400",
            "2024-13-04T23:12:50Z",
            "2024-00-04T23:12:50Z",
            "2024-06-31T23:12:50Z",
            "2024-06-00T23:12:50Z",
            "2023-02-29T23:12:50Z",
            "1900-02-29T23:12:50Z",
            "2024-06-04T24:00:00Z",
            "2024-06-04T23:60:00Z",
            "2024-06-04T23:59:60Z",
            "0000-06-04T23:12:50Z",
            "-024-06-04T23:12:50Z",
            "2024-06-04T23:12:50.Z",
            "2024-06-04T23:12:50.1234567890Z",
            "2024-06-04T23:12:50ZZ",
            "2024-06-04T23:12:50+1:00",
            "2024-06-04T23:12:50+24:00",
            "2024-06-04T23:12:50+00:60",
            "20240604T231250",
            "20240604 231250Z",
            "20241304T231250Z",
            "２０２４-06-04T23:12:50Z",
            "2199-12-31T23:59:59-00:01",
            "2199-12-31T23:59:59.5-23:59",
            "1700-01-01T00:00:00+00:01",
            "1700-01-01T23:58:59.999999+23:59",
            "1699-12-31T23:59:59Z",
            "2200-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ];
        for text in cases {
            assert_eq!(parse_iso8601(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_day_agrees_with_chrono() {
        let first = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
        for (count, date) in first.iter_days().take_while(|date| date.year() <= 9999).enumerate() {
            let days = i64::try_from(count).unwrap() + days_from_civil(1, 1, 1);
            let (year, month, day) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!(days_from_civil(year, month, day), days, "{date}");
            assert_eq!(civil_from_days(days), (year, month, day), "{date}");
            let next = date.succ_opt().unwrap();
            assert_eq!(days_in_month(year, month) == day, next.month() != date.month(), "{date}");
        }
    }

    #[test]
    fn random_times_agree_with_chrono() {
        let mut random = StdRng::seed_from_u64(20_240_604);
        for _ in 0..200_000 {
            let seconds = random.random_range(FIRST_SECOND..=LAST_SECOND);
            let micros = seconds * MICROS_PER_SECOND + random.random_range(0..MICROS_PER_SECOND);
            let time: DateTime<Utc> = DateTime::from_timestamp_micros(micros).unwrap();
            let text = time.to_rfc3339_opts(SecondsFormat::Micros, true);
            assert_eq!(parse_iso8601(text.as_bytes()), Some(micros), "{text}");
            assert_eq!(parse_iso8601(format_iso8601(micros).as_bytes()), Some(micros), "{text}");
            let text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
            assert_eq!(parse_iso8601(text.as_bytes()), Some(seconds * MICROS_PER_SECOND), "{text}");
            assert_eq!(format_iso8601(seconds * MICROS_PER_SECOND), text);
            let text = time.format("%Y%m%dT%H%M%SZ").to_string();
            assert_eq!(parse_iso8601(text.as_bytes()), Some(seconds * MICROS_PER_SECOND), "{text}");
        }
    }

    /// One byte changed: what we accept, chrono accepts with the same value.
    #[test]
    fn damaged_times_are_refused_or_agree_with_chrono() {
        let mut random = StdRng::seed_from_u64(7);
        let mut accepted = 0;
        for _ in 0..100_000 {
            let mut text = *b"2024-06-04T23:12:50Z";
            let alphabet = b"0123456789-:TZ+. /\xff\0";
            text[random.random_range(0..20)] = alphabet[random.random_range(0..alphabet.len())];
            let Some(micros) = parse_iso8601(&text) else { continue };
            accepted += 1;
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros(), micros, "{text}");
        }
        assert!(accepted > 1000, "{accepted}");
    }

    #[test]
    fn days_of_events() {
        let cases = [
            ("2000-01-01T00:00:00Z", Some(10_957)),
            ("1999-12-31T23:59:59.999999Z", None),
            ("2024-06-04T23:12:50Z", Some(19_878)),
            ("2100-12-31T23:59:59Z", Some(47_846)),
            ("2101-01-01T00:00:00Z", None),
            ("1700-01-01T00:00:00Z", None),
            ("2199-12-31T23:59:59Z", None),
        ];
        for (text, day) in cases {
            assert_eq!(event_date(parse_iso8601(text.as_bytes()).unwrap()), day, "{text}");
        }
        assert_eq!((event_date(i64::MIN), event_date(i64::MAX)), (None, None));
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!(from_unix_seconds(FIRST_SECOND), parse_iso8601(b"1700-01-01T00:00:00Z"));
        assert_eq!(from_unix_seconds(LAST_SECOND), parse_iso8601(b"2199-12-31T23:59:59Z"));
        for seconds in [FIRST_SECOND - 1, LAST_SECOND + 1, i64::MIN, i64::MAX] {
            assert_eq!(from_unix_seconds(seconds), None, "{seconds}");
        }
        assert_eq!(format_iso8601(i64::MAX), "294247-01-10T04:00:54.775807Z");
        assert!(format_iso8601(i64::MIN).starts_with("-29"));
        assert_eq!(format_iso8601(1_500_000), "1970-01-01T00:00:01.500Z");
    }
}
