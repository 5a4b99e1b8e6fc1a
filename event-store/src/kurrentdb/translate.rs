//! Our events as KurrentDB keeps them, and back.

use super::connection::damaged;
use super::names::Names;
use crate::log::{LogError, NewEvent, RecordedEvent};
use chrono::{DateTime, Utc};
use domain::{Metadata, Position, StreamVersion};
use eventstore::EventData;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use uuid::Uuid;

/// What stands beside a payload: our metadata, and the two names that KurrentDB's own tools know.
#[derive(Serialize, Deserialize)]
struct StoredMetadata<'a> {
    event_version: Cow<'a, str>,
    #[serde(flatten)]
    metadata: Cow<'a, Metadata>,
    #[serde(rename = "$correlationId")]
    correlation: Uuid,
    #[serde(rename = "$causationId", default, skip_serializing_if = "Option::is_none")]
    causation: Option<Uuid>,
}

/// An event to be written. Payload and metadata are JSON, so that KurrentDB's own pages show them.
pub(super) fn to_write(event: &NewEvent, metadata: &Metadata) -> Result<EventData, LogError> {
    let beside = StoredMetadata {
        event_version: Cow::Borrowed(&event.event_version),
        metadata: Cow::Borrowed(metadata),
        correlation: metadata.correlation_id.0,
        causation: metadata.causation_id,
    };
    EventData::json(&event.event_type, &event.payload)
        .and_then(|data| data.id(event.event_id).metadata_as_json(&beside))
        .map_err(|error| LogError::Unavailable(format!("the event has no JSON: {error}")))
}

/// About the bytes that an append takes in KurrentDB, more rather than less.
pub(super) fn size(events: &[NewEvent], metadata: &Metadata) -> usize {
    let beside = serde_json::to_vec(metadata).map_or(0, |text| text.len()) + 160;
    events.iter().map(|event| 2 * event.event_type.len() + event.payload.get().len() + beside).sum()
}

/// An event as read, at its position.
pub(super) fn as_read(
    names: &Names,
    event: &eventstore::RecordedEvent,
    position: Position,
) -> Result<RecordedEvent, LogError> {
    let broken = |what: &str| damaged(position, format!("{} of {}: {what}", event.revision, event.stream_id()));
    let stream = names.aggregate(event.stream_id()).ok_or_else(|| broken("not an aggregate's stream"))?;
    let beside: StoredMetadata<'_> =
        serde_json::from_slice(&event.custom_metadata).map_err(|error| broken(&format!("metadata: {error}")))?;
    let text = String::from_utf8(event.data.to_vec()).map_err(|error| broken(&error.to_string()))?;
    let payload = RawValue::from_string(text).map_err(|error| broken(&format!("payload: {error}")))?;
    Ok(RecordedEvent {
        position,
        stream,
        version: StreamVersion(event.revision as i64 + 1),
        event_id: event.id,
        event_type: event.event_type.clone(),
        event_version: beside.event_version.into_owned(),
        payload,
        metadata: beside.metadata.into_owned(),
        recorded_at: recorded_at(event),
    })
}

/// When the server recorded it. The client's own figure is cut to whole seconds; this one has microseconds, as ours
/// has everywhere.
pub(super) fn recorded_at(event: &eventstore::RecordedEvent) -> DateTime<Utc> {
    let ticks = event.metadata.get("created").and_then(|ticks| ticks.parse::<i64>().ok());
    ticks.and_then(|ticks| DateTime::from_timestamp_micros(ticks / 10)).unwrap_or(event.created)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Actor, CommandId, TenantId};

    #[test]
    fn metadata_come_back_and_kurrentdbs_names_stand_beside_them() {
        let mut metadata = Metadata::new(Actor::new("mara").unwrap(), TenantId::default(), CommandId(Uuid::now_v7()));
        for causation in [None, Some(Uuid::now_v7())] {
            metadata.causation_id = causation;
            let beside = StoredMetadata {
                event_version: Cow::Borrowed("3"),
                metadata: Cow::Borrowed(&metadata),
                correlation: metadata.correlation_id.0,
                causation,
            };
            let text = serde_json::to_string(&beside).unwrap();
            let read: StoredMetadata<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!((read.metadata.as_ref(), &*read.event_version), (&metadata, "3"));
            assert!(text.contains(&format!("\"$correlationId\":\"{}\"", metadata.correlation_id.0)), "{text}");
            assert_eq!(text.contains("$causationId"), causation.is_some());
        }
    }
}
