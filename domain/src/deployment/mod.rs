//! What is under care: a Content Manager installation and its components.

use crate::ids::{CheckCode, ComponentName, DeploymentId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What kind of part a component is. Decides which checks apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// The dataset's SQL database.
    DatasetDatabase,
    /// A workgroup server: its port, its configuration file and its logs.
    WorkgroupServer,
    /// A document store: a folder of files and its rows in the dataset.
    DocumentStore,
    /// The content index (Elasticsearch).
    ContentIndex,
    /// ServiceAPI, Web Client or WebDrawer.
    WebTier,
    /// Event processors, by their logs and counters.
    EventProcessor,
    /// A machine.
    Host,
    /// A Redis server.
    Cache,
}

/// Where a secret is kept: events and views carry this reference, never the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "in", content = "name")]
pub enum SecretRef {
    /// In an environment variable of the process that probes.
    Env(String),
    /// In a file readable by the process that probes; its trailing line end is cut.
    File(String),
}

/// One part of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name within the deployment.
    pub name: ComponentName,
    /// What it is.
    pub kind: ComponentKind,
    /// How to reach it, such as `url`, `host`, `port`, `path`, `logs`, `config`, `dataset` (the name of another component).
    /// Never a password: a URL with one is refused.
    pub settings: BTreeMap<String, String>,
    /// Where its password is kept, by what it is for (`password`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretRef>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A time in which findings are expected and do not alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceWindow {
    /// From (inclusive).
    pub from: DateTime<Utc>,
    /// Until (exclusive).
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// What can be asked of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentCommand {
    /// Take a deployment under care, with the components that are known.
    Register {
        name: String,
        product_version: String,
        is_double: bool,
        labels: BTreeMap<String, String>,
        components: Vec<Component>,
    },
    /// Add a component.
    AttachComponent { component: Component },
    /// Replace a component's settings, secrets and labels.
    ChangeComponent { component: Component },
    /// Take a component out of care.
    DetachComponent { name: ComponentName },
    /// Announce a maintenance window.
    ScheduleMaintenance { window: MaintenanceWindow },
    /// Use another Nagios range for one threshold of one check.
    OverrideThreshold {
        check: CheckCode,
        threshold: String,
        warning: Option<String>,
        critical: Option<String>,
        reason: String,
    },
    /// Use the check's own threshold again.
    RestoreThreshold { check: CheckCode, threshold: String },
    /// End the care. The history stays.
    Retire { reason: String },
}

/// What can have happened to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentEvent {
    /// It is under care.
    DeploymentRegistered {
        id: DeploymentId,
        name: String,
        product_version: String,
        is_double: bool,
        labels: BTreeMap<String, String>,
        components: Vec<Component>,
        at: DateTime<Utc>,
    },
    /// A component was added.
    ComponentAttached { component: Component, at: DateTime<Utc> },
    /// A component's settings changed.
    ComponentChanged { component: Component, at: DateTime<Utc> },
    /// A component was taken out.
    ComponentDetached { name: ComponentName, at: DateTime<Utc> },
    /// Maintenance was announced.
    MaintenanceScheduled { window: MaintenanceWindow, at: DateTime<Utc> },
    /// A threshold was overridden.
    ThresholdOverridden {
        check: CheckCode,
        threshold: String,
        warning: Option<String>,
        critical: Option<String>,
        reason: String,
        at: DateTime<Utc>,
    },
    /// A threshold is the check's own again.
    ThresholdRestored { check: CheckCode, threshold: String, at: DateTime<Utc> },
    /// It is no longer under care.
    DeploymentRetired { reason: String, at: DateTime<Utc> },
}
