//! Compaction, retention and vacuum beside the ingest: on a runtime and a lake handle of their own, one step at a time.
//!
//! Must never hold up ingest. What is half done when the service stops is not committed, and begun again later.

use std::io;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::supervise::{self, PAUSE, keep_running};
use crate::lake::Lake;
use crate::maintain::erase::{self, Erased};
use crate::maintain::{self, compact, day_name, vacuum};

/// The first time comes no later than this after a start, so that a service which is often started anew gets there.
const FIRST: Duration = Duration::from_mins(5);

/// Keeps a lake in order.
pub(super) struct Maintenance {
    pub(super) interval: Duration,
    pub(super) compaction: Option<compact::Settings>,
    /// After how many days rows are taken out, if ever.
    pub(super) expire_after_days: Option<u64>,
    pub(super) vacuum: Option<vacuum::Settings>,
    pub(super) stop: CancellationToken,
}

impl Maintenance {
    /// Starts a thread with a runtime of its own; `open` opens the lake there. The receiver hears of its end.
    pub(super) fn start(
        self,
        open: impl AsyncFnOnce() -> Option<Lake> + Send + 'static,
    ) -> io::Result<oneshot::Receiver<()>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("maintenance")
            .enable_all()
            .build()?;
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("maintenance".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Some(lake) = open().await {
                    keep_running("maintenance", PAUSE, &self.stop, || self.run(&lake)).await;
                }
            });
            supervise::end(runtime);
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    async fn run(&self, lake: &Lake) {
        let mut pause = self.interval.min(FIRST);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(std::mem::replace(&mut pause, self.interval)) => {}
            }
            tokio::select! {
                // A commit is whole or not there, whenever this ends.
                () = self.stop.cancelled() => return,
                done = self.once(lake) => if let Err(error) = done {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the lake could not be kept in order; trying again later");
                }
            }
        }
    }

    async fn once(&self, lake: &Lake) -> Result<(), maintain::Error> {
        if let Some(settings) = &self.compaction {
            for job in compact::jobs(lake, settings, None).await? {
                let done = match compact::run(lake, job, settings, |_| {}).await {
                    Ok(Some(done)) => done,
                    Ok(None) => continue,
                    Err(error) => {
                        // One day that cannot be compacted is no reason to leave the others.
                        let error: &dyn std::error::Error = &error;
                        tracing::error!(table = job.table.name, day = job.name(), error, "not compacted");
                        continue;
                    }
                };
                tracing::info!(
                    table = done.table,
                    day = done.name,
                    files_before = done.files.0,
                    files_after = done.files.1,
                    bytes_before = done.bytes.0,
                    bytes_after = done.bytes.1,
                    duplicates = done.duplicates,
                    committed = done.version.is_some(),
                    "compacted"
                );
            }
        }
        if let Err(error) = self.expire(lake).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "not all days that are too old were taken out");
        }
        if let Some(settings) = self.vacuum {
            for done in vacuum::run(lake, settings, |_| {}).await? {
                let files = done.paths.len();
                if files > 0 {
                    tracing::info!(
                        table = done.table,
                        files,
                        bytes = done.bytes,
                        failed = done.failed.len(),
                        "vacuumed"
                    );
                }
            }
        }
        Ok(())
    }

    /// Takes out the days that are too old.
    async fn expire(&self, lake: &Lake) -> Result<(), maintain::Error> {
        let Some(days) = self.expire_after_days else { return Ok(()) };
        let Some(first_kept) = first_kept(lake.clock().now(), days) else { return Ok(()) };
        let tell = |done: &Erased| {
            let (day, rows) = (day_name(done.day), done.rows);
            tracing::info!(table = done.table, day, rows, bytes = done.bytes, "expired");
        };
        erase::expire(lake, first_kept, true, tell).await.map(drop)
    }
}

/// The first day that is kept; none when the calendar does not go back so far.
fn first_kept(now: DateTime<Utc>, days: u64) -> Option<NaiveDate> {
    now.date_naive().checked_sub_days(Days::new(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_kept_whole() {
        let check = |now: &str, days: u64, expected: Option<&str>| {
            let now = DateTime::parse_from_rfc3339(now).unwrap().to_utc();
            assert_eq!(first_kept(now, days).map(|day| day.to_string()).as_deref(), expected);
        };
        check("2026-03-10T00:00:00Z", 1, Some("2026-03-09"));
        check("2026-03-10T23:59:59Z", 1, Some("2026-03-09"));
        check("2026-03-10T12:00:00Z", 400, Some("2025-02-03"));
        check("2026-03-10T12:00:00Z", u64::MAX, None);
    }
}
