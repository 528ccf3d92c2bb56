//! How bad it is: one scale for rules, alerts, sinks and the configuration.

use serde::{Deserialize, Serialize};

/// How bad it is if the alert is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Informational,
    /// Worth a look this week.
    Low,
    /// Worth a look today.
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// The word in rules, tables and the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Informational => "informational",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// The severity of that name.
    pub fn parse(text: &str) -> Option<Self> {
        use Severity::{Critical, High, Informational, Low, Medium};
        [Informational, Low, Medium, High, Critical].into_iter().find(|severity| severity.name() == text)
    }
}
