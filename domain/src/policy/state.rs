//! What is remembered of a policy, and how its events change it.

use super::PolicyEvent;
use super::breaker::{BreakerStatus, Breakers};
use super::choose_runbook::Choice;
use super::definition::{Automatic, PolicyDefinition};
use super::memory::{Memory, ResourceId};
use super::request::{AdmissionRequest, Settlement, StatisticsKey};
use super::statistics::Statistics;
use crate::ids::{PolicyName, RemediationId};
use crate::remediation::{Admission, BlastRadius};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

/// How many of the last successes are remembered, in case a person takes one back.
pub const SETTLED_MAX: usize = 512;
/// How many of the last choices of runbooks are remembered.
pub const CHOICES_MAX: usize = 1_024;

static BUILT_IN: LazyLock<PolicyDefinition> = LazyLock::new(PolicyDefinition::default);

/// What an open remediation holds of the budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The plan as it was admitted.
    pub request: AdmissionRequest,
    /// The answer.
    pub admission: Admission,
    /// Why.
    pub reason: String,
    /// What it takes to run by itself, where a rule allows that.
    pub automatic: Option<Automatic>,
    /// Since when.
    pub at: DateTime<Utc>,
}

impl Reservation {
    /// Whether the answer still stands for this request.
    pub fn stands_for(&self, request: &AdmissionRequest, now: DateTime<Utc>) -> bool {
        let expired = matches!(self.admission, Admission::Approval { expires_at, .. } if expires_at <= now);
        self.request.binding == request.binding && !expired
    }
}

/// A success that a person may yet take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The remediation.
    pub remediation: RemediationId,
    /// What it was counted under.
    pub key: StatisticsKey,
}

/// A policy as folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PolicyState {
    /// Its name; `None` as long as nothing has happened.
    pub name: Option<PolicyName>,
    /// What it says; `None` where nothing was defined or it is retired: the built-in policy decides.
    pub defined: Option<Arc<PolicyDefinition>>,
    /// How often it was defined or revised.
    pub revision: u32,
    /// What open remediations hold.
    pub open: BTreeMap<RemediationId, Arc<Reservation>>,
    /// The recent past.
    pub memory: Memory,
    /// Its circuit breakers.
    pub breakers: Breakers,
    /// Successes and failures.
    pub statistics: Statistics,
    /// The last choices of runbooks, oldest first.
    pub choices: VecDeque<Arc<Choice>>,
    /// The last counted successes, oldest first.
    pub settled: VecDeque<Settled>,
}

impl PolicyState {
    /// The definition in force.
    pub fn definition(&self) -> &PolicyDefinition {
        self.defined.as_deref().unwrap_or(&BUILT_IN)
    }

    /// What a remediation holds.
    pub fn reservation(&self, remediation: RemediationId) -> Option<&Reservation> {
        self.open.get(&remediation).map(Arc::as_ref)
    }

    /// Which runbook was chosen for a remediation.
    pub fn choice(&self, remediation: RemediationId) -> Option<&Choice> {
        self.choices.iter().rev().find(|choice| choice.remediation == remediation).map(Arc::as_ref)
    }

    /// How much of the budget is reserved, but for what this remediation itself holds.
    pub fn reserved_beside(&self, remediation: RemediationId) -> BlastRadius {
        let others = self.open.iter().filter(|(id, _)| **id != remediation);
        others.fold(BlastRadius::default(), |sum, (_, reservation)| sum.plus(reservation.request.blast))
    }

    /// How much of the budget is reserved.
    pub fn reserved(&self) -> BlastRadius {
        self.open.values().fold(BlastRadius::default(), |sum, reservation| sum.plus(reservation.request.blast))
    }

    pub(super) fn evolve(&mut self, event: &PolicyEvent) {
        match event {
            PolicyEvent::PolicyDefined { policy, definition, revision, .. } => {
                self.name = Some(policy.clone());
                self.define(definition, *revision);
            }
            PolicyEvent::PolicyRevised { definition, revision, .. } => self.define(definition, *revision),
            PolicyEvent::PolicyRetired { .. } => self.defined = None,
            PolicyEvent::RemediationReserved { request, admission, reason, automatic, at, .. } => {
                let reservation = Reservation {
                    request: request.as_ref().clone(),
                    admission: admission.clone(),
                    reason: reason.clone(),
                    automatic: *automatic,
                    at: *at,
                };
                self.reserve(reservation);
            }
            PolicyEvent::AdmissionDeferred { policy, deployment, resource, retry_at, at, .. } => {
                self.identify(policy);
                self.memory.note(ResourceId::of(*deployment, resource), false, *retry_at, *at);
            }
            PolicyEvent::AdmissionForbidden { policy, deployment, resource, noted_until, at, .. } => {
                self.identify(policy);
                self.memory.note(ResourceId::of(*deployment, resource), true, *noted_until, *at);
            }
            PolicyEvent::ReservationReleased { .. } => self.release(event),
            PolicyEvent::SettlementCorrected { remediation, key, posterior, at } => {
                self.settled.retain(|settled| settled.remediation != *remediation);
                self.statistics.set(key, *posterior, *at);
            }
            PolicyEvent::AutomaticRightGained { .. } | PolicyEvent::AutomaticRightLost { .. } => {}
            PolicyEvent::BreakerOpened { breaker, until, .. } => {
                self.breakers.set(breaker, BreakerStatus::Open { until: *until });
            }
            PolicyEvent::BreakerHalfOpened { breaker, probe, at } => {
                self.breakers.set(breaker, BreakerStatus::HalfOpen { probe: *probe, until: *at });
            }
            PolicyEvent::BreakerClosed { breaker, .. } => self.breakers.set(breaker, BreakerStatus::Closed),
            PolicyEvent::RunbookChosen { policy, choice, .. } => {
                self.identify(policy);
                if self.choices.len() >= CHOICES_MAX {
                    self.choices.pop_front();
                }
                self.choices.push_back(Arc::new(choice.clone()));
            }
        }
    }

    fn identify(&mut self, policy: &PolicyName) {
        if self.name.is_none() {
            self.name = Some(policy.clone());
        }
    }

    fn define(&mut self, definition: &Arc<PolicyDefinition>, revision: u32) {
        self.defined = Some(Arc::clone(definition));
        self.revision = revision;
    }

    fn reserve(&mut self, reservation: Reservation) {
        let request = &reservation.request;
        self.identify(&request.policy);
        let resource = ResourceId::of(request.deployment, &request.resource);
        let definition = self.defined.as_deref().unwrap_or(&BUILT_IN);
        self.memory.admit(request.deployment, resource, definition, reservation.at);
        self.open.insert(request.remediation, Arc::new(reservation));
    }

    fn release(&mut self, event: &PolicyEvent) {
        let PolicyEvent::ReservationReleased { remediation, outcome, failed, counted, at, .. } = event else { return };
        self.open.remove(remediation);
        self.choices.retain(|choice| choice.remediation != *remediation);
        self.breakers.end_probe(*remediation);
        let settings = self.defined.as_deref().unwrap_or(&BUILT_IN).breaker;
        for breaker in failed {
            self.breakers.fail(breaker, &settings, *at);
        }
        let Some(counted) = counted else { return };
        self.statistics.set(&counted.key, counted.posterior, *at);
        if *outcome == Settlement::Succeeded {
            if self.settled.len() >= SETTLED_MAX {
                self.settled.pop_front();
            }
            self.settled.push_back(Settled { remediation: *remediation, key: counted.key.clone() });
        }
    }
}
