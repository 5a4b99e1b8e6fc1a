//! What an action is applied to.

use super::ActionError;
use crate::probe::Secret;
use chrono::{DateTime, Utc};
use domain::deployment::{Component, SecretRef};
use domain::{ComponentName, DeploymentId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The component, its surroundings, and the bounds of one phase of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActionTarget {
    /// The deployment.
    pub deployment: DeploymentId,
    /// What is changed.
    pub component: Component,
    /// All components of the deployment.
    pub components: Arc<BTreeMap<ComponentName, Component>>,
    /// The same for every attempt of the step: for targets that can dedupe, and for names of what is set aside.
    pub idempotency_key: String,
    /// The moment of the phase.
    pub now: DateTime<Utc>,
    /// How long the phase may take.
    pub deadline: Duration,
    /// Fires when the phase must end: then everything that was started ends, too.
    #[serde(skip)]
    pub cancel: CancellationToken,
}

impl ActionTarget {
    /// A setting of the component.
    pub fn setting(&self, key: &str) -> Result<&str, ActionError> {
        setting_of(&self.component, key)
    }

    /// A setting of the component, where it has it and it is not empty.
    pub fn optional(&self, key: &str) -> Option<&str> {
        self.component.settings.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The component that a setting names.
    pub fn named_by(&self, key: &str) -> Result<&Component, ActionError> {
        let name = self.setting(key)?;
        let named = name.parse::<ComponentName>().ok().and_then(|name| self.components.get(&name));
        named.ok_or_else(|| {
            let own = &self.component.name;
            ActionError::configuration(format!(
                "setting {key:?} of {own} names {name:?}, and there is no such component"
            ))
        })
    }

    /// The secret of a component for actions, such as `action_password`: never that of the probes, which may only read.
    pub fn secret(component: &Component, purpose: &str) -> Result<Option<Secret>, ActionError> {
        let resolve = |reference: &SecretRef| {
            Secret::resolve(reference, purpose).map_err(|error| ActionError::configuration(error.cause))
        };
        component.secrets.get(purpose).map(resolve).transpose()
    }
}

/// A setting of a component.
pub fn setting_of<'a>(component: &'a Component, key: &str) -> Result<&'a str, ActionError> {
    component
        .settings
        .get(key)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| ActionError::configuration(format!("component {} has no setting {key:?}", component.name)))
}
