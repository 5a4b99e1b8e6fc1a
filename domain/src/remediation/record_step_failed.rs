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

#[cfg(test)]
mod tests {
    use crate::remediation::story::{executable, executing, fail, start_step, succeeded, with_captured, with_done};
    use crate::remediation::{Next, Remediation, RemediationPhase, RollbackEnd, next};
    use crate::testing::{REMEDIATION, refuses, start, step_name};

    #[test]
    fn what_was_done_is_taken_back_last_first() {
        let story = with_captured(with_done(executing(), &["recount", "find-copy"]), &["restore-file"]);
        let state = story.when(fail("restore-file")).then_types(&["StepFailed", "RollbackStarted"]);
        let rollback = state.rollback.as_ref().unwrap();
        assert_eq!(rollback.steps, ["restore-file", "find-copy", "recount"].map(step_name));
        assert_eq!(rollback.end, RollbackEnd::Failed);
        assert_eq!(next(&state, start()), Next::Undo(step_name("restore-file")));
    }

    #[test]
    fn where_nothing_was_done_nothing_is_taken_back() {
        let state = executing().and(start_step("recount")).when(fail("recount")).then_types(&[
            "StepFailed",
            "RollbackStarted",
            "RollbackProven",
            "RemediationFailed",
        ]);
        assert_eq!((state.phase, state.reason.as_deref()), (RemediationPhase::Failed, Some("step recount: disk full")));
    }

    #[test]
    fn what_may_still_be_changing_something_is_waited_for() {
        let both = || with_captured(executing(), &["find-copy", "recount"]);
        let pending = both().when(fail("recount")).then_types(&["StepFailed"]);
        assert_eq!(pending.phase, RemediationPhase::Executing);
        let state = both().and(fail("recount")).when(fail("find-copy")).then_types(&["StepFailed", "RollbackStarted"]);
        assert_eq!(state.rollback.as_ref().unwrap().reason, "step recount: disk full", "the first failure counts");
    }

    #[test]
    fn refusals() {
        let done = with_done(executing(), &["recount"]).into_events();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], fail("recount"), "remediation_unknown"),
                ("not begun", executable().into_events(), fail("recount"), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), fail("recount"), "remediation_at_rest"),
                ("no such step", executing().into_events(), fail("elsewhere"), "step_unknown"),
                ("step not begun", executing().into_events(), fail("recount"), "step_not_started"),
                ("done", done, fail("recount"), "step_already_ended"),
            ],
        );
    }
}
