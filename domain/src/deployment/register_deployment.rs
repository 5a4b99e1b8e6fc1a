//! Takes a deployment under care.

use super::component_rules::{COMPONENTS_MAX, check_component, check_entries};
use super::{Component, DeploymentEvent, DeploymentRefusal, DeploymentState};
use crate::decider::Context;
use crate::ids::DeploymentId;
use crate::text::required;
use std::collections::{BTreeMap, HashSet};

const NAME_CHARS_MAX: usize = 128;
const VERSION_CHARS_MAX: usize = 64;

pub(super) fn decide(
    state: &DeploymentState,
    (name, product_version, is_double): (String, String, bool),
    labels: BTreeMap<String, String>,
    components: Vec<Component>,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    if state.retired_at.is_some() {
        return Err(DeploymentRefusal::Retired);
    }
    if state.id.is_some() {
        return Err(DeploymentRefusal::AlreadyRegistered);
    }
    required("the deployment's name", &name, NAME_CHARS_MAX)?;
    required("the product version", &product_version, VERSION_CHARS_MAX)?;
    check_entries("labels", &labels)?;
    if components.len() > COMPONENTS_MAX {
        return Err(DeploymentRefusal::TooManyComponents { max: COMPONENTS_MAX });
    }
    let mut names = HashSet::with_capacity(components.len());
    for component in &components {
        check_component(component)?;
        if !names.insert(&component.name) {
            return Err(DeploymentRefusal::ComponentExists(component.name.clone()));
        }
    }
    let id = DeploymentId(context.id);
    let at = context.now;
    Ok(vec![DeploymentEvent::DeploymentRegistered { id, name, product_version, is_double, labels, components, at }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Deployment, DeploymentCommand, DeploymentEvent};
    use crate::testing::{
        DEPLOYMENT, component, component_named, deployment, given, refuses, register, registered, start,
    };
    use std::collections::BTreeMap;

    fn with(name: &str, version: &str, components: Vec<crate::deployment::Component>) -> DeploymentCommand {
        DeploymentCommand::Register {
            name: name.to_owned(),
            product_version: version.to_owned(),
            is_double: false,
            labels: BTreeMap::new(),
            components,
        }
    }

    #[test]
    fn it_is_registered() {
        given::<Deployment>(DEPLOYMENT.0, []).when(register()).then(&[registered()]);
        given::<Deployment>(DEPLOYMENT.0, []).when(with("bare", "9.4", vec![])).then_types(&["DeploymentRegistered"]);
    }

    #[test]
    fn refusals() {
        let retired =
            vec![registered(), DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() }];
        let many = (0..=500).map(|number| component_named(&format!("c{number}"))).collect();
        let mut secret = component();
        secret.settings.insert("url".to_owned(), "postgres://cm:pw@db/cm".to_owned());
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("registered", deployment(), register(), "deployment_already_registered"),
                ("retired", retired, register(), "deployment_retired"),
                ("no name", vec![], with(" ", "10.1", vec![]), "text_empty"),
                ("long name", vec![], with(&"n".repeat(129), "10.1", vec![]), "text_too_long"),
                ("no version", vec![], with("records", "", vec![]), "text_empty"),
                ("many components", vec![], with("records", "10.1", many), "too_many_components"),
                ("same name", vec![], with("records", "10.1", vec![component(), component()]), "component_exists"),
                ("a password", vec![], with("records", "10.1", vec![secret]), "setting_holds_password"),
            ],
        );
    }
}
