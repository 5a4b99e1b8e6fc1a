//! Giving an event processor another status: what resuming and suspending have in common.

use super::Connector;
use crate::action::{ActionError, ActionTarget, Verified};
use domain::remediation::{Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The processor, by its type, such as `ContentIndex`.
    processor: String,
}

/// Its status. How much waits, moves by itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    status: String,
}

pub(super) async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
    Ok(State { status: Connector::of(target)?.processor(&parameters.processor).await?.status })
}

/// What giving it this status would change; `verb` says it in words.
pub(super) fn preview(verb: &str, status: &str, parameters: &Parameters, before: &State) -> Vec<Change> {
    if before.status == status {
        return Vec::new();
    }
    vec![Change {
        summary: format!("{verb} {}, which is {}", parameters.processor, before.status),
        subject: parameters.processor.clone(),
        from: Some(before.status.clone().into()),
        to: Some(status.into()),
    }]
}

pub(super) async fn apply(
    status: &str,
    parameters: &Parameters,
    target: &ActionTarget,
) -> Result<Outputs, ActionError> {
    Connector::of(target)?.set_status(&parameters.processor, status).await?;
    Ok(Outputs::new())
}

pub(super) async fn verify(
    status: &str,
    parameters: &Parameters,
    target: &ActionTarget,
) -> Result<Verified, ActionError> {
    let is = Connector::of(target)?.processor(&parameters.processor).await?.status;
    if is == status {
        return Ok(Verified::Done);
    }
    Ok(Verified::NotDone(format!("{} is {is}", parameters.processor)))
}

pub(super) async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
    Connector::of(target)?.set_status(&parameters.processor, &before.status).await
}
