//! What is remembered of a deployment, and how its events change it.

use super::{Component, DeploymentEvent, DeploymentRefusal, MaintenanceWindow};
use crate::ids::{CheckCode, ComponentName, DeploymentId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Another range than the check's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdOverride {
    /// The Nagios range of a warning; the check's own where absent.
    pub warning: Option<String>,
    /// The Nagios range of a critical; the check's own where absent.
    pub critical: Option<String>,
}

/// Overridden thresholds by check and by the threshold's name.
pub type Overrides = BTreeMap<CheckCode, BTreeMap<String, ThresholdOverride>>;

/// A deployment as folded from its events. Its large parts are shared between clones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DeploymentState {
    /// Its id; `None` before it is registered.
    pub id: Option<DeploymentId>,
    /// Its name.
    pub name: String,
    /// The product's version.
    pub product_version: String,
    /// Whether it is a double of a deployment, made by the lab.
    pub is_double: bool,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Its components by name.
    pub components: Arc<BTreeMap<ComponentName, Component>>,
    /// Its overridden thresholds.
    pub overrides: Arc<Overrides>,
    /// Maintenance windows that had not ended when the newest was announced, in order of announcement.
    pub maintenance: Vec<MaintenanceWindow>,
    /// When it came under care.
    pub registered_at: Option<DateTime<Utc>>,
    /// When its care ended.
    pub retired_at: Option<DateTime<Utc>>,
}

impl DeploymentState {
    /// Whether it is registered and not retired.
    pub fn is_active(&self) -> bool {
        self.id.is_some() && self.retired_at.is_none()
    }

    /// Whether findings are expected at that moment.
    pub fn in_maintenance(&self, now: DateTime<Utc>) -> bool {
        self.maintenance.iter().any(|window| window.from <= now && now < window.until)
    }

    /// The overriding range of one threshold of one check.
    pub fn threshold_override(&self, check: &CheckCode, threshold: &str) -> Option<&ThresholdOverride> {
        self.overrides.get(check)?.get(threshold)
    }

    /// Refuses what needs a deployment under care.
    pub(super) fn require_active(&self) -> Result<(), DeploymentRefusal> {
        if self.id.is_none() {
            return Err(DeploymentRefusal::NotRegistered);
        }
        if self.retired_at.is_some() {
            return Err(DeploymentRefusal::Retired);
        }
        Ok(())
    }

    pub(super) fn evolve(&mut self, event: &DeploymentEvent) {
        match event {
            DeploymentEvent::DeploymentRegistered { id, name, product_version, is_double, labels, components, at } => {
                *self = Self {
                    id: Some(*id),
                    name: name.clone(),
                    product_version: product_version.clone(),
                    is_double: *is_double,
                    labels: labels.clone(),
                    components: Arc::new(components.iter().map(|part| (part.name.clone(), part.clone())).collect()),
                    registered_at: Some(*at),
                    ..Self::default()
                };
            }
            DeploymentEvent::ComponentAttached { component, .. }
            | DeploymentEvent::ComponentChanged { component, .. } => {
                Arc::make_mut(&mut self.components).insert(component.name.clone(), component.clone());
            }
            DeploymentEvent::ComponentDetached { name, .. } => {
                Arc::make_mut(&mut self.components).remove(name);
            }
            DeploymentEvent::MaintenanceScheduled { window, at } => {
                self.maintenance.retain(|earlier| earlier.until > *at);
                self.maintenance.push(window.clone());
            }
            DeploymentEvent::ThresholdOverridden { check, threshold, warning, critical, .. } => {
                let ranges = ThresholdOverride { warning: warning.clone(), critical: critical.clone() };
                let of_check = Arc::make_mut(&mut self.overrides).entry(check.clone()).or_default();
                of_check.insert(threshold.clone(), ranges);
            }
            DeploymentEvent::ThresholdRestored { check, threshold, .. } => self.restore(check, threshold),
            DeploymentEvent::DeploymentRetired { at, .. } => self.retired_at = Some(*at),
        }
    }

    fn restore(&mut self, check: &CheckCode, threshold: &str) {
        let overrides = Arc::make_mut(&mut self.overrides);
        if let Some(of_check) = overrides.get_mut(check) {
            of_check.remove(threshold);
            if of_check.is_empty() {
                overrides.remove(check);
            }
        }
    }
}
