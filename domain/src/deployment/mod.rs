//! What is under care: a Content Manager installation and its components.

mod attach_component;
mod change_component;
mod component_rules;
mod detach_component;
mod override_threshold;
mod refusal;
mod register_deployment;
mod restore_threshold;
mod retire_deployment;
mod schedule_maintenance;
mod secrets;
mod state;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::ids::{CheckCode, ComponentName, DeploymentId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use component_rules::{COMPONENTS_MAX, ENTRIES_MAX, VALUE_CHARS_MAX};
pub use refusal::DeploymentRefusal;
pub use state::{DeploymentState, Overrides, ThresholdOverride};

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
    /// How to reach it, such as `url`, `host`, `port`, `path`, `logs`, `config`, `dataset` (the name of another
    /// component). Never a password: a URL with one is refused.
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

impl DeploymentEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DeploymentRegistered { .. } => "DeploymentRegistered",
            Self::ComponentAttached { .. } => "ComponentAttached",
            Self::ComponentChanged { .. } => "ComponentChanged",
            Self::ComponentDetached { .. } => "ComponentDetached",
            Self::MaintenanceScheduled { .. } => "MaintenanceScheduled",
            Self::ThresholdOverridden { .. } => "ThresholdOverridden",
            Self::ThresholdRestored { .. } => "ThresholdRestored",
            Self::DeploymentRetired { .. } => "DeploymentRetired",
        }
    }
}

impl DomainEvent for DeploymentEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Decides what is under care.
#[derive(Debug, Clone, Copy)]
pub struct Deployment;

impl Decider for Deployment {
    const TYPE: &'static str = crate::any_event::DEPLOYMENT;
    type State = DeploymentState;
    type Command = DeploymentCommand;
    type Event = DeploymentEvent;
    type Refusal = DeploymentRefusal;

    fn decide(
        state: &DeploymentState,
        command: DeploymentCommand,
        context: &Context,
    ) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
        match command {
            DeploymentCommand::Register { name, product_version, is_double, labels, components } => {
                let what = (name, product_version, is_double);
                register_deployment::decide(state, what, labels, components, context)
            }
            DeploymentCommand::AttachComponent { component } => attach_component::decide(state, component, context),
            DeploymentCommand::ChangeComponent { component } => change_component::decide(state, component, context),
            DeploymentCommand::DetachComponent { name } => detach_component::decide(state, name, context),
            DeploymentCommand::ScheduleMaintenance { window } => schedule_maintenance::decide(state, window, context),
            DeploymentCommand::OverrideThreshold { check, threshold, warning, critical, reason } => {
                override_threshold::decide(state, (check, threshold), (warning, critical), reason, context)
            }
            DeploymentCommand::RestoreThreshold { check, threshold } => {
                restore_threshold::decide(state, check, threshold, context)
            }
            DeploymentCommand::Retire { reason } => retire_deployment::decide(state, reason, context),
        }
    }

    fn evolve(state: &mut DeploymentState, event: &DeploymentEvent) {
        state.evolve(event);
    }

    fn refusal_code(refusal: &DeploymentRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &DeploymentCommand) -> &'static str {
        match command {
            DeploymentCommand::Register { .. } => "register_deployment",
            DeploymentCommand::AttachComponent { .. } => "attach_component",
            DeploymentCommand::ChangeComponent { .. } => "change_component",
            DeploymentCommand::DetachComponent { .. } => "detach_component",
            DeploymentCommand::ScheduleMaintenance { .. } => "schedule_maintenance",
            DeploymentCommand::OverrideThreshold { .. } => "override_threshold",
            DeploymentCommand::RestoreThreshold { .. } => "restore_threshold",
            DeploymentCommand::Retire { .. } => "retire_deployment",
        }
    }

    fn expected_stream(command: &DeploymentCommand) -> ExpectedStream {
        match command {
            DeploymentCommand::Register { .. } => ExpectedStream::New,
            _ => ExpectedStream::Any,
        }
    }

    fn state_weight(state: &DeploymentState) -> u32 {
        1 + u32::try_from(state.components.len() / 4).unwrap_or(u32::MAX - 1)
    }
}
