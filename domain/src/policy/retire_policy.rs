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
