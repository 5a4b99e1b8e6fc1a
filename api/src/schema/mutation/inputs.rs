//! The inputs of the deployments' mutations.

use crate::schema::codes::{BAD_USER_INPUT, coded};
use crate::schema::context::named;
use crate::schema::types::{ComponentKind, SecretPlace};
use async_graphql::{Error, ID, InputObject, Result};
use chrono::{DateTime, Utc};
use domain::deployment::{Component, SecretRef};
use std::collections::BTreeMap;

/// A name and its value.
#[derive(InputObject)]
pub struct LabelInput {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Where a secret is kept: the API takes no secrets.
#[derive(InputObject)]
pub struct SecretInput {
    /// What it is for, such as `password`.
    pub purpose: String,
    /// In what it is kept.
    pub place: SecretPlace,
    /// The variable's name or the file's path.
    pub name: String,
}

/// One part of a deployment.
#[derive(InputObject)]
pub struct ComponentInput {
    /// Its name within the deployment.
    pub name: String,
    /// What it is.
    pub kind: ComponentKind,
    /// How to reach it, such as `url`, `host`, `port`, `path`, `logs`. Never a password.
    #[graphql(default)]
    pub settings: Vec<LabelInput>,
    /// Where its secrets are kept.
    #[graphql(default)]
    pub secrets: Vec<SecretInput>,
    /// Free labels.
    #[graphql(default)]
    pub labels: Vec<LabelInput>,
}

/// What to take under care.
#[derive(InputObject)]
pub struct RegisterDeploymentInput {
    /// Its name.
    pub name: String,
    /// The product's version, such as `10.1`.
    pub product_version: String,
    /// Whether it is a double of a deployment, such as the lab.
    #[graphql(default)]
    pub is_double: bool,
    /// Free labels.
    #[graphql(default)]
    pub labels: Vec<LabelInput>,
    /// Its parts as far as they are known.
    #[graphql(default)]
    pub components: Vec<ComponentInput>,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

/// What to add.
#[derive(InputObject)]
pub struct AttachComponentInput {
    /// To this deployment.
    pub deployment_id: ID,
    /// This component.
    pub component: ComponentInput,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

/// What to change.
#[derive(InputObject)]
pub struct ChangeComponentInput {
    /// Of this deployment.
    pub deployment_id: ID,
    /// The component as it is to be; its name says which one.
    pub component: ComponentInput,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

/// What to take out.
#[derive(InputObject)]
pub struct DetachComponentInput {
    /// Of this deployment.
    pub deployment_id: ID,
    /// The component's name.
    pub name: String,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

/// When maintenance is.
#[derive(InputObject)]
pub struct ScheduleMaintenanceInput {
    /// Of this deployment.
    pub deployment_id: ID,
    /// From (inclusive).
    pub from: DateTime<Utc>,
    /// Until (exclusive).
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

/// Which threshold is another one.
#[derive(InputObject)]
pub struct OverrideThresholdInput {
    /// For this deployment.
    pub deployment_id: ID,
    /// Of this check.
    pub check_code: String,
    /// This threshold.
    pub threshold: String,
    /// The Nagios range outside of which it warns, where it is to be another one.
    pub warning: Option<String>,
    /// The Nagios range outside of which it is critical, where it is to be another one.
    pub critical: Option<String>,
    /// Why.
    pub reason: String,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

/// Which threshold is the check's own again.
#[derive(InputObject)]
pub struct RestoreThresholdInput {
    /// For this deployment.
    pub deployment_id: ID,
    /// Of this check.
    pub check_code: String,
    /// This threshold.
    pub threshold: String,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

/// What to end the care of.
#[derive(InputObject)]
pub struct RetireDeploymentInput {
    /// This deployment.
    pub deployment_id: ID,
    /// Why.
    pub reason: String,
    /// The same key again returns what happened the first time.
    pub idempotency_key: Option<String>,
}

impl TryFrom<ComponentInput> for Component {
    type Error = Error;
    fn try_from(input: ComponentInput) -> Result<Self> {
        let secrets = input.secrets.into_iter().map(|secret| {
            let place = match secret.place {
                SecretPlace::Env => SecretRef::Env(secret.name),
                SecretPlace::File => SecretRef::File(secret.name),
            };
            (secret.purpose, place)
        });
        Ok(Self {
            name: named(&input.name)?,
            kind: input.kind.into(),
            settings: map(input.settings)?,
            secrets: unique("secret", secrets)?,
            labels: map(input.labels)?,
        })
    }
}

/// A list of names and values as a map.
pub fn map(labels: Vec<LabelInput>) -> Result<BTreeMap<String, String>> {
    unique("name", labels.into_iter().map(|label| (label.name, label.value)))
}

/// Two values of one name would lose one of them in silence.
fn unique<V>(what: &str, pairs: impl Iterator<Item = (String, V)>) -> Result<BTreeMap<String, V>> {
    let mut map = BTreeMap::new();
    for (name, value) in pairs {
        if map.contains_key(&name) {
            return Err(coded(BAD_USER_INPUT, format!("the {what} {name:?} is given twice")));
        }
        map.insert(name, value);
    }
    Ok(map)
}
