//! A queue of notifications, at least once: receive, extend, delete, give back.
//!
//! Must never delete a message by itself.

pub mod memory;
pub mod sqs;

use std::time::Duration;

use async_trait::async_trait;

/// The most messages of one receive, and of one delete request to SQS.
pub const MAX_BATCH: usize = 10;
/// The longest wait of one receive: longer ones count as this.
pub const MAX_WAIT: Duration = Duration::from_secs(20);
/// How long a message can stay invisible after one receive, however often that is extended.
pub const MAX_INVISIBLE: Duration = Duration::from_hours(12);
/// The longest visibility timeout that can be asked for: longer ones count as this. A little less than
/// `MAX_INVISIBLE`, since the time that passed since the receive counts too.
pub const MAX_VISIBILITY: Duration = Duration::from_secs(43_195);

/// A message as received.
#[derive(Debug, Clone)]
pub struct Message {
    /// The queue's id of the message, for logs.
    pub id: String,
    /// The handle of this receive: the newest one deletes.
    pub receipt: String,
    /// The body as sent.
    pub body: String,
    /// How often the message was received, this time included.
    pub receive_count: u32,
}

/// A queue with at-least-once delivery and a visibility timeout, as SQS defines them.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Up to `max` (1 to 10) messages, waiting up to `wait` for the first.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error>;
    /// Keeps a message invisible for `visibility` from now; zero gives it back at once. Answers
    /// `StaleReceipt` when the message can no longer be kept: it became visible or was received again, it is
    /// gone, or it would be invisible for more than `MAX_INVISIBLE` after its receive.
    async fn change_visibility(&self, receipt: &str, visibility: Duration) -> Result<(), Error>;
    /// Deletes any number of messages; returns the receipts of those that could not be deleted (harmless:
    /// they come back). That a receipt is not among them does not mean that its message is gone: SQS accepts
    /// a stale receipt and does nothing. On an error some may be deleted; deleting twice does no harm.
    async fn delete(&self, receipts: &[String]) -> Result<Vec<String>, Error>;
}

/// What can go wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue could not be reached or answered with a passing fault.
    #[error("queue `{queue}` did not answer")]
    Unavailable {
        /// The queue's name or URL.
        queue: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The queue does not exist or may not be used.
    #[error("queue `{queue}` refused")]
    Refused {
        /// The queue's name or URL.
        queue: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The receipt is no longer valid: the message was received again, or is gone.
    #[error("receipt is no longer valid on queue `{queue}`")]
    StaleReceipt {
        /// The queue's name or URL.
        queue: String,
    },
}
