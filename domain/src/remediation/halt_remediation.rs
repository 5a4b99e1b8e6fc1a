//! The emergency stop: nothing more is done; what has been done is taken back where that is asked for.

use super::cancel_remediation::stopping;
use super::rollback::turn_back;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    undo: bool,
    reason: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_open()?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    let halted = RemediationEvent::RemediationHalted { undo, reason: reason.clone(), by: by.clone(), at };
    if state.phase == RemediationPhase::RollingBack {
        // What is being taken back goes on to be, unless nothing at all may be done.
        let is_known = undo && state.halted;
        return Ok(if is_known { Vec::new() } else { vec![halted] });
    }
    let reason = format!("emergency stop: {reason}");
    if !state.any_captured() {
        return Ok(vec![halted, RemediationEvent::RemediationCancelled { reason, by, at }]);
    }
    if undo {
        return Ok(turn_back(state, vec![halted], stopping(state, reason, context)));
    }
    Ok(vec![halted])
}
