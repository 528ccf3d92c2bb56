//! The command line: one file per verb.

pub mod format;
pub mod output;
pub mod prompt;
