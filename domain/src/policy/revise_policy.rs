//! Lets a policy say something else from now on. Nothing to do where it says the same. What is reserved stays reserved;
//! where the new budget is smaller than that, nothing is admitted until enough has ended.

use super::{PolicyDefinition, PolicyEvent, PolicyRefusal, PolicyState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};
use std::sync::Arc;

pub(super) fn decide(
    state: &PolicyState,
    definition: PolicyDefinition,
    reason: String,
    context: &Context,
) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
    let Some(defined) = &state.defined else { return Err(PolicyRefusal::NotDefined) };
    required("the reason", &reason, REASON_CHARS_MAX)?;
    definition.check()?;
    if **defined == definition {
        return Ok(Vec::new());
    }
    Ok(vec![PolicyEvent::PolicyRevised {
        definition: Arc::new(definition),
        revision: state.revision.saturating_add(1),
        by: context.actor.clone(),
        reason,
        at: context.now,
    }])
}

#[cfg(test)]
mod tests {
    use crate::policy::story::{admit, approval, defined, id, policy, request, rule, settle, with_rules};
    use crate::policy::{Budget, Mode, Policy, PolicyCommand, PolicyDefinition, Settlement, standing};
    use crate::remediation::Admission;
    use crate::testing::{refuses, start};

    fn revise(definition: PolicyDefinition, reason: &str) -> PolicyCommand {
        PolicyCommand::Revise { definition, reason: reason.to_owned() }
    }

    fn one() -> PolicyDefinition {
        with_rules(vec![rule("all", approval(1))])
    }

    fn unattended(max_open: u32) -> PolicyDefinition {
        let budget = Budget { max_open, ..Budget::default() };
        PolicyDefinition { budget, ..with_rules(vec![rule("all", Mode::Unattended)]) }
    }

    #[test]
    fn it_says_something_else_from_now_on() {
        let state = policy(one()).when(revise(unattended(3), "we trust it")).then_types(&["PolicyRevised"]);
        assert_eq!((state.revision, state.definition()), (2, &unattended(3)));
        policy(one()).when(revise(one(), "no change")).then_nothing();
    }

    #[test]
    fn with_less_budget_nothing_is_admitted_until_enough_has_ended() {
        let story = policy(unattended(3)).and(admit(request(1))).and(admit(request(2)));
        let story = story.and(revise(unattended(1), "carefully"));
        let said = |state| standing(&state, &request(3), start()).0;
        assert_eq!(story.state().open.len(), 2);
        assert!(matches!(said(story.state()), Admission::Deferred { .. }));
        let story = story.and(settle(1, Settlement::Succeeded));
        assert!(matches!(said(story.state()), Admission::Deferred { .. }));
        assert_eq!(said(story.and(settle(2, Settlement::Succeeded)).state()), Admission::Unattended);
    }

    #[test]
    fn refusals() {
        refuses::<Policy>(
            id(),
            [
                ("not defined", vec![], revise(one(), "x"), "policy_not_defined"),
                ("no reason", vec![defined(one())], revise(unattended(3), ""), "text_empty"),
                ("no rules", vec![defined(one())], revise(with_rules(vec![]), "x"), "policy_out_of_bounds"),
            ],
        );
    }
}
