//! Reading events back: decoded, checked to be contiguous, brought up to date.

use super::bounded;
use crate::log::{LogError, RecordedEvent, StreamId};
use crate::upcast::Upcasters;
use domain::{Actor, CommandId, CorrelationId, Metadata, Position, StreamVersion, TenantId};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgPool, Row};
use std::time::Duration;
use uuid::Uuid;

/// The most events that one read gives, whatever was asked for.
const READ_MAX: usize = 10_000;
/// A read that takes longer is given up: the database is away, or overwhelmed.
pub(super) const READ_PATIENCE: Duration = Duration::from_secs(30);
/// The foreign writer's name where an event says nothing of who wrote it.
const FOREIGN: &str = "system:foreign-writer";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT position, aggregate_type, aggregate_id, sequence, event_id, event_type, event_version, payload,
    metadata, recorded_at FROM cmdiag.events ",
            $rest
        )
    };
}

const READ_ALL: &str = select!("WHERE position > $1 ORDER BY position LIMIT $2");
const READ_STREAM: &str =
    select!("WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4");

pub(super) async fn read_all(
    pool: &PgPool,
    upcasters: &Upcasters,
    after: Position,
    limit: usize,
) -> Result<Vec<RecordedEvent>, LogError> {
    let query = sqlx::query(READ_ALL).bind(after.0).bind(limit.min(READ_MAX) as i64).fetch_all(pool);
    let rows = bounded(READ_PATIENCE, query).await?;
    let mut events = Vec::with_capacity(rows.len());
    let mut last = after;
    let mut memo = MetadataMemo::default();
    for row in rows {
        let event = upcasters.apply(decode_with(&row, last, &mut memo)?)?;
        if event.position != last.next() {
            let reason = format!("the next event stands at {}, not at {}", event.position, last.next());
            return Err(LogError::Damaged { position: last.next(), reason });
        }
        last = event.position;
        events.push(event);
    }
    Ok(events)
}

pub(super) async fn read_stream(
    pool: &PgPool,
    upcasters: &Upcasters,
    stream: &StreamId,
    after: StreamVersion,
    limit: usize,
) -> Result<Vec<RecordedEvent>, LogError> {
    let query = sqlx::query(READ_STREAM)
        .bind(&*stream.aggregate_type)
        .bind(&*stream.aggregate_id)
        .bind(after.0)
        .bind(limit.min(READ_MAX) as i64)
        .fetch_all(pool);
    let rows = bounded(READ_PATIENCE, query).await?;
    let mut events: Vec<RecordedEvent> = Vec::with_capacity(rows.len());
    let (mut last, mut memo) = (after.0, MetadataMemo::default());
    for row in rows {
        let near = events.last().map_or(Position::START, |event| event.position);
        let event = upcasters.apply(decode_with(&row, near, &mut memo)?)?;
        if event.version.0 != last + 1 {
            let reason = format!("stream {stream} goes on with event {}, not {}", event.version, last + 1);
            return Err(LogError::Damaged { position: event.position, reason });
        }
        last = event.version.0;
        events.push(event);
    }
    Ok(events)
}

/// The metadata that was read last, and its text: the events of one append have the same, and follow each other.
#[derive(Default)]
pub(super) struct MetadataMemo(Option<(String, Metadata)>);

impl MetadataMemo {
    fn decode(&mut self, text: &str, event_id: Uuid) -> Result<Metadata, serde_json::Error> {
        if let Some((known, metadata)) = &self.0
            && known == text
        {
            return Ok(metadata.clone());
        }
        let metadata = decode_metadata(text, event_id)?;
        // A foreign writer's takes its ids from the event.
        self.0 = (metadata.actor.as_str() != FOREIGN).then(|| (text.to_owned(), metadata.clone()));
        Ok(metadata)
    }
}

/// `near` names the place where even the position is not readable.
pub(super) fn decode_with(row: &PgRow, near: Position, memo: &mut MetadataMemo) -> Result<RecordedEvent, LogError> {
    let position: i64 = row.try_get(0).map_err(|error| damaged(near, &error))?;
    let position = Position(position);
    decode_at(row, position, memo).map_err(|error| damaged(position, &error))
}

fn damaged(position: Position, error: &sqlx::Error) -> LogError {
    LogError::Damaged { position, reason: error.to_string() }
}

fn decode_at(row: &PgRow, position: Position, memo: &mut MetadataMemo) -> Result<RecordedEvent, sqlx::Error> {
    let event_id: Uuid = row.try_get(4)?;
    let payload: Json<Box<RawValue>> = row.try_get(7)?;
    let metadata: Json<&RawValue> = row.try_get(8)?;
    Ok(RecordedEvent {
        position,
        stream: StreamId::new(row.try_get(1)?, row.try_get(2)?),
        version: StreamVersion(row.try_get(3)?),
        event_id,
        event_type: row.try_get(5)?,
        event_version: row.try_get(6)?,
        payload: payload.0,
        metadata: memo.decode(metadata.0.get(), event_id).map_err(|error| sqlx::Error::Decode(error.into()))?,
        recorded_at: row.try_get(9)?,
    })
}

/// Metadata as we write it. A foreign writer (postgres-es) knows nothing of ours: its events are readable all the
/// same, and say that they are foreign. Metadata that has our entries, but not right ones, is damage.
fn decode_metadata(text: &str, event_id: Uuid) -> Result<Metadata, serde_json::Error> {
    let error = match serde_json::from_str(text) {
        Ok(metadata) => return Ok(metadata),
        Err(error) => error,
    };
    let entries: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    let ours = ["actor", "tenant", "command_id", "correlation_id"];
    if ours.iter().any(|name| entries.contains_key(*name)) {
        return Err(error);
    }
    let Ok(actor) = Actor::new(FOREIGN) else { return Err(error) };
    let mut metadata = Metadata::new(actor, TenantId::default(), CommandId(event_id));
    metadata.correlation_id = CorrelationId(event_id);
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_metadata_comes_back() {
        let actor = Actor::new("mara").unwrap();
        let ours = Metadata::new(actor, TenantId::default(), CommandId(Uuid::from_u128(5)));
        let text = serde_json::to_string(&ours).unwrap();
        assert_eq!(decode_metadata(&text, Uuid::nil()).unwrap(), ours);
    }

    #[test]
    fn foreign_metadata_says_that_it_is_foreign() {
        let read = decode_metadata(r#"{"time": "noon"}"#, Uuid::from_u128(9)).unwrap();
        assert_eq!(read.actor.as_str(), FOREIGN);
        assert_eq!(read.command_id, CommandId(Uuid::from_u128(9)));
    }

    #[test]
    fn broken_metadata_is_an_error() {
        for text in [r#"{"actor": "mara"}"#, r#"{"command_id": 7}"#, "[]", "null", "7"] {
            assert!(decode_metadata(text, Uuid::nil()).is_err(), "{text}");
        }
    }
}
