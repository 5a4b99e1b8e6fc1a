//! Asks for a finding to be put right where its policy has things done by themselves: when it opens, comes back, or
//! changes its severity.
//!
//! It only asks: whether, how and when is the policy's decision, once there is a plan. It asks for nothing where
//! somebody has taken the finding on, muted it or called it no problem, during maintenance, where no runbook remedies
//! the check, or where no rule of the policy could ever let it run by itself.

use super::catalog::CheckCatalog;
use super::runner::{Process, ProcessError};
use super::{Cause, system_actor};
use crate::bus::CommandBus;
use crate::error::CommandError;
use chrono::{DateTime, Utc};
use domain::any_event::FINDING;
use domain::deployment::{Deployment, DeploymentState};
use domain::finding::{Finding, FindingEvent, FindingPhase, FindingState, Fingerprint};
use domain::policy::{DEFAULT_POLICY, Mode, POLICY_LABEL, Policy, PolicyDefinition};
use domain::remediation::{Problem, Remediation, RemediationCommand, Trigger};
use domain::{Actor, AnyEvent, CommandId, ComponentName, FindingId, Outcome, PolicyId, PolicyName};
use event_store::RecordedEvent;
use std::sync::Arc;
use uuid::Uuid;

/// Asks for remediations.
pub(crate) struct AutoRemediator {
    hands: Arc<Hands>,
    /// What was seen last, and where: a change of severity comes right after the sighting that shows it.
    seen: Option<(FindingId, ComponentName)>,
}

pub(crate) struct Hands {
    bus: CommandBus,
    catalog: Arc<dyn CheckCatalog>,
    actor: Actor,
}

/// A finding that may be put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToRemedy {
    cause: Cause,
    finding: FindingId,
    component: ComponentName,
    /// When it opened or came back; `None` where it changed its severity.
    opened_at: Option<DateTime<Utc>>,
}

impl AutoRemediator {
    pub fn new(bus: CommandBus, catalog: Arc<dyn CheckCatalog>) -> Self {
        let actor = system_actor("system:auto-remediator");
        Self { hands: Arc::new(Hands { bus, catalog, actor }), seen: None }
    }
}

impl Process for AutoRemediator {
    const NAME: &'static str = "auto-remediator";
    type Work = ToRemedy;
    type Done = ();
    type Hands = Hands;

    fn hands(&self) -> Arc<Hands> {
        Arc::clone(&self.hands)
    }

    fn react(&mut self, event: &RecordedEvent) -> Result<Vec<ToRemedy>, ProcessError> {
        if &*event.stream.aggregate_type != FINDING {
            return Ok(Vec::new());
        }
        let wanted = ["FindingOpened", "FindingRegressed", "FindingSeenAgain", "FindingSeverityChanged"];
        if !wanted.contains(&event.event_type.as_str()) {
            return Ok(Vec::new());
        }
        let decoded = event.decode().map_err(|source| ProcessError::Unreadable { position: event.position, source })?;
        let (Ok(finding), AnyEvent::Finding(decoded)) = (event.stream.aggregate_id.parse::<FindingId>(), decoded)
        else {
            return Ok(Vec::new());
        };
        let (component, opened_at) = match decoded {
            FindingEvent::FindingOpened { sighting, at, .. } | FindingEvent::FindingRegressed { sighting, at, .. } => {
                (sighting.component, Some(at))
            }
            FindingEvent::FindingSeenAgain { sighting, .. } => {
                self.seen = Some((finding, sighting.component));
                return Ok(Vec::new());
            }
            FindingEvent::FindingSeverityChanged { .. } => match self.seen.take() {
                Some((seen, component)) if seen == finding => (component, None),
                _ => return Ok(Vec::new()),
            },
            _ => return Ok(Vec::new()),
        };
        Ok(vec![ToRemedy { cause: Cause::of(event), finding, component, opened_at }])
    }

    fn lane(work: &ToRemedy) -> Uuid {
        work.finding.0
    }

    fn cause(work: &ToRemedy) -> &Cause {
        &work.cause
    }

    async fn perform(hands: &Hands, work: &ToRemedy) -> Result<(), CommandError> {
        let (finding, _) = hands.bus.load::<Finding>(work.finding.0).await?;
        let Some((fingerprint, severity)) = wants_remedy(&finding, work.opened_at, hands.bus.clock().now()) else {
            return Ok(());
        };
        if !hands.catalog.has_remedy(&fingerprint.check) {
            return Ok(());
        }
        let (deployment, _) = hands.bus.load::<Deployment>(fingerprint.deployment.0).await?;
        if !deployment.is_active() || deployment.in_maintenance(hands.bus.clock().now()) {
            return Ok(());
        }
        let Some(policy) = policy_of(&deployment) else { return Ok(()) };
        let (policy, _) = hands.bus.load::<Policy>(PolicyId::of(&work.cause.tenant, &policy).0).await?;
        if !may_run_by_itself(policy.definition(), &deployment, &fingerprint, severity) {
            return Ok(());
        }
        let problem = Problem {
            finding: work.finding,
            deployment: fingerprint.deployment,
            check: fingerprint.check.clone(),
            component: work.component.clone(),
            resource: fingerprint.resource.clone(),
            severity,
        };
        let command = RemediationCommand::Request { problem, runbook: None, trigger: Trigger::Policy, dry_run: false };
        // The same for every repetition: one event leads to one remediation.
        let id = CommandId::derived(work.cause.event_id, "remediation");
        let metadata = work.cause.metadata(&hands.actor, "request-remediation");
        match hands.bus.execute::<Remediation>(id.0, command, metadata).await {
            // The finding has changed between two tries: what was asked for first counts.
            Ok(_) | Err(CommandError::Refused { .. } | CommandError::CommandReused) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What is to be put right, if the finding is still open since then and nobody looks after it.
fn wants_remedy(
    finding: &FindingState,
    opened_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<(Arc<Fingerprint>, Outcome)> {
    let is_open = finding.phase == FindingPhase::Open && !finding.false_positive;
    let is_taken_on = finding.acknowledged || finding.muted_until.is_some_and(|until| now < until);
    // Whoever reads an old event asks only for what has not happened again since.
    let is_newest = opened_at.is_none_or(|at| finding.opened_at == Some(at));
    let severity = finding.severity.filter(|severity| matches!(severity, Outcome::Warning | Outcome::Critical));
    if is_open && !is_taken_on && is_newest { finding.fingerprint.clone().zip(severity) } else { None }
}

fn policy_of(deployment: &DeploymentState) -> Option<PolicyName> {
    PolicyName::new(deployment.labels.get(POLICY_LABEL).map_or(DEFAULT_POLICY, String::as_str)).ok()
}

/// Whether a rule could let it run by itself, whatever the plan.
fn may_run_by_itself(
    definition: &PolicyDefinition,
    deployment: &DeploymentState,
    fingerprint: &Fingerprint,
    severity: Outcome,
) -> bool {
    definition.rules.iter().any(|rule| {
        let of_check =
            rule.checks.is_empty() || rule.checks.iter().any(|glob| glob.matches(fingerprint.check.as_str()));
        let of_deployment = rule.deployments.is_empty()
            || rule.deployments.iter().any(|glob| glob.selects(&deployment.name, &deployment.labels));
        let of_severity = rule.severities.is_empty() || rule.severities.contains(&severity);
        matches!(rule.mode, Mode::Automatic(_)) && of_check && of_deployment && of_severity
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn open() -> FindingState {
        let fingerprint = Fingerprint {
            deployment: domain::testing::DEPLOYMENT,
            check: "C-1".parse().unwrap(),
            resource: "r".parse().unwrap(),
        };
        FindingState {
            fingerprint: Some(Arc::new(fingerprint)),
            phase: FindingPhase::Open,
            severity: Some(Outcome::Critical),
            opened_at: Some(domain::testing::start()),
            ..FindingState::default()
        }
    }

    #[test]
    fn only_what_is_open_and_nobodys_is_put_right() {
        let start = domain::testing::start();
        let later = start + TimeDelta::hours(1);
        let wants = |change: fn(&mut FindingState), opened_at| {
            let mut finding = open();
            change(&mut finding);
            wants_remedy(&finding, opened_at, start).is_some()
        };
        assert!(wants(|_| {}, Some(start)));
        assert!(wants(|_| {}, None), "its severity changed");
        assert!(!wants(|_| {}, Some(later)), "another opening");
        assert!(!wants(|finding| finding.phase = FindingPhase::Resolved, Some(start)));
        assert!(!wants(|finding| finding.acknowledged = true, Some(start)));
        assert!(!wants(|finding| finding.false_positive = true, Some(start)));
        assert!(!wants(|finding| finding.severity = None, Some(start)));
        assert!(!wants(|finding| finding.muted_until = Some(DateTime::<Utc>::MAX_UTC), Some(start)));
    }

    #[test]
    fn the_built_in_policy_has_nothing_done_by_itself() {
        let deployment = DeploymentState::default();
        let fingerprint = open().fingerprint.unwrap();
        let definition = PolicyDefinition::default();
        assert!(!may_run_by_itself(&definition, &deployment, &fingerprint, Outcome::Critical));
        let mut automatic = definition;
        let allowed: domain::policy::Automatic =
            serde_json::from_value(serde_json::json!({"min-lower-bound": 0.5, "min-samples": 1})).unwrap();
        automatic.rules[0].mode = Mode::Automatic(allowed);
        assert!(may_run_by_itself(&automatic, &deployment, &fingerprint, Outcome::Critical));
        automatic.rules[0].severities = vec![Outcome::Warning];
        assert!(!may_run_by_itself(&automatic, &deployment, &fingerprint, Outcome::Critical));
    }
}
