//! A person asks another one to decide instead. Whoever asks never executes: the approval is in part theirs.

use super::people::{key, require_comparable, require_person};
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
    require_comparable(state, &context.actor)?;
    require_comparable(state, &to)?;
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

#[cfg(test)]
mod tests {
    use super::DELEGATIONS_MAX;
    use crate::remediation::story::{Command, actor, approve, approve_for, delegate, executable, waiting};
    use crate::remediation::{Remediation, RemediationEvent};
    use crate::testing::{REMEDIATION, after, approver, executor, refuses, second_approver, start};

    #[test]
    fn it_is_delegated_once() {
        let delegated = RemediationEvent::ApprovalDelegated {
            by: approver(),
            to: second_approver(),
            comment: "I am away".to_owned(),
            at: start(),
        };
        let state = waiting(1).by(approver()).when(delegate(&second_approver())).then(&[delegated]);
        assert_eq!(state.delegations.len(), 1);
        waiting(1).and(delegate(&approver())).when(delegate(&approver())).then_nothing();
    }

    #[test]
    fn refusals() {
        let to = second_approver();
        let (asked, done) = (|| waiting(2).into_events(), waiting(2).and(approve()).into_events());
        let novel = Command::Delegate { to: to.clone(), comment: "x".repeat(1_001) };
        let many = (0..DELEGATIONS_MAX)
            .fold(waiting(1), |story, number| story.and(delegate(&actor(&format!("person-{number}")))));
        let system = delegate(&actor("system:x"));
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], delegate(&to), "remediation_unknown"),
                ("complete", executable().into_events(), delegate(&to), "remediation_wrong_phase"),
                ("to oneself", asked(), delegate(&executor()), "delegated_to_self"),
                ("to a machine", asked(), system, "person_needed"),
                ("a novel", asked(), novel, "text_too_long"),
                ("too late", done, delegate(&to), "already_approved"),
                ("many", many.into_events(), delegate(&to), "too_many_delegations"),
            ],
        );
        waiting(1).by(actor("system:x")).when(delegate(&to)).then_refused("person_needed");
        waiting(1).at(after(3_600)).when(delegate(&to)).then_refused("approval_expired");
        let used = waiting(2).by(approver()).and(delegate(&to)).by(to.clone()).and(approve_for(&approver()));
        used.by(approver()).when(delegate(&executor())).then_refused("already_approved");
    }
}
