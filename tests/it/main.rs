//! The integration tests: one crate, one module per area.
#![cfg(test)]
#![allow(missing_docs)]

mod cli;
mod daemon;
mod decode_cloudtrail;
mod decode_vpc_flow;
mod forms;
mod kill;
mod lake;
mod layers;
mod moto;
mod queue;
mod reference;
mod samples;
mod simulate;
mod strace;
mod worker;
