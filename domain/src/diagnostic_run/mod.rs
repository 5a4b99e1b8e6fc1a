//! A diagnostic run's life: which checks, in what state, with what results.

mod cancel_run;
mod fail_run;
mod plan_run;
mod record_results;
mod refusal;
mod request_run;
mod result_rules;
mod start_run;
mod state;
mod time_out_run;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::ids::{CheckCode, ComponentName, DeploymentId, EvidenceHash, ResourceName, RunId};
use crate::outcome::Outcome;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use plan_run::PLANNED_CHECKS_MAX;
pub use record_results::RESULTS_MAX;
pub use refusal::RunRefusal;
pub use request_run::DEADLINE_HOURS_MAX;
pub use result_rules::{EVIDENCE_BYTES_MAX, METRICS_MAX, RESULT_TEXT_CHARS_MAX};
pub use state::{RunPhase, RunRequest, RunState};

/// One check of one component: the unit of work of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CheckKey {
    /// The check.
    pub check: CheckCode,
    /// The component that it looks at.
    pub component: ComponentName,
}

/// A check as planned: what version of it, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCheck {
    /// Which check of which component.
    pub key: CheckKey,
    /// The version of the check's definition in force (first 12 hex digits of the SHA-256 of its file).
    pub version: String,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u32,
}

/// How soon a run's work is taken up, other things equal. Waiting work ages: none starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Background work.
    Low,
    /// Scheduled runs.
    #[default]
    Normal,
    /// A person waits.
    High,
}

/// Evidence: small values inline, large ones in the evidence store by their hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Evidence {
    /// At most a few hundred bytes of JSON: the measured row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<serde_json::Value>,
    /// The whole measurement, in the evidence store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<EvidenceHash>,
}

/// One problem that a check saw on one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// What it is about, within the deployment.
    pub resource: ResourceName,
    /// `Warning` or `Critical`.
    pub outcome: Outcome,
    /// What is seen, in one line with the measured value.
    pub symptom: String,
    /// Why, as far as is known.
    pub cause: String,
    /// What it means for users and records.
    pub impact: String,
    /// What to do.
    pub advice: String,
    /// What was measured.
    #[serde(default)]
    pub evidence: Evidence,
}

/// What one check of one component gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Which check of which component.
    pub key: CheckKey,
    /// The version of the check's definition that judged.
    pub version: String,
    /// The worst observation's outcome, `Ok` where there is none, `Unknown` where it could not be measured.
    pub outcome: Outcome,
    /// One line.
    pub summary: String,
    /// Why it could not be measured: present if and only if the outcome is `Unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_cause: Option<String>,
    /// The problems, worst first, at most [`CheckResult::MAX_OBSERVATIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<Observation>,
    /// How many further problems were left out of `observations`.
    #[serde(default)]
    pub omitted: u32,
    /// Measured figures by name, at most 16 (perfdata).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The whole measurement and all that its judgement rested on, in the evidence store: so that it can be judged
    /// anew. Absent where nothing was measured, and in results from before measurements were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceHash>,
    /// When the measurement began.
    pub measured_at: DateTime<Utc>,
    /// How long measuring and judging took, in milliseconds.
    pub duration_ms: u32,
}

impl CheckResult {
    /// The most observations that one result carries.
    pub const MAX_OBSERVATIONS: usize = 100;

    /// As it is recorded: NUL characters, which a measured text may hold and the views can not keep, are replaced.
    #[must_use]
    pub fn storable(mut self) -> Self {
        result_rules::make_storable(&mut self);
        self
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Tally {
    /// Ended `Ok`.
    pub ok: u32,
    /// Ended `Warning`.
    pub warning: u32,
    /// Ended `Critical`.
    pub critical: u32,
    /// Ended `Unknown`.
    pub unknown: u32,
}

/// What can be asked of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunCommand {
    /// Ask for a run. `checks` narrows the profile; empty means all of it.
    Request {
        run: RunId,
        deployment: DeploymentId,
        profile: String,
        checks: Vec<CheckCode>,
        priority: Priority,
        deadline: DateTime<Utc>,
    },
    /// Fix which checks it consists of. An empty plan completes the run at once.
    Plan { checks: Vec<PlannedCheck> },
    /// Its first check is under way. Nothing to do if it has started.
    Start,
    /// Record results; those of checks already recorded are left out (a killed worker's work is done again). The last
    /// result completes the run, in the same decision.
    RecordResults { results: Vec<CheckResult> },
    /// Stop it.
    Cancel { reason: String },
    /// Its deadline has passed.
    TimeOut,
    /// It can not be planned or carried on.
    Fail { reason: String },
}

/// What can have happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RunEvent {
    /// It was asked for.
    RunRequested {
        run: RunId,
        deployment: DeploymentId,
        profile: String,
        checks: Vec<CheckCode>,
        priority: Priority,
        deadline: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// Its checks are fixed.
    RunPlanned { checks: Vec<PlannedCheck>, at: DateTime<Utc> },
    /// The first check is under way.
    RunStarted { at: DateTime<Utc> },
    /// A batch of results. `done` of `planned` checks have ended with it. Carries the deployment, for readers of the
    /// log.
    ChecksCompleted { deployment: DeploymentId, results: Vec<CheckResult>, done: u32, planned: u32, at: DateTime<Utc> },
    /// All checks have ended.
    RunCompleted { deployment: DeploymentId, outcome: Outcome, tally: Tally, at: DateTime<Utc> },
    /// It was stopped.
    RunCancelled { deployment: DeploymentId, reason: String, tally: Tally, at: DateTime<Utc> },
    /// Its deadline passed with checks still open.
    RunTimedOut { deployment: DeploymentId, tally: Tally, missing: Vec<CheckKey>, at: DateTime<Utc> },
    /// It could not be carried on.
    RunFailed { deployment: DeploymentId, reason: String, tally: Tally, at: DateTime<Utc> },
}

impl RunEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunRequested { .. } => "RunRequested",
            Self::RunPlanned { .. } => "RunPlanned",
            Self::RunStarted { .. } => "RunStarted",
            Self::ChecksCompleted { .. } => "ChecksCompleted",
            Self::RunCompleted { .. } => "RunCompleted",
            Self::RunCancelled { .. } => "RunCancelled",
            Self::RunTimedOut { .. } => "RunTimedOut",
            Self::RunFailed { .. } => "RunFailed",
        }
    }
}

impl DomainEvent for RunEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Decides a run's life.
#[derive(Debug, Clone, Copy)]
pub struct DiagnosticRun;

impl Decider for DiagnosticRun {
    const TYPE: &'static str = crate::any_event::DIAGNOSTIC_RUN;
    type State = RunState;
    type Command = RunCommand;
    type Event = RunEvent;
    type Refusal = RunRefusal;

    fn decide(state: &RunState, command: RunCommand, context: &Context) -> Result<Vec<RunEvent>, RunRefusal> {
        match command {
            RunCommand::Request { run, deployment, profile, checks, priority, deadline } => {
                let request = RunRequest { run, deployment, profile, checks, priority, deadline, at: context.now };
                request_run::decide(state, request, context)
            }
            RunCommand::Plan { checks } => plan_run::decide(state, checks, context),
            RunCommand::Start => start_run::decide(state, context),
            RunCommand::RecordResults { results } => record_results::decide(state, results, context),
            RunCommand::Cancel { reason } => cancel_run::decide(state, reason, context),
            RunCommand::TimeOut => time_out_run::decide(state, context),
            RunCommand::Fail { reason } => fail_run::decide(state, reason, context),
        }
    }

    fn evolve(state: &mut RunState, event: &RunEvent) {
        state.evolve(event);
    }

    fn refusal_code(refusal: &RunRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &RunCommand) -> &'static str {
        match command {
            RunCommand::Request { .. } => "request_run",
            RunCommand::Plan { .. } => "plan_run",
            RunCommand::Start => "start_run",
            RunCommand::RecordResults { .. } => "record_results",
            RunCommand::Cancel { .. } => "cancel_run",
            RunCommand::TimeOut => "time_out_run",
            RunCommand::Fail { .. } => "fail_run",
        }
    }

    fn expected_stream(command: &RunCommand) -> ExpectedStream {
        match command {
            RunCommand::Request { .. } => ExpectedStream::New,
            _ => ExpectedStream::Any,
        }
    }

    fn state_weight(state: &RunState) -> u32 {
        1 + u32::try_from(state.plan.len() / 8).unwrap_or(u32::MAX - 1)
    }
}
