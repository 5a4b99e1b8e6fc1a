//! Given events, when a command, then events or a refusal: the grammar of every decider's tests. No I/O.
//!
//! Public, so that the rooms around the domain can test against the same grammar and the same sample data.

mod remediations;
mod samples;

use crate::decider::{Context, Decider, RefusalCode};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub use remediations::{
    REMEDIATION, approver, content_hash, executor, post_check_results, problem, remediation_binding,
    remediation_executing, remediation_plan, remediation_previews, remediation_requested, remediation_rolled_back,
    remediation_states, remediation_stuck, remediation_succeeded, remediation_waiting, request_remediation,
    second_approver, step_image, step_name,
};
pub use samples::{
    CHECK, COMPONENT, DEPLOYMENT, RESOURCE, RUN, check, check_key, check_result, component, component_named,
    deployment, fingerprint, ok_sighting, planned_check, problem_result, register, registered, request_run,
    run_planned, run_requested, sighting,
};

/// The moment at which sample stories begin: 2026-01-05 08:00:00 UTC, a Monday.
pub fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_767_600_000)
}

/// So many seconds after [`start`].
pub fn after(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// A context of tests: the sample person decides for the aggregate `id`.
pub fn context(id: Uuid, now: DateTime<Utc>) -> Context {
    Context { now, actor: samples::person(), id }
}

/// Folds events into a state.
pub fn fold<D: Decider>(events: &[D::Event]) -> D::State {
    let mut state = D::State::default();
    for event in events {
        D::evolve(&mut state, event);
    }
    state
}

/// What happened before.
pub struct Given<D: Decider> {
    id: Uuid,
    now: DateTime<Utc>,
    actor: crate::Actor,
    events: Vec<D::Event>,
}

/// Begins a test: the events that happened to the aggregate `id`.
pub fn given<D: Decider>(id: Uuid, events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    Given { id, now: start(), actor: samples::person(), events: events.into_iter().collect() }
}

impl<D: Decider> Given<D> {
    /// Decides at this moment instead of [`start`].
    #[must_use]
    pub fn at(mut self, now: DateTime<Utc>) -> Self {
        self.now = now;
        self
    }

    /// Decides for this actor instead of the sample person.
    #[must_use]
    pub fn by(mut self, actor: crate::Actor) -> Self {
        self.actor = actor;
        self
    }

    /// Sends a command that must be accepted, and goes on from what it decided.
    #[must_use]
    pub fn and(self, command: D::Command) -> Self {
        let Self { id, now, actor, mut events } = self;
        let state = fold::<D>(&events);
        match D::decide(&state, command, &Context { now, actor: actor.clone(), id }) {
            Ok(decided) => events.extend(decided),
            Err(refusal) => panic!("a command of the story was refused: {refusal}"),
        }
        Self { id, now, actor, events }
    }

    /// The events so far.
    pub fn into_events(self) -> Vec<D::Event> {
        self.events
    }

    /// The state so far.
    pub fn state(&self) -> D::State {
        fold::<D>(&self.events)
    }

    /// Sends the command that is tested.
    pub fn when(self, command: D::Command) -> Then<D> {
        let state = fold::<D>(&self.events);
        let decided = D::decide(&state, command, &Context { now: self.now, actor: self.actor, id: self.id });
        Then { given: self.events, decided }
    }
}

/// What was decided.
pub struct Then<D: Decider> {
    given: Vec<D::Event>,
    decided: Result<Vec<D::Event>, D::Refusal>,
}

impl<D: Decider> Then<D> {
    /// Exactly these events.
    #[track_caller]
    pub fn then(self, expected: &[D::Event]) -> D::State {
        let events = self.accepted();
        assert_eq!(events, expected, "decided other events than expected");
        self.state()
    }

    /// Events of exactly these types.
    #[track_caller]
    pub fn then_types(self, expected: &[&str]) -> D::State {
        use crate::DomainEvent as _;
        let types: Vec<String> = self.accepted().iter().map(D::Event::event_type).collect();
        assert_eq!(types, expected, "decided other events than expected");
        self.state()
    }

    /// Accepted, and nothing is to do.
    #[track_caller]
    pub fn then_nothing(self) {
        assert_eq!(self.accepted(), &[], "something was decided");
    }

    /// Refused, with this code.
    #[track_caller]
    pub fn then_refused(self, code: RefusalCode) {
        match &self.decided {
            Ok(events) => panic!("accepted with {events:?} instead of refused as {code}"),
            Err(refusal) => assert_eq!(D::refusal_code(refusal), code, "refused with: {refusal}"),
        }
    }

    /// The events, however many.
    #[track_caller]
    pub fn accepted(&self) -> &[D::Event] {
        match &self.decided {
            Ok(events) => events,
            Err(refusal) => panic!("refused: {refusal}"),
        }
    }

    /// The state after it; panics where the stored form of the events would not give the same state.
    #[track_caller]
    fn state(&self) -> D::State {
        let mut events = self.given.clone();
        events.extend_from_slice(self.accepted());
        let state = fold::<D>(&events);
        assert_eq!(fold::<D>(&through_json::<D>(&events)), state, "the stored events give another state");
        state
    }
}

/// Events as they come back from the log.
pub fn through_json<D: Decider>(events: &[D::Event]) -> Vec<D::Event> {
    events
        .iter()
        .map(|event| {
            let text = serde_json::to_string(event).unwrap_or_else(|error| panic!("{event:?}: {error}"));
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect()
}

/// One row of a table of refusals: what it is about, what happened before, what is asked, the code to be answered.
pub type Refused<D> = (&'static str, Vec<<D as Decider>::Event>, <D as Decider>::Command, RefusalCode);

/// Checks a table of refusals, each row at [`start`].
#[track_caller]
pub fn refuses<D: Decider>(id: Uuid, rows: impl IntoIterator<Item = Refused<D>>) {
    let mut checked = 0;
    for (what, given, when, code) in rows {
        let state = fold::<D>(&given);
        match D::decide(&state, when, &context(id, start())) {
            Ok(events) => panic!("{what}: accepted with {events:?} instead of refused as {code}"),
            Err(refusal) => assert_eq!(D::refusal_code(&refusal), code, "{what}: refused with: {refusal}"),
        }
        checked += 1;
    }
    assert!(checked > 0, "the table is empty");
}
