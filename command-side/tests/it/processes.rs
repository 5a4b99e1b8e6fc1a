//! The process managers, on the double of the log with PostgreSQL behind their memory.

use crate::support::{new_run, record, refusal, register, request_of, send};
use command_side::testing::{InMemoryLog, metadata};
use command_side::{
    BusOptions, CheckCatalog, Clock as _, CommandBus, ManualClock, PlanError, ProcessManagers, ProcessManagersOptions,
    ProcessStatus,
};
use domain::deployment::{DeploymentCommand, DeploymentState};
use domain::diagnostic_run::{CheckResult, DiagnosticRun, PlannedCheck, RunCommand, RunPhase, RunState};
use domain::finding::{Finding, FindingCommand, FindingPhase, FindingState, Hysteresis};
use domain::testing::{DEPLOYMENT, check_key, check_result, planned_check, problem_result, register as sample};
use domain::{CheckCode, DeploymentId, FindingId, Outcome, Position, RunId};
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;
use sqlx::PgPool;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Plans as many checks as the profile says, `twice` the same one, and knows no `none`.
struct Catalog;

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

struct Stage {
    database: TestDatabase,
    pool: PgPool,
    bus: CommandBus,
    feed: Arc<LiveFeed>,
    clock: Arc<ManualClock>,
    cancel: CancellationToken,
}

impl Stage {
    async fn on(log: Arc<dyn EventLog>, database: TestDatabase) -> Self {
        let clock = Arc::new(ManualClock::new(chrono::Utc::now()));
        let cancel = CancellationToken::new();
        let options = BusOptions { clock: Arc::clone(&clock) as _, ..BusOptions::default() };
        let bus = CommandBus::new(Arc::clone(&log), options);
        let feed = LiveFeed::start(log, cancel.clone());
        let pool = database.pool().await;
        register(&bus, DEPLOYMENT, sample()).await;
        Self { database, pool, bus, feed, clock, cancel }
    }

    async fn in_memory() -> (Arc<InMemoryLog>, Self) {
        let log = InMemoryLog::new();
        let stage = Self::on(Arc::clone(&log) as _, TestDatabase::migrated().await).await;
        (log, stage)
    }

    async fn on_postgres() -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let log = PostgresEventLog::connect(pool, PostgresLogOptions::default()).await.expect("it connects");
        Self::on(log, database).await
    }

    fn start(&self) -> ProcessManagers {
        let (pool, bus, feed) = (self.pool.clone(), self.bus.clone(), Arc::clone(&self.feed));
        let options = ProcessManagersOptions {
            tick: Duration::from_millis(20),
            lease: Duration::from_secs(2),
            ..ProcessManagersOptions::new(pool, bus, feed, Arc::new(Catalog))
        };
        ProcessManagers::start(&options, &self.cancel)
    }

    async fn run(&self, run: RunId) -> RunState {
        self.bus.load::<DiagnosticRun>(run.0).await.expect("the log answers").0
    }

    async fn finding(&self, id: FindingId) -> FindingState {
        self.bus.load::<Finding>(id.0).await.expect("the log answers").0
    }

    async fn request(&self, deployment: DeploymentId, profile: &str) -> RunId {
        let run = new_run();
        let mut request = request_of(run, deployment, profile);
        if let RunCommand::Request { deadline, .. } = &mut request {
            *deadline = self.clock.now() + chrono::TimeDelta::hours(1);
        }
        send(&self.bus, run, request).await.expect("it is new");
        run
    }

    async fn reaches(&self, run: RunId, phase: RunPhase) {
        eventually(&format!("{phase:?}"), || async { self.run(run).await.phase == phase }).await;
    }

    /// A run that is planned by the planner and gives this one result.
    async fn diagnose(&self, result: CheckResult) -> RunId {
        let run = self.request(DEPLOYMENT, "1").await;
        self.reaches(run, RunPhase::Planned).await;
        send(&self.bus, run, record(vec![result])).await.expect("it is planned");
        run
    }

    async fn remembered(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(&count).fetch_one(&self.pool).await.expect("the database answers")
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "it never came to pass: {what}");
}

fn finding(resource: &str) -> FindingId {
    FindingId::of(DEPLOYMENT, &check_key(0).check, &resource.parse().expect("a valid name"))
}

fn status<'a>(managers: &'a ProcessManagers, name: &str) -> &'a watch::Receiver<ProcessStatus> {
    managers.statuses().iter().find(|status| status.borrow().name == name).expect("there is one")
}

async fn caught_up(managers: &ProcessManagers, head: Position) {
    for status in managers.statuses() {
        let mut status = status.clone();
        let reached = status.wait_for(|status| status.position >= head);
        let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
        let reached = reached.expect("within the bound").expect("it runs").clone();
        assert_eq!((reached.failure, reached.lag_events), (None, reached.head.0 - reached.position.0));
    }
}

async fn a_problem_opens_and_resolves(stage: &Stage) {
    let managers = stage.start();
    stage.diagnose(problem_result(0, Outcome::Critical, &["store-1/a", "store-1/b"])).await;
    for resource in ["store-1/a", "store-1/b"] {
        let opened = || async { stage.finding(finding(resource)).await.phase == FindingPhase::Open };
        eventually("opened", opened).await;
    }
    // Seen again, and the other no more; what was not measured changes nothing.
    stage.diagnose(problem_result(0, Outcome::Critical, &["store-1/a"])).await;
    stage.diagnose(check_result(0, Outcome::Unknown)).await;
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    let resolved = || async { stage.finding(finding("store-1/b")).await.phase == FindingPhase::Resolved };
    eventually("resolved", resolved).await;
    let other = || async { stage.finding(finding("store-1/a")).await.window.in_a_row(false) == 1 };
    eventually("recovering", other).await;
    assert_eq!(stage.finding(finding("store-1/a")).await.occurrences, 2);
    let remembered = || async { stage.remembered("process_open_findings").await == 1 };
    eventually("one is remembered", remembered).await;
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    eventually("none is remembered", || async { stage.remembered("process_open_findings").await == 0 }).await;
    eventually("no run is remembered", || async { stage.remembered("process_open_runs").await == 0 }).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_become_findings_in_memory() {
    a_problem_opens_and_resolves(&Stage::in_memory().await.1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_become_findings_on_postgres() {
    a_problem_opens_and_resolves(&Stage::on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_can_not_be_planned_fails_with_the_reason() {
    let (log, stage) = Stage::in_memory().await;
    let retired = DeploymentId(Uuid::now_v7());
    register(&stage.bus, retired, sample()).await;
    register(&stage.bus, retired, DeploymentCommand::Retire { reason: "moved".to_owned() }).await;
    let managers = stage.start();
    let rows = [
        (DEPLOYMENT, "none", "there is no profile"),
        (DEPLOYMENT, "twice", "its plan was refused"),
        (retired, "1", "retired"),
        (DeploymentId(Uuid::now_v7()), "1", "no such deployment"),
    ];
    for (deployment, profile, reason) in rows {
        let run = stage.request(deployment, profile).await;
        stage.reaches(run, RunPhase::Failed).await;
        let events = log.events();
        let failed = events.iter().rfind(|event| event.event_type == "RunFailed").expect("it failed");
        assert!(failed.payload.get().contains(reason), "{}", failed.payload);
        let requested = events.iter().rfind(|event| event.event_type == "RunRequested").expect("it was requested");
        assert_eq!(failed.metadata.causation_id, Some(requested.event_id));
        assert_eq!(failed.metadata.correlation_id, requested.metadata.correlation_id);
    }
    // A run cancelled before it was planned is no trouble.
    let run = new_run();
    send(&stage.bus, run, request_of(run, DEPLOYMENT, "1")).await.expect("it is new");
    let _ = send(&stage.bus, run, RunCommand::Cancel { reason: "enough".to_owned() }).await;
    caught_up(&managers, Position(log.events().len() as i64)).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answering_again_from_the_start_changes_nothing() {
    let (log, stage) = Stage::in_memory().await;
    a_problem_opens_and_resolves(&stage).await;
    let events = log.events().len();
    // As if nothing had ever been saved.
    for table in ["process_checkpoints", "process_open_findings", "process_open_runs"] {
        let forget = sqlx::query(&format!("DELETE FROM {table}")).execute(&stage.pool).await;
        forget.expect("the database answers");
    }
    let managers = stage.start();
    caught_up(&managers, Position(events as i64)).await;
    managers.stop().await;
    assert_eq!(log.events().len(), events, "answering again did something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_from_the_checkpoint() {
    let (log, stage) = Stage::in_memory().await;
    let managers = stage.start();
    stage.diagnose(problem_result(0, Outcome::Warning, &["store-1/a"])).await;
    eventually("opened", || async { stage.finding(finding("store-1/a")).await.phase == FindingPhase::Open }).await;
    managers.stop().await;
    let checkpoint: i64 = sqlx::query_scalar("SELECT position FROM process_checkpoints WHERE name = 'finding-keeper'")
        .fetch_one(&stage.pool)
        .await
        .expect("it is saved");
    assert!(checkpoint > 0 && checkpoint <= log.events().len() as i64);
    // The memory survives: the next process knows what is open.
    let managers = stage.start();
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    let resolved = || async { stage.finding(finding("store-1/a")).await.phase == FindingPhase::Resolved };
    eventually("resolved", resolved).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_active_and_another_takes_over() {
    let (_, stage) = Stage::in_memory().await;
    let first = stage.start();
    for status in first.statuses() {
        status.clone().wait_for(|status| status.active).await.expect("it runs");
    }
    let second = stage.start();
    let run = stage.request(DEPLOYMENT, "1").await;
    stage.reaches(run, RunPhase::Planned).await;
    assert!(second.statuses().iter().all(|status| !status.borrow().active), "two at once");
    first.stop().await;
    for status in second.statuses() {
        let mut status = status.clone();
        let active = status.wait_for(|status| status.active);
        tokio::time::timeout(Duration::from_secs(10), active).await.expect("within the bound").expect("it runs");
    }
    let run = stage.request(DEPLOYMENT, "1").await;
    stage.reaches(run, RunPhase::Planned).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_runs_time_out() {
    let (_, stage) = Stage::in_memory().await;
    let managers = stage.start();
    let overdue = stage.request(DEPLOYMENT, "2").await;
    stage.reaches(overdue, RunPhase::Planned).await;
    // Remembered over a restart.
    managers.stop().await;
    stage.clock.advance(chrono::TimeDelta::minutes(30));
    let managers = stage.start();
    let in_time = stage.request(DEPLOYMENT, "2").await;
    stage.reaches(in_time, RunPhase::Planned).await;
    stage.clock.advance(chrono::TimeDelta::minutes(31));
    stage.reaches(overdue, RunPhase::TimedOut).await;
    let ended = send(&stage.bus, overdue, record(vec![check_result(0, Outcome::Ok)])).await;
    assert_eq!(refusal(ended), "run_already_ended");
    eventually("it is forgotten", || async { stage.remembered("process_open_runs").await == 1 }).await;
    managers.stop().await;
    assert_eq!(stage.run(in_time).await.phase, RunPhase::Planned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_log_is_survived() {
    let (log, stage) = Stage::in_memory().await;
    let managers = stage.start();
    let run = stage.request(DEPLOYMENT, "1").await;
    stage.reaches(run, RunPhase::Planned).await;
    let run = new_run();
    // The feed has read the request before the log goes: its answer can not be sent.
    send(&stage.bus, run, request_of(run, DEPLOYMENT, "1")).await.expect("it is new");
    log.unavailable.store(true, Ordering::SeqCst);
    let mut planner = status(&managers, "run-planner").clone();
    let _ = tokio::time::timeout(Duration::from_millis(500), planner.wait_for(|it| it.failure.is_some())).await;
    log.unavailable.store(false, Ordering::SeqCst);
    stage.reaches(run, RunPhase::Planned).await;
    caught_up(&managers, Position(log.events().len() as i64)).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_positive_is_left_alone_until_it_is_withdrawn() {
    let (log, stage) = Stage::in_memory().await;
    let managers = stage.start();
    let id = finding("store-1/a");
    stage.diagnose(problem_result(0, Outcome::Warning, &["store-1/a"])).await;
    eventually("opened", || async { stage.finding(id).await.phase == FindingPhase::Open }).await;
    let mark = FindingCommand::MarkFalsePositive { reason: "as meant".to_owned() };
    stage.bus.execute::<Finding>(id.0, mark, metadata()).await.expect("it is open");
    caught_up(&managers, Position(log.events().len() as i64)).await;
    let before = stage.finding(id).await;
    for _ in 0..2 {
        stage.diagnose(check_result(0, Outcome::Ok)).await;
    }
    caught_up(&managers, Position(log.events().len() as i64)).await;
    assert_eq!(stage.finding(id).await, before);
    let withdraw = FindingCommand::WithdrawFalsePositive { reason: "it is real".to_owned() };
    stage.bus.execute::<Finding>(id.0, withdraw, metadata()).await.expect("it is marked");
    for _ in 0..2 {
        stage.diagnose(check_result(0, Outcome::Ok)).await;
    }
    eventually("resolved", || async { stage.finding(id).await.phase == FindingPhase::Resolved }).await;
    managers.stop().await;
    let _ = &stage.database;
}
