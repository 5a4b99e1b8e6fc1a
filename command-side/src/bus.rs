//! The command bus: load, decide, append; retry on conflict; record refusals; return the first outcome of a repeated command.

use crate::clock::{Clock, SystemClock};
use crate::command_store::{Attempt, CommandStore, Start};
use crate::error::CommandError;
use cqrs_es::{AggregateError, CqrsFramework};
use domain::{Context, Decider, DeciderAggregate, ExpectedStream, Metadata, Position, StreamVersion};
use event_store::{AppendError, Appended, CommandOutcome, CommandRecord, EventLog, RefusedCommand, StreamId};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;
use uuid::Uuid;

/// How the bus behaves.
#[derive(Clone)]
pub struct BusOptions {
    /// How many aggregates' states are kept in memory.
    pub cached_aggregates: u64,
    /// How often a command is decided again after others changed the aggregate first.
    pub conflict_retries: u32,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self { cached_aggregates: 20_000, conflict_retries: 8, clock: Arc::new(SystemClock) }
    }
}

/// What an accepted command did.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed<E> {
    /// The position of its last event; where it had none, the end of the log as known then. Views that have come this far
    /// show it.
    pub position: Position,
    /// The stream's version after it.
    pub version: StreamVersion,
    /// True where the command had been executed before, and this is what happened then.
    pub repeated: bool,
    /// What happened; empty where it was repeated.
    pub events: Vec<E>,
}

/// A folded state and how many events it is folded from.
pub(crate) struct Folded<S> {
    pub(crate) state: S,
    pub(crate) version: StreamVersion,
}

/// Executes commands. Cheap to share; one per process, so that its cache of states serves all.
pub struct CommandBus {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) states: Cache<StreamId, Arc<dyn Any + Send + Sync>>,
    options: BusOptions,
}

impl CommandBus {
    /// A bus over a log.
    pub fn new(log: Arc<dyn EventLog>, options: BusOptions) -> Arc<Self> {
        let states = Cache::new(options.cached_aggregates);
        Arc::new(Self { log, states, options })
    }

    /// The log that it writes to.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Executes a command on the aggregate with this id.
    pub async fn execute<D: Decider>(
        &self,
        id: Uuid,
        command: D::Command,
        metadata: Metadata,
    ) -> Result<Executed<D::Event>, CommandError> {
        let name = D::command_name(&command);
        let span = tracing::info_span!(
            "command",
            otel.name = name,
            aggregate = D::TYPE,
            id = %id,
            command_id = %metadata.command_id,
            outcome = tracing::field::Empty
        );
        let current = span.clone();
        async move {
            let result = self.execute_bounded::<D>(id, command, metadata).await;
            span.record("outcome", result.as_ref().map_or_else(outcome_name, |_| "accepted"));
            result
        }
        .instrument(current)
        .await
    }

    /// The newest state of an aggregate and its version; the default state at version 0 where it does not exist.
    pub async fn load<D: Decider>(&self, id: Uuid) -> Result<(D::State, StreamVersion), CommandError> {
        let stream = StreamId::new(D::TYPE, &id.to_string());
        let folded = crate::command_store::catch_up::<D>(self, &stream).await?;
        Ok((folded.state.clone(), folded.version))
    }

    async fn execute_bounded<D: Decider>(
        &self,
        id: Uuid,
        command: D::Command,
        metadata: Metadata,
    ) -> Result<Executed<D::Event>, CommandError> {
        let stream = StreamId::new(D::TYPE, &id.to_string());
        let record =
            CommandRecord { name: D::command_name(&command).to_owned(), body_hash: body_hash::<D>(&stream, &command)? };
        let mut start = match D::expected_stream(&command) {
            ExpectedStream::New => Start::Assumed,
            ExpectedStream::Any => Start::Cached,
        };
        let mut conflicts = 0;
        loop {
            let attempt = Arc::new(Attempt::new(stream.clone(), start, metadata.clone(), record.clone()));
            match self.attempt::<D>(id, command.clone(), &attempt).await {
                Ok(executed) => return Ok(executed),
                Err(Failed::Unverified) => start = Start::Verified,
                Err(Failed::Refused(code, message)) => {
                    return self.refuse(stream, metadata, record, code, message).await;
                }
                Err(Failed::Error(CommandError::Conflict)) if conflicts < self.options.conflict_retries => {
                    conflicts += 1;
                    start = Start::Verified;
                    tokio::time::sleep(back_off(conflicts)).await;
                }
                Err(Failed::Error(error)) => return Err(error),
            }
        }
    }

    /// One decision through `cqrs_es`.
    async fn attempt<D: Decider>(
        &self,
        id: Uuid,
        command: D::Command,
        attempt: &Arc<Attempt>,
    ) -> Result<Executed<D::Event>, Failed> {
        let context = Context { id, now: self.options.clock.now(), actor: attempt.metadata.actor.clone() };
        let store = CommandStore::<D>::new(self, Arc::clone(attempt));
        let events = store.committed();
        let framework: CqrsFramework<DeciderAggregate<D>, _> = CqrsFramework::new(store, Vec::new(), ());
        // The metadata travels in the attempt: typed, and once.
        let done = framework.execute_with_metadata(&id.to_string(), (command, context), HashMap::new()).await;
        match done {
            Ok(()) => {
                let Some(appended) = attempt.appended() else { return Err(Failed::Unverified) };
                let events = if appended.repeated { Vec::new() } else { events.take() };
                Ok(executed(appended, events))
            }
            Err(AggregateError::UserError(_)) if !attempt.was_verified() => Err(Failed::Unverified),
            Err(AggregateError::UserError(refusal)) => {
                Err(Failed::Refused(D::refusal_code(&refusal).to_owned(), refusal.to_string()))
            }
            Err(AggregateError::AggregateConflict) => Err(Failed::Error(CommandError::Conflict)),
            Err(
                AggregateError::DatabaseConnectionError(error)
                | AggregateError::DeserializationError(error)
                | AggregateError::UnexpectedError(error),
            ) => Err(Failed::Error(match error.downcast::<CommandError>() {
                Ok(error) => *error,
                Err(other) => CommandError::Damaged(other.to_string()),
            })),
        }
    }

    /// Records the refusal. Where the command came before, what happened then counts.
    async fn refuse<E>(
        &self,
        stream: StreamId,
        metadata: Metadata,
        command: CommandRecord,
        code: String,
        message: String,
    ) -> Result<Executed<E>, CommandError> {
        match self.log.record_refusal(RefusedCommand { stream, metadata, command, code, message }).await {
            Ok(CommandOutcome::Accepted(appended)) => Ok(executed(Appended { repeated: true, ..appended }, Vec::new())),
            Ok(CommandOutcome::Refused { code, message }) => Err(CommandError::Refused { code, message }),
            Err(error) => Err(error.into()),
        }
    }
}

enum Failed {
    /// Refused, or nothing to do, on a state that may be old: to be decided again on a fresh one.
    Unverified,
    Refused(String, String),
    Error(CommandError),
}

fn executed<E>(appended: Appended, events: Vec<E>) -> Executed<E> {
    Executed { position: appended.position, version: appended.version, repeated: appended.repeated, events }
}

fn outcome_name(error: &CommandError) -> &'static str {
    match error {
        CommandError::Refused { .. } => "refused",
        CommandError::CommandReused => "reused",
        CommandError::Conflict => "conflict",
        CommandError::Unavailable(_) => "unavailable",
        CommandError::Overloaded => "overloaded",
        CommandError::TooLarge { .. } => "too_large",
        CommandError::Damaged(_) => "damaged",
    }
}

/// Commands are structs of ordered fields and maps: their JSON is canonical.
fn body_hash<D: Decider>(stream: &StreamId, command: &D::Command) -> Result<[u8; 32], CommandError> {
    let body = serde_json::to_vec(command).map_err(|error| CommandError::Damaged(error.to_string()))?;
    let mut hash = Sha256::new();
    hash.update(stream.aggregate_type.as_bytes());
    hash.update([0]);
    hash.update(stream.aggregate_id.as_bytes());
    hash.update([0]);
    hash.update(&body);
    Ok(hash.finalize().into())
}

/// Doubling, with jitter from a fresh id: writers that collided part ways.
fn back_off(conflicts: u32) -> Duration {
    let ceiling = 2_u64 << conflicts.min(6);
    Duration::from_millis(1 + u64::from(Uuid::new_v4().as_bytes()[0]) % ceiling)
}

impl From<AppendError> for Failed {
    fn from(error: AppendError) -> Self {
        Self::Error(error.into())
    }
}
