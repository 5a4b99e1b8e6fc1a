//! A command's stream: what is to become of it, written before anything becomes of it.
//!
//! The first entry decides by its place: of many who want to execute one command, one writes it. An intent holds the
//! whole append, so that whoever meets it can finish it: the events carry their ids and an exact expected revision, so
//! finishing twice is finishing once. The stream of the aggregate then tells, for ever, what became of it: its events
//! stand in their places, or others do. Only where others do may the command be decided anew, by a further entry.
//!
//! A crash between intent and append leaves a command that was not answered. Whoever repeats it gets the outcome of
//! the first decision, if that is still possible, or decides anew.

use super::connection::damaged;
use crate::log::{
    Append, AppendError, Appended, CommandOutcome, CommandRecord, Expected, LogError, NewEvent, RefusedCommand,
    StreamId,
};
use domain::{CommandId, Metadata, Position, StreamVersion};
use eventstore::{EventData, RecordedEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt::Write;
use uuid::Uuid;

const INTENDED: &str = "CommandIntended";
const IDLE: &str = "CommandChangedNothing";
const REFUSED: &str = "CommandRefused";

/// An entry of a command's stream.
pub(super) struct Claim {
    pub command: CommandRecord,
    pub stream: StreamId,
    pub metadata: Metadata,
    pub body: Body,
}

pub(super) enum Body {
    /// These events are to be appended.
    Intent(Intent),
    /// It was accepted and changed nothing.
    Idle { position: Position, version: StreamVersion },
    /// It was refused.
    Refused { code: String, message: String },
}

/// An append that is to be.
#[derive(Debug)]
pub(super) struct Intent {
    pub stream: StreamId,
    pub expected: i64,
    pub events: Vec<NewEvent>,
    pub metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
struct StoredCommand {
    name: String,
    body_sha256: String,
    aggregate_type: String,
    aggregate_id: String,
    metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
struct StoredEvent {
    event_id: Uuid,
    event_type: String,
    event_version: String,
    payload: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct StoredIntent {
    command: StoredCommand,
    expected_version: i64,
    events: Vec<StoredEvent>,
}

#[derive(Serialize, Deserialize)]
struct StoredIdle {
    command: StoredCommand,
    position: i64,
    stream_version: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredRefusal {
    command: StoredCommand,
    code: String,
    message: String,
}

/// An entry ready to be written, with an id of its own: sent twice, it is written once.
pub(super) fn intent_to_write(append: &Append) -> Result<EventData, LogError> {
    let Expected::Version(expected) = append.expected;
    let events = append.events.iter().map(|event| StoredEvent {
        event_id: event.event_id,
        event_type: event.event_type.clone(),
        event_version: event.event_version.clone(),
        payload: event.payload.clone(),
    });
    let command = stored(&append.command, &append.stream, &append.metadata);
    let entry = StoredIntent { command, expected_version: expected.0, events: events.collect() };
    to_write(INTENDED, &entry)
}

/// The entry of an append without events.
pub(super) fn idle_to_write(append: &Append, position: Position) -> Result<EventData, LogError> {
    let Expected::Version(version) = append.expected;
    let command = stored(&append.command, &append.stream, &append.metadata);
    to_write(IDLE, &StoredIdle { command, position: position.0, stream_version: version.0 })
}

/// The entry of a refusal.
pub(super) fn refusal_to_write(refusal: &RefusedCommand) -> Result<EventData, LogError> {
    let command = stored(&refusal.command, &refusal.stream, &refusal.metadata);
    let (code, message) = (refusal.code.clone(), refusal.message.clone());
    to_write(REFUSED, &StoredRefusal { command, code, message })
}

fn to_write(kind: &str, entry: &impl Serialize) -> Result<EventData, LogError> {
    EventData::json(kind, entry)
        .map(|data| data.id(Uuid::now_v7()))
        .map_err(|error| LogError::Unavailable(format!("the command has no JSON: {error}")))
}

fn stored(command: &CommandRecord, stream: &StreamId, metadata: &Metadata) -> StoredCommand {
    let mut body_sha256 = String::with_capacity(64);
    for byte in command.body_hash {
        // A text takes what is written into it.
        let _ = write!(body_sha256, "{byte:02x}");
    }
    StoredCommand {
        name: command.name.clone(),
        body_sha256,
        aggregate_type: stream.aggregate_type.to_string(),
        aggregate_id: stream.aggregate_id.to_string(),
        metadata: metadata.clone(),
    }
}

impl Claim {
    /// Reads an entry.
    pub fn read(event: &RecordedEvent) -> Result<Self, LogError> {
        let broken =
            |what: String| damaged(Position::START, format!("{} of {}: {what}", event.revision, event.stream_id()));
        let json = |error: serde_json::Error| broken(error.to_string());
        let (command, body) = match event.event_type.as_str() {
            INTENDED => {
                let entry: StoredIntent = serde_json::from_slice(&event.data).map_err(json)?;
                let events = entry.events.into_iter().map(|event| NewEvent {
                    event_id: event.event_id,
                    event_type: event.event_type,
                    event_version: event.event_version,
                    payload: event.payload,
                });
                let intent = Intent {
                    stream: StreamId::new(&entry.command.aggregate_type, &entry.command.aggregate_id),
                    expected: entry.expected_version,
                    events: events.collect(),
                    metadata: entry.command.metadata.clone(),
                };
                if intent.events.is_empty() {
                    return Err(broken("an intent without events".to_owned()));
                }
                (entry.command, Body::Intent(intent))
            }
            IDLE => {
                let entry: StoredIdle = serde_json::from_slice(&event.data).map_err(json)?;
                let (position, version) = (Position(entry.position), StreamVersion(entry.stream_version));
                (entry.command, Body::Idle { position, version })
            }
            REFUSED => {
                let entry: StoredRefusal = serde_json::from_slice(&event.data).map_err(json)?;
                (entry.command, Body::Refused { code: entry.code, message: entry.message })
            }
            other => return Err(broken(format!("{other} is no entry of a command"))),
        };
        let body_hash = digest(&command.body_sha256).ok_or_else(|| broken("its digest is not one".to_owned()))?;
        Ok(Self {
            stream: StreamId::new(&command.aggregate_type, &command.aggregate_id),
            metadata: command.metadata,
            command: CommandRecord { name: command.name, body_hash },
            body,
        })
    }

    /// Whether the entry is of a command with this content.
    pub fn require(&self, command: CommandId, body_hash: &[u8; 32]) -> Result<(), AppendError> {
        if self.command.body_hash == *body_hash { Ok(()) } else { Err(AppendError::CommandReused(command)) }
    }
}

impl Intent {
    /// What became of it, its last event standing at `position`.
    pub fn outcome(&self, position: Position) -> CommandOutcome {
        CommandOutcome::Accepted(Appended {
            position,
            version: StreamVersion(self.expected + self.events.len() as i64),
            events: self.events.len() as u32,
            repeated: true,
        })
    }
}

/// What became of a command that changed nothing.
pub(super) fn idle_outcome(position: Position, version: StreamVersion) -> CommandOutcome {
    CommandOutcome::Accepted(Appended { position, version, events: 0, repeated: true })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Actor, TenantId};

    #[test]
    fn a_digest_comes_back_and_nothing_else_is_one() {
        let command = CommandRecord { name: "n".to_owned(), body_hash: std::array::from_fn(|index| index as u8 * 7) };
        let actor = Actor::new("mara").unwrap();
        let metadata = Metadata::new(actor, TenantId::default(), CommandId(Uuid::nil()));
        let entry = stored(&command, &StreamId::new("Thing", "1"), &metadata);
        assert_eq!(digest(&entry.body_sha256), Some(command.body_hash));
        for text in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(digest(text), None, "{text}");
        }
    }

    #[test]
    fn an_intent_keeps_the_text_of_its_payloads() {
        let payload = RawValue::from_string("{\"b\" : 1.0, \"a\": [1e3, \"\\u0000\"]}".to_owned()).unwrap();
        let event = StoredEvent { event_id: Uuid::nil(), event_type: "T".into(), event_version: "1".into(), payload };
        let text = serde_json::to_string(&event).unwrap();
        let read: StoredEvent = serde_json::from_str(&text).unwrap();
        assert_eq!(read.payload.get(), event.payload.get());
    }
}
