//! Uses the check's own threshold again.

use super::{DeploymentEvent, DeploymentRefusal, DeploymentState};
use crate::decider::Context;
use crate::ids::CheckCode;

pub(super) fn decide(
    state: &DeploymentState,
    check: CheckCode,
    threshold: String,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    state.require_active()?;
    if state.threshold_override(&check, &threshold).is_none() {
        return Err(DeploymentRefusal::NotOverridden { check, threshold: threshold.chars().take(80).collect() });
    }
    Ok(vec![DeploymentEvent::ThresholdRestored { check, threshold, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Deployment, DeploymentCommand, DeploymentEvent};
    use crate::testing::{CHECK, DEPLOYMENT, check, deployment, given, refuses, registered, start};

    fn restore(threshold: &str) -> DeploymentCommand {
        DeploymentCommand::RestoreThreshold { check: check(CHECK), threshold: threshold.to_owned() }
    }

    fn overridden() -> DeploymentEvent {
        DeploymentEvent::ThresholdOverridden {
            check: check(CHECK),
            threshold: "count".to_owned(),
            warning: Some("1".to_owned()),
            critical: None,
            reason: "known".to_owned(),
            at: start(),
        }
    }

    #[test]
    fn it_is_restored() {
        let restored =
            DeploymentEvent::ThresholdRestored { check: check(CHECK), threshold: "count".to_owned(), at: start() };
        let given = given::<Deployment>(DEPLOYMENT.0, [registered(), overridden()]);
        let state = given.when(restore("count")).then(&[restored]);
        assert!(state.overrides.is_empty());
    }

    #[test]
    fn refusals() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("unknown", vec![], restore("count"), "deployment_unknown"),
                ("retired", vec![registered(), overridden(), retired], restore("count"), "deployment_retired"),
                ("none", deployment(), restore("count"), "threshold_not_overridden"),
                ("another", vec![registered(), overridden()], restore("age"), "threshold_not_overridden"),
            ],
        );
    }
}
