//! What these tests share: a database, a log in memory, runners on both.

use domain::Position;
use event_store::{EventLog, LiveFeed, RecordedEvent};
use private_servers::testing::TestDatabase;
use projections::testing::{MemoryLog, Story, dump};
use projections::{ProjectionStatus, ReplayOptions, Runner, RunnerHandle, RunnerOptions, RunnerState, replay};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_mins(1);

pub type Dump = Vec<(String, Vec<String>)>;

/// The first events of a story.
pub fn story(seed: u64, events: usize) -> Vec<RecordedEvent> {
    Story::with_remedies(seed).take(events).collect()
}

/// Quick to look again, so that tests do not wait.
pub fn quick() -> RunnerOptions {
    RunnerOptions {
        pace: Duration::from_millis(1),
        look_every: Duration::from_millis(20),
        idle_checkpoint: Duration::from_millis(10),
        retry: (Duration::from_millis(10), Duration::from_millis(200)),
        ..RunnerOptions::default()
    }
}

/// Runners of all projections.
pub struct Running {
    pub handles: Vec<RunnerHandle>,
    pub cancel: CancellationToken,
    feed_cancel: CancellationToken,
}

impl Running {
    pub fn start(pool: &PgPool, log: &Arc<MemoryLog>, options: &RunnerOptions) -> Self {
        let feed_cancel = CancellationToken::new();
        let feed = LiveFeed::start(Arc::clone(log) as Arc<dyn EventLog>, feed_cancel.clone());
        let cancel = CancellationToken::new();
        let handles = Runner::start_all(pool, &feed, projections::all(), options, &cancel);
        Self { handles, cancel, feed_cancel }
    }

    pub fn one(&self, name: &str) -> &RunnerHandle {
        self.handles.iter().find(|handle| handle.name() == name).unwrap()
    }

    /// Waits until all views hold the position.
    pub async fn reached(&self, position: i64) {
        for handle in &self.handles {
            until(handle, |status| status.position >= Position(position)).await;
        }
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        for handle in self.handles {
            tokio::time::timeout(PATIENCE, handle.stopped()).await.unwrap();
        }
        self.feed_cancel.cancel();
    }
}

/// Waits until a runner is as said.
pub async fn until(handle: &RunnerHandle, is: impl FnMut(&ProjectionStatus) -> bool) -> ProjectionStatus {
    let mut status = handle.status();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(is)).await;
    let Ok(found) = waited else { panic!("{:?}", handle.status().borrow()) };
    found.unwrap().clone()
}

pub async fn until_failed(handle: &RunnerHandle) -> ProjectionStatus {
    until(handle, |status| status.state == RunnerState::Failed).await
}

/// What the views hold after one replay of these events, in a database of its own.
pub async fn replayed(events: &[RecordedEvent]) -> Dump {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events.to_vec());
    replay(&pool, log, projections::all(), &ReplayOptions::default()).await.unwrap();
    dump(&pool).await.unwrap()
}

/// Asserts equality with a message that can be read.
pub fn assert_same(found: &Dump, expected: &Dump) {
    for ((table, found), (_, expected)) in found.iter().zip(expected) {
        let more: Vec<_> = found.iter().filter(|line| !expected.contains(line)).take(2).collect();
        let less: Vec<_> = expected.iter().filter(|line| !found.contains(line)).take(2).collect();
        assert!(more.is_empty() && less.is_empty(), "{table}: has {more:#?} and lacks {less:#?}");
        assert_eq!(found.len(), expected.len(), "{table}");
    }
}
