//! One phase of one step: under its deadline, stoppable, isolated as its action asks for, and never more than so many
//! at once.

use super::hooks::{Point, Verdict};
use super::lease::Lease;
use super::options::RemediationOptions;
use super::sender::Sender;
use crate::action::host::{HostAnswer, HostLimits, HostRequest, PhaseName};
use crate::action::{self, ActionError, ActionTarget, Arguments, HostProgram, Isolation, Verified, isolated};
use chrono::{DateTime, Utc};
use domain::deployment::DeploymentState;
use domain::remediation::{BlastRadius, Change, Outputs, PlannedStep};
use domain::{DeploymentId, RemediationId, StepName};
use futures::FutureExt as _;
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Runs phases, bounded for the whole process.
pub(super) struct Phases {
    host: HostProgram,
    limits: HostLimits,
    grace: Duration,
    all: Semaphore,
    processes: Semaphore,
}

/// A step on its target, with all that it is told.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub step: StepName,
    pub action: String,
    pub arguments: Arguments,
    pub target: ActionTarget,
}

impl Task {
    /// The step on the deployment as it is now; the error says what it lacks.
    pub fn of(
        remediation: RemediationId,
        planned: &PlannedStep,
        arguments: Arguments,
        deployment: &DeploymentState,
        now: DateTime<Utc>,
    ) -> Result<Self, ActionError> {
        let name = &planned.component;
        let component = deployment.components.get(name).cloned();
        let component = component
            .ok_or_else(|| ActionError::configuration(format!("the deployment has no component {name} any more")))?;
        let target = ActionTarget {
            deployment: deployment.id.unwrap_or(DeploymentId(uuid::Uuid::nil())),
            component,
            components: Arc::clone(&deployment.components),
            idempotency_key: format!("{remediation}/{}", planned.name),
            now,
            deadline: Duration::from_millis(planned.deadline_ms.into()),
            cancel: CancellationToken::new(),
        };
        Ok(Self { step: planned.name.clone(), action: planned.action.to_string(), arguments, target })
    }
}

impl Phases {
    pub fn new(options: &RemediationOptions) -> Self {
        Self {
            host: options.host.clone(),
            limits: options.limits,
            grace: options.grace,
            all: Semaphore::new(options.phases.max(1)),
            processes: Semaphore::new(options.processes.max(1)),
        }
    }

    /// What is there.
    pub async fn capture(&self, sender: &Sender, task: &Task, stop: &CancellationToken) -> Result<Value, ActionError> {
        match self.run(sender, task, PhaseName::Capture, Value::Null, stop).await? {
            HostAnswer::Captured(state) => Ok(state),
            other => Err(unexpected(&other)),
        }
    }

    /// Changes it.
    pub async fn apply(
        &self,
        sender: &Sender,
        task: &Task,
        before: &Value,
        stop: &CancellationToken,
    ) -> Result<Outputs, ActionError> {
        match self.run(sender, task, PhaseName::Apply, before.clone(), stop).await? {
            HostAnswer::Applied(outputs) => Ok(outputs),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether it is changed.
    pub async fn verify(
        &self,
        sender: &Sender,
        task: &Task,
        before: &Value,
        stop: &CancellationToken,
    ) -> Result<Verified, ActionError> {
        match self.run(sender, task, PhaseName::Verify, before.clone(), stop).await? {
            HostAnswer::Verified(verified) => Ok(verified),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes it back.
    pub async fn undo(
        &self,
        sender: &Sender,
        task: &Task,
        before: &Value,
        stop: &CancellationToken,
    ) -> Result<(), ActionError> {
        match self.run(sender, task, PhaseName::Undo, before.clone(), stop).await? {
            HostAnswer::Undone => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// What it would change: pure.
    pub fn preview(task: &Task, before: &Value) -> Result<(Vec<Change>, BlastRadius), ActionError> {
        named(&task.action)?.preview(&task.arguments, before)
    }

    async fn run(
        &self,
        sender: &Sender,
        task: &Task,
        phase: PhaseName,
        before: Value,
        stop: &CancellationToken,
    ) -> Result<HostAnswer, ActionError> {
        let injected = sender.at(Point::Before(phase, &task.step)).await;
        if let Verdict::Fail(why) = injected {
            return Err(ActionError::target(why));
        }
        let lease = &sender.held().lease;
        let mut answer = self.once(task, phase, before.clone(), lease, stop).await?;
        if injected == Verdict::Twice {
            answer = self.once(task, phase, before, lease, stop).await?;
        }
        match sender.at(Point::After(phase, &task.step)).await {
            Verdict::Fail(why) => Err(ActionError::target(why)),
            _ => Ok(answer),
        }
    }

    async fn once(
        &self,
        task: &Task,
        phase: PhaseName,
        before: Value,
        lease: &Lease,
        stop: &CancellationToken,
    ) -> Result<HostAnswer, ActionError> {
        let isolation = named(&task.action)?.spec().isolation;
        let places = async {
            let place = self.all.acquire().await;
            let process = if isolation == Isolation::Process { Some(self.processes.acquire().await) } else { None };
            (place, process)
        };
        // Neither semaphore is ever closed: a place is had, or nobody waits for it any more.
        let _places = stop.run_until_cancelled(places).await.ok_or_else(ActionError::cancelled)?;
        // After the wait, and right before something happens: not under a lease that may be another's.
        if !lease.holds() {
            // For good: an extension that is on its way comes too late for whoever has looked.
            lease.lose();
            return Err(ActionError::cancelled());
        }
        let deadline = task.target.deadline;
        let mut target = task.target.clone();
        target.cancel = stop.child_token();
        let ending = target.cancel.clone();
        let host = if isolation == Isolation::Process { &self.host } else { &HostProgram::InProcess };
        let cpu_seconds = self.limits.cpu_seconds.min(2 * deadline.as_secs() + 5);
        let request = HostRequest {
            action: task.action.clone(),
            phase,
            arguments: task.arguments.clone(),
            target,
            before,
            limits: HostLimits { cpu_seconds, ..self.limits },
        };
        let work = AssertUnwindSafe(isolated::run(host, &request)).catch_unwind();
        tokio::pin!(work);
        let ended = tokio::select! {
            biased;
            ended = &mut work => ended,
            () = stop.cancelled() => {
                let _ = tokio::time::timeout(self.grace, &mut work).await;
                return Err(ActionError::cancelled());
            }
            () = tokio::time::sleep(deadline) => {
                ending.cancel();
                let _ = tokio::time::timeout(self.grace, &mut work).await;
                return Err(ActionError::timed_out(deadline));
            }
        };
        ended.unwrap_or_else(|_| {
            tracing::error!(action = task.action, ?phase, "an action panicked");
            Err(ActionError::internal(format!("{} panicked: a defect of the platform", task.action)))
        })
    }
}

fn named(name: &str) -> Result<&'static dyn action::Action, ActionError> {
    action::list::named(name).ok_or_else(|| ActionError::internal(format!("there is no action {name} any more")))
}

fn unexpected(answer: &HostAnswer) -> ActionError {
    ActionError::internal(format!("the action answered something else than was asked: {answer:?}"))
}
