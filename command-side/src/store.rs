//! Our `cqrs_es::EventStore`: one value a command, which carries what the framework does not (the metadata, the
//! command's record, the state that the decision rests on) and keeps what it drops (the receipt).

use crate::cache::Known;
use crate::error::CommandError;
use crate::loading;
use cqrs_es::{AggregateContext, AggregateError, EventEnvelope, EventStore};
use domain::{Decider, DeciderAggregate, DomainEvent, Metadata, StreamVersion};
use event_store::{Append, AppendError, Appended, CommandRecord, EventLog, Expected, NewEvent, StreamId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Instrument as _;
use uuid::Uuid;

/// The state that a decision rests on.
pub(crate) struct Basis<D: Decider> {
    /// What is known of the stream; `None` where it is taken not to exist.
    pub known: Option<Known<D>>,
    /// Whether the log was just asked. What is not verified may be decided on, but only the append makes it true.
    pub verified: bool,
}

impl<D: Decider> Basis<D> {
    pub fn version(&self) -> StreamVersion {
        self.known.as_ref().map_or(StreamVersion(0), |known| known.version)
    }

    pub fn state(&self) -> Arc<D::State> {
        self.known.as_ref().map_or_else(Arc::default, |known| Arc::clone(&known.state))
    }
}

/// What became of a decision.
pub(crate) enum Verdict<D: Decider> {
    /// It is in the log, or was before.
    Appended {
        /// What the log said.
        appended: Appended,
        /// What was decided.
        events: Vec<D::Event>,
        /// The state after it.
        state: D::State,
        /// The id of the last event.
        last_event: Option<Uuid>,
    },
    /// Nothing is to do, by a state that is not verified.
    Unsure,
    /// The log did not take it.
    Failed(AppendError),
    /// It can not be stored.
    Unstorable(String),
}

/// One command's view of the log.
pub(crate) struct CommandStore<'a, D: Decider> {
    pub log: &'a dyn EventLog,
    pub stream: &'a StreamId,
    pub basis: &'a Basis<D>,
    pub metadata: &'a Metadata,
    pub record: &'a CommandRecord,
    pub verdict: &'a Mutex<Option<Verdict<D>>>,
}

/// An aggregate on its way through a command.
pub(crate) struct CommandContext<D: Decider>(DeciderAggregate<D>);

impl<D: Decider> AggregateContext<DeciderAggregate<D>> for CommandContext<D> {
    fn aggregate(&mut self) -> &mut DeciderAggregate<D> {
        &mut self.0
    }
}

impl<D: Decider> CommandStore<'_, D> {
    fn settle(&self, verdict: Verdict<D>) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
    }
}

impl<D: Decider> EventStore<DeciderAggregate<D>> for CommandStore<'_, D> {
    type AC = CommandContext<D>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<DeciderAggregate<D>>>, AggregateError<D::Refusal>> {
        let stream = StreamId::new(D::TYPE, aggregate_id);
        let (mut events, mut after) = (Vec::new(), StreamVersion(0));
        loop {
            let page = self.log.read_stream(stream.clone(), after, loading::PAGE).await.map_err(unreadable)?;
            let is_last = page.len() < loading::PAGE;
            for event in page {
                after = event.version;
                for part in event.parts() {
                    events.push(EventEnvelope {
                        aggregate_id: aggregate_id.to_owned(),
                        sequence: usize::try_from(part.version.0).unwrap_or_default(),
                        payload: serde_json::from_str(part.payload.get())
                            .map_err(|error| AggregateError::DeserializationError(Box::new(error)))?,
                        metadata: part.metadata.to_map(),
                    });
                }
            }
            if is_last {
                return Ok(events);
            }
        }
    }

    async fn load_aggregate(&self, _aggregate_id: &str) -> Result<Self::AC, AggregateError<D::Refusal>> {
        // The bus has loaded it, from the cache or from the log.
        let state = self.basis.known.as_ref().map_or_else(D::State::default, |known| (*known.state).clone());
        Ok(CommandContext(DeciderAggregate { state }))
    }

    async fn commit(
        &self,
        events: Vec<D::Event>,
        context: Self::AC,
        _metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<DeciderAggregate<D>>>, AggregateError<D::Refusal>> {
        if events.is_empty() && !self.basis.verified {
            self.settle(Verdict::Unsure);
            return Err(AggregateError::AggregateConflict);
        }
        let encoded = match events.iter().map(encode).collect::<Result<Vec<_>, _>>() {
            Ok(encoded) => encoded,
            Err(error) => {
                self.settle(Verdict::Unstorable(error.to_string()));
                return Err(AggregateError::UnexpectedError(Box::new(error)));
            }
        };
        let last_event = encoded.last().map(|event| event.event_id);
        let append = Append {
            stream: self.stream.clone(),
            expected: Expected::Version(self.basis.version()),
            events: encoded,
            metadata: self.metadata.clone(),
            command: self.record.clone(),
        };
        let span = tracing::debug_span!(
            "events.append",
            events = append.events.len(),
            position = tracing::field::Empty,
            version = tracing::field::Empty,
            repeated = tracing::field::Empty,
        );
        match self.log.append(append).instrument(span.clone()).await {
            Ok(appended) => {
                span.record("position", appended.position.0).record("version", appended.version.0);
                span.record("repeated", appended.repeated);
                self.settle(Verdict::Appended { appended, events, state: context.0.state, last_event });
                // The framework hands what it gets to queries, of which there are none: projections follow the log.
                Ok(Vec::new())
            }
            Err(error) => {
                self.settle(Verdict::Failed(error.clone()));
                Err(match error {
                    AppendError::Conflict { .. } => AggregateError::AggregateConflict,
                    other => AggregateError::DatabaseConnectionError(Box::new(other)),
                })
            }
        }
    }
}

fn encode<E: DomainEvent>(event: &E) -> Result<NewEvent, serde_json::Error> {
    Ok(NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: serde_json::value::to_raw_value(event)?,
    })
}

fn unreadable<E: std::error::Error>(error: event_store::LogError) -> AggregateError<E> {
    AggregateError::DatabaseConnectionError(Box::new(CommandError::from(error)))
}
