//! A person says no, before it has begun: that is the end.

use super::people::require_person;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    comment: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::AwaitingApproval, RemediationPhase::Executable])?;
    require_person(&context.actor)?;
    required("the comment", &comment, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    let reason = format!("rejected: {comment}");
    Ok(vec![
        RemediationEvent::RemediationRejected { by: by.clone(), comment, at },
        RemediationEvent::RemediationCancelled { reason, by, at },
    ])
}
