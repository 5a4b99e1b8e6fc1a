//! It is no longer wanted. Before it has begun that is the end; later, what has been done is taken back.

use super::rollback::{Turn, turn_back};
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, RollbackEnd};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    reason: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_open()?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    if state.phase.is_before_execution() {
        return Ok(vec![RemediationEvent::RemediationCancelled { reason, by, at }]);
    }
    if state.phase == RemediationPhase::RollingBack {
        return Err(RemediationRefusal::WrongPhase { phase: state.phase });
    }
    Ok(turn_back(state, Vec::new(), stopping(state, reason, context)))
}

/// The way back of what is stopped while it is executed. What has failed before stays a failure.
pub(super) fn stopping(state: &RemediationState, reason: String, context: &Context) -> Turn {
    let (by, at) = (context.actor.clone(), context.now);
    match &state.failure {
        Some(failure) => Turn { reason: format!("{failure}; then: {reason}"), by, end: RollbackEnd::Failed, at },
        None => Turn { reason, by, end: RollbackEnd::Cancelled, at },
    }
}
