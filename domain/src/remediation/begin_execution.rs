//! It begins where everything is as it was approved; else the approval is void.

use super::expire_approval::void;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::ids::ContentHash;

pub(super) fn decide(
    state: &RemediationState,
    states: &[Option<ContentHash>],
    check_version: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Confirming])?;
    let by = state.executor.clone().ok_or(RemediationRefusal::WrongPhase { phase: state.phase })?;
    if states.len() != state.previews.len() {
        return Err(RemediationRefusal::StatesIncomplete);
    }
    if state.expires_at.is_some_and(|expires_at| expires_at <= context.now) {
        return Ok(void(state, "it was not begun in time".to_owned(), context));
    }
    if state.check_version.as_deref() != Some(check_version) {
        return Ok(void(state, "the check has another version now".to_owned(), context));
    }
    let drifted: Vec<&str> = state
        .previews
        .iter()
        .zip(states)
        .filter(|(preview, now)| preview.state != **now)
        .map(|(preview, _)| preview.step.as_str())
        .collect();
    if !drifted.is_empty() {
        let reason = format!("the target is not as it was in the dry run any more: {}", drifted.join(", "));
        return Ok(void(state, reason, context));
    }
    Ok(vec![RemediationEvent::ExecutionStarted { by, at: context.now }])
}
