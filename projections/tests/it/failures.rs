//! What a projection can not take stops it, and only it, until somebody has decided.

use crate::support::{Running, assert_same, quick, replayed, story, until, until_failed};
use domain::projection_control::{ProjectionControl, ProjectionControlEvent};
use domain::{AnyEvent, Position};
use event_store::{EventLog, LiveFeed, RecordedEvent};
use futures::future::BoxFuture;
use private_servers::testing::TestDatabase;
use projections::testing::{MemoryLog, dump, recorded};
use projections::{
    ApplyError, Decoded, Pending, Projection, ReplayError, ReplayOptions, Runner, RunnerState, TableRows, replay, retry,
};
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The position of the nth finding event.
fn nth_finding(events: &[RecordedEvent], n: usize) -> Position {
    events.iter().filter(|event| &*event.stream.aggregate_type == "Finding").nth(n).unwrap().position
}

async fn failure(pool: &PgPool, name: &str) -> (Option<i64>, Option<String>) {
    sqlx::query_as("SELECT failed_position, failure FROM projection_checkpoints WHERE name = $1")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_stops_its_projections_and_no_other() {
    let mut events = story(11, 600);
    let whole = events.clone();
    let poison = nth_finding(&events, 40);
    let at = usize::try_from(poison.0 - 1).unwrap();
    events[at].payload = RawValue::from_string(r#"{"FindingOpened": {"id": 7}}"#.to_owned()).unwrap();
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events);
    let running = Running::start(&pool, &log, &quick());
    let status = until_failed(running.one("findings")).await;
    assert_eq!((status.position.next(), status.lag_events), (poison, 600 - status.position.0));
    let told = status.failure.unwrap();
    assert_eq!(told.position, poison);
    assert!(told.reason.contains("does not decode"), "{}", told.reason);
    until(running.one("runs"), |status| status.position.0 == 600).await;
    let (position, reason) = wait_recorded(&pool, "findings").await;
    assert_eq!((position, reason), (poison.0, told.reason));

    // Nothing is skipped by waiting, and retrying what is still spoilt fails again.
    retry(&pool, "findings").await.unwrap();
    assert_eq!(wait_recorded(&pool, "findings").await.0, poison.0);
    assert_eq!(until_failed(running.one("findings")).await.position.next(), poison);

    // Mended (by an upcaster, say), it goes on as if nothing had been.
    let mended = whole[at].payload.clone();
    running.stop().await;
    log.change(poison, |event| event.payload = mended);
    let running = Running::start(&pool, &log, &quick());
    running.reached(600).await;
    assert_eq!(failure(&pool, "findings").await, (None, None));
    running.stop().await;
    assert_same(&dump(&pool).await.unwrap(), &replayed(&whole).await);
}

async fn wait_recorded(pool: &PgPool, name: &str) -> (i64, String) {
    for _ in 0..1_000 {
        if let (Some(position), Some(reason)) = failure(pool, name).await {
            return (position, reason);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the failure of {name} was never written down")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_skips_and_it_stays_on_record() {
    let mut events = story(12, 400);
    // Of a type that every projection of findings wants.
    let last_finding = events.iter().rposition(|event| event.event_type == "FindingResolved").unwrap();
    let poison = events[last_finding].position;
    events[last_finding].payload = RawValue::from_string(r#""nonsense""#.to_owned()).unwrap();
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events.clone());
    let running = Running::start(&pool, &log, &quick());
    until_failed(running.one("findings")).await;
    wait_recorded(&pool, "findings").await;
    let names = ["daily_figures", "deployments", "finding_history", "findings"];
    for (nth, name) in names.into_iter().enumerate() {
        assert_eq!(wait_recorded(&pool, name).await.0, poison.0);
        // Nobody is let pass by a decision about another event.
        log.push([decision(401 + 2 * nth as i64, 1, name, poison.next())]);
        log.push([decision(402 + 2 * nth as i64, 2, name, poison)]);
    }
    running.reached(408).await;
    running.stop().await;
    let live = dump(&pool).await.unwrap();
    assert_eq!(failure(&pool, "findings").await, (None, None));
    // A replay passes over the same event by the same decision, and without it there is none.
    replay(&pool, Arc::clone(&log) as Arc<dyn EventLog>, projections::all(), &ReplayOptions::default()).await.unwrap();
    assert_same(&dump(&pool).await.unwrap(), &live);
    let undecided = MemoryLog::new();
    undecided.push(events);
    let stopped = replay(&pool, undecided, projections::all(), &ReplayOptions::default()).await;
    assert!(matches!(stopped, Err(ReplayError::Event { position, .. }) if position == poison), "{stopped:?}");
}

/// An operator's decision as the log has it.
fn decision(at: i64, version: i64, projection: &str, position: Position) -> RecordedEvent {
    let event = AnyEvent::ProjectionControl(ProjectionControlEvent::PoisonEventSkipped {
        projection: projection.to_owned(),
        position,
        failure: "does not decode".to_owned(),
        reason: "written by a broken build".to_owned(),
        by: "ann".parse().unwrap(),
        at: chrono::DateTime::UNIX_EPOCH,
    });
    recorded(at, version, ProjectionControl::of(projection), &event, chrono::DateTime::UNIX_EPOCH)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_an_alarm() {
    let mut events = story(13, 300);
    events.remove(149);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events);
    let running = Running::start(&pool, &log, &quick());
    for handle in &running.handles {
        let failure = until_failed(handle).await.failure.unwrap();
        assert_eq!(failure.position, Position(150), "{}", handle.name());
    }
    running.stop().await;
    // What came before the gap is there.
    let runs: i64 = sqlx::query_scalar("SELECT max(last_position) FROM view_runs").fetch_one(&pool).await.unwrap();
    assert!((100..150).contains(&runs), "{runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_contradicts_what_is_known_is_poison() {
    let mut events = story(14, 300);
    let second = events.iter().position(|event| event.event_type == "RunPlanned").unwrap();
    // A run that was never asked for.
    let unknown = uuid::Uuid::from_u128(77).to_string();
    events[second].stream = event_store::StreamId::new("DiagnosticRun", &unknown);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events.clone());
    let running = Running::start(&pool, &log, &quick());
    let failure = until_failed(running.one("runs")).await.failure.unwrap();
    assert_eq!(failure.position, events[second].position);
    assert!(failure.reason.contains("nothing is known"), "{}", failure.reason);
    until(running.one("findings"), |status| status.position.0 == 300).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_is_found_among_its_batch() {
    let events = story(15, 300);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    // Whatever the reason may be: a constraint that one run of the batch breaks.
    let wanted: Vec<_> = events.iter().filter(|event| event.event_type == "RunRequested").collect();
    let spoilt = wanted[wanted.len() / 2];
    let constraint = format!("ALTER TABLE view_runs ADD CHECK (id <> '{}')", spoilt.stream.aggregate_id);
    sqlx::query(&constraint).execute(&pool).await.unwrap();
    let log = MemoryLog::new();
    log.push(events.clone());
    let running = Running::start(&pool, &log, &quick());
    let status = until_failed(running.one("runs")).await;
    assert_eq!(status.failure.unwrap().position, spoilt.position);
    assert!(status.position < spoilt.position);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_process_leaves_a_newer_view_alone() {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    sqlx::query("INSERT INTO projection_checkpoints (name, version, position) VALUES ('runs', 999, 12)")
        .execute(&pool)
        .await
        .unwrap();
    let log = MemoryLog::new();
    log.push(story(16, 40));
    let running = Running::start(&pool, &log, &quick());
    let status = until(running.one("runs"), |status| matches!(status.state, RunnerState::Retrying(_))).await;
    assert!(matches!(status.state, RunnerState::Retrying(reason) if reason.contains("version 999")));
    running.stop().await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM view_runs").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_says_where_it_can_not_go_on() {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let options = ReplayOptions { block_events: 64, ..ReplayOptions::default() };
    let fails_at = async |events: Vec<RecordedEvent>| {
        let log = MemoryLog::new();
        log.push(events);
        match replay(&pool, log, projections::all(), &options).await {
            Err(ReplayError::Event { position, .. }) => position.0,
            other => panic!("{other:?}"),
        }
    };
    // A gap at the edge of a block, and one within.
    for gap in [64, 150] {
        let mut events = story(17, 300);
        events.remove(gap);
        assert_eq!(fails_at(events).await, gap as i64 + 1);
    }
    let mut events = story(17, 300);
    events[200].payload = RawValue::from_string("[]".to_owned()).unwrap();
    assert_eq!(fails_at(events).await, 201);
}

/// A projection with a defect.
struct Panics;

impl Projection for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }
    fn version(&self) -> i32 {
        1
    }
    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
    fn wants(&self) -> fn(&RecordedEvent) -> bool {
        |event| event.position.0 == 30
    }
    fn fold<'a>(
        &'a mut self,
        _events: &'a [Arc<Decoded>],
        _db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async { panic!("a defect, for the test") })
    }
    fn fold_known(&mut self, _events: &[Arc<Decoded>]) -> Result<(), ApplyError> {
        panic!("a defect, for the test")
    }
    fn rows(&self) -> Vec<TableRows> {
        Vec::new()
    }
    fn pending(&self) -> Pending {
        Pending::default()
    }
    fn write<'a>(&'a mut self, _db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async { Ok(()) })
    }
    fn forget(&mut self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_shows_as_a_failure() {
    let database = TestDatabase::migrated().await;
    let log = MemoryLog::new();
    log.push(story(18, 60));
    let cancel = CancellationToken::new();
    let feed = LiveFeed::start(log, cancel.clone());
    let runner = Runner::start(database.pool().await, feed, Box::new(Panics), cancel.clone());
    let status = until_failed(&runner).await;
    assert!(status.failure.unwrap().reason.contains("panicked"));
    cancel.cancel();
}
