//! Where a prefix is in the layouts of AWS: above the dates, or at a year, a month or a day.

use chrono::NaiveDate;

/// What a prefix is the prefix of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// No date yet, so many segments below `AWSLogs`; none when there is no such segment.
    Above(Option<usize>),
    Year(i32),
    Month(i32, u32),
    /// A day, or something below one.
    Day(NaiveDate),
    /// Below something like a year, but no date.
    Odd,
}

/// Reads a prefix, with or without the last slash: `AWSLogs/o-x/account/service/region/year/month/day`, where each of
/// the last three may also be written `year=2026`.
pub(super) fn place(prefix: &str) -> Place {
    let segments: Vec<&str> = prefix.trim_end_matches('/').split('/').collect();
    let Some(logs) = segments.iter().rposition(|segment| *segment == "AWSLogs") else {
        return Place::Above(None);
    };
    let rest = &segments[logs + 1..];
    let year = |text: &&str| number(text, 4).and_then(|year| i32::try_from(year).ok());
    let at = rest.iter().position(|text| year(text).is_some_and(|year| (2000..2100).contains(&year)));
    let Some(at) = at else { return Place::Above(Some(rest.len())) };
    let Some(year) = year(&rest[at]) else { return Place::Odd };
    let two = |index: usize| rest.get(index).map(|text| number(text, 2));
    match (two(at + 1), two(at + 2)) {
        (None, _) => Place::Year(year),
        (Some(Some(month)), None) if (1..=12).contains(&month) => Place::Month(year, month),
        (Some(Some(month)), Some(Some(day))) => {
            NaiveDate::from_ymd_opt(year, month, day).map_or(Place::Odd, Place::Day)
        }
        _ => Place::Odd,
    }
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let text = text.rsplit_once('=').map_or(text, |(_, value)| value);
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// The first and the last day of a year.
pub(super) fn year_bounds(year: i32) -> Option<(NaiveDate, NaiveDate)> {
    Some((NaiveDate::from_ymd_opt(year, 1, 1)?, NaiveDate::from_ymd_opt(year, 12, 31)?))
}

/// The first and the last day of a month.
pub(super) fn month_bounds(year: i32, month: u32) -> Option<(NaiveDate, NaiveDate)> {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let first = NaiveDate::from_ymd_opt(year, month, 1)?;
    Some((first, NaiveDate::from_ymd_opt(next_year, next_month, 1)?.pred_opt()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_say_where_they_are() {
        let day = |text: &str| Place::Day(text.parse().unwrap());
        for (prefix, expected) in [
            ("", Place::Above(None)),
            ("p/2024", Place::Above(None)),
            ("p/AWSLogs/", Place::Above(Some(0))),
            ("AWSLogs/o-x/111122223333/CloudTrail/us-east-1", Place::Above(Some(4))),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2024/", Place::Year(2024)),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2024/02", Place::Month(2024, 2)),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2024/02/29/", day("2024-02-29")),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2023/02/29/", Place::Odd),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/2023/13", Place::Odd),
            ("AWSLogs/1/x/us-east-1/2023/+1", Place::Odd),
            ("AWSLogs/aws-account-id=1/aws-region=x/year=2024/month=01/day=02/hour=03", day("2024-01-02")),
        ] {
            assert_eq!(place(prefix), expected, "{prefix}");
        }
    }

    #[test]
    fn months_have_bounds() {
        for (year, month, last) in
            [(2024, 2, "2024-02-29"), (2023, 12, "2023-12-31"), (2023, 4, "2023-04-30")]
        {
            assert_eq!(month_bounds(year, month).unwrap().1.to_string(), last);
        }
    }
}
