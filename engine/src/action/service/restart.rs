//! `service.restart`: drains a service and starts it anew, once.

use super::{Service, ServiceState, Status};
use crate::action::http::Looks;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use chrono::{DateTime, TimeDelta, Utc};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How often to look whether it is up again, at last.
const LOOKS: Looks = Looks::until(Duration::from_millis(200));
/// A service that was started less than this long ago is not restarted, where the component says nothing else.
const GUARD_S: i64 = 300;
/// How long a drain may take: a service that hangs may never be done.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Restarts a service.
#[derive(Debug)]
pub struct Restart;

/// Which one, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// A further service of the component, by the end of its setting `service_command_<service>`; the component's own
    /// (`service_command`) where absent.
    #[serde(default)]
    service: Option<String>,
    /// Whether to let it finish what it has first; yes where absent.
    #[serde(default = "yes")]
    drain: bool,
}

const fn yes() -> bool {
    true
}

/// How the service is, and since when: another start in between is another state.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    service: String,
    #[serde(rename = "state")]
    was: ServiceState,
    since: DateTime<Utc>,
}

impl Act for Restart {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "service.restart",
        version: 1,
        title: "Drain a service and start it anew",
        components: &[
            ComponentKind::WorkgroupServer,
            ComponentKind::WebTier,
            ComponentKind::EventProcessor,
            ComponentKind::ContentIndex,
            ComponentKind::Cache,
            ComponentKind::Host,
        ],
        outputs: &[],
        undo: UndoSpec::Nothing("a service that runs anew has no earlier state to go back to"),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(3),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let service = Service::of(target, parameters.service.as_deref())?;
        let Status { state, since } = service.status().await?;
        let label = service.label;
        if state == ServiceState::Stopped {
            return Err(ActionError::precondition(format!("{label} is stopped: it can be started, not restarted")));
        }
        let since = since.ok_or_else(|| {
            let text = format!("the command of {label} does not say since when it runs: a restart could not be proven");
            ActionError::configuration(text)
        })?;
        let guard = guard(target)?;
        let age = target.now - since;
        if age < guard {
            return Err(ActionError::precondition(format!(
                "{label} was started {} s ago: another restart within {} s does not help; look for the cause",
                age.num_seconds().max(0),
                guard.num_seconds()
            )));
        }
        Ok(State { service: label, was: state, since })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let how = if parameters.drain { "drain and restart" } else { "restart" };
        vec![Change {
            summary: format!("{how} {}, which is {} since {}", before.service, before.was.as_str(), before.since),
            subject: before.service.clone(),
            from: Some(before.was.as_str().into()),
            to: Some("running".into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let until = Instant::now() + target.deadline;
        let mut looks = LOOKS;
        let service = Service::of(target, parameters.service.as_deref())?;
        if !is_fresh(&service.status().await?, before) {
            if parameters.drain {
                drain(parameters, target).await?;
            }
            service.tell("restart").await?;
        }
        while !is_fresh(&service.status().await?, before) {
            if Instant::now() > until {
                return Err(ActionError::timed_out(target.deadline));
            }
            looks.pause(target).await?;
        }
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let status = Service::of(target, parameters.service.as_deref())?.status().await?;
        if is_fresh(&status, before) {
            return Ok(Verified::Done);
        }
        let since = status.since.map_or_else(|| "an unknown time".to_owned(), |since| since.to_string());
        Ok(Verified::NotDone(format!("{} is {} since {since}", before.service, status.state.as_str())))
    }

    async fn undo(_: &Parameters, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}

/// It runs, and was started after what was captured.
fn is_fresh(status: &Status, before: &State) -> bool {
    status.state == ServiceState::Running && status.since.is_some_and(|since| since > before.since)
}

/// A service that hangs can not finish what it has: a drain that fails, or takes too long, keeps nobody from
/// restarting.
async fn drain(parameters: &Parameters, target: &ActionTarget) -> Result<(), ActionError> {
    let bounded = ActionTarget { deadline: DRAIN_MAX.min(target.deadline / 3), ..target.clone() };
    match Service::of(&bounded, parameters.service.as_deref())?.tell("drain").await {
        Err(error) if target.cancel.is_cancelled() => Err(error),
        Err(error) => {
            tracing::info!(component = %target.component.name, %error, "a service did not drain, and is restarted");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// How old the last start must be.
fn guard(target: &ActionTarget) -> Result<TimeDelta, ActionError> {
    let seconds = match target.optional("service_guard_s") {
        None => GUARD_S,
        Some(text) => text.parse().ok().filter(|seconds| (0..=86_400).contains(seconds)).ok_or_else(|| {
            ActionError::configuration(format!("setting \"service_guard_s\" is {text:?}, and no number of seconds"))
        })?,
    };
    Ok(TimeDelta::seconds(seconds))
}

#[cfg(test)]
mod tests {
    use crate::action::service::testing::Script;
    use crate::action::{ActionErrorKind, ActionTarget};
    use serde_json::json;
    use std::time::{Duration, Instant};
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn it_is_restarted_once_whoever_repeats_it() {
        let script = Script::new("running");
        let trial = script.trial("service.restart", json!({}));
        let before = trial.repeats().await;
        assert_eq!(before["state"], "running");
        assert_eq!(script.told("restart"), 1, "the second time finds it done");
        assert_eq!(script.told("drain"), 1);
    }

    #[tokio::test]
    async fn a_service_that_does_not_drain_is_restarted_all_the_same() {
        let script = Script::new("running");
        script.fails("drain");
        script.trial("service.restart", json!({})).repeats().await;
        let script = Script::new("running");
        script.trial("service.restart", json!({ "drain": false })).repeats().await;
        assert_eq!(script.told("drain"), 0);
    }

    #[tokio::test]
    async fn what_was_started_just_now_or_is_stopped_is_left_alone() {
        let script = Script::new("running");
        script.guard("300");
        let mut trial = script.trial("service.restart", json!({}));
        trial.target.now = "2026-01-01T00:04:00Z".parse().unwrap();
        let error = trial.capture().await.unwrap_err();
        assert_eq!(error.kind, ActionErrorKind::Precondition);
        assert!(error.message.contains("look for the cause"), "{error}");
        let script = Script::new("stopped");
        assert!(script.trial("service.restart", json!({})).capture().await.unwrap_err().message.contains("is stopped"));
        let script = Script::new("nonsense");
        let error = script.trial("service.restart", json!({})).capture().await.unwrap_err();
        assert_eq!(error.kind, ActionErrorKind::Target, "{error}");
        for service in ["", "a b", "../x", "other"] {
            let error = script.trial("service.restart", json!({ "service": service })).capture().await.unwrap_err();
            assert_eq!(error.kind, ActionErrorKind::Configuration, "{service}: {error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
        let script = Script::new("running");
        script.hangs("restart");
        let mut trial = script.trial("service.restart", json!({ "drain": false }));
        let before = trial.capture().await.unwrap();
        let cancel = CancellationToken::new();
        trial.target = ActionTarget { cancel: cancel.clone(), ..trial.target };
        let begin = Instant::now();
        let stop = async {
            script.until_told("restart").await;
            cancel.cancel();
        };
        let (error, ()) = tokio::join!(trial.apply(&before), stop);
        assert_eq!(error.unwrap_err().kind, ActionErrorKind::Cancelled);
        assert!(begin.elapsed() < Duration::from_secs(30));
        script.until_child_is_gone().await;
    }
}
