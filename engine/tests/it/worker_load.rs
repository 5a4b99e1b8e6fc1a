//! Many runs at once: none starves, and the platform's own cost is small. Not a benchmark: `make bench` measures.

use crate::support::{NoCostRunner, Process, a_deployment, checks};
use chrono::TimeDelta;
use domain::diagnostic_run::RunPhase;
use engine::queue::QueueOptions;
use engine::worker::WorkerPoolOptions;
use futures::{StreamExt, stream};
use private_servers::testing::TestDatabase;
use std::sync::Arc;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_runs_at_once_all_finish_in_time() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions::default()).await;
    let deployments: Vec<_> = (0..50).map(|_| a_deployment()).collect();
    let begin = Instant::now();
    let process_ref = &process;
    let runs: Vec<_> = stream::iter(0..1_000)
        .map(|number| process_ref.run(deployments[number % 50], checks(12, 4), TimeDelta::minutes(5)))
        .buffer_unordered(64)
        .collect()
        .await;
    let requested = begin.elapsed();
    let begin = Instant::now();
    let pool = process.pool(Arc::new(NoCostRunner), WorkerPoolOptions::default());
    for &run in &runs {
        assert_eq!(process.ended(run).await, RunPhase::Completed);
    }
    let took = begin.elapsed();
    let rate = 12_000.0 / took.as_secs_f64();
    println!("1,000 runs of 12 checks: requested in {requested:?}, worked off in {took:?}: {rate:.0} results/s");
    for &run in runs.iter().step_by(50) {
        process.assert_complete(run, 12).await;
    }
    process.assert_drained().await;
    let status = pool.status().borrow().clone();
    assert_eq!((status.claimed, status.recorded, status.failing), (12_000, 12_000, false), "{:?}", status.last_error);
    pool.stop().await;
}

/// A target's limit bounds what runs on it at the same time, not how fast quick checks follow each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_of_one_deployment_are_not_slowed_down_by_its_limit() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions { per_target: 2, ..QueueOptions::default() }).await;
    let deployment = a_deployment();
    let mut runs = Vec::new();
    for _ in 0..100 {
        runs.push(process.run(deployment, checks(60, 4), TimeDelta::minutes(5)).await);
    }
    let begin = Instant::now();
    let pool = process.pool(Arc::new(NoCostRunner), WorkerPoolOptions::default());
    for &run in &runs {
        assert_eq!(process.ended(run).await, RunPhase::Completed);
    }
    let took = begin.elapsed();
    println!("6,000 results on 4 targets: {took:?}, {:.0} a second", 6_000.0 / took.as_secs_f64());
    process.assert_drained().await;
    pool.stop().await;
}
