//! An event as the log holds it.

use super::super::codes::{INTERNAL, coded};
use crate::schema::scalars::PositionScalar;
use async_graphql::{Json, Result, SimpleObject};
use chrono::{DateTime, Utc};
use event_store::RecordedEvent;
use uuid::Uuid;

/// An event: what happened, when, and who brought it about.
#[derive(Debug, Clone, SimpleObject)]
pub struct HistoryEvent {
    /// Its place in the total order of the log; resume after it.
    pub position: PositionScalar,
    /// Its stream's type, such as `DiagnosticRun`.
    pub stream_type: String,
    /// Its stream's id: the UUID of the run, deployment or finding.
    pub stream_id: String,
    /// Its place in its stream, from 1.
    pub version: i64,
    /// What happened, such as `RunRequested`.
    #[graphql(name = "type")]
    pub event_type: String,
    /// The version of the event's form.
    pub type_version: String,
    /// Its own id.
    pub event_id: Uuid,
    /// When the log recorded it.
    pub at: DateTime<Utc>,
    /// Who brought it about.
    pub actor: String,
    /// Ties together all that one request caused.
    pub correlation_id: Uuid,
    /// The event that it answers, where it answers one.
    pub causation_id: Option<Uuid>,
    /// What it says.
    pub data: Json<serde_json::Value>,
}

/// The event as the schema has it.
pub fn event_of(event: &RecordedEvent) -> Result<HistoryEvent> {
    let data = serde_json::from_str(event.payload.get()).map_err(|error| {
        tracing::error!(position = %event.position, %error, "an event's payload is not JSON");
        coded(INTERNAL, format!("the event at position {} is damaged", event.position))
    })?;
    Ok(HistoryEvent {
        position: event.position.into(),
        stream_type: event.stream.aggregate_type.to_string(),
        stream_id: event.stream.aggregate_id.to_string(),
        version: event.version.0,
        event_type: event.event_type.clone(),
        type_version: event.event_version.clone(),
        event_id: event.event_id,
        at: event.recorded_at,
        actor: event.metadata.actor.to_string(),
        correlation_id: event.metadata.correlation_id.0,
        causation_id: event.metadata.causation_id,
        data: Json(data),
    })
}
