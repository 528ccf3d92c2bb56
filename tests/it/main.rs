//! The integration tests: one crate, one module per area.
#![allow(missing_docs)]

mod moto;
mod queue;
