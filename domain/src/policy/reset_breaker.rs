//! A person closes a circuit breaker: what made it fail is seen to.

use super::{BreakerKey, BreakerStatus, PolicyEvent, PolicyRefusal, PolicyState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &PolicyState,
    breaker: BreakerKey,
    reason: String,
    context: &Context,
) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
    required("the reason", &reason, REASON_CHARS_MAX)?;
    match state.breakers.get(&breaker).map(|known| known.status) {
        None | Some(BreakerStatus::Closed) => Err(PolicyRefusal::BreakerNotOpen),
        Some(BreakerStatus::Open { .. } | BreakerStatus::HalfOpen { .. }) => {
            Ok(vec![PolicyEvent::BreakerClosed { breaker, by: Some(context.actor.clone()), reason, at: context.now }])
        }
    }
}
