//! Asking for runs, and stopping them.

use super::{command_id, execute, new_stream_id, payload, refuse_strangers, send};
use crate::schema::codes::{BAD_USER_INPUT, coded};
use crate::schema::context::{command_error, named};
use crate::schema::ids::local;
use crate::schema::query;
use crate::schema::types::{Priority, Run};
use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::{DateTime, TimeDelta, Utc};
use command_side::{Clock, CommandBus, CommandError};
use domain::deployment::Deployment;
use domain::diagnostic_run::{DiagnosticRun, RunCommand};
use domain::{Decider as _, RunId};
use std::sync::Arc;

/// How long a run may take where nobody says.
const DEFAULT_TIMEOUT_SECONDS: i64 = 900;

payload! {
    /// What became of `requestRun`.
    RequestRunPayload,
    /// The run is asked for; follow it with `scanProgress`.
    RequestRunAccepted, run_id, run: Run, RunId, query::run
}
payload! {
    /// What became of `cancelRun`.
    CancelRunPayload,
    /// The run is stopped.
    CancelRunAccepted, run_id, run: Run, RunId, query::run
}

/// What to run.
#[derive(InputObject)]
pub struct RequestRunInput {
    /// On this deployment.
    deployment_id: ID,
    /// Which checks, by the packs' profile, such as `quick` or `full`.
    #[graphql(default = "full")]
    profile: String,
    /// Narrows the profile to these checks; none: all of it.
    #[graphql(default)]
    checks: Vec<String>,
    /// How soon its work is taken up.
    #[graphql(default_with = "Priority::High")]
    priority: Priority,
    /// When it times out; or say `timeoutSeconds`.
    deadline: Option<DateTime<Utc>>,
    /// How long it may take; 900 where neither this nor `deadline` is said.
    timeout_seconds: Option<i64>,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// What to stop.
#[derive(InputObject)]
pub struct CancelRunInput {
    /// This run.
    run_id: ID,
    /// Why.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// Runs.
#[derive(Default)]
pub struct RunMutation;

#[Object]
impl RunMutation {
    /// Asks for a diagnosis.
    async fn request_run(&self, ctx: &Context<'_>, input: RequestRunInput) -> Result<RequestRunPayload> {
        let key = input.idempotency_key.as_deref();
        let command_id = command_id(ctx, "requestRun", key)?;
        let id = new_stream_id(command_id, key);
        let fixed = input.deadline;
        let command = input.command(ctx, id.into())?;
        // Of a deployment that nobody has, the planner says so in the run.
        if let RunCommand::Request { deployment, .. } = &command {
            refuse_strangers(ctx, Deployment::TYPE, deployment.0).await?;
        }
        let mut outcome = execute::<DiagnosticRun>(ctx, id, command_id, command.clone()).await?;
        // A repeated request counts its timeout from another moment: the first one's deadline makes it the same
        // command.
        if fixed.is_none()
            && matches!(outcome, Err(CommandError::CommandReused))
            && let Some(first) = first_deadline(ctx, id.into()).await?
        {
            outcome = execute::<DiagnosticRun>(ctx, id, command_id, with_deadline(command, first)).await?;
        }
        Ok(RequestRunPayload::of(id.into(), outcome.map_err(|error| command_error(&error))?))
    }

    /// Stops a run: its checks under way are cancelled.
    async fn cancel_run(&self, ctx: &Context<'_>, input: CancelRunInput) -> Result<CancelRunPayload> {
        let id: RunId = local(&input.run_id)?;
        let command_id = command_id(ctx, "cancelRun", input.idempotency_key.as_deref())?;
        let command = RunCommand::Cancel { reason: input.reason };
        Ok(CancelRunPayload::of(id, send::<DiagnosticRun>(ctx, id.0, command_id, command).await?))
    }
}

impl RequestRunInput {
    fn command(self, ctx: &Context<'_>, run: RunId) -> Result<RunCommand> {
        let deadline = match (self.deadline, self.timeout_seconds) {
            (Some(_), Some(_)) => return Err(coded(BAD_USER_INPUT, "say deadline or timeoutSeconds, not both")),
            (Some(deadline), None) => deadline,
            (None, seconds) => {
                let seconds = seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
                let span = TimeDelta::try_seconds(seconds);
                let deadline = span.and_then(|span| ctx.data::<Arc<dyn Clock>>().ok()?.now().checked_add_signed(span));
                deadline.ok_or_else(|| coded(BAD_USER_INPUT, "timeoutSeconds is out of bounds"))?
            }
        };
        Ok(RunCommand::Request {
            run,
            deployment: local(&self.deployment_id)?,
            profile: self.profile,
            checks: self.checks.iter().map(|code| named(code)).collect::<Result<_>>()?,
            priority: self.priority.into(),
            deadline,
        })
    }
}

async fn first_deadline(ctx: &Context<'_>, run: RunId) -> Result<Option<DateTime<Utc>>> {
    let bus = ctx.data::<Arc<CommandBus>>()?;
    let (state, _) = bus.load::<DiagnosticRun>(run.0).await.map_err(|error| command_error(&error))?;
    Ok(state.request.as_ref().map(|request| request.deadline))
}

fn with_deadline(command: RunCommand, at: DateTime<Utc>) -> RunCommand {
    match command {
        RunCommand::Request { run, deployment, profile, checks, priority, deadline: _ } => {
            RunCommand::Request { run, deployment, profile, checks, priority, deadline: at }
        }
        other => other,
    }
}
