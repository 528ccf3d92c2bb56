//! How large the columns may become while records are read into them.
//!
//! Must never be looked at only when an object ends: one can take all memory before.

use super::Rows;
use crate::decode::cloudtrail::nested::Group;
use crate::decode::fill::Column;
use crate::decode::{Error, ErrorKind};

/// More text than this in one column of one batch is refused: Arrow's offsets have 31 bits.
const MAX_COLUMN_BYTES: usize = 1 << 30;

/// More memory than this to know texts of one batch again is refused: a record may have a key any number of times.
pub(super) const MAX_BYTES_OF_NUMBERS: usize = 3 << 29;

/// After so many bytes of records it is looked at how large the columns have become.
pub(super) const BYTES_BETWEEN_LOOKS: usize = 32 << 20;

impl Rows {
    /// Looks at how large the columns have become, every so many bytes of records; the last of them begins at a byte.
    #[inline]
    pub(super) fn look_after(&mut self, bytes: usize, offset: usize) -> Result<(), Error> {
        self.unlooked += bytes;
        if self.unlooked <= self.between_looks {
            return Ok(());
        }
        self.unlooked = 0;
        self.check_size().map_err(|kind| kind.at(Some(self.of_object()), offset))
    }

    fn check_size(&self) -> Result<(), ErrorKind> {
        if self.columns.iter().any(|column| column.bytes() > MAX_COLUMN_BYTES) {
            return Err(ErrorKind::TooLarge { limit_bytes: MAX_COLUMN_BYTES });
        }
        let of_numbers = |column: &Column| match column {
            Column::Text(column) => column.texts.bytes_of_numbers(),
            _ => 0,
        };
        let bytes = self.columns.iter().map(of_numbers).sum::<usize>()
            + self.groups.iter().map(Group::bytes).sum::<usize>();
        if bytes > self.most_of_numbers {
            let what = format!("values that take more than {} bytes to tell apart", self.most_of_numbers);
            return Err(ErrorKind::Shape(what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::columns::CLOUDTRAIL;

    /// Each text that a key had is held by its number, and each identity by what is inside of it: wherever the keys are,
    /// and also when what has them is no record in the end.
    #[test]
    fn what_is_known_of_values_is_bounded() {
        let name = |at: usize| format!(r#""eventName":"name {at}""#);
        let identity = |at: usize| format!(r#""userIdentity":{{"arn":"{at}"}}"#);
        let event = r#""eventVersion":"1","eventTime":"2026-03-10T12:00:00Z""#;
        // What is no object is no identity, but has a number too.
        let no_identity = |at: usize| format!(r#""userIdentity":{at}"#);
        for (value, least) in [(&name as &dyn Fn(usize) -> String, 24), (&identity, 150), (&no_identity, 24)]
        {
            let values = |times: usize| (0..times).map(value).collect::<Vec<_>>().join(",");
            for (before, after) in [
                (r#"{"Records":[{"#, "}]}"),
                (&format!("{{{event},"), "}"),
                (r#"{"eventVersion":"1","#, r#","Records":[]}"#),
                (&format!(r#"{{"detail-type":"x","detail":{{{event},"#), "}}"),
            ] {
                let read = |times: usize, most_of_numbers: usize| {
                    let mut rows = Rows::new(&CLOUDTRAIL);
                    (rows.between_looks, rows.most_of_numbers) = (1000, most_of_numbers);
                    rows.begin();
                    rows.read(&format!("{before}{}{after}", values(times)), 7)
                };
                let most = 10_000 * least;
                read(10, most).unwrap();
                read(10_000, MAX_BYTES_OF_NUMBERS).unwrap();
                let error = read(10_000, most).unwrap_err();
                assert!(error.kind.to_string().starts_with("values that take more than"), "{error}");
                assert!(error.record == Some(0) && error.offset.is_some_and(|at| at >= 7), "{error}");
            }
        }
    }
}
