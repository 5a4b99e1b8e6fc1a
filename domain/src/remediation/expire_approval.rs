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
    Ok(void(state, reason, context))
}

/// The approval is void: it is planned anew, or given up where that was done often enough.
pub(super) fn void(state: &RemediationState, reason: &str, context: &Context) -> Vec<RemediationEvent> {
    let at = context.now;
    let mut events = vec![RemediationEvent::ApprovalVoided { reason: reason.to_owned(), at }];
    if state.plans >= PLANS_MAX {
        let reason = format!("planned {PLANS_MAX} times; the last time: {reason}");
        events.push(RemediationEvent::RemediationCancelled { reason, by: context.actor.clone(), at });
    }
    events
}

#[cfg(test)]
mod tests {
    use super::PLANS_MAX;
    use crate::remediation::story::{Command, admit, ask, dry_run, executable, executing, plan, requested, waiting};
    use crate::remediation::{Admission, Remediation, RemediationPhase};
    use crate::testing::{REMEDIATION, after, refuses, remediation_executing};

    #[test]
    fn it_is_planned_again() {
        for (story, reason) in
            [(waiting(1), "nobody approved it in time"), (executable(), "nobody had it done in time")]
        {
            let state = story.at(after(3_600)).when(Command::ExpireApproval).then_types(&["ApprovalVoided"]);
            assert_eq!((state.phase, state.reason.as_deref()), (RemediationPhase::Requested, Some(reason)));
            assert_eq!((state.approvals.len(), state.binding(), state.plan.as_ref()), (0, None, None));
            assert!(state.policy.is_some(), "what was reserved with the policy could not be given back");
        }
    }

    #[test]
    fn it_is_planned_again_only_so_often() {
        let mut story = requested();
        for _ in 1..PLANS_MAX {
            story = story.at(after(0)).and(plan()).and(dry_run()).and(ask(1, after(60)));
            story = story.at(after(60)).and(Command::ExpireApproval);
        }
        let last = story.at(after(0)).and(plan()).and(dry_run()).and(ask(1, after(60))).at(after(60));
        let state = last.when(Command::ExpireApproval).then_types(&["ApprovalVoided", "RemediationCancelled"]);
        let reason = "planned 4 times; the last time: nobody approved it in time";
        assert_eq!((state.phase, state.reason.as_deref()), (RemediationPhase::Cancelled, Some(reason)));
    }

    #[test]
    fn refusals() {
        let unattended = requested().and(plan()).and(dry_run()).and(admit(Admission::Unattended)).into_events();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], Command::ExpireApproval, "remediation_unknown"),
                ("still good", waiting(1).into_events(), Command::ExpireApproval, "approval_not_expired"),
                ("never", unattended, Command::ExpireApproval, "approval_not_expired"),
                ("begun", remediation_executing(), Command::ExpireApproval, "remediation_wrong_phase"),
            ],
        );
        executing().at(after(3_600)).when(Command::ExpireApproval).then_refused("remediation_wrong_phase");
    }
}
