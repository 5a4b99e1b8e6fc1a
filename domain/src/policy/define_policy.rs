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
