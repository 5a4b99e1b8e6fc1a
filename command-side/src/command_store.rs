//! `cqrs_es::EventStore` over the event log, for one attempt of one command.
//!
//! `CqrsFramework` drops what a commit returned; the attempt keeps it. Loading goes through the bus's cache of states: a
//! stream only grows, so a cached state is a true prefix, and reading what came after it makes it current.

use crate::bus::{CommandBus, Folded};
use crate::error::CommandError;
use cqrs_es::{AggregateContext, AggregateError, EventEnvelope, EventStore};
use domain::{Decider, DeciderAggregate, DomainEvent, Metadata, StreamVersion};
use event_store::{Append, AppendError, Appended, CommandRecord, Expected, NewEvent, StreamId};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use uuid::Uuid;

/// How many events of a stream are read at once.
const PAGE: usize = 1_000;

/// Where a decision starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The command starts its stream: an empty state at version 0. The append proves it.
    Assumed,
    /// The cached state, if there is one. The append proves it.
    Cached,
    /// The cached state and all that the log holds after it.
    Verified,
}

/// One attempt to execute one command, and what became of it.
pub(crate) struct Attempt {
    stream: StreamId,
    start: Start,
    pub(crate) metadata: Metadata,
    command: CommandRecord,
    appended: OnceLock<Appended>,
    verified: AtomicBool,
}

impl Attempt {
    pub(crate) const fn new(stream: StreamId, start: Start, metadata: Metadata, command: CommandRecord) -> Self {
        let verified = AtomicBool::new(false);
        Self { stream, start, metadata, command, appended: OnceLock::new(), verified }
    }

    pub(crate) fn appended(&self) -> Option<Appended> {
        self.appended.get().copied()
    }

    pub(crate) fn was_verified(&self) -> bool {
        self.verified.load(Ordering::Relaxed)
    }
}

/// The events of the commit, for the caller of the bus.
pub(crate) struct Committed<E>(Arc<Mutex<Vec<E>>>);

impl<E> Committed<E> {
    pub(crate) fn take(&self) -> Vec<E> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) struct CommandStore<'a, D: Decider> {
    bus: &'a CommandBus,
    attempt: Arc<Attempt>,
    committed: Arc<Mutex<Vec<D::Event>>>,
}

impl<'a, D: Decider> CommandStore<'a, D> {
    pub(crate) fn new(bus: &'a CommandBus, attempt: Arc<Attempt>) -> Self {
        Self { bus, attempt, committed: Arc::default() }
    }

    pub(crate) fn committed(&self) -> Committed<D::Event> {
        Committed(Arc::clone(&self.committed))
    }

    async fn append(&self, events: &[D::Event], expected: StreamVersion) -> Result<Appended, CommandError> {
        let append = Append {
            stream: self.attempt.stream.clone(),
            expected: Expected::Version(expected),
            events: events.iter().map(new_event).collect::<Result<_, _>>()?,
            metadata: self.attempt.metadata.clone(),
            command: self.attempt.command.clone(),
        };
        self.bus.log.append(append).await.map_err(|error| {
            if matches!(error, AppendError::Conflict { .. }) {
                self.bus.states.invalidate(&self.attempt.stream);
            }
            error.into()
        })
    }
}

/// A loaded aggregate between `load_aggregate` and `commit`.
pub(crate) struct Loaded<D: Decider> {
    aggregate: DeciderAggregate<D>,
    version: StreamVersion,
}

impl<D: Decider> AggregateContext<DeciderAggregate<D>> for Loaded<D> {
    fn aggregate(&mut self) -> &mut DeciderAggregate<D> {
        &mut self.aggregate
    }
}

impl<D: Decider> EventStore<DeciderAggregate<D>> for CommandStore<'_, D> {
    type AC = Loaded<D>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<DeciderAggregate<D>>>, AggregateError<D::Refusal>> {
        let stream = StreamId::new(D::TYPE, aggregate_id);
        let mut envelopes = Vec::new();
        let mut after = StreamVersion(0);
        loop {
            let page = self.bus.log.read_stream(stream.clone(), after, PAGE).await.map_err(unexpected::<D>)?;
            for event in &page {
                envelopes.push(EventEnvelope {
                    aggregate_id: aggregate_id.to_owned(),
                    sequence: usize::try_from(event.version.0).unwrap_or_default(),
                    payload: decode::<D>(event).map_err(unexpected::<D>)?,
                    metadata: event.metadata.to_map(),
                });
                after = event.version;
            }
            if page.len() < PAGE {
                return Ok(envelopes);
            }
        }
    }

    async fn load_aggregate(&self, _aggregate_id: &str) -> Result<Loaded<D>, AggregateError<D::Refusal>> {
        let stream = &self.attempt.stream;
        let cached = if self.attempt.start == Start::Cached { self.bus.cached::<D>(stream) } else { None };
        let folded = match (self.attempt.start, cached) {
            (Start::Assumed, _) => Arc::new(Folded { state: D::State::default(), version: StreamVersion(0) }),
            (_, Some(cached)) => cached,
            (_, None) => {
                self.attempt.verified.store(true, Ordering::Relaxed);
                catch_up::<D>(self.bus, stream).await.map_err(unexpected::<D>)?
            }
        };
        Ok(Loaded { aggregate: DeciderAggregate { state: folded.state.clone() }, version: folded.version })
    }

    async fn commit(
        &self,
        events: Vec<D::Event>,
        context: Loaded<D>,
        _metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<DeciderAggregate<D>>>, AggregateError<D::Refusal>> {
        if events.is_empty() && !self.attempt.was_verified() {
            // "Nothing to do" by a state that may be old: the bus decides again on a fresh one.
            return Ok(Vec::new());
        }
        let appended = match self.append(&events, context.version).await {
            Ok(appended) => appended,
            Err(CommandError::Conflict) => return Err(AggregateError::AggregateConflict),
            Err(error) => return Err(unexpected::<D>(error)),
        };
        if !appended.repeated {
            self.bus.remember::<D>(&self.attempt.stream, context.aggregate.state, appended.version);
        }
        let _ = self.attempt.appended.set(appended);
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = events;
        // The framework only counts them for its queries, and there are none.
        Ok(Vec::new())
    }
}

impl CommandBus {
    fn cached<D: Decider>(&self, stream: &StreamId) -> Option<Arc<Folded<D::State>>> {
        self.states.get(stream).and_then(|any| any.downcast::<Folded<D::State>>().ok())
    }

    /// Keeps a state, unless a newer one came in between.
    fn remember<D: Decider>(&self, stream: &StreamId, state: D::State, version: StreamVersion) {
        if self.cached::<D>(stream).is_none_or(|known| known.version < version) {
            self.states.insert(stream.clone(), Arc::new(Folded { state, version }));
        }
    }
}

/// The cached state and all that the log holds after it.
pub(crate) async fn catch_up<D: Decider>(
    bus: &CommandBus,
    stream: &StreamId,
) -> Result<Arc<Folded<D::State>>, CommandError> {
    let known = bus.cached::<D>(stream);
    let (mut state, mut version) = known
        .as_ref()
        .map_or_else(|| (D::State::default(), StreamVersion(0)), |known| (known.state.clone(), known.version));
    loop {
        let page = bus.log.read_stream(stream.clone(), version, PAGE).await?;
        for event in &page {
            D::evolve(&mut state, &decode::<D>(event)?);
            version = event.version;
        }
        if page.len() < PAGE {
            break;
        }
    }
    match known {
        Some(known) if known.version == version => Ok(known),
        _ => {
            bus.remember::<D>(stream, state.clone(), version);
            Ok(Arc::new(Folded { state, version }))
        }
    }
}

fn decode<D: Decider>(event: &event_store::RecordedEvent) -> Result<D::Event, CommandError> {
    serde_json::from_str(event.payload.get())
        .map_err(|error| CommandError::Damaged(format!("event at position {}: {error}", event.position)))
}

fn new_event<E: DomainEvent>(event: &E) -> Result<NewEvent, CommandError> {
    let payload = serde_json::to_string(event).and_then(RawValue::from_string);
    Ok(NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: payload.map_err(|error| CommandError::Damaged(error.to_string()))?,
    })
}

fn unexpected<D: Decider>(error: impl Into<CommandError>) -> AggregateError<D::Refusal> {
    AggregateError::UnexpectedError(Box::new(error.into()))
}
