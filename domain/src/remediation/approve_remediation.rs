//! A person approves what is bound now, for themselves or instead of somebody who asked for that.

use super::people::{key, require_person};
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::ids::{Actor, ContentHash};
use crate::text::{REASON_CHARS_MAX, optional};

pub(super) fn decide(
    state: &RemediationState,
    binding: ContentHash,
    comment: String,
    on_behalf_of: Option<Actor>,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::AwaitingApproval])?;
    require_person(&context.actor)?;
    optional("the comment", &comment, REASON_CHARS_MAX)?;
    if state.expires_at.is_none_or(|expires_at| expires_at <= context.now) {
        return Err(RemediationRefusal::ApprovalExpired);
    }
    if state.binding.as_ref() != Some(&binding) {
        return Err(RemediationRefusal::BindingMismatch);
    }
    if let Some(principal) = &on_behalf_of {
        require_delegated(state, principal, &context.actor)?;
    }
    require_new(state, [Some(&context.actor), on_behalf_of.as_ref()])?;
    let complete = state.approvals.len() + 1 >= usize::from(state.people);
    let (by, at) = (context.actor.clone(), context.now);
    Ok(vec![RemediationEvent::RemediationApproved { by, on_behalf_of, comment, binding, complete, at }])
}

fn require_delegated(state: &RemediationState, principal: &Actor, by: &Actor) -> Result<(), RemediationRefusal> {
    if key(principal) == key(by) {
        return Err(RemediationRefusal::DelegatedToSelf);
    }
    let asked =
        |delegation: &super::Delegation| key(&delegation.by) == key(principal) && key(&delegation.to) == key(by);
    if state.delegations.iter().any(asked) { Ok(()) } else { Err(RemediationRefusal::NotDelegated) }
}

/// Neither the one who approves nor the one on whose behalf has part in an approval yet, or ever executed.
fn require_new(state: &RemediationState, people: [Option<&Actor>; 2]) -> Result<(), RemediationRefusal> {
    for person in people.into_iter().flatten().map(key) {
        if state.executors.contains(&person) {
            return Err(RemediationRefusal::ApproverIsExecutor);
        }
        let has_part = |approval: &super::Approval| {
            key(&approval.by) == person || approval.on_behalf_of.as_ref().map(key).as_ref() == Some(&person)
        };
        if state.approvals.iter().any(has_part) {
            return Err(RemediationRefusal::AlreadyApproved);
        }
    }
    Ok(())
}
