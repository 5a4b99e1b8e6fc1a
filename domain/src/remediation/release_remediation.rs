//! A person has seen by hand to what was left behind, and says what was done: it rests as failed.

use super::people::require_person;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    comment: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Stuck, RemediationPhase::Halted])?;
    require_person(&context.actor)?;
    required("the comment", &comment, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    let reason = format!("seen to by hand: {comment}");
    Ok(vec![
        RemediationEvent::RemediationReleased { by, comment, at },
        RemediationEvent::RemediationFailed { reason, at },
    ])
}
