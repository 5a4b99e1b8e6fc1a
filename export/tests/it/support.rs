//! What these tests share: a log in PostgreSQL with a story in it, and the views made from it.

use chrono::{DateTime, TimeDelta, Utc};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions, RecordedEvent};
use export::Output;
use export::report::Rule;
use private_servers::testing::{TestDatabase, test_folder};
use projections::testing::Story;
use projections::{ReplayOptions, replay};
use query_side::{Cache, Queries};
use sqlx::PgPool;
use std::sync::Arc;
use tempfile::TempDir;

pub struct World {
    pub pool: PgPool,
    pub log: Arc<PostgresEventLog>,
    pub folder: TempDir,
    // Last: the database is dropped when all else is gone.
    _database: TestDatabase,
}

impl World {
    /// An empty log.
    pub async fn empty() -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await.unwrap();
        Self { pool, log, folder: test_folder(), _database: database }
    }

    /// A log that holds the first events of a story, and the views that show them.
    pub async fn of(seed: u64, events: usize) -> Self {
        let world = Self::empty().await;
        world.tell(&Story::with_remedies(seed).take(events).collect::<Vec<_>>()).await;
        world
    }

    /// Writes events as they are, and brings the views up to date.
    pub async fn tell(&self, events: &[RecordedEvent]) {
        for some in events.chunks(500) {
            write(&self.pool, some).await;
        }
        let options = ReplayOptions { from_start: false, ..ReplayOptions::default() };
        let log: Arc<dyn EventLog> = self.log.clone();
        replay(&self.pool, log, projections::all(), &options).await.unwrap();
    }

    pub fn queries(&self) -> Queries {
        Queries::new(self.pool.clone(), Cache::off()).with_log(self.log.clone())
    }

    /// What a report writes.
    pub async fn written(&self, write: impl AsyncFnOnce(&mut Output)) -> String {
        let target = self.folder.path().join("out");
        let mut output = Output::open(&target).await.unwrap();
        write(&mut output).await;
        output.finish().await.unwrap();
        std::fs::read_to_string(&target).unwrap()
    }
}

async fn write(pool: &PgPool, events: &[RecordedEvent]) {
    let texts = |of: fn(&RecordedEvent) -> String| events.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO cmdiag.events (position, aggregate_type, aggregate_id, sequence, event_id, event_type, \
         event_version, recorded_at, payload, metadata) \
         SELECT p, t, a, s, i, e, v, r, d::json, m::json FROM unnest($1::bigint[], $2::text[], $3::text[], \
         $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::timestamptz[], $9::text[], $10::text[]) \
         AS x(p, t, a, s, i, e, v, r, d, m)",
    )
    .bind(events.iter().map(|event| event.position.0).collect::<Vec<_>>())
    .bind(texts(|event| event.stream.aggregate_type.to_string()))
    .bind(texts(|event| event.stream.aggregate_id.to_string()))
    .bind(events.iter().map(|event| event.version.0).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.event_id).collect::<Vec<_>>())
    .bind(texts(|event| event.event_type.clone()))
    .bind(texts(|event| event.event_version.clone()))
    .bind(events.iter().map(|event| event.recorded_at).collect::<Vec<_>>())
    .bind(texts(|event| event.payload.get().to_owned()))
    .bind(texts(|event| serde_json::to_string(&event.metadata).unwrap()))
    .execute(pool)
    .await
    .unwrap();
}

/// When reports of these tests are made.
pub fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_790_000_000)
}

/// The rules of the story's checks, but for the last: a check that the packs do not know any more.
pub fn rules() -> Vec<Rule> {
    let rule = |number: usize| Rule {
        code: format!("CM-CHECK-{number}"),
        title: format!("Check <{number}>"),
        version: "0123456789ab".to_owned(),
        pack: "story".to_owned(),
        component: "document-store".to_owned(),
        page: format!("# CM-CHECK-{number}\n\nWhat it means, & what to do."),
    };
    (0..7).map(rule).collect()
}
