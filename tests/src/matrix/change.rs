//! What the dry run said, held against what has really changed: each step's target is read again when all is done.
//!
//! The reading is the action's own look at its target, run here and not by the platform, on the deployment as it is
//! registered; what would still be to change is the action's own preview of that.

use super::history;
use domain::any_event::{DEPLOYMENT, REMEDIATION};
use domain::deployment::{Deployment, DeploymentState};
use domain::remediation::{
    Argument, Change, PlannedStep, Remediation, RemediationState, StepPreview, StepState, Undoing,
};
use domain::{AnyEvent, ContentHash, Decider as _, DeploymentId};
use engine::action::{ActionErrorKind, ActionTarget, Arguments, list};
use event_store::EventLog;
use std::sync::Arc;
use std::time::Duration;

/// Whether all that the dry run of a remediation said has come about; the error says what has not.
pub async fn is_as_said(log: &dyn EventLog, remediation: &str, deployment: &str) -> Result<(), String> {
    let mut state = RemediationState::default();
    for event in history::read(log, REMEDIATION, remediation).await? {
        if let AnyEvent::Remediation(event) = event {
            Remediation::evolve(&mut state, &event);
        }
    }
    let mut known = DeploymentState::default();
    for event in history::read(log, DEPLOYMENT, deployment).await? {
        if let AnyEvent::Deployment(event) = event {
            Deployment::evolve(&mut known, &event);
        }
    }
    let mut compared = 0;
    for ((planned, step), said) in state.planned_steps().zip(state.previews.iter()) {
        // What depends on an earlier step could not be said before.
        if said.undetermined.is_none() {
            has_changed(planned, step, said, &state, &known)
                .await
                .map_err(|what| format!("{}: {what}", planned.name))?;
            compared += 1;
        }
    }
    if compared == 0 { Err("the dry run said nothing that could be compared".to_owned()) } else { Ok(()) }
}

async fn has_changed(
    planned: &PlannedStep,
    step: &StepState,
    said: &StepPreview,
    state: &RemediationState,
    deployment: &DeploymentState,
) -> Result<(), String> {
    let action =
        list::named(planned.action.as_str()).ok_or_else(|| format!("there is no action {}", planned.action))?;
    let arguments = arguments(planned, state)?;
    let target = target(planned, deployment)?;
    let now = match action.capture(&arguments, &target).await {
        Ok(now) => now,
        // By its own look there is nothing left for it to do.
        Err(error) if error.kind == ActionErrorKind::Precondition => return Ok(()),
        Err(error) => return Err(format!("the target can not be read again: {error}")),
    };
    let before = step.image.as_deref().map(|image| image.state.clone());
    let after = ContentHash::of(&now).map_err(|error| error.to_string())?;
    if before.as_ref() == Some(&after) {
        return Err("the target is as it was before, although it was said to change".to_owned());
    }
    let (left, _) = action.preview(&arguments, &now).map_err(|error| error.to_string())?;
    let is_state = planned.undo == Undoing::FromBeforeImage;
    for change in &said.changes {
        if let Some(still) = left.iter().find(|still| still.subject == change.subject) {
            came_about(change, still, is_state)?;
        }
    }
    Ok(())
}

/// A change that is offered again has come about where what is there now is what it was to become; or, where what it
/// makes is no state that could be named before (the moment of a look, say), is at least another.
fn came_about(said: &Change, still: &Change, is_state: bool) -> Result<(), String> {
    let is_as_said = still.from == said.to;
    let is_another = still.from != said.from;
    if is_as_said || (!is_state && is_another) {
        return Ok(());
    }
    let shown = |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    Err(format!("{}: it is {}, and was said to become {}", said.subject, shown(&still.from), shown(&said.to)))
}

fn arguments(planned: &PlannedStep, state: &RemediationState) -> Result<Arguments, String> {
    let value = |argument: &Argument| match argument {
        Argument::Value(value) => Ok(value.clone()),
        Argument::OutputOf { step, output } => {
            let given = state.steps.get(step).and_then(|step| step.outputs.get(output)).cloned();
            given.ok_or_else(|| format!("step {step} did not give {output}"))
        }
    };
    planned.arguments.iter().map(|(name, argument)| Ok((name.clone(), value(argument)?))).collect()
}

fn target(planned: &PlannedStep, deployment: &DeploymentState) -> Result<ActionTarget, String> {
    let component = deployment.components.get(&planned.component).cloned();
    Ok(ActionTarget {
        deployment: deployment.id.unwrap_or(DeploymentId(uuid::Uuid::nil())),
        component: component.ok_or_else(|| format!("there is no component {}", planned.component))?,
        components: Arc::clone(&deployment.components),
        idempotency_key: "matrix".to_owned(),
        now: chrono::Utc::now(),
        deadline: Duration::from_secs(60),
        cancel: tokio_util::sync::CancellationToken::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(from: &str, to: &str) -> Change {
        Change { summary: String::new(), subject: "x".to_owned(), from: Some(json!(from)), to: Some(json!(to)) }
    }

    #[test]
    fn what_was_said_is_held_against_what_is() {
        let said = change("red", "green");
        assert!(came_about(&said, &change("green", "green"), true).is_ok());
        assert!(came_about(&said, &change("red", "green"), false).is_err(), "nothing has changed");
        assert!(came_about(&said, &change("blue", "green"), true).is_err(), "something else has come about");
        assert!(came_about(&change("monday", "now"), &change("tuesday", "now"), false).is_ok());
    }
}
