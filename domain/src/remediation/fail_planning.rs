//! There can be no plan: nothing was done.

use super::size::told;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;

pub(super) fn decide(
    state: &RemediationState,
    reason: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Requested])?;
    let reason = format!("there is no plan: {}", told(reason));
    Ok(vec![RemediationEvent::RemediationFailed { reason, at: context.now }])
}
