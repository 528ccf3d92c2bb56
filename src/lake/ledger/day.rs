//! Which part of the ledger an object belongs to: the day its key names, or none.
//!
//! Must never change what it says of a key under the same [`RULE`]: files of `objects` that carry the rule in their
//! names are only looked into for objects of their day. All others are looked into for every object.

use chrono::NaiveDate;

/// In the names of files whose rows are all of the day of their partition by [`of_key`]. Whoever changes what
/// `of_key` says of any key changes this too: files of the rule before then count as files of any day.
pub(in crate::lake) const RULE: &str = "day1-";

/// Days that are absurd for a log object are none: the keys are untrusted, and each day is a directory.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2100;

/// The last day a key names, as the segments `YYYY/MM/DD` or `year=YYYY/month=MM/day=DD`.
pub fn of_key(key: &str) -> Option<NaiveDate> {
    let mut segments = key.rsplit('/');
    let (mut day, mut month) = (segments.next()?, segments.next()?);
    for year in segments {
        if let Some(found) = date(year, month, day) {
            return Some(found);
        }
        (day, month) = (month, year);
    }
    None
}

fn date(year: &str, month: &str, day: &str) -> Option<NaiveDate> {
    let (year, month, day) = match year.strip_prefix("year=") {
        Some(year) => (year, month.strip_prefix("month=")?, day.strip_prefix("day=")?),
        None => (year, month, day),
    };
    let year = Some(year).filter(|year| year.len() == 4).and_then(number)?;
    let year = i32::try_from(year).ok().filter(|year| YEARS.contains(year))?;
    NaiveDate::from_ymd_opt(year, number(month)?, number(day)?)
}

/// A number of at most four digits, and nothing else.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// Whether the name of a file says that its rows are all of the day of its partition.
pub fn is_marked(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split_once('-').is_some_and(|(_, rest)| rest.starts_with(RULE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_one_day_or_none() {
        for (key, expected) in [
            ("AWSLogs/o-1/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz", Some("2026-03-10")),
            ("AWSLogs/111122223333/Config/eu-west-1/2015/8/1/ConfigHistory/x.json.gz", Some("2015-08-01")),
            (
                "AWSLogs/aws-account-id=1/aws-service=vpcflowlogs/aws-region=r/year=2015/month=08/day=01/x",
                Some("2015-08-01"),
            ),
            ("l/aws-region=r/year=2015/month=08/day=01/hour=07/x.log.gz", Some("2015-08-01")),
            ("2024/01/02/AWSLogs/1/CloudTrail/us-east-1/2026/03/10/x", Some("2026-03-10")),
            ("/home/me/logs/2026/03/10/x", Some("2026-03-10")),
            ("2026/03/10", Some("2026-03-10")),
            ("2026/02/30/x", None),
            ("year=2026/03/10/x", None),
            ("2026/month=03/day=10/x", None),
            ("1999/12/31/x", None),
            ("2101/01/01/x", None),
            ("02026/03/10/x", None),
            ("+026/03/10/x", None),
            ("2026/+3/10/x", None),
            ("2026/03/10-x", None),
            ("key-7", None),
            ("03/10", None),
            ("", None),
            ("//", None),
            ("é/2026/03/10/ü", Some("2026-03-10")),
        ] {
            assert_eq!(of_key(key).map(|day| day.to_string()).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn marked_files_are_known_by_their_names() {
        for (path, expected) in [
            ("event_date=2026-03-10/part-day1-1b2.parquet", true),
            ("event_date=2026-03-10/compact-day1-1b2.parquet", true),
            ("event_date=2026-03-10/part-1b2-day1-.parquet", false),
            ("event_date=2026-03-10/compact-1b2.parquet", false),
            ("event_date=2026-03-10/part-day12-1b2.parquet", false),
            ("day1-.parquet", false),
        ] {
            assert_eq!(is_marked(path), expected, "{path}");
        }
    }
}
