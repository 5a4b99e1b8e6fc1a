//! A step is taken back. The last one shows whether everything is as it was.

use super::rollback::conclude;
use super::start_undo::require_under_way;
use super::{RemediationEvent, RemediationRefusal, RemediationState, Undoing};
use crate::decider::Context;
use crate::ids::{ContentHash, StepName};

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    found: Option<ContentHash>,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    require_under_way(state, &name)?;
    // Without a hash nothing would be proven.
    if found.is_none() && state.require_step(&name)?.0.undo == Undoing::FromBeforeImage {
        return Err(RemediationRefusal::StateMissing { step: name });
    }
    let undone = RemediationEvent::StepUndone { step: name, state: found, at: context.now };
    Ok(conclude(state, vec![undone], context.now))
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{
        Command, executing, executing_with, fail, failing, image_hash, start_undo, story, undone, with_captured,
        with_done, with_undone,
    };
    use crate::remediation::{Remediation, RemediationEvent, RemediationPhase, Rest, Undoing};
    use crate::testing::{
        REMEDIATION, content_hash, refuses, remediation_rolled_back, remediation_stuck, start, step_name,
    };

    fn last() -> crate::testing::Given<Remediation> {
        with_undone(failing(), &["restore-file", "recount"]).and(start_undo("find-copy"))
    }

    fn found(step: &str, state: &str) -> Command {
        Command::RecordStepUndone { step: step_name(step), state: Some(content_hash(state)) }
    }

    #[test]
    fn all_is_proven_to_be_as_it_was() {
        let state = last().when(undone("find-copy")).then_types(&["StepUndone", "RollbackProven", "RemediationFailed"]);
        assert_eq!(state.phase, RemediationPhase::Failed);
        assert_eq!(
            state.reason.as_deref(),
            Some("post-check CM-FILE-MISSING is warning: store-1/000/rec_0000012.docx is warning")
        );
        for (step, planned) in [("restore-file", true), ("recount", true), ("find-copy", true)] {
            assert_eq!(state.is_restored(&step_name(step)), planned, "{step}");
        }
        assert_eq!(image_hash(&state, "recount"), Some(content_hash("recount")));
        assert_eq!(story(remediation_rolled_back()).state().phase, RemediationPhase::Failed);
    }

    #[test]
    fn what_is_not_as_it_was_needs_a_person() {
        let mismatch = with_undone(failing(), &["restore-file"]).and(start_undo("recount")).and(found("recount", "x"));
        let events = mismatch.and(start_undo("find-copy")).when(undone("find-copy"));
        let reason = "post-check CM-FILE-MISSING is warning: store-1/000/rec_0000012.docx is warning; \
                      not taken back: recount (is not as it was)";
        let state = events.then(&[
            RemediationEvent::StepUndone { step: step_name("find-copy"), state: None, at: start() },
            RemediationEvent::RollbackIncomplete {
                steps: vec![step_name("recount")],
                reason: reason.to_owned(),
                at: start(),
            },
            RemediationEvent::RemediationStuck { reason: reason.to_owned(), at: start() },
        ]);
        assert_eq!(crate::remediation::next(&state, start()), crate::remediation::Next::Rest(Rest::Stuck));
        assert_eq!((state.phase, state.ended_at), (RemediationPhase::Stuck, None));
        assert_eq!(story(remediation_stuck()).state().phase, RemediationPhase::Stuck);
    }

    #[test]
    fn what_can_not_be_taken_back_keeps_what_it_came_after() {
        let impossible = Undoing::Impossible { reason: "what is gone is gone".to_owned() };
        let done = with_done(executing_with("restore-file", &impossible), &["find-copy", "recount"]);
        let failed = with_captured(done, &["restore-file"]).and(fail("restore-file"));
        let state = failed.and(start_undo("recount")).when(undone("recount")).then_types(&[
            "StepUndone",
            "RollbackIncomplete",
            "RemediationStuck",
        ]);
        assert!(state.reason.unwrap().ends_with(
            "not taken back: restore-file (can not be: what is gone is gone), \
             find-copy (a later step that was not taken back may rely on it)"
        ));
        // Nothing of it was applied where there is no before-image: then there is nothing to take back.
        let untouched = executing_with("recount", &impossible).and(crate::remediation::story::start_step("recount"));
        let types = ["StepFailed", "RollbackStarted", "RollbackProven", "RemediationFailed"];
        untouched.when(fail("recount")).then_types(&types);
    }

    #[test]
    fn refusals() {
        let nothing = Command::RecordStepUndone { step: step_name("restore-file"), state: None };
        let begun = failing().and(start_undo("restore-file"));
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], undone("recount"), "remediation_unknown"),
                ("going forward", executing().into_events(), undone("recount"), "remediation_wrong_phase"),
                ("at rest", remediation_rolled_back(), undone("recount"), "remediation_at_rest"),
                ("no such step", failing().into_events(), undone("elsewhere"), "step_unknown"),
                ("not begun", failing().into_events(), undone("restore-file"), "undo_not_started"),
                (
                    "twice",
                    with_undone(failing(), &["restore-file"]).into_events(),
                    undone("restore-file"),
                    "undo_not_started",
                ),
                ("proves nothing", begun.into_events(), nothing, "state_missing"),
            ],
        );
    }
}
