//! The lab as a deployment to register.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lab as a deployment to register. Serialises to what a deployment's registration takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabDescription {
    /// Its name.
    pub name: String,
    /// Of Content Manager, as the double plays it.
    pub product_version: String,
    /// Always true.
    pub is_double: bool,
    /// Says again that it is a double.
    pub labels: BTreeMap<String, String>,
    /// Its parts.
    pub components: Vec<LabComponent>,
    /// Thresholds to override, where a planted fault can not be as old as a real one.
    #[serde(default)]
    pub overrides: Vec<ThresholdOverride>,
}

impl LabDescription {
    /// One part by its name.
    pub fn component(&self, name: &str) -> Option<&LabComponent> {
        self.components.iter().find(|component| component.name == name)
    }
}

/// One part of the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabComponent {
    /// Its name within the deployment.
    pub name: String,
    /// Its kind, such as `workgroup-server`.
    pub kind: String,
    /// How to reach it.
    pub settings: BTreeMap<String, String>,
    /// Where its passwords are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretPlace>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Where a secret is kept. Serialises as the domain's `SecretRef` does, on which the lab does not depend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "in", content = "name")]
pub enum SecretPlace {
    /// In a file, by its path.
    File(String),
}

/// A threshold that the lab wants overridden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdOverride {
    /// The check's code.
    pub check: String,
    /// Its threshold.
    pub threshold: String,
    /// The Nagios range to warn outside of.
    pub warning: Option<String>,
    /// The Nagios range that is critical outside of; where there is none, the check's own.
    pub critical: Option<String>,
    /// Why.
    pub reason: String,
}
