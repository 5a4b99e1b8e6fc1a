//! The limit of a target's concurrency, over all workers.

use crate::support::{item, item_of, queue};
use chrono::Utc;
use engine::queue::{Claim, Held, QueueOptions, WorkItem, WorkQueue};
use private_servers::testing::TestDatabase;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

fn claim(worker: u128, most: usize, depth: u16) -> Claim {
    Claim { worker: Uuid::from_u128(worker), most, depth, now: Utc::now() }
}

async fn finish(queue: &WorkQueue, items: &[WorkItem]) {
    let held: Vec<Held> = items.iter().map(|item| Held { key: item.key.clone(), attempt: item.attempt }).collect();
    assert_eq!(queue.finish(&held).await.unwrap(), items.len() as u64);
}

#[tokio::test]
async fn claims_at_the_same_moment_never_exceed_a_targets_slots() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool_of(8).await, QueueOptions { per_target: 3, ..QueueOptions::default() });
    let now = Utc::now();
    let items: Vec<_> = (0..200).map(|number| item_of(number, "one", now)).collect();
    queue.enqueue(&items).await.unwrap();
    for _ in 0..10 {
        let claims = (1..=8).map(|worker| queue.claim(claim(worker, 16, 1)));
        let claimed: Vec<WorkItem> = futures::future::try_join_all(claims).await.unwrap().concat();
        assert_eq!(claimed.len(), 3, "all slots are used, and no more");
        assert!(queue.claim(claim(9, 16, 1)).await.unwrap().is_empty());
        finish(&queue, &claimed).await;
    }
}

#[tokio::test]
async fn a_slot_may_hold_several_items_of_one_worker_only() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool().await, QueueOptions { per_target: 2, ..QueueOptions::default() });
    let now = Utc::now();
    let items: Vec<_> = (0..40).map(|number| item_of(number, "one", now)).collect();
    queue.enqueue(&items).await.unwrap();
    let first = queue.claim(claim(1, 1, 8)).await.unwrap();
    let second = queue.claim(claim(2, 100, 8)).await.unwrap();
    assert_eq!((first.len(), second.len()), (1, 8), "one slot each");
    assert!(second.iter().all(|item| item.slot == second[0].slot && item.slot != first[0].slot));
    assert!(queue.claim(claim(3, 100, 8)).await.unwrap().is_empty());
    // The first worker fills up its own slot.
    assert_eq!(queue.claim(claim(1, 100, 8)).await.unwrap().len(), 7);
    finish(&queue, &first).await;
    finish(&queue, &second).await;
    // The second worker's slot is free again: for the first, too, who has one place left in its own.
    let third = queue.claim(claim(1, 100, 8)).await.unwrap();
    assert_eq!(third.len(), 9);
    assert_eq!(third.iter().map(|item| item.slot).collect::<HashSet<_>>().len(), 2);
}

#[tokio::test]
async fn a_long_queue_of_a_busy_target_does_not_hide_the_others() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool().await, QueueOptions { per_target: 2, ..QueueOptions::default() });
    let now = Utc::now();
    let mut items: Vec<_> = (0..5_000).map(|number| item_of(number, "busy", now)).collect();
    let later = now + chrono::TimeDelta::milliseconds(1);
    items.extend((5_000..5_004).map(|number| {
        let mut quiet = item_of(number, &format!("quiet-{number}"), now);
        quiet.queued_at = later;
        quiet
    }));
    queue.enqueue(&items).await.unwrap();
    let claimed = queue.claim(claim(1, 16, 1)).await.unwrap();
    let quiet = claimed.iter().filter(|item| item.key.check.component.as_str().starts_with("quiet")).count();
    assert_eq!((claimed.len(), quiet), (6, 4));
}

/// Not a benchmark: shows that no statement's cost grows with the depth of the queue.
#[tokio::test]
async fn thousands_of_items_a_second_pass_through() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool_of(8).await, QueueOptions { per_target: 64, ..QueueOptions::default() });
    let now = Utc::now();
    let items: Vec<_> = (0..20_000).map(|number| item(number, now)).collect();
    let begin = Instant::now();
    for chunk in items.chunks(5_000) {
        queue.enqueue(chunk).await.unwrap();
    }
    let queued = begin.elapsed();
    let workers = (1..=3).map(|worker| work_off(Arc::clone(&queue), worker));
    let done: usize = futures::future::join_all(workers).await.into_iter().sum();
    let whole = begin.elapsed();
    println!("20,000 items: queued in {queued:?}, claimed and finished after {whole:?}");
    assert_eq!(done, 20_000);
    assert!(whole.as_secs() < 20, "took {whole:?}");
}

async fn work_off(queue: Arc<WorkQueue>, worker: u128) -> usize {
    let mut done = 0;
    loop {
        let items = queue.claim(claim(worker, 256, 64)).await.unwrap();
        if items.is_empty() && queue.depth().await.unwrap().waiting == 0 {
            return done;
        }
        finish(&queue, &items).await;
        done += items.len();
    }
}
