//! Trailhound: AWS audit logs into a searchable, self-watching lake.

pub mod alert;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod detect;
pub mod generate;
pub mod ingest;
pub mod lake;
pub mod query;
pub mod queue;
pub mod service;
pub mod severity;
pub mod store;
pub mod telemetry;
pub mod text;
