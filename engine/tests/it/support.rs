//! What the engine's tests share: a platform of their own, runs, and runners that stand for probes.

use chrono::{DateTime, TimeDelta, Utc};
use command_side::{BusOptions, Clock, CommandBus, SystemClock};
use domain::diagnostic_run::{
    CheckKey, CheckResult, DiagnosticRun, PlannedCheck, Priority, RunCommand, RunEvent, RunPhase,
};
use domain::{Actor, AnyEvent, CheckCode, CommandId, DeploymentId, Metadata, Outcome, RunId, StreamVersion, TenantId};
use engine::queue::{Claim, ItemKey, NewItem, QueueFiller, QueueOptions, WorkItem, WorkQueue};
use engine::worker::{CheckRunner, WorkerPool, WorkerPoolOptions};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions, StreamId};
use futures::FutureExt;
use futures::future::BoxFuture;
use private_servers::testing::TestDatabase;
use sqlx::PgPool;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A bound for anything that should take a second or two on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

pub fn queue(pool: PgPool, options: QueueOptions) -> Arc<WorkQueue> {
    WorkQueue::new(pool, options)
}

/// An item of its own target, queued now.
pub fn item(number: u32, now: DateTime<Utc>) -> NewItem {
    item_of(number, &format!("c-{}", number % 100), now)
}

/// An item of a component, queued now.
pub fn item_of(number: u32, component: &str, now: DateTime<Utc>) -> NewItem {
    NewItem {
        key: ItemKey { run: domain::testing::RUN, check: key(number, component) },
        deployment: domain::testing::DEPLOYMENT,
        version: "v".to_owned(),
        priority: Priority::Normal,
        queued_at: now,
        not_before: now,
        deadline: now + TimeDelta::hours(1),
        timeout_ms: 10_000,
    }
}

pub fn key(number: u32, component: &str) -> CheckKey {
    CheckKey { check: CheckCode::new(format!("C-{number}")).unwrap(), component: component.parse().unwrap() }
}

/// The checks' codes, in the order claimed.
pub async fn claim_all(queue: &WorkQueue, claim: Claim) -> Vec<String> {
    let items = queue.claim(claim).await.unwrap();
    items.iter().map(|item| item.key.check.check.to_string()).collect()
}

/// Waits for a condition, looking often.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < SOON, "waited {SOON:?} in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One process of the platform: log, feed, bus, queue and filler over a database.
pub struct Process {
    pub log: Arc<dyn EventLog>,
    pub feed: Arc<LiveFeed>,
    pub bus: CommandBus,
    pub queue: Arc<WorkQueue>,
    pub filler: QueueFiller,
    pub clock: Arc<dyn Clock>,
    pub cancel: CancellationToken,
}

impl Process {
    pub async fn start(database: &TestDatabase, options: QueueOptions) -> Self {
        let pool = database.pool_of(8).await;
        let cancel = CancellationToken::new();
        let log: Arc<dyn EventLog> =
            PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await.unwrap();
        let feed = LiveFeed::start(Arc::clone(&log), cancel.child_token());
        let bus = CommandBus::new(Arc::clone(&log), BusOptions::default());
        let queue = WorkQueue::new(pool, options);
        let filler = QueueFiller::start(Arc::clone(&queue), Arc::clone(&feed), cancel.child_token());
        Self { log, feed, bus, queue, filler, clock: Arc::new(SystemClock), cancel }
    }

    pub fn pool(&self, runner: Arc<dyn CheckRunner>, options: WorkerPoolOptions) -> WorkerPool {
        WorkerPool::start(
            options,
            runner,
            Arc::clone(&self.queue),
            self.bus.clone(),
            Arc::clone(&self.feed),
            Arc::clone(&self.clock),
            self.cancel.child_token(),
        )
    }

    /// Asks for a run of these checks and plans it.
    pub async fn run(&self, deployment: DeploymentId, checks: Vec<PlannedCheck>, deadline: TimeDelta) -> RunId {
        let run = RunId(Uuid::now_v7());
        let request = RunCommand::Request {
            run,
            deployment,
            profile: "full".to_owned(),
            checks: Vec::new(),
            priority: Priority::Normal,
            deadline: Utc::now() + deadline,
        };
        self.send(run, request).await;
        self.send(run, RunCommand::Plan { checks }).await;
        run
    }

    pub async fn send(&self, run: RunId, command: RunCommand) {
        let actor = Actor::new("person:test").unwrap();
        let metadata = Metadata::new(actor, TenantId::default(), CommandId(Uuid::now_v7()));
        self.bus.execute::<DiagnosticRun>(run.0, command, metadata).await.unwrap();
    }

    pub async fn phase(&self, run: RunId) -> RunPhase {
        match self.bus.load::<DiagnosticRun>(run.0).await {
            Ok((state, _)) => state.phase,
            Err(_) => RunPhase::Absent,
        }
    }

    pub async fn ended(&self, run: RunId) -> RunPhase {
        until("the run ends", async || self.phase(run).await.has_ended()).await;
        self.phase(run).await
    }

    /// All results that the run's stream holds.
    pub async fn results(&self, run: RunId) -> Vec<CheckResult> {
        let mut results = Vec::new();
        for event in self.events(run).await {
            if let RunEvent::ChecksCompleted { results: some, .. } = event {
                results.extend(some);
            }
        }
        results
    }

    pub async fn events(&self, run: RunId) -> Vec<RunEvent> {
        let stream = StreamId::new("DiagnosticRun", &run.to_string());
        let events = self.log.read_stream(stream, StreamVersion(0), 10_000).await.unwrap();
        events
            .iter()
            .map(|event| match event.decode().unwrap() {
                AnyEvent::Run(event) => event,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// The run has completed, with one result of each check.
    pub async fn assert_complete(&self, run: RunId, checks: usize) {
        let results = self.results(run).await;
        let keys: HashSet<_> = results.iter().map(|result| result.key.clone()).collect();
        assert_eq!((results.len(), keys.len()), (checks, checks), "each check once");
        let ends = self.events(run).await.into_iter().filter(|event| matches!(event, RunEvent::RunCompleted { .. }));
        assert_eq!(ends.count(), 1);
    }

    /// Nothing is left in the queue.
    pub async fn assert_drained(&self) {
        until("the queue is empty", async || {
            self.queue.depth().await.is_ok_and(|depth| (depth.waiting, depth.leased, depth.runs) == (0, 0, 0))
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// So many checks over so many components.
pub fn checks(count: u32, components: u32) -> Vec<PlannedCheck> {
    timed_checks(count, components, 10_000)
}

pub fn timed_checks(count: u32, components: u32, timeout_ms: u32) -> Vec<PlannedCheck> {
    (0..count)
        .map(|number| PlannedCheck {
            key: key(number, &format!("c-{}", number % components)),
            version: "v".to_owned(),
            timeout_ms,
        })
        .collect()
}

pub fn a_deployment() -> DeploymentId {
    DeploymentId(Uuid::now_v7())
}

/// A result that says that all is well.
pub fn ok_result(item: &WorkItem) -> CheckResult {
    CheckResult {
        key: item.key.check.clone(),
        version: item.version.clone(),
        outcome: Outcome::Ok,
        summary: "nothing to see".to_owned(),
        unknown_cause: None,
        observations: Vec::new(),
        omitted: 0,
        metrics: BTreeMap::new(),
        evidence: None,
        measured_at: Utc::now(),
        duration_ms: 0,
    }
}

/// A double of a probe that costs nothing, so that only the platform's own cost is left.
pub struct NoCostRunner;

impl CheckRunner for NoCostRunner {
    fn run(&self, item: WorkItem, _cancel: CancellationToken) -> BoxFuture<'_, CheckResult> {
        async move { ok_result(&item) }.boxed()
    }
}

/// A runner made of a function.
pub struct RunnerOf<F>(pub F);

impl<F, R> CheckRunner for RunnerOf<F>
where
    F: Fn(WorkItem, CancellationToken) -> R + Send + Sync + 'static,
    R: Future<Output = CheckResult> + Send + 'static,
{
    fn run(&self, item: WorkItem, cancel: CancellationToken) -> BoxFuture<'_, CheckResult> {
        (self.0)(item, cancel).boxed()
    }
}
