//! A person wants taken back what was done: of a remediation that has succeeded or was halted, or once more of a stuck one.

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
    let mut ahead = state.clone();
    events.iter().for_each(|event| ahead.evolve(event));
    // Of one that is at rest with something left behind, nothing would change but the reason.
    if state.phase != RemediationPhase::Succeeded && next_undo(&ahead).is_none() {
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
