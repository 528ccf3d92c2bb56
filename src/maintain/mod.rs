//! Keeping a lake in order: proving that it is whole, making few large files of many small ones, taking out rows,
//! and deleting files that nothing names.
//!
//! Must never change what a table says without the commit saying which rows of which objects it took out.

pub mod check;
pub mod compact;
mod duplicates;
pub mod erase;
mod merge;
mod provenance;
pub mod vacuum;

use datafusion::error::DataFusionError;

use crate::{lake, query};

/// Why maintenance could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] lake::Error),
    /// A plan could not be made.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// The rows could not be read, sorted or filtered.
    #[error("the rows of `{table}` of {day} could not be written again")]
    Rows {
        /// The table.
        table: &'static str,
        /// The day.
        day: String,
        /// The cause.
        #[source]
        source: Box<DataFusionError>,
    },
    /// Rows went missing on the way: nothing was committed.
    #[error("of {expected} rows of `{table}` of {day}, {found} were seen: of this day nothing was changed")]
    Count {
        /// The table.
        table: &'static str,
        /// The day.
        day: String,
        /// How many there should be.
        expected: u64,
        /// How many were seen.
        found: u64,
    },
    /// Somebody else kept changing the same files.
    #[error("the files of `{table}` of {day} kept being changed by another program")]
    Overtaken {
        /// The table.
        table: &'static str,
        /// The day.
        day: String,
    },
    /// Several days or tables failed; the others did not.
    #[error("{} failures\n{}", .0.len(), lines(.0))]
    Several(Vec<Error>),
    /// Rows that name no object cannot be accounted for.
    #[error(
        "`{path}` of `{table}` has rows without `source_object` and `source_row`: another program wrote them"
    )]
    Unknown {
        /// The table.
        table: &'static str,
        /// The file.
        path: String,
    },
}

impl Error {
    /// Several errors as one; none without any.
    fn of_all(mut errors: Vec<Error>) -> Option<Error> {
        if errors.len() > 1 { Some(Error::Several(errors)) } else { errors.pop() }
    }
}

/// Errors with their causes, a line each.
fn lines(errors: &[Error]) -> String {
    let line = |error: &Error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(found) = cause {
            text = format!("{text}: {found}");
            cause = found.source();
        }
        text
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A partition's name for a person.
pub fn day_name(day: Option<chrono::NaiveDate>) -> String {
    day.map_or_else(|| "no day".to_owned(), |day| day.to_string())
}
