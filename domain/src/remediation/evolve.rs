//! How a remediation's events change what is remembered of it.

use super::people;
use super::{
    Admission, Approval, Delegation, RemediationEvent, RemediationPhase, RemediationState, Rollback, StepPhase,
    StepState, UndoState,
};
use crate::ids::StepName;
use chrono::{DateTime, Utc};
use std::sync::Arc;

impl RemediationState {
    /// What it is after these events.
    pub(super) fn after(&self, events: &[RemediationEvent]) -> Self {
        let mut ahead = self.clone();
        for event in events {
            ahead.evolve(event);
        }
        ahead
    }

    pub(super) fn evolve(&mut self, event: &RemediationEvent) {
        match event {
            RemediationEvent::RemediationRequested { remediation, problem, runbook, trigger, dry_run, by, at } => {
                *self = Self {
                    phase: RemediationPhase::Requested,
                    id: Some(*remediation),
                    problem: Some(Arc::new(problem.clone())),
                    runbook: runbook.clone(),
                    trigger: Some(*trigger),
                    dry_run: *dry_run,
                    requested_by: Some(by.clone()),
                    requested_at: Some(*at),
                    ..Self::default()
                };
            }
            RemediationEvent::RemediationPlanned { .. }
            | RemediationEvent::DryRunRecorded { .. }
            | RemediationEvent::RemediationAdmitted { .. }
            | RemediationEvent::RemediationDeferred { .. } => self.prepare(event),
            RemediationEvent::ApprovalRequested { .. }
            | RemediationEvent::RemediationApproved { .. }
            | RemediationEvent::RemediationRejected { .. }
            | RemediationEvent::ApprovalDelegated { .. }
            | RemediationEvent::ApprovalVoided { .. }
            | RemediationEvent::ExecutionRequested { .. } => self.approve(event),
            RemediationEvent::ExecutionStarted { .. } => self.begin(),
            RemediationEvent::StepStarted { .. }
            | RemediationEvent::BeforeImageCaptured { .. }
            | RemediationEvent::StepSucceeded { .. }
            | RemediationEvent::StepFailed { .. } => self.step_forward(event),
            RemediationEvent::RollbackStarted { .. }
            | RemediationEvent::StepUndoStarted { .. }
            | RemediationEvent::StepUndone { .. }
            | RemediationEvent::StepUndoFailed { .. } => self.step_back(event),
            // What they say is in the event that follows each of them in the same decision.
            RemediationEvent::PostCheckPassed { .. }
            | RemediationEvent::PostCheckFailed { .. }
            | RemediationEvent::RollbackProven { .. }
            | RemediationEvent::RollbackIncomplete { .. }
            | RemediationEvent::RemediationReleased { .. } => {}
            RemediationEvent::RemediationHalted { undo, reason, .. } => {
                self.halted = true;
                if !undo {
                    self.rest(RemediationPhase::Halted, Some(reason));
                }
            }
            RemediationEvent::RemediationSucceeded { at } => self.end(RemediationPhase::Succeeded, None, *at),
            RemediationEvent::RemediationFailed { reason, at } => {
                self.end(RemediationPhase::Failed, Some(reason), *at);
            }
            RemediationEvent::RemediationUndone { at } => self.end(RemediationPhase::Undone, None, *at),
            RemediationEvent::RemediationCancelled { reason, at, .. } => {
                self.end(RemediationPhase::Cancelled, Some(reason), *at);
            }
            RemediationEvent::RemediationStuck { reason, .. } => self.rest(RemediationPhase::Stuck, Some(reason)),
        }
    }

    fn prepare(&mut self, event: &RemediationEvent) {
        match event {
            RemediationEvent::RemediationPlanned { plan, plan_hash, check_version, .. } => {
                self.phase = RemediationPhase::Planned;
                self.plans += 1;
                self.plan_hash = Some(plan_hash.clone());
                self.check_version = Some(check_version.clone());
                self.steps = plan.steps.iter().map(|step| (step.name.clone(), StepState::default())).collect();
                self.plan = Some(Arc::new(plan.clone()));
            }
            RemediationEvent::DryRunRecorded { previews, blast, binding, .. } => {
                self.phase = RemediationPhase::Previewed;
                self.previews = Arc::new(previews.clone());
                self.blast = *blast;
                self.binding = Some(binding.clone());
            }
            RemediationEvent::RemediationAdmitted { policy, admission, reason, .. } => {
                self.policy = Some(policy.clone());
                self.admission_reason = Some(reason.clone());
                self.retry_at = None;
                // Where people must be asked, the request that follows says so.
                if matches!(admission, Admission::Unattended) {
                    self.phase = RemediationPhase::Executable;
                }
                self.admission = Some(admission.clone());
            }
            RemediationEvent::RemediationDeferred { policy, reason, retry_at, .. } => {
                self.phase = RemediationPhase::Deferred;
                self.policy = Some(policy.clone());
                self.admission_reason = Some(reason.clone());
                self.retry_at = Some(*retry_at);
                self.deferrals += 1;
            }
            _ => {}
        }
    }

    fn approve(&mut self, event: &RemediationEvent) {
        match event {
            RemediationEvent::ApprovalRequested { people, expires_at, .. } => {
                self.phase = RemediationPhase::AwaitingApproval;
                self.people = *people;
                self.expires_at = Some(*expires_at);
            }
            RemediationEvent::RemediationApproved { by, on_behalf_of, comment, complete, at, .. } => {
                self.approvers.insert(people::key(by));
                self.approvers.extend(on_behalf_of.as_ref().map(people::key));
                let (by, on_behalf_of, comment) = (by.clone(), on_behalf_of.clone(), comment.clone());
                self.approvals.push(Approval { by, on_behalf_of, comment, at: *at });
                if *complete {
                    self.phase = RemediationPhase::Executable;
                }
            }
            RemediationEvent::ApprovalDelegated { by, to, comment, at } => {
                self.approvers.insert(people::key(by));
                let (by, to, comment) = (by.clone(), to.clone(), comment.clone());
                self.delegations.push(Delegation { by, to, comment, at: *at });
            }
            RemediationEvent::ApprovalVoided { reason, .. } => self.plan_again(reason),
            RemediationEvent::ExecutionRequested { by, .. } => {
                self.phase = RemediationPhase::Confirming;
                self.executors.insert(people::key(by));
                self.executor = Some(by.clone());
            }
            // A rejection is followed by the cancellation.
            _ => {}
        }
    }

    /// Nothing of what was bound is good any more. Who approved and who executed stays known, and with which policy
    /// something may be reserved.
    fn plan_again(&mut self, reason: &str) {
        *self = Self {
            phase: RemediationPhase::Requested,
            id: self.id,
            problem: self.problem.take(),
            runbook: self.runbook.take(),
            trigger: self.trigger,
            dry_run: self.dry_run,
            requested_by: self.requested_by.take(),
            requested_at: self.requested_at,
            plans: self.plans,
            policy: self.policy.take(),
            deferrals: self.deferrals,
            approvers: std::mem::take(&mut self.approvers),
            executors: std::mem::take(&mut self.executors),
            reason: Some(reason.to_owned()),
            ..Self::default()
        };
    }

    fn begin(&mut self) {
        self.phase = RemediationPhase::Executing;
        self.reason = None;
    }

    fn step_forward(&mut self, event: &RemediationEvent) {
        match event {
            RemediationEvent::StepStarted { step, attempt, .. } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.attempt = *attempt;
                    // A further attempt keeps what was there before the first one.
                    if step.phase == StepPhase::Waiting {
                        step.phase = StepPhase::Started;
                    }
                }
            }
            RemediationEvent::BeforeImageCaptured { step, image, .. } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.phase = StepPhase::Captured;
                    step.image = Some(Arc::new(image.clone()));
                }
            }
            RemediationEvent::StepSucceeded { step, outputs, found_done, .. } => {
                if let Some(step) = self.outcome_of(step) {
                    step.phase = StepPhase::Succeeded;
                    step.outputs.clone_from(outputs);
                    step.found_done = *found_done;
                }
            }
            RemediationEvent::StepFailed { step: name, error, .. } => {
                if let Some(step) = self.outcome_of(name) {
                    step.phase = StepPhase::Failed;
                    step.error = Some(error.clone());
                }
                // The first failure is the reason; others may follow from it.
                self.failure.get_or_insert_with(|| format!("step {name}: {error}"));
            }
            _ => {}
        }
    }

    fn outcome_of(&mut self, step: &StepName) -> Option<&mut StepState> {
        let step = self.steps.get_mut(step)?;
        self.outcomes += 1;
        step.outcome_at = Some(self.outcomes);
        Some(step)
    }

    fn step_back(&mut self, event: &RemediationEvent) {
        match event {
            RemediationEvent::RollbackStarted { reason, by, steps, end, .. } => {
                self.phase = RemediationPhase::RollingBack;
                self.ended_at = None;
                for name in steps {
                    if let Some(step) = self.steps.get_mut(name) {
                        step.undone = UndoState::Not;
                    }
                }
                let (reason, by, steps) = (reason.clone(), by.clone(), steps.clone());
                self.rollback = Some(Rollback { reason, by, steps, end: *end });
            }
            RemediationEvent::StepUndoStarted { step, attempt, .. } => {
                self.set_undone(step, UndoState::UnderWay { attempt: *attempt });
            }
            RemediationEvent::StepUndone { step, state, .. } => {
                self.set_undone(step, UndoState::Done { state: state.clone() });
            }
            RemediationEvent::StepUndoFailed { step, error, .. } => {
                self.set_undone(step, UndoState::Failed { error: error.clone() });
            }
            _ => {}
        }
    }

    fn set_undone(&mut self, step: &StepName, undone: UndoState) {
        if let Some(step) = self.steps.get_mut(step) {
            step.undone = undone;
        }
    }

    fn rest(&mut self, phase: RemediationPhase, reason: Option<&String>) {
        self.phase = phase;
        self.reason = reason.cloned();
        self.ended_at = None;
    }

    fn end(&mut self, phase: RemediationPhase, reason: Option<&String>, at: DateTime<Utc>) {
        self.rest(phase, reason);
        self.ended_at = Some(at);
    }
}
