//! Decides a remediation's life.

use super::{
    RemediationCommand, RemediationEvent, RemediationRefusal, RemediationState, admit_remediation, approve_remediation,
    begin_execution, cancel_remediation, delegate_approval, execute_remediation, expire_approval, fail_dry_run,
    fail_planning, halt_remediation, record_before_image, record_dry_run, record_plan, record_post_check,
    record_step_failed, record_step_succeeded, record_step_undone, record_undo_failed, reject_remediation,
    release_remediation, request_remediation, start_step, start_undo, undo_remediation,
};
use crate::decider::{Context, Decider, ExpectedStream, RefusalCode};

/// Decides a remediation's life.
#[derive(Debug, Clone, Copy)]
pub struct Remediation;

impl Decider for Remediation {
    const TYPE: &'static str = crate::any_event::REMEDIATION;
    type State = RemediationState;
    type Command = RemediationCommand;
    type Event = RemediationEvent;
    type Refusal = RemediationRefusal;

    fn decide(
        state: &RemediationState,
        command: RemediationCommand,
        context: &Context,
    ) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
        use RemediationCommand as Command;
        match command {
            Command::Request { problem, runbook, trigger, dry_run } => {
                let request = request_remediation::Request { problem, runbook, trigger, dry_run };
                request_remediation::decide(state, request, context)
            }
            Command::RecordPlan { plan, check_version } => record_plan::decide(state, plan, check_version, context),
            Command::FailPlanning { reason } => fail_planning::decide(state, &reason, context),
            Command::RecordDryRun { previews } => record_dry_run::decide(state, previews, context),
            Command::FailDryRun { reason } => fail_dry_run::decide(state, &reason, context),
            Command::Admit { policy, admission, reason } => {
                admit_remediation::decide(state, policy, admission, &reason, context)
            }
            Command::Approve { binding, comment, on_behalf_of } => {
                approve_remediation::decide(state, binding, comment, on_behalf_of, context)
            }
            Command::Reject { comment } => reject_remediation::decide(state, comment, context),
            Command::Delegate { to, comment } => delegate_approval::decide(state, to, comment, context),
            Command::ExpireApproval => expire_approval::decide(state, context),
            Command::Execute => execute_remediation::decide(state, context),
            Command::Begin { states, check_version } => {
                begin_execution::decide(state, &states, &check_version, context)
            }
            Command::Cancel { reason } => cancel_remediation::decide(state, reason, context),
            Command::Halt { undo, reason } => halt_remediation::decide(state, undo, &reason, context),
            Command::Undo { reason } => undo_remediation::decide(state, reason, context),
            Command::Release { comment } => release_remediation::decide(state, comment, context),
            Command::RecordPostCheck { results } => record_post_check::decide(state, results, context),
            Command::StartStep { .. }
            | Command::RecordBeforeImage { .. }
            | Command::RecordStepSucceeded { .. }
            | Command::RecordStepFailed { .. }
            | Command::StartUndo { .. }
            | Command::RecordStepUndone { .. }
            | Command::RecordUndoFailed { .. } => decide_step(state, command, context),
        }
    }

    fn evolve(state: &mut RemediationState, event: &RemediationEvent) {
        state.evolve(event);
    }

    fn refusal_code(refusal: &RemediationRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &RemediationCommand) -> &'static str {
        command.name()
    }

    fn expected_stream(command: &RemediationCommand) -> ExpectedStream {
        match command {
            RemediationCommand::Request { .. } => ExpectedStream::New,
            _ => ExpectedStream::Any,
        }
    }

    fn people(command: &mut RemediationCommand) -> Vec<&mut crate::Actor> {
        match command {
            RemediationCommand::Delegate { to, .. } => vec![to],
            RemediationCommand::Approve { on_behalf_of, .. } => on_behalf_of.iter_mut().collect(),
            _ => Vec::new(),
        }
    }

    fn state_weight(state: &RemediationState) -> u32 {
        // A step with its preview and its before-image takes a few kilobytes, seldom its bound.
        1 + 4 * u32::try_from(state.steps.len()).unwrap_or(u32::MAX / 8)
    }
}

fn decide_step(
    state: &RemediationState,
    command: RemediationCommand,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    use RemediationCommand as Command;
    match command {
        Command::StartStep { step } => start_step::decide(state, step, context),
        Command::RecordBeforeImage { step, image } => record_before_image::decide(state, step, image, context),
        Command::RecordStepSucceeded { step, outputs, found_done } => {
            record_step_succeeded::decide(state, step, outputs, found_done, context)
        }
        Command::RecordStepFailed { step, error } => record_step_failed::decide(state, step, &error, context),
        Command::StartUndo { step } => start_undo::decide(state, step, context),
        Command::RecordStepUndone { step, state: found } => record_step_undone::decide(state, step, found, context),
        Command::RecordUndoFailed { step, error } => record_undo_failed::decide(state, step, &error, context),
        // The caller sends those of steps only.
        _ => Err(RemediationRefusal::WrongPhase { phase: state.phase }),
    }
}

impl RemediationCommand {
    /// The command's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Request { .. } => "request_remediation",
            Self::RecordPlan { .. } => "record_plan",
            Self::FailPlanning { .. } => "fail_planning",
            Self::RecordDryRun { .. } => "record_dry_run",
            Self::FailDryRun { .. } => "fail_dry_run",
            Self::Admit { .. } => "admit_remediation",
            Self::Approve { .. } => "approve_remediation",
            Self::Reject { .. } => "reject_remediation",
            Self::Delegate { .. } => "delegate_approval",
            Self::ExpireApproval => "expire_approval",
            Self::Execute => "execute_remediation",
            Self::Begin { .. } => "begin_execution",
            Self::StartStep { .. } => "start_step",
            Self::RecordBeforeImage { .. } => "record_before_image",
            Self::RecordStepSucceeded { .. } => "record_step_succeeded",
            Self::RecordStepFailed { .. } => "record_step_failed",
            Self::RecordPostCheck { .. } => "record_post_check",
            Self::Undo { .. } => "undo_remediation",
            Self::StartUndo { .. } => "start_undo",
            Self::RecordStepUndone { .. } => "record_step_undone",
            Self::RecordUndoFailed { .. } => "record_undo_failed",
            Self::Cancel { .. } => "cancel_remediation",
            Self::Halt { .. } => "halt_remediation",
            Self::Release { .. } => "release_remediation",
        }
    }
}
