//! Detections and deliveries beside the ingest: on a runtime and a lake handle of their own.
//!
//! Must never hold up ingest: it hears of commits, and nobody waits for it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::supervise::{self, PAUSE, keep_running};
use crate::alert::deliver::deliver_pending;
use crate::alert::raise::{Outcome, Runner, Subscriber};
use crate::alert::sinks::Sink;
use crate::detect::detection::Detection;
use crate::ingest::worker::Signals;
use crate::lake::{self, Lake};
use crate::query::Limits;

/// Detections run after so long even if no commit was heard of: others may write to the lake too.
const IDLE_INTERVAL: Duration = Duration::from_mins(10);
/// How often it is looked whether an alert that was not taken is due again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// How long a round of deliveries may go on after the service was told to stop.
const LAST_ROUND: Duration = Duration::from_secs(5);

/// What happened with alerts.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) raised: AtomicU64,
    pub(super) delivered: AtomicU64,
}

/// Runs detections and delivers alerts.
pub(super) struct Alerting {
    pub(super) detections: Vec<Detection>,
    pub(super) limits: Limits,
    pub(super) interval: Duration,
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) signals: Arc<Signals>,
    pub(super) totals: Arc<Totals>,
    pub(super) stop: CancellationToken,
}

impl Alerting {
    /// Starts a thread with a runtime of its own; `open` opens the lake there. The receiver hears of its end.
    pub(super) fn start(
        self,
        open: impl AsyncFnOnce() -> Option<Lake> + Send + 'static,
    ) -> io::Result<oneshot::Receiver<()>> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().thread_name("alerts").enable_all().build()?;
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("alerts".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Some(lake) = open().await {
                    self.run(&lake).await;
                }
            });
            supervise::end(runtime);
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    async fn run(&self, lake: &Lake) {
        let raised = Notify::new();
        let detecting = keep_running("detections", PAUSE, &self.stop, || self.detect(lake, &raised));
        let delivering = keep_running("deliveries", PAUSE, &self.stop, || self.deliver(lake, &raised));
        tokio::join!(detecting, delivering);
    }

    async fn detect(&self, lake: &Lake, raised: &Notify) {
        let mut failing = BTreeSet::new();
        loop {
            let runner = Runner {
                lake,
                detections: &self.detections,
                limits: self.limits.clone(),
                subscribers: self.subscribers.clone(),
            };
            let outcome = tokio::select! {
                // Progress is committed with the alerts, so that nothing is lost in between.
                () = self.stop.cancelled() => return,
                outcome = runner.run_new(|_| {}) => outcome,
            };
            let again_soon = self.note(outcome, &mut failing, raised);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(self.interval) => {}
            }
            if !again_soon {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = self.signals.committed.notified() => {}
                    () = sleep(IDLE_INTERVAL) => {}
                }
            }
        }
    }

    /// Tells what a run did; returns whether there is something to try again.
    fn note(
        &self,
        outcome: Result<Outcome, lake::Error>,
        failing: &mut BTreeSet<String>,
        raised: &Notify,
    ) -> bool {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "detections could not run; trying again");
                return true;
            }
        };
        for (rule, error) in &outcome.failed {
            // Said once, not at every run.
            if failing.insert(rule.clone()) {
                let error: &dyn std::error::Error = error;
                tracing::error!(rule, error, "a detection fails; it runs again over the same rows");
            }
        }
        failing.retain(|rule| outcome.failed.iter().any(|(failed, _)| failed == rule));
        for (rule, findings) in &outcome.suppressed {
            tracing::warn!(rule, findings, "more findings than one run keeps");
        }
        let (new, amended) = (outcome.raised.len(), outcome.amended.len());
        if outcome.rules_run > 0 {
            let rows: u64 = outcome.new_rows.values().sum();
            tracing::info!(rules = outcome.rules_run, rows, raised = new, amended, "detections ran");
        }
        if new > 0 {
            self.totals.raised.fetch_add(new as u64, Ordering::Relaxed);
            raised.notify_one();
        }
        !outcome.failed.is_empty()
    }

    async fn deliver(&self, lake: &Lake, raised: &Notify) {
        if self.sinks.is_empty() {
            return;
        }
        while !self.stop.is_cancelled() {
            let round = tokio::select! {
                round = deliver_pending(lake, &self.sinks) => round,
                () = self.out_of_time() => return,
            };
            let pending = match round {
                Ok(round) => {
                    self.totals.delivered.fetch_add(round.delivered as u64, Ordering::Relaxed);
                    round.pending > 0
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "alerts could not be delivered; trying again");
                    true
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = raised.notified() => {}
                () = sleep(if pending { RETRY_INTERVAL } else { IDLE_INTERVAL }) => {}
            }
        }
    }

    async fn out_of_time(&self) {
        self.stop.cancelled().await;
        sleep(LAST_ROUND).await;
    }
}
