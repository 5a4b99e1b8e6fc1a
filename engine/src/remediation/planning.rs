//! Makes a plan: the finding as it was last seen, the deployment as it is, the runbooks that apply, and the policy's
//! choice among them.

use super::admission::policy_name;
use super::driver::{Driver, Purposes};
use super::sender::Trouble;
use super::sighting::{self, RowError};
use crate::check::Check;
use crate::pack::Packs;
use crate::runbook::{Refused, Situation};
use domain::deployment::DeploymentState;
use domain::finding::{Finding, FindingPhase, FindingState};
use domain::policy::{Candidate, ChoiceRequest, Policy, PolicyCommand};
use domain::remediation::{Plan, Problem, RemediationCommand, RemediationState};
use domain::{PolicyId, StreamVersion};

/// A plan can not be made, in words; or not now.
enum NoPlan {
    Never(String),
    NotNow(Trouble),
}

impl From<Trouble> for NoPlan {
    fn from(trouble: Trouble) -> Self {
        Self::NotNow(trouble)
    }
}

pub(super) async fn plan(driver: &Driver, state: &RemediationState, id: &Purposes) -> Result<(), Trouble> {
    let reason = match make(driver, state, id).await {
        Ok((plan, check_version)) => {
            let command = RemediationCommand::RecordPlan { plan, check_version };
            match driver.sender.send(command, &id.of("plan")).await {
                Err(Trouble::Refused { message, .. }) => format!("the plan was refused: {message}"),
                answer => return answer.map(|_| ()),
            }
        }
        Err(NoPlan::Never(reason)) => reason,
        Err(NoPlan::NotNow(trouble)) => return Err(trouble),
    };
    driver.sender.send(RemediationCommand::FailPlanning { reason }, &id.of("no-plan")).await.map(|_| ())
}

async fn make(driver: &Driver, state: &RemediationState, id: &Purposes) -> Result<(Plan, String), NoPlan> {
    let problem = state.problem.as_deref().ok_or_else(|| NoPlan::Never("nobody said what is wrong".to_owned()))?;
    let packs = &driver.shared.parts.packs;
    let check = packs.check(&problem.check);
    let check = check.ok_or_else(|| NoPlan::Never(format!("there is no check {} in the packs", problem.check)))?;
    let deployment = driver.deployment(problem.deployment).await?;
    if !deployment.is_active() {
        return Err(NoPlan::Never("the deployment is not under care".to_owned()));
    }
    let mut plans = candidates(driver, state, problem, check, &deployment, packs).await?;
    if plans.len() == 1 {
        return Ok((plans.remove(0), check.version.clone()));
    }
    let chosen = choose(driver, problem, check, &deployment, &plans, id).await?;
    let plan = plans.into_iter().nth(chosen);
    plan.map(|plan| (plan, check.version.clone())).ok_or_else(|| NoPlan::Never("no runbook was chosen".to_owned()))
}

/// The plans of all runbooks that apply, the preferred one first; at least one.
async fn candidates(
    driver: &Driver,
    state: &RemediationState,
    problem: &Problem,
    check: &Check,
    deployment: &DeploymentState,
    packs: &Packs,
) -> Result<Vec<Plan>, NoPlan> {
    let runbooks = match &state.runbook {
        None => packs.runbooks_for(&problem.check),
        Some(name) => {
            let runbook = packs.runbook(name);
            vec![runbook.ok_or_else(|| NoPlan::Never(format!("there is no runbook {name} in the packs")))?]
        }
    };
    if runbooks.is_empty() {
        return Err(NoPlan::Never(format!("no runbook remedies {}", problem.check)));
    }
    let row = evidence_row(driver, problem, check, deployment).await?;
    let situation = Situation {
        check: &problem.check,
        component: &problem.component,
        resource: &problem.resource,
        severity: problem.severity,
        row: row.as_ref(),
        components: &deployment.components,
    };
    let mut plans = Vec::new();
    let mut reasons = Vec::new();
    for runbook in runbooks {
        match runbook.plan(packs, &situation) {
            Ok(plan) => plans.push(plan),
            Err(Refused(reason)) => reasons.push(reason),
        }
    }
    if plans.is_empty() { Err(NoPlan::Never(reasons.join("; "))) } else { Ok(plans) }
}

async fn evidence_row(
    driver: &Driver,
    problem: &Problem,
    check: &Check,
    deployment: &DeploymentState,
) -> Result<Option<crate::probe::Row>, NoPlan> {
    let (finding, version): (FindingState, StreamVersion) = driver.sender.load::<Finding>(problem.finding.0).await?;
    match finding.phase {
        FindingPhase::Absent => return Err(NoPlan::Never("there is no such finding".to_owned())),
        FindingPhase::Resolved => return Err(NoPlan::Never("the finding is resolved already".to_owned())),
        FindingPhase::Suspected | FindingPhase::Open => {}
    }
    if finding.false_positive {
        return Err(NoPlan::Never("the finding is marked as a false positive".to_owned()));
    }
    let name = &problem.component;
    let component = deployment.components.get(name);
    let component =
        component.ok_or_else(|| NoPlan::Never(format!("the deployment has no component {name} any more")))?;
    let log = driver.sender.bus().log();
    let unreadable = |error: &dyn std::fmt::Display| NoPlan::NotNow(Trouble::Failed(error.to_string()));
    let sighting = sighting::last_sighting(log.as_ref(), problem.finding, version).await;
    let sighting = sighting.map_err(|error| unreadable(&error))?;
    let sighting = sighting.ok_or_else(|| NoPlan::Never("the finding was never seen".to_owned()))?;
    match sighting::row(&driver.shared.parts.evidence, check, component, &problem.resource, &sighting).await {
        Ok(row) => Ok(row),
        Err(RowError::Missing(reason)) => Err(NoPlan::Never(reason)),
        Err(error @ RowError::Log(_)) => Err(unreadable(&error)),
    }
}

/// Which of several plans the policy chooses.
async fn choose(
    driver: &Driver,
    problem: &Problem,
    check: &Check,
    deployment: &DeploymentState,
    plans: &[Plan],
    id: &Purposes,
) -> Result<usize, NoPlan> {
    let held = driver.sender.held();
    let policy = policy_name(deployment).map_err(NoPlan::Never)?;
    let policy_id = PolicyId::of(&held.tenant, &policy);
    let candidate = |plan: &Plan| Candidate { runbook: plan.runbook.clone(), version: plan.version.clone() };
    let candidates: Vec<Candidate> = plans.iter().map(candidate).collect();
    let request = ChoiceRequest {
        policy,
        remediation: held.remediation,
        check: problem.check.clone(),
        check_version: check.version.clone(),
        candidates: candidates.clone(),
        // The same for every repetition, and nobody's choice: the random bits of the remediation's own id.
        seed: held.remediation.0.as_u64_pair().1,
    };
    let command = PolicyCommand::ChooseRunbook { request };
    match driver.sender.execute::<Policy>(policy_id.0, command, &id.of("choose"), &Driver::actor()).await {
        Ok(_) | Err(Trouble::SentBefore) => {}
        Err(Trouble::Refused { message, .. }) => return Err(NoPlan::Never(message)),
        Err(trouble) => return Err(trouble.into()),
    }
    let (known, _) = driver.sender.load::<Policy>(policy_id.0).await?;
    let chosen = known.choice(held.remediation).map(|choice| &choice.chosen);
    let place = chosen.and_then(|chosen| candidates.iter().position(|one| one == chosen));
    // So many choices later it is forgotten; then the preferred one goes first.
    Ok(place.unwrap_or(0))
}
