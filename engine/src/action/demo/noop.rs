//! `demo.noop`: does nothing, and costs nothing.

use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Does nothing, and gives back what it was told.
#[derive(Debug)]
pub struct Noop;

/// What it is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// What it gives back as its output `said`.
    #[serde(default)]
    say: String,
}

/// There is no state.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {}

impl Act for Noop {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "demo.noop",
        version: 1,
        title: "Do nothing",
        components: &[ComponentKind::Host],
        outputs: &[OutputSpec { name: "said", kind: OutputKind::Text }],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(5),
    };

    async fn capture(_parameters: &Parameters, _target: &ActionTarget) -> Result<State, ActionError> {
        Ok(State {})
    }

    fn preview(_parameters: &Parameters, _before: &State) -> Vec<Change> {
        Vec::new()
    }

    fn blast(_parameters: &Parameters, _before: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, _target: &ActionTarget, _before: &State) -> Result<Outputs, ActionError> {
        Ok(Outputs::from([("said".to_owned(), parameters.say.clone().into())]))
    }

    async fn verify(
        _parameters: &Parameters,
        _target: &ActionTarget,
        _before: &State,
    ) -> Result<Verified, ActionError> {
        Ok(Verified::NoTrace("it does nothing".to_owned()))
    }

    async fn undo(_parameters: &Parameters, _target: &ActionTarget, _before: &State) -> Result<(), ActionError> {
        Ok(())
    }
}
