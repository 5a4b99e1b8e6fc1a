//! Somebody who has no part in the approval has it done.

use super::people::{key, require_person};
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;

pub(super) fn decide(state: &RemediationState, context: &Context) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_open()?;
    match state.phase {
        RemediationPhase::Executable => {}
        RemediationPhase::Confirming | RemediationPhase::Executing | RemediationPhase::RollingBack => {
            return Err(RemediationRefusal::WrongPhase { phase: state.phase });
        }
        phase => return Err(RemediationRefusal::NotApproved { phase }),
    }
    require_person(&context.actor)?;
    if state.approvers.contains(&key(&context.actor)) {
        return Err(RemediationRefusal::ExecutorIsApprover);
    }
    if state.expires_at.is_some_and(|expires_at| expires_at <= context.now) {
        return Err(RemediationRefusal::ApprovalExpired);
    }
    Ok(vec![RemediationEvent::ExecutionRequested { by: context.actor.clone(), at: context.now }])
}
