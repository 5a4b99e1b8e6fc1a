//! The worker pool when things go wrong: each run goes on, or ends with the truth.

use crate::support::{NoCostRunner, Process, RunnerOf, SOON, a_deployment, checks, ok_result, timed_checks, until};
use chrono::TimeDelta;
use domain::Outcome;
use domain::diagnostic_run::RunPhase;
use engine::queue::{QueueOptions, WorkItem};
use engine::worker::WorkerPoolOptions;
use futures::future::BoxFuture;
use private_servers::testing::TestDatabase;
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn short_lease() -> QueueOptions {
    QueueOptions { lease: Duration::from_secs(1), ..QueueOptions::default() }
}

/// Takes a few milliseconds, so that a run is under way for a while.
fn brief()
-> Arc<RunnerOf<impl Fn(WorkItem, CancellationToken) -> BoxFuture<'static, domain::diagnostic_run::CheckResult>>> {
    Arc::new(RunnerOf(|item: WorkItem, _| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ok_result(&item)
        }) as _
    }))
}

#[tokio::test]
async fn a_panic_and_a_check_that_takes_too_long_are_unknown() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions::default()).await;
    let runner = RunnerOf(|item: WorkItem, _| async move {
        match item.key.check.component.as_str() {
            "c-0" => panic!("the probe fell over {}", item.key.check.check),
            "c-1" => std::future::pending().await,
            _ => ok_result(&item),
        }
    });
    let options = WorkerPoolOptions { grace: Duration::from_millis(50), ..WorkerPoolOptions::default() };
    let pool = process.pool(Arc::new(runner), options);
    let run = process.run(a_deployment(), timed_checks(3, 3, 150), TimeDelta::minutes(5)).await;
    assert_eq!(process.ended(run).await, RunPhase::Completed);
    let mut results = process.results(run).await;
    results.sort_by(|a, b| a.key.cmp(&b.key));
    let outcomes: Vec<_> = results.iter().map(|result| result.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Unknown, Outcome::Ok]);
    let cause = |index: usize| results[index].unknown_cause.clone().unwrap();
    assert_eq!(cause(0), "the check's runner panicked: the probe fell over C-0");
    assert_eq!(cause(1), "timed out after 150 ms");
    assert_eq!(pool.status().borrow().panics, 1);
}

#[tokio::test]
async fn what_a_run_cannot_record_is_said_and_the_rest_is_recorded() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions::default()).await;
    // Contradicts itself: the run refuses such a result.
    let runner = RunnerOf(|item: WorkItem, _| async move {
        let mut result = ok_result(&item);
        if item.key.check.check.as_str() == "C-7" {
            result.outcome = Outcome::Critical;
        }
        result
    });
    let _pool = process.pool(Arc::new(runner), WorkerPoolOptions::default());
    let run = process.run(a_deployment(), checks(20, 5), TimeDelta::minutes(5)).await;
    assert_eq!(process.ended(run).await, RunPhase::Completed);
    process.assert_complete(run, 20).await;
    let results = process.results(run).await;
    let unknown: Vec<_> = results.iter().filter(|result| result.outcome == Outcome::Unknown).collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].key.check.as_str(), "C-7");
    let cause = unknown[0].unknown_cause.as_deref().unwrap();
    assert!(cause.starts_with("the result could not be recorded: the outcome of check C-7"), "{cause}");
}

#[tokio::test]
async fn a_killed_worker_loses_no_result_and_doubles_none() {
    let database = TestDatabase::migrated().await;
    let runner = brief();
    let mut run = None;
    // Kill at several moments of the run; nothing of a killed process is told to anybody.
    for life in 0..6_u64 {
        let process = Process::start(&database, short_lease()).await;
        let pool = process.pool(Arc::clone(&runner) as _, WorkerPoolOptions::default());
        if run.is_none() {
            run = Some(process.run(a_deployment(), checks(400, 5), TimeDelta::minutes(5)).await);
        }
        let enough = 5 + life * 7;
        until("some work is done", async || {
            let phase = process.phase(run.unwrap()).await;
            phase.has_ended() || pool.status().borrow().recorded >= enough
        })
        .await;
        drop(pool);
    }
    let process = Process::start(&database, short_lease()).await;
    let _pool = process.pool(runner, WorkerPoolOptions { most_crashes: 100, ..WorkerPoolOptions::default() });
    let run = run.unwrap();
    assert_eq!(process.ended(run).await, RunPhase::Completed);
    process.assert_complete(run, 400).await;
    process.assert_drained().await;
}

#[tokio::test]
async fn work_that_kills_its_workers_is_given_up_as_unknown() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, short_lease()).await;
    let run = process.run(a_deployment(), checks(1, 1), TimeDelta::minutes(5)).await;
    let tried = Arc::new(AtomicU32::new(0));
    for life in 1..=2 {
        let count = Arc::clone(&tried);
        let deadly = RunnerOf(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        });
        let pool =
            process.pool(Arc::new(deadly), WorkerPoolOptions { most_crashes: 2, ..WorkerPoolOptions::default() });
        until("it runs", async || tried.load(Ordering::SeqCst) == life).await;
        drop(pool);
    }
    let _pool =
        process.pool(Arc::new(NoCostRunner), WorkerPoolOptions { most_crashes: 2, ..WorkerPoolOptions::default() });
    assert_eq!(process.ended(run).await, RunPhase::Completed);
    let result = process.results(run).await.remove(0);
    assert_eq!(result.outcome, Outcome::Unknown);
    let cause = result.unknown_cause.unwrap();
    assert!(cause.starts_with("worker died 2 times while running this check"), "{cause}");
}

#[tokio::test]
async fn runs_go_on_after_the_database_was_away() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, short_lease()).await;
    let options = WorkerPoolOptions { most_crashes: 100, ..WorkerPoolOptions::default() };
    let pool = process.pool(brief(), options);
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(process.run(a_deployment(), checks(200, 5), TimeDelta::minutes(5)).await);
    }
    until("some work is done", async || pool.status().borrow().recorded >= 20).await;
    let name = database.name();
    let mut admin = PgConnection::connect(&database.url().replace(name, "postgres")).await.unwrap();
    for _ in 0..3 {
        admin.execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false").as_str()).await.unwrap();
        let terminate = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        admin.execute(terminate.as_str()).await.unwrap();
        until("the outage is noticed", async || pool.status().borrow().failing).await;
        admin.execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true").as_str()).await.unwrap();
        let before = pool.status().borrow().recorded;
        until("it goes on, or is done", async || {
            let status = pool.status().borrow().clone();
            status.recorded > before || status.recorded >= 800
        })
        .await;
    }
    for run in runs {
        assert_eq!(process.ended(run).await, RunPhase::Completed);
        process.assert_complete(run, 200).await;
    }
    process.assert_drained().await;
    assert!(tokio::time::timeout(SOON, pool.stop()).await.is_ok());
}
