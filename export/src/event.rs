//! Events as they are stored: the texts byte for byte, nothing brought up to date, nothing deciphered.
//!
//! An export is what an auditor hashes, so it can not go through the upcasters as everybody else's reading does. It
//! holds what the log holds: where parts of events are stored enciphered, the export has the ciphertext, and what was
//! erased stays erased in it.

use crate::error::ExportError;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use serde_json::Value;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// The most events of one page.
pub const PAGE_EVENTS_MAX: i64 = 1_000;
/// A page ends after the event that brings it over so many bytes.
pub const PAGE_BYTES_MAX: usize = 8 << 20;

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StoredEvent {
    /// Its place in the total order.
    pub position: i64,
    /// The type of its aggregate.
    pub aggregate_type: String,
    /// The id of its aggregate.
    pub aggregate_id: String,
    /// Its place in its stream, from 1.
    pub sequence: i64,
    /// Its own id.
    pub event_id: Uuid,
    /// Its type as stored.
    pub event_type: String,
    /// Its version as stored.
    pub event_version: String,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Its payload, byte for byte.
    pub payload: String,
    /// Its metadata, byte for byte.
    pub metadata: String,
}

impl StoredEvent {
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.metadata.len() + 256
    }

    pub(crate) fn known(&self) -> KnownMetadata {
        KnownMetadata(serde_json::from_str(&self.metadata).unwrap_or(Value::Null))
    }
}

/// The metadata's entries that have a place of their own in the export. What is not there as a text (a foreign
/// writer's, an enciphered one) has none; the metadata's own bytes are exported beside it.
pub(crate) struct KnownMetadata(Value);

impl KnownMetadata {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}

/// Where stored events come from.
pub trait EventSource: Send + Sync {
    /// The position of the newest event.
    fn head(&self) -> BoxFuture<'_, Result<i64, ExportError>>;

    /// Events after a position, in order and without a gap, at most up to `until`; empty only where there is none.
    fn page(&self, after: i64, until: i64) -> BoxFuture<'_, Result<Vec<StoredEvent>, ExportError>>;
}

/// The log's table in PostgreSQL.
#[derive(Debug, Clone)]
pub struct StoredEvents(pub PgPool);

const PAGE: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_id, event_type, event_version, \
    recorded_at, payload::text AS payload, metadata::text AS metadata \
    FROM cmdiag.events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3";

impl StoredEvents {
    async fn read(&self, after: i64, until: i64) -> Result<Vec<StoredEvent>, ExportError> {
        let mut rows =
            sqlx::query_as::<_, StoredEvent>(PAGE).bind(after).bind(until).bind(PAGE_EVENTS_MAX).fetch(&self.0);
        let (mut events, mut bytes, mut last) = (Vec::new(), 0, after);
        while let Some(event) = rows.try_next().await? {
            if event.position != last + 1 {
                return Err(ExportError::Missing(last + 1));
            }
            last = event.position;
            bytes += event.bytes();
            events.push(event);
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        if events.is_empty() && after < until {
            return Err(ExportError::Missing(after + 1));
        }
        Ok(events)
    }
}

impl EventSource for StoredEvents {
    fn head(&self) -> BoxFuture<'_, Result<i64, ExportError>> {
        Box::pin(async {
            let head: Option<i64> =
                sqlx::query_scalar("SELECT max(position) FROM cmdiag.events").fetch_one(&self.0).await?;
            Ok(head.unwrap_or(0))
        })
    }

    fn page(&self, after: i64, until: i64) -> BoxFuture<'_, Result<Vec<StoredEvent>, ExportError>> {
        Box::pin(self.read(after, until))
    }
}
