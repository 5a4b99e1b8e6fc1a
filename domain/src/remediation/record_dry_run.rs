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

#[cfg(test)]
mod tests {
    use crate::remediation::story::{Command, dry_run, plan, requested, succeeded};
    use crate::remediation::{Remediation, RemediationEvent, RemediationPhase, Trigger};
    use crate::testing::{REMEDIATION, given, problem, refuses, remediation_previews};
    use serde_json::json;

    #[test]
    fn it_is_run_dry() {
        let state = requested().and(plan()).when(dry_run()).then_types(&["DryRunRecorded"]);
        assert_eq!((state.phase, state.blast.documents), (RemediationPhase::Previewed, 3));
        assert_eq!(*state.previews, remediation_previews());
        assert!(state.binding().is_some());
    }

    #[test]
    fn a_dry_run_only_ends_with_it() {
        let request = Command::Request { problem: problem(), runbook: None, trigger: Trigger::Person, dry_run: true };
        let state = given::<Remediation>(REMEDIATION.0, [])
            .and(request)
            .and(plan())
            .when(dry_run())
            .then_types(&["DryRunRecorded", "RemediationCancelled"]);
        assert_eq!((state.phase, state.reason.as_deref()), (RemediationPhase::Cancelled, Some("dry run only")));
        assert_eq!(state.previews.len(), 3);
    }

    #[test]
    fn what_is_stored_holds_no_nul() {
        let mut previews = remediation_previews();
        previews[1].changes[0].from = Some(json!({"name": "a\0b"}));
        previews[1].changes[0].summary = "a\0b".to_owned();
        let then = requested().and(plan()).when(Command::RecordDryRun { previews });
        assert!(!serde_json::to_string(then.accepted()).unwrap().contains("\\u0000"));
    }

    #[test]
    fn refusals() {
        let planned = || requested().and(plan());
        let none = Command::RecordDryRun { previews: Vec::new() };
        let again: Vec<RemediationEvent> = planned().and(dry_run()).into_events();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], dry_run(), "remediation_unknown"),
                ("not planned", requested().into_events(), dry_run(), "remediation_wrong_phase"),
                ("twice", again, dry_run(), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), dry_run(), "remediation_at_rest"),
                ("no previews", planned().into_events(), none, "previews_mismatch"),
            ],
        );
    }
}
