//! Where alerts go: one file each.
//!
//! Must never decide whether an alert was delivered: a sink says yes or no, the lake remembers.

pub mod json_lines;
pub mod terminal;
pub mod webhook;

use std::time::Duration;

use async_trait::async_trait;

use super::Alert;

/// A place alerts are delivered to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The name in the configuration, unique; delivery state is kept under it.
    fn name(&self) -> &str;
    /// Delivers one alert, in one attempt. Safe to repeat: receivers tell repeats by the alert's id.
    async fn deliver(&self, alert: &Alert) -> Result<(), Error>;
}

/// What lies beneath an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a sink cannot be used, or a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sink cannot be set up as configured.
    #[error("sink `{sink}` cannot be used: {reason}")]
    Configuration {
        /// The sink's name.
        sink: String,
        /// Why.
        reason: String,
        /// What lies beneath.
        source: Option<Cause>,
    },
    /// A passing fault: try again later.
    #[error("sink `{sink}` did not take the alert: {reason}")]
    Retry {
        /// The sink's name.
        sink: String,
        /// Why.
        reason: String,
        /// The receiver asks not to be tried again sooner than this; at most [`MAX_RETRY_AFTER`].
        after: Option<Duration>,
        /// What lies beneath.
        source: Option<Cause>,
    },
    /// The sink will never take it as configured.
    #[error("sink `{sink}` refused the alert: {reason}")]
    Refused {
        /// The sink's name.
        sink: String,
        /// Why.
        reason: String,
    },
}

/// The longest that a receiver can put an alert off.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// How long to wait after failed attempt number `attempt`, from 0.
///
/// Anywhere between nothing and 1 s, 2 s, 4 s and so on up to 5 minutes ("full jitter"), so that the alerts of one
/// outage do not come back together. The same `attempt` and `seed` give the same wait; seed it by alert and sink.
pub fn backoff(attempt: u32, seed: u64) -> Duration {
    let doubled = 2_u32.checked_pow(attempt).and_then(|factor| FIRST_BACKOFF.checked_mul(factor));
    let longest = doubled.map_or(MAX_BACKOFF, |wait| wait.min(MAX_BACKOFF));
    let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(mix(seed ^ mix(u64::from(attempt))) % (longest_ms + 1))
}

/// The finalizer of `SplitMix64`: every bit of the input reaches every bit of the output.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Write as _;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::alert::Severity;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// An alert as a detection would raise it.
    pub(crate) fn alert() -> Alert {
        let entity = serde_json::json!({
            "account_id": "111122223333",
            "actor_arn": "arn:aws:iam::111122223333:user/build",
        });
        let evidence =
            serde_json::json!({ "event_name": "CreateAccessKey", "error_code": null, "source_row": 7 });
        Alert {
            alert_id: "0123456789abcdef0123456789abcdef".into(),
            rule_id: "access-key-for-another-user".into(),
            title: "Access key created for another user".into(),
            severity: Severity::High,
            entity: entity.as_object().unwrap().clone(),
            summary:
                "`build` created an access key for `admin`, which it had never done in the 90 days before."
                    .into(),
            window_start: time("2026-01-02T03:00:00Z"),
            first_time: time("2026-01-02T03:04:05Z"),
            last_time: time("2026-01-02T03:14:15Z"),
            event_count: 12,
            event_ids: vec!["5e7f6d0c-0000-4000-8000-000000000001".into()],
            mitre_tactics: vec!["TA0003".into()],
            mitre_techniques: vec!["T1098.001".into()],
            next_steps: "1. Ask the owner of `build`.\n2. Deactivate the key if nobody knows of it.".into(),
            evidence: evidence.as_object().unwrap().clone(),
            created_at: time("2026-01-02T03:15:00Z"),
        }
    }

    /// The error and everything beneath it.
    pub(crate) fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let _ = write!(text, ": {cause}");
            next = cause.source();
        }
        text
    }

    #[test]
    fn backoff_doubles_to_five_minutes_and_spreads() {
        let check = |attempt: u32, longest_ms: u128| {
            let waits: Vec<u128> = (0..2000).map(|seed| backoff(attempt, seed).as_millis()).collect();
            let most = *waits.iter().max().unwrap();
            let mean = waits.iter().sum::<u128>() / 2000;
            assert!(most <= longest_ms, "attempt {attempt}: {most}");
            assert!(most > longest_ms * 95 / 100, "attempt {attempt}: {most}");
            assert!(
                (longest_ms * 45 / 100..longest_ms * 55 / 100).contains(&mean),
                "attempt {attempt}: {mean}"
            );
        };
        check(0, 1_000);
        check(1, 2_000);
        check(5, 32_000);
        check(8, 256_000);
        check(9, 300_000);
        check(31, 300_000);
        check(32, 300_000);
        check(u32::MAX, 300_000);
        assert_eq!(backoff(3, 42), backoff(3, 42));
        assert_ne!(backoff(3, 42), backoff(3, 43));
    }
}
