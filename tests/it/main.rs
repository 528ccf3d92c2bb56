//! The integration tests: one crate, one module per area.
#![allow(missing_docs)]

mod decode_vpc_flow;
mod reference;
mod samples;
