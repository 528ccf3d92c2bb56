//! Trailhound turns AWS `CloudTrail` and VPC Flow Logs into a lake that can be searched and that watches itself.
//!
//! ```text
//! SQS ─▶ queue ─▶ ingest ─▶ decode ─▶ lake ─▶ query ─▶ detect ─▶ alert ─▶ sinks
//! S3, folder ──────▶│                                └▶ sql, saved queries
//! ```
//!
//! # Layers
//!
//! A module uses only the modules below it; a test reads the sources and holds this list true.
//!
//! | layer | what it is |
//! |---|---|
//! | [`cli`] | arguments to calls, results to print; one file per verb |
//! | [`service`] | the daemon: workers, watched folders, detections, deliveries, maintenance, one shutdown token |
//! | [`alert`] | an alert, its key and life, the `alerts` table, raising, delivering, sinks |
//! | [`detect`] | a detection, what it is run over, what its result means |
//! | [`maintain`] | proving the lake whole, compaction, retention, deletion, vacuum |
//! | [`query`] | a read-only SQL session over one state of the lake; saved queries |
//! | [`ingest`] | notifications, folders and buckets to objects, objects to commits |
//! | [`lake`] | the Delta tables, the commit that adds each object once, the ledger |
//! | [`decode`] | bytes to `RecordBatch`, pure: no tokio, no AWS, no clock |
//! | [`queue`] | at-least-once messages: SQS, or in memory with the same conformance tests |
//! | [`generate`] | realistic logs from a seed, for the demo, tests and benchmarks |
//! | [`store`] [`config`] [`severity`] [`telemetry`] [`text`] [`clock`] [`failpoint`] | where bytes are, what the user wants, and the like |
//!
//! # Invariants
//!
//! - [`ingest`] and [`query`] never import each other: writing does not depend on reading. Only [`cli`] and
//!   [`service`] put the two together.
//! - AWS types stay inside `queue/sqs.rs` and `store/aws.rs`. `DataFusion`'s plans stay inside [`query`],
//!   [`maintain`] and [`detect`].
//! - An object is in the lake whole, once, or not at all. Its identity is in the commit that adds its rows, and that
//!   commit is the one system of record; the `objects` table is an index of it.
//! - Only the lake makes a [`lake::Committed`], of a commit or of what its logs name already, and a message is deleted
//!   only with one in hand.
//! - Correctness never depends on a clock, a lock or a lease: only on who wrote the next version of a table's log.
//! - A rule's progress is a table version, committed together with the alerts it led to.
//! - No log field, message, rule or SQL text can make the program panic, write, or send control characters to a terminal.
//! - One table of columns per log type drives schema, decoder, documentation and `--describe`.
//!
//! # Glossary
//!
//! - **object**: a log file as stored, on S3 or in a folder; identified by bucket, key and etag.
//! - **record**: one event or flow inside an object; a **row** once it is in a table.
//! - **announcement**: one object named by a notification. **notification**: a queue message that names objects.
//! - **ledger**: what is known of every object, looked up by the day its key names. **index**: the `objects` table.
//! - **quarantined**: could not be read; nothing of it is in the lake. **rejected**: quarantined, or not to be had at all.
//! - **detection**, **rule**: SQL with a header that says what a result means. **finding**: what a run of it yields.
//! - **alert**: a finding kept in the lake under an id made of rule, **entity** (what it is about) and **window** (when).
//! - **removal**: rows a commit took out of a table, by object and number: duplicates, expired or deleted rows.
//! - **sink**: where alerts are delivered. **hunt**: a run of rules over the past.

pub mod alert;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod detect;
pub mod failpoint;
pub mod generate;
pub mod ingest;
pub mod lake;
pub mod maintain;
pub mod query;
pub mod queue;
pub mod service;
pub mod severity;
pub mod store;
pub mod telemetry;
pub mod text;
