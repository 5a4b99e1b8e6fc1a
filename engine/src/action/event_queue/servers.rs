//! Having an event processor run on other servers: what adding one and dedicating one have in common.

use super::{Connector, SERVERS_MAX, plain};
use crate::action::{ActionError, ActionTarget, Verified};
use domain::remediation::{Change, Outputs};
use serde::{Deserialize, Serialize};

/// The servers that it runs on, in the order of their names.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    pub(super) servers: Vec<String>,
}

/// Reads them, where they can be put back; `server` is the one that it is to run on.
pub(super) async fn capture(processor: &str, server: &str, target: &ActionTarget) -> Result<State, ActionError> {
    plain(server)?;
    let servers = Connector::of(target)?.processor(processor).await?.servers;
    if servers.is_empty() || servers.len() > SERVERS_MAX {
        let text = format!("{processor} runs on {} servers: that can not be put back", servers.len());
        return Err(ActionError::precondition(text));
    }
    Ok(State { servers })
}

/// What running on `servers` would change; `how` stands behind their names.
pub(super) fn preview(processor: &str, servers: Vec<String>, how: &str, before: &State) -> Vec<Change> {
    if servers == before.servers {
        return Vec::new();
    }
    vec![Change {
        summary: format!("run {processor} on {}{how} in place of {}", servers.join(", "), before.servers.join(", ")),
        subject: processor.to_owned(),
        from: Some(before.servers.clone().into()),
        to: Some(servers.into()),
    }]
}

pub(super) async fn apply(processor: &str, servers: &[String], target: &ActionTarget) -> Result<Outputs, ActionError> {
    Connector::of(target)?.run_on(processor, servers).await?;
    Ok(Outputs::new())
}

pub(super) async fn verify(
    processor: &str,
    servers: &[String],
    target: &ActionTarget,
) -> Result<Verified, ActionError> {
    let is = Connector::of(target)?.processor(processor).await?.servers;
    if is == servers {
        return Ok(Verified::Done);
    }
    Ok(Verified::NotDone(format!("{processor} runs on {}", is.join(", "))))
}

pub(super) async fn undo(processor: &str, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
    Connector::of(target)?.run_on(processor, &before.servers).await
}
