//! `events.add-server`: has a further server run an event processor that can not keep up.

use super::COMPONENTS;
use super::servers::{self, State};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Have a further server run an event processor.
#[derive(Debug)]
pub struct AddServer;

/// Which processor, and which server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The processor, by its type, such as `AuditLog`.
    processor: String,
    /// The workgroup server.
    server: String,
    /// Processors that must run on one server only, because they keep an order: `AuditLog` and `MailNotification` where
    /// absent.
    #[serde(default = "of_one_server")]
    one_server_only: Vec<String>,
}

fn of_one_server() -> Vec<String> {
    ["AuditLog", "MailNotification"].map(str::to_owned).to_vec()
}

impl Parameters {
    /// The servers that it is to run on, from those that it ran on.
    fn servers(&self, before: &State) -> Vec<String> {
        let mut servers = before.servers.clone();
        if !servers.contains(&self.server) {
            servers.push(self.server.clone());
            servers.sort();
        }
        servers
    }
}

impl Act for AddServer {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "events.add-server",
        version: 1,
        title: "Have a further server run an event processor",
        components: COMPONENTS,
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        if parameters.one_server_only.contains(&parameters.processor) {
            let text = format!("{} keeps an order: it must run on one server only", parameters.processor);
            return Err(ActionError::precondition(text));
        }
        servers::capture(&parameters.processor, &parameters.server, target).await
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        servers::preview(&parameters.processor, parameters.servers(before), "", before)
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
    async fn a_backlog_is_shared_and_the_servers_are_put_back() {
        let site = Site::start().await;
        site.breaks("queue-backlog").await;
        let trial = site.trial("events.add-server", json!({ "processor": "ContentIndex", "server": "wgs-1" }));
        assert_eq!(trial.undoes().await, json!({ "servers": ["wgs-2"] }));
        let error = site
            .trial("events.add-server", json!({ "processor": "AuditLog", "server": "wgs-2" }))
            .capture()
            .await
            .unwrap_err();
        assert!(error.message.contains("one server only"), "{error}");
    }
}
