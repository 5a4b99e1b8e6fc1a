//! A remediation has ended: what it held is released, its outcome is counted where it says something of the runbook,
//! and circuit breakers open or close by it.
//!
//! Nothing to do where it holds nothing; except that a success which a person has taken back afterwards becomes a
//! failure in what was counted.

use super::breaker::BreakerStatus;
use super::request::{AdmissionRequest, BreakerKey, Settlement};
use super::state::Reservation;
use super::{Counted, PolicyEvent, PolicyRefusal, PolicyState, Posterior};
use crate::decider::Context;
use crate::ids::{ActionName, RemediationId};
use crate::remediation::STEPS_MAX;

/// How it ended.
pub(super) struct Ended {
    pub outcome: Settlement,
    pub attributable: bool,
    pub failed_actions: Vec<ActionName>,
}

impl Ended {
    /// Whether it counts, and as what.
    const fn success(&self) -> Option<bool> {
        match (self.attributable, self.outcome) {
            (false, _) | (_, Settlement::Cancelled) => None,
            (true, Settlement::Succeeded) => Some(true),
            (true, Settlement::Failed | Settlement::Undone | Settlement::Stuck) => Some(false),
        }
    }
}

pub(super) fn decide(
    state: &PolicyState,
    remediation: RemediationId,
    ended: &Ended,
    context: &Context,
) -> Result<Vec<PolicyEvent>, PolicyRefusal> {
    if ended.failed_actions.len() > STEPS_MAX {
        return Err(PolicyRefusal::TooManyActions { max: STEPS_MAX });
    }
    let at = context.now;
    let Some(reservation) = state.reservation(remediation) else {
        return Ok(correction(state, remediation, ended, context));
    };
    let request = &reservation.request;
    let key = request.statistics_key();
    let before = state.statistics.of(&key);
    let after = ended.success().map(|success| before.with(success));
    let failed = if ended.success() == Some(false) { blamed(request, &ended.failed_actions) } else { Vec::new() };
    let mut events = vec![PolicyEvent::ReservationReleased {
        remediation,
        deployment: request.deployment,
        outcome: ended.outcome,
        attributable: ended.attributable,
        counted: after.map(|posterior| Counted { key, posterior }),
        failed: failed.clone(),
        at,
    }];
    if let Some(after) = after {
        events.extend(change_of_right(reservation, before, after, context));
        if ended.success() == Some(true) {
            events.extend(closed(state, request, context));
        }
        events.extend(opened(state, remediation, failed, context));
    }
    Ok(events)
}

/// The breakers that count the failure: the resource's, and those of the actions that failed, or of all.
fn blamed(request: &AdmissionRequest, failed_actions: &[ActionName]) -> Vec<BreakerKey> {
    let known = request.actions.iter().any(|(action, _)| failed_actions.contains(action));
    let mut keys = request.breakers();
    keys.retain(|key| match key {
        BreakerKey::Action { action, .. } => !known || failed_actions.contains(action),
        BreakerKey::Resource { .. } => true,
    });
    keys
}

fn change_of_right(
    reservation: &Reservation,
    before: Posterior,
    posterior: Posterior,
    context: &Context,
) -> Option<PolicyEvent> {
    let automatic = reservation.automatic.as_ref()?;
    let key = reservation.request.statistics_key();
    let at = context.now;
    let (_, had) = before.earned(automatic);
    let (lower_bound, has) = posterior.earned(automatic);
    match (had, has) {
        (Err(_), Ok(())) => Some(PolicyEvent::AutomaticRightGained { key, posterior, lower_bound, at }),
        (Ok(()), Err(reason)) => Some(PolicyEvent::AutomaticRightLost { key, posterior, lower_bound, reason, at }),
        (Ok(()), Ok(())) | (Err(_), Err(_)) => None,
    }
}

/// The breakers that it was let through to try, and that it has shown to work.
fn closed(state: &PolicyState, request: &AdmissionRequest, context: &Context) -> Vec<PolicyEvent> {
    let tried = |key: &BreakerKey| {
        let status = state.breakers.get(key).map(|breaker| breaker.status);
        matches!(status, Some(BreakerStatus::HalfOpen { probe, .. }) if probe == request.remediation)
    };
    let close = |breaker| {
        let reason = "the one that was let through succeeded".to_owned();
        PolicyEvent::BreakerClosed { breaker, by: None, reason, at: context.now }
    };
    request.breakers().into_iter().filter(tried).map(close).collect()
}

/// The breakers that open by a failure.
fn opened(
    state: &PolicyState,
    remediation: RemediationId,
    failed: Vec<BreakerKey>,
    context: &Context,
) -> Vec<PolicyEvent> {
    let settings = &state.definition().breaker;
    let (at, until) = (context.now, context.now + settings.half_open_after.delta());
    let open = |breaker: BreakerKey| {
        let known = state.breakers.get(&breaker);
        let failures = match known.map(|known| known.status) {
            None => 1,
            Some(BreakerStatus::Closed) => 1 + known.map_or(0, |known| known.failures_within(settings, at)),
            // The one that was let through has failed: once is enough.
            Some(BreakerStatus::HalfOpen { probe, .. }) if probe == remediation => settings.open_after,
            Some(BreakerStatus::Open { .. } | BreakerStatus::HalfOpen { .. }) => 0,
        };
        (failures >= settings.open_after).then_some(PolicyEvent::BreakerOpened { breaker, failures, until, at })
    };
    failed.into_iter().filter_map(open).collect()
}

fn correction(state: &PolicyState, remediation: RemediationId, ended: &Ended, context: &Context) -> Vec<PolicyEvent> {
    let settled = state.settled.iter().find(|settled| settled.remediation == remediation);
    match settled {
        Some(settled) if ended.outcome == Settlement::Undone && ended.attributable => {
            let key = settled.key.clone();
            let posterior = state.statistics.of(&key).taken_back();
            vec![PolicyEvent::SettlementCorrected { remediation, key, posterior, at: context.now }]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
