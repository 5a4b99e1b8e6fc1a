//! What the plan would change can not be read from the targets, before the approval or after it: nothing was done.

use super::size::told;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;

pub(super) fn decide(
    state: &RemediationState,
    reason: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Planned, RemediationPhase::Confirming])?;
    let reason = format!("the targets could not be read: {}", told(reason));
    Ok(vec![RemediationEvent::RemediationFailed { reason, at: context.now }])
}
