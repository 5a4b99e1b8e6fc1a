//! The emergency stop: one for each tenant. While it is engaged no step of any remediation begins, and those that run
//! are cancelled; what they have done is taken back where that is asked for.

mod engage;
mod release;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::ids::{Actor, TenantId};
use crate::text::TextRefusal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The namespace of emergency stops (a random constant, fixed for ever).
const EMERGENCY_STOP_NAMESPACE: Uuid = Uuid::from_u128(0x52d7_e1a0_3c46_4b9d_87f2_0ae5_d913_c868);

/// What can be asked of an emergency stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmergencyStopCommand {
    /// Stop everything; take back what has been done, where `undo` says so.
    Engage { undo: bool, reason: String },
    /// Go on.
    Release { reason: String },
}

/// What can have happened to an emergency stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmergencyStopEvent {
    /// Everything stops.
    EmergencyStopEngaged { undo: bool, by: Actor, reason: String, at: DateTime<Utc> },
    /// It goes on.
    EmergencyStopReleased { by: Actor, reason: String, at: DateTime<Utc> },
}

impl EmergencyStopEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::EmergencyStopEngaged { .. } => "EmergencyStopEngaged",
            Self::EmergencyStopReleased { .. } => "EmergencyStopReleased",
        }
    }
}

impl DomainEvent for EmergencyStopEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Why an emergency stop says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmergencyStopRefusal {
    /// Nothing to release.
    #[error("the emergency stop is not engaged")]
    NotEngaged,
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
}

impl EmergencyStopRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::NotEngaged => "emergency_stop_not_engaged",
            Self::Text(refusal) => refusal.code(),
        }
    }
}

/// How and why it is engaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engaged {
    /// Whether what has been done is taken back.
    pub undo: bool,
    /// Who engaged it.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// An emergency stop as folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct EmergencyStopState {
    /// How it is engaged, while it is.
    pub engaged: Option<Engaged>,
}

/// Decides whether everything stops.
#[derive(Debug, Clone, Copy)]
pub struct EmergencyStop;

impl EmergencyStop {
    /// The id of a tenant's emergency stop: its stream.
    pub fn of(tenant: &TenantId) -> Uuid {
        Uuid::new_v5(&EMERGENCY_STOP_NAMESPACE, tenant.as_str().as_bytes())
    }
}

impl Decider for EmergencyStop {
    const TYPE: &'static str = crate::any_event::EMERGENCY_STOP;
    type State = EmergencyStopState;
    type Command = EmergencyStopCommand;
    type Event = EmergencyStopEvent;
    type Refusal = EmergencyStopRefusal;

    fn decide(
        state: &EmergencyStopState,
        command: EmergencyStopCommand,
        context: &Context,
    ) -> Result<Vec<EmergencyStopEvent>, EmergencyStopRefusal> {
        match command {
            EmergencyStopCommand::Engage { undo, reason } => engage::decide(state, undo, reason, context),
            EmergencyStopCommand::Release { reason } => release::decide(state, reason, context),
        }
    }

    fn evolve(state: &mut EmergencyStopState, event: &EmergencyStopEvent) {
        match event {
            EmergencyStopEvent::EmergencyStopEngaged { undo, by, reason, at } => {
                state.engaged = Some(Engaged { undo: *undo, by: by.clone(), reason: reason.clone(), at: *at });
            }
            EmergencyStopEvent::EmergencyStopReleased { .. } => state.engaged = None,
        }
    }

    fn refusal_code(refusal: &EmergencyStopRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &EmergencyStopCommand) -> &'static str {
        match command {
            EmergencyStopCommand::Engage { .. } => "engage_emergency_stop",
            EmergencyStopCommand::Release { .. } => "release_emergency_stop",
        }
    }

    fn expected_stream(_command: &EmergencyStopCommand) -> ExpectedStream {
        ExpectedStream::Any
    }
}
