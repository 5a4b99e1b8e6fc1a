//! The pool's calls to the queue: each its own task with a bound, so that the pool's loop never waits for the database.

use super::stock::ItemId;
use crate::queue::{Claim, Held, ItemKey, QueueError, WorkItem, WorkQueue};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// What a call gave.
#[derive(Debug)]
pub(super) enum Answer {
    /// Items were asked for.
    Claimed {
        /// How many at most.
        most: usize,
        /// Those.
        outcome: Result<Vec<WorkItem>, String>,
    },
    /// Finished items were to be deleted.
    Finished {
        /// Which, by which claims.
        items: Vec<(ItemId, i32)>,
        /// Whether they are.
        outcome: Result<(), String>,
    },
    /// Leases were to be extended.
    Extended {
        /// Which, by which claims.
        asked: Vec<Held>,
        /// Those that are still ours.
        outcome: Result<Vec<ItemKey>, String>,
    },
    /// Items were to be given back.
    Released {
        /// Which.
        items: Vec<ItemId>,
        /// Whether they are.
        outcome: Result<(), String>,
    },
    /// Overdue items were to be deleted.
    Tidied(Result<(), String>),
}

/// Calls under way. Dropping it aborts them.
pub(super) struct Calls {
    queue: Arc<WorkQueue>,
    worker: Uuid,
    limit: Duration,
    tasks: JoinSet<Answer>,
}

impl Calls {
    pub(super) fn new(queue: Arc<WorkQueue>, worker: Uuid, limit: Duration) -> Self {
        Self { queue, worker, limit, tasks: JoinSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The next answer; none where nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        loop {
            // A call's task neither panics nor is aborted while the pool's loop lives.
            if let Ok(answer) = self.tasks.join_next().await? {
                return Some(answer);
            }
        }
    }

    pub(super) fn claim(&mut self, most: usize, depth: u16, now: DateTime<Utc>) {
        let (queue, limit) = (Arc::clone(&self.queue), self.limit);
        let claim = Claim { worker: self.worker, most, depth, now };
        self.tasks.spawn(async move { Answer::Claimed { most, outcome: bounded(limit, queue.claim(claim)).await } });
    }

    pub(super) fn finish(&mut self, items: Vec<(ItemId, Held)>) {
        let (queue, limit) = (Arc::clone(&self.queue), self.limit);
        let (ids, held): (Vec<_>, Vec<_>) = items.into_iter().map(|(id, held)| ((id, held.attempt), held)).unzip();
        self.tasks.spawn(async move {
            Answer::Finished { items: ids, outcome: bounded(limit, queue.finish(&held)).await.map(|_| ()) }
        });
    }

    pub(super) fn extend(&mut self, asked: Vec<Held>, now: DateTime<Utc>) {
        let (queue, limit, worker) = (Arc::clone(&self.queue), self.limit, self.worker);
        self.tasks.spawn(async move {
            let outcome = bounded(limit, queue.extend(worker, &asked, now)).await;
            Answer::Extended { asked, outcome }
        });
    }

    pub(super) fn release(&mut self, items: Vec<(ItemId, Held)>, now: DateTime<Utc>) {
        let (queue, limit) = (Arc::clone(&self.queue), self.limit);
        let (ids, held): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        self.tasks.spawn(async move {
            Answer::Released { items: ids, outcome: bounded(limit, queue.release(&held, now)).await.map(|_| ()) }
        });
    }

    pub(super) fn tidy(&mut self, now: DateTime<Utc>) {
        let (queue, limit) = (Arc::clone(&self.queue), self.limit);
        self.tasks.spawn(async move { Answer::Tidied(bounded(limit, queue.drop_overdue(now)).await.map(|_| ())) });
    }
}

async fn bounded<T>(limit: Duration, call: impl Future<Output = Result<T, QueueError>>) -> Result<T, String> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(with_cause(&error)),
        Err(_) => Err(format!("the work queue did not answer within {} ms", limit.as_millis())),
    }
}

fn with_cause(error: &QueueError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
