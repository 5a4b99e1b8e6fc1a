//! What is remembered of a run, and how its events change it.

use super::{CheckKey, CheckResult, PlannedCheck, Priority, RunEvent, RunRefusal, Tally};
use crate::ids::{CheckCode, DeploymentId, RunId};
use crate::outcome::Outcome;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// Nothing is known of it.
    #[default]
    Absent,
    /// Asked for, its checks not yet fixed.
    Requested,
    /// Its checks are fixed, none is under way.
    Planned,
    /// Its checks are under way.
    Running,
    /// All checks have ended.
    Completed,
    /// It was stopped.
    Cancelled,
    /// Its deadline passed.
    TimedOut,
    /// It could not be carried on.
    Failed,
}

impl RunPhase {
    /// Whether nothing more can happen to it.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::TimedOut | Self::Failed)
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The run.
    pub run: RunId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// Which checks, by the packs' profile.
    pub profile: String,
    /// Narrows the profile; empty means all of it.
    pub checks: Vec<CheckCode>,
    /// How soon its work is taken up.
    pub priority: Priority,
    /// When it times out.
    pub deadline: DateTime<Utc>,
    /// When it was asked for.
    pub at: DateTime<Utc>,
}

/// A run as folded from its events. A clone shares the plan; recording a result copies one bit for each check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RunState {
    /// Where it is in its life.
    pub phase: RunPhase,
    /// What was asked for; `None` while absent.
    pub request: Option<Arc<RunRequest>>,
    /// The plan, by key; empty once the run has ended.
    pub plan: Arc<Vec<PlannedCheck>>,
    /// Which checks of the plan have a result: a bit for each, in the plan's order.
    recorded: Arc<Vec<u64>>,
    /// How many checks are planned.
    pub planned: u32,
    /// How many of them have ended.
    pub done: u32,
    /// How they ended.
    pub tally: Tally,
}

impl RunState {
    /// The place of a check in the plan.
    pub fn index_of(&self, key: &CheckKey) -> Option<usize> {
        self.plan.binary_search_by(|planned| planned.key.cmp(key)).ok()
    }

    /// Whether the check at a place of the plan has a result.
    pub fn is_recorded(&self, index: usize) -> bool {
        self.recorded.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The planned checks without a result.
    pub fn missing(&self) -> impl Iterator<Item = &PlannedCheck> {
        self.plan.iter().enumerate().filter(|(index, _)| !self.is_recorded(*index)).map(|(_, planned)| planned)
    }

    /// The worst outcome so far; `Unknown` where there is none, since nothing was measured.
    pub const fn worst(&self) -> Outcome {
        self.tally.worst()
    }

    /// The request of a run that has not ended.
    pub(super) fn require_open(&self) -> Result<&RunRequest, RunRefusal> {
        let Some(request) = &self.request else { return Err(RunRefusal::Unknown) };
        if self.phase.has_ended() {
            return Err(RunRefusal::AlreadyEnded { phase: self.phase });
        }
        Ok(request)
    }

    pub(super) fn evolve(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunRequested { run, deployment, profile, checks, priority, deadline, at } => {
                let request = RunRequest {
                    run: *run,
                    deployment: *deployment,
                    profile: profile.clone(),
                    checks: checks.clone(),
                    priority: *priority,
                    deadline: *deadline,
                    at: *at,
                };
                *self = Self { phase: RunPhase::Requested, request: Some(Arc::new(request)), ..Self::default() };
            }
            RunEvent::RunPlanned { checks, .. } => self.fix_plan(checks),
            RunEvent::RunStarted { .. } => self.phase = RunPhase::Running,
            RunEvent::ChecksCompleted { results, .. } => self.record(results),
            RunEvent::RunCompleted { .. } => self.end(RunPhase::Completed),
            RunEvent::RunCancelled { .. } => self.end(RunPhase::Cancelled),
            RunEvent::RunTimedOut { .. } => self.end(RunPhase::TimedOut),
            RunEvent::RunFailed { .. } => self.end(RunPhase::Failed),
        }
    }

    fn fix_plan(&mut self, checks: &[PlannedCheck]) {
        let mut plan = checks.to_vec();
        plan.sort_by(|one, other| one.key.cmp(&other.key));
        self.phase = RunPhase::Planned;
        self.planned = u32::try_from(plan.len()).unwrap_or(u32::MAX);
        self.recorded = Arc::new(vec![0; plan.len().div_ceil(64)]);
        self.plan = Arc::new(plan);
    }

    fn record(&mut self, results: &[CheckResult]) {
        let plan = Arc::clone(&self.plan);
        let recorded = Arc::make_mut(&mut self.recorded);
        for result in results {
            let Ok(index) = plan.binary_search_by(|planned| planned.key.cmp(&result.key)) else { continue };
            let (word, bit) = (index / 64, 1_u64 << (index % 64));
            if recorded[word] & bit == 0 {
                recorded[word] |= bit;
                self.done += 1;
                self.tally.count(result.outcome);
            }
        }
    }

    fn end(&mut self, phase: RunPhase) {
        self.phase = phase;
        // Every further command is refused by the phase alone: the plan would only fill caches.
        self.plan = Arc::default();
        self.recorded = Arc::default();
    }
}

impl Tally {
    /// Counts one outcome.
    pub const fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Warning => self.warning += 1,
            Outcome::Critical => self.critical += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    /// How many were counted.
    pub const fn total(&self) -> u32 {
        self.ok + self.warning + self.critical + self.unknown
    }

    /// The worst outcome counted; `Unknown` where there is none, since nothing was measured.
    pub const fn worst(&self) -> Outcome {
        if self.critical > 0 {
            Outcome::Critical
        } else if self.warning > 0 {
            Outcome::Warning
        } else if self.unknown > 0 || self.ok == 0 {
            Outcome::Unknown
        } else {
            Outcome::Ok
        }
    }
}
