//! What these tests share: views filled from a story.

use domain::Position;
use event_store::{EventLog, LiveFeed, RecordedEvent};
use private_servers::testing::TestDatabase;
use projections::testing::{MemoryLog, Story};
use projections::{ReplayOptions, replay};
use query_side::{Cache, Queries};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_mins(1);

/// A database with views, and the log that they are made from.
pub struct World {
    pub pool: PgPool,
    pub log: Arc<MemoryLog>,
    pub feed: Arc<LiveFeed>,
    pub story: Story,
    pub cancel: CancellationToken,
    // Last: the database is dropped when all else is gone.
    _database: TestDatabase,
}

impl World {
    /// Views that hold the first events of a story.
    pub async fn of(seed: u64, events: usize) -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let log = MemoryLog::new();
        let cancel = CancellationToken::new();
        let feed = LiveFeed::start(Arc::clone(&log) as Arc<dyn EventLog>, cancel.clone());
        let mut world = Self { pool, log, feed, story: Story::new(seed), cancel, _database: database };
        world.go_on(events).await;
        world
    }

    /// More happens, and the views are brought up to date. Returns the log's end.
    pub async fn go_on(&mut self, events: usize) -> Position {
        let more: Vec<RecordedEvent> = self.story.by_ref().take(events).collect();
        self.log.push(more);
        self.project().await
    }

    /// Brings the views up to date.
    pub async fn project(&self) -> Position {
        let options = ReplayOptions { from_start: false, ..ReplayOptions::default() };
        replay(&self.pool, self.log.clone(), projections::all(), &options).await.unwrap();
        self.log.head().await.unwrap()
    }

    pub fn queries(&self) -> Queries {
        Queries::new(self.pool.clone(), Cache::off()).with_log(self.log.clone())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Waits for a condition, bounded.
pub async fn eventually(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !is().await {
        assert!(tokio::time::Instant::now() < give_up, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
