//! A plan wants to go on. It is let on by a reservation; else it is recorded that it was held back or forbidden, but at
//! most once per resource until it is worth asking again: of a flood of plans about one resource the log keeps little.
//!
//! Nothing to do where the plan was let on before and its binding is the same. A plan with another binding takes the
//! place of the former one of the same remediation: what that held is not counted against it.

use super::memory::ResourceId;
use super::standing::{judge, standing_reservation};
use super::{AdmissionRequest, Guard, PolicyEvent, PolicyRefusal, PolicyState, Verdict};
use crate::decider::Context;
use crate::remediation::{Admission, STEPS_MAX};
use crate::text::required;
use chrono::TimeDelta;

/// How long a "not at all" about a resource is not recorded again.
const FORBIDDEN_NOTED: TimeDelta = TimeDelta::hours(1);
const NAME_CHARS_MAX: usize = 256;
const VERSION_CHARS_MAX: usize = 64;

pub(super) fn decide(
    state: &PolicyState,
    request: Box<AdmissionRequest>,
    context: &Context,
) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
    state.require_name(&request.policy)?;
    if request.actions.len() > STEPS_MAX {
        return Err(PolicyRefusal::TooManyActions { max: STEPS_MAX });
    }
    required("the deployment's name", &request.deployment_name, NAME_CHARS_MAX)?;
    required("the check's version", &request.check_version, VERSION_CHARS_MAX)?;
    required("the runbook's version", &request.runbook_version, VERSION_CHARS_MAX)?;
    if standing_reservation(state, &request, context.now).is_some() {
        return Ok(Vec::new());
    }
    let verdict = judge(state, &request, context.now);
    match verdict.admission {
        Admission::Deferred { retry_at } => {
            // A deferral always names its guard; the budget stands for what could not be named.
            let guard = verdict.guard.unwrap_or(Guard::Budget);
            Ok(held_back(state, &request, context, false, |request| PolicyEvent::AdmissionDeferred {
                policy: request.policy.clone(),
                remediation: request.remediation,
                deployment: request.deployment,
                resource: request.resource.clone(),
                guard,
                reason: verdict.reason,
                retry_at,
                at: context.now,
            }))
        }
        Admission::Forbidden => {
            Ok(held_back(state, &request, context, true, |request| PolicyEvent::AdmissionForbidden {
                policy: request.policy.clone(),
                remediation: request.remediation,
                deployment: request.deployment,
                resource: request.resource.clone(),
                reason: verdict.reason,
                noted_until: context.now + FORBIDDEN_NOTED,
                at: context.now,
            }))
        }
        Admission::Automatic | Admission::Approval { .. } | Admission::Unattended => {
            Ok(reserved(state, request, verdict, context))
        }
    }
}

fn held_back(
    state: &PolicyState,
    request: &AdmissionRequest,
    context: &Context,
    forbidden: bool,
    event: impl FnOnce(&AdmissionRequest) -> PolicyEvent,
) -> Vec<PolicyEvent> {
    let resource = ResourceId::of(request.deployment, &request.resource);
    let memory = &state.memory;
    if memory.is_noted(resource, forbidden, context.now) || !memory.has_room_for_note(context.now) {
        return Vec::new();
    }
    vec![event(request)]
}

fn reserved(
    state: &PolicyState,
    request: Box<AdmissionRequest>,
    verdict: Verdict,
    context: &Context,
) -> Vec<PolicyEvent> {
    let at = context.now;
    let probe = request.remediation;
    let posterior = state.statistics.of(&request.statistics_key());
    let mut events = vec![PolicyEvent::RemediationReserved {
        request,
        admission: verdict.admission,
        reason: verdict.reason,
        automatic: verdict.automatic,
        posterior,
        lower_bound: verdict.lower_bound,
        revision: if state.defined.is_some() { state.revision } else { 0 },
        at,
    }];
    let tries = verdict.half_opens.into_iter();
    events.extend(tries.map(|breaker| PolicyEvent::BreakerHalfOpened { breaker, probe, at }));
    events
}

#[cfg(test)]
mod tests;
