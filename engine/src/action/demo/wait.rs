//! `demo.wait`: waits in a process of its own, by a program that it starts, so that deadlines and stops can be tried.

use super::folder;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::process::Stdio;
use std::time::Duration;

/// Waits.
#[derive(Debug)]
pub struct Wait;

/// What it is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// For how long.
    #[schemars(range(max = 3600))]
    seconds: u32,
}

/// There is no state.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {}

impl Act for Wait {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "demo.wait",
        version: 1,
        title: "Wait",
        components: &[ComponentKind::Host],
        outputs: &[],
        undo: UndoSpec::Nothing("it only waits"),
        always_approve: false,
        isolation: Isolation::Process,
        deadline: Duration::from_secs(10),
    };

    async fn capture(_parameters: &Parameters, _target: &ActionTarget) -> Result<State, ActionError> {
        Ok(State {})
    }

    fn preview(parameters: &Parameters, _before: &State) -> Vec<Change> {
        let summary = format!("wait for {} s", parameters.seconds);
        vec![Change { summary, subject: "time".to_owned(), from: None, to: None }]
    }

    fn blast(_parameters: &Parameters, _before: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _before: &State) -> Result<Outputs, ActionError> {
        let internal = |error: std::io::Error| ActionError::internal(format!("sleep: {error}"));
        let mut program = tokio::process::Command::new("sleep");
        program.arg(parameters.seconds.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = program.spawn().map_err(internal)?;
        let pid = child.id().unwrap_or_default();
        std::fs::write(folder(target)?.join("waiting.pid"), pid.to_string()).map_err(internal)?;
        let status = child.wait().await.map_err(internal)?;
        if status.success() { Ok(Outputs::new()) } else { Err(ActionError::target(format!("sleep ended: {status}"))) }
    }

    async fn verify(
        _parameters: &Parameters,
        _target: &ActionTarget,
        _before: &State,
    ) -> Result<Verified, ActionError> {
        Ok(Verified::NoTrace("it only waits, and may wait again".to_owned()))
    }

    async fn undo(_parameters: &Parameters, _target: &ActionTarget, _before: &State) -> Result<(), ActionError> {
        Ok(())
    }
}
