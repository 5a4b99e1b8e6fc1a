//! The output types, one file a kind of thing.

mod check;
mod check_result;
mod comparison;
mod deployment;
mod enums;
mod figures;
mod finding;
mod history;
mod node;
mod platform;
mod policy;
mod remediation;
mod run;
mod totals;
mod what_if;
mod why;

pub use check::Check;
pub use check_result::{CheckResult, CheckResultList};
pub use comparison::RunComparison;
pub use deployment::Deployment;
pub use enums::{ComponentKind, FindingStatus, HealthStatus, Outcome, Priority, RunStatus, SecretPlace, StreamType};
pub use figures::DailyFigure;
pub use finding::{Finding, FindingList};
pub use history::{HistoryEvent, event_of};
pub use node::Node;
pub use platform::Platform;
pub use policy::{EmergencyStop, Policy};
pub use remediation::{Remediation, RemediationStatus, StepStatus};
pub use run::Run;
pub use totals::{TotalOf, Totals};
pub use what_if::{WhatIfProgress, WhatIfReport};
pub use why::Why;

use async_graphql::SimpleObject;
use std::collections::BTreeMap;

/// A free label.
#[derive(Debug, Clone, SimpleObject)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A map of labels as a list.
pub fn labels(map: &BTreeMap<String, String>) -> Vec<Label> {
    map.iter().map(|(name, value)| Label { name: name.clone(), value: value.clone() }).collect()
}
