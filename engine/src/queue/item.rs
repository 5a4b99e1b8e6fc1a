//! What the queue holds.

use chrono::{DateTime, TimeDelta, Utc};
use domain::diagnostic_run::{CheckKey, Priority};
use domain::{ComponentName, CorrelationId, DeploymentId, RunId, TenantId};
use std::time::Duration;
use uuid::Uuid;

/// Names one item of work: a check of a component, in a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// The run.
    pub run: RunId,
    /// Which check of which component.
    pub check: CheckKey,
}

/// What concurrency is limited for: one component of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its component.
    pub component: ComponentName,
}

/// A run that has been asked for: what its items must know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The run.
    pub run: RunId,
    /// What it looks at.
    pub deployment: DeploymentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// How soon its work is taken up.
    pub priority: Priority,
    /// When it must have ended.
    pub deadline: DateTime<Utc>,
    /// The request that it is part of.
    pub correlation: CorrelationId,
    /// The event that asked for it.
    pub causation: Option<Uuid>,
    /// The trace that it is part of.
    pub traceparent: Option<String>,
}

/// An item to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Which check of which component, in which run.
    pub key: ItemKey,
    /// The run's deployment.
    pub deployment: DeploymentId,
    /// The version of the check that was planned.
    pub version: String,
    /// The run's priority.
    pub priority: Priority,
    /// When it was planned.
    pub queued_at: DateTime<Utc>,
    /// Not to be taken up earlier.
    pub not_before: DateTime<Utc>,
    /// Not to be taken up from then on.
    pub deadline: DateTime<Utc>,
    /// How long the check may take, in milliseconds.
    pub timeout_ms: u32,
}

/// An item as claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkItem {
    /// Which check of which component, in which run.
    pub key: ItemKey,
    /// The run's deployment.
    pub deployment: DeploymentId,
    /// The version of the check that was planned.
    pub version: String,
    /// The run's priority.
    pub priority: Priority,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// Its place in the order; lower is sooner.
    pub rank: DateTime<Utc>,
    /// When its run must have ended.
    pub deadline: DateTime<Utc>,
    /// How long the check may take.
    pub timeout: Duration,
    /// Which claim of it this is, from 1: finishing names it, so that who lost the lease finishes nothing.
    pub attempt: i32,
    /// How many workers died over it.
    pub crashes: i32,
    /// Which of its target's slots it occupies.
    pub slot: i16,
    /// Whose run it is.
    pub tenant: TenantId,
    /// The request that the run is part of.
    pub correlation: CorrelationId,
    /// The event that led to it.
    pub causation: Option<Uuid>,
    /// The trace that the run is part of.
    pub traceparent: Option<String>,
    /// Whether the run is known to have started.
    pub started: bool,
}

impl WorkItem {
    /// What its concurrency is limited for.
    pub fn target(&self) -> Target {
        Target { deployment: self.deployment, component: self.key.check.component.clone() }
    }
}

/// An item's place in the order: when it was queued, less its priority's head start. It never changes, so one index
/// gives the order; and since newer work has a later rank, whatever the priorities, nothing waits for ever.
pub fn rank(queued_at: DateTime<Utc>, priority: Priority) -> DateTime<Utc> {
    let head_start = match priority {
        Priority::Low => TimeDelta::zero(),
        Priority::Normal => TimeDelta::seconds(60),
        Priority::High => TimeDelta::seconds(180),
    };
    queued_at - head_start
}

pub(super) const fn priority_number(priority: Priority) -> i16 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}

pub(super) const fn priority_of(number: i16) -> Priority {
    match number {
        0 => Priority::Low,
        2 => Priority::High,
        // The column's constraint allows only 0, 1 and 2.
        _ => Priority::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_item_passes_newer_ones_of_any_priority() {
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let low = rank(start, Priority::Low);
        assert!(rank(start, Priority::High) < rank(start, Priority::Normal));
        assert!(rank(start, Priority::Normal) < low);
        assert!(rank(start + TimeDelta::seconds(179), Priority::High) < low);
        assert!(rank(start + TimeDelta::seconds(181), Priority::High) > low);
    }

    #[test]
    fn priorities_survive_the_table() {
        for priority in [Priority::Low, Priority::Normal, Priority::High] {
            assert_eq!(priority_of(priority_number(priority)), priority);
        }
    }
}
