//! What outlives a crash: nothing acknowledged is lost, no position is skipped or doubled, no append is written
//! twice.

use super::processes::{WritingProcess, connect, write_and_report};
use crate::support::{append, assert_dense, assert_holds, new_stream, read_rest, within};
use domain::Position;
use event_store::{
    AppendError, Appended, EventLog, LiveFeed, LogError, PostgresEventLog, PostgresLogOptions, RecordedEvent,
};
use private_servers::testing::{TestDatabase, test_folder};
use private_servers::{PostgresOptions, PrivatePostgres};
use rand::Rng;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Acknowledged = Arc<Mutex<Vec<(Uuid, Appended)>>>;

fn reporter(to: &Acknowledged) -> impl Fn(Uuid, Appended) + Clone + Send + 'static {
    let to = Arc::clone(to);
    move |id, appended| to.lock().unwrap().push((id, appended))
}

/// The log holds every acknowledged append once, whole and where it was said to be; and what was not acknowledged is
/// whole too, or absent.
async fn verify(log: &dyn EventLog, acknowledged: &[(Uuid, Appended)]) -> Vec<RecordedEvent> {
    let all = read_rest(log, Position::START).await;
    assert_dense(&all, Position::START);
    for (id, appended) in acknowledged {
        assert_holds(&all, Position::START, appended, *id);
    }
    let mut sizes: HashMap<Uuid, usize> = HashMap::new();
    for event in &all {
        *sizes.entry(event.metadata.command_id.0).or_default() += 1;
    }
    for (id, size) in sizes {
        let outcome = log.command_outcome(domain::CommandId(id), crate::support::command(1).body_hash).await.unwrap();
        let Some(event_store::CommandOutcome::Accepted(on_record)) = outcome else { panic!("{id} is not on record") };
        assert_eq!(on_record.events as usize, size);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_in_mid_batch_loses_nothing_acknowledged() {
    let database = TestDatabase::migrated().await;
    let log = connect(database.url()).await;
    let mut acknowledged = Vec::new();
    for _ in 0..8 {
        let mut process = WritingProcess::start(database.url(), 8, 1_000_000);
        let kill_after = rand::rng().random_range(1..200);
        for _ in 0..kill_after {
            acknowledged.push(process.next().await.expect("it writes until it is killed"));
        }
        process.child.kill().await.unwrap();
        // What it had reported and we had not read yet counts too.
        acknowledged.extend(process.rest().await);
    }
    let all = verify(&*log, &acknowledged).await;
    assert!(all.len() >= acknowledged.len());
    // And the log goes on.
    let after: Acknowledged = Arc::default();
    write_and_report(Arc::clone(&log) as Arc<dyn EventLog>, 2, 2, reporter(&after)).await;
    let after = after.lock().unwrap().clone();
    verify(&*log, &after).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_connection_loses_and_doubles_nothing() {
    let database = TestDatabase::migrated().await;
    let log = connect(database.url()).await;
    let acknowledged: Acknowledged = Arc::default();
    let writing =
        tokio::spawn(write_and_report(Arc::clone(&log) as Arc<dyn EventLog>, 12, 80, reporter(&acknowledged)));
    let mut killer = PgConnection::connect(database.url()).await.unwrap();
    let mut terminated = 0;
    while !writing.is_finished() {
        let pause = rand::rng().random_range(0..50_000);
        tokio::time::sleep(Duration::from_micros(pause)).await;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'cmdiag log writer'";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut killer).await.unwrap();
        terminated += count;
    }
    within("the writers", writing).await.unwrap();
    assert!(terminated >= 3, "{terminated} connections were terminated");
    let acknowledged = acknowledged.lock().unwrap().clone();
    let all = verify(&*log, &acknowledged).await;
    let events: u32 = acknowledged.iter().map(|(_, appended)| appended.events).sum();
    assert_eq!((acknowledged.len(), all.len()), (12 * 80, events as usize), "every append, each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_returns_is_survived_by_all() {
    let folder = test_folder();
    let server = PrivatePostgres::start(PostgresOptions::new(folder.path())).await.unwrap();
    server.ensure_database("log").await.unwrap();
    let url = server.url("log");
    migrations::migrate(&url).await.unwrap();
    let log = connect(&url).await;
    let reader = connect(&url).await;
    let feed = LiveFeed::start(Arc::clone(&reader) as Arc<dyn EventLog>, CancellationToken::new());
    let mut follower = feed.subscribe(Position::START);
    let acknowledged: Acknowledged = Arc::default();
    let writing =
        tokio::spawn(write_and_report(Arc::clone(&log) as Arc<dyn EventLog>, 6, 400, reporter(&acknowledged)));
    for round in 0..3 {
        let seen = acknowledged.lock().unwrap().len();
        crate::support::eventually("writing goes on", async || {
            (acknowledged.lock().unwrap().len() > seen + 100 || writing.is_finished()).then_some(())
        })
        .await;
        assert!(!writing.is_finished(), "the server died {round} times only: write more");
        if round == 1 {
            server.stop().await;
        } else {
            server.kill().await.unwrap();
        }
        server.restart().await.unwrap();
    }
    within("the writers", writing).await.unwrap();
    let acknowledged = acknowledged.lock().unwrap().clone();
    let all = verify(&*log, &acknowledged).await;
    assert_eq!(acknowledged.len(), 6 * 400);
    // The follower in the other instance went through all of it without missing an event, and the feed is alive.
    let mut next = 1;
    while next <= all.len() as i64 {
        for event in within("the follower", follower.next()).await.unwrap().iter() {
            assert_eq!(event.position.0, next);
            next += 1;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_callers_are_told_in_time() {
    let folder = test_folder();
    let server = PrivatePostgres::start(PostgresOptions::new(folder.path())).await.unwrap();
    server.ensure_database("log").await.unwrap();
    let url = server.url("log");
    migrations::migrate(&url).await.unwrap();
    let options = PostgresLogOptions { answer_within: Duration::from_millis(500), ..PostgresLogOptions::default() };
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    let log = PostgresEventLog::connect(pool, options).await.unwrap();
    let (known, unknown) = (new_stream(), new_stream());
    log.append(append(&known, 0, 1)).await.unwrap();
    server.stop().await;
    let lost = append(&known, 1, 1);
    let start = tokio::time::Instant::now();
    // One that the writer would take, one whose version has to be asked for first, and a refusal.
    let refused = log.record_refusal(crate::support::refusal(Uuid::now_v7(), &known));
    let answers = futures::join!(log.append(lost.clone()), log.append(append(&unknown, 3, 1)), refused);
    let told_after = start.elapsed();
    let answers = [answers.0.map(|_| ()), answers.1.map(|_| ()), answers.2.map(|_| ())];
    for answer in answers {
        assert!(matches!(answer, Err(AppendError::Log(LogError::Unavailable(_)))), "{answer:?}");
    }
    assert!(told_after < Duration::from_secs(3), "told after {told_after:?}");
    server.restart().await.unwrap();
    let back = crate::support::eventually("the log is back", async || log.append(lost.clone()).await.ok()).await;
    assert_eq!((back.position, back.version.0, back.repeated), (Position(2), 2, false));
    server.stop().await;
}
