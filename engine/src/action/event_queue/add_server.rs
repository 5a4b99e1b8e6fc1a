//! `events.add-server`: has a further server run an event processor that can not keep up.

use super::{COMPONENTS, Connector, SERVERS_MAX, plain};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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

/// The servers that it runs on, in the order of their names.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    servers: Vec<String>,
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
        plain(&parameters.server)?;
        if parameters.one_server_only.contains(&parameters.processor) {
            let text = format!("{} keeps an order: it must run on one server only", parameters.processor);
            return Err(ActionError::precondition(text));
        }
        let servers = Connector::of(target)?.processor(&parameters.processor).await?.servers;
        if servers.is_empty() || servers.len() > SERVERS_MAX {
            let text = format!("{} runs on {} servers: that can not be put back", parameters.processor, servers.len());
            return Err(ActionError::precondition(text));
        }
        Ok(State { servers })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let servers = parameters.servers(before);
        if servers == before.servers {
            return Vec::new();
        }
        vec![Change {
            summary: format!(
                "run {} on {} in place of {}",
                parameters.processor,
                servers.join(", "),
                before.servers.join(", ")
            ),
            subject: parameters.processor.clone(),
            from: Some(before.servers.clone().into()),
            to: Some(servers.into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        Connector::of(target)?.run_on(&parameters.processor, &parameters.servers(before)).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let is = Connector::of(target)?.processor(&parameters.processor).await?.servers;
        if is == parameters.servers(before) {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{} runs on {}", parameters.processor, is.join(", "))))
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        Connector::of(target)?.run_on(&parameters.processor, &before.servers).await
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
