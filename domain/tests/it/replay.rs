//! Sends commands and checks after each that the stored events give the same state.

use chrono::{DateTime, TimeDelta, Utc};
use domain::testing::{context, fold, start, through_json};
use domain::{Actor, Context, Decider, DomainEvent as _};
use uuid::Uuid;

/// One aggregate under test.
pub struct Story<D: Decider> {
    id: Uuid,
    pub now: DateTime<Utc>,
    pub state: D::State,
    pub events: Vec<D::Event>,
    pub refused: usize,
}

impl<D: Decider> Story<D> {
    pub fn of(id: Uuid) -> Self {
        Self { id, now: start(), state: D::State::default(), events: Vec::new(), refused: 0 }
    }

    /// Time passes.
    pub fn wait(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    /// Sends a command; what was decided, where it was accepted.
    pub fn send(&mut self, command: D::Command) -> Option<Vec<D::Event>> {
        let actor = context(self.id, self.now).actor;
        self.send_by(actor, command)
    }

    /// The same of somebody else.
    pub fn send_by(&mut self, actor: Actor, command: D::Command) -> Option<Vec<D::Event>> {
        let name = D::command_name(&command);
        match D::decide(&self.state, command, &Context { now: self.now, actor, id: self.id }) {
            Ok(decided) => {
                for event in &decided {
                    assert_eq!(event.event_version(), "1");
                    D::evolve(&mut self.state, event);
                }
                self.events.extend(decided.iter().cloned());
                Some(decided)
            }
            Err(refusal) => {
                assert!(!D::refusal_code(&refusal).is_empty(), "{name} is refused without a code");
                self.refused += 1;
                None
            }
        }
    }

    /// The events give the same state, as they are and as they come back from the log; so does the stored state.
    pub fn check_replay(&self) {
        assert_eq!(fold::<D>(&self.events), self.state, "another state by replay");
        assert_eq!(fold::<D>(&through_json::<D>(&self.events)), self.state, "another state by replay of the log");
        let stored = serde_json::to_string(&self.state).expect("a state is storable");
        let restored: D::State = serde_json::from_str(&stored).expect("a stored state is readable");
        assert_eq!(restored, self.state, "another state from its stored form");
        for event in &self.events {
            let stored = serde_json::to_value(event).expect("an event is storable");
            let tag = stored.as_object().and_then(|object| object.keys().next().cloned());
            assert_eq!(tag, Some(event.event_type()), "the stored tag is not the event's type");
        }
    }
}
