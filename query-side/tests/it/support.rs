//! What these tests share: views filled from a story.

use chrono::Utc;
use domain::any_event::PROJECTION_CONTROL;
use domain::projection_control::{ProjectionControl, ProjectionControlEvent};
use domain::{Actor, CommandId, Metadata, Position, StreamVersion, TenantId};
use event_store::{
    Append, CommandRecord, EventLog, Expected, LiveFeed, NewEvent, PostgresEventLog, PostgresLogOptions, RecordedEvent,
    StreamId,
};
use private_servers::testing::TestDatabase;
use projections::testing::{MemoryLog, Story};
use projections::{Decoded, Projection, ReplayOptions, replay};
use query_side::{Cache, Queries};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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

/// A database whose log holds a story, and whose views hold as much of it as they are told to.
pub struct Recorded {
    pub pool: PgPool,
    pub log: Arc<PostgresEventLog>,
    events: Vec<RecordedEvent>,
    views: Vec<Box<dyn Projection>>,
    projected: usize,
    _database: TestDatabase,
}

impl Recorded {
    /// The log holds the first events of a story of all aggregates, the views nothing yet.
    pub async fn of(seed: u64, events: usize) -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let events: Vec<RecordedEvent> = Story::with_remedies(seed).take(events).collect();
        record(&pool, &events).await;
        let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await.unwrap();
        Self { pool, log, events, views: projections::all(), projected: 0, _database: database }
    }

    /// An operator's decision, as the log keeps it.
    pub async fn decide_to_skip(&self, name: &str, position: Position) {
        let by = Actor::new("ann").unwrap();
        let decided = ProjectionControlEvent::PoisonEventSkipped {
            projection: name.to_owned(),
            position,
            failure: "it does not decode".to_owned(),
            reason: "it is known".to_owned(),
            by: by.clone(),
            at: Utc::now(),
        };
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            event_type: decided.name().to_owned(),
            event_version: "1".to_owned(),
            payload: serde_json::value::to_raw_value(&decided).unwrap(),
        };
        let append = Append {
            stream: StreamId::new(PROJECTION_CONTROL, &ProjectionControl::of(name).to_string()),
            expected: Expected::Version(StreamVersion(0)),
            events: vec![event],
            metadata: Metadata::new(by, TenantId::default(), CommandId(Uuid::now_v7())),
            command: CommandRecord { name: "skip_poison_event".to_owned(), body_hash: [0; 32] },
        };
        self.log.append(append).await.unwrap();
    }

    pub fn queries(&self) -> Queries {
        Queries::new(self.pool.clone(), Cache::off()).with_log(self.log.clone())
    }

    /// Brings the views up to a position.
    pub async fn project_to(&mut self, position: usize) {
        let mut db = self.pool.acquire().await.unwrap();
        let new: Vec<Arc<RecordedEvent>> =
            self.events[self.projected..position].iter().cloned().map(Arc::new).collect();
        for view in &mut self.views {
            let wanted: Vec<Arc<Decoded>> =
                new.iter().flat_map(|event| Decoded::parts(event, view.wants()).unwrap()).collect();
            view.fold(&wanted, &mut db).await.unwrap();
            view.write(&mut db).await.unwrap();
        }
        drop(db);
        self.projected = position;
        self.stand_at(position).await;
    }

    /// Says that the views have come to a position.
    pub async fn stand_at(&self, position: usize) {
        for view in &self.views {
            sqlx::query(
                "INSERT INTO projection_checkpoints (name, version, position) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position",
            )
            .bind(view.name())
            .bind(view.version())
            .bind(position as i64)
            .execute(&self.pool)
            .await
            .unwrap();
        }
    }

    /// Adds events that mean nothing to a stream that is not there yet; the log's end after them.
    pub async fn lengthen(&mut self, stream: &StreamId, events: usize) -> usize {
        sqlx::query(
            "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
             metadata, position) SELECT $1, $2, n, 'Happened', '1', '{}', '{}', $3 + n FROM generate_series(1, $4) n",
        )
        .bind(&*stream.aggregate_type)
        .bind(&*stream.aggregate_id)
        .bind(self.events.len() as i64)
        .bind(events as i64)
        .execute(&self.pool)
        .await
        .unwrap();
        self.events.len() + events
    }
}

/// Writes events as they are.
async fn record(pool: &PgPool, events: &[RecordedEvent]) {
    for events in events.chunks(1_000) {
        let column = |of: &dyn Fn(&RecordedEvent) -> String| events.iter().map(of).collect::<Vec<String>>();
        sqlx::query(
            "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
             metadata, position, event_id, recorded_at) SELECT t, i, s, e, v, p::json, m::json, n, u, r FROM unnest( \
             $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], \
             $9::uuid[], $10::timestamptz[]) AS new (t, i, s, e, v, p, m, n, u, r)",
        )
        .bind(column(&|event| event.stream.aggregate_type.to_string()))
        .bind(column(&|event| event.stream.aggregate_id.to_string()))
        .bind(events.iter().map(|event| event.version.0).collect::<Vec<_>>())
        .bind(column(&|event| event.event_type.clone()))
        .bind(column(&|event| event.event_version.clone()))
        .bind(column(&|event| event.payload.get().to_owned()))
        .bind(column(&|event| serde_json::to_string(&event.metadata).unwrap()))
        .bind(events.iter().map(|event| event.position.0).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event_id).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.recorded_at).collect::<Vec<_>>())
        .execute(pool)
        .await
        .unwrap();
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
