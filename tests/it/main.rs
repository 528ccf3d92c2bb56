//! The integration tests: one crate, one module per area.
#![cfg(test)]
#![allow(missing_docs)]

mod backfill;
mod cli;
mod daemon;
mod decode_cloudtrail;
mod decode_vpc_flow;
mod foreign;
mod forms;
mod fuzz;
mod hostile;
mod interop;
mod kill;
mod lake;
mod layers;
mod ledger;
mod maintain;
mod moto;
mod quarantine;
mod queue;
mod reference;
mod samples;
mod simulate;
mod strace;
mod worker;
