//! Findings from rules.

pub mod detection;
