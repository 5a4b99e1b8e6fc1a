//! Why a policy says no to a command. To hold a plan back is no refusal: see [`super::Guard`].

use super::definition::DefinitionRefusal;
use super::state::PolicyState;
use crate::decider::RefusalCode;
use crate::ids::PolicyName;
use crate::text::TextRefusal;

/// Why a policy says no to a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// Nothing was defined, or it is retired.
    #[error("the policy is not defined")]
    NotDefined,
    /// It says something else already.
    #[error("the policy is defined already: revise it")]
    AlreadyDefined,
    /// The request is for another policy.
    #[error("the request is for another policy than the one it is sent to")]
    Misaddressed,
    /// A definition that is out of bounds.
    #[error("the definition can not be: {0}")]
    Definition(DefinitionRefusal),
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
    /// More actions than a plan has steps.
    #[error("a plan has at most {max} actions")]
    TooManyActions {
        /// How many it may have.
        max: usize,
    },
    /// No candidates, or too many.
    #[error("a choice is among 1 to {max} runbooks")]
    CandidatesOutOfBounds {
        /// How many there may be.
        max: usize,
    },
    /// Nothing to close.
    #[error("the circuit breaker is not open")]
    BreakerNotOpen,
}

impl PolicyRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::NotDefined => "policy_not_defined",
            Self::AlreadyDefined => "policy_already_defined",
            Self::Misaddressed => "policy_misaddressed",
            Self::Definition(DefinitionRefusal::OutOfBounds(_)) => "policy_out_of_bounds",
            Self::Definition(DefinitionRefusal::Text(refusal)) | Self::Text(refusal) => refusal.code(),
            Self::TooManyActions { .. } => "too_many_actions",
            Self::CandidatesOutOfBounds { .. } => "candidates_out_of_bounds",
            Self::BreakerNotOpen => "breaker_not_open",
        }
    }
}

impl From<DefinitionRefusal> for PolicyRefusal {
    fn from(refusal: DefinitionRefusal) -> Self {
        Self::Definition(refusal)
    }
}

impl PolicyState {
    /// Refuses what is for another policy.
    pub(super) fn require_name(&self, policy: &PolicyName) -> Result<(), PolicyRefusal> {
        match &self.name {
            Some(name) if name != policy => Err(PolicyRefusal::Misaddressed),
            _ => Ok(()),
        }
    }
}
