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
    reason: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Previewed, RemediationPhase::Deferred])?;
    if let Some(retry_at) = state.retry_at.filter(|retry_at| context.now < *retry_at) {
        return Err(RemediationRefusal::RetryAhead { retry_at });
    }
    let reason = told(&reason);
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
