//! Reading the lake with SQL.

pub mod header;
pub mod saved;
