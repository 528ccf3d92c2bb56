//! Objects into the lake: notifications, folders and listings in, commits out.
//!
//! Must never import the query side; only commits leave here.

pub mod backfill;
pub mod fetch;
pub mod key;
pub mod lease;
pub mod listing;
pub mod load;
pub mod notification;
pub mod progress;
pub mod read;
pub mod route;
pub mod stats;
pub mod watch;

pub mod worker;

use std::path::PathBuf;

use crate::lake;

/// What can go wrong with ingest as a whole; what is wrong with one object is in its record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path cannot be read.
    #[error("cannot read `{}`", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A bucket cannot be listed.
    #[error("cannot list `{prefix}`")]
    List {
        /// The prefix.
        prefix: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] lake::Error),
}
