//! A step back: from its before-image, and then proven by the hash of what is there.

use super::driver::{Driver, Purposes};
use super::images;
use super::phases::Task;
use super::sender::Trouble;
use super::steps::arguments;
use crate::action::{ActionError, ActionErrorKind};
use domain::deployment::DeploymentState;
use domain::remediation::{PlannedStep, RemediationCommand, RemediationPhase, RemediationState, StepState, Undoing};
use domain::{ContentHash, StepName};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often an undo is tried where the trouble may pass, and how long it waits in between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked again where the target needs a moment to be as it was.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn take_back(
    driver: &Driver,
    state: &RemediationState,
    step: &StepName,
    id: &Purposes,
) -> Result<(), Trouble> {
    driver.sender.send(RemediationCommand::StartUndo { step: step.clone() }, &id.of("start-undo")).await?;
    let missing = || Trouble::Failed(format!("step {step} is not in the plan"));
    let planned = state.plan.as_deref().and_then(|plan| plan.step(step)).ok_or_else(missing)?;
    let known = state.steps.get(step).ok_or_else(missing)?;
    let problem = state.problem.as_deref().ok_or_else(missing)?;
    let deployment = driver.deployment(problem.deployment).await?;
    let token = CancellationToken::new();
    let work = put_back(driver, state, planned, known, &deployment, &token);
    let Some(done) = driver.watched(RemediationPhase::RollingBack, &token, work).await? else { return Ok(()) };
    let command = match done {
        Ok(found) => RemediationCommand::RecordStepUndone { step: step.clone(), state: found },
        Err(error) => RemediationCommand::RecordUndoFailed { step: step.clone(), error: error.to_string() },
    };
    driver.sender.send(command, &id.of("undone")).await.map(|_| ())
}

/// Puts back what was there; gives the hash of what is there now.
async fn put_back(
    driver: &Driver,
    state: &RemediationState,
    planned: &PlannedStep,
    known: &StepState,
    deployment: &DeploymentState,
    token: &CancellationToken,
) -> Result<Option<ContentHash>, ActionError> {
    match &planned.undo {
        Undoing::Nothing { .. } => return Ok(None),
        Undoing::Impossible { reason } => return Err(ActionError::precondition(reason.clone())),
        Undoing::FromBeforeImage => {}
    }
    let image = known.image.as_deref().ok_or_else(|| ActionError::internal("it has no before-image"))?;
    let before = images::read(&driver.shared.parts.evidence, image).await?;
    let remediation = driver.sender.held().remediation;
    let task = Task::of(remediation, planned, arguments(planned, state)?, deployment, driver.shared.now())?;
    let phases = &driver.shared.phases;
    let mut tries = 1;
    loop {
        match phases.undo(&driver.sender, &task, &before, token).await {
            Ok(()) => break,
            Err(error) if may_pass(&error) && tries < TRIES => {
                tracing::warn!(%error, step = %planned.name, tries, "taking a step back is tried again");
                let pause = token.run_until_cancelled(tokio::time::sleep(PAUSE * tries));
                pause.await.ok_or_else(ActionError::cancelled)?;
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
    let mut looks = 1;
    loop {
        let found = images::hash(&phases.capture(&driver.sender, &task, token).await?)?;
        if found == image.state || looks >= LOOKS {
            return Ok(Some(found));
        }
        let pause = token.run_until_cancelled(tokio::time::sleep(LOOK_PAUSE * looks));
        pause.await.ok_or_else(ActionError::cancelled)?;
        looks += 1;
    }
}

const fn may_pass(error: &ActionError) -> bool {
    matches!(error.kind, ActionErrorKind::Target | ActionErrorKind::TimedOut)
}
