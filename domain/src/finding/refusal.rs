//! Why a finding says no.

use crate::decider::RefusalCode;
use crate::text::TextRefusal;

/// Why a finding says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindingRefusal {
    /// Nothing is known of it.
    #[error("there is no such finding")]
    Unknown,
    /// The fingerprint is another finding's.
    #[error("the observation is about another finding than the one it is sent to")]
    Misaddressed,
    /// What was not measured says nothing of a finding.
    #[error("an unknown outcome says nothing of a finding")]
    UnknownOutcome,
    /// Hysteresis that can never be satisfied.
    #[error("hysteresis is out of bounds: {reason}")]
    HysteresisOutOfBounds {
        /// What is wrong.
        reason: &'static str,
    },
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
    /// Only suspected.
    #[error("the finding is not open yet")]
    NotOpen,
    /// Gone.
    #[error("the finding is resolved")]
    Resolved,
    /// Taken on before.
    #[error("the finding is acknowledged already")]
    AlreadyAcknowledged,
    /// Marked as no problem.
    #[error("the finding is marked as a false positive")]
    FalsePositive,
    /// Marked before.
    #[error("the finding is marked as a false positive already")]
    AlreadyFalsePositive,
    /// Not marked.
    #[error("the finding is not marked as a false positive")]
    NotFalsePositive,
    /// A mute that is over before it begins.
    #[error("a mute ends in the future")]
    MuteInThePast,
    /// A mute for longer than a year.
    #[error("a mute ends within a year")]
    MuteTooLong,
    /// Not muted.
    #[error("the finding is not muted")]
    NotMuted,
}

impl FindingRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::Unknown => "finding_unknown",
            Self::Misaddressed => "finding_misaddressed",
            Self::UnknownOutcome => "unknown_outcome",
            Self::HysteresisOutOfBounds { .. } => "hysteresis_out_of_bounds",
            Self::Text(refusal) => refusal.code(),
            Self::NotOpen => "finding_not_open",
            Self::Resolved => "finding_resolved",
            Self::AlreadyAcknowledged => "finding_already_acknowledged",
            Self::FalsePositive => "finding_false_positive",
            Self::AlreadyFalsePositive => "finding_already_false_positive",
            Self::NotFalsePositive => "finding_not_false_positive",
            Self::MuteInThePast => "mute_in_the_past",
            Self::MuteTooLong => "mute_too_long",
            Self::NotMuted => "finding_not_muted",
        }
    }
}
