//! Takes a component out of care.

use super::{DeploymentEvent, DeploymentRefusal, DeploymentState};
use crate::decider::Context;
use crate::ids::ComponentName;

pub(super) fn decide(
    state: &DeploymentState,
    name: ComponentName,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    state.require_active()?;
    if !state.components.contains_key(&name) {
        return Err(DeploymentRefusal::ComponentUnknown(name));
    }
    Ok(vec![DeploymentEvent::ComponentDetached { name, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Deployment, DeploymentCommand, DeploymentEvent};
    use crate::testing::{DEPLOYMENT, component, component_named, deployment, given, refuses, registered, start};

    fn detach(name: &str) -> DeploymentCommand {
        DeploymentCommand::DetachComponent { name: component_named(name).name }
    }

    #[test]
    fn it_is_detached() {
        let detached = DeploymentEvent::ComponentDetached { name: component().name, at: start() };
        let state = given::<Deployment>(DEPLOYMENT.0, deployment()).when(detach("store-1")).then(&[detached]);
        assert!(state.components.is_empty());
    }

    #[test]
    fn refusals() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("unknown", vec![], detach("store-1"), "deployment_unknown"),
                ("retired", vec![registered(), retired], detach("store-1"), "deployment_retired"),
                ("no such part", deployment(), detach("other"), "component_unknown"),
            ],
        );
    }
}
