//! Compaction and vacuum beside the ingest: on a runtime and a lake handle of their own, one step at a time.
//!
//! Must never hold up ingest. What is half done when the service stops is not committed, and begun again later.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::supervise::{PAUSE, keep_running};
use crate::lake::Lake;
use crate::maintain::{self, compact, day_name, vacuum};

/// Keeps a lake in order.
pub(super) struct Maintenance {
    pub(super) interval: Duration,
    pub(super) compaction: Option<compact::Settings>,
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
            runtime.shutdown_background();
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    async fn run(&self, lake: &Lake) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(self.interval) => {}
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
                        tracing::error!(
                            table = job.table.name,
                            day = day_name(job.day),
                            error,
                            "not compacted"
                        );
                        continue;
                    }
                };
                tracing::info!(
                    table = done.table,
                    day = day_name(done.day),
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
}
