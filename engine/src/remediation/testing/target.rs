//! What a step finds at its target, by its own eyes.

use super::kit::Kit;
use crate::action::{self, Action, ActionTarget, Arguments, Verified};
use domain::remediation::{Argument, PlannedStep, StepState};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the step is told; `None` where it is told what others give.
pub(super) fn known_arguments(step: &PlannedStep) -> Option<Arguments> {
    let value = |argument: &Argument| match argument {
        Argument::Value(value) => Some(value.clone()),
        Argument::OutputOf { .. } => None,
    };
    step.arguments.iter().map(|(name, argument)| Some((name.clone(), value(argument)?))).collect()
}

/// Whether nothing at the target tells that the step was done: then whoever takes over does it again.
pub(super) async fn leaves_no_trace(kit: &Kit, step: &PlannedStep, state: &StepState) -> bool {
    let image = state.image.as_deref().and_then(|image| image.inline.as_ref());
    let (Some(before), Some(arguments)) = (image, known_arguments(step)) else { return false };
    let verified = action(step).verify(&arguments, &target(kit, step), before).await;
    matches!(verified, Ok(Verified::NoTrace(_)))
}

/// What it captures.
pub(super) async fn capture(kit: &Kit, step: &PlannedStep, arguments: &Arguments) -> Value {
    match action(step).capture(arguments, &target(kit, step)).await {
        Ok(state) => state,
        // What an earlier step is to bring about is not there yet: that, too, is part of the slate.
        Err(error) => Value::from(format!("{}: {error}", error.kind.as_str())),
    }
}

fn action(step: &PlannedStep) -> &'static dyn Action {
    action::list::named(step.action.as_str()).unwrap_or_else(|| panic!("no action {}", step.action))
}

fn target(kit: &Kit, step: &PlannedStep) -> ActionTarget {
    let component = kit.components.get(&step.component).cloned();
    ActionTarget {
        deployment: kit.deployment,
        component: component.unwrap_or_else(|| panic!("no component {}", step.component)),
        components: Arc::new(kit.components.clone()),
        idempotency_key: "slate".to_owned(),
        now: kit.parts.clock.now(),
        deadline: Duration::from_millis(step.deadline_ms.into()),
        cancel: CancellationToken::new(),
    }
}
