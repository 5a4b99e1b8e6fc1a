//! What is remembered of a remediation.

use super::{
    Admission, BeforeImage, BlastRadius, Outputs, Plan, Problem, RemediationRefusal, RollbackEnd, StepPreview, Trigger,
    Undoing,
};
use crate::ids::{Actor, ContentHash, PolicyName, RemediationId, RunbookName, StepName};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// How often one remediation is planned at most: each void approval needs a new plan.
pub const PLANS_MAX: u32 = 4;

/// Where a remediation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RemediationPhase {
    /// Nothing is known of it.
    #[default]
    Absent,
    /// Asked for (or an approval became void): to be planned.
    Requested,
    /// To be run dry.
    Planned,
    /// Run dry: the policy is to be asked.
    Previewed,
    /// The policy said: not now.
    Deferred,
    /// People are asked.
    AwaitingApproval,
    /// Somebody may have it done.
    Executable,
    /// Somebody has it done: what the target is like is to be confirmed.
    Confirming,
    /// Its steps and the post-check are under way.
    Executing,
    /// What was done is being taken back.
    RollingBack,
    /// Rest: put right and checked.
    Succeeded,
    /// The end: not put right.
    Failed,
    /// The end: taken back at a person's wish.
    Undone,
    /// The end: no longer wanted, rejected, or only a dry run.
    Cancelled,
    /// Rest: a person is needed.
    Stuck,
    /// Rest: the emergency stop left it as it was.
    Halted,
}

impl RemediationPhase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 16] = [
        Self::Absent,
        Self::Requested,
        Self::Planned,
        Self::Previewed,
        Self::Deferred,
        Self::AwaitingApproval,
        Self::Executable,
        Self::Confirming,
        Self::Executing,
        Self::RollingBack,
        Self::Succeeded,
        Self::Failed,
        Self::Undone,
        Self::Cancelled,
        Self::Stuck,
        Self::Halted,
    ];

    /// Whether nothing happens any more unless a person wants it to.
    pub const fn is_at_rest(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Undone | Self::Cancelled | Self::Stuck | Self::Halted)
    }

    /// Whether it was asked for and has not begun: nothing was changed yet.
    pub const fn is_before_execution(self) -> bool {
        matches!(
            self,
            Self::Requested
                | Self::Planned
                | Self::Previewed
                | Self::Deferred
                | Self::AwaitingApproval
                | Self::Executable
                | Self::Confirming
        )
    }

    /// The name as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Requested => "requested",
            Self::Planned => "planned",
            Self::Previewed => "previewed",
            Self::Deferred => "deferred",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Executable => "executable",
            Self::Confirming => "confirming",
            Self::Executing => "executing",
            Self::RollingBack => "rolling_back",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Cancelled => "cancelled",
            Self::Stuck => "stuck",
            Self::Halted => "halted",
        }
    }
}

impl fmt::Display for RemediationPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An approval that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who approved.
    pub by: Actor,
    /// Instead of whom, where somebody had asked for that.
    pub on_behalf_of: Option<Actor>,
    /// In their words.
    pub comment: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Somebody asked somebody else to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Who asked.
    pub by: Actor,
    /// Whom.
    pub to: Actor,
    /// In their words.
    pub comment: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// How far a step has come forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum StepPhase {
    /// Not begun.
    #[default]
    Waiting,
    /// The intent is recorded; nothing is changed.
    Started,
    /// What was there is recorded: from here on it may have been changed.
    Captured,
    /// Done and verified.
    Succeeded,
    /// Not done, or not verified. With a before-image, something of it may have been done.
    Failed,
}

/// How far a step has come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum UndoState {
    /// Not begun.
    #[default]
    Not,
    /// The intent is recorded, for the `attempt`th time.
    UnderWay {
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// Taken back.
    Done {
        /// The state's hash afterwards, where there is one to compare.
        state: Option<ContentHash>,
    },
    /// It could not be taken back.
    Failed {
        /// Why.
        error: String,
    },
}

/// One step as far as it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct StepState {
    /// Forward.
    pub phase: StepPhase,
    /// How often it was begun.
    pub attempt: u32,
    /// What was there before it; nothing is changed before this is recorded.
    pub image: Option<Arc<BeforeImage>>,
    /// What it gave to those after it.
    pub outputs: Outputs,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether it was found done by whoever took over.
    pub found_done: bool,
    /// The place of its outcome among all outcomes, from 1; `None` while it has none.
    pub outcome_at: Option<u32>,
    /// Backward.
    pub undone: UndoState,
}

/// What is being or was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Why.
    pub reason: String,
    /// Whose doing.
    pub by: Actor,
    /// The steps of which something may have been done, in the order in which they are taken back.
    pub steps: Vec<StepName>,
    /// What the remediation is once that is proven.
    pub end: RollbackEnd,
}

/// A remediation as folded from its events. A clone shares plan, previews and images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct RemediationState {
    /// Where it is in its life.
    pub phase: RemediationPhase,
    /// Which; `None` while absent.
    pub id: Option<RemediationId>,
    /// What is to be put right.
    pub problem: Option<Arc<Problem>>,
    /// By which runbook, where that was asked for.
    pub runbook: Option<RunbookName>,
    /// Who or what asked.
    pub trigger: Option<Trigger>,
    /// Whether it ends after the dry run.
    pub dry_run: bool,
    /// Who asked.
    pub requested_by: Option<Actor>,
    /// When.
    pub requested_at: Option<DateTime<Utc>>,
    /// How often it was planned.
    pub plans: u32,
    /// What is going to be done; `None` until planned, and again after an approval became void.
    pub plan: Option<Arc<Plan>>,
    /// The plan's hash.
    pub plan_hash: Option<ContentHash>,
    /// The version of the check that was in force when it was planned.
    pub check_version: Option<String>,
    /// What it would change, in the order of the plan's steps.
    pub previews: Arc<Vec<StepPreview>>,
    /// How much it touches.
    pub blast: BlastRadius,
    /// See [`Self::binding`].
    pub(super) binding: Option<ContentHash>,
    /// Which policy judged last; it stays known after an approval became void, since something is reserved with it.
    pub policy: Option<PolicyName>,
    /// What it said, where it let the remediation go on.
    pub admission: Option<Admission>,
    /// In its words; also why it said: not now.
    pub admission_reason: Option<String>,
    /// How often it said: not now.
    pub deferrals: u32,
    /// When it is asked again.
    pub retry_at: Option<DateTime<Utc>>,
    /// How many people must approve.
    pub people: u8,
    /// Until when, and until when an approval is good.
    pub expires_at: Option<DateTime<Utc>>,
    /// The approvals of what is bound now.
    pub approvals: Vec<Approval>,
    /// Who was asked instead of whom.
    pub delegations: Vec<Delegation>,
    /// Who has it done.
    pub executor: Option<Actor>,
    /// Everybody who ever approved this remediation, whatever the plan was then, or on whose behalf that was done, or
    /// who asked somebody else to: they never execute it. In the form in which people are compared.
    pub(super) approvers: BTreeSet<String>,
    /// Everybody who ever had it done: they never approve it.
    pub(super) executors: BTreeSet<String>,
    /// Its steps, by name.
    pub steps: BTreeMap<StepName, StepState>,
    /// How many outcomes of steps there were.
    pub(super) outcomes: u32,
    /// Why it is going to be taken back as soon as no step is under way any more.
    pub failure: Option<String>,
    /// What is being or was taken back.
    pub rollback: Option<Rollback>,
    /// Whether the emergency stop has reached it.
    pub halted: bool,
    /// Why it rests as it does, where there is more to say than that it has succeeded.
    pub reason: Option<String>,
    /// When it came to its end; `None` while it is stuck or halted.
    pub ended_at: Option<DateTime<Utc>>,
}

impl RemediationState {
    /// The hash of all that an approval is bound to: the plan, the state of each target and the version of the check.
    pub const fn binding(&self) -> Option<&ContentHash> {
        self.binding.as_ref()
    }

    /// The steps in the plan's order, each as planned and as far as it has come.
    pub fn planned_steps(&self) -> impl Iterator<Item = (&super::PlannedStep, &StepState)> {
        let steps = self.plan.as_deref().map(|plan| plan.steps.as_slice()).unwrap_or_default();
        steps.iter().filter_map(|planned| Some((planned, self.steps.get(&planned.name)?)))
    }

    /// Whether all that a step may have changed is as it was.
    pub fn is_restored(&self, step: &StepName) -> bool {
        let planned = self.plan.as_deref().and_then(|plan| plan.step(step));
        let (Some(planned), Some(step)) = (planned, self.steps.get(step)) else { return false };
        match (&step.undone, &planned.undo, &step.image) {
            (UndoState::Done { .. }, Undoing::Nothing { .. }, _) => true,
            (UndoState::Done { state: Some(state) }, Undoing::FromBeforeImage, Some(image)) => *state == image.state,
            _ => false,
        }
    }

    /// Refuses what needs a remediation.
    pub(super) const fn require_known(&self) -> Result<(), RemediationRefusal> {
        match self.phase {
            RemediationPhase::Absent => Err(RemediationRefusal::Unknown),
            _ => Ok(()),
        }
    }

    /// Refuses what needs a remediation that is not at rest.
    pub(super) fn require_open(&self) -> Result<(), RemediationRefusal> {
        self.require_known()?;
        if self.phase.is_at_rest() { Err(RemediationRefusal::AtRest { phase: self.phase }) } else { Ok(()) }
    }

    /// Refuses what needs one of these phases.
    pub(super) fn require_phase(&self, wanted: &[RemediationPhase]) -> Result<(), RemediationRefusal> {
        self.require_known()?;
        if wanted.contains(&self.phase) {
            return Ok(());
        }
        self.require_open()?;
        Err(RemediationRefusal::WrongPhase { phase: self.phase })
    }

    /// The plan in force.
    pub(super) fn require_plan(&self) -> Result<&Arc<Plan>, RemediationRefusal> {
        self.plan.as_ref().ok_or(RemediationRefusal::WrongPhase { phase: self.phase })
    }
}
