//! Somebody who has no part in the approval has it done.

use super::people::{key, require_comparable, require_person};
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
    require_comparable(state, &context.actor)?;
    if state.approvers.contains(&key(&context.actor)) {
        return Err(RemediationRefusal::ExecutorIsApprover);
    }
    if state.expires_at.is_some_and(|expires_at| expires_at <= context.now) {
        return Err(RemediationRefusal::ApprovalExpired);
    }
    Ok(vec![RemediationEvent::ExecutionRequested { by: context.actor.clone(), at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{
        Command, actor, admit, approve, approve_for, delegate, dry_run, executable, executing, plan, requested,
        succeeded, waiting,
    };
    use crate::remediation::{Admission, Remediation, RemediationEvent, RemediationPhase};
    use crate::testing::{REMEDIATION, after, approver, executor, refuses, second_approver, start};

    #[test]
    fn somebody_else_has_it_done() {
        let state = executable()
            .when(Command::Execute)
            .then(&[RemediationEvent::ExecutionRequested { by: executor(), at: start() }]);
        assert_eq!((state.phase, state.executor), (RemediationPhase::Confirming, Some(executor())));
        let unattended = requested().and(plan()).and(dry_run()).and(admit(Admission::Unattended));
        unattended.when(Command::Execute).then_types(&["ExecutionRequested"]);
    }

    #[test]
    fn who_has_part_in_the_approval_never_has_it_done() {
        let (one, two, three) = (approver(), second_approver(), actor("third@example.org"));
        executable().by(one.clone()).when(Command::Execute).then_refused("executor_is_approver");
        executable().by(actor("APPROVER@example.org")).when(Command::Execute).then_refused("executor_is_approver");
        let instead = || waiting(1).by(one.clone()).and(delegate(&two)).by(two.clone()).and(approve_for(&one));
        for by in [&one, &two] {
            instead().by(by.clone()).when(Command::Execute).then_refused("executor_is_approver");
        }
        instead().by(three.clone()).when(Command::Execute).then_types(&["ExecutionRequested"]);
        // Whoever asked somebody else has part in it, whether or not that one says so.
        let unsaid = waiting(1).by(one.clone()).and(delegate(&two)).by(two).and(approve());
        unsaid.by(one).when(Command::Execute).then_refused("executor_is_approver");
    }

    #[test]
    fn refusals() {
        let wrong = "remediation_wrong_phase";
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], Command::Execute, "remediation_unknown"),
                ("not planned", requested().into_events(), Command::Execute, "not_approved"),
                ("not approved", waiting(1).into_events(), Command::Execute, "not_approved"),
                ("one of two", waiting(2).and(approve()).into_events(), Command::Execute, "not_approved"),
                ("twice", executable().and(Command::Execute).into_events(), Command::Execute, wrong),
                ("begun", executing().into_events(), Command::Execute, wrong),
                ("at rest", succeeded().into_events(), Command::Execute, "remediation_at_rest"),
            ],
        );
        executable().at(after(3_600)).when(Command::Execute).then_refused("approval_expired");
        executable().by(actor("system:x")).when(Command::Execute).then_refused("person_needed");
    }
}
