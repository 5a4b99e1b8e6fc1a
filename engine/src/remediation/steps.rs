//! Steps forward: each its own task, those without dependence in parallel.
//!
//! Intent, before-image, change, look whether it is done, outcome. Whoever finds a step under way that had its
//! before-image recorded looks first, and changes only what is not done.

use super::driver::{Driver, Shared};
use super::hooks::Point;
use super::images;
use super::phases::Task;
use super::sender::{Sender, Trouble};
use crate::action::{ActionError, ActionErrorKind, Arguments, Verified};
use domain::StepName;
use domain::deployment::DeploymentState;
use domain::remediation::{
    Argument, BeforeImage, Next, Outputs, PlannedStep, RemediationCommand, RemediationPhase, RemediationState,
    StepStage, StepWork, next,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Does steps until the remediation goes elsewhere. What was under way has ended then.
pub(super) async fn perform(driver: &Driver) -> Result<(), Trouble> {
    let token = CancellationToken::new();
    // However this ends: what runs is stopped.
    let _stop = token.clone().drop_guard();
    let mut running: JoinSet<(StepName, Result<(), Trouble>)> = JoinSet::new();
    let mut under_way: BTreeSet<StepName> = BTreeSet::new();
    loop {
        let (state, _) = driver.sender.state().await?;
        let halted = driver.engaged().await?.is_some_and(|engaged| Driver::must_halt(&state, &engaged));
        if state.phase != RemediationPhase::Executing || halted {
            break;
        }
        let stopping = &driver.shared.stopping;
        if let (false, Next::Steps(work)) = (stopping.is_cancelled(), next(&state, driver.shared.now())) {
            for one in work {
                if under_way.insert(one.step.clone()) {
                    start(driver, &mut running, &state, one, &token).await?;
                }
            }
        }
        if running.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = driver.lease().ends() => break,
            Some(ended) = running.join_next() => match ended {
                Ok((step, Ok(()))) => drop(under_way.remove(&step)),
                Ok((_, Err(trouble))) => {
                    token.cancel();
                    end(driver, &mut running).await;
                    return Err(trouble);
                }
                // A panic outside of an action is a defect; the step is found under way and followed up.
                Err(error) => return Err(Trouble::Failed(format!("a step's task ended: {error}"))),
            },
            () = driver.wake.notified() => driver.sender.forget(),
        }
    }
    token.cancel();
    end(driver, &mut running).await;
    if driver.lease().holds() { Ok(()) } else { Err(Trouble::LeaseLost) }
}

/// What was stopped ends, bounded; then it is dropped, with all that it started.
async fn end(driver: &Driver, running: &mut JoinSet<(StepName, Result<(), Trouble>)>) {
    let _ = tokio::time::timeout(driver.ending(), async { while running.join_next().await.is_some() {} }).await;
    running.shutdown().await;
}

async fn start(
    driver: &Driver,
    running: &mut JoinSet<(StepName, Result<(), Trouble>)>,
    state: &Arc<RemediationState>,
    work: StepWork,
    token: &CancellationToken,
) -> Result<(), Trouble> {
    let missing = || Trouble::Failed(format!("step {} is not in the plan", work.step));
    let planned = state.plan.as_deref().and_then(|plan| plan.step(&work.step)).ok_or_else(missing)?.clone();
    let problem = state.problem.as_deref().ok_or_else(missing)?;
    let deployment = driver.deployment(problem.deployment).await?;
    let known = state.steps.get(&work.step);
    let doing = Doing {
        shared: Arc::clone(&driver.shared),
        sender: driver.sender.clone(),
        attempt: known.map_or(0, |step| step.attempt) + 1,
        image: known.and_then(|step| step.image.clone()),
        arguments: arguments(&planned, state),
        needs_outputs: needs_outputs(state, &work.step),
        deployment,
        planned,
        token: token.clone(),
    };
    running.spawn(async move {
        let done = doing.perform(work.from).await;
        (work.step, done)
    });
    Ok(())
}

/// What the step is told, with what earlier ones gave.
pub(super) fn arguments(planned: &PlannedStep, state: &RemediationState) -> Result<Arguments, ActionError> {
    let value = |argument: &Argument| match argument {
        Argument::Value(value) => Ok(value.clone()),
        Argument::OutputOf { step, output } => {
            let given = state.steps.get(step).and_then(|step| step.outputs.get(output)).cloned();
            given.ok_or_else(|| ActionError::internal(format!("step {step} did not give {output}")))
        }
    };
    planned.arguments.iter().map(|(name, argument)| Ok((name.clone(), value(argument)?))).collect()
}

fn needs_outputs(state: &RemediationState, name: &StepName) -> bool {
    let mut told = state.plan.iter().flat_map(|plan| &plan.steps).flat_map(|step| step.arguments.values());
    told.any(|argument| matches!(argument, Argument::OutputOf { step, .. } if step == name))
}

/// One step under way.
struct Doing {
    shared: Arc<Shared>,
    sender: Sender,
    planned: PlannedStep,
    deployment: DeploymentState,
    arguments: Result<Arguments, ActionError>,
    attempt: u32,
    image: Option<Arc<BeforeImage>>,
    needs_outputs: bool,
    token: CancellationToken,
}

impl Doing {
    fn id(&self, what: &str) -> String {
        format!("{}/{}/{what}", self.planned.name, self.attempt)
    }

    async fn perform(&self, from: StepStage) -> Result<(), Trouble> {
        let step = &self.planned.name;
        if from == StepStage::GiveUp {
            return self.failed("it was begun too often without an outcome".to_owned()).await;
        }
        if self.token.is_cancelled() {
            return Ok(());
        }
        // Whoever finds a step under way says so, too.
        self.sender.send(RemediationCommand::StartStep { step: step.clone() }, &self.id("start")).await?;
        self.sender.at(Point::Sent("intent")).await;
        let done = match from {
            StepStage::Decide => self.decide().await,
            _ => self.forward().await,
        };
        match done {
            Ok(None) => Ok(()),
            Ok(Some((outputs, found_done))) => self.succeeded(outputs, found_done).await,
            Err(Ended::Trouble(trouble)) => Err(trouble),
            // Who stopped it decides what comes next; its outcome is not known, and nobody claims that it is.
            Err(Ended::Action(_)) if self.token.is_cancelled() => Ok(()),
            Err(Ended::Action(error)) => self.failed(error.to_string()).await,
        }
    }

    /// From the beginning: nothing was changed yet. `None` where another step has failed meanwhile.
    async fn forward(&self) -> Result<Option<(Outputs, bool)>, Ended> {
        let task = self.task()?;
        let before = self.shared.phases.capture(&self.sender, &task, &self.token).await?;
        let options = &self.shared.options;
        let now = self.shared.now();
        let evidence = &self.shared.parts.evidence;
        let image = images::keep(evidence, before.clone(), options.inline_image_bytes, now).await?;
        let command = RemediationCommand::RecordBeforeImage { step: self.planned.name.clone(), image };
        match self.sender.send(command, &self.id("before-image")).await {
            Ok(_) => {}
            Err(Trouble::Refused { code, .. }) if code == "rollback_pending" => return Ok(None),
            Err(Trouble::Refused { message, .. }) => return Err(ActionError::precondition(message).into()),
            Err(trouble) => return Err(trouble.into()),
        }
        let outputs = self.change(&task, &before).await?;
        Ok(Some((outputs, false)))
    }

    /// It may have been changed by whoever had it before: look first.
    async fn decide(&self) -> Result<Option<(Outputs, bool)>, Ended> {
        let task = self.task()?;
        let image = self.image.as_deref().ok_or_else(|| ActionError::internal("it has no before-image"))?;
        let before = images::read(&self.shared.parts.evidence, image).await?;
        match self.shared.phases.verify(&self.sender, &task, &before, &self.token).await? {
            // What it gave is lost with whoever did it; doing it again gives it, and changes nothing.
            Verified::Done if self.needs_outputs => Ok(Some((self.change(&task, &before).await?, true))),
            Verified::Done => Ok(Some((Outputs::new(), true))),
            // Where nothing tells whether it was done, it is done (again): it would be a guess that it was.
            Verified::NotDone(_) | Verified::NoTrace(_) => Ok(Some((self.change(&task, &before).await?, false))),
        }
    }

    async fn change(&self, task: &Task, before: &Value) -> Result<Outputs, Ended> {
        // The last look before something happens: not under a lease that may be another's.
        if !self.sender.held().lease.holds() {
            return Err(Trouble::LeaseLost.into());
        }
        let phases = &self.shared.phases;
        let outputs = phases.apply(&self.sender, task, before, &self.token).await?;
        match phases.verify(&self.sender, task, before, &self.token).await? {
            Verified::Done | Verified::NoTrace(_) => Ok(outputs),
            Verified::NotDone(why) => {
                Err(ActionError { kind: ActionErrorKind::Target, message: format!("it is not done: {why}") }.into())
            }
        }
    }

    fn task(&self) -> Result<Task, ActionError> {
        let remediation = self.sender.held().remediation;
        Task::of(remediation, &self.planned, self.arguments.clone()?, &self.deployment, self.shared.now())
    }

    async fn succeeded(&self, outputs: Outputs, found_done: bool) -> Result<(), Trouble> {
        let step = self.planned.name.clone();
        let command = RemediationCommand::RecordStepSucceeded { step, outputs, found_done };
        match self.sender.send(command, &self.id("succeeded")).await {
            Err(Trouble::Refused { code, message }) if code.starts_with("output") => self.failed(message).await,
            // It was stopped, or taken back, at this very moment.
            Err(Trouble::Refused { .. }) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    async fn failed(&self, error: String) -> Result<(), Trouble> {
        let command = RemediationCommand::RecordStepFailed { step: self.planned.name.clone(), error };
        match self.sender.send(command, &self.id("failed")).await {
            Err(Trouble::Refused { .. }) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

/// Why a step has no result.
enum Ended {
    Action(ActionError),
    Trouble(Trouble),
}

impl From<ActionError> for Ended {
    fn from(error: ActionError) -> Self {
        Self::Action(error)
    }
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}
