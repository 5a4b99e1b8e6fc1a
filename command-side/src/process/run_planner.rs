//! Answers a requested run with its plan, or with why there can be none.

use super::catalog::{CheckCatalog, PlanError};
use super::runner::{Process, ProcessError};
use super::{Cause, system_actor};
use crate::bus::CommandBus;
use crate::error::CommandError;
use domain::any_event::DIAGNOSTIC_RUN;
use domain::deployment::{Deployment, DeploymentState};
use domain::diagnostic_run::{DiagnosticRun, RunCommand, RunEvent};
use domain::text::REASON_CHARS_MAX;
use domain::{Actor, AnyEvent, CheckCode, DeploymentId, RunId};
use event_store::RecordedEvent;
use std::sync::Arc;
use uuid::Uuid;

/// Plans runs.
pub(crate) struct RunPlanner(Arc<Hands>);

pub(crate) struct Hands {
    bus: CommandBus,
    catalog: Arc<dyn CheckCatalog>,
    actor: Actor,
}

/// A run to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToPlan {
    cause: Cause,
    run: RunId,
    deployment: DeploymentId,
    profile: String,
    only: Vec<CheckCode>,
}

impl RunPlanner {
    pub fn new(bus: CommandBus, catalog: Arc<dyn CheckCatalog>) -> Self {
        Self(Arc::new(Hands { bus, catalog, actor: system_actor("system:planner") }))
    }
}

impl Process for RunPlanner {
    const NAME: &'static str = "run-planner";
    type Work = ToPlan;
    type Done = ();
    type Hands = Hands;

    fn hands(&self) -> Arc<Hands> {
        Arc::clone(&self.0)
    }

    fn react(&mut self, event: &RecordedEvent) -> Result<Vec<ToPlan>, ProcessError> {
        if event.event_type != "RunRequested" || &*event.stream.aggregate_type != DIAGNOSTIC_RUN {
            return Ok(Vec::new());
        }
        let decoded = event.decode().map_err(|source| ProcessError::Unreadable { position: event.position, source })?;
        let AnyEvent::Run(RunEvent::RunRequested { run, deployment, profile, checks, .. }) = decoded else {
            return Ok(Vec::new());
        };
        Ok(vec![ToPlan { cause: Cause::of(event), run, deployment, profile, only: checks }])
    }

    fn lane(work: &ToPlan) -> Uuid {
        work.run.0
    }

    fn cause(work: &ToPlan) -> &Cause {
        &work.cause
    }

    async fn perform(hands: &Hands, work: &ToPlan) -> Result<(), CommandError> {
        let (deployment, _) = hands.bus.load::<Deployment>(work.deployment.0).await?;
        let failure = match plan(hands.catalog.as_ref(), &deployment, work) {
            Ok(command) => match hands.send(work, command, "plan").await {
                Err(CommandError::Refused { code, message }) => match code.as_str() {
                    // It was cancelled, has timed out, or is planned by somebody else.
                    "run_already_ended" | "run_already_planned" => return Ok(()),
                    _ => format!("its plan was refused: {message}"),
                },
                Err(CommandError::TooLarge) => "its plan is too large".to_owned(),
                // The first answer came from other packs, before a restart: it counts.
                Err(CommandError::CommandReused) => return Ok(()),
                answer => return answer,
            },
            Err(reason) => reason,
        };
        let reason: String = failure.chars().take(REASON_CHARS_MAX).collect();
        match hands.send(work, RunCommand::Fail { reason }, "fail").await {
            Err(CommandError::Refused { .. } | CommandError::CommandReused) => Ok(()),
            answer => answer,
        }
    }
}

impl Hands {
    async fn send(&self, work: &ToPlan, command: RunCommand, purpose: &str) -> Result<(), CommandError> {
        let metadata = work.cause.metadata(&self.actor, purpose);
        self.bus.execute::<DiagnosticRun>(work.run.0, command, metadata).await.map(|_| ())
    }
}

/// The plan, or why there can be none.
fn plan(catalog: &dyn CheckCatalog, deployment: &DeploymentState, work: &ToPlan) -> Result<RunCommand, String> {
    if deployment.id.is_none() {
        return Err("there is no such deployment".to_owned());
    }
    if deployment.retired_at.is_some() {
        return Err("the deployment is retired".to_owned());
    }
    let checks = catalog.plan(deployment, &work.profile, &work.only).map_err(|error: PlanError| error.to_string())?;
    Ok(RunCommand::Plan { checks })
}
