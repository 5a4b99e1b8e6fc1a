//! A step is done and verified.

use super::size::{fits, value_without_nul};
use super::{
    Argument, Outputs, Plan, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, StepPhase,
};
use crate::decider::Context;
use crate::ids::StepName;

/// The largest outputs of one step, in bytes of JSON.
pub const OUTPUTS_BYTES_MAX: usize = 16 * 1_024;

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    mut outputs: Outputs,
    found_done: bool,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Executing])?;
    match state.require_step(&name)?.1.phase {
        StepPhase::Waiting => return Err(RemediationRefusal::StepNotStarted { step: name }),
        StepPhase::Started => return Err(RemediationRefusal::NoBeforeImage { step: name }),
        StepPhase::Succeeded | StepPhase::Failed => return Err(RemediationRefusal::StepAlreadyEnded { step: name }),
        StepPhase::Captured => {}
    }
    if !fits(&outputs, OUTPUTS_BYTES_MAX) {
        return Err(RemediationRefusal::OutputsTooLarge { max: OUTPUTS_BYTES_MAX });
    }
    if let Some(output) = missing_output(state.require_plan()?, &name, &outputs) {
        return Err(RemediationRefusal::OutputMissing { step: name, output });
    }
    outputs.values_mut().for_each(value_without_nul);
    let outcome = RemediationEvent::StepSucceeded { step: name, outputs, found_done, at: context.now };
    Ok(state.with_outcome(outcome, &context.actor, context.now))
}

/// An output that a later step is told and that was not given.
fn missing_output(plan: &Plan, name: &StepName, outputs: &Outputs) -> Option<String> {
    plan.steps.iter().flat_map(|later| later.arguments.values()).find_map(|argument| match argument {
        Argument::OutputOf { step, output } if step == name && !outputs.contains_key(output) => Some(output.clone()),
        _ => None,
    })
}
