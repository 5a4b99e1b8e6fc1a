//! `events.suspend-processor`: has an event processor stop taking events, which then wait.

use super::COMPONENTS;
use super::status::{self, Parameters, State};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use std::time::Duration;

/// The status that it gives.
const STATUS: &str = "Suspended";

/// Have an event processor stop taking events.
#[derive(Debug)]
pub struct SuspendProcessor;

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
        status::capture(parameters, target).await
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        status::preview("suspend", STATUS, parameters, before)
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        status::apply(STATUS, parameters, target).await
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        status::verify(STATUS, parameters, target).await
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        status::undo(parameters, target, before).await
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
