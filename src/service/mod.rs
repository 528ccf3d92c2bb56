//! The daemon: workers on queues, watched folders, detections and deliveries, under one shutdown token.
//!
//! The only place beside the command line that puts the ingest and the query side together. Must never let ingest
//! wait for alerts or sinks, and must never end with a message deleted that is not in the lake.

mod alerting;
mod maintenance;
pub mod setup;
mod signals;
mod supervise;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::{ObjectStore, RetryConfig};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::alert::sinks;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Source};
use crate::decode;
use crate::detect::detection;
use crate::ingest::lease::{Leases, Timing};
use crate::ingest::load::{BatchLimits, Loader, Origin};
use crate::ingest::read::Reader;
use crate::ingest::stats::{Counts, Stats};
use crate::ingest::watch::Watcher;
use crate::ingest::worker::{self, Signals, Sources, Worker};
use crate::lake::{self, Lake};
use crate::queue::sqs::{SqsConfig, SqsQueue};
use crate::queue::{self, Queue};
use crate::store::{self, aws};
use alerting::{Alerting, Totals};
use maintenance::Maintenance;
use supervise::{PAUSE, keep_running, keep_trying};

pub use setup::{Screen, detections, sinks};
pub use supervise::end;

/// How often the counters are logged.
const STATS_INTERVAL: Duration = Duration::from_mins(1);
/// What of the drain is kept for what comes after the last commit.
const DRAIN_RESERVE: Duration = Duration::from_secs(5);
/// A message that is received fewer times than this before it counts as dead has no second chance after a restart.
const LEAST_RECEIVES: u32 = 3;

/// Why the service cannot start, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names no source.
    #[error("the configuration has no `[[source]]`: there is nothing to watch")]
    NoSource,
    /// A secret cannot be read.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A secret is not text.
    #[error("the secret of sink `{sink}` is not UTF-8")]
    SecretText {
        /// The sink.
        sink: String,
    },
    /// A sink cannot be set up.
    #[error(transparent)]
    Sink(#[from] sinks::Error),
    /// Detections cannot be read.
    #[error("{}", list(.0))]
    Detections(Vec<detection::Error>),
    /// A format of flow logs cannot be read.
    #[error(transparent)]
    FlowFormats(decode::Error),
    /// A store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The lake cannot be opened.
    #[error(transparent)]
    Lake(#[from] lake::Error),
    /// A queue cannot be used.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// The system gives no thread or no signal.
    #[error("cannot start")]
    System(#[from] std::io::Error),
    /// A second signal came before everything was in order: nothing is lost, but messages come again.
    #[error("interrupted")]
    Interrupted,
}

fn list(problems: &[detection::Error]) -> String {
    let count =
        if problems.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", problems.len()) };
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!("{count} with the detections\n{}", lines.join("\n"))
}

/// How the service is run, beside what the configuration says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ends the service when it is cancelled.
    pub stop: CancellationToken,
    /// Whether SIGTERM and SIGINT end it too.
    pub signals: bool,
    /// How long the end may take.
    pub drain: Duration,
    /// Where sinks of kind `terminal` write.
    pub screen: Screen,
}

impl Default for Options {
    /// Ended by signals, within 25 seconds: what container platforms grant, with something to spare.
    fn default() -> Self {
        Options {
            stop: CancellationToken::new(),
            signals: true,
            drain: Duration::from_secs(25),
            screen: Screen::default(),
        }
    }
}

/// What the service did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Messages, objects and rows.
    pub ingest: Counts,
    /// Alerts that were new.
    pub alerts_raised: u64,
    /// Alerts that sinks took.
    pub alerts_delivered: u64,
}

/// Runs until told to stop; then commits what was read, gives back the rest, and returns what was done.
pub async fn run(config: &Config, options: Options) -> Result<Summary, Error> {
    if config.sources.is_empty() {
        return Err(Error::NoSource);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let mut signals = options.signals.then(signals::StopSignals::new).transpose()?;
    // Set before: whoever embeds this has decided.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(config.ingest.decode_threads).build_global();
    let Some(opened) =
        unless_stopped(&options.stop, &mut signals, Box::pin(Service::open(config, &options))).await
    else {
        return Ok(Summary::default());
    };
    let mut service = opened?;
    // First what can be wrong with the configuration, then what is held and must be given back.
    let alerting = service.alerting(config, &options)?;
    let mut threads = Vec::new();
    let started = unless_stopped(&options.stop, &mut signals, Box::pin(service.start_sources(config))).await;
    if let Some(started) = started {
        started?;
        threads.push(service.start_alerting(config, alerting)?);
        threads.push(service.start_maintenance(config)?);
        service.tell_ready(config);
        service.run_until_stopped(signals.as_mut()).await;
    }
    let deadline = Instant::now() + options.drain;
    tokio::select! {
        () = service.end(threads, deadline) => {}
        () = signals::next(signals.as_mut()) => {
            tracing::warn!("a second signal: ending at once");
            return Err(Error::Interrupted);
        }
    }
    let summary = service.summary();
    tracing::info!(
        raised = summary.alerts_raised,
        delivered = summary.alerts_delivered,
        "stopped: {}",
        summary.ingest
    );
    Ok(summary)
}

/// A step of the start, which may take long where nobody answers; none when the service is told to stop before it is
/// through.
async fn unless_stopped<T>(
    stop: &CancellationToken,
    signals: &mut Option<signals::StopSignals>,
    beginning: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = beginning => return Some(done),
        () = stop.cancelled() => {}
        () = signals::next(signals.as_mut()) => {}
    }
    tracing::info!("told to stop before everything was started");
    stop.cancel();
    None
}

/// The running parts.
struct Service {
    lake: Arc<Lake>,
    clock: Arc<dyn Clock>,
    reader: Arc<Reader>,
    stats: Arc<Stats>,
    signals: Arc<Signals>,
    totals: Arc<Totals>,
    stop: CancellationToken,
    /// How long a part may go on after it was told to stop.
    drain: Duration,
    tasks: JoinSet<()>,
}

impl Service {
    async fn open(config: &Config, options: &Options) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let formats = setup::flow_formats(config)?;
        for (name, table) in formats.unknown_names() {
            tracing::warn!(
                name,
                table,
                "`ingest.flow_formats` has a field that is not known: it goes to `other_fields`"
            );
        }
        let place = store::lake(&setup::location(&config.lake), &setup::aws(config)).await?;
        let lake = Arc::new(Lake::create(place, Arc::clone(&clock)).await?);
        Ok(Service {
            lake,
            reader: Arc::new(setup::reader(config, formats, Arc::clone(&clock))),
            clock,
            stats: Arc::default(),
            signals: Arc::default(),
            totals: Arc::default(),
            stop: options.stop.clone(),
            drain: options.drain.saturating_sub(DRAIN_RESERVE).max(options.drain / 2),
            tasks: JoinSet::new(),
        })
    }

    async fn start_sources(&mut self, config: &Config) -> Result<(), Error> {
        for source in &config.sources {
            self.start_source(config, source).await?;
        }
        Ok(())
    }

    async fn start_source(&mut self, config: &Config, source: &Source) -> Result<(), Error> {
        match source {
            Source::Sqs { queue, buckets, workers, visibility_timeout } => {
                let sources = Arc::new(open_buckets(config, buckets).await?);
                let sqs = SqsConfig {
                    queue: queue.as_str().to_owned(),
                    endpoint: None,
                    visibility: *visibility_timeout,
                };
                let leases =
                    Leases::start(Arc::new(connect(config, &sqs).await?), Timing::of(sqs.visibility))?;
                let queue = Arc::new(connect(config, &sqs).await?);
                for number in 1..=*workers {
                    let worker = self.worker(config, &queue, &leases, &sources);
                    self.start_worker(format!("worker {number} of {}", queue.url()), worker);
                }
                let stop = self.stop.clone();
                self.tasks.spawn(async move { _ = stop.run_until_cancelled(check_redrive(&queue)).await });
            }
            Source::Folder { path, poll_interval } => {
                let watcher = self.watcher(config, path, *poll_interval);
                let stop = self.stop.clone();
                self.tasks.spawn(async move {
                    let name = format!("folder {}", watcher.path.display());
                    keep_running(&name, PAUSE, &stop, || watcher.run(stop.clone())).await;
                });
            }
        }
        Ok(())
    }

    fn worker(
        &self,
        config: &Config,
        queue: &Arc<SqsQueue>,
        leases: &Leases,
        sources: &Arc<Sources>,
    ) -> Arc<Worker> {
        let settings = worker::Settings {
            batch: batch_limits(config),
            batch_age: config.ingest.batch_age,
            drain: self.drain,
            ..worker::Settings::default()
        };
        Arc::new(Worker {
            queue: Arc::clone(queue) as Arc<dyn Queue>,
            leases: leases.clone(),
            lake: Arc::clone(&self.lake),
            reader: Arc::clone(&self.reader),
            sources: Arc::clone(sources),
            settings,
            stats: Arc::clone(&self.stats),
            signals: Arc::clone(&self.signals),
        })
    }

    fn start_worker(&mut self, name: String, worker: Arc<Worker>) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            keep_running(&name, PAUSE, &stop, || Arc::clone(&worker).run(stop.clone())).await;
        });
    }

    fn watcher(&self, config: &Config, path: &std::path::Path, interval: Duration) -> Watcher {
        Watcher {
            path: path.to_owned(),
            interval,
            loader: Loader {
                lake: Arc::clone(&self.lake),
                reader: Arc::clone(&self.reader),
                origin: Origin::Files,
                limits: batch_limits(config),
                at_once: config.ingest.decode_threads.saturating_mul(2),
            },
            clock: Arc::clone(&self.clock),
            stats: Arc::clone(&self.stats),
            signals: Arc::clone(&self.signals),
            drain: self.drain,
        }
    }

    fn alerting(&self, config: &Config, options: &Options) -> Result<Alerting, Error> {
        Ok(Alerting {
            detections: setup::detections(config)?,
            limits: setup::limits(config),
            interval: config.detect.interval,
            sinks: setup::sinks(config, &self.clock, options.screen)?,
            subscribers: setup::subscribers(config),
            signals: Arc::clone(&self.signals),
            totals: Arc::clone(&self.totals),
            stop: self.stop.clone(),
        })
    }

    fn start_alerting(&self, config: &Config, alerting: Alerting) -> Result<oneshot::Receiver<()>, Error> {
        Ok(alerting.start(self.lake_opener(config, "detections"))?)
    }

    fn start_maintenance(&self, config: &Config) -> Result<oneshot::Receiver<()>, Error> {
        let maintenance = Maintenance {
            interval: config.maintain.interval,
            compaction: config.maintain.compact.then(|| setup::compaction(config)),
            expire_after_days: config.maintain.expire_after_days,
            vacuum: config.maintain.vacuum.then(|| setup::vacuum(config)),
            stop: self.stop.clone(),
        };
        Ok(maintenance.start(self.lake_opener(config, "maintenance"))?)
    }

    /// Opens the lake once more, for a part with a runtime of its own; none when the service stops before it can be.
    fn lake_opener(
        &self,
        config: &Config,
        part: &'static str,
    ) -> impl AsyncFnOnce() -> Option<Lake> + Send + 'static + use<> {
        let (location, aws, clock) =
            (setup::location(&config.lake), setup::aws(config), Arc::clone(&self.clock));
        let stop = self.stop.clone();
        async move || {
            let open = async || {
                let place = store::lake(&location, &aws).await?;
                Ok::<_, Error>(Lake::open(place, Arc::clone(&clock)).await?)
            };
            let opened = keep_trying(PAUSE, &stop, open, |error, again_in| {
                tracing::error!(part, error, ?again_in, "the lake cannot be opened; trying again");
            });
            Box::pin(opened).await
        }
    }

    fn tell_ready(&self, config: &Config) {
        for source in &config.sources {
            match source {
                Source::Sqs { queue, buckets, workers, .. } => {
                    tracing::info!(%queue, buckets = buckets.join(","), workers, "receiving");
                }
                Source::Folder { path, .. } => tracing::info!(folder = %path.display(), "watching"),
            }
        }
        tracing::info!(
            lake = self.lake.place(),
            sources = config.sources.len(),
            sinks = config.sinks.len(),
            "ready"
        );
    }

    /// Waits for the token or a signal, and tells of what is being done meanwhile.
    async fn run_until_stopped(&self, mut signals: Option<&mut signals::StopSignals>) {
        let mut ticks = tokio::time::interval(STATS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = self.stats.counts();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = signals::next(signals.as_deref_mut()) => break,
                _ = ticks.tick() => {}
            }
            let now = self.stats.counts();
            if now != told {
                tracing::info!("{now}");
                told = now;
            }
        }
        tracing::info!("stopping: committing what was read, giving back the rest");
        self.stop.cancel();
    }

    /// Waits for all parts to end.
    async fn end(&mut self, threads: Vec<oneshot::Receiver<()>>, deadline: Instant) {
        let all = async {
            while self.tasks.join_next().await.is_some() {}
            for thread in threads {
                // An error says that the thread is gone, too.
                let _ = thread.await;
            }
        };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!("not everything ended in time; what was not committed comes again");
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            ingest: self.stats.counts(),
            alerts_raised: self.totals.raised.load(Ordering::Relaxed),
            alerts_delivered: self.totals.delivered.load(Ordering::Relaxed),
        }
    }
}

fn batch_limits(config: &Config) -> BatchLimits {
    BatchLimits { bytes: config.ingest.batch_bytes, rows: config.ingest.batch_rows }
}

async fn open_buckets(config: &Config, buckets: &[String]) -> Result<Sources, Error> {
    let aws = setup::aws(config);
    let mut stores: HashMap<String, Arc<dyn ObjectStore>> = HashMap::new();
    for bucket in buckets {
        stores.insert(bucket.clone(), aws.bucket(bucket, RetryConfig::default()).await?);
    }
    Ok(Sources::new(stores, config.lake.clone()))
}

/// A client of its own: it shares no connection with any other.
async fn connect(config: &Config, sqs: &SqsConfig) -> Result<SqsQueue, Error> {
    let settings = setup::aws(config);
    let sdk = aws::sdk_config(settings.endpoint.as_deref(), settings.region.as_deref()).await;
    Ok(SqsQueue::connect(sqs, &sdk).await?)
}

/// What cannot be read must end up somewhere: warns where it would come again for ever, or be given up too soon.
async fn check_redrive(queue: &SqsQueue) {
    let url = queue.url();
    match queue.attributes().await.map(|attributes| attributes.redrive) {
        Ok(None) => {
            tracing::warn!(
                queue = url,
                "the queue has no dead-letter queue: messages that cannot be settled come again until they expire"
            );
        }
        Ok(Some(redrive)) if redrive.max_receive_count < LEAST_RECEIVES => {
            let receives = redrive.max_receive_count;
            tracing::warn!(
                queue = url,
                receives,
                "messages go to the dead-letter queue after fewer than {LEAST_RECEIVES} receives: a restart may be enough"
            );
        }
        Ok(Some(_)) => {}
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(queue = url, error, "cannot tell whether the queue has a dead-letter queue");
        }
    }
}
