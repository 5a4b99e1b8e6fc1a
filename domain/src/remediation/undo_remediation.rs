//! A person wants taken back what was done: of a remediation that has succeeded or was halted, or once more of a stuck
//! one.

use super::people::require_person;
use super::rollback::{Turn, next_undo, turn_back};
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, RollbackEnd, Undoing};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    reason: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_known()?;
    let end = match (state.phase, &state.rollback) {
        // Another try does not make a failed one a success that was undone.
        (RemediationPhase::Stuck, Some(earlier)) => earlier.end,
        (RemediationPhase::Succeeded | RemediationPhase::Halted, _) => RollbackEnd::Undone,
        (phase, _) if phase.is_at_rest() => return Err(RemediationRefusal::AtRest { phase }),
        (phase, _) => return Err(RemediationRefusal::WrongPhase { phase }),
    };
    require_person(&context.actor)?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    if state.phase == RemediationPhase::Succeeded {
        require_undoable(state)?;
    }
    let turn = Turn { reason, by: context.actor.clone(), end, at: context.now };
    let events = turn_back(state, Vec::new(), turn);
    // Of one that is at rest with something left behind, nothing would change but the reason.
    if state.phase != RemediationPhase::Succeeded && next_undo(&state.after(&events)).is_none() {
        return Err(RemediationRefusal::NothingToUndo);
    }
    Ok(events)
}

/// Nobody makes a success stuck.
fn require_undoable(state: &RemediationState) -> Result<(), RemediationRefusal> {
    let impossible = state.planned_steps().find(|(planned, _)| matches!(planned.undo, Undoing::Impossible { .. }));
    match impossible {
        Some((planned, _)) => Err(RemediationRefusal::NotUndoable { step: planned.name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::Outcome;
    use crate::remediation::story::{
        Command, actor, executing, executing_with, failing, halt, post_check, start_undo, story, succeeded, undo,
        undo_failed, undone, with_done, with_undone,
    };
    use crate::remediation::{Remediation, RemediationPhase, RollbackEnd, Undoing};
    use crate::testing::{
        Given, REMEDIATION, post_check_results, refuses, remediation_rolled_back, remediation_stuck, step_name,
    };

    const ALL: [&str; 3] = ["find-copy", "recount", "restore-file"];

    fn impossible() -> Undoing {
        Undoing::Impossible { reason: "what is gone is gone".to_owned() }
    }

    fn stuck() -> Given<Remediation> {
        with_undone(failing().and(start_undo("restore-file")).and(undo_failed("restore-file")), &["recount"])
    }

    #[test]
    fn a_success_is_taken_back() {
        let state = succeeded().when(undo()).then_types(&["RollbackStarted"]);
        assert_eq!((state.phase, state.ended_at), (RemediationPhase::RollingBack, None));
        let last = with_undone(succeeded().and(undo()), &["restore-file", "recount"]).and(start_undo("find-copy"));
        let state = last.when(undone("find-copy")).then_types(&["StepUndone", "RollbackProven", "RemediationUndone"]);
        assert_eq!(state.phase, RemediationPhase::Undone);
    }

    #[test]
    fn what_was_halted_is_taken_back() {
        let halted = with_done(executing(), &["recount"]).and(halt(false));
        let state = with_undone(halted.and(undo()), &["recount"]).state();
        assert_eq!(state.phase, RemediationPhase::Undone);
    }

    #[test]
    fn a_stuck_one_is_tried_again_and_ends_as_it_would_have() {
        assert_eq!(stuck().state().phase, RemediationPhase::Stuck);
        let again = stuck().when(undo()).then_types(&["RollbackStarted"]);
        let rollback = again.rollback.unwrap();
        assert_eq!(
            (rollback.steps, rollback.end),
            (["restore-file", "find-copy"].map(step_name).to_vec(), RollbackEnd::Failed)
        );
        let state = with_undone(stuck().and(undo()), &["restore-file", "find-copy"]).state();
        assert_eq!(state.phase, RemediationPhase::Failed);
    }

    #[test]
    fn refusals() {
        let novel = Command::Undo { reason: "x".repeat(1_001) };
        let irreversible = with_done(executing_with("restore-file", &impossible()), &ALL);
        let left = irreversible.and(post_check(post_check_results(Outcome::Ok)));
        let only = with_done(executing_with("recount", &impossible()), &["recount"]).and(halt(false));
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], undo(), "remediation_unknown"),
                ("under way", executing().into_events(), undo(), "remediation_wrong_phase"),
                ("taken back", failing().into_events(), undo(), "remediation_wrong_phase"),
                ("failed", remediation_rolled_back(), undo(), "remediation_at_rest"),
                ("a novel", succeeded().into_events(), novel, "text_too_long"),
                ("can not be", left.into_events(), undo(), "not_undoable"),
                ("nothing left", only.into_events(), undo(), "nothing_to_undo"),
            ],
        );
        succeeded().by(actor("system:x")).when(undo()).then_refused("person_needed");
        story(remediation_stuck()).when(undo()).then_types(&["RollbackStarted"]);
    }
}
