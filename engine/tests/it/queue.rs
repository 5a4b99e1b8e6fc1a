//! The queue's order, leases and fencing.

use crate::support::{claim_all, item, queue};
use chrono::{TimeDelta, Utc};
use domain::diagnostic_run::Priority;
use engine::queue::{Claim, Held, NewItem, QueueOptions};
use private_servers::testing::TestDatabase;
use std::time::Duration;
use uuid::Uuid;

fn claim(worker: u128, most: usize, now: chrono::DateTime<Utc>) -> Claim {
    Claim { worker: Uuid::from_u128(worker), most, depth: 1, now }
}

fn held(item: &engine::queue::WorkItem) -> Held {
    Held { key: item.key.clone(), attempt: item.attempt }
}

#[tokio::test]
async fn age_and_priority_decide_the_order() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool().await, QueueOptions::default());
    let now = Utc::now();
    let waits = |number, priority, seconds| NewItem {
        priority,
        queued_at: now - TimeDelta::seconds(seconds),
        ..item(number, now)
    };
    let items = [
        waits(1, Priority::Low, 10),
        waits(2, Priority::Normal, 10),
        waits(3, Priority::High, 10),
        // Waiting has made this one the most urgent of all: nothing starves.
        waits(4, Priority::Low, 200),
        waits(5, Priority::Normal, 150),
    ];
    queue.enqueue(&items).await.unwrap();
    let order: Vec<String> = claim_all(&queue, claim(1, 100, now)).await;
    assert_eq!(order, ["C-5", "C-4", "C-3", "C-2", "C-1"]);
}

#[tokio::test]
async fn queuing_again_changes_nothing() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool().await, QueueOptions::default());
    let now = Utc::now();
    assert_eq!(queue.enqueue(&[item(1, now), item(2, now)]).await.unwrap(), 2);
    let first = queue.claim(claim(1, 1, now)).await.unwrap();
    assert_eq!(queue.enqueue(&[item(1, now), item(2, now), item(3, now)]).await.unwrap(), 1);
    assert_eq!(queue.extend(Uuid::from_u128(1), &[held(&first[0])], now).await.unwrap(), [first[0].key.clone()]);
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.leased), (2, 1));
}

#[tokio::test]
async fn work_is_neither_too_early_nor_too_late() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool().await, QueueOptions::default());
    let now = Utc::now();
    let early = NewItem { not_before: now + TimeDelta::seconds(5), ..item(1, now) };
    let late = NewItem { deadline: now + TimeDelta::seconds(3), ..item(2, now) };
    queue.enqueue(&[early, late]).await.unwrap();
    assert_eq!(claim_all(&queue, claim(1, 10, now + TimeDelta::seconds(4))).await, Vec::<String>::new());
    assert_eq!(queue.drop_overdue(now + TimeDelta::seconds(2)).await.unwrap(), 0);
    assert_eq!(queue.drop_overdue(now + TimeDelta::seconds(4)).await.unwrap(), 1);
    assert_eq!(claim_all(&queue, claim(1, 10, now + TimeDelta::seconds(5))).await, ["C-1"]);
}

#[tokio::test]
async fn an_expired_lease_passes_on_and_its_old_holder_can_do_nothing() {
    let database = TestDatabase::migrated().await;
    let queue =
        queue(database.pool().await, QueueOptions { lease: Duration::from_secs(30), ..QueueOptions::default() });
    let now = Utc::now();
    queue.enqueue(&[item(1, now)]).await.unwrap();
    let first = queue.claim(claim(1, 10, now)).await.unwrap().remove(0);
    assert_eq!((first.attempt, first.crashes), (1, 0));
    let later = now + TimeDelta::seconds(29);
    assert!(queue.claim(claim(2, 10, later)).await.unwrap().is_empty(), "still leased");
    // Extended, it holds for longer.
    assert_eq!(queue.extend(Uuid::from_u128(1), &[held(&first)], later).await.unwrap().len(), 1);
    assert!(queue.claim(claim(2, 10, now + TimeDelta::seconds(58))).await.unwrap().is_empty());
    let after = now + TimeDelta::seconds(60);
    let second = queue.claim(claim(2, 10, after)).await.unwrap().remove(0);
    assert_eq!((second.attempt, second.crashes), (2, 1));
    // The old holder wakes up.
    assert!(queue.extend(Uuid::from_u128(1), &[held(&first)], after).await.unwrap().is_empty());
    assert_eq!(queue.release(&[held(&first)], after).await.unwrap(), 0);
    assert_eq!(queue.finish(&[held(&first)]).await.unwrap(), 0);
    assert_eq!(queue.depth().await.unwrap().leased, 1);
    assert_eq!(queue.finish(&[held(&second)]).await.unwrap(), 1);
    assert_eq!(queue.depth().await.unwrap().leased, 0);
}

#[tokio::test]
async fn released_work_is_handed_out_again_without_counting_a_crash() {
    let database = TestDatabase::migrated().await;
    let queue = queue(database.pool().await, QueueOptions::default());
    let now = Utc::now();
    queue.enqueue(&[item(1, now)]).await.unwrap();
    let first = queue.claim(claim(1, 10, now)).await.unwrap().remove(0);
    let later = now + TimeDelta::seconds(5);
    assert_eq!(queue.release(&[held(&first)], later).await.unwrap(), 1);
    assert!(queue.claim(claim(1, 10, now)).await.unwrap().is_empty(), "not before it may");
    let second = queue.claim(claim(1, 10, later)).await.unwrap().remove(0);
    assert_eq!((second.attempt, second.crashes), (2, 0));
    assert_eq!(queue.drop_run(second.key.run).await.unwrap(), 1, "dropped in whosever hands");
    assert_eq!(queue.depth().await.unwrap(), engine::queue::QueueDepth::default());
}
