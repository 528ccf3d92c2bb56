//! The integration tests: one crate, one module per area.
#![cfg(test)]
#![allow(missing_docs)]

mod moto;
mod queue;
mod decode_vpc_flow;
mod reference;
mod samples;
