//! Somebody, or the policy, wants a problem put right.

use super::{Problem, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, Trigger};
use crate::decider::Context;
use crate::ids::{RemediationId, RunbookName};
use crate::outcome::Outcome;

/// What is asked for.
pub(super) struct Request {
    pub(super) problem: Problem,
    pub(super) runbook: Option<RunbookName>,
    pub(super) trigger: Trigger,
    pub(super) dry_run: bool,
}

pub(super) fn decide(
    state: &RemediationState,
    request: Request,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    if state.phase != RemediationPhase::Absent {
        return Err(RemediationRefusal::AlreadyRequested);
    }
    let Request { problem, runbook, trigger, dry_run } = request;
    if !matches!(problem.severity, Outcome::Warning | Outcome::Critical) {
        return Err(RemediationRefusal::NotAProblem);
    }
    Ok(vec![RemediationEvent::RemediationRequested {
        remediation: RemediationId(context.id),
        problem,
        runbook,
        trigger,
        dry_run,
        by: context.actor.clone(),
        at: context.now,
    }])
}
