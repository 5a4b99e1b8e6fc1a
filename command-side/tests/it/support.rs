//! What the tests share.

use command_side::testing::metadata;
use command_side::{BusOptions, CommandBus, CommandError, Executed};
use domain::deployment::{Deployment, DeploymentCommand};
use domain::diagnostic_run::{CheckResult, DiagnosticRun, PlannedCheck, Priority, RunCommand, RunEvent};
use domain::testing::{DEPLOYMENT, planned_check};
use domain::{DeploymentId, Metadata, RunId};
use event_store::EventLog;
use std::sync::Arc;
use uuid::Uuid;

pub fn bus(log: &Arc<dyn EventLog>) -> CommandBus {
    CommandBus::new(Arc::clone(log), BusOptions::default())
}

pub fn new_run() -> RunId {
    RunId(Uuid::now_v7())
}

pub fn request(run: RunId) -> RunCommand {
    request_of(run, DEPLOYMENT, "full")
}

pub fn request_of(run: RunId, deployment: DeploymentId, profile: &str) -> RunCommand {
    RunCommand::Request {
        run,
        deployment,
        profile: profile.to_owned(),
        checks: Vec::new(),
        priority: Priority::Normal,
        deadline: chrono::Utc::now() + chrono::TimeDelta::hours(1),
    }
}

pub fn plan(count: u32) -> RunCommand {
    RunCommand::Plan { checks: (0..count).map(planned_check).collect::<Vec<PlannedCheck>>() }
}

pub fn record(results: Vec<CheckResult>) -> RunCommand {
    RunCommand::RecordResults { results }
}

pub async fn send(bus: &CommandBus, run: RunId, command: RunCommand) -> Result<Executed<RunEvent>, CommandError> {
    send_as(bus, run, command, metadata()).await
}

pub async fn send_as(
    bus: &CommandBus,
    run: RunId,
    command: RunCommand,
    metadata: Metadata,
) -> Result<Executed<RunEvent>, CommandError> {
    bus.execute::<DiagnosticRun>(run.0, command, metadata).await
}

pub async fn register(bus: &CommandBus, id: DeploymentId, command: DeploymentCommand) {
    bus.execute::<Deployment>(id.0, command, metadata()).await.expect("the deployment is registered");
}

/// The refusal's code; stops the test where it was not refused.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, CommandError>) -> String {
    match answer {
        Err(CommandError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}
