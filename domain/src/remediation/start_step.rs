//! The intent to do a step: recorded before anything is done. A step under way is begun once more by whoever takes over.

use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, StepPhase};
use crate::decider::Context;
use crate::ids::StepName;

/// How often a step is begun (or begun to be taken back) without an outcome before it counts as failed.
pub const ATTEMPTS_MAX: u32 = 10;

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Executing])?;
    let (planned, step) = state.require_step(&name)?;
    match step.phase {
        StepPhase::Succeeded | StepPhase::Failed => return Err(RemediationRefusal::StepAlreadyEnded { step: name }),
        // What may have been changed is followed up to its outcome, whatever else has failed.
        StepPhase::Captured => {}
        StepPhase::Waiting | StepPhase::Started => {
            if state.failure.is_some() {
                return Err(RemediationRefusal::RollbackPending);
            }
            if !state.is_ready(planned) {
                return Err(RemediationRefusal::StepNotReady { step: name });
            }
        }
    }
    if step.attempt >= ATTEMPTS_MAX {
        return Err(RemediationRefusal::AttemptsExhausted { step: name, max: ATTEMPTS_MAX });
    }
    Ok(vec![RemediationEvent::StepStarted { attempt: step.attempt + 1, step: name, at: context.now }])
}
