//! The signals that end the service.

use std::io;
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// A signal that comes this soon after another is the same: `timeout` sends one to the process and one to its group.
const SAME: Duration = Duration::from_millis(500);

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
        loop {
            self.any().await;
            let now = Instant::now();
            if self.last.is_none_or(|last| now - last > SAME) {
                self.last = Some(now);
                return;
            }
        }
    }

    #[cfg(unix)]
    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn any(&mut self) {
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
