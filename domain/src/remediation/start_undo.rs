//! The intent to take a step back: recorded before anything is done.

use super::rollback::next_undo;
use super::start_step::ATTEMPTS_MAX;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, UndoState};
use crate::decider::Context;
use crate::ids::StepName;

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::RollingBack])?;
    let (_, step) = state.require_step(&name)?;
    if next_undo(state) != Some(&name) {
        return Err(RemediationRefusal::UndoOutOfOrder { step: name });
    }
    let attempt = match step.undone {
        UndoState::UnderWay { attempt } if attempt >= ATTEMPTS_MAX => {
            return Err(RemediationRefusal::AttemptsExhausted { step: name, max: ATTEMPTS_MAX });
        }
        UndoState::UnderWay { attempt } => attempt + 1,
        UndoState::Not | UndoState::Done { .. } | UndoState::Failed { .. } => 1,
    };
    Ok(vec![RemediationEvent::StepUndoStarted { step: name, attempt, at: context.now }])
}

/// Refuses the outcome of what was not begun.
pub(super) fn require_under_way(state: &RemediationState, name: &StepName) -> Result<(), RemediationRefusal> {
    state.require_phase(&[RemediationPhase::RollingBack])?;
    match state.require_step(name)?.1.undone {
        UndoState::UnderWay { .. } => Ok(()),
        _ => Err(RemediationRefusal::UndoNotStarted { step: name.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::ATTEMPTS_MAX;
    use crate::remediation::story::{executing, failing, start_undo, story, succeeded, undo_failed};
    use crate::remediation::{Next, Remediation, RemediationEvent, UndoState, next};
    use crate::testing::{REMEDIATION, refuses, start, step_name};

    #[test]
    fn it_is_begun_and_begun_once_more_by_whoever_takes_over() {
        let begun = RemediationEvent::StepUndoStarted { step: step_name("restore-file"), attempt: 1, at: start() };
        failing().when(start_undo("restore-file")).then(&[begun]);
        let state = failing().and(start_undo("restore-file")).when(start_undo("restore-file"));
        let state = state.then_types(&["StepUndoStarted"]);
        assert_eq!(state.steps[&step_name("restore-file")].undone, UndoState::UnderWay { attempt: 2 });
    }

    #[test]
    fn it_is_given_up_in_the_end() {
        let mut often = failing();
        for _ in 0..ATTEMPTS_MAX {
            assert_eq!(next(&often.state(), start()), Next::Undo(step_name("restore-file")));
            often = often.and(start_undo("restore-file"));
        }
        assert_eq!(next(&often.state(), start()), Next::GiveUpUndo(step_name("restore-file")));
        let events = often.into_events();
        story(events.clone()).when(start_undo("restore-file")).then_refused("attempts_exhausted");
        story(events).when(undo_failed("restore-file")).then_types(&["StepUndoFailed"]);
    }

    #[test]
    fn refusals() {
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], start_undo("recount"), "remediation_unknown"),
                ("going forward", executing().into_events(), start_undo("recount"), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), start_undo("recount"), "remediation_at_rest"),
                ("no such step", failing().into_events(), start_undo("elsewhere"), "step_unknown"),
                ("out of order", failing().into_events(), start_undo("recount"), "undo_out_of_order"),
            ],
        );
    }
}
