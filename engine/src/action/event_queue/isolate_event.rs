//! `events.isolate-event`: skips the one event that a processor fails on again and again.

use super::{COMPONENTS, Connector};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, Verified, no_undo};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// Skips an event.
#[derive(Debug)]
pub struct IsolateEvent;

/// Of which processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The processor, by its type, such as `Subscriptions`.
    processor: String,
    /// Only this event, where it is known.
    #[serde(default)]
    event: Option<i64>,
}

/// The event: all that is left of it afterwards.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    #[serde(alias = "Id")]
    id: i64,
    #[serde(alias = "EventType")]
    event_type: i64,
    #[serde(alias = "ObjectType")]
    object_type: i64,
    #[serde(alias = "ObjectUri")]
    object_uri: i64,
}

impl Act for IsolateEvent {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "events.isolate-event",
        version: 1,
        title: "Skip the event that blocks an event processor",
        components: COMPONENTS,
        outputs: &[],
        undo: no_undo("a skipped event can not be brought back; its id, type and object are in the before-image"),
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let found = blocking(&Connector::of(target)?, &parameters.processor).await?;
        let nothing = || ActionError::precondition(format!("no event blocks {}", parameters.processor));
        let event = found.ok_or_else(nothing)?;
        match parameters.event {
            Some(only) if only != event.id => {
                let text = format!("event {} blocks {}, and not {only}", event.id, parameters.processor);
                Err(ActionError::precondition(text))
            }
            _ => Ok(event),
        }
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let State { id, event_type, object_type, object_uri } = before;
        let summary = format!(
            "skip event {id} (type {event_type}) about object {object_uri} (type {object_type}), which {} fails on",
            parameters.processor
        );
        vec![Change { summary, subject: format!("event {id}"), from: serde_json::to_value(before).ok(), to: None }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, documents: 1, ..BlastRadius::default() }
    }

    /// Only that very event: one that blocks it next is another decision.
    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let connector = Connector::of(target)?;
        if blocking(&connector, &parameters.processor).await?.is_some_and(|event| event == *before) {
            connector.tell(&parameters.processor, "SkipEvent", &json!({ "EventId": before.id })).await?;
        }
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        match blocking(&Connector::of(target)?, &parameters.processor).await? {
            Some(event) if event == *before => {
                Ok(Verified::NotDone(format!("event {} still blocks {}", before.id, parameters.processor)))
            }
            _ => Ok(Verified::Done),
        }
    }

    async fn undo(_: &Parameters, _: &ActionTarget, before: &State) -> Result<(), ActionError> {
        Err(ActionError::precondition(format!("event {} was skipped, and can not be brought back", before.id)))
    }
}

/// The event that a processor fails on.
async fn blocking(connector: &Connector<'_>, processor: &str) -> Result<Option<State>, ActionError> {
    let mut answer = connector.get(&["TrimEventProcessors", super::plain(processor)?, "BlockedEvent"]).await?;
    connector.read(answer.get_mut("Event").map(serde_json::Value::take).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::action::event_queue::testing::Site;
    use serde_json::json;

    #[tokio::test]
    async fn the_event_that_blocks_is_skipped_once_and_remembered() {
        let site = Site::start().await;
        let trial = site.trial("events.isolate-event", json!({ "processor": "Subscriptions" }));
        assert!(trial.capture().await.unwrap_err().message.contains("no event blocks"));
        site.breaks("poison-event").await;
        let other = site.trial("events.isolate-event", json!({ "processor": "Subscriptions", "event": 1 }));
        assert!(other.capture().await.unwrap_err().message.contains("and not 1"));
        let before = trial.repeats().await;
        assert_eq!(before, json!({ "id": 4711, "event_type": 14, "object_type": 6, "object_uri": 271_828 }));
        assert!(trial.undo(&before).await.is_err());
    }
}
