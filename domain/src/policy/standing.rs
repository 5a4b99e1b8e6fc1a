//! What the policy says of a plan at a moment: a pure function of its state.
//!
//! First what can never be: a severity that is none, a forbidding rule, more than the whole budget. Then what may pass
//! by itself: hours, blackouts, flapping, a busy resource, breakers, rates, the budget. Then who must agree.

use super::breaker::{BreakerStatus, OPEN_BREAKERS_MAX};
use super::calendar::in_force;
use super::definition::Automatic;
use super::memory::ResourceId;
use super::quantities::Share;
use super::request::{AdmissionRequest, BreakerKey, Guard};
use super::rules::{Ruling, rule_on};
use super::state::{PolicyState, Reservation};
use crate::ids::RemediationId;
use crate::outcome::Outcome;
use crate::remediation::{Admission, Trigger};
use chrono::{DateTime, TimeDelta, Utc};

/// When to ask again where nobody can say when it is worth it: something open has to end.
pub const ASK_AGAIN: TimeDelta = TimeDelta::seconds(15);
/// Nobody is told to ask again sooner: it bounds how often a refusal is recorded.
pub const ASK_AGAIN_MIN: TimeDelta = TimeDelta::seconds(5);

/// What the policy says, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub admission: Admission,
    /// Why, in words.
    pub reason: String,
    /// What held it back, where something did.
    pub guard: Option<Guard>,
    /// What it takes to run by itself, where the rules allow that.
    pub automatic: Option<Automatic>,
    /// The lower bound of its share of successes, where that was looked at.
    pub lower_bound: Option<Share>,
    /// The breakers that it would be the first to try again.
    pub half_opens: Vec<BreakerKey>,
}

impl Verdict {
    fn forbidden(reason: String) -> Self {
        Self::of(Admission::Forbidden, reason)
    }

    pub(super) const fn of(admission: Admission, reason: String) -> Self {
        Self { admission, reason, guard: None, automatic: None, lower_bound: None, half_opens: Vec::new() }
    }

    /// Whether the plan may go on, by itself or with somebody's agreement.
    pub const fn is_admitted(&self) -> bool {
        matches!(self.admission, Admission::Automatic | Admission::Approval { .. } | Admission::Unattended)
    }
}

/// What held a plan back, until when, and why in words.
struct Held(Guard, DateTime<Utc>, String);

/// What the policy says of a plan: the answer that stands where it has been admitted, else what it would answer now.
///
/// **Only a reservation lets a plan go on**: whoever is about to act asks [`answer`] after having sent
/// [`super::PolicyCommand::Admit`].
pub fn standing(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> (Admission, String) {
    match standing_reservation(state, request, now) {
        Some(reservation) => (reservation.admission.clone(), reservation.reason.clone()),
        None => {
            let verdict = judge(state, request, now);
            (verdict.admission, verdict.reason)
        }
    }
}

/// What holds for a plan after [`super::PolicyCommand::Admit`] was accepted, whether or not it had to be recorded: a
/// plan is let on only where it holds a reservation.
pub fn answer(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> (Admission, String) {
    let (admission, reason) = standing(state, request, now);
    let held = standing_reservation(state, request, now).is_some();
    match admission {
        Admission::Deferred { .. } | Admission::Forbidden => (admission, reason),
        _ if held => (admission, reason),
        _ => {
            let retry_at = now + ASK_AGAIN_MIN;
            (Admission::Deferred { retry_at }, "what held it back has just passed: to be asked again".to_owned())
        }
    }
}

/// Why an admitted remediation should not begin (or go on to its next step) at this moment, and until when: hours may
/// have passed since it was admitted. `None` where nothing is against it.
pub fn held_back(state: &PolicyState, remediation: RemediationId, now: DateTime<Utc>) -> Option<(Admission, String)> {
    let Some(reservation) = state.reservation(remediation) else {
        return Some((Admission::Deferred { retry_at: now + ASK_AGAIN_MIN }, "it holds no reservation".to_owned()));
    };
    let held = by_blackout(state, now).or_else(|| by_breaker(state, &reservation.request, now).err());
    held.map(|Held(_, until, reason)| (Admission::Deferred { retry_at: until.max(now + ASK_AGAIN_MIN) }, reason))
}

pub(super) fn standing_reservation<'a>(
    state: &'a PolicyState,
    request: &AdmissionRequest,
    now: DateTime<Utc>,
) -> Option<&'a Reservation> {
    state.reservation(request.remediation).filter(|reservation| reservation.stands_for(request, now))
}

/// What the policy would answer to a plan that holds no reservation.
pub fn judge(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Verdict {
    if !matches!(request.severity, Outcome::Warning | Outcome::Critical) {
        return Verdict::forbidden(format!("nothing is done about what is {}", request.severity));
    }
    if request.actions.is_empty() {
        return Verdict::forbidden("the plan has no action".to_owned());
    }
    let definition = state.definition();
    let agreed = match rule_on(definition, request, now) {
        Ruling::Never(reason) => return Verdict::forbidden(reason),
        Ruling::NotNow(until, reason) => Err(Held(Guard::Window, until, reason)),
        Ruling::Agreed(agreed) => Ok(agreed),
    };
    if let Some((unit, is, may)) = definition.budget.exceeded_by(&request.blast) {
        return Verdict::forbidden(format!("it touches {is} {unit}; the whole budget is {may}"));
    }
    let passed = agreed.and_then(|agreed| guards(state, request, now).map(|half_opens| (agreed, half_opens)));
    match passed {
        Ok((agreed, half_opens)) => Verdict { half_opens, ..agreed.decide(state, request, now) },
        Err(Held(guard, until, reason)) => {
            let admission = Admission::Deferred { retry_at: until.max(now + ASK_AGAIN_MIN) };
            Verdict { guard: Some(guard), ..Verdict::of(admission, reason) }
        }
    }
}

/// Whether nothing holds the plan back: then, which breakers it would try again.
fn guards(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Result<Vec<BreakerKey>, Held> {
    by_blackout(state, now).map_or(Ok(()), Err)?;
    by_flapping(state, request, now)?;
    by_busy_resource(state, request, now)?;
    let half_opens = by_breaker(state, request, now)?;
    by_rate(state, request, now)?;
    by_budget(state, request, now)?;
    Ok(half_opens)
}

fn by_blackout(state: &PolicyState, now: DateTime<Utc>) -> Option<Held> {
    let (blackout, until) = in_force(&state.definition().blackouts, now)?;
    Some(Held(Guard::Blackout, until, format!("blackout: {}", blackout.reason)))
}

fn by_flapping(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Result<(), Held> {
    if request.flapping && request.trigger == Trigger::Policy {
        let until = now + state.definition().storm.flapping_wait.delta();
        return Err(Held(Guard::Flapping, until, "the finding changes to and fro".to_owned()));
    }
    Ok(())
}

fn by_busy_resource(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Result<(), Held> {
    let busy = state.open.values().find(|reservation| {
        let other = &reservation.request;
        other.remediation != request.remediation
            && other.deployment == request.deployment
            && other.resource == request.resource
    });
    match busy {
        Some(reservation) => {
            let reason = format!("remediation {} is at the same resource", reservation.request.remediation);
            Err(Held(Guard::Busy, now + ASK_AGAIN, reason))
        }
        None => Ok(()),
    }
}

fn by_breaker(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Result<Vec<BreakerKey>, Held> {
    if state.breakers.open(now) >= OPEN_BREAKERS_MAX {
        let reason = format!("{OPEN_BREAKERS_MAX} circuit breakers are open: nothing is tried until some have closed");
        return Err(Held(Guard::Breaker, now + ASK_AGAIN, reason));
    }
    let mut half_opens = Vec::new();
    for key in request.breakers() {
        match state.breakers.get(&key).map(|breaker| breaker.status) {
            None | Some(BreakerStatus::Closed) => {}
            Some(BreakerStatus::Open { until }) if until > now => {
                return Err(Held(Guard::Breaker, until, format!("too many failures of {key}")));
            }
            Some(BreakerStatus::Open { .. }) => half_opens.push(key),
            Some(BreakerStatus::HalfOpen { probe, .. }) if probe == request.remediation => {}
            Some(BreakerStatus::HalfOpen { probe, .. }) => {
                let reason = format!("after failures of {key}, remediation {probe} is trying again");
                return Err(Held(Guard::Breaker, now + ASK_AGAIN, reason));
            }
        }
    }
    Ok(half_opens)
}

fn by_rate(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Result<(), Held> {
    let definition = state.definition();
    let (rate, storm) = (definition.rate, definition.storm);
    let resource = ResourceId::of(request.deployment, &request.resource);
    if let Some(until) = state.memory.resource_free_at(resource, rate.per_resource, rate.per.delta(), now) {
        let reason = format!("the resource was touched {} times within {}", rate.per_resource, rate.per);
        return Err(Held(Guard::Rate, until, reason));
    }
    let (limit, minute) = (storm.per_deployment_minute, TimeDelta::minutes(1));
    if let Some(until) = state.memory.deployment_free_at(request.deployment, limit, minute, now) {
        return Err(Held(Guard::Storm, until, format!("{limit} remediations of the deployment within a minute")));
    }
    if let Some(until) = state.memory.room_at(definition, now) {
        return Err(Held(Guard::Storm, until, "too many remediations to count them".to_owned()));
    }
    Ok(())
}

fn by_budget(state: &PolicyState, request: &AdmissionRequest, now: DateTime<Utc>) -> Result<(), Held> {
    let budget = &state.definition().budget;
    let others = state.open.len() - usize::from(state.open.contains_key(&request.remediation));
    if others >= budget.max_open as usize {
        let reason = format!("{} remediations are open already", budget.max_open);
        return Err(Held(Guard::MaxOpen, now + ASK_AGAIN, reason));
    }
    let together = state.reserved_beside(request.remediation).plus(request.blast);
    if let Some((unit, is, may)) = budget.exceeded_by(&together) {
        let reason = format!("with it, open remediations would touch {is} {unit}; the budget is {may}");
        return Err(Held(Guard::Budget, now + ASK_AGAIN, reason));
    }
    Ok(())
}
