//! Tasks that must not end: started again when they panic, and tried again until they succeed.
//!
//! Must never start again what ended by itself, nor anything once the service stops.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ingest::worker::Backoff;

/// The pauses before a task is started again.
pub(super) const PAUSE: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(1) };

/// A task that ran for so long before it panicked begins anew with the shortest pause.
const RAN_WELL: Duration = Duration::from_mins(10);

/// How long the threads of a runtime have to end: a terminal or a disk that hangs holds up a thread, but not the end.
const THREADS_END: Duration = Duration::from_secs(1);

/// Ends a runtime that has nothing left to do, with its threads, and drops what is left of its tasks: their temporary
/// files go with them. The threads are waited for, since to detach a thread just while it ends makes glibc look at
/// memory that is gone (its bug 19951): after all was done well, the program died of a signal now and then.
pub fn end(runtime: Runtime) {
    runtime.shutdown_timeout(THREADS_END);
}

/// Runs a task, again after every panic, until it ends by itself or the service stops.
pub(super) async fn keep_running<F: Future<Output = ()>>(
    name: &str,
    pause: Backoff,
    stop: &CancellationToken,
    mut task: impl FnMut() -> F,
) {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let Err(panic) = AssertUnwindSafe(task()).catch_unwind().await else { return };
        failures = if started.elapsed() >= RAN_WELL { 1 } else { failures + 1 };
        let wait = pause.after(failures);
        tracing::error!(task = name, reason = reason(panic.as_ref()), again_in = ?wait, "a task panicked");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Tries something until it succeeds, which it returns, or the service stops.
pub(super) async fn keep_trying<T, E: std::error::Error + 'static>(
    pause: Backoff,
    stop: &CancellationToken,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
    mut failed: impl FnMut(&(dyn std::error::Error + 'static), Duration),
) -> Option<T> {
    let mut failures = 0;
    loop {
        let error = match stop.run_until_cancelled(attempt()).await? {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        failures += 1;
        let wait = pause.after(failures);
        failed(&error, wait);
        stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
    }
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Backoff = Backoff { first: Duration::ZERO, longest: Duration::ZERO };

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_one_that_ends_is_not() {
        let stop = CancellationToken::new();
        let mut runs = 0;
        keep_running("test", AT_ONCE, &stop, || {
            runs += 1;
            let run = runs;
            async move { assert!(run >= 3, "run {run}") }
        })
        .await;
        assert_eq!(runs, 3);
    }

    #[tokio::test]
    async fn what_fails_is_tried_until_it_succeeds_or_the_service_stops() {
        let stop = CancellationToken::new();
        let (mut tries, mut told) = (0, 0);
        let attempt = async || {
            tries += 1;
            if tries == 4 { Ok(tries) } else { Err(std::io::Error::other("not yet")) }
        };
        assert_eq!(keep_trying(AT_ONCE, &stop, attempt, |_, _| told += 1).await, Some(4));
        assert_eq!(told, 3);
        let attempt = async || {
            stop.cancel();
            Err::<(), _>(std::io::Error::other("not yet"))
        };
        let long = Duration::from_hours(1);
        assert_eq!(
            keep_trying(Backoff { first: long, longest: long }, &stop, attempt, |_, _| {}).await,
            None
        );
    }

    #[tokio::test]
    async fn nothing_is_started_again_once_the_service_stops() {
        let stop = CancellationToken::new();
        let long = Duration::from_hours(1);
        let mut runs = 0;
        keep_running("test", Backoff { first: long, longest: long }, &stop, || {
            runs += 1;
            stop.cancel();
            async { panic!("{}", "formatted") }
        })
        .await;
        assert_eq!(runs, 1);
    }
}
