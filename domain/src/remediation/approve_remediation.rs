//! A person approves what is bound now, for themselves or instead of somebody who asked for that.

use super::people::{key, require_comparable, require_person};
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
    require_comparable(state, &context.actor)?;
    if let Some(principal) = &on_behalf_of {
        require_comparable(state, principal)?;
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

#[cfg(test)]
mod tests {
    use crate::remediation::story::{
        Command, actor, approve, approve_for, ask, begin, delegate, dry_run, executable, plan, succeeded, waiting,
    };
    use crate::remediation::{Remediation, RemediationPhase};
    use crate::testing::{
        Given, REMEDIATION, after, approver, content_hash, executor, refuses, remediation_states, second_approver,
    };

    fn approved(story: Given<Remediation>) -> RemediationPhase {
        story.when(approve()).then_types(&["RemediationApproved"]).phase
    }

    #[test]
    fn one_or_two_people_approve() {
        assert_eq!(approved(waiting(1).by(approver())), RemediationPhase::Executable);
        let once = || waiting(2).by(approver()).and(approve());
        assert_eq!(once().state().phase, RemediationPhase::AwaitingApproval);
        assert_eq!(approved(once().by(second_approver())), RemediationPhase::Executable);
    }

    #[test]
    fn somebody_approves_instead_of_somebody() {
        let asked = waiting(2).by(approver()).and(delegate(&second_approver())).by(second_approver());
        let state = asked.when(approve_for(&approver())).then_types(&["RemediationApproved"]);
        assert_eq!(state.phase, RemediationPhase::AwaitingApproval, "that is one person's approval, not two");
        assert_eq!(state.approvals[0].on_behalf_of, Some(approver()));
    }

    #[test]
    fn refusals() {
        let other = || Command::Approve { binding: content_hash("x"), comment: String::new(), on_behalf_of: None };
        let novel = Command::Approve { binding: content_hash("x"), comment: "x".repeat(1_001), on_behalf_of: None };
        let open = || waiting(1).into_events();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], approve(), "remediation_unknown"),
                ("complete", executable().into_events(), approve(), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), approve(), "remediation_at_rest"),
                ("something else", open(), other(), "binding_mismatch"),
                ("a novel", open(), novel, "text_too_long"),
                ("nobody asked", open(), approve_for(&approver()), "not_delegated"),
                ("for oneself", open(), approve_for(&executor()), "delegated_to_self"),
                ("twice", waiting(2).and(approve()).into_events(), approve(), "already_approved"),
            ],
        );
        waiting(1).at(after(3_600)).when(approve()).then_refused("approval_expired");
        waiting(1).by(actor("system:remediator")).when(approve()).then_refused("person_needed");
        waiting(1).by(actor("System:X")).when(approve()).then_refused("person_needed");
    }

    #[test]
    fn one_person_counts_once_whatever_the_spelling_and_on_whoevers_behalf() {
        let (one, two, three) = (approver(), second_approver(), actor("third@example.org"));
        let once = || waiting(2).by(approver()).and(approve());
        once().by(actor(" Approver@Example.ORG ")).when(approve()).then_refused("already_approved");
        let twice_asked =
            || waiting(2).by(one.clone()).and(delegate(&three)).by(two.clone()).and(delegate(&three)).by(three.clone());
        let for_one = || twice_asked().and(approve_for(&one));
        for_one().when(approve_for(&two)).then_refused("already_approved");
        for_one().when(approve()).then_refused("already_approved");
        for_one().by(one.clone()).when(approve()).then_refused("already_approved");
        for_one().by(two.clone()).when(approve()).then_types(&["RemediationApproved"]);
        twice_asked()
            .by(one.clone())
            .and(approve())
            .by(three.clone())
            .when(approve_for(&one))
            .then_refused("already_approved");
        let chain = waiting(2).by(one.clone()).and(delegate(&two)).by(two).and(delegate(&three)).by(three);
        chain.when(approve_for(&one)).then_refused("not_delegated");
    }

    #[test]
    fn who_had_it_done_never_approves_it_even_after_another_plan() {
        let mut states = remediation_states();
        states[0] = Some(content_hash("drifted"));
        let drifted = Command::Begin { states, check_version: "0123456789ab".to_owned() };
        let again = || {
            let story = executable().and(Command::Execute).and(drifted.clone());
            story.and(plan()).and(dry_run()).and(ask(1, after(60)))
        };
        again().by(executor()).when(approve()).then_refused("approver_is_executor");
        again().by(executor()).when(delegate(&second_approver())).then_refused("approver_is_executor");
        again().by(second_approver()).when(delegate(&executor())).then_refused("approver_is_executor");
        let done = again().by(approver()).and(approve()).by(executor()).and(Command::Execute);
        done.when(begin()).then_types(&["ExecutionStarted"]);
    }
}
