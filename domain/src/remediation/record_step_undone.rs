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
