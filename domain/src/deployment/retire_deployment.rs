//! Ends the care; the history stays.

use super::{DeploymentEvent, DeploymentRefusal, DeploymentState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &DeploymentState,
    reason: String,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    state.require_active()?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    Ok(vec![DeploymentEvent::DeploymentRetired { reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Deployment, DeploymentCommand, DeploymentEvent};
    use crate::testing::{DEPLOYMENT, deployment, given, refuses, registered, start};

    fn retire(reason: &str) -> DeploymentCommand {
        DeploymentCommand::Retire { reason: reason.to_owned() }
    }

    #[test]
    fn it_is_retired() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        let state = given::<Deployment>(DEPLOYMENT.0, deployment()).when(retire("moved")).then(&[retired]);
        assert!(!state.is_active());
    }

    #[test]
    fn refusals() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("unknown", vec![], retire("moved"), "deployment_unknown"),
                ("retired", vec![registered(), retired], retire("again"), "deployment_retired"),
                ("no reason", deployment(), retire(""), "text_empty"),
                ("a novel", deployment(), retire(&"x".repeat(1_001)), "text_too_long"),
            ],
        );
    }
}
