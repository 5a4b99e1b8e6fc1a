//! Why a run says no.

use super::{CheckKey, RunPhase};
use crate::decider::RefusalCode;
use crate::text::TextRefusal;

/// Why a run says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunRefusal {
    /// Asked for before.
    #[error("the run was asked for already")]
    AlreadyRequested,
    /// The command names another run than the one it is sent to.
    #[error("the command is about another run than the one it is sent to")]
    Misaddressed,
    /// Nothing is known of it.
    #[error("there is no such run")]
    Unknown,
    /// Nothing more can happen to it.
    #[error("the run has ended already ({phase:?})")]
    AlreadyEnded {
        /// How.
        phase: RunPhase,
    },
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
    /// The deadline is now or earlier.
    #[error("the deadline has passed")]
    DeadlinePassed,
    /// The deadline is too far ahead.
    #[error("the deadline is more than {hours} hours ahead")]
    DeadlineTooFar {
        /// The bound.
        hours: i64,
    },
    /// The deadline is still ahead.
    #[error("the deadline has not passed yet")]
    DeadlineAhead,
    /// More checks than a request names.
    #[error("a request names at most {max} checks")]
    TooManyChecksNamed {
        /// The bound.
        max: usize,
    },
    /// One check named or planned twice.
    #[error("check {0} comes twice")]
    CheckRepeated(String),
    /// Its checks are fixed already.
    #[error("the run is planned already")]
    AlreadyPlanned,
    /// Its checks are not fixed yet.
    #[error("the run is not planned yet")]
    NotPlanned,
    /// More checks than a run takes.
    #[error("a run takes at most {max} checks")]
    PlanTooLarge {
        /// The bound.
        max: usize,
    },
    /// A check that takes no time, or for ever.
    #[error("the time limit of check {check} is not between 1 ms and {max_ms} ms")]
    TimeoutOutOfBounds {
        /// The check.
        check: String,
        /// The bound.
        max_ms: u32,
    },
    /// More results than one command takes.
    #[error("one command records at most {max} results")]
    TooManyResults {
        /// The bound.
        max: usize,
    },
    /// A result of a check that is not in the plan.
    #[error("check {} of {} is not planned", .0.check, .0.component)]
    CheckNotPlanned(CheckKey),
    /// What could not be measured must say why.
    #[error("the result of check {check} is unknown without a cause")]
    UnknownWithoutCause {
        /// The check.
        check: String,
    },
    /// What was measured has no such cause.
    #[error("the result of check {check} was measured, and carries a cause of not being measured")]
    CauseWithoutUnknown {
        /// The check.
        check: String,
    },
    /// The outcome is not that of the worst observation.
    #[error("the outcome of check {check} is not that of its worst observation")]
    OutcomeMismatch {
        /// The check.
        check: String,
    },
    /// More observations, figures or evidence than a result takes.
    #[error("the result of check {check} has more than {max} {what}")]
    ResultTooLarge {
        /// The check.
        check: String,
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A figure that is no number can not be stored.
    #[error("figure {metric:?} of check {check} is not a finite number")]
    MetricNotFinite {
        /// The check.
        check: String,
        /// The figure.
        metric: String,
    },
}

impl RunRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::AlreadyRequested => "run_already_requested",
            Self::Misaddressed => "run_misaddressed",
            Self::Unknown => "run_unknown",
            Self::AlreadyEnded { .. } => "run_already_ended",
            Self::Text(refusal) => refusal.code(),
            Self::DeadlinePassed => "deadline_passed",
            Self::DeadlineTooFar { .. } => "deadline_too_far",
            Self::DeadlineAhead => "deadline_not_passed",
            Self::TooManyChecksNamed { .. } => "too_many_checks_named",
            Self::CheckRepeated(_) => "check_repeated",
            Self::AlreadyPlanned => "run_already_planned",
            Self::NotPlanned => "run_not_planned",
            Self::PlanTooLarge { .. } => "plan_too_large",
            Self::TimeoutOutOfBounds { .. } => "timeout_out_of_bounds",
            Self::TooManyResults { .. } => "too_many_results",
            Self::CheckNotPlanned(_) => "check_not_planned",
            Self::UnknownWithoutCause { .. } => "unknown_without_cause",
            Self::CauseWithoutUnknown { .. } => "cause_without_unknown",
            Self::OutcomeMismatch { .. } => "outcome_mismatch",
            Self::ResultTooLarge { .. } => "result_too_large",
            Self::MetricNotFinite { .. } => "metric_not_finite",
        }
    }
}
