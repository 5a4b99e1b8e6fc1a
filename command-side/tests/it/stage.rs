//! A deployment, a bus and process managers, for the tests of process managers.

use crate::support::{new_run, record, register, request_of, send};
use command_side::testing::InMemoryLog;
use command_side::{
    BusOptions, CheckCatalog, Clock as _, CommandBus, ManualClock, PlanError, ProcessManagers, ProcessManagersOptions,
    ProcessStatus,
};
use domain::deployment::DeploymentState;
use domain::diagnostic_run::{CheckResult, DiagnosticRun, PlannedCheck, RunCommand, RunPhase, RunState};
use domain::finding::{Finding, FindingState, Hysteresis};
use domain::testing::{DEPLOYMENT, check_key, planned_check, register as sample};
use domain::{CheckCode, DeploymentId, FindingId, Position, RunId};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;
use sqlx::PgPool;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Plans as many checks as the profile says, `twice` the same one, and knows no `none`.
pub struct Catalog;

impl CheckCatalog for Catalog {
    fn plan(&self, _: &DeploymentState, profile: &str, _: &[CheckCode]) -> Result<Vec<PlannedCheck>, PlanError> {
        match profile {
            "none" => Err(PlanError::UnknownProfile(profile.to_owned())),
            "twice" => Ok(vec![planned_check(0); 2]),
            count => Ok((0..count.parse().unwrap_or(2)).map(planned_check).collect()),
        }
    }

    fn hysteresis(&self, _: &CheckCode) -> Hysteresis {
        Hysteresis::default()
    }
}

pub struct Stage {
    _database: TestDatabase,
    pub pool: PgPool,
    pub bus: CommandBus,
    pub feed: Arc<LiveFeed>,
    pub clock: Arc<ManualClock>,
    pub cancel: CancellationToken,
}

impl Stage {
    pub async fn on(log: Arc<dyn EventLog>, database: TestDatabase) -> Self {
        let clock = Arc::new(ManualClock::new(chrono::Utc::now()));
        let cancel = CancellationToken::new();
        let options = BusOptions { clock: Arc::clone(&clock) as _, ..BusOptions::default() };
        let bus = CommandBus::new(Arc::clone(&log), options);
        let feed = LiveFeed::start(log, cancel.clone());
        let pool = database.pool().await;
        register(&bus, DEPLOYMENT, sample()).await;
        Self { _database: database, pool, bus, feed, clock, cancel }
    }

    pub async fn in_memory() -> (Arc<InMemoryLog>, Self) {
        let log = InMemoryLog::new();
        let stage = Self::on(Arc::clone(&log) as _, TestDatabase::migrated().await).await;
        (log, stage)
    }

    pub async fn on_postgres() -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let log = PostgresEventLog::connect(pool, PostgresLogOptions::default()).await.expect("it connects");
        Self::on(log, database).await
    }

    pub fn start(&self) -> ProcessManagers {
        self.start_with(&self.bus)
    }

    /// On another bus, such as one with a vault.
    pub fn start_with(&self, bus: &CommandBus) -> ProcessManagers {
        let (pool, bus, feed) = (self.pool.clone(), bus.clone(), Arc::clone(&self.feed));
        let options = ProcessManagersOptions {
            tick: Duration::from_millis(20),
            lease: Duration::from_secs(2),
            ..ProcessManagersOptions::new(pool, bus, feed, Arc::new(Catalog))
        };
        ProcessManagers::start(&options, &self.cancel)
    }

    pub async fn run(&self, run: RunId) -> RunState {
        self.bus.load::<DiagnosticRun>(run.0).await.expect("the log answers").0
    }

    pub async fn finding(&self, id: FindingId) -> FindingState {
        self.bus.load::<Finding>(id.0).await.expect("the log answers").0
    }

    pub async fn request(&self, deployment: DeploymentId, profile: &str) -> RunId {
        let run = new_run();
        let mut request = request_of(run, deployment, profile);
        if let RunCommand::Request { deadline, .. } = &mut request {
            *deadline = self.clock.now() + chrono::TimeDelta::hours(1);
        }
        send(&self.bus, run, request).await.expect("it is new");
        run
    }

    pub async fn reaches(&self, run: RunId, phase: RunPhase) {
        eventually(&format!("{phase:?}"), || async { self.run(run).await.phase == phase }).await;
    }

    /// A run that is planned by the planner and gives this one result.
    pub async fn diagnose(&self, result: CheckResult) -> RunId {
        let run = self.request(DEPLOYMENT, "1").await;
        self.reaches(run, RunPhase::Planned).await;
        send(&self.bus, run, record(vec![result])).await.expect("it is planned");
        run
    }

    pub async fn checkpoint(&self, name: &str) -> i64 {
        let position: Option<i64> = sqlx::query_scalar("SELECT position FROM process_checkpoints WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .expect("the database answers");
        position.unwrap_or_default()
    }

    pub async fn remembered(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(&count).fetch_one(&self.pool).await.expect("the database answers")
    }
}

pub async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "it never came to pass: {what}");
}

pub fn finding(resource: &str) -> FindingId {
    FindingId::of(DEPLOYMENT, &check_key(0).check, &resource.parse().expect("a valid name"))
}

pub fn status<'a>(managers: &'a ProcessManagers, name: &str) -> &'a watch::Receiver<ProcessStatus> {
    managers.statuses().iter().find(|status| status.borrow().name == name).expect("there is one")
}

pub async fn caught_up(managers: &ProcessManagers, head: Position) {
    for status in managers.statuses() {
        let mut status = status.clone();
        let reached = status.wait_for(|status| status.position >= head);
        let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
        let reached = reached.expect("within the bound").expect("it runs").clone();
        assert_eq!((reached.failure, reached.lag_events), (None, reached.head.0 - reached.position.0));
    }
}
