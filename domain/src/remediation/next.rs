//! What is to be done next: pure, so that whoever takes over after a crash comes to the same conclusion.

use super::rollback::next_undo;
use super::start_step::ATTEMPTS_MAX;
use super::{RemediationPhase, RemediationState, StepPhase, UndoState};
use crate::ids::StepName;
use chrono::{DateTime, Utc};

/// What is to be done.
///
/// The executor performs it and records the outcome; then it asks again. It leaves out what it has under way itself.
/// Before it does [`Next::Undo`], it has ended all that it had under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: there is no such remediation.
    Nothing,
    /// Make a plan: `RecordPlan` or `FailPlanning`.
    Plan,
    /// Run it dry: `RecordDryRun` or `FailDryRun`.
    DryRun,
    /// Ask the policy: `Admit`.
    Admit,
    /// Wait for people; from `until` on: `ExpireApproval`.
    AwaitApproval {
        /// Until when.
        until: DateTime<Utc>,
    },
    /// Wait for somebody to have it done; from `until` on: `ExpireApproval`.
    AwaitExecution {
        /// Until when, where the approval expires.
        until: Option<DateTime<Utc>>,
    },
    /// Wait: the policy is asked again then.
    Retry {
        /// From when on.
        at: DateTime<Utc>,
    },
    /// Read the targets again: `Begin`, or `FailDryRun` where they can not be read.
    Confirm,
    /// Do these steps, in parallel. Never empty.
    Steps(Vec<StepWork>),
    /// Let the checks judge: `RecordPostCheck`.
    PostCheck,
    /// Take this step back: `StartUndo`, then `RecordStepUndone` or `RecordUndoFailed`.
    Undo(StepName),
    /// Taking this step back was begun too often without an outcome: `RecordUndoFailed`.
    GiveUpUndo(StepName),
    /// Nothing, unless a person wants something.
    Rest(Rest),
}

/// One step's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepWork {
    /// The step.
    pub step: StepName,
    /// Where its work begins.
    pub from: StepStage,
}

/// Where a step's work begins. Whoever finds a step under way says so by another `StartStep` first, except for
/// [`StepStage::GiveUp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStage {
    /// It is not begun: `StartStep`.
    Intent,
    /// It is begun and nothing is changed: capture, then `RecordBeforeImage`, or `RecordStepFailed`.
    Capture,
    /// It may have been changed: verify; where it is not done, apply and verify; then `RecordStepSucceeded` or
    /// `RecordStepFailed`.
    Decide,
    /// It was begun too often without an outcome: `RecordStepFailed`.
    GiveUp,
}

/// How it rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rest {
    /// Put right and checked. A person may have it undone.
    Succeeded,
    /// Not put right.
    Failed,
    /// Taken back at a person's wish.
    Undone,
    /// No longer wanted, rejected, or only a dry run.
    Cancelled,
    /// A person is needed.
    Stuck,
    /// The emergency stop left it as it was. A person is needed.
    Halted,
}

/// What is to be done next.
pub fn next(state: &RemediationState, now: DateTime<Utc>) -> Next {
    match state.phase {
        RemediationPhase::Absent => Next::Nothing,
        RemediationPhase::Requested => Next::Plan,
        RemediationPhase::Planned => Next::DryRun,
        RemediationPhase::Previewed => Next::Admit,
        RemediationPhase::Deferred => match state.retry_at {
            Some(at) if now < at => Next::Retry { at },
            _ => Next::Admit,
        },
        RemediationPhase::AwaitingApproval => Next::AwaitApproval { until: state.expires_at.unwrap_or(now) },
        RemediationPhase::Executable => Next::AwaitExecution { until: state.expires_at },
        RemediationPhase::Confirming => Next::Confirm,
        RemediationPhase::Executing if state.failure.is_none() && state.all_succeeded() => Next::PostCheck,
        RemediationPhase::Executing => Next::Steps(work(state)),
        RemediationPhase::RollingBack => undo(state),
        RemediationPhase::Succeeded => Next::Rest(Rest::Succeeded),
        RemediationPhase::Failed => Next::Rest(Rest::Failed),
        RemediationPhase::Undone => Next::Rest(Rest::Undone),
        RemediationPhase::Cancelled => Next::Rest(Rest::Cancelled),
        RemediationPhase::Stuck => Next::Rest(Rest::Stuck),
        RemediationPhase::Halted => Next::Rest(Rest::Halted),
    }
}

/// What is ready or under way. After a failure only what may be changing something: that is waited for.
fn work(state: &RemediationState) -> Vec<StepWork> {
    let has_failed = state.failure.is_some();
    let stage = |(planned, step): (&super::PlannedStep, &super::StepState)| {
        let is_exhausted = step.attempt >= ATTEMPTS_MAX;
        let from = match step.phase {
            StepPhase::Captured if is_exhausted => StepStage::GiveUp,
            StepPhase::Captured => StepStage::Decide,
            StepPhase::Started if !has_failed && is_exhausted => StepStage::GiveUp,
            StepPhase::Started if !has_failed => StepStage::Capture,
            StepPhase::Waiting if !has_failed && state.is_ready(planned) => StepStage::Intent,
            _ => return None,
        };
        Some(StepWork { step: planned.name.clone(), from })
    };
    state.planned_steps().filter_map(stage).collect()
}

fn undo(state: &RemediationState) -> Next {
    // Where nothing is left to be taken back, the decision that found so has ended the rollback.
    let Some(name) = next_undo(state) else { return Next::Rest(Rest::Stuck) };
    match state.steps.get(name).map(|step| &step.undone) {
        Some(UndoState::UnderWay { attempt }) if *attempt >= ATTEMPTS_MAX => Next::GiveUpUndo(name.clone()),
        _ => Next::Undo(name.clone()),
    }
}
