//! Rows of the copy, and the transaction that writes them.

use super::claims::Claim;
use super::connection::damaged;
use super::copy::unavailable;
use super::translate::recorded_at;
use crate::log::{LogError, RecordedEvent, StreamId};
use chrono::{DateTime, Utc};
use domain::Metadata;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::Instant;

const EVENTS: &str = "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version,
    payload, metadata, position, event_id, recorded_at)
SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload::json, metadata::json, position,
    event_id, recorded_at
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
    $9::uuid[], $10::timestamptz[]) AS e (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
    metadata, position, event_id, recorded_at)
ORDER BY position ON CONFLICT DO NOTHING";

// Another process may have written some of them first: then they must be these.
const SAME: &str = "SELECT count(*) FROM unnest($1::bigint[], $2::uuid[]) AS e (position, event_id)
    JOIN cmdiag.events USING (position, event_id)";

const COMMANDS: &str = "INSERT INTO cmdiag.commands (command_id, tenant, actor, name, aggregate_type, aggregate_id,
    body_hash, outcome, first_position, last_position, stream_version, events, refusal_code, refusal_message,
    correlation_id, causation_id, recorded_at)
SELECT command_id, tenant, actor, name, aggregate_type, aggregate_id, body_hash,
    CASE WHEN refusal_code IS NULL THEN 'accepted' ELSE 'refused' END, first_position, last_position, stream_version,
    events, refusal_code, refusal_message, correlation_id, causation_id, recorded_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::int[], $12::text[], $13::text[], $14::uuid[], $15::uuid[], $16::timestamptz[])
    AS c (command_id, tenant, actor, name, aggregate_type, aggregate_id, body_hash, first_position, last_position,
    stream_version, events, refusal_code, refusal_message, correlation_id, causation_id, recorded_at)
ORDER BY command_id ON CONFLICT DO NOTHING";

/// An event to copy.
pub(super) struct EventRow {
    pub event: RecordedEvent,
    metadata: String,
}

impl EventRow {
    pub fn of(event: RecordedEvent) -> Result<Self, LogError> {
        let metadata =
            serde_json::to_string(&event.metadata).map_err(|error| damaged(event.position, error.to_string()))?;
        Ok(Self { event, metadata })
    }
}

/// A command to copy.
pub(super) struct CommandRow {
    pub name: String,
    pub body_hash: [u8; 32],
    pub stream: StreamId,
    pub metadata: Metadata,
    pub first_position: Option<i64>,
    pub last_position: Option<i64>,
    pub stream_version: Option<i64>,
    pub events: i32,
    pub refusal: Option<(String, String)>,
    pub recorded_at: DateTime<Utc>,
}

impl CommandRow {
    /// What every row says; recorded when this entry was.
    pub fn of(claim: &Claim, entry: &eventstore::RecordedEvent) -> Self {
        Self {
            name: claim.command.name.clone(),
            body_hash: claim.command.body_hash,
            stream: claim.stream.clone(),
            metadata: claim.metadata.clone(),
            first_position: None,
            last_position: None,
            stream_version: None,
            events: 0,
            refusal: None,
            recorded_at: recorded_at(entry),
        }
    }
}

/// Writes all of it, or nothing.
pub(super) async fn insert(
    pool: &PgPool,
    events: &[EventRow],
    commands: &[CommandRow],
    deadline: Instant,
) -> Result<(), LogError> {
    let work = async {
        let mut transaction = pool.begin().await.map_err(|error| unavailable(&error))?;
        if let Some(first) = events.first() {
            insert_events(&mut transaction, events).await.map_err(|error| unavailable(&error))?;
            let same = count_same(&mut transaction, events).await.map_err(|error| unavailable(&error))?;
            if same != events.len() as i64 {
                return Err(damaged(
                    first.event.position,
                    "the database holds other events than KurrentDB from here on",
                ));
            }
        }
        if !commands.is_empty() {
            insert_commands(&mut transaction, commands).await.map_err(|error| unavailable(&error))?;
        }
        transaction.commit().await.map_err(|error| unavailable(&error))
    };
    tokio::time::timeout_at(deadline, work)
        .await
        .unwrap_or_else(|_| Err(LogError::Unavailable("the database did not answer in time".to_owned())))
}

fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn insert_events(transaction: &mut Transaction<'_, Postgres>, rows: &[EventRow]) -> Result<(), sqlx::Error> {
    sqlx::query(EVENTS)
        .bind(column(rows, |row| &*row.event.stream.aggregate_type))
        .bind(column(rows, |row| &*row.event.stream.aggregate_id))
        .bind(column(rows, |row| row.event.version.0))
        .bind(column(rows, |row| row.event.event_type.as_str()))
        .bind(column(rows, |row| row.event.event_version.as_str()))
        .bind(column(rows, |row| row.event.payload.get()))
        .bind(column(rows, |row| row.metadata.as_str()))
        .bind(column(rows, |row| row.event.position.0))
        .bind(column(rows, |row| row.event.event_id))
        .bind(column(rows, |row| row.event.recorded_at))
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

async fn count_same(transaction: &mut Transaction<'_, Postgres>, rows: &[EventRow]) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(SAME)
        .bind(column(rows, |row| row.event.position.0))
        .bind(column(rows, |row| row.event.event_id))
        .fetch_one(&mut **transaction)
        .await
}

async fn insert_commands(transaction: &mut Transaction<'_, Postgres>, rows: &[CommandRow]) -> Result<(), sqlx::Error> {
    let refusal = |row: &CommandRow| row.refusal.as_ref().map(|(code, text)| (code.clone(), storable(text)));
    // With events, their metadata say what it was part of.
    let idle = |row: &CommandRow| row.events == 0;
    sqlx::query(COMMANDS)
        .bind(column(rows, |row| row.metadata.command_id.0))
        .bind(column(rows, |row| row.metadata.tenant.as_str()))
        .bind(column(rows, |row| row.metadata.actor.as_str()))
        .bind(column(rows, |row| row.name.as_str()))
        .bind(column(rows, |row| &*row.stream.aggregate_type))
        .bind(column(rows, |row| &*row.stream.aggregate_id))
        .bind(column(rows, |row| row.body_hash.as_slice()))
        .bind(column(rows, |row| row.first_position))
        .bind(column(rows, |row| row.last_position))
        .bind(column(rows, |row| row.stream_version))
        .bind(column(rows, |row| row.events))
        .bind(column(rows, |row| refusal(row).map(|(code, _)| code)))
        .bind(column(rows, |row| refusal(row).map(|(_, message)| message)))
        .bind(column(rows, |row| idle(row).then_some(row.metadata.correlation_id.0)))
        .bind(column(rows, |row| row.metadata.causation_id.filter(|_| idle(row))))
        .bind(column(rows, |row| row.recorded_at))
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// PostgreSQL stores every character but NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}
