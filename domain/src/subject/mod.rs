//! A subject: whom personal data is about, as far as the platform knows them: a random id, and a key. Their erasure is
//! asked for, the key is destroyed, and that is put on record with the key's fingerprint.

mod record_erasure;
mod request_erasure;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::ids::{Actor, ContentHash, SubjectId};
use crate::text::TextRefusal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What can be asked of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectCommand {
    /// Forget who this is.
    RequestErasure {
        /// Why. It must not say who.
        reason: String,
    },
    /// The key is destroyed.
    RecordErasure {
        /// The fingerprint of the key that is no more.
        key_fingerprint: ContentHash,
        /// When the database let it go.
        destroyed_at: DateTime<Utc>,
    },
}

/// What can have happened to a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubjectEvent {
    /// Somebody wants it forgotten.
    SubjectErasureRequested { subject: SubjectId, reason: String, by: Actor, at: DateTime<Utc> },
    /// Its key is destroyed: what was sealed under it can not be opened any more, by anybody.
    SubjectErased {
        subject: SubjectId,
        key_fingerprint: ContentHash,
        destroyed_at: DateTime<Utc>,
        by: Actor,
        at: DateTime<Utc>,
    },
}

impl SubjectEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SubjectErasureRequested { .. } => "SubjectErasureRequested",
            Self::SubjectErased { .. } => "SubjectErased",
        }
    }

    /// Whom it is about.
    pub const fn subject(&self) -> SubjectId {
        match self {
            Self::SubjectErasureRequested { subject, .. } | Self::SubjectErased { subject, .. } => *subject,
        }
    }
}

impl DomainEvent for SubjectEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Why a subject says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectRefusal {
    /// A destroyed key is put on record only where somebody has asked for it.
    #[error("nobody has asked for this erasure")]
    NotRequested,
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
}

impl SubjectRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::NotRequested => "erasure_not_requested",
            Self::Text(refusal) => refusal.code(),
        }
    }
}

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SubjectPhase {
    /// Nobody has asked for it.
    #[default]
    Known,
    /// It is asked for.
    ErasureRequested,
    /// The key is destroyed.
    Erased,
}

/// A subject as folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SubjectState {
    /// How far its erasure is.
    pub phase: SubjectPhase,
    /// The fingerprint of the key that is no more.
    pub key_fingerprint: Option<ContentHash>,
}

/// Decides the erasure of a subject. Its stream's id is the subject's.
#[derive(Debug, Clone, Copy)]
pub struct Subject;

impl Decider for Subject {
    const TYPE: &'static str = crate::any_event::SUBJECT;
    type State = SubjectState;
    type Command = SubjectCommand;
    type Event = SubjectEvent;
    type Refusal = SubjectRefusal;

    fn decide(
        state: &SubjectState,
        command: SubjectCommand,
        context: &Context,
    ) -> Result<Vec<SubjectEvent>, SubjectRefusal> {
        match command {
            SubjectCommand::RequestErasure { reason } => request_erasure::decide(state, reason, context),
            SubjectCommand::RecordErasure { key_fingerprint, destroyed_at } => {
                record_erasure::decide(state, key_fingerprint, destroyed_at, context)
            }
        }
    }

    fn evolve(state: &mut SubjectState, event: &SubjectEvent) {
        match event {
            SubjectEvent::SubjectErasureRequested { .. } => state.phase = SubjectPhase::ErasureRequested,
            SubjectEvent::SubjectErased { key_fingerprint, .. } => {
                state.phase = SubjectPhase::Erased;
                state.key_fingerprint = Some(key_fingerprint.clone());
            }
        }
    }

    fn refusal_code(refusal: &SubjectRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &SubjectCommand) -> &'static str {
        match command {
            SubjectCommand::RequestErasure { .. } => "request_erasure",
            SubjectCommand::RecordErasure { .. } => "record_erasure",
        }
    }

    fn expected_stream(_command: &SubjectCommand) -> ExpectedStream {
        ExpectedStream::Any
    }
}
