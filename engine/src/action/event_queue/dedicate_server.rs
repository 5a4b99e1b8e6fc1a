//! `events.dedicate-server`: has one server alone run an event processor that keeps an order.

use super::COMPONENTS;
use super::servers::{self, State};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Have one server alone run an event processor.
#[derive(Debug)]
pub struct DedicateServer;

/// Which processor, and which server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The processor, by its type, such as `AuditLog`.
    processor: String,
    /// The workgroup server.
    server: String,
}

impl Parameters {
    /// The servers that it is to run on, from those that it ran on.
    fn servers(&self, before: &State) -> Vec<String> {
        // A processor of no server at all can not be told apart from one that was never set up: see `servers::capture`.
        if before.servers.is_empty() { Vec::new() } else { vec![self.server.clone()] }
    }
}

impl Act for DedicateServer {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "events.dedicate-server",
        version: 1,
        title: "Have one server alone run an event processor",
        components: COMPONENTS,
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        servers::capture(&parameters.processor, &parameters.server, target).await
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        servers::preview(&parameters.processor, parameters.servers(before), " alone", before)
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        servers::apply(&parameters.processor, &parameters.servers(before), target).await
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        servers::verify(&parameters.processor, &parameters.servers(before), target).await
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        servers::undo(&parameters.processor, target, before).await
    }
}

#[cfg(test)]
mod tests {
    use crate::action::event_queue::testing::Site;
    use serde_json::json;

    #[tokio::test]
    async fn of_two_servers_one_is_left_and_both_are_put_back() {
        let site = Site::start().await;
        site.breaks("audit-on-two-servers").await;
        let trial = site.trial("events.dedicate-server", json!({ "processor": "AuditLog", "server": "wgs-1" }));
        assert_eq!(trial.undoes().await, json!({ "servers": ["wgs-1", "wgs-2"] }));
    }
}
