//! Takes a policy back: the built-in one decides again. What is reserved and what was learned stays.

use super::{PolicyEvent, PolicyRefusal, PolicyState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &PolicyState,
    reason: String,
    context: &Context,
) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
    if state.defined.is_none() {
        return Err(PolicyRefusal::NotDefined);
    }
    required("the reason", &reason, REASON_CHARS_MAX)?;
    Ok(vec![PolicyEvent::PolicyRetired { by: context.actor.clone(), reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::policy::story::{admit, defined, id, name, policy, request, rule, with_rules};
    use crate::policy::{Mode, Policy, PolicyCommand, PolicyDefinition, standing};
    use crate::remediation::Admission;
    use crate::testing::{refuses, start};

    fn retire(reason: &str) -> PolicyCommand {
        PolicyCommand::Retire { reason: reason.to_owned() }
    }

    fn unattended() -> PolicyDefinition {
        with_rules(vec![rule("all", Mode::Unattended)])
    }

    #[test]
    fn the_built_in_policy_decides_again() {
        let story = || policy(unattended()).and(admit(request(1)));
        let state = story().when(retire("too risky")).then_types(&["PolicyRetired"]);
        assert_eq!(state.definition(), &PolicyDefinition::default());
        assert_eq!(state.open.len(), 1);
        assert!(matches!(standing(&state, &request(2), start()).0, Admission::Approval { people: 1, .. }));
        let again = PolicyCommand::Define { policy: name(), definition: unattended() };
        assert_eq!(story().and(retire("too risky")).when(again).then_types(&["PolicyDefined"]).revision, 2);
    }

    #[test]
    fn refusals() {
        refuses::<Policy>(
            id(),
            [
                ("not defined", vec![], retire("x"), "policy_not_defined"),
                ("no reason", vec![defined(unattended())], retire(" "), "text_empty"),
            ],
        );
    }
}
