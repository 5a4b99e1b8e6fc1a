//! An approval was waited for too long, or given and not used in time.

use super::{PLANS_MAX, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;

pub(super) fn decide(state: &RemediationState, context: &Context) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::AwaitingApproval, RemediationPhase::Executable])?;
    if state.expires_at.is_none_or(|expires_at| context.now < expires_at) {
        return Err(RemediationRefusal::ApprovalNotExpired);
    }
    let reason = match state.phase {
        RemediationPhase::AwaitingApproval => "nobody approved it in time",
        _ => "nobody had it done in time",
    };
    Ok(void(state, reason.to_owned(), context))
}

/// The approval is void: it is planned anew, or given up where that was done often enough.
pub(super) fn void(state: &RemediationState, reason: String, context: &Context) -> Vec<RemediationEvent> {
    let at = context.now;
    let mut events = vec![RemediationEvent::ApprovalVoided { reason: reason.clone(), at }];
    if state.plans >= PLANS_MAX {
        let reason = format!("planned {PLANS_MAX} times; the last time: {reason}");
        events.push(RemediationEvent::RemediationCancelled { reason, by: context.actor.clone(), at });
    }
    events
}
