//! The lines of a bundle.

use crate::AuditError;
use crate::canonical::{StoredEvent, moment};
use crate::store::Seal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use uuid::Uuid;

/// What every line says first.
#[derive(Debug, Deserialize)]
pub struct Kind<'a> {
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub kind: String,
    pub format: String,
    pub version: u32,
    pub origin: String,
    pub made_at: DateTime<Utc>,
    pub events: u64,
    pub keys: Vec<String>,
}

/// An event, verbatim.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventLine<'a> {
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    pub position: i64,
    #[serde(borrow)]
    pub aggregate_type: Cow<'a, str>,
    #[serde(borrow)]
    pub aggregate_id: Cow<'a, str>,
    pub sequence: i64,
    pub event_id: Uuid,
    #[serde(borrow)]
    pub event_type: Cow<'a, str>,
    #[serde(borrow)]
    pub event_version: Cow<'a, str>,
    pub recorded_at: Cow<'a, str>,
    #[serde(borrow)]
    pub payload: Cow<'a, str>,
    #[serde(borrow)]
    pub metadata: Cow<'a, str>,
}

impl<'a> EventLine<'a> {
    /// The line of an event.
    pub fn of(event: &StoredEvent<'a>) -> Self {
        Self {
            kind: "event".into(),
            position: event.position,
            aggregate_type: event.aggregate_type.into(),
            aggregate_id: event.aggregate_id.into(),
            sequence: event.sequence,
            event_id: event.event_id,
            event_type: event.event_type.into(),
            event_version: event.event_version.into(),
            recorded_at: moment(event.recorded_at).into(),
            payload: event.payload.into(),
            metadata: event.metadata.into(),
        }
    }

    /// The event of a line.
    pub fn event(&self) -> Result<StoredEvent<'_>, AuditError> {
        let recorded_at = DateTime::parse_from_rfc3339(&self.recorded_at)
            .map_err(|error| AuditError::Malformed(format!("recorded_at of position {}: {error}", self.position)))?;
        Ok(StoredEvent {
            position: self.position,
            aggregate_type: &self.aggregate_type,
            aggregate_id: &self.aggregate_id,
            sequence: self.sequence,
            event_id: self.event_id,
            event_type: &self.event_type,
            event_version: &self.event_version,
            recorded_at: recorded_at.to_utc(),
            payload: &self.payload,
            metadata: &self.metadata,
        })
    }
}

/// A row of seals, in hexadecimal digits.
#[derive(Debug, Serialize, Deserialize)]
pub struct SealLine {
    pub kind: String,
    pub first: u64,
    pub last: u64,
    pub leaves: String,
    pub chains: String,
}

impl SealLine {
    /// The line of a row.
    pub fn of(seal: &Seal) -> Self {
        Self {
            kind: "seal".to_owned(),
            first: seal.first,
            last: seal.last,
            leaves: hex::encode(&seal.leaves),
            chains: hex::encode(&seal.chains),
        }
    }

    /// The row of a line.
    pub fn seal(&self) -> Result<Seal, AuditError> {
        let bytes = |text: &str| {
            let wrong = |error| AuditError::Malformed(format!("the seals from position {}: {error}", self.first));
            hex::decode(text).map_err(wrong)
        };
        Ok(Seal { first: self.first, last: self.last, leaves: bytes(&self.leaves)?, chains: bytes(&self.chains)? })
    }
}

/// A checkpoint's note.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckpointLine {
    pub kind: String,
    pub note: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
pub struct End {
    pub kind: String,
    pub events: u64,
    pub checkpoints: u64,
}
