//! What the seals' tables hold, and the events as they are stored: statements and rows.

use crate::AuditError;
use crate::canonical::StoredEvent;
use crate::merkle::Hash;
use chrono::{DateTime, Utc};
use futures::{Stream, TryStreamExt as _};
use sqlx::postgres::{PgExecutor, PgRow};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// The events of a span, verbatim.
pub const EVENTS: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_id, event_type, event_version, \
    recorded_at, payload::text, metadata::text FROM cmdiag.events \
    WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3";

/// The log's name as checkpoints have it.
pub async fn origin(db: impl PgExecutor<'_>) -> Result<String, sqlx::Error> {
    let id: Uuid = sqlx::query_scalar("SELECT log_id FROM cmdiag.audit_log").fetch_one(db).await?;
    Ok(format!("cmdiag-log-{id}"))
}

/// Reads a row of [`EVENTS`] without copying its texts.
pub fn stored(row: &PgRow) -> Result<StoredEvent<'_>, sqlx::Error> {
    Ok(StoredEvent {
        position: row.try_get(0)?,
        aggregate_type: row.try_get(1)?,
        aggregate_id: row.try_get(2)?,
        sequence: row.try_get(3)?,
        event_id: row.try_get(4)?,
        event_type: row.try_get(5)?,
        event_version: row.try_get(6)?,
        recorded_at: row.try_get::<DateTime<Utc>, _>(7)?,
        payload: row.try_get(8)?,
        metadata: row.try_get(9)?,
    })
}

/// The rows of the events after `after` up to `to`, at most `limit`.
pub fn events<'a>(
    db: impl PgExecutor<'a> + 'a,
    after: u64,
    to: u64,
    limit: usize,
) -> impl Stream<Item = Result<PgRow, sqlx::Error>> + Send + 'a {
    sqlx::query(EVENTS).bind(after as i64).bind(to as i64).bind(limit as i64).fetch(db)
}

/// One row of seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Its first position.
    pub first: u64,
    /// Its last position.
    pub last: u64,
    /// The leaves, one after another.
    pub leaves: Vec<u8>,
    /// The links of the streams' chains, one after another.
    pub chains: Vec<u8>,
}

/// The seals after a position, at most `limit` rows.
pub async fn seals(db: impl PgExecutor<'_>, after: u64, limit: i64) -> Result<Vec<Seal>, sqlx::Error> {
    sqlx::query(
        "SELECT first_position, last_position, leaves, chains FROM cmdiag.audit_seals WHERE first_position > $1 \
         ORDER BY first_position LIMIT $2",
    )
    .bind(after as i64)
    .bind(limit)
    .fetch(db)
    .and_then(|row| async move { seal(&row) })
    .try_collect()
    .await
}

fn seal(row: &PgRow) -> Result<Seal, sqlx::Error> {
    Ok(Seal {
        first: row.try_get::<i64, _>(0)? as u64,
        last: row.try_get::<i64, _>(1)? as u64,
        leaves: row.try_get(2)?,
        chains: row.try_get(3)?,
    })
}

/// The position up to which the log is sealed.
pub async fn sealed_to(db: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT last_position FROM cmdiag.audit_seals ORDER BY first_position DESC LIMIT 1")
            .fetch_optional(db)
            .await?;
    Ok(last.unwrap_or(0) as u64)
}

/// The size of the largest tree that a checkpoint tells of.
pub async fn signed_to(db: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let largest: Option<i64> =
        sqlx::query_scalar("SELECT max(tree_size) FROM cmdiag.audit_checkpoints").fetch_one(db).await?;
    Ok(largest.unwrap_or(0) as u64)
}

/// The position of the newest event.
pub async fn log_end(db: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let end: i64 = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM cmdiag.events").fetch_one(db).await?;
    Ok(end as u64)
}

/// The leaves of the positions from `first_index + 1` on, as many as asked for.
pub async fn leaves(db: &mut PgConnection, first_index: u64, count: u64) -> Result<Vec<Hash>, AuditError> {
    let (first, last) = (first_index + 1, first_index + count);
    let rows: Vec<(i64, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT first_position, last_position, leaves FROM cmdiag.audit_seals WHERE first_position <= $2 \
         AND first_position >= (SELECT max(first_position) FROM cmdiag.audit_seals WHERE first_position <= $1) \
         ORDER BY first_position",
    )
    .bind(first as i64)
    .bind(last as i64)
    .fetch_all(db)
    .await?;
    let mut found = Vec::with_capacity(count as usize);
    for (from, _, leaves) in rows {
        for (position, leaf) in (from as u64..).zip(leaves.chunks_exact(32)) {
            if position == first + found.len() as u64 && position <= last {
                let mut hash = Hash::default();
                hash.copy_from_slice(leaf);
                found.push(hash);
            }
        }
    }
    if found.len() as u64 == count {
        Ok(found)
    } else {
        Err(AuditError::Missing(format!("the seal of position {} is missing", first + found.len() as u64)))
    }
}

/// Stored nodes of a level, from an index on, as many as asked for.
pub async fn nodes(db: &mut PgConnection, level: u32, first: u64, count: u64) -> Result<Vec<Hash>, AuditError> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT index, hash::bytea FROM cmdiag.audit_nodes WHERE level = $1 AND index >= $2 AND index < $3 ORDER BY index",
    )
    .bind(level as i16)
    .bind(first as i64)
    .bind((first + count) as i64)
    .fetch_all(db)
    .await?;
    let mut found = Vec::with_capacity(count as usize);
    for ((index, hash), due) in rows.into_iter().zip(first..) {
        let hash = Hash::try_from(hash.as_slice()).ok().filter(|_| index as u64 == due);
        found.push(hash.ok_or_else(|| missing_node(level, due))?);
    }
    if found.len() as u64 == count { Ok(found) } else { Err(missing_node(level, first + found.len() as u64)) }
}

fn missing_node(level: u32, index: u64) -> AuditError {
    AuditError::Missing(format!("node {index} of level {level} of the tree is missing"))
}

/// The notes of checkpoints with a number above `after`, at most `limit`.
pub async fn notes_after(db: impl PgExecutor<'_>, after: u64, limit: i64) -> Result<Vec<(u64, String)>, sqlx::Error> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT number, note FROM cmdiag.audit_checkpoints WHERE number > $1 ORDER BY number LIMIT $2")
            .bind(after as i64)
            .bind(limit)
            .fetch_all(db)
            .await?;
    Ok(rows.into_iter().map(|(number, note)| (number as u64, note)).collect())
}

/// The notes of checkpoints whose tree ends after the first and up to the second position.
pub async fn notes_between(db: impl PgExecutor<'_>, after: u64, to: u64) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT note FROM cmdiag.audit_checkpoints WHERE tree_size > $1 AND tree_size <= $2 \
         ORDER BY tree_size, number",
    )
    .bind(after as i64)
    .bind(to.min(i64::MAX as u64) as i64)
    .fetch_all(db)
    .await
}

/// The newest checkpoint's note.
pub async fn newest_note(db: impl PgExecutor<'_>) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT note FROM cmdiag.audit_checkpoints ORDER BY number DESC LIMIT 1")
        .fetch_optional(db)
        .await
}

/// The note of one checkpoint.
pub async fn note(db: impl PgExecutor<'_>, number: u64) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT note FROM cmdiag.audit_checkpoints WHERE number = $1")
        .bind(number as i64)
        .fetch_optional(db)
        .await
}

/// The first checkpoint whose tree holds this position.
pub async fn note_covering(db: impl PgExecutor<'_>, position: u64) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT note FROM cmdiag.audit_checkpoints WHERE tree_size >= $1 ORDER BY tree_size LIMIT 1")
        .bind(position as i64)
        .fetch_optional(db)
        .await
}

/// The events of the stream of keys up to a position: positions and payloads.
pub async fn key_events(db: impl PgExecutor<'_>, to: u64) -> Result<Vec<(u64, String)>, sqlx::Error> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT position, payload::text FROM cmdiag.events \
         WHERE aggregate_type = $1 AND aggregate_id = $2 AND position <= $3 ORDER BY sequence",
    )
    .bind(domain::any_event::AUDIT_KEYS)
    .bind(domain::audit_keys::AuditKeys::id().to_string())
    .bind(to as i64)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(position, payload)| (position as u64, payload)).collect())
}
