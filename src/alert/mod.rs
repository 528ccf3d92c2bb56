//! An alert: a finding of a detection about an entity in a window of time.
//!
//! Must never hold two alerts for the same finding: the id is a function of rule, entity and window.

pub mod deliver;
pub mod raise;
pub mod sinks;
pub mod table;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::detect::Finding;
use crate::detect::detection::Detection;
pub use crate::severity::Severity;

/// A finding, as stored in the `alerts` table and handed to sinks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// 32 hex digits: the first half of the SHA-256 of rule, entity and window.
    pub alert_id: String,
    /// The detection's id.
    pub rule_id: String,
    /// The detection's title.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// What the alert is about: column name to value, in the detection's order.
    pub entity: serde_json::Map<String, serde_json::Value>,
    /// What was seen, in words.
    pub summary: String,
    /// The start of the window the finding belongs to.
    pub window_start: DateTime<Utc>,
    /// The first event.
    pub first_time: DateTime<Utc>,
    /// The last event.
    pub last_time: DateTime<Utc>,
    /// How many events.
    pub event_count: i64,
    /// The ids of the events, at most 100.
    pub event_ids: Vec<String>,
    /// MITRE ATT&CK tactics, e.g. `TA0003`.
    pub mitre_tactics: Vec<String>,
    /// MITRE ATT&CK techniques, e.g. `T1098.001`.
    pub mitre_techniques: Vec<String>,
    /// What to do next, from the detection.
    pub next_steps: String,
    /// The first matching row, column name to value.
    pub evidence: serde_json::Map<String, serde_json::Value>,
    /// When the alert was raised.
    pub created_at: DateTime<Utc>,
}

impl Alert {
    /// The alert a finding of a detection makes.
    pub fn new(detection: &Detection, finding: Finding, created_at: DateTime<Utc>) -> Self {
        let time = |micros| DateTime::from_timestamp_micros(micros).unwrap_or_default();
        Alert {
            alert_id: finding.id,
            rule_id: detection.id.clone(),
            title: detection.title.clone(),
            severity: detection.severity,
            entity: finding.entity,
            summary: finding.summary,
            window_start: time(finding.window_start),
            first_time: time(finding.first_time),
            last_time: time(finding.last_time),
            event_count: finding.event_count,
            event_ids: finding.event_ids,
            mitre_tactics: detection.mitre.tactics.clone(),
            mitre_techniques: detection.mitre.techniques.clone(),
            next_steps: detection.next_steps.clone(),
            evidence: finding.evidence,
            created_at,
        }
    }
}
