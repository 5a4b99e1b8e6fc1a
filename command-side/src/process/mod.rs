//! Process managers: they follow the log and answer events with commands.
//!
//! Each is a pure core (an event and what it remembers in, commands out) and the one [`runner`] that all share: one
//! active instance by a PostgreSQL lease, from a checkpoint that moves after the commands. A command's id follows from
//! the event that caused it, so that what is answered twice (after a crash, by two instances for a moment) happens
//! once.

mod auto_remediator;
mod catalog;
mod dispatch;
mod eraser;
mod finding_keeper;
mod lease;
mod run_planner;
mod run_sweeper;
mod runner;
mod status;

pub use catalog::{CheckCatalog, PlanError};
pub use eraser::{Erased, erase};
pub use status::ProcessStatus;

use crate::bus::CommandBus;
use auto_remediator::AutoRemediator;
use domain::{Actor, CommandId, CorrelationId, Metadata, Position, TenantId};
use eraser::Eraser;
use event_store::{LiveFeed, RecordedEvent};
use finding_keeper::FindingKeeper;
use run_planner::RunPlanner;
use run_sweeper::RunSweeper;
use runner::{Process, Runner};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the process managers work with.
#[derive(Clone)]
pub struct ProcessManagersOptions {
    /// Where checkpoints, leases and what is remembered are kept.
    pub pool: PgPool,
    /// Where commands go; its clock says when a deadline has passed.
    pub bus: CommandBus,
    /// What is followed.
    pub feed: Arc<LiveFeed>,
    /// What the check packs say.
    pub catalog: Arc<dyn CheckCatalog>,
    /// Names this process among those that may be active: unique to it.
    pub holder: String,
    /// How long a lease lasts: after a crash, others take over after it.
    pub lease: Duration,
    /// How many commands one process manager has under way at once.
    pub parallel: usize,
    /// How often deadlines are looked at.
    pub tick: Duration,
}

impl ProcessManagersOptions {
    /// The defaults, which are right for nearly everybody.
    pub fn new(pool: PgPool, bus: CommandBus, feed: Arc<LiveFeed>, catalog: Arc<dyn CheckCatalog>) -> Self {
        Self {
            pool,
            bus,
            feed,
            catalog,
            holder: format!("{}:{}", std::process::id(), Uuid::new_v4()),
            lease: Duration::from_secs(6),
            parallel: 32,
            tick: Duration::from_millis(250),
        }
    }
}

/// The running process managers. Dropping it stops them, too, but does not wait.
pub struct ProcessManagers {
    statuses: Vec<watch::Receiver<ProcessStatus>>,
    tasks: JoinSet<()>,
    cancel: CancellationToken,
}

impl ProcessManagers {
    /// Starts the run planner, the finding keeper, the run sweeper, the auto-remediator and the eraser, until `cancel`
    /// or [`Self::stop`].
    pub fn start(options: &ProcessManagersOptions, cancel: &CancellationToken) -> Self {
        let mut managers = Self { statuses: Vec::new(), tasks: JoinSet::new(), cancel: cancel.child_token() };
        managers.spawn(RunPlanner::new(options.bus.clone(), Arc::clone(&options.catalog)), options);
        managers.spawn(FindingKeeper::new(options.bus.clone(), Arc::clone(&options.catalog)), options);
        managers.spawn(RunSweeper::new(options.bus.clone()), options);
        managers.spawn(AutoRemediator::new(options.bus.clone(), Arc::clone(&options.catalog)), options);
        managers.spawn(Eraser::new(options.bus.clone(), options.pool.clone()), options);
        managers
    }

    /// How each of them is doing.
    pub fn statuses(&self) -> &[watch::Receiver<ProcessStatus>] {
        &self.statuses
    }

    /// Stops them and waits until they have given up their leases; bounded, since giving up a lease is.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    fn spawn<P: Process>(&mut self, process: P, options: &ProcessManagersOptions) {
        let (runner, status) = Runner::new(process, options, self.cancel.clone());
        self.statuses.push(status);
        self.tasks.spawn(runner.run());
    }
}

impl Drop for ProcessManagers {
    fn drop(&mut self) {
        self.cancel.cancel();
        // The tasks end by themselves and give up their leases; a JoinSet would abort them here.
        self.tasks.detach_all();
    }
}

/// The event that a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub event_id: Uuid,
    pub tenant: TenantId,
    pub correlation_id: CorrelationId,
    pub traceparent: Option<String>,
}

impl Cause {
    fn of(event: &RecordedEvent) -> Self {
        Self {
            event_id: event.event_id,
            tenant: event.metadata.tenant.clone(),
            correlation_id: event.metadata.correlation_id,
            traceparent: event.metadata.traceparent.clone(),
        }
    }

    /// The metadata of the command for this purpose: the same for every repetition.
    fn metadata(&self, actor: &Actor, purpose: &str) -> Metadata {
        Metadata {
            actor: actor.clone(),
            tenant: self.tenant.clone(),
            command_id: CommandId::derived(self.event_id, purpose),
            correlation_id: self.correlation_id,
            causation_id: Some(self.event_id),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// The name under which a process manager acts.
#[expect(clippy::expect_used, reason = "the names are constants of this crate, tried by its tests")]
fn system_actor(name: &'static str) -> Actor {
    Actor::new(name).expect("a valid actor's name")
}

/// Up to where the log has been answered with findings: every result before it is in its finding's stream.
pub async fn findings_known_up_to(pool: &PgPool) -> Result<Position, sqlx::Error> {
    let position: Option<i64> = sqlx::query_scalar("SELECT position FROM process_checkpoints WHERE name = $1")
        .bind(<FindingKeeper as Process>::NAME)
        .fetch_optional(pool)
        .await?;
    Ok(Position(position.unwrap_or(0)))
}
