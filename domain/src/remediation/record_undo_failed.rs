//! A step could not be taken back: what it came after stays too, the rest is still taken back, and then a person is needed.

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
