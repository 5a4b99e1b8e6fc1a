//! A run's progress, folded from its events.

use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use crate::schema::types::{Outcome, RunStatus};
use async_graphql::{ID, SimpleObject};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::{CheckResult, RunEvent, Tally};
use domain::{DeploymentId, Position, RunId};
use event_store::RecordedEvent;

/// The most results told in one snapshot.
const LATEST_MAX: usize = 100;

/// How far a run is: a snapshot.
#[derive(Debug, Clone, SimpleObject)]
pub struct ScanProgress {
    /// The run.
    run_id: ID,
    /// What it looks at.
    deployment_id: ID,
    /// The position of the event that this snapshot includes last.
    position: PositionScalar,
    /// When that event happened.
    at: DateTime<Utc>,
    /// Where the run is in its life.
    status: RunStatus,
    /// Whether nothing more will come: the subscription completes after this snapshot.
    ended: bool,
    /// How many checks it consists of; 0 before it is planned.
    planned: u32,
    /// How many have ended.
    done: u32,
    /// How many ended within bounds.
    ok: u32,
    /// How many ended as warnings.
    warning: u32,
    /// How many ended as critical.
    critical: u32,
    /// How many could not be measured.
    unknown: u32,
    /// The verdict; null until the run is completed, and for ever where it was cut short.
    outcome: Option<Outcome>,
    /// Why it was cancelled, timed out or failed.
    reason: Option<String>,
    /// The results since the snapshot before, oldest first, at most 100.
    latest: Vec<ProgressResult>,
    /// How many results since the snapshot before are not told here.
    latest_omitted: u32,
}

/// A result, as a line.
#[derive(Debug, Clone, SimpleObject)]
pub struct ProgressResult {
    /// The check.
    check_code: String,
    /// The component that it looked at.
    component: String,
    /// The outcome.
    outcome: Outcome,
    /// One line.
    summary: String,
    /// Why it could not be measured.
    unknown_cause: Option<String>,
    /// How many problems it saw.
    problems: u32,
    /// How long it took, in milliseconds.
    duration_ms: u32,
}

impl From<&CheckResult> for ProgressResult {
    fn from(result: &CheckResult) -> Self {
        Self {
            check_code: result.key.check.to_string(),
            component: result.key.component.to_string(),
            outcome: result.outcome.into(),
            summary: result.summary.clone(),
            unknown_cause: result.unknown_cause.clone(),
            problems: result.observations.len() as u32 + result.omitted,
            duration_ms: result.duration_ms,
        }
    }
}

/// A run as far as it has come.
#[derive(Debug)]
pub struct Fold {
    run: RunId,
    deployment: Option<DeploymentId>,
    position: Position,
    at: DateTime<Utc>,
    status: RunStatus,
    planned: u32,
    done: u32,
    tally: Tally,
    outcome: Option<domain::Outcome>,
    reason: Option<String>,
    latest: Vec<ProgressResult>,
    omitted: u32,
}

impl Fold {
    /// Before the run's first event.
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            deployment: None,
            position: Position::START,
            at: DateTime::UNIX_EPOCH,
            status: RunStatus::Requested,
            planned: 0,
            done: 0,
            tally: Tally::default(),
            outcome: None,
            reason: None,
            latest: Vec::new(),
            omitted: 0,
        }
    }

    /// Whether nothing more can come.
    pub const fn has_ended(&self) -> bool {
        matches!(self.status, RunStatus::Completed | RunStatus::Cancelled | RunStatus::TimedOut | RunStatus::Failed)
    }

    /// Folds one event in.
    pub fn apply(&mut self, recorded: &RecordedEvent, event: &RunEvent) {
        self.position = recorded.position;
        match event {
            RunEvent::RunRequested { deployment, at, .. } => {
                self.deployment = Some(*deployment);
                self.at = *at;
            }
            RunEvent::RunPlanned { checks, at } => {
                self.planned = checks.len() as u32;
                (self.status, self.at) = (RunStatus::Planned, *at);
            }
            RunEvent::RunStarted { at } => (self.status, self.at) = (RunStatus::Running, *at),
            RunEvent::ChecksCompleted { results, done, planned, at, .. } => {
                (self.status, self.done, self.planned, self.at) = (RunStatus::Running, *done, *planned, *at);
                for result in results {
                    self.add(result);
                }
            }
            RunEvent::RunCompleted { outcome, tally, at, .. } => {
                self.outcome = Some(*outcome);
                self.end(RunStatus::Completed, *tally, *at, None);
            }
            RunEvent::RunCancelled { reason, tally, at, .. } => {
                self.end(RunStatus::Cancelled, *tally, *at, Some(reason.clone()));
            }
            RunEvent::RunTimedOut { tally, missing, at, .. } => {
                let reason = format!("{} checks had not ended at the deadline", missing.len());
                self.end(RunStatus::TimedOut, *tally, *at, Some(reason));
            }
            RunEvent::RunFailed { reason, tally, at, .. } => {
                self.end(RunStatus::Failed, *tally, *at, Some(reason.clone()));
            }
        }
    }

    fn add(&mut self, result: &CheckResult) {
        let count = match result.outcome {
            domain::Outcome::Ok => &mut self.tally.ok,
            domain::Outcome::Warning => &mut self.tally.warning,
            domain::Outcome::Critical => &mut self.tally.critical,
            domain::Outcome::Unknown => &mut self.tally.unknown,
        };
        *count += 1;
        if self.latest.len() < LATEST_MAX {
            self.latest.push(result.into());
        } else {
            self.omitted += 1;
        }
    }

    fn end(&mut self, status: RunStatus, tally: Tally, at: DateTime<Utc>, reason: Option<String>) {
        (self.status, self.tally, self.at, self.reason) = (status, tally, at, reason);
    }

    /// The snapshot, with the results since the last one.
    pub fn snapshot(&mut self) -> ScanProgress {
        let Tally { ok, warning, critical, unknown } = self.tally;
        ScanProgress {
            run_id: global(self.run),
            deployment_id: self.deployment.map_or_else(|| ID(String::new()), global),
            position: self.position.into(),
            at: self.at,
            status: self.status,
            ended: self.has_ended(),
            planned: self.planned,
            done: self.done,
            ok,
            warning,
            critical,
            unknown,
            outcome: self.outcome.map(Into::into),
            reason: self.reason.clone(),
            latest: std::mem::take(&mut self.latest),
            latest_omitted: std::mem::take(&mut self.omitted),
        }
    }
}
