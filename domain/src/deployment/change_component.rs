//! Replaces a component's settings, secrets and labels. Nothing to do where nothing differs.

use super::component_rules::check_component;
use super::{Component, DeploymentEvent, DeploymentRefusal, DeploymentState};
use crate::decider::Context;

pub(super) fn decide(
    state: &DeploymentState,
    component: Component,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    state.require_active()?;
    check_component(&component)?;
    let Some(current) = state.components.get(&component.name) else {
        return Err(DeploymentRefusal::ComponentUnknown(component.name));
    };
    // Findings and results hang on the name: under it, the thing stays the same kind of thing.
    if current.kind != component.kind {
        return Err(DeploymentRefusal::ComponentKindChanged(component.name));
    }
    if *current == component {
        return Ok(Vec::new());
    }
    Ok(vec![DeploymentEvent::ComponentChanged { component, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Component, ComponentKind, Deployment, DeploymentCommand, DeploymentEvent};
    use crate::testing::{DEPLOYMENT, component, component_named, deployment, given, refuses, registered, start};

    fn change(component: Component) -> DeploymentCommand {
        DeploymentCommand::ChangeComponent { component }
    }

    #[test]
    fn it_is_changed() {
        let mut moved = component();
        moved.settings.insert("path".to_owned(), "/srv/other".to_owned());
        let changed = DeploymentEvent::ComponentChanged { component: moved.clone(), at: start() };
        let state = given::<Deployment>(DEPLOYMENT.0, deployment()).when(change(moved.clone())).then(&[changed]);
        assert_eq!(state.components.get(&moved.name), Some(&moved));
        given::<Deployment>(DEPLOYMENT.0, deployment()).when(change(component())).then_nothing();
    }

    #[test]
    fn refusals() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        let other_kind = Component { kind: ComponentKind::Host, ..component() };
        let mut secret = component();
        secret.settings.insert("url".to_owned(), "redis://:pw@cache".to_owned());
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("unknown", vec![], change(component()), "deployment_unknown"),
                ("retired", vec![registered(), retired], change(component()), "deployment_retired"),
                ("no such part", deployment(), change(component_named("other")), "component_unknown"),
                ("other kind", deployment(), change(other_kind), "component_kind_changed"),
                ("a password", deployment(), change(secret), "setting_holds_password"),
            ],
        );
    }
}
