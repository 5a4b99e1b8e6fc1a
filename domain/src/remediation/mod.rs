//! A remediation's life: a saga whose log is its own events.
//!
//! Requested, planned, dry run, admitted by the policy, approved where that is asked for, executed step by step,
//! checked by the very check that raised the finding. Whatever fails on the way is taken back in reverse order, and
//! that is proven. At rest it has succeeded, failed with nothing left behind, or is stuck: then a person is needed.
//!
//! Of one step the log holds: the intent, before anything is done ([`RemediationEvent::StepStarted`]); what was there
//! ([`RemediationEvent::BeforeImageCaptured`]), before anything is changed; and the outcome. Whoever takes over after a
//! crash knows by the last of them what may have happened.

mod admit_remediation;
mod approve_remediation;
mod begin_execution;
mod cancel_remediation;
mod decider;
mod delegate_approval;
mod evolve;
mod execute_remediation;
mod expire_approval;
mod fail_dry_run;
mod fail_planning;
mod halt_remediation;
mod next;
mod people;
mod plan;
mod plan_rules;
mod preview_rules;
mod record_before_image;
mod record_dry_run;
mod record_plan;
mod record_post_check;
mod record_step_failed;
mod record_step_succeeded;
mod record_step_undone;
mod record_undo_failed;
mod refusal;
mod reject_remediation;
mod release_remediation;
mod request_remediation;
mod rollback;
mod size;
mod start_step;
mod start_undo;
mod state;
mod steps;
#[cfg(test)]
mod story;
mod undo_remediation;

use crate::decider::DomainEvent;
use crate::ids::{
    Actor, CheckCode, ComponentName, ContentHash, DeploymentId, FindingId, PolicyName, RemediationId, ResourceName,
    RunbookName, StepName,
};
use crate::outcome::Outcome;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use admit_remediation::DEFERRALS_MAX;
pub use decider::Remediation;
pub use next::{Next, Rest, StepStage, StepWork, next};
pub use plan::{
    Argument, BeforeImage, BlastRadius, Change, Outputs, Plan, PlannedStep, PostCheck, PostCheckResult, STEPS_MAX,
    StepPreview, Undoing,
};
pub use plan_rules::{ARGUMENTS_MAX, DEADLINE_MS_MAX, PLAN_BYTES_MAX, POST_CHECK_MS_MAX, POST_CHECKS_MAX};
pub use preview_rules::{CHANGES_MAX, DRY_RUN_BYTES_MAX};
pub use record_before_image::INLINE_IMAGE_BYTES_MAX;
pub use record_step_succeeded::OUTPUTS_BYTES_MAX;
pub use refusal::RemediationRefusal;
pub use start_step::ATTEMPTS_MAX;
pub use state::{
    Approval, Delegation, PLANS_MAX, RemediationPhase, RemediationState, Rollback, StepPhase, StepState, UndoState,
};

/// What a remediation is, once all that it did is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackEnd {
    /// Failed: a step or a post-check did.
    Failed,
    /// Undone: a person wanted that.
    Undone,
    /// Cancelled: somebody or the emergency stop stopped it on the way.
    Cancelled,
}

/// What is to be put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The finding.
    pub finding: FindingId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// The check that raised it.
    pub check: CheckCode,
    /// The component that the check looked at.
    pub component: ComponentName,
    /// What the finding is about.
    pub resource: ResourceName,
    /// `Warning` or `Critical`: nothing is ever done about an `Unknown`.
    pub severity: Outcome,
}

/// Who or what asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A person.
    Person,
    /// The policy, on a finding.
    Policy,
}

/// What the policy says of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// It may run by itself.
    Automatic,
    /// So many different people must approve it first; never the one who executes it.
    Approval {
        /// How many: 1 or 2.
        people: u8,
        /// Until when.
        expires_at: DateTime<Utc>,
    },
    /// Somebody may execute it without anybody's approval.
    Unattended,
    /// Not now, and why: a blackout, a spent budget, an open breaker, a storm. May be asked again.
    Deferred {
        /// From when on it is worth asking again.
        retry_at: DateTime<Utc>,
    },
    /// Not at all.
    Forbidden,
}

/// What can be asked of a remediation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemediationCommand {
    /// Put a problem right: by this runbook, or by the one that the policy chooses. `dry_run` ends after the dry run.
    Request { problem: Problem, runbook: Option<RunbookName>, trigger: Trigger, dry_run: bool },
    /// The plan. `check_version` is that of the check in force: an approval is bound to it.
    RecordPlan { plan: Plan, check_version: String },
    /// There can be no plan.
    FailPlanning { reason: String },
    /// What each step would change, read from the target; one preview a step.
    RecordDryRun { previews: Vec<StepPreview> },
    /// The dry run could not be made, or could not be made again before the execution begins.
    FailDryRun { reason: String },
    /// What the policy says.
    Admit { policy: PolicyName, admission: Admission, reason: String },
    /// A person approves what is bound by this hash ([`RemediationState::binding`]).
    Approve { binding: ContentHash, comment: String, on_behalf_of: Option<Actor> },
    /// A person says no.
    Reject { comment: String },
    /// A person who may approve asks another one to do it instead.
    Delegate { to: Actor, comment: String },
    /// Time has passed: an approval that was waited for, or that was given and not used, is void.
    ExpireApproval,
    /// Do it. Who asks is the executor.
    Execute,
    /// What the target is like now, in the order of the plan's steps, as in [`StepPreview::state`], and the version of
    /// the check in force: execution starts where both are what was approved; else the approval is void.
    Begin { states: Vec<Option<ContentHash>>, check_version: String },
    /// A step is about to be done: the intent. Whoever takes over a step under way says so too: that is another
    /// attempt.
    StartStep { step: StepName },
    /// What was there before it. Only where this is accepted may the step be applied: it is refused where the step must
    /// not go on (another one failed, it was cancelled or halted, the target is not as approved).
    RecordBeforeImage { step: StepName, image: BeforeImage },
    /// It is done and verified. `found_done`: whoever took over found that it had been done already.
    RecordStepSucceeded { step: StepName, outputs: Outputs, found_done: bool },
    /// It is not done, or can not be verified.
    RecordStepFailed { step: StepName, error: String },
    /// What the post-checks gave.
    RecordPostCheck { results: Vec<PostCheckResult> },
    /// Take back what has been done: a person asks, of a remediation that has succeeded or was halted; or, after the
    /// cause was seen to, of a stuck one.
    Undo { reason: String },
    /// A step is about to be taken back: the intent.
    StartUndo { step: StepName },
    /// It was taken back; the hash of the state afterwards. `None` where there was nothing to take back.
    RecordStepUndone { step: StepName, state: Option<ContentHash> },
    /// It could not be taken back.
    RecordUndoFailed { step: StepName, error: String },
    /// No longer wanted. What has been done is taken back.
    Cancel { reason: String },
    /// The emergency stop: nothing more is done; what has been done is taken back where `undo` says so.
    Halt { undo: bool, reason: String },
    /// A person has seen to a stuck or halted one by hand and says what was done: it rests as failed.
    Release { comment: String },
}

/// What can have happened to a remediation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RemediationEvent {
    /// Somebody wants a problem put right.
    RemediationRequested {
        remediation: RemediationId,
        problem: Problem,
        runbook: Option<RunbookName>,
        trigger: Trigger,
        dry_run: bool,
        by: Actor,
        at: DateTime<Utc>,
    },
    /// What is going to be done.
    RemediationPlanned { plan: Plan, plan_hash: ContentHash, check_version: String, at: DateTime<Utc> },
    /// What it would change, how much it touches, and the hash of all that an approval is bound to.
    DryRunRecorded { previews: Vec<StepPreview>, blast: BlastRadius, binding: ContentHash, at: DateTime<Utc> },
    /// The policy lets it go on, by itself or once it is approved.
    RemediationAdmitted { policy: PolicyName, admission: Admission, reason: String, at: DateTime<Utc> },
    /// The policy does not let it go on now.
    RemediationDeferred { policy: PolicyName, reason: String, retry_at: DateTime<Utc>, at: DateTime<Utc> },
    /// People are asked.
    ApprovalRequested { people: u8, binding: ContentHash, expires_at: DateTime<Utc>, at: DateTime<Utc> },
    /// A person has approved; `complete` where no more is needed.
    RemediationApproved {
        by: Actor,
        on_behalf_of: Option<Actor>,
        comment: String,
        binding: ContentHash,
        complete: bool,
        at: DateTime<Utc>,
    },
    /// A person has said no.
    RemediationRejected { by: Actor, comment: String, at: DateTime<Utc> },
    /// A person has asked another one to decide instead.
    ApprovalDelegated { by: Actor, to: Actor, comment: String, at: DateTime<Utc> },
    /// What was approved is not what is there any more, or it took too long: it must be planned and approved again.
    ApprovalVoided { reason: String, at: DateTime<Utc> },
    /// Somebody has it done.
    ExecutionRequested { by: Actor, at: DateTime<Utc> },
    /// The target is as it was approved: it begins.
    ExecutionStarted { by: Actor, at: DateTime<Utc> },
    /// The intent: from here on the step may have been done.
    StepStarted { step: StepName, attempt: u32, at: DateTime<Utc> },
    /// What was there before. Nothing is changed before this is recorded.
    BeforeImageCaptured { step: StepName, image: BeforeImage, at: DateTime<Utc> },
    /// Done and verified.
    StepSucceeded { step: StepName, outputs: Outputs, found_done: bool, at: DateTime<Utc> },
    /// Not done, or not verified.
    StepFailed { step: StepName, error: String, at: DateTime<Utc> },
    /// The check that raised the finding says that it is gone.
    PostCheckPassed { results: Vec<PostCheckResult>, at: DateTime<Utc> },
    /// It says that it is not, or could not measure.
    PostCheckFailed { results: Vec<PostCheckResult>, at: DateTime<Utc> },
    /// All that has been done is taken back, last step first.
    /// `steps`: those of which something may have been done; `end`: what it is once that is proven.
    RollbackStarted { reason: String, by: Actor, steps: Vec<StepName>, end: RollbackEnd, at: DateTime<Utc> },
    /// The intent to take a step back.
    StepUndoStarted { step: StepName, attempt: u32, at: DateTime<Utc> },
    /// Taken back; the state's hash where there is one to compare.
    StepUndone { step: StepName, state: Option<ContentHash>, at: DateTime<Utc> },
    /// Could not be taken back.
    StepUndoFailed { step: StepName, error: String, at: DateTime<Utc> },
    /// Each step that was done is taken back, and its state's hash is that of its before-image.
    RollbackProven { at: DateTime<Utc> },
    /// Something could not be taken back, or is not as it was: a person is needed.
    RollbackIncomplete { steps: Vec<StepName>, reason: String, at: DateTime<Utc> },
    /// The emergency stop has reached it.
    RemediationHalted { undo: bool, reason: String, by: Actor, at: DateTime<Utc> },
    /// The end: put right and checked.
    RemediationSucceeded { at: DateTime<Utc> },
    /// The end: not put right; nothing of it is left behind.
    RemediationFailed { reason: String, at: DateTime<Utc> },
    /// The end: taken back at a person's wish after it had succeeded or was halted.
    RemediationUndone { at: DateTime<Utc> },
    /// The end: no longer wanted, rejected, or only a dry run.
    RemediationCancelled { reason: String, by: Actor, at: DateTime<Utc> },
    /// Rest, not the end: a person is needed; see the operators' page on stuck remediations.
    RemediationStuck { reason: String, at: DateTime<Utc> },
    /// A person has seen to it by hand.
    RemediationReleased { by: Actor, comment: String, at: DateTime<Utc> },
}

impl RemediationEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RemediationRequested { .. } => "RemediationRequested",
            Self::RemediationPlanned { .. } => "RemediationPlanned",
            Self::DryRunRecorded { .. } => "DryRunRecorded",
            Self::RemediationAdmitted { .. } => "RemediationAdmitted",
            Self::RemediationDeferred { .. } => "RemediationDeferred",
            Self::ApprovalRequested { .. } => "ApprovalRequested",
            Self::RemediationApproved { .. } => "RemediationApproved",
            Self::RemediationRejected { .. } => "RemediationRejected",
            Self::ApprovalDelegated { .. } => "ApprovalDelegated",
            Self::ApprovalVoided { .. } => "ApprovalVoided",
            Self::ExecutionRequested { .. } => "ExecutionRequested",
            Self::ExecutionStarted { .. } => "ExecutionStarted",
            Self::StepStarted { .. } => "StepStarted",
            Self::BeforeImageCaptured { .. } => "BeforeImageCaptured",
            Self::StepSucceeded { .. } => "StepSucceeded",
            Self::StepFailed { .. } => "StepFailed",
            Self::PostCheckPassed { .. } => "PostCheckPassed",
            Self::PostCheckFailed { .. } => "PostCheckFailed",
            Self::RollbackStarted { .. } => "RollbackStarted",
            Self::StepUndoStarted { .. } => "StepUndoStarted",
            Self::StepUndone { .. } => "StepUndone",
            Self::StepUndoFailed { .. } => "StepUndoFailed",
            Self::RollbackProven { .. } => "RollbackProven",
            Self::RollbackIncomplete { .. } => "RollbackIncomplete",
            Self::RemediationHalted { .. } => "RemediationHalted",
            Self::RemediationSucceeded { .. } => "RemediationSucceeded",
            Self::RemediationFailed { .. } => "RemediationFailed",
            Self::RemediationUndone { .. } => "RemediationUndone",
            Self::RemediationCancelled { .. } => "RemediationCancelled",
            Self::RemediationStuck { .. } => "RemediationStuck",
            Self::RemediationReleased { .. } => "RemediationReleased",
        }
    }
}

impl DomainEvent for RemediationEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}
