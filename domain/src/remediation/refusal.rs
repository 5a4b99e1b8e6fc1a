//! Why a remediation says no.

use super::RemediationPhase;
use crate::decider::RefusalCode;
use crate::ids::StepName;
use crate::text::TextRefusal;
use chrono::{DateTime, Utc};

/// Why a remediation says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemediationRefusal {
    /// Asked for before.
    #[error("the remediation was asked for already")]
    AlreadyRequested,
    /// Nothing is known of it.
    #[error("there is no such remediation")]
    Unknown,
    /// It has come to its end or waits for a person.
    #[error("the remediation is at rest: it is {phase}")]
    AtRest {
        /// How it rests.
        phase: RemediationPhase,
    },
    /// Not what is to be done now.
    #[error("this can not be done of a remediation that is {phase}")]
    WrongPhase {
        /// Where it is.
        phase: RemediationPhase,
    },
    /// A text is out of bounds.
    #[error(transparent)]
    Text(#[from] TextRefusal),
    /// What could not be measured is never acted upon, and what is well needs nothing.
    #[error("only a warning or a critical finding is put right")]
    NotAProblem,
    /// What is bound can not be hashed.
    #[error("what an approval is bound to can not be hashed")]
    Unhashable,

    /// No step, or too many.
    #[error("a plan has 1 to {max} steps")]
    StepCountOutOfBounds {
        /// The bound.
        max: usize,
    },
    /// Two steps of one name.
    #[error("step {step} comes twice")]
    StepRepeated {
        /// The name.
        step: StepName,
    },
    /// No such step in the plan.
    #[error("the plan has no step {step}")]
    StepUnknown {
        /// The name.
        step: StepName,
    },
    /// A step stands before one that it comes after (or comes after itself).
    #[error("step {step} stands before step {after} that it comes after")]
    StepOutOfOrder {
        /// The step.
        step: StepName,
        /// What it comes after.
        after: StepName,
    },
    /// A step is told the output of one that it does not come after.
    #[error("step {step} is told an output of step {of}, which it does not come after")]
    OutputUnreachable {
        /// The step.
        step: StepName,
        /// Whose output.
        of: StepName,
    },
    /// More arguments than a step takes.
    #[error("step {step} is told more than {max} arguments")]
    TooManyArguments {
        /// The step.
        step: StepName,
        /// The bound.
        max: usize,
    },
    /// No time or too much.
    #[error("step {step} takes 1 to {max_ms} milliseconds for each of its phases")]
    DeadlineOutOfBounds {
        /// The step.
        step: StepName,
        /// The bound.
        max_ms: u32,
    },
    /// The post-checks do not begin with the check that raised the finding.
    #[error("the first post-check is not the check that raised the finding")]
    PostCheckMissesFinding,
    /// Too many post-checks, one of them twice, or too long a wait.
    #[error("the post-checks are out of bounds: {reason}")]
    PostCheckOutOfBounds {
        /// What is wrong.
        reason: &'static str,
    },
    /// The plan is too large to be stored.
    #[error("a plan has at most {max} bytes")]
    PlanTooLarge {
        /// The bound.
        max: usize,
    },
    /// The plan was made from another runbook than was asked for.
    #[error("the plan was made from another runbook than was asked for")]
    RunbookMismatch,

    /// Not one preview for each step, in the plan's order.
    #[error("a dry run has one preview for each step, in the plan's order")]
    PreviewsMismatch,
    /// More changes than one preview lists.
    #[error("the preview of step {step} lists more than {max} changes")]
    TooManyChanges {
        /// The step.
        step: StepName,
        /// The bound.
        max: usize,
    },
    /// The previews are too large to be stored.
    #[error("a dry run has at most {max} bytes")]
    DryRunTooLarge {
        /// The bound.
        max: usize,
    },
    /// A state must be known here.
    #[error("the state of step {step} is missing")]
    StateMissing {
        /// The step.
        step: StepName,
    },

    /// Approval by nobody or by a crowd.
    #[error("a policy asks for the approval of 1 or 2 people")]
    PeopleOutOfBounds,
    /// An approval that is over before it begins, or good for too long.
    #[error("an approval expires in the future, at most {days} days ahead")]
    ExpiryOutOfBounds {
        /// The bound.
        days: i64,
    },
    /// The policy is not to be asked again yet.
    #[error("the policy is asked again from {retry_at} on")]
    RetryAhead {
        /// When.
        retry_at: DateTime<Utc>,
    },

    /// Parts of the platform do not decide this.
    #[error("only a person can decide this")]
    PersonNeeded,
    /// What was looked at is not what is bound now.
    #[error("what was approved is not what is planned now: look at it again")]
    BindingMismatch,
    /// Too late.
    #[error("the time for the approval is over")]
    ApprovalExpired,
    /// Too early.
    #[error("the approval has not expired")]
    ApprovalNotExpired,
    /// One of them is known by a sealed name, the other by an open one.
    #[error("names began to be sealed while this was under way: cancel it and ask anew")]
    PeopleNotComparable,
    /// One person counts once, whether for themselves or instead of somebody.
    #[error("this person has approved already, or somebody has instead of them")]
    AlreadyApproved,
    /// Who has it done never approves it.
    #[error("who has a remediation done can not approve it")]
    ApproverIsExecutor,
    /// Nobody asked the approver to.
    #[error("this person was not asked to approve on behalf of the other one")]
    NotDelegated,
    /// Somebody asked themselves.
    #[error("nobody approves on their own behalf or delegates to themselves")]
    DelegatedToSelf,
    /// Too many.
    #[error("at most {max} delegations")]
    TooManyDelegations {
        /// The bound.
        max: usize,
    },
    /// Still waits for people or the policy.
    #[error("the remediation is not approved: it is {phase}")]
    NotApproved {
        /// Where it is.
        phase: RemediationPhase,
    },
    /// Who approved it, or had somebody approve it, never has it done.
    #[error("who approved a remediation, or asked somebody else to, can not have it done")]
    ExecutorIsApprover,
    /// Not one state for each step.
    #[error("one state for each step is needed, in the plan's order")]
    StatesIncomplete,

    /// Something that it comes after has not succeeded.
    #[error("step {step} comes after steps that have not succeeded")]
    StepNotReady {
        /// The step.
        step: StepName,
    },
    /// Another step has failed: all is going to be taken back.
    #[error("another step has failed: no step goes on")]
    RollbackPending,
    /// No intent is recorded.
    #[error("step {step} was not started")]
    StepNotStarted {
        /// The step.
        step: StepName,
    },
    /// Its outcome is recorded.
    #[error("the outcome of step {step} is recorded already")]
    StepAlreadyEnded {
        /// The step.
        step: StepName,
    },
    /// Begun too often.
    #[error("step {step} was begun {max} times without an outcome")]
    AttemptsExhausted {
        /// The step.
        step: StepName,
        /// The bound.
        max: u32,
    },
    /// Nothing is applied without one.
    #[error("there is no before-image of step {step}")]
    NoBeforeImage {
        /// The step.
        step: StepName,
    },
    /// Nothing could be put back from it.
    #[error("the before-image of step {step} is neither inline nor kept elsewhere")]
    ImageMissing {
        /// The step.
        step: StepName,
    },
    /// It belongs in the evidence store.
    #[error("an inline before-image has at most {max} bytes and no NUL characters")]
    ImageNotInline {
        /// The bound.
        max: usize,
    },
    /// The first one counts.
    #[error("another before-image of step {step} is recorded already")]
    ImageDiffers {
        /// The step.
        step: StepName,
    },
    /// Somebody changed it since.
    #[error("the target of step {step} is not as it was approved")]
    TargetDrifted {
        /// The step.
        step: StepName,
    },
    /// A later step needs it.
    #[error("step {step} did not give its output {output:?}, which a later step needs")]
    OutputMissing {
        /// The step.
        step: StepName,
        /// Its output.
        output: String,
    },
    /// Too large to be stored.
    #[error("the outputs of a step have at most {max} bytes")]
    OutputsTooLarge {
        /// The bound.
        max: usize,
    },
    /// Not one result for each post-check, in the plan's order.
    #[error("one result for each post-check is needed, in the plan's order")]
    PostCheckMismatch,
    /// Steps have no outcome yet.
    #[error("not all steps have succeeded")]
    StepsOpen,

    /// Something was done that can not be taken back.
    #[error("step {step} can not be taken back")]
    NotUndoable {
        /// The step.
        step: StepName,
    },
    /// Nothing is left that can be taken back.
    #[error("there is nothing left that can be taken back")]
    NothingToUndo,
    /// Another step is to be taken back first.
    #[error("step {step} is not the one to be taken back now")]
    UndoOutOfOrder {
        /// The step.
        step: StepName,
    },
    /// No intent is recorded.
    #[error("taking back step {step} was not started")]
    UndoNotStarted {
        /// The step.
        step: StepName,
    },
}

impl RemediationRefusal {
    /// The stable code.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::AlreadyRequested => "remediation_already_requested",
            Self::Unknown => "remediation_unknown",
            Self::AtRest { .. } => "remediation_at_rest",
            Self::WrongPhase { .. } => "remediation_wrong_phase",
            Self::Text(refusal) => refusal.code(),
            Self::NotAProblem => "not_a_problem",
            Self::Unhashable => "unhashable",
            Self::StepCountOutOfBounds { .. } => "step_count_out_of_bounds",
            Self::StepRepeated { .. } => "step_repeated",
            Self::StepUnknown { .. } => "step_unknown",
            Self::StepOutOfOrder { .. } => "step_out_of_order",
            Self::OutputUnreachable { .. } => "output_unreachable",
            Self::TooManyArguments { .. } => "too_many_arguments",
            Self::DeadlineOutOfBounds { .. } => "deadline_out_of_bounds",
            Self::PostCheckMissesFinding => "post_check_misses_finding",
            Self::PostCheckOutOfBounds { .. } => "post_check_out_of_bounds",
            Self::PlanTooLarge { .. } => "plan_too_large",
            Self::RunbookMismatch => "runbook_mismatch",
            Self::PreviewsMismatch => "previews_mismatch",
            Self::TooManyChanges { .. } => "too_many_changes",
            Self::DryRunTooLarge { .. } => "dry_run_too_large",
            Self::StateMissing { .. } => "state_missing",
            Self::PeopleOutOfBounds => "people_out_of_bounds",
            Self::ExpiryOutOfBounds { .. } => "expiry_out_of_bounds",
            Self::RetryAhead { .. } => "retry_ahead",
            Self::PersonNeeded => "person_needed",
            Self::BindingMismatch => "binding_mismatch",
            Self::ApprovalExpired => "approval_expired",
            Self::ApprovalNotExpired => "approval_not_expired",
            Self::PeopleNotComparable => "people_not_comparable",
            Self::AlreadyApproved => "already_approved",
            Self::ApproverIsExecutor => "approver_is_executor",
            Self::NotDelegated => "not_delegated",
            Self::DelegatedToSelf => "delegated_to_self",
            Self::TooManyDelegations { .. } => "too_many_delegations",
            Self::NotApproved { .. } => "not_approved",
            Self::ExecutorIsApprover => "executor_is_approver",
            Self::StatesIncomplete => "states_incomplete",
            Self::StepNotReady { .. } => "step_not_ready",
            Self::RollbackPending => "rollback_pending",
            Self::StepNotStarted { .. } => "step_not_started",
            Self::StepAlreadyEnded { .. } => "step_already_ended",
            Self::AttemptsExhausted { .. } => "attempts_exhausted",
            Self::NoBeforeImage { .. } => "no_before_image",
            Self::ImageMissing { .. } => "image_missing",
            Self::ImageNotInline { .. } => "image_not_inline",
            Self::ImageDiffers { .. } => "image_differs",
            Self::TargetDrifted { .. } => "target_drifted",
            Self::OutputMissing { .. } => "output_missing",
            Self::OutputsTooLarge { .. } => "outputs_too_large",
            Self::PostCheckMismatch => "post_check_mismatch",
            Self::StepsOpen => "steps_open",
            Self::NotUndoable { .. } => "not_undoable",
            Self::NothingToUndo => "nothing_to_undo",
            Self::UndoOutOfOrder { .. } => "undo_out_of_order",
            Self::UndoNotStarted { .. } => "undo_not_started",
        }
    }
}
