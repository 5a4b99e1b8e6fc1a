//! `events.stop-document-queue`: ends the automatic processing of a document queue.

use super::{COMPONENTS, Connector};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// Stops a document queue.
#[derive(Debug)]
pub struct StopDocumentQueue;

/// Which one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The queue, by its number (uri).
    queue: i64,
}

/// Whether it takes documents in by itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    automatic: bool,
}

impl Act for StopDocumentQueue {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "events.stop-document-queue",
        version: 1,
        title: "End the automatic processing of a document queue",
        components: COMPONENTS,
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        Ok(State { automatic: is_automatic(parameters, target).await? })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        if !before.automatic {
            return Vec::new();
        }
        vec![Change {
            summary: format!("queue {} takes no documents in by itself any more", parameters.queue),
            subject: format!("queue {}", parameters.queue),
            from: Some(true.into()),
            to: Some(false.into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        set(parameters, target, false).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        if is_automatic(parameters, target).await? {
            return Ok(Verified::NotDone(format!("queue {} still processes by itself", parameters.queue)));
        }
        Ok(Verified::Done)
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        set(parameters, target, before.automatic).await
    }
}

async fn is_automatic(parameters: &Parameters, target: &ActionTarget) -> Result<bool, ActionError> {
    let connector = Connector::of(target)?;
    let answer = connector.get(&["TrimDocumentQueues", &parameters.queue.to_string()]).await?;
    let automatic = answer.get("AutomaticProcessing").and_then(serde_json::Value::as_bool);
    automatic.ok_or_else(|| connector.api.odd("it does not say whether the queue processes by itself"))
}

async fn set(parameters: &Parameters, target: &ActionTarget, automatic: bool) -> Result<(), ActionError> {
    if is_automatic(parameters, target).await? == automatic {
        return Ok(());
    }
    let verb = if automatic { "Start" } else { "Stop" };
    let connector = Connector::of(target)?;
    connector.post(&["TrimDocumentQueues", &parameters.queue.to_string(), verb], &json!({})).await.map(drop)
}

#[cfg(test)]
mod tests {
    use crate::action::event_queue::testing::Site;
    use serde_json::json;

    #[tokio::test]
    async fn a_queue_is_stopped_and_started_again() {
        let site = Site::start().await;
        let before = site.trial("events.stop-document-queue", json!({ "queue": 9 })).undoes().await;
        assert_eq!(before, json!({ "automatic": true }));
        assert!(site.trial("events.stop-document-queue", json!({ "queue": 77 })).capture().await.is_err());
    }
}
