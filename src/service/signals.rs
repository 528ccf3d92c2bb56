//! The signals that end the service.

use std::io;
use std::time::Duration;

use futures::FutureExt;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Signals that come this soon after another are the same one: `timeout` sends one to the process and one to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// SIGTERM and SIGINT; they no longer end the process by themselves.
pub(super) struct StopSignals {
    last: Option<Instant>,
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
}

impl StopSignals {
    #[cfg(unix)]
    pub(super) fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(StopSignals { last: None, terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(not(unix))]
    pub(super) fn new() -> io::Result<Self> {
        Ok(StopSignals { last: None })
    }

    async fn next(&mut self) {
        if let Some(last) = self.last {
            tokio::time::sleep_until(last + ONE_SIGNAL).await;
            // What came meanwhile, or before somebody asked.
            while self.received().now_or_never().is_some() {}
        }
        self.received().await;
        self.last = Some(Instant::now());
    }

    #[cfg(unix)]
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn received(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The next signal; without signals, never.
pub(super) async fn next(signals: Option<&mut StopSignals>) {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}
