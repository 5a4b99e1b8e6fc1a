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

#[cfg(test)]
mod tests {
    use crate::remediation::story::{Command, plan, requested, succeeded};
    use crate::remediation::{Remediation, RemediationEvent, RemediationPhase, Trigger};
    use crate::testing::{REMEDIATION, given, problem, refuses, remediation_plan, remediation_requested, start};

    fn wanting(runbook: &str) -> Vec<RemediationEvent> {
        let runbook = Some(runbook.parse().unwrap());
        let request = Command::Request { problem: problem(), runbook, trigger: Trigger::Person, dry_run: false };
        given::<Remediation>(REMEDIATION.0, []).and(request).into_events()
    }

    #[test]
    fn it_is_planned() {
        let planned = RemediationEvent::RemediationPlanned {
            plan: remediation_plan(),
            plan_hash: remediation_plan().hash().unwrap(),
            check_version: "0123456789ab".to_owned(),
            at: start(),
        };
        let state = requested().when(plan()).then(&[planned]);
        assert_eq!((state.phase, state.steps.len(), state.plans), (RemediationPhase::Planned, 3, 1));
        given::<Remediation>(REMEDIATION.0, wanting("restore-missing-file"))
            .when(plan())
            .then_types(&["RemediationPlanned"]);
    }

    #[test]
    fn refusals() {
        let nameless = Command::RecordPlan { plan: remediation_plan(), check_version: String::new() };
        let mut empty = remediation_plan();
        empty.steps.clear();
        let empty = Command::RecordPlan { plan: empty, check_version: "1".to_owned() };
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], plan(), "remediation_unknown"),
                ("planned", requested().and(plan()).into_events(), plan(), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), plan(), "remediation_at_rest"),
                ("no version", vec![remediation_requested()], nameless, "text_empty"),
                ("another runbook", wanting("another"), plan(), "runbook_mismatch"),
                ("a bad plan", vec![remediation_requested()], empty, "step_count_out_of_bounds"),
            ],
        );
    }
}
