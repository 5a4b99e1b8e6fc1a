//! What a batch of results says of findings: pure.

use super::open_findings::{OpenFindings, Place};
use crate::process::Cause;
use crate::process::catalog::CheckCatalog;
use domain::diagnostic_run::{CheckResult, Evidence, Observation};
use domain::finding::{FindingCommand, Fingerprint, Hysteresis, Sighting};
use domain::{CheckCode, DeploymentId, FindingId, Outcome, ResourceName, RunId};
use event_store::RecordedEvent;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One observation to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observe {
    pub cause: Arc<Cause>,
    /// Tells the observations of one event apart.
    pub purpose: String,
    pub finding: FindingId,
    fingerprint: Fingerprint,
    sighting: Sighting,
    hysteresis: Hysteresis,
}

impl Observe {
    pub fn command(&self) -> FindingCommand {
        FindingCommand::Observe {
            fingerprint: self.fingerprint.clone(),
            sighting: self.sighting.clone(),
            hysteresis: self.hysteresis,
        }
    }
}

/// A batch of results of one run.
pub(crate) struct Batch<'a> {
    pub event: &'a RecordedEvent,
    pub run: RunId,
    pub deployment: DeploymentId,
}

impl Batch<'_> {
    /// A bad sighting for each problem, and a good one for each finding that a whole measurement no longer shows.
    pub fn observe(
        &self,
        results: &[CheckResult],
        open: &mut OpenFindings,
        catalog: &dyn CheckCatalog,
    ) -> Vec<Observe> {
        let mut work = Vec::new();
        let mut cause = None;
        for result in results {
            // What could not be measured says nothing of findings.
            if result.outcome == Outcome::Unknown {
                continue;
            }
            let CheckResult { key, .. } = result;
            let place =
                Place { deployment: self.deployment, check: key.check.clone(), component: key.component.clone() };
            let seen = worst_by_resource(&result.observations);
            // Where problems were left out, what is not shown may still be there.
            let gone: Vec<(FindingId, ResourceName)> = if result.omitted == 0 {
                let waiting = open.waiting_at(&place).filter(|(_, resource)| !seen.contains_key(*resource));
                waiting.map(|(finding, resource)| (finding, resource.clone())).collect()
            } else {
                Vec::new()
            };
            if seen.is_empty() && gone.is_empty() {
                continue;
            }
            let cause = cause.get_or_insert_with(|| Arc::new(Cause::of(self.event)));
            let hysteresis = hysteresis(catalog, &key.check);
            let mut push = |finding: FindingId, resource: &ResourceName, sighting| {
                work.push(Observe {
                    cause: Arc::clone(cause),
                    purpose: format!("observe:{}:{finding}", place.component),
                    finding,
                    fingerprint: place.fingerprint(resource),
                    sighting,
                    hysteresis,
                });
            };
            for (resource, observation) in &seen {
                let finding = FindingId::of(self.deployment, &key.check, resource);
                open.insert(finding, &place, resource);
                push(finding, resource, self.bad(result, observation));
            }
            for (finding, resource) in &gone {
                push(*finding, resource, self.good(result));
            }
        }
        work
    }

    fn bad(&self, result: &CheckResult, observation: &Observation) -> Sighting {
        Sighting {
            component: result.key.component.clone(),
            run: self.run,
            outcome: observation.outcome,
            symptom: observation.symptom.clone(),
            cause: observation.cause.clone(),
            impact: observation.impact.clone(),
            advice: observation.advice.clone(),
            evidence: observation.evidence.clone(),
            measured_at: result.measured_at,
        }
    }

    fn good(&self, result: &CheckResult) -> Sighting {
        Sighting {
            component: result.key.component.clone(),
            run: self.run,
            outcome: Outcome::Ok,
            symptom: result.summary.clone(),
            cause: String::new(),
            impact: String::new(),
            advice: String::new(),
            evidence: Evidence::default(),
            measured_at: result.measured_at,
        }
    }
}

/// One observation a resource: the first of the worst.
fn worst_by_resource(observations: &[Observation]) -> BTreeMap<&ResourceName, &Observation> {
    let mut worst: BTreeMap<&ResourceName, &Observation> = BTreeMap::new();
    for observation in observations {
        let kept = worst.entry(&observation.resource).or_insert(observation);
        if observation.outcome.rank() > kept.outcome.rank() {
            *kept = observation;
        }
    }
    worst
}

/// What the packs say, or the default where that could never be met: a wrong figure must not lose a finding.
fn hysteresis(catalog: &dyn CheckCatalog, check: &CheckCode) -> Hysteresis {
    let hysteresis = catalog.hysteresis(check);
    match hysteresis.check() {
        Ok(()) => hysteresis,
        Err(error) => {
            tracing::warn!(%check, %error, "the check's hysteresis is out of bounds: the default is used");
            Hysteresis::default()
        }
    }
}

#[cfg(test)]
mod tests;
