//! Reading the lake with SQL.

pub mod saved;
