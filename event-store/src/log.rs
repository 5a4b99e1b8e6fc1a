//! What an event log is: the types and the trait that each backend implements.

use crate::past;
use chrono::{DateTime, Utc};
use domain::{CommandId, Metadata, Position, StreamVersion};
use futures::future::BoxFuture;
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// Names one stream: the events of one aggregate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The aggregate's type, such as `DiagnosticRun`.
    pub aggregate_type: Arc<str>,
    /// The aggregate's id: a UUID as text.
    pub aggregate_id: Arc<str>,
}

impl StreamId {
    /// The stream of one aggregate.
    pub fn new(aggregate_type: &str, aggregate_id: &str) -> Self {
        Self { aggregate_type: aggregate_type.into(), aggregate_id: aggregate_id.into() }
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.aggregate_type, self.aggregate_id)
    }
}

/// An event about to be written.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its own id (UUIDv7).
    pub event_id: Uuid,
    /// Its type, such as `RunRequested`.
    pub event_type: String,
    /// Its version, such as `1`.
    pub event_version: String,
    /// Its payload as JSON.
    pub payload: Box<RawValue>,
}

/// What the stream must be for an append to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It holds exactly so many events; 0: it does not exist.
    Version(StreamVersion),
}

/// One append: all of its events, or none.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub stream: StreamId,
    /// What the stream must be.
    pub expected: Expected,
    /// What happened; may be empty where a command decided that nothing is to do (the command is recorded all the
    /// same).
    pub events: Vec<NewEvent>,
    /// Who, why, as part of what. Its `command_id` makes the append idempotent.
    pub metadata: Metadata,
    /// The command, for the command log.
    pub command: CommandRecord,
}

/// A command as the command log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    /// Its stable name, such as `request_run`.
    pub name: String,
    /// SHA-256 of its canonical JSON: the same command id with another body is an error, never a second execution.
    pub body_hash: [u8; 32],
}

/// What an accepted append wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The position of its last event; where it had none, the end of the log as known then.
    pub position: Position,
    /// The stream's version after it.
    pub version: StreamVersion,
    /// How many events it wrote.
    pub events: u32,
    /// True where the command had been executed before, and this is what happened then.
    pub repeated: bool,
}

/// A refused command, for the command log.
#[derive(Debug, Clone)]
pub struct RefusedCommand {
    /// What it was sent to.
    pub stream: StreamId,
    /// Who, why, as part of what.
    pub metadata: Metadata,
    /// The command.
    pub command: CommandRecord,
    /// The refusal's stable code.
    pub code: String,
    /// The refusal in words.
    pub message: String,
}

/// How a command ended, as the command log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It was accepted.
    Accepted(Appended),
    /// It was refused.
    Refused {
        /// The refusal's stable code.
        code: String,
        /// The refusal in words.
        message: String,
    },
}

/// An event as read.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    /// Its place in the total order.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in its stream, from 1.
    pub version: StreamVersion,
    /// Its own id.
    pub event_id: Uuid,
    /// Its type, after upcasting.
    pub event_type: String,
    /// Its version, after upcasting.
    pub event_version: String,
    /// Its payload as JSON, after upcasting.
    pub payload: Box<RawValue>,
    /// Who, why, as part of what.
    pub metadata: Metadata,
    /// When the database recorded it.
    pub recorded_at: DateTime<Utc>,
}

impl RecordedEvent {
    /// Decodes the payload by the aggregate's type.
    pub fn decode(&self) -> Result<domain::AnyEvent, domain::any_event::DecodeError> {
        domain::AnyEvent::decode(&self.stream.aggregate_type, &self.payload)
    }
}

/// Why an append was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended to the stream first: load again and decide again.
    #[error("stream {stream} is not at version {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// The version that the append rested on.
        expected: StreamVersion,
    },
    /// The same command id came before with another body.
    #[error("command {0} was sent before with another content")]
    CommandReused(CommandId),
    /// The command was refused before; this is what was said then.
    #[error("command was refused before: {message}")]
    RefusedBefore {
        /// The refusal's stable code.
        code: String,
        /// The refusal in words.
        message: String,
    },
    /// The append is larger than the log takes in one piece.
    #[error("append of {events} events and {bytes} bytes is over the limit")]
    TooLarge {
        /// Its events.
        events: usize,
        /// Its bytes.
        bytes: usize,
    },
    /// The queue of appends is full: come back a little later.
    #[error("the log takes no more appends just now")]
    Overloaded,
    /// The log can not be reached, or the outcome is unknown (the connection broke after sending): repeating the same
    /// command is safe, since it returns what happened.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why the log could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The backend can not be reached just now; to be tried again.
    #[error("the event log can not be reached: {0}")]
    Unavailable(String),
    /// A stored event is not readable, or positions are not contiguous: a human is needed.
    #[error("the event log is damaged at position {position}: {reason}")]
    Damaged {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
    /// The log was closed by this process.
    #[error("the event log is closed")]
    Closed,
}

/// An event log.
pub trait EventLog: Send + Sync + 'static {
    /// Appends; returns after the commit.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Records a refusal; returns the outcome on record, which is an earlier one where the command came before.
    fn record_refusal(&self, refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>>;

    /// The outcome on record of a command. `body_hash` differing from the recorded one is
    /// [`AppendError::CommandReused`].
    fn command_outcome(
        &self,
        command: CommandId,
        body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>>;

    /// A stream's events after a version, in order, at most `limit`.
    fn read_stream(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>>;

    /// All events after a position, in order, contiguous, at most `limit`.
    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>>;

    /// The events of several streams up to a position, in the log's order; `None` where they are more than `limit`. In
    /// one statement where the backend can. Those of the types in `without` may be left out.
    fn read_streams(
        &self,
        streams: Vec<StreamId>,
        without: &'static [&'static str],
        until: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<RecordedEvent>>, LogError>> {
        Box::pin(past::read_streams(self, streams, without, until, limit))
    }

    /// The last position recorded at or before a moment; 0 where the first event was recorded later. Exact as long as
    /// the clock that records never stepped back by more than [`past::CLOCK_STEP`].
    fn position_at(&self, at: DateTime<Utc>) -> BoxFuture<'_, Result<Position, LogError>> {
        Box::pin(past::position_at(self, at))
    }

    /// When the event at a position was recorded; `None` where there is none.
    fn recorded_at(&self, position: Position) -> BoxFuture<'_, Result<Option<DateTime<Utc>>, LogError>> {
        Box::pin(past::recorded_at(self, position))
    }

    /// The position of the newest event.
    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>>;

    /// Follows the newest position known to this process: a wake-up for tailing readers. It may lag behind other
    /// processes' commits by a notification, and never runs ahead of a commit.
    fn newest(&self) -> watch::Receiver<Position>;
}
