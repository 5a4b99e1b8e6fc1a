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
