//! The modules under test, taken from the main crate by path: with their few dependencies they build with sanitizers
//! in minutes, and the query engine is left out.

// The shared files say `trailhound::`, as they do in the tests of the main crate.
extern crate self as trailhound;

#[path = "../../src/decode/mod.rs"]
pub mod decode;

#[path = "../../src/ingest"]
pub mod ingest {
    pub mod notification;
    pub mod route;
}

#[path = "../../src/query"]
pub mod query {
    pub mod record {
        mod rebuild;

        pub use rebuild::records;
    }
}

#[path = "../../tests/it/reference.rs"]
pub mod reference;

pub mod targets;
