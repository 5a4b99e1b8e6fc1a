//! Asks the policy whether, how and when.

use super::driver::{Driver, Purposes};
use super::sender::Trouble;
use domain::deployment::DeploymentState;
use domain::finding::Finding;
use domain::policy::{
    About, AdmissionRequest, DEFAULT_POLICY, DeploymentFacts, POLICY_LABEL, Policy, PolicyCommand, answer,
};
use domain::remediation::{Admission, RemediationCommand, RemediationState, Trigger};
use domain::{PolicyId, PolicyName};

/// The policy that governs a deployment; the error says that its label is none.
pub(super) fn policy_name(deployment: &DeploymentState) -> Result<PolicyName, String> {
    let name = deployment.labels.get(POLICY_LABEL).map_or(DEFAULT_POLICY, String::as_str);
    PolicyName::new(name).map_err(|error| format!("the deployment's label {POLICY_LABEL}: {error}"))
}

pub(super) async fn admit(driver: &Driver, state: &RemediationState, id: &Purposes) -> Result<(), Trouble> {
    let (policy, admission, reason) = ask(driver, state, id).await?;
    let command = RemediationCommand::Admit { policy, admission, reason };
    driver.sender.send(command, &id.of("admit")).await.map(|_| ())
}

async fn ask(
    driver: &Driver,
    state: &RemediationState,
    id: &Purposes,
) -> Result<(PolicyName, Admission, String), Trouble> {
    let incomplete = || Trouble::Failed("it wants to be admitted without a plan".to_owned());
    let (problem, plan) =
        (state.problem.as_deref().ok_or_else(incomplete)?, state.plan.as_deref().ok_or_else(incomplete)?);
    let deployment = driver.deployment(problem.deployment).await?;
    let policy = match policy_name(&deployment) {
        Ok(policy) => policy,
        Err(reason) => {
            let policy = PolicyName::new(DEFAULT_POLICY).map_err(|error| Trouble::Failed(error.to_string()))?;
            return Ok((policy, Admission::Forbidden, reason));
        }
    };
    let (finding, _) = driver.sender.load::<Finding>(problem.finding.0).await?;
    let held = driver.sender.held();
    let about = About {
        policy: policy.clone(),
        remediation: held.remediation,
        binding: state.binding().cloned().ok_or_else(incomplete)?,
        check_version: state.check_version.clone().ok_or_else(incomplete)?,
        flapping: finding.flapping,
        trigger: state.trigger.unwrap_or(Trigger::Person),
    };
    let facts = DeploymentFacts { name: deployment.name, labels: deployment.labels };
    let request = AdmissionRequest::of(plan, state.blast, problem, facts, about);
    let policy_id = PolicyId::of(&held.tenant, &policy);
    let command = PolicyCommand::Admit { request: Box::new(request.clone()) };
    match driver.sender.execute::<Policy>(policy_id.0, command, &id.of("reserve"), &Driver::actor()).await {
        Ok(_) | Err(Trouble::SentBefore) => {}
        Err(Trouble::Refused { message, .. }) => return Ok((policy, Admission::Forbidden, message)),
        Err(trouble) => return Err(trouble),
    }
    let (known, _) = driver.sender.load::<Policy>(policy_id.0).await?;
    let (admission, reason) = answer(&known, &request, driver.shared.now());
    Ok((policy, admission, reason))
}
