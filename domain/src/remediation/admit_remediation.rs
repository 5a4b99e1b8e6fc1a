//! The policy says whether, how and when.

use super::size::told;
use super::{Admission, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::ids::{Actor, PolicyName};
use chrono::{DateTime, TimeDelta, Utc};

/// How often the policy may say "not now" before the remediation is given up.
pub const DEFERRALS_MAX: u32 = 1_000;
const EXPIRY_DAYS_MAX: i64 = 30;
/// How long people are asked where the policy did not say so itself.
const EXPIRY_HOURS: i64 = 24;
/// The policy is not asked more often than this.
const RETRY_SECONDS_MIN: i64 = 1;

pub(super) fn decide(
    state: &RemediationState,
    policy: PolicyName,
    admission: Admission,
    reason: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Previewed, RemediationPhase::Deferred])?;
    if let Some(retry_at) = state.retry_at.filter(|retry_at| context.now < *retry_at) {
        return Err(RemediationRefusal::RetryAhead { retry_at });
    }
    let reason = told(reason);
    let at = context.now;
    match admission {
        Admission::Forbidden => {
            let reason = format!("forbidden by policy {policy}: {reason}");
            Ok(vec![RemediationEvent::RemediationCancelled { reason, by: context.actor.clone(), at }])
        }
        Admission::Deferred { retry_at } => Ok(defer(state, policy, reason, retry_at, context)),
        Admission::Automatic | Admission::Unattended if asks_always(state) => {
            let admission = Admission::Approval { people: 1, expires_at: at + TimeDelta::hours(EXPIRY_HOURS) };
            let reason = format!("{reason}; a step of the plan never runs without an approval");
            let_go_on(state, policy, admission, reason, at)
        }
        admission => let_go_on(state, policy, admission, reason, at),
    }
}

/// Whether a step asks for an approval whatever the policy says.
fn asks_always(state: &RemediationState) -> bool {
    state.plan.as_deref().is_some_and(|plan| plan.steps.iter().any(|step| step.always_approve))
}

fn defer(
    state: &RemediationState,
    policy: PolicyName,
    reason: String,
    retry_at: DateTime<Utc>,
    context: &Context,
) -> Vec<RemediationEvent> {
    let at = context.now;
    if state.deferrals >= DEFERRALS_MAX {
        let reason = format!("put off {DEFERRALS_MAX} times by policy {policy}: {reason}");
        return vec![RemediationEvent::RemediationCancelled { reason, by: context.actor.clone(), at }];
    }
    let retry_at = retry_at.max(at + TimeDelta::seconds(RETRY_SECONDS_MIN));
    vec![RemediationEvent::RemediationDeferred { policy, reason, retry_at, at }]
}

fn let_go_on(
    state: &RemediationState,
    policy: PolicyName,
    admission: Admission,
    reason: String,
    at: DateTime<Utc>,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    let then = match &admission {
        Admission::Automatic => Some(RemediationEvent::ExecutionRequested { by: Actor::remediator(), at }),
        Admission::Approval { people, expires_at } => {
            if !(1..=2).contains(people) {
                return Err(RemediationRefusal::PeopleOutOfBounds);
            }
            if *expires_at <= at || *expires_at > at + TimeDelta::days(EXPIRY_DAYS_MAX) {
                return Err(RemediationRefusal::ExpiryOutOfBounds { days: EXPIRY_DAYS_MAX });
            }
            let binding = state.binding.clone().ok_or(RemediationRefusal::WrongPhase { phase: state.phase })?;
            let (people, expires_at) = (*people, *expires_at);
            Some(RemediationEvent::ApprovalRequested { people, binding, expires_at, at })
        }
        Admission::Unattended | Admission::Deferred { .. } | Admission::Forbidden => None,
    };
    let admitted = RemediationEvent::RemediationAdmitted { policy, admission, reason, at };
    Ok([admitted].into_iter().chain(then).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::story::{admit, ask, dry_run, plan, requested, succeeded};
    use crate::remediation::{Next, Remediation, RemediationCommand, next};
    use crate::testing::{Given, REMEDIATION, after, refuses, remediation_plan, start};

    fn previewed() -> Given<Remediation> {
        requested().and(plan()).and(dry_run())
    }

    fn defer(seconds: i64) -> RemediationCommand {
        admit(Admission::Deferred { retry_at: after(seconds) })
    }

    fn always_asking() -> Given<Remediation> {
        let mut plan = remediation_plan();
        plan.steps[1].always_approve = true;
        let check_version = "0123456789ab".to_owned();
        requested().and(RemediationCommand::RecordPlan { plan, check_version }).and(dry_run())
    }

    #[test]
    fn it_runs_by_itself() {
        let state =
            previewed().when(admit(Admission::Automatic)).then_types(&["RemediationAdmitted", "ExecutionRequested"]);
        assert_eq!((state.phase, state.executor), (RemediationPhase::Confirming, Some(Actor::remediator())));
    }

    #[test]
    fn people_are_asked() {
        let state = previewed().when(ask(2, after(60))).then_types(&["RemediationAdmitted", "ApprovalRequested"]);
        assert_eq!((state.phase, state.people), (RemediationPhase::AwaitingApproval, 2));
        assert_eq!(next(&state, start()), Next::AwaitApproval { until: after(60) });
    }

    #[test]
    fn somebody_may_execute_it() {
        let state = previewed().when(admit(Admission::Unattended)).then_types(&["RemediationAdmitted"]);
        assert_eq!(next(&state, start()), Next::AwaitExecution { until: None });
    }

    #[test]
    fn a_step_that_always_asks_is_never_run_without_an_approval() {
        for admission in [Admission::Automatic, Admission::Unattended] {
            let state =
                always_asking().when(admit(admission)).then_types(&["RemediationAdmitted", "ApprovalRequested"]);
            assert_eq!(state.admission, Some(Admission::Approval { people: 1, expires_at: after(86_400) }));
        }
        assert_eq!(always_asking().and(ask(2, after(60))).state().people, 2);
    }

    #[test]
    fn it_is_put_off_and_asked_again() {
        let state = previewed().when(defer(60)).then_types(&["RemediationDeferred"]);
        assert_eq!(next(&state, after(59)), Next::Retry { at: after(60) });
        assert_eq!(next(&state, after(60)), Next::Admit);
        let put_off = || previewed().and(defer(60)).at(after(60));
        put_off().when(admit(Admission::Unattended)).then_types(&["RemediationAdmitted"]);
        let state = put_off().when(defer(60)).then_types(&["RemediationDeferred"]);
        assert_eq!(state.retry_at, Some(after(61)), "the policy is not asked in a loop");
    }

    #[test]
    fn it_is_not_put_off_for_ever() {
        let mut story = previewed();
        for second in 0..DEFERRALS_MAX {
            story = story.at(after(i64::from(second))).and(defer(0));
        }
        let state = story.at(after(5_000)).when(defer(6_000)).then_types(&["RemediationCancelled"]);
        assert_eq!(state.phase, RemediationPhase::Cancelled);
    }

    #[test]
    fn it_is_forbidden() {
        let state = previewed().when(admit(Admission::Forbidden)).then_types(&["RemediationCancelled"]);
        assert_eq!(state.reason.as_deref(), Some("forbidden by policy default: by rule 1"));
    }

    #[test]
    fn refusals() {
        let dry = || previewed().into_events();
        let automatic = || admit(Admission::Automatic);
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], automatic(), "remediation_unknown"),
                ("not run dry", requested().and(plan()).into_events(), automatic(), "remediation_wrong_phase"),
                ("twice", previewed().and(automatic()).into_events(), automatic(), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), automatic(), "remediation_at_rest"),
                ("too early", previewed().and(defer(60)).into_events(), automatic(), "retry_ahead"),
                ("nobody", dry(), ask(0, after(60)), "people_out_of_bounds"),
                ("a crowd", dry(), ask(3, after(60)), "people_out_of_bounds"),
                ("over", dry(), ask(1, start()), "expiry_out_of_bounds"),
                ("for ages", dry(), ask(1, after(30 * 86_400 + 1)), "expiry_out_of_bounds"),
            ],
        );
    }
}
