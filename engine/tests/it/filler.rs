//! The queue follows the runs.

use crate::support::{Process, a_deployment, checks, until};
use chrono::{TimeDelta, Utc};
use domain::diagnostic_run::RunCommand;
use engine::queue::{Claim, Held, QueueOptions};
use private_servers::testing::TestDatabase;
use std::collections::HashSet;
use uuid::Uuid;

#[tokio::test]
async fn planned_work_is_queued_and_work_of_ended_runs_is_dropped() {
    let database = TestDatabase::migrated().await;
    let process = Process::start(&database, QueueOptions::default()).await;
    let run = process.run(a_deployment(), checks(10, 3), TimeDelta::minutes(5)).await;
    let other = process.run(a_deployment(), checks(4, 2), TimeDelta::minutes(5)).await;
    until("both are queued", async || process.queue.depth().await.unwrap().waiting == 14).await;
    process.send(other, RunCommand::Cancel { reason: "enough".to_owned() }).await;
    until("one is dropped", async || process.queue.depth().await.unwrap().waiting == 10).await;
    let claim = Claim { worker: Uuid::now_v7(), most: 100, depth: 1, now: Utc::now() };
    let items = process.queue.claim(claim).await.unwrap();
    assert_eq!(items.len(), 10);
    assert!(items.iter().all(|item| item.key.run == run && !item.started && item.causation.is_some()));
    process.send(run, RunCommand::Fail { reason: "no use".to_owned() }).await;
    process.assert_drained().await;
    assert_eq!(process.filler.status().borrow().skipped, 0);
}

#[tokio::test]
async fn several_processes_queue_each_item_once() {
    let database = TestDatabase::migrated().await;
    let first = Process::start(&database, QueueOptions { per_target: 64, ..QueueOptions::default() }).await;
    let second = Process::start(&database, QueueOptions { per_target: 64, ..QueueOptions::default() }).await;
    let mut runs = Vec::new();
    for _ in 0..30 {
        runs.push(first.run(a_deployment(), checks(20, 4), TimeDelta::minutes(5)).await);
    }
    let mut seen = HashSet::new();
    until("all are claimed", async || {
        // Finished at once: were it queued by the other process again, it would be claimed again.
        let claim = Claim { worker: Uuid::now_v7(), most: 256, depth: 8, now: Utc::now() };
        let items = second.queue.claim(claim).await.unwrap();
        let held: Vec<Held> = items.iter().map(|item| Held { key: item.key.clone(), attempt: item.attempt }).collect();
        second.queue.finish(&held).await.unwrap();
        assert!(items.into_iter().all(|item| seen.insert(item.key)), "an item came twice");
        seen.len() == 30 * 20
    })
    .await;
    let head = first.log.head().await.unwrap();
    for process in [&first, &second] {
        until("the filler is at the end", async || process.filler.status().borrow().position == head).await;
    }
    let third = Process::start(&database, QueueOptions::default()).await;
    until("a new filler is at the end", async || third.filler.status().borrow().position == head).await;
    assert_eq!(third.queue.depth().await.unwrap().waiting, 0);
}
