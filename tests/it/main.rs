//! The integration tests: one crate, one module per area.
#![cfg(test)]
#![allow(missing_docs)]

mod daemon;
mod decode_vpc_flow;
mod moto;
mod queue;
mod reference;
mod samples;
mod worker;
