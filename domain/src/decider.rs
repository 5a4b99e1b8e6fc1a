//! The shape of every aggregate, and the one adapter that drives it through `cqrs_es`.

use chrono::{DateTime, Utc};
use cqrs_es::event_sink::EventSink;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

pub use cqrs_es::DomainEvent;

/// What a decision may know of the world: handed in, never looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The moment of the decision.
    pub now: DateTime<Utc>,
    /// Who asks.
    pub actor: crate::Actor,
    /// The id of the aggregate that decides: its stream.
    pub id: uuid::Uuid,
}

/// Whether a command starts its stream or needs it to exist: lets the bus skip the load of what cannot exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedStream {
    /// The command starts the stream.
    New,
    /// The command needs the stream's state.
    Any,
}

/// A refusal's stable code, such as `run_already_ended`: for clients to act on.
pub type RefusalCode = &'static str;

/// An aggregate as two pure functions.
pub trait Decider: Send + Sync + 'static {
    /// The aggregate's type as stored with its events.
    const TYPE: &'static str;
    /// What it remembers.
    type State: Default + Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What can be asked of it.
    type Command: Clone + fmt::Debug + Serialize + Send + Sync + 'static;
    /// What can have happened to it.
    type Event: DomainEvent + Send + Sync + 'static;
    /// Why it says no.
    type Refusal: std::error::Error + Clone + PartialEq + Send + Sync + 'static;

    /// Decides a command. No events and no refusal means: nothing to do, and that is fine.
    fn decide(
        state: &Self::State,
        command: Self::Command,
        context: &Context,
    ) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// Folds one event into the state.
    fn evolve(state: &mut Self::State, event: &Self::Event);

    /// The refusal's stable code.
    fn refusal_code(refusal: &Self::Refusal) -> RefusalCode;

    /// The command's stable name, such as `request_run`: for the command log and the traces.
    fn command_name(command: &Self::Command) -> &'static str;

    /// Whether the command starts its stream.
    fn expected_stream(command: &Self::Command) -> ExpectedStream;

    /// The people that a command names beside the one who sends it: their names are sealed before it is decided.
    fn people(_command: &mut Self::Command) -> Vec<&mut crate::Actor> {
        Vec::new()
    }

    /// How much room the state takes in a cache, in units of about a kilobyte.
    fn state_weight(_state: &Self::State) -> u32 {
        1
    }
}

/// Drives a [`Decider`] through `cqrs_es::Aggregate`: a command arrives with its context.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct DeciderAggregate<D: Decider> {
    /// The folded state.
    pub state: D::State,
}

impl<D: Decider> Default for DeciderAggregate<D> {
    fn default() -> Self {
        Self { state: D::State::default() }
    }
}

impl<D: Decider> fmt::Debug for DeciderAggregate<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(D::TYPE).field("state", &self.state).finish()
    }
}

impl<D: Decider> cqrs_es::Aggregate for DeciderAggregate<D> {
    const TYPE: &'static str = D::TYPE;
    type Command = (D::Command, Context);
    type Event = D::Event;
    type Error = D::Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        (command, context): Self::Command,
        _service: &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in D::decide(&self.state, command, &context)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        D::evolve(&mut self.state, &event);
    }
}
