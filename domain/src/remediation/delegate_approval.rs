//! A person asks another one to decide instead. Whoever asks never executes: the approval is in part theirs.

use super::people::{key, require_person};
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::ids::Actor;
use crate::text::{REASON_CHARS_MAX, optional};

/// The most delegations of one approval.
const DELEGATIONS_MAX: usize = 16;

pub(super) fn decide(
    state: &RemediationState,
    to: Actor,
    comment: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::AwaitingApproval])?;
    require_person(&context.actor)?;
    require_person(&to)?;
    optional("the comment", &comment, REASON_CHARS_MAX)?;
    if state.expires_at.is_none_or(|expires_at| expires_at <= context.now) {
        return Err(RemediationRefusal::ApprovalExpired);
    }
    let (from, target) = (key(&context.actor), key(&to));
    if from == target {
        return Err(RemediationRefusal::DelegatedToSelf);
    }
    if state.executors.contains(&from) || state.executors.contains(&target) {
        return Err(RemediationRefusal::ApproverIsExecutor);
    }
    let has_part = |approval: &super::Approval| {
        key(&approval.by) == from || approval.on_behalf_of.as_ref().map(key).as_ref() == Some(&from)
    };
    if state.approvals.iter().any(has_part) {
        return Err(RemediationRefusal::AlreadyApproved);
    }
    if state.delegations.iter().any(|earlier| key(&earlier.by) == from && key(&earlier.to) == target) {
        return Ok(Vec::new());
    }
    if state.delegations.len() >= DELEGATIONS_MAX {
        return Err(RemediationRefusal::TooManyDelegations { max: DELEGATIONS_MAX });
    }
    Ok(vec![RemediationEvent::ApprovalDelegated { by: context.actor.clone(), to, comment, at: context.now }])
}
