//! Adds a component.

use super::component_rules::{COMPONENTS_MAX, check_component};
use super::{Component, DeploymentEvent, DeploymentRefusal, DeploymentState};
use crate::decider::Context;

pub(super) fn decide(
    state: &DeploymentState,
    component: Component,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    state.require_active()?;
    check_component(&component)?;
    if state.components.contains_key(&component.name) {
        return Err(DeploymentRefusal::ComponentExists(component.name));
    }
    if state.components.len() >= COMPONENTS_MAX {
        return Err(DeploymentRefusal::TooManyComponents { max: COMPONENTS_MAX });
    }
    Ok(vec![DeploymentEvent::ComponentAttached { component, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Deployment, DeploymentCommand, DeploymentEvent};
    use crate::testing::{DEPLOYMENT, component, component_named, deployment, given, refuses, registered, start};

    fn attach(name: &str) -> DeploymentCommand {
        DeploymentCommand::AttachComponent { component: component_named(name) }
    }

    #[test]
    fn it_is_attached() {
        let attached = DeploymentEvent::ComponentAttached { component: component_named("store-2"), at: start() };
        let state = given::<Deployment>(DEPLOYMENT.0, deployment()).when(attach("store-2")).then(&[attached]);
        assert_eq!(state.components.len(), 2);
    }

    #[test]
    fn refusals() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        let full = (1..500).map(|number| DeploymentEvent::ComponentAttached {
            component: component_named(&format!("c{number}")),
            at: start(),
        });
        let mut secret = component_named("store-2");
        secret.settings.insert("password".to_owned(), "x".to_owned());
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("unknown", vec![], attach("store-2"), "deployment_unknown"),
                ("retired", vec![registered(), retired], attach("store-2"), "deployment_retired"),
                ("same name", deployment(), attach(component().name.as_str()), "component_exists"),
                ("full", deployment().into_iter().chain(full).collect(), attach("store-2"), "too_many_components"),
                (
                    "a secret",
                    deployment(),
                    DeploymentCommand::AttachComponent { component: secret },
                    "setting_looks_secret",
                ),
            ],
        );
    }
}
