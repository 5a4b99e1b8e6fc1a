//! A step could not be taken back: what it came after stays too, the rest is still taken back, and then a person is
//! needed.

use super::rollback::conclude;
use super::size::told;
use super::start_undo::require_under_way;
use super::{RemediationEvent, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::ids::StepName;

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    error: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    require_under_way(state, &name)?;
    let failed = RemediationEvent::StepUndoFailed { step: name, error: told(error), at: context.now };
    Ok(conclude(state, vec![failed], context.now))
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{executing, failing, start_undo, succeeded, undo_failed, undone};
    use crate::remediation::{Next, Remediation, RemediationPhase, next};
    use crate::testing::{REMEDIATION, refuses, start, step_name};

    #[test]
    fn the_rest_is_taken_back_but_what_it_came_after() {
        let state = failing().and(start_undo("restore-file")).when(undo_failed("restore-file"));
        let state = state.then_types(&["StepUndoFailed"]);
        assert_eq!(
            next(&state, start()),
            Next::Undo(step_name("recount")),
            "find-copy stays, restore-file came after it"
        );
        let story = failing().and(start_undo("restore-file")).and(undo_failed("restore-file"));
        let types = ["StepUndone", "RollbackIncomplete", "RemediationStuck"];
        let state = story.and(start_undo("recount")).when(undone("recount")).then_types(&types);
        assert_eq!(state.phase, RemediationPhase::Stuck);
        assert!(state.reason.unwrap().contains("restore-file (no route to host), find-copy"));
    }

    #[test]
    fn refusals() {
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], undo_failed("recount"), "remediation_unknown"),
                ("going forward", executing().into_events(), undo_failed("recount"), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), undo_failed("recount"), "remediation_at_rest"),
                ("no such step", failing().into_events(), undo_failed("elsewhere"), "step_unknown"),
                ("not begun", failing().into_events(), undo_failed("restore-file"), "undo_not_started"),
            ],
        );
    }
}
