//! Deployments of one component each, whose file holds another value than it should; the finding that says so; and the
//! policy that governs them.

use crate::events;
use crate::results::register;
use anyhow::{Context, Result};
use chrono::Utc;
use command_side::CommandBus;
use domain::deployment::{Component, ComponentKind, Deployment};
use domain::diagnostic_run::Evidence;
use domain::finding::{Finding, FindingCommand, Fingerprint, Hysteresis, Sighting};
use domain::policy::{
    BreakerSettings, Budget, DEFAULT_POLICY, Mode, Policy, PolicyCommand, PolicyDefinition, RateLimit, Rule, Span,
    StormGuard,
};
use domain::remediation::Problem;
use domain::{DeploymentId, FindingId, Outcome, PolicyId, RunId, TenantId};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The packs of the bench: one check, two runbooks.
pub const PACKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packs");

/// A problem, and the file that it is about.
pub struct Planted {
    /// The problem.
    pub problem: Problem,
    /// The file.
    pub file: PathBuf,
}

/// Plants so many problems, each in a deployment of its own. The bench itself reports the findings, in the check's
/// place.
pub async fn plant(bus: &CommandBus, folder: &Path, count: usize) -> Result<Vec<Planted>> {
    let mut planted = Vec::with_capacity(count);
    for number in 0..count {
        planted.push(one(bus, &folder.join(format!("desk-{number}")), number).await?);
    }
    Ok(planted)
}

async fn one(bus: &CommandBus, folder: &Path, number: usize) -> Result<Planted> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let file = folder.join("light");
    std::fs::write(&file, "red\n").with_context(|| format!("write {}", file.display()))?;
    let path = folder.to_str().context("a folder whose name is text")?;
    let settings = [("demo_folder", path), ("demo_file", "light"), ("demo_value", "green")];
    let desk = Component {
        name: "desk".parse()?,
        kind: ComponentKind::Host,
        settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    let deployment = DeploymentId(Uuid::now_v7());
    let command = register(&format!("desk-{number}"), vec![desk]);
    bus.execute::<Deployment>(deployment.0, command, events::metadata()?).await?;
    let problem = reported(bus, deployment).await?;
    Ok(Planted { problem, file })
}

async fn reported(bus: &CommandBus, deployment: DeploymentId) -> Result<Problem> {
    let fingerprint = Fingerprint { deployment, check: "BENCH-VALUE".parse()?, resource: "desk/light".parse()? };
    let finding = FindingId::of(deployment, &fingerprint.check, &fingerprint.resource);
    let sighting = Sighting {
        component: "desk".parse()?,
        run: RunId(Uuid::now_v7()),
        outcome: Outcome::Critical,
        symptom: "light does not hold green".to_owned(),
        cause: "The bench has changed it.".to_owned(),
        impact: "None.".to_owned(),
        advice: "Write green into the file.".to_owned(),
        evidence: Evidence { inline: Some(json!({"exit_code": 1, "text": "", "long_text": ""})), hash: None },
        measured_at: Utc::now(),
    };
    let problem = Problem {
        finding,
        deployment,
        check: fingerprint.check.clone(),
        component: sighting.component.clone(),
        resource: fingerprint.resource.clone(),
        severity: sighting.outcome,
    };
    let command = FindingCommand::Observe { fingerprint, sighting, hysteresis: Hysteresis::default() };
    bus.execute::<Finding>(finding.0, command, events::metadata()?).await?;
    Ok(problem)
}

/// The policy that governs deployments without a label.
pub fn policy_id() -> Result<PolicyId> {
    Ok(PolicyId::of(&TenantId::default(), &DEFAULT_POLICY.parse()?))
}

/// A definition that this mode decides, with a budget for all that the bench does at a time.
pub fn definition(mode: Mode) -> PolicyDefinition {
    let rule = Rule {
        name: "bench".to_owned(),
        actions: Vec::new(),
        checks: Vec::new(),
        deployments: Vec::new(),
        severities: Vec::new(),
        windows: Vec::new(),
        mode,
    };
    let many = 1_000_000;
    PolicyDefinition {
        rules: vec![rule],
        budget: Budget {
            deployments: many,
            stores: many,
            documents: many,
            users: many,
            bytes: 1_000_000_000_000,
            max_open: 2_000,
        },
        rate: RateLimit { per_resource: 1_000, per: Span::seconds(60) },
        breaker: BreakerSettings { open_after: 100, within: Span::seconds(60), half_open_after: Span::seconds(60) },
        storm: StormGuard { per_deployment_minute: 1_000, flapping_wait: Span::seconds(60) },
        ..PolicyDefinition::default()
    }
}

/// Defines the policy.
pub async fn define(bus: &CommandBus, definition: PolicyDefinition) -> Result<()> {
    let command = PolicyCommand::Define { policy: DEFAULT_POLICY.parse()?, definition };
    bus.execute::<Policy>(policy_id()?.0, command, events::metadata()?).await.context("define the policy")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::pack::Packs;

    #[test]
    fn the_packs_of_the_bench_hold_what_their_cases_say() {
        let packs = Packs::load(Path::new(PACKS)).unwrap_or_else(|errors| panic!("{errors}"));
        let failed = packs.run_cases();
        assert!(failed.is_empty(), "{failed:#?}");
        assert_eq!(packs.runbooks().map(|runbook| runbook.name.as_str()).collect::<Vec<_>>().len(), 2);
    }

    #[test]
    fn the_policy_of_the_bench_is_one() {
        definition(Mode::Unattended).check().unwrap();
    }
}
