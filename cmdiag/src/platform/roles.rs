//! The parts that a process runs, started together and stopped in order.

use super::Platform;
use super::auditing::Auditing;
use super::event_log::Copied;
use crate::cli::Role;
use audit::{PublisherStatus, SealerStatus};
use command_side::{Clock, CommandBus, ProcessManagers, ProcessManagersOptions, ProcessStatus, SystemClock};
use domain::Position;
use engine::action::HostProgram;
use engine::evidence::EvidenceStore;
use engine::offsets::PostgresOffsets;
use engine::probe::Probes;
use engine::queue::{FillerStatus, QueueDepth, QueueFiller, QueueOptions, WorkQueue};
use engine::remediation::{RemediationOptions, RemediationParts, RemediationStatus, Remediator};
use engine::runner::ProbeRunner;
use engine::worker::{CheckRunner, WorkerPool, WorkerPoolOptions, WorkerStatus};
use projections::{ProjectionStatus, Runner, RunnerHandle, RunnerOptions};
use query_side::{Queries, Watches};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the queue's depth is asked for; it is shown, not acted upon.
const DEPTH_EVERY: Duration = Duration::from_secs(2);

/// What the running parts say of themselves, for health and metrics.
#[derive(Clone, Default)]
pub struct Statuses {
    /// Of each projection.
    pub projections: Vec<watch::Receiver<ProjectionStatus>>,
    /// Of each process manager.
    pub processes: Vec<watch::Receiver<ProcessStatus>>,
    /// Of the workers.
    pub workers: Option<watch::Receiver<WorkerStatus>>,
    /// Of the queue's filler.
    pub filler: Option<watch::Receiver<FillerStatus>>,
    /// Of the queue.
    pub depth: Option<watch::Receiver<Option<QueueDepth>>>,
    /// Of the remediations.
    pub remediations: Option<watch::Receiver<RemediationStatus>>,
    /// Of the sealer.
    pub sealer: Option<watch::Receiver<SealerStatus>>,
    /// Of each place that checkpoints are published to.
    pub publications: Vec<watch::Receiver<PublisherStatus>>,
    /// Of the log's copy in the database, where there is one.
    pub copied: Option<Copied>,
    /// The newest position that this process knows.
    pub newest: Option<watch::Receiver<Position>>,
}

impl Statuses {
    /// The newest position that this process knows.
    pub fn newest(&self) -> Position {
        self.newest.as_ref().map_or(Position::START, |newest| *newest.borrow())
    }
}

struct Engine {
    workers: WorkerPool,
    filler: QueueFiller,
    remediator: Remediator,
    runner: Option<ProbeRunner>,
    depth: JoinHandle<()>,
}

/// The running parts.
pub struct Roles {
    projectors: Vec<RunnerHandle>,
    recording: Option<JoinHandle<()>>,
    processes: Option<ProcessManagers>,
    engine: Option<Engine>,
    auditing: Option<Auditing>,
    cancel: CancellationToken,
    /// What they say of themselves.
    pub statuses: Statuses,
    /// Reads that know how far the projectors of this process are.
    pub queries: Queries,
}

impl Roles {
    /// Starts the named parts; the API is not among them, for it needs a listener.
    pub fn start(platform: &Platform, roles: &[Role]) -> Self {
        let cancel = platform.cancel.child_token();
        let mut started = Self {
            projectors: Vec::new(),
            recording: None,
            processes: None,
            engine: None,
            auditing: None,
            cancel,
            statuses: Statuses {
                copied: platform.copied.clone(),
                newest: Some(platform.log.newest()),
                ..Statuses::default()
            },
            queries: platform.queries.clone(),
        };
        if roles.contains(&Role::Projector) {
            started.start_projectors(platform);
        }
        if roles.contains(&Role::Commands) {
            started.start_processes(platform);
        }
        if roles.contains(&Role::Engine) {
            started.start_engine(platform, None);
        }
        if roles.contains(&Role::Sealer) {
            started.start_sealer(platform);
        }
        started
    }

    /// It has a token of its own: it seals what the others write while they stop.
    fn start_sealer(&mut self, platform: &Platform) {
        let auditing = Auditing::start(platform);
        self.statuses.sealer = Some(auditing.sealer());
        self.statuses.publications = auditing.publications();
        self.auditing = Some(auditing);
    }

    fn start_projectors(&mut self, platform: &Platform) {
        let all = projections::all();
        let options = RunnerOptions::default();
        self.projectors = Runner::start_all(&platform.pool, &platform.feed, all, &options, &self.cancel);
        self.statuses.projections = self.projectors.iter().map(RunnerHandle::status).collect();
        let watches: Watches =
            self.projectors.iter().map(|runner| (runner.name().to_owned(), runner.position())).collect();
        self.queries = platform.queries.clone().with_watches(watches);
        let recording = super::exchanges::record_all(platform.pool.clone(), (*platform.bus).clone());
        let recording = self.cancel.clone().run_until_cancelled_owned(recording);
        self.recording = Some(tokio::spawn(async move {
            recording.await;
        }));
    }

    fn start_processes(&mut self, platform: &Platform) {
        let bus: &CommandBus = &platform.bus;
        let catalog = Arc::clone(&platform.packs);
        let options =
            ProcessManagersOptions::new(platform.pool.clone(), bus.clone(), Arc::clone(&platform.feed), catalog);
        let processes = ProcessManagers::start(&options, &self.cancel);
        self.statuses.processes = processes.statuses().to_vec();
        self.processes = Some(processes);
    }

    /// Starts queue, workers and probes; `runner` stands in for the probes in benchmarks.
    fn start_engine(&mut self, platform: &Platform, runner: Option<Arc<dyn CheckRunner>>) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let queue = WorkQueue::new(platform.pool.clone(), QueueOptions::default());
        let filler = QueueFiller::start(Arc::clone(&queue), Arc::clone(&platform.feed), self.cancel.clone());
        let probes = runner.is_none().then(|| probe_runner(platform, &clock));
        let runner = runner.or_else(|| probes.clone().map(|probes| Arc::new(probes) as Arc<dyn CheckRunner>));
        let Some(runner) = runner else { return };
        let options = WorkerPoolOptions { concurrency: platform.config.engine.workers, ..WorkerPoolOptions::default() };
        let remediator = remediator(platform, &runner, &clock, &self.cancel);
        let bus = (*platform.bus).clone();
        let feed = Arc::clone(&platform.feed);
        let workers = WorkerPool::start(options, runner, Arc::clone(&queue), bus, feed, clock, self.cancel.clone());
        let (sender, depth) = watch::channel(None);
        let cancel = self.cancel.clone();
        let asking = tokio::spawn(async move {
            cancel.run_until_cancelled(ask_depth(&queue, &sender)).await;
        });
        self.statuses.workers = Some(workers.status());
        self.statuses.filler = Some(filler.status());
        self.statuses.depth = Some(depth);
        self.statuses.remediations = Some(remediator.status());
        self.engine = Some(Engine { workers, filler, remediator, runner: probes, depth: asking });
    }

    /// Stops them in order: the workers first, which then record what they have; the projectors last.
    pub async fn stop(mut self) {
        if let Some(engine) = self.engine.take() {
            tokio::join!(engine.workers.stop(), engine.remediator.stop());
            self.cancel.cancel();
            engine.filler.stopped().await;
            if let Some(runner) = engine.runner {
                runner.close().await;
            }
            let _ = engine.depth.await;
        }
        if let Some(processes) = self.processes.take() {
            processes.stop().await;
        }
        self.cancel.cancel();
        for projector in self.projectors {
            projector.stopped().await;
        }
        if let Some(recording) = self.recording {
            let _ = recording.await;
        }
        if let Some(auditing) = self.auditing {
            auditing.stop().await;
        }
    }
}

fn probe_runner(platform: &Platform, clock: &Arc<dyn Clock>) -> ProbeRunner {
    let offsets = PostgresOffsets::new(platform.pool.clone(), Arc::clone(clock));
    ProbeRunner::new(
        Arc::clone(&platform.packs),
        Probes::new(Arc::new(offsets)),
        platform.bus.clone(),
        Arc::new(EvidenceStore::new(platform.pool.clone())),
        Arc::clone(clock),
    )
}

fn remediator(
    platform: &Platform,
    checks: &Arc<dyn CheckRunner>,
    clock: &Arc<dyn Clock>,
    cancel: &CancellationToken,
) -> Remediator {
    let parts = RemediationParts {
        pool: platform.pool.clone(),
        bus: (*platform.bus).clone(),
        feed: Arc::clone(&platform.feed),
        packs: Arc::clone(&platform.packs),
        checks: Arc::clone(checks),
        evidence: EvidenceStore::new(platform.pool.clone()),
        clock: Arc::clone(clock),
    };
    // Where this program can not be named it is looked for by name: an action that can not be isolated is not run.
    let program = std::env::current_exe().unwrap_or_else(|_| "cmdiag".into());
    let host = HostProgram::Program { program, arguments: vec!["action-host".to_owned()] };
    Remediator::start(parts, RemediationOptions::new(host), cancel)
}

async fn ask_depth(queue: &WorkQueue, sender: &watch::Sender<Option<QueueDepth>>) {
    loop {
        // What can not be asked is not shown: `None`, never an old figure.
        let _ = sender.send(queue.depth().await.ok());
        tokio::time::sleep(DEPTH_EVERY).await;
    }
}
