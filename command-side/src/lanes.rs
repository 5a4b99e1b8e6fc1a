//! Commands to one stream go one after the other within this process: they would only conflict with each other.

use crate::error::CommandError;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

const SHARDS: usize = 16;

/// Names a stream: aggregate type and id.
pub(crate) type StreamKey = (&'static str, Uuid);

type Turn = Arc<tokio::sync::Mutex<()>>;

/// The queues of the streams that have commands under way.
#[derive(Default)]
pub(crate) struct Lanes {
    shards: [Mutex<HashMap<StreamKey, Turn>>; SHARDS],
}

impl Lanes {
    /// Waits for the stream's turn, at most so long.
    pub async fn enter(self: &Arc<Self>, key: StreamKey, wait: Duration) -> Result<Lane, CommandError> {
        let turn = self.shard(&key).entry(key).or_default().clone();
        // From here on, the lane is left even where the wait is given up.
        let mut lane = Lane { lanes: Arc::clone(self), key, turn: Some(Arc::clone(&turn)), guard: None };
        let guard = match Arc::clone(&turn).try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => match tokio::time::timeout(wait, turn.lock_owned()).await {
                Ok(guard) => guard,
                Err(_) => return Err(CommandError::Overloaded),
            },
        };
        lane.guard = Some(guard);
        Ok(lane)
    }

    fn shard(&self, key: &StreamKey) -> std::sync::MutexGuard<'_, HashMap<StreamKey, Turn>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let index = hasher.finish() as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's turn; dropping it lets the next one in.
pub(crate) struct Lane {
    lanes: Arc<Lanes>,
    key: StreamKey,
    turn: Option<Turn>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.guard = None;
        let mut shard = self.lanes.shard(&self.key);
        self.turn = None;
        // Entering takes its copy under the shard's lock: a count of one says that nobody is in or waits.
        if shard.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            shard.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn lanes_in_use(lanes: &Lanes) -> usize {
        lanes.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_at_a_time_and_nothing_left_behind() {
        let lanes = Arc::new(Lanes::default());
        let inside = Arc::new(AtomicU32::new(0));
        let tasks = (0..200).map(|number| {
            let (lanes, inside) = (Arc::clone(&lanes), Arc::clone(&inside));
            tokio::spawn(async move {
                let key = ("Sample", Uuid::from_u128(number % 3));
                let lane = lanes.enter(key, Duration::from_secs(10)).await.unwrap();
                if number % 3 == 0 {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
                drop(lane);
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(lanes_in_use(&lanes), 0);
    }

    #[tokio::test]
    async fn the_wait_is_bounded() {
        let lanes = Arc::new(Lanes::default());
        let key = ("Sample", Uuid::nil());
        let first = lanes.enter(key, Duration::from_secs(1)).await.unwrap();
        let second = lanes.enter(key, Duration::from_millis(1)).await;
        assert_eq!(second.err(), Some(CommandError::Overloaded));
        drop(first);
        assert_eq!(lanes_in_use(&lanes), 0);
    }
}
