//! Defines a policy, in place of the built-in one. Nothing to do where it says the same already.

use super::{PolicyDefinition, PolicyEvent, PolicyRefusal, PolicyState};
use crate::decider::Context;
use crate::ids::PolicyName;
use std::sync::Arc;

pub(super) fn decide(
    state: &PolicyState,
    policy: PolicyName,
    definition: PolicyDefinition,
    context: &Context,
) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
    state.require_name(&policy)?;
    definition.check()?;
    match &state.defined {
        Some(defined) if **defined == definition => Ok(Vec::new()),
        Some(_) => Err(PolicyRefusal::AlreadyDefined),
        None => Ok(vec![PolicyEvent::PolicyDefined {
            policy,
            definition: Arc::new(definition),
            revision: state.revision.saturating_add(1),
            by: context.actor.clone(),
            at: context.now,
        }]),
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::story::{admit, settle};
    use crate::policy::story::{approval, built_in, defined, id, name, policy, remediation, request, rule, with_rules};
    use crate::policy::{Mode, Policy, PolicyCommand, PolicyDefinition, Settlement};
    use crate::testing::refuses;

    fn define(definition: PolicyDefinition) -> PolicyCommand {
        PolicyCommand::Define { policy: name(), definition }
    }

    #[test]
    fn it_is_defined_once() {
        let two = || with_rules(vec![rule("all", approval(2))]);
        let state = built_in().when(define(two())).then(&[defined(two())]);
        assert_eq!((state.revision, state.definition()), (1, &two()));
        policy(two()).when(define(two())).then_nothing();
    }

    #[test]
    fn what_was_learned_and_reserved_before_stays() {
        let story = built_in().and(admit(request(1))).and(settle(1, Settlement::Succeeded)).and(admit(request(2)));
        let state = story.when(define(with_rules(vec![rule("none", Mode::Never)]))).then_types(&["PolicyDefined"]);
        assert!(state.reservation(remediation(2)).is_some());
        assert_eq!(state.statistics.of(&request(1).statistics_key()).successes, 1);
    }

    #[test]
    fn refusals() {
        let one = || with_rules(vec![rule("all", approval(1))]);
        let elsewhere = PolicyCommand::Define { policy: "other".parse().unwrap(), definition: one() };
        refuses::<Policy>(
            id(),
            [
                ("another name", vec![defined(one())], elsewhere, "policy_misaddressed"),
                (
                    "defined",
                    vec![defined(one())],
                    define(with_rules(vec![rule("x", approval(1))])),
                    "policy_already_defined",
                ),
                ("no rules", vec![], define(with_rules(vec![])), "policy_out_of_bounds"),
                ("a rule without a name", vec![], define(with_rules(vec![rule("", approval(1))])), "text_empty"),
            ],
        );
    }
}
