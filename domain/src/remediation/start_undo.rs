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
