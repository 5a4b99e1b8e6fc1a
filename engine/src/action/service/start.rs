//! `service.start`: starts a service that is down.

use super::{Service, ServiceState};
use crate::action::http::Looks;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How often to look whether it is up, at last.
const LOOKS: Looks = Looks::until(Duration::from_millis(200));

/// Starts a service.
#[derive(Debug)]
pub struct Start;

/// Which one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// A further service of the component, by the end of its setting `service_command_<service>`; the component's own
    /// (`service_command`) where absent.
    #[serde(default)]
    service: Option<String>,
}

/// How the service is. Since when, moves by itself where it crashes again and again.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    service: String,
    state: ServiceState,
}

impl Act for Start {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "service.start",
        version: 1,
        title: "Start a service that is down",
        components: super::restart::Restart::SPEC.components,
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(2),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let service = Service::of(target, parameters.service.as_deref())?;
        let state = service.status().await?.state;
        Ok(State { service: service.label, state })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        if before.state == ServiceState::Running {
            return Vec::new();
        }
        vec![Change {
            summary: format!("start {}, which is {}", before.service, before.state.as_str()),
            subject: before.service.clone(),
            from: Some(before.state.as_str().into()),
            to: Some("running".into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        let until = Instant::now() + target.deadline;
        let mut looks = LOOKS;
        let service = Service::of(target, parameters.service.as_deref())?;
        if service.status().await?.state == ServiceState::Stopped {
            service.tell("start").await?;
        }
        while service.status().await?.state != ServiceState::Running {
            if Instant::now() > until {
                return Err(ActionError::timed_out(target.deadline));
            }
            looks.pause(target).await?;
        }
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        match Service::of(target, parameters.service.as_deref())?.status().await?.state {
            ServiceState::Running => Ok(Verified::Done),
            other => Ok(Verified::NotDone(format!("{} is {}", before.service, other.as_str()))),
        }
    }

    /// Only what was down is stopped again.
    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let service = Service::of(target, parameters.service.as_deref())?;
        if before.state == ServiceState::Stopped && service.status().await?.state != ServiceState::Stopped {
            service.tell("stop").await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::action::Verified;
    use crate::action::service::testing::Script;
    use serde_json::json;

    #[tokio::test]
    async fn what_is_down_is_started_and_stopped_again() {
        let script = Script::new("stopped");
        let before = script.trial("service.start", json!({})).undoes().await;
        assert_eq!(before["state"], "stopped");
        assert_eq!(script.told("start"), 1);
        let script = Script::new("stopped");
        let before = script.trial("service.start", json!({ "service": "render" })).undoes().await;
        assert_eq!(before["service"], "render");
    }

    #[tokio::test]
    async fn what_runs_is_left_alone_by_both() {
        let script = Script::new("running");
        let trial = script.trial("service.start", json!({}));
        let before = trial.capture().await.unwrap();
        assert!(trial.preview(&before).is_empty());
        assert_eq!(trial.verify(&before).await.unwrap(), Verified::Done);
        trial.apply(&before).await.unwrap();
        trial.undo(&before).await.unwrap();
        assert_eq!((script.told("start"), script.told("stop")), (0, 0));
    }
}
