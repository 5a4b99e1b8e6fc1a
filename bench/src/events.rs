//! The events that the log's benchmarks write: the same for every contestant.

use anyhow::Result;
use chrono::Utc;
use domain::{Actor, CommandId, Metadata, TenantId};
use event_store::{Append, CommandRecord, Expected, NewEvent, StreamId, StreamVersion};
use serde_json::value::RawValue;
use uuid::Uuid;

/// How many appends go to one stream before the next one begins.
pub const STREAM_APPENDS: i64 = 50;
/// The type of the streams.
pub const STREAM_TYPE: &str = domain::any_event::DIAGNOSTIC_RUN;
/// The type of the events.
pub const EVENT_TYPE: &str = "ChecksCompleted";

/// A payload of the size that a result of one check has.
pub fn payload(number: i64) -> String {
    format!(
        concat!(
            r#"{{"ChecksCompleted":{{"deployment":"0190b6a0-0000-7000-8000-000000000001","results":[{{"key":"#,
            r#"{{"check":"CM-STORE-NEAR-CAPACITY","component":"store-1"}},"version":"0123456789ab","outcome":"ok","#,
            r#""summary":"Main store is {number} % full","omitted":0,"metrics":{{"used_percent":{number}.0}},"#,
            r#""measured_at":"2026-01-05T08:00:00Z","duration_ms":3}}],"done":1,"planned":46,"#,
            r#""at":"2026-01-05T08:00:00Z"}}}}"#
        ),
        number = number
    )
}

/// Metadata of one append.
pub fn metadata() -> Result<Metadata> {
    let actor: Actor = "bench".parse()?;
    Ok(Metadata::new(actor, TenantId::default(), CommandId(Uuid::now_v7())))
}

/// A writer's place: its stream and how long that is.
pub struct Place {
    /// The stream's id.
    pub stream: Uuid,
    /// How many events it holds.
    pub version: i64,
    appends: i64,
}

impl Place {
    /// At the beginning of a new stream.
    pub fn new() -> Self {
        Self { stream: Uuid::now_v7(), version: 0, appends: 0 }
    }

    /// After an append of so many events.
    pub fn wrote(&mut self, events: i64) {
        self.version += events;
        self.appends += 1;
        if self.appends == STREAM_APPENDS {
            *self = Self::new();
        }
    }
}

/// An append of our log.
pub fn append(place: &Place, events: i64) -> Result<Append> {
    let new_event = |number| {
        Ok(NewEvent {
            event_id: Uuid::now_v7(),
            event_type: EVENT_TYPE.to_owned(),
            event_version: "1".to_owned(),
            payload: RawValue::from_string(payload(number % 100))?,
        })
    };
    let metadata = metadata()?;
    Ok(Append {
        stream: StreamId::new(STREAM_TYPE, &place.stream.to_string()),
        expected: Expected::Version(StreamVersion(place.version)),
        events: (0..events).map(new_event).collect::<Result<_>>()?,
        command: CommandRecord { name: "record_results".to_owned(), body_hash: hash_of(metadata.command_id) },
        metadata,
    })
}

/// Any 32 bytes: what is hashed does not matter to the log.
fn hash_of(command: CommandId) -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..16].copy_from_slice(command.0.as_bytes());
    hash[16..24].copy_from_slice(&Utc::now().timestamp_micros().to_le_bytes());
    hash
}
