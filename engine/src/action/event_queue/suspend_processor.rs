//! `events.suspend-processor`: has an event processor stop taking events, which then wait.

use super::{COMPONENTS, Connector};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The status that it gives.
const STATUS: &str = "Suspended";

/// Have an event processor stop taking events.
#[derive(Debug)]
pub struct SuspendProcessor;

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

impl Act for SuspendProcessor {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "events.suspend-processor",
        version: 1,
        title: "Have an event processor stop taking events",
        components: COMPONENTS,
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        Ok(State { status: Connector::of(target)?.processor(&parameters.processor).await?.status })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        if before.status == STATUS {
            return Vec::new();
        }
        vec![Change {
            summary: format!("suspend {}, which is {}", parameters.processor, before.status),
            subject: parameters.processor.clone(),
            from: Some(before.status.clone().into()),
            to: Some(STATUS.into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        Connector::of(target)?.set_status(&parameters.processor, STATUS).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let is = Connector::of(target)?.processor(&parameters.processor).await?.status;
        if is == STATUS {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{} is {is}", parameters.processor)))
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        Connector::of(target)?.set_status(&parameters.processor, &before.status).await
    }
}

#[cfg(test)]
mod tests {
    use crate::action::event_queue::testing::Site;
    use serde_json::json;

    #[tokio::test]
    async fn what_works_is_suspended_and_put_back() {
        let site = Site::start().await;
        let trial = site.trial("events.suspend-processor", json!({ "processor": "ContentIndex" }));
        assert_eq!(trial.undoes().await, json!({ "status": "Processing" }));
    }
}
