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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::story::{Command, executing, fail, start_step, story, succeed, with_captured, with_done};
    use crate::remediation::{Next, Remediation, RemediationEvent, RemediationPhase, StepStage, StepWork, next};
    use crate::testing::{REMEDIATION, refuses, start, step_name};
    use serde_json::json;

    fn with(step: &str, outputs: Outputs) -> Command {
        Command::RecordStepSucceeded { step: step_name(step), outputs, found_done: true }
    }

    #[test]
    fn it_is_done_and_gives_its_outputs() {
        let state =
            with_captured(executing(), &["find-copy"]).when(succeed("find-copy")).then_types(&["StepSucceeded"]);
        let step = &state.steps[&step_name("find-copy")];
        assert_eq!((step.phase, step.outcome_at), (StepPhase::Succeeded, Some(1)));
        assert_eq!(step.outputs["copy"], json!("/backup/rec_0000012.docx"));
        let found = with_captured(executing(), &["recount"]).when(with("recount", Outputs::new()));
        assert!(found.then_types(&["StepSucceeded"]).steps[&step_name("recount")].found_done);
    }

    #[test]
    fn the_last_one_waited_for_after_a_failure_turns_back() {
        let pending = with_captured(executing(), &["recount"]).and(start_step("find-copy")).and(fail("find-copy"));
        let waited_for = StepWork { step: step_name("recount"), from: StepStage::Decide };
        assert_eq!(next(&pending.state(), start()), Next::Steps(vec![waited_for]));
        let state = pending.when(succeed("recount")).then_types(&["StepSucceeded", "RollbackStarted"]);
        assert_eq!(state.phase, RemediationPhase::RollingBack);
        assert_eq!(state.rollback.as_ref().unwrap().reason, "step find-copy: disk full");
        assert_eq!(next(&state, start()), Next::Undo(step_name("recount")));
    }

    #[test]
    fn what_is_stored_holds_no_nul() {
        let outputs = Outputs::from([("copy".to_owned(), json!("a\0"))]);
        let then = with_captured(executing(), &["find-copy"]).when(with("find-copy", outputs));
        assert!(!serde_json::to_string(then.accepted()).unwrap().contains("\\u0000"));
    }

    #[test]
    fn refusals() {
        let captured = with_captured(executing(), &["find-copy"]).into_events();
        let huge = Outputs::from([("copy".to_owned(), json!("x".repeat(OUTPUTS_BYTES_MAX)))]);
        let begun = executing().and(start_step("recount")).into_events();
        let failed: Vec<RemediationEvent> =
            with_captured(executing(), &["recount"]).and(start_step("find-copy")).and(fail("find-copy")).into_events();
        story(failed.clone()).when(succeed("recount")).accepted();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], succeed("recount"), "remediation_unknown"),
                ("no such step", captured.clone(), succeed("elsewhere"), "step_unknown"),
                ("not begun", captured.clone(), succeed("recount"), "step_not_started"),
                ("nothing recorded before", begun, succeed("recount"), "no_before_image"),
                ("twice", with_done(executing(), &["recount"]).into_events(), succeed("recount"), "step_already_ended"),
                ("failed", failed, succeed("find-copy"), "step_already_ended"),
                ("without what is needed", captured.clone(), with("find-copy", Outputs::new()), "output_missing"),
                ("too large", captured, with("find-copy", huge), "outputs_too_large"),
            ],
        );
    }
}
