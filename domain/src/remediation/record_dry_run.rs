//! What the plan would change is known. Where only that was wanted, it is the end.

use super::preview_rules::{binding, blast, check_previews, make_storable};
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, StepPreview};
use crate::decider::Context;

pub(super) fn decide(
    state: &RemediationState,
    mut previews: Vec<StepPreview>,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Planned])?;
    let plan = state.require_plan()?;
    check_previews(plan, &previews)?;
    make_storable(&mut previews);
    let wrong_phase = RemediationRefusal::WrongPhase { phase: state.phase };
    let (Some(hash), Some(check_version)) = (&state.plan_hash, &state.check_version) else { return Err(wrong_phase) };
    let binding = binding(hash, &previews, check_version)?;
    let (blast, at) = (blast(plan, &previews), context.now);
    let mut events = vec![RemediationEvent::DryRunRecorded { previews, blast, binding, at }];
    if state.dry_run {
        let (reason, by) = ("dry run only".to_owned(), context.actor.clone());
        events.push(RemediationEvent::RemediationCancelled { reason, by, at });
    }
    Ok(events)
}
