//! A step is not done, or can not be verified: all is taken back, as soon as no other step may be changing something.

use super::size::told;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, StepPhase};
use crate::decider::Context;
use crate::ids::StepName;

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    error: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Executing])?;
    match state.require_step(&name)?.1.phase {
        StepPhase::Waiting => return Err(RemediationRefusal::StepNotStarted { step: name }),
        StepPhase::Succeeded | StepPhase::Failed => return Err(RemediationRefusal::StepAlreadyEnded { step: name }),
        StepPhase::Started | StepPhase::Captured => {}
    }
    let outcome = RemediationEvent::StepFailed { step: name, error: told(error), at: context.now };
    Ok(state.with_outcome(outcome, &context.actor, context.now))
}
