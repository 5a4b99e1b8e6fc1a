//! The platform's parts in this process, with checks that cost nothing in place of the packs and the probes.

use crate::commands::{planned_check, result};
use crate::world;
use anyhow::{Context, Result, ensure};
use command_side::{
    BusOptions, CheckCatalog, CommandBus, PlanError, ProcessManagers, ProcessManagersOptions, SystemClock,
};
use domain::deployment::DeploymentState;
use domain::diagnostic_run::{CheckResult, PlannedCheck};
use domain::finding::Hysteresis;
use domain::{CheckCode, Position};
use engine::queue::{QueueFiller, QueueOptions, WorkItem, WorkQueue};
use engine::worker::{CheckRunner, WorkerPool, WorkerPoolOptions};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use futures::future::BoxFuture;
use projections::{Runner, RunnerHandle, RunnerOptions};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// As many connections as `cmdiag serve` has by default.
const CONNECTIONS: u32 = 16;
const VIEWS_BOUND: Duration = Duration::from_secs(120);

/// Process managers, queue, workers and projections, composed as `cmdiag serve` does.
pub struct Platform {
    /// Connections.
    pub pool: PgPool,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The live feed.
    pub feed: Arc<LiveFeed>,
    /// The command bus.
    pub bus: CommandBus,
    processes: ProcessManagers,
    filler: QueueFiller,
    workers: WorkerPool,
    projectors: Vec<RunnerHandle>,
    cancel: CancellationToken,
}

/// What every part stands on.
pub struct Base {
    /// Connections.
    pub pool: PgPool,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The live feed.
    pub feed: Arc<LiveFeed>,
    /// The command bus.
    pub bus: CommandBus,
    cancel: CancellationToken,
}

impl Base {
    /// On a migrated database.
    pub async fn connect(url: &str) -> Result<Self> {
        let pool = world::pool(url, CONNECTIONS).await?;
        let log: Arc<dyn EventLog> = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
        let cancel = CancellationToken::new();
        let feed = LiveFeed::start(Arc::clone(&log), cancel.clone());
        let bus = CommandBus::new(Arc::clone(&log), BusOptions::default());
        Ok(Self { pool, log, feed, bus, cancel })
    }

    /// Starts the parts on it: with this catalogue of checks, and with this to run them.
    pub fn start(self, catalog: Arc<dyn CheckCatalog>, runner: Arc<dyn CheckRunner>) -> Platform {
        let Self { pool, log, feed, bus, cancel } = self;
        let options = RunnerOptions::default();
        let projectors = Runner::start_all(&pool, &feed, projections::all(), &options, &cancel);
        let options = ProcessManagersOptions::new(pool.clone(), bus.clone(), Arc::clone(&feed), catalog);
        let processes = ProcessManagers::start(&options, &cancel);
        let queue = WorkQueue::new(pool.clone(), QueueOptions::default());
        let filler = QueueFiller::start(Arc::clone(&queue), Arc::clone(&feed), cancel.clone());
        let workers = WorkerPool::start(
            WorkerPoolOptions::default(),
            runner,
            queue,
            bus.clone(),
            Arc::clone(&feed),
            Arc::new(SystemClock),
            cancel.clone(),
        );
        Platform { pool, log, feed, bus, processes, filler, workers, projectors, cancel }
    }
}

impl Platform {
    /// Starts all of it on a migrated database. Every plan is of these checks of each component.
    pub async fn start(url: &str, checks: usize) -> Result<Self> {
        let base = Base::connect(url).await?;
        Ok(base.start(Arc::new(CostNothing { checks }), Arc::new(CostNothing { checks })))
    }

    /// Waits until every view shows this position.
    pub async fn views_reach(&self, position: Position) -> Result<()> {
        for projector in &self.projectors {
            let mut at = projector.position();
            let reached = tokio::time::timeout(VIEWS_BOUND, at.wait_for(|at| *at >= position)).await;
            let reached = reached.with_context(|| format!("{} within {VIEWS_BOUND:?}", projector.name()))?;
            ensure!(reached.is_ok(), "{} has stopped", projector.name());
        }
        Ok(())
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.workers.stop().await;
        self.cancel.cancel();
        self.filler.stopped().await;
        self.processes.stop().await;
        for projector in self.projectors {
            projector.stopped().await;
        }
        self.pool.close().await;
    }
}

/// Checks whose measurement takes no time.
struct CostNothing {
    checks: usize,
}

impl CheckCatalog for CostNothing {
    fn plan(
        &self,
        deployment: &DeploymentState,
        _profile: &str,
        _only: &[CheckCode],
    ) -> Result<Vec<PlannedCheck>, PlanError> {
        let mut plan = Vec::new();
        for component in deployment.components.keys() {
            for number in 0..self.checks {
                let mut check = planned_check(number).map_err(|error| PlanError::Other(error.to_string()))?;
                check.key.component = component.clone();
                plan.push(check);
            }
        }
        Ok(plan)
    }

    fn hysteresis(&self, _check: &CheckCode) -> Hysteresis {
        Hysteresis::default()
    }
}

impl CheckRunner for CostNothing {
    fn run(&self, item: WorkItem, _cancel: CancellationToken) -> BoxFuture<'_, CheckResult> {
        Box::pin(async { result(item.key.check) })
    }
}
