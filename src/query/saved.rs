//! Saved queries: SQL with named parameters.
