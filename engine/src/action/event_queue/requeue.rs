//! `events.requeue`: has a processor take up again what it failed to do for a reason that has passed.

use super::{COMPONENTS, Connector};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// Queues what failed again.
#[derive(Debug)]
pub struct Requeue;

/// What.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The processor, by its type, such as `ContentIndex`.
    processor: String,
    /// What the documents failed with.
    status: Passing,
}

/// A status that passes by itself: all others give the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Passing {
    /// The target was not reachable.
    NetworkError,
}

impl Passing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NetworkError => "NetworkError",
        }
    }
}

/// How many documents failed with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    documents: u64,
}

impl Act for Requeue {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "events.requeue",
        version: 1,
        title: "Have an event processor take up again what failed",
        components: COMPONENTS,
        outputs: &[OutputSpec { name: "documents", kind: OutputKind::Integer }],
        undo: UndoSpec::Nothing(
            "what is processed again takes the place of what failed: there is nothing to go back to",
        ),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(2),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        Ok(State { documents: count(parameters, target).await? })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        if before.documents == 0 {
            return Vec::new();
        }
        let (documents, status) = (before.documents, parameters.status.as_str());
        vec![Change {
            summary: format!("queue {documents} documents with {status} again, for {}", parameters.processor),
            subject: parameters.processor.clone(),
            from: Some(documents.into()),
            to: Some(0.into()),
        }]
    }

    fn blast(_: &Parameters, before: &State) -> BlastRadius {
        BlastRadius { deployments: 1, documents: before.documents, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        let connector = Connector::of(target)?;
        let ask = json!({ "Status": parameters.status.as_str() });
        let answer = connector.tell(&parameters.processor, "Requeue", &ask).await?;
        let documents = answer.get("Requeued").and_then(serde_json::Value::as_u64);
        let documents = documents.ok_or_else(|| connector.api.odd("it does not say how many it queued"))?;
        Ok(Outputs::from([("documents".to_owned(), documents.into())]))
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let now = count(parameters, target).await?;
        if now == 0 || now < before.documents {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{now} documents have {}", parameters.status.as_str())))
    }

    async fn undo(_: &Parameters, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}

async fn count(parameters: &Parameters, target: &ActionTarget) -> Result<u64, ActionError> {
    let connector = Connector::of(target)?;
    let answer = connector.get(&["TrimEventProcessors", super::plain(&parameters.processor)?, "Failures"]).await?;
    let counts = answer.get("DocumentsByStatus").and_then(serde_json::Value::as_object);
    let counts = counts.ok_or_else(|| connector.api.odd("it gives no DocumentsByStatus"))?;
    Ok(counts.get(parameters.status.as_str()).and_then(serde_json::Value::as_u64).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use crate::action::event_queue::testing::Site;
    use serde_json::json;

    #[tokio::test]
    async fn what_failed_for_a_passing_reason_is_taken_up_again_and_nothing_else() {
        let site = Site::start().await;
        site.breaks("not-indexed-network").await;
        let told = json!({ "processor": "ContentIndex", "status": "NetworkError" });
        let before = site.trial("events.requeue", told).repeats().await;
        assert!(before["documents"].as_u64().unwrap() >= 25, "{before}");
        let other = site.trial("events.requeue", json!({ "processor": "ContentIndex", "status": "TooBig" }));
        assert!(other.capture().await.is_err());
    }
}
