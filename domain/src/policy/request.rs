//! What the policy is asked about, and what it can answer with.

use crate::ids::{
    ActionName, CheckCode, ContentHash, DeploymentId, PolicyName, RemediationId, ResourceName, RunbookName,
};
use crate::outcome::Outcome;
use crate::remediation::{BlastRadius, Plan, Problem, Trigger, Undoing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A plan that wants to be let on, after its dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionRequest {
    /// The policy that it is sent to.
    pub policy: PolicyName,
    /// The remediation.
    pub remediation: RemediationId,
    /// What the answer is bound to: asked again with the same binding, the same answer stands.
    pub binding: ContentHash,
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its name.
    pub deployment_name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The check that raised the finding.
    pub check: CheckCode,
    /// The version of the check in force.
    pub check_version: String,
    /// The runbook.
    pub runbook: RunbookName,
    /// Its version.
    pub runbook_version: String,
    /// Its actions and their versions, each once.
    pub actions: Vec<(ActionName, u32)>,
    /// The finding's severity.
    pub severity: Outcome,
    /// What the finding is about.
    pub resource: ResourceName,
    /// How much the plan touches.
    pub blast: BlastRadius,
    /// Whether all of it can be taken back.
    pub reversible: bool,
    /// Whether one of its steps is always to be approved.
    pub always_approve: bool,
    /// Whether the finding changes to and fro.
    pub flapping: bool,
    /// Who or what asked for it.
    pub trigger: Trigger,
}

/// A deployment as the policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl AdmissionRequest {
    /// What is asked about this plan. The rest of what a remediation knows is in `about`.
    pub fn of(plan: &Plan, blast: BlastRadius, problem: &Problem, facts: DeploymentFacts, about: About) -> Self {
        let mut actions: Vec<_> = plan.steps.iter().map(|step| (step.action.clone(), step.action_version)).collect();
        actions.sort();
        actions.dedup();
        Self {
            policy: about.policy,
            remediation: about.remediation,
            binding: about.binding,
            deployment: problem.deployment,
            deployment_name: facts.name,
            labels: facts.labels,
            check: problem.check.clone(),
            check_version: about.check_version,
            runbook: plan.runbook.clone(),
            runbook_version: plan.version.clone(),
            actions,
            severity: problem.severity,
            resource: problem.resource.clone(),
            blast,
            reversible: !plan.steps.iter().any(|step| matches!(step.undo, Undoing::Impossible { .. })),
            always_approve: plan.steps.iter().any(|step| step.always_approve),
            flapping: about.flapping,
            trigger: about.trigger,
        }
    }

    /// What its outcome is counted under.
    pub fn statistics_key(&self) -> StatisticsKey {
        StatisticsKey {
            runbook: self.runbook.clone(),
            runbook_version: self.runbook_version.clone(),
            check: self.check.clone(),
            check_version: self.check_version.clone(),
        }
    }

    /// The breakers that it depends on.
    pub fn breakers(&self) -> Vec<BreakerKey> {
        let deployment = self.deployment;
        let mut keys = vec![BreakerKey::Resource { deployment, resource: self.resource.clone() }];
        for (action, _) in &self.actions {
            let key = BreakerKey::Action { deployment, action: action.clone() };
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }
}

/// What a remediation knows beside its plan and its problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The policy that governs it.
    pub policy: PolicyName,
    /// The remediation.
    pub remediation: RemediationId,
    /// The binding of the dry run.
    pub binding: ContentHash,
    /// The version of the check in force.
    pub check_version: String,
    /// Whether the finding changes to and fro.
    pub flapping: bool,
    /// Who or what asked for it.
    pub trigger: Trigger,
}

/// How a remediation ended, for the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The check says that the problem is gone.
    Succeeded,
    /// It was not put right, and nothing of it is left behind.
    Failed,
    /// It had succeeded, and a person had it taken back.
    Undone,
    /// It was not wanted any more, or rejected.
    Cancelled,
    /// It could not be taken back.
    Stuck,
}

/// What successes and failures are counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StatisticsKey {
    /// The runbook,
    pub runbook: RunbookName,
    /// in this version,
    pub runbook_version: String,
    /// for findings of this check,
    pub check: CheckCode,
    /// in this version.
    pub check_version: String,
}

/// What a circuit breaker is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerKey {
    /// An action in a deployment.
    Action {
        /// The deployment.
        deployment: DeploymentId,
        /// The action.
        action: ActionName,
    },
    /// A resource.
    Resource {
        /// The deployment.
        deployment: DeploymentId,
        /// The resource.
        resource: ResourceName,
    },
}

impl fmt::Display for BreakerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action { action, .. } => write!(f, "the action {action} in this deployment"),
            Self::Resource { resource, .. } => write!(f, "the resource {resource}"),
        }
    }
}

/// What held a plan back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The only rules about it are outside of their hours.
    Window,
    /// A blackout.
    Blackout,
    /// The finding changes to and fro.
    Flapping,
    /// Another remediation is at the same resource.
    Busy,
    /// A circuit breaker is open.
    Breaker,
    /// The resource was touched often enough.
    Rate,
    /// The deployment was touched often enough.
    Storm,
    /// Enough remediations are open.
    MaxOpen,
    /// Not enough of the budget is left.
    Budget,
}
