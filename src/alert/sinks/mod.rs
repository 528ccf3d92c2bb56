//! Where alerts go: one file each.
//!
//! Must never decide whether an alert was delivered: a sink says yes or no, the lake remembers.

use async_trait::async_trait;

use super::Alert;

/// A place alerts are delivered to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The name in the configuration, unique; delivery state is kept under it.
    fn name(&self) -> &str;
    /// Delivers one alert. Safe to repeat: receivers tell repeats by the alert's id.
    async fn deliver(&self, alert: &Alert) -> Result<(), Error>;
}

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A passing fault: try again later.
    #[error("sink `{sink}` did not take the alert: {reason}")]
    Retry {
        /// The sink's name.
        sink: String,
        /// Why.
        reason: String,
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
