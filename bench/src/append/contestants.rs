//! Who appends: our log, a bare insert, postgres-es.

use crate::events::{self, EVENT_TYPE, Place, STREAM_TYPE};
use crate::world::{self, World};
use anyhow::{Context, Result};
use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use domain::DeciderAggregate;
use domain::diagnostic_run::DiagnosticRun;
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use postgres_es::PostgresEventRepository;
use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgPool, Postgres};
use std::sync::Arc;
use uuid::Uuid;

/// As many connections as there are writers at most.
const CONNECTIONS: u32 = 64;

/// The table as postgres-es ships it.
const OWN_TABLE: &str = "CREATE TABLE events (aggregate_type text NOT NULL, aggregate_id text NOT NULL, \
    sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL, \
    payload json NOT NULL, metadata json NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, sequence))";

const BARE_INSERT: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
    payload, metadata, position, event_id) \
    SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload::json, \
    e.metadata::json, nextval('bare_position'), e.event_id \
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[]) \
    AS e (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, event_id)";

/// One who appends.
pub enum Contestant {
    /// Our log.
    Ours(Arc<PostgresEventLog>),
    /// One statement an append, positions from a sequence.
    Bare(PgPool),
    /// postgres-es, into a table that may be ours.
    Peer(&'static str, Arc<PostgresEventRepository>),
}

impl Contestant {
    /// All of them, each on its own database: ours, then the bare one, then postgres-es on our table and on its own.
    pub async fn all(world: &World) -> Result<Vec<Arc<Self>>> {
        let ours = world::pool(&world.database("append_ours").await?, 4).await?;
        let log = PostgresEventLog::connect(ours, PostgresLogOptions::default()).await?;
        Self::beside(world, "append", log).await
    }

    /// This log of ours, and all others on databases whose names begin like this.
    pub async fn beside(world: &World, prefix: &str, log: Arc<PostgresEventLog>) -> Result<Vec<Arc<Self>>> {
        let bare = world::pool(&world.database(&format!("{prefix}_bare")).await?, CONNECTIONS).await?;
        bare.execute("CREATE SEQUENCE bare_position").await.context("make the bare sequence")?;
        let peer = world::pool(&world.database(&format!("{prefix}_peer")).await?, CONNECTIONS).await?;
        let own_url = world.empty_database(&format!("{prefix}_own")).await?;
        let own = world::pool(&own_url, CONNECTIONS).await?;
        own.execute(OWN_TABLE).await.context("make postgres-es' own table")?;
        let repository = |pool| Arc::new(PostgresEventRepository::new(pool));
        Ok(vec![
            Arc::new(Self::Ours(log)),
            Arc::new(Self::Bare(bare)),
            Arc::new(Self::Peer("postgres-es", repository(peer))),
            Arc::new(Self::Peer("postgres-es, own table", repository(own))),
        ])
    }

    /// What it is called on the page.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Bare(_) => "bare",
            Self::Peer(name, _) => name,
        }
    }

    /// One of its concurrent writers.
    pub async fn writer(&self) -> Result<Writer> {
        let way = match self {
            Self::Ours(log) => Way::Ours(Arc::clone(log)),
            Self::Bare(pool) => Way::Bare(pool.acquire().await?),
            Self::Peer(_, repository) => Way::Peer(Arc::clone(repository)),
        };
        Ok(Writer { place: Place::new(), way })
    }
}

enum Way {
    Ours(Arc<PostgresEventLog>),
    Bare(PoolConnection<Postgres>),
    Peer(Arc<PostgresEventRepository>),
}

/// A concurrent writer, at its place.
pub struct Writer {
    place: Place,
    way: Way,
}

impl Writer {
    /// Appends so many events in one transaction.
    pub async fn append(&mut self, events: i64) -> Result<()> {
        match &mut self.way {
            Way::Ours(log) => {
                log.append(events::append(&self.place, events)?).await?;
            }
            Way::Bare(connection) => insert(connection, &self.place, events).await?,
            Way::Peer(repository) => {
                let events = serialized(&self.place, events)?;
                let persisted = repository.persist::<DeciderAggregate<DiagnosticRun>>(&events, None).await;
                persisted.map_err(|error| anyhow::anyhow!("postgres-es: {error}"))?;
            }
        }
        self.place.wrote(events);
        Ok(())
    }
}

async fn insert(connection: &mut PoolConnection<Postgres>, place: &Place, events: i64) -> Result<()> {
    let count = events as usize;
    let metadata = serde_json::to_string(&events::metadata()?)?;
    sqlx::query(BARE_INSERT)
        .bind(vec![STREAM_TYPE; count])
        .bind(vec![place.stream.to_string(); count])
        .bind((place.version + 1..=place.version + events).collect::<Vec<i64>>())
        .bind(vec![EVENT_TYPE; count])
        .bind(vec!["1"; count])
        .bind((0..events).map(|number| events::payload(number % 100)).collect::<Vec<String>>())
        .bind(vec![metadata; count])
        .bind((0..events).map(|_| Uuid::now_v7()).collect::<Vec<Uuid>>())
        .execute(&mut **connection)
        .await?;
    Ok(())
}

fn serialized(place: &Place, events: i64) -> Result<Vec<SerializedEvent>> {
    let id = place.stream.to_string();
    let metadata = serde_json::to_value(events::metadata()?)?;
    let one = |number: i64| {
        Ok(SerializedEvent::new(
            id.clone(),
            (place.version + 1 + number) as usize,
            STREAM_TYPE.to_owned(),
            EVENT_TYPE.to_owned(),
            "1".to_owned(),
            serde_json::from_str(&events::payload(number % 100))?,
            metadata.clone(),
        ))
    };
    (0..events).map(one).collect()
}
