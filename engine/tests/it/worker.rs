//! The worker pool when all goes well, and when it is told to stop.

use crate::support::{NoCostRunner, Process, RunnerOf, a_deployment, checks, ok_result, timed_checks, until};
use chrono::TimeDelta;
use domain::Outcome;
use domain::diagnostic_run::{RunCommand, RunEvent, RunPhase};
use engine::queue::QueueOptions;
use engine::worker::WorkerPoolOptions;
use private_servers::testing::TestDatabase;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_run_is_started_worked_off_and_completed() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions::default()).await;
    let pool = process.pool(Arc::new(NoCostRunner), WorkerPoolOptions::default());
    let run = process.run(a_deployment(), checks(60, 7), TimeDelta::minutes(5)).await;
    assert_eq!(process.ended(run).await, RunPhase::Completed);
    process.assert_complete(run, 60).await;
    let events = process.events(run).await;
    let starts = events.iter().filter(|event| matches!(event, RunEvent::RunStarted { .. })).count();
    let commands = events.iter().filter(|event| matches!(event, RunEvent::ChecksCompleted { .. })).count();
    assert_eq!(starts, 1);
    assert!(commands < 30, "results travel together: {commands} commands for 60 results");
    process.assert_drained().await;
    until("all is counted", async || {
        let status = pool.status().borrow().clone();
        (status.claimed, status.recorded, status.buffered, status.running) == (60, 60, 0, 0)
    })
    .await;
    pool.stop().await;
}

#[tokio::test]
async fn a_slow_first_check_shows_the_run_as_started() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions::default()).await;
    let go = CancellationToken::new();
    let gate = go.clone();
    let runner = RunnerOf(move |item, _| {
        let gate = gate.clone();
        async move {
            gate.cancelled().await;
            ok_result(&item)
        }
    });
    let _pool = process.pool(Arc::new(runner), WorkerPoolOptions::default());
    let run = process.run(a_deployment(), checks(2, 1), TimeDelta::minutes(5)).await;
    until("it is running", async || process.phase(run).await == RunPhase::Running).await;
    go.cancel();
    assert_eq!(process.ended(run).await, RunPhase::Completed);
}

#[tokio::test]
async fn two_processes_together_keep_to_a_targets_limit() {
    let database = TestDatabase::migrated().await;
    let options = || QueueOptions { per_target: 3, ..QueueOptions::default() };
    let (one, two) = (Process::start(&database, options()).await, Process::start(&database, options()).await);
    let running: Arc<Mutex<HashMap<_, (usize, usize)>>> = Arc::default();
    let count = Arc::clone(&running);
    let runner = Arc::new(RunnerOf(move |item: engine::queue::WorkItem, _| {
        let count = Arc::clone(&count);
        async move {
            let target = item.target();
            {
                let mut all = count.lock().unwrap();
                let (now, most) = all.entry(target.clone()).or_default();
                *now += 1;
                *most = (*most).max(*now);
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
            count.lock().unwrap().get_mut(&target).unwrap().0 -= 1;
            ok_result(&item)
        }
    }));
    let pools = [&one, &two].map(|process| process.pool(Arc::clone(&runner) as _, WorkerPoolOptions::default()));
    let deployment = a_deployment();
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(one.run(deployment, checks(60, 4), TimeDelta::minutes(5)).await);
    }
    for run in runs {
        assert_eq!(one.ended(run).await, RunPhase::Completed);
        one.assert_complete(run, 60).await;
    }
    let most: Vec<usize> = running.lock().unwrap().values().map(|(_, most)| *most).collect();
    assert_eq!(most.len(), 4);
    assert!(most.iter().all(|&most| most <= 3), "more than 3 at once: {most:?}");
    assert!(most.contains(&3), "the limit is made use of: {most:?}");
    for pool in pools {
        pool.stop().await;
    }
}

#[tokio::test]
async fn cancelling_a_run_stops_its_checks_in_every_process() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions::default()).await;
    let other = Process::start(&database, QueueOptions::default()).await;
    let stopped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&stopped);
    // One that obeys, and one that does not: both must leave the pool.
    let runner = Arc::new(RunnerOf(move |item: engine::queue::WorkItem, cancel: CancellationToken| {
        let count = Arc::clone(&count);
        async move {
            if item.key.check.component.as_str() == "c-0" {
                cancel.cancelled().await;
                count.fetch_add(1, Ordering::SeqCst);
            } else if item.key.check.component.as_str() == "c-1" {
                std::future::pending::<()>().await;
            }
            ok_result(&item)
        }
    }));
    let options =
        || WorkerPoolOptions { concurrency: 4, grace: Duration::from_millis(100), ..WorkerPoolOptions::default() };
    let pools = [&process, &other].map(|process| process.pool(Arc::clone(&runner) as _, options()));
    let run = process.run(a_deployment(), timed_checks(8, 2, 3_600_000), TimeDelta::hours(2)).await;
    until("all run", async || pools.iter().map(|pool| pool.status().borrow().running).sum::<usize>() == 8).await;
    let begin = Instant::now();
    other.send(run, RunCommand::Cancel { reason: "enough".to_owned() }).await;
    until("none runs", async || pools.iter().all(|pool| pool.status().borrow().running == 0)).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "took {:?}", begin.elapsed());
    assert_eq!(stopped.load(Ordering::SeqCst), 4);
    process.assert_drained().await;
    assert_eq!(process.phase(run).await, RunPhase::Cancelled);
    assert_eq!(process.results(run).await, []);
    // The pools go on.
    let next = process.run(a_deployment(), checks(4, 4), TimeDelta::minutes(5)).await;
    let quiet = process.run(a_deployment(), timed_checks(1, 1, 200), TimeDelta::minutes(5)).await;
    assert_eq!(process.ended(quiet).await, RunPhase::Completed);
    assert_eq!(process.results(quiet).await[0].outcome, Outcome::Unknown);
    process.send(next, RunCommand::Cancel { reason: "the test is over".to_owned() }).await;
    for pool in pools {
        pool.stop().await;
    }
}

#[tokio::test]
async fn a_pool_that_stops_records_what_is_done_and_gives_back_the_rest() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions { per_target: 10, ..QueueOptions::default() }).await;
    // Even checks end while the pool drains, odd ones never.
    let runner = RunnerOf(|item: engine::queue::WorkItem, cancel: CancellationToken| async move {
        if item.key.check.component.as_str() == "c-1" {
            cancel.cancelled().await;
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        ok_result(&item)
    });
    let options = WorkerPoolOptions { drain: Duration::from_secs(2), ..WorkerPoolOptions::default() };
    let pool = process.pool(Arc::new(runner), options);
    let run = process.run(a_deployment(), checks(10, 2), TimeDelta::minutes(5)).await;
    until("all run", async || pool.status().borrow().running == 10).await;
    pool.stop().await;
    let depth = process.queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.leased), (5, 0), "five recorded and finished, five given back at once");
    assert_eq!(process.results(run).await.len(), 5);
    let _next = process.pool(Arc::new(NoCostRunner), WorkerPoolOptions::default());
    assert_eq!(process.ended(run).await, RunPhase::Completed);
    process.assert_complete(run, 10).await;
}
