//! What operators decide about one projection: which events it passes over, and which version of its view is served.
//!
//! Decisions are facts of the log like any other: a replay passes over the same events, an auditor sees who decided it
//! and why, and caches learn from them that a view was exchanged.

mod record_switch;
mod skip_event;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::ids::{Actor, Position};
use crate::text::TextRefusal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The namespace of the decisions about projections (a random constant, fixed for ever).
const PROJECTION_CONTROL_NAMESPACE: Uuid = Uuid::from_u128(0x0b6f_4d2e_91c7_4f3a_a05d_7be8_3c19_d264);

/// What can be asked about a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionControlCommand {
    /// Pass over an event that it can not take.
    SkipEvent { projection: String, position: Position, failure: String, reason: String },
    /// Put on record that another filling of its view is served from now on.
    RecordSwitch { projection: String, served: Served, before: Served, back: bool },
}

/// One filling of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The projection's version that filled it.
    pub version: i32,
    /// How far it had come when it was exchanged.
    pub position: Position,
}

/// What can have been decided about a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProjectionControlEvent {
    /// It passes over an event: the view lacks what the event would have changed.
    PoisonEventSkipped {
        projection: String,
        position: Position,
        /// Why it could not take the event, as it said itself.
        failure: String,
        reason: String,
        by: Actor,
        at: DateTime<Utc>,
    },
    /// A view that was filled beside the old one is served instead of it.
    ProjectionSwitched { projection: String, served: Served, before: Served, by: Actor, at: DateTime<Utc> },
    /// The view that was served before is served again.
    ProjectionSwitchedBack { projection: String, served: Served, before: Served, by: Actor, at: DateTime<Utc> },
}

impl ProjectionControlEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PoisonEventSkipped { .. } => "PoisonEventSkipped",
            Self::ProjectionSwitched { .. } => "ProjectionSwitched",
            Self::ProjectionSwitchedBack { .. } => "ProjectionSwitchedBack",
        }
    }
}

impl DomainEvent for ProjectionControlEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Why it is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionControlRefusal {
    /// The stream is another projection's.
    #[error("these are the decisions about another projection than {0:?}")]
    AnotherProjection(String),
    /// Positions begin at 1.
    #[error("there is no event at position {0}")]
    NoSuchPosition(Position),
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
}

impl ProjectionControlRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::AnotherProjection(_) => "projection_another",
            Self::NoSuchPosition(_) => "projection_no_such_position",
            Self::Text(refusal) => refusal.code(),
        }
    }
}

/// An event that is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Why the projection could not take it.
    pub failure: String,
    /// Why it is passed over.
    pub reason: String,
    /// Who decided it.
    pub by: Actor,
    /// When.
    pub at: DateTime<Utc>,
}

/// What has been decided about a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ProjectionControlState {
    /// The events that it passes over, by position.
    pub skipped: BTreeMap<i64, Skipped>,
    /// What is served, once it was exchanged.
    pub served: Option<Served>,
}

/// Decides about one projection.
#[derive(Debug, Clone, Copy)]
pub struct ProjectionControl;

impl ProjectionControl {
    /// The id of the decisions about a projection: their stream.
    pub fn of(projection: &str) -> Uuid {
        Uuid::new_v5(&PROJECTION_CONTROL_NAMESPACE, projection.as_bytes())
    }
}

impl Decider for ProjectionControl {
    const TYPE: &'static str = crate::any_event::PROJECTION_CONTROL;
    type State = ProjectionControlState;
    type Command = ProjectionControlCommand;
    type Event = ProjectionControlEvent;
    type Refusal = ProjectionControlRefusal;

    fn decide(
        state: &ProjectionControlState,
        command: ProjectionControlCommand,
        context: &Context,
    ) -> Result<Vec<ProjectionControlEvent>, ProjectionControlRefusal> {
        match command {
            ProjectionControlCommand::SkipEvent { projection, position, failure, reason } => {
                skip_event::decide(state, (projection, position), (failure, reason), context)
            }
            ProjectionControlCommand::RecordSwitch { projection, served, before, back } => {
                record_switch::decide(projection, (served, before), back, context)
            }
        }
    }

    fn evolve(state: &mut ProjectionControlState, event: &ProjectionControlEvent) {
        match event {
            ProjectionControlEvent::PoisonEventSkipped { position, failure, reason, by, at, .. } => {
                let (failure, reason) = (failure.clone(), reason.clone());
                state.skipped.insert(position.0, Skipped { failure, reason, by: by.clone(), at: *at });
            }
            ProjectionControlEvent::ProjectionSwitched { served, .. }
            | ProjectionControlEvent::ProjectionSwitchedBack { served, .. } => state.served = Some(*served),
        }
    }

    fn refusal_code(refusal: &ProjectionControlRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &ProjectionControlCommand) -> &'static str {
        match command {
            ProjectionControlCommand::SkipEvent { .. } => "skip_poison_event",
            ProjectionControlCommand::RecordSwitch { .. } => "record_projection_switch",
        }
    }

    fn expected_stream(_command: &ProjectionControlCommand) -> ExpectedStream {
        ExpectedStream::Any
    }
}

/// The stream is the projection's own.
fn belongs(projection: &str, context: &Context) -> Result<(), ProjectionControlRefusal> {
    if ProjectionControl::of(projection) != context.id {
        return Err(ProjectionControlRefusal::AnotherProjection(projection.chars().take(80).collect()));
    }
    Ok(())
}
