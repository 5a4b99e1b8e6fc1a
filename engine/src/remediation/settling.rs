//! At rest: the policy gets back what was reserved and counts the outcome; and an ordinary run lets the finding itself
//! resolve, or come back.

use super::driver::Driver;
use super::sender::Trouble;
use chrono::TimeDelta;
use domain::diagnostic_run::{DiagnosticRun, Priority, RunCommand};
use domain::policy::{Policy, PolicyCommand, Settlement};
use domain::remediation::{RemediationState, Rest, StepPhase};
use domain::{ActionName, CommandId, PolicyId, RunId, StreamVersion};

/// How long such a run may take.
const RUN_TIME: TimeDelta = TimeDelta::minutes(10);

pub(super) async fn settle(
    driver: &Driver,
    state: &RemediationState,
    version: StreamVersion,
    rest: Rest,
) -> Result<(), Trouble> {
    release(driver, state, version, rest).await?;
    let hysteresis = state
        .problem
        .as_deref()
        .and_then(|problem| driver.shared.parts.packs.check(&problem.check).map(|check| check.hysteresis));
    let runs = match (rest, hysteresis) {
        (Rest::Succeeded, Some(hysteresis)) => hysteresis.resolve_after,
        (Rest::Undone, Some(hysteresis)) => hysteresis.open_after,
        _ => 0,
    };
    for number in 0..runs {
        request_run(driver, state, version, number).await?;
    }
    Ok(())
}

async fn release(driver: &Driver, state: &RemediationState, version: StreamVersion, rest: Rest) -> Result<(), Trouble> {
    // It holds what it has reserved: a person is still to take it back or to let it be.
    let outcome = match rest {
        Rest::Halted => return Ok(()),
        Rest::Succeeded => Settlement::Succeeded,
        Rest::Failed => Settlement::Failed,
        Rest::Undone => Settlement::Undone,
        Rest::Cancelled => Settlement::Cancelled,
        Rest::Stuck => Settlement::Stuck,
    };
    // Only what was admitted has reserved something.
    let Some(policy) = &state.policy else { return Ok(()) };
    let failed: Vec<ActionName> = state
        .planned_steps()
        .filter(|(_, step)| step.phase == StepPhase::Failed)
        .map(|(planned, _)| planned.action.clone())
        .collect();
    // What never began says nothing of the runbook.
    let attributable = state.steps.values().any(|step| step.phase != StepPhase::Waiting);
    let remediation = driver.sender.held().remediation;
    let command = PolicyCommand::Settle { remediation, outcome, attributable, failed_actions: failed };
    let id = PolicyId::of(&driver.sender.held().tenant, policy);
    let purpose = format!("{version}/settle");
    match driver.sender.execute::<Policy>(id.0, command, &purpose, &Driver::actor()).await {
        Ok(_) | Err(Trouble::SentBefore) => Ok(()),
        Err(Trouble::Refused { code, message }) => {
            tracing::error!(%remediation, code, message, "a policy does not take a remediation's end");
            Ok(())
        }
        Err(trouble) => Err(trouble),
    }
}

async fn request_run(
    driver: &Driver,
    state: &RemediationState,
    version: StreamVersion,
    number: u32,
) -> Result<(), Trouble> {
    let Some(problem) = state.problem.as_deref() else { return Ok(()) };
    let purpose = format!("{version}/run/{number}");
    let run = RunId(CommandId::derived(driver.sender.held().remediation.0, &purpose).0);
    let command = RunCommand::Request {
        run,
        deployment: problem.deployment,
        profile: "full".to_owned(),
        checks: vec![problem.check.clone()],
        priority: Priority::High,
        deadline: state.ended_at.unwrap_or_else(|| driver.shared.now()) + RUN_TIME,
    };
    match driver.sender.execute::<DiagnosticRun>(run.0, command, &purpose, &Driver::actor()).await {
        Ok(_) | Err(Trouble::SentBefore) => Ok(()),
        // Asked for before, or so late after a crash that its deadline has passed: the next scheduled run sees to it.
        Err(Trouble::Refused { message, .. }) => {
            tracing::info!(message, "the run after a remediation was not taken");
            Ok(())
        }
        Err(trouble) => Err(trouble),
    }
}
