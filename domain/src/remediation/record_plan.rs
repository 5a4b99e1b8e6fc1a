//! The plan is made.

use super::plan_rules::{VERSION_CHARS_MAX, check_plan};
use super::{Plan, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::text::required;

pub(super) fn decide(
    state: &RemediationState,
    plan: Plan,
    check_version: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Requested])?;
    let problem = state.problem.as_deref().ok_or(RemediationRefusal::Unknown)?;
    required("the check's version", &check_version, VERSION_CHARS_MAX)?;
    if state.runbook.as_ref().is_some_and(|wanted| *wanted != plan.runbook) {
        return Err(RemediationRefusal::RunbookMismatch);
    }
    check_plan(&plan, problem)?;
    let plan_hash = plan.hash().map_err(|_| RemediationRefusal::Unhashable)?;
    Ok(vec![RemediationEvent::RemediationPlanned { plan, plan_hash, check_version, at: context.now }])
}
