//! The integration tests: one crate, one module per area.
#![cfg(test)]
#![allow(missing_docs)]

mod moto;
mod queue;
