//! A remediation: its plan, what it would change, who decides, and how far it has come.

use super::enums::Outcome;
use super::{Deployment, Finding};
use crate::schema::as_of::{AsOfMoment, load, told};
use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use async_graphql::{Context, Enum, ID, Json, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::remediation::{Admission, PlannedStep, StepPreview, StepState, Trigger, UndoState, Undoing};
use query_side::{DeploymentLoader, FindingLoader, RemediationView};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// Where a remediation is in its life.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "domain::remediation::RemediationPhase")]
pub enum RemediationStatus {
    /// Nothing is known of it.
    Absent,
    /// Asked for: to be planned.
    Requested,
    /// To be run dry.
    Planned,
    /// Run dry: the policy is asked.
    Previewed,
    /// The policy said: not now.
    Deferred,
    /// People are asked to approve it.
    AwaitingApproval,
    /// Somebody may have it done.
    Executable,
    /// What the target is like is being confirmed.
    Confirming,
    /// Its steps and the post-check are under way.
    Executing,
    /// What was done is being taken back.
    RollingBack,
    /// Put right and checked.
    Succeeded,
    /// Not put right; nothing of it is left behind.
    Failed,
    /// Taken back at a person's wish.
    Undone,
    /// No longer wanted, rejected, or only a dry run.
    Cancelled,
    /// A person is needed.
    Stuck,
    /// The emergency stop left it as it was.
    Halted,
}

/// How far a step has come forward.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "domain::remediation::StepPhase")]
pub enum StepStatus {
    /// Not begun.
    Waiting,
    /// The intent is recorded; nothing is changed.
    Started,
    /// What was there is recorded: from here on it may have been changed.
    Captured,
    /// Done and verified.
    Succeeded,
    /// Not done, or not verified.
    Failed,
}

/// Whether a step can be taken back.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub enum UndoKind {
    /// From what was there before; proven by the hash of the state.
    FromBeforeImage,
    /// Nothing is left to take back.
    Nothing,
    /// It can not be taken back.
    Impossible,
}

/// How far a step has come back.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub enum UndoStatus {
    /// Not begun.
    NotBegun,
    /// Under way.
    UnderWay,
    /// Taken back, and the state is what it was.
    Restored,
    /// Taken back, and there is no state to compare.
    NothingToCompare,
    /// Taken back, and the state is not what it was.
    Different,
    /// It could not be taken back.
    Failed,
}

/// Who or what asked for a remediation.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub enum RemediationTrigger {
    /// A person.
    Person,
    /// The policy, on a finding.
    Policy,
}

/// What puts a finding right: planned, run dry, approved, done step by step, checked, and taken back where it fails.
pub struct Remediation(pub Arc<RemediationView>);

/// What puts a finding right: planned, run dry, approved, done step by step, checked, and taken back where it fails.
#[Object]
impl Remediation {
    /// The moment that this is as of; null: the present.
    async fn as_of(&self, ctx: &Context<'_>) -> Option<AsOfMoment> {
        told(ctx)
    }
    /// Its global id.
    pub async fn id(&self) -> ID {
        global(self.0.id)
    }
    /// Its bare id, as logs and streams name it.
    async fn uuid(&self) -> Uuid {
        self.0.id.0
    }
    /// Where.
    async fn deployment(&self, ctx: &Context<'_>) -> Result<Option<Deployment>> {
        Ok(load::<DeploymentLoader, _>(ctx, self.0.deployment_id).await?.map(Deployment))
    }
    /// What it puts right.
    async fn finding(&self, ctx: &Context<'_>) -> Result<Option<Finding>> {
        Ok(load::<FindingLoader, _>(ctx, self.0.finding_id).await?.map(Finding))
    }
    /// The deployment's id.
    async fn deployment_id(&self) -> ID {
        global(self.0.deployment_id)
    }
    /// The finding's id.
    async fn finding_id(&self) -> ID {
        global(self.0.finding_id)
    }
    /// The check that raised the finding.
    async fn check_code(&self) -> &str {
        &self.0.check_code
    }
    /// The component that the check looked at.
    async fn component(&self) -> &str {
        &self.0.component
    }
    /// What the finding is about.
    async fn resource(&self) -> &str {
        &self.0.resource
    }
    /// WARNING or CRITICAL.
    async fn severity(&self) -> Outcome {
        self.0.severity.into()
    }
    /// Where it is in its life.
    async fn status(&self) -> RemediationStatus {
        self.0.state.phase.into()
    }
    /// Whether nothing more happens to it unless a person wants it to.
    async fn at_rest(&self) -> bool {
        self.0.state.phase.is_at_rest()
    }
    /// Whether it ends after the dry run.
    async fn dry_run(&self) -> bool {
        self.0.state.dry_run
    }
    /// Who or what asked.
    async fn trigger(&self) -> Option<RemediationTrigger> {
        self.0.state.trigger.map(|trigger| match trigger {
            Trigger::Person => RemediationTrigger::Person,
            Trigger::Policy => RemediationTrigger::Policy,
        })
    }
    /// Who asked.
    async fn requested_by(&self) -> &str {
        &self.0.requested_by
    }
    /// When.
    async fn requested_at(&self) -> DateTime<Utc> {
        self.0.requested_at
    }
    /// When its first step could begin.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }
    /// When it came to its end; null while it is stuck or halted.
    async fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.0.ended_at
    }
    /// By which runbook.
    async fn runbook(&self) -> Option<&str> {
        self.0.runbook.as_deref()
    }
    /// The plan in words; null until planned.
    async fn title(&self) -> Option<&str> {
        self.0.state.plan.as_ref().map(|plan| plan.title.as_str())
    }
    /// Its steps in the plan's order, each with what it would change and how far it has come.
    #[graphql(complexity = "20 * child_complexity")]
    async fn steps(&self) -> Vec<RemediationStep> {
        let view = &self.0;
        let steps = view.state.planned_steps();
        steps.map(|(planned, _)| RemediationStep { view: Arc::clone(view), name: planned.name.clone() }).collect()
    }
    /// How much it touches.
    async fn blast(&self) -> BlastRadius {
        let blast = self.0.state.blast;
        BlastRadius {
            deployments: blast.deployments.to_string(),
            stores: blast.stores.to_string(),
            documents: blast.documents.to_string(),
            users: blast.users.to_string(),
            bytes: blast.bytes.to_string(),
        }
    }
    /// The hash that an approval is bound to: of the plan, the state of each target and the version of the check.
    async fn binding(&self) -> Option<&str> {
        self.0.state.binding().map(domain::ContentHash::as_str)
    }
    /// Which policy judged.
    async fn policy(&self) -> Option<&str> {
        self.0.state.policy.as_ref().map(domain::PolicyName::as_str)
    }
    /// What the policy said, in words.
    async fn admission(&self) -> Option<String> {
        let said = self.0.state.admission.as_ref().map(|admission| match admission {
            Admission::Automatic => "automatic".to_owned(),
            Admission::Unattended => "unattended".to_owned(),
            Admission::Approval { people, .. } => format!("approval by {people}"),
            Admission::Deferred { .. } => "deferred".to_owned(),
            Admission::Forbidden => "forbidden".to_owned(),
        })?;
        Some(self.0.state.admission_reason.as_ref().map_or_else(|| said.clone(), |why| format!("{said}: {why}")))
    }
    /// How many people must approve it; 0 where none must.
    async fn approvals_needed(&self) -> i32 {
        i32::from(self.0.state.people)
    }
    /// Until when the approval is waited for, and then is good for.
    async fn approval_expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.state.expires_at
    }
    /// The approvals of what is bound now.
    async fn approvals(&self) -> Vec<Approval> {
        let each = self.0.state.approvals.iter();
        each.map(|approval| Approval {
            by: approval.by.to_string(),
            on_behalf_of: approval.on_behalf_of.as_ref().map(ToString::to_string),
            comment: approval.comment.clone(),
            at: approval.at,
        })
        .collect()
    }
    /// Who was asked to decide instead of whom.
    async fn delegations(&self) -> Vec<Delegation> {
        let each = self.0.state.delegations.iter();
        each.map(|given| Delegation {
            by: given.by.to_string(),
            to: given.to.to_string(),
            comment: given.comment.clone(),
            at: given.at,
        })
        .collect()
    }
    /// Who has it done.
    async fn executor(&self) -> Option<String> {
        self.0.state.executor.as_ref().map(ToString::to_string)
    }
    /// Why it is or was taken back.
    async fn rollback_reason(&self) -> Option<&str> {
        self.0.state.rollback.as_ref().map(|rollback| rollback.reason.as_str())
    }
    /// Why it rests as it does.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
    /// The position of the last event that changed this.
    async fn position(&self) -> PositionScalar {
        self.0.last_position.into()
    }
}

/// How much a plan touches, as whole numbers in text: bytes do not fit into an Int.
#[derive(SimpleObject)]
pub struct BlastRadius {
    /// Deployments.
    deployments: String,
    /// Document stores.
    stores: String,
    /// Documents or files.
    documents: String,
    /// Users, or sessions of users.
    users: String,
    /// Bytes moved, rewritten or locked.
    bytes: String,
}

/// An approval that counts.
#[derive(SimpleObject)]
pub struct Approval {
    /// Who approved.
    by: String,
    /// Instead of whom.
    on_behalf_of: Option<String>,
    /// In their words.
    comment: String,
    /// When.
    at: DateTime<Utc>,
}

/// Somebody asked somebody else to decide.
#[derive(SimpleObject)]
pub struct Delegation {
    /// Who asked.
    by: String,
    /// Whom.
    to: String,
    /// In their words.
    comment: String,
    /// When.
    at: DateTime<Utc>,
}

/// One thing that a step would change, read from the target.
#[derive(SimpleObject)]
pub struct Change {
    /// In words.
    summary: String,
    /// What is changed.
    subject: String,
    /// As it is; null where there is nothing yet.
    from: Option<Json<Value>>,
    /// As it would be; null where there would be nothing left.
    to: Option<Json<Value>>,
}

/// One step of a plan: one action on one component.
pub struct RemediationStep {
    view: Arc<RemediationView>,
    name: domain::StepName,
}

impl RemediationStep {
    fn planned(&self) -> Option<&PlannedStep> {
        self.view.state.plan.as_ref()?.step(&self.name)
    }

    fn state(&self) -> Option<&StepState> {
        self.view.state.steps.get(&self.name)
    }

    fn preview(&self) -> Option<&StepPreview> {
        self.view.state.previews.iter().find(|preview| preview.step == self.name)
    }
}

/// One step of a plan: one action on one component.
#[Object]
impl RemediationStep {
    /// Its name in the plan.
    async fn name(&self) -> &str {
        self.name.as_str()
    }
    /// In words, with the values that it is about.
    async fn title(&self) -> &str {
        self.planned().map_or("", |step| &step.title)
    }
    /// What it does; see the action's page.
    async fn action(&self) -> &str {
        self.planned().map_or("", |step| step.action.as_str())
    }
    /// What it does it to.
    async fn component(&self) -> &str {
        self.planned().map_or("", |step| step.component.as_str())
    }
    /// The steps that must have succeeded before it starts.
    async fn after(&self) -> Vec<&str> {
        self.planned().map(|step| step.after.iter().map(domain::StepName::as_str).collect()).unwrap_or_default()
    }
    /// It never runs without a person's approval.
    async fn always_approve(&self) -> bool {
        self.planned().is_some_and(|step| step.always_approve)
    }
    /// How far it has come forward; null until planned.
    async fn status(&self) -> Option<StepStatus> {
        self.state().map(|step| step.phase.into())
    }
    /// How often it was begun.
    async fn attempts(&self) -> i32 {
        self.state().map_or(0, |step| i32::try_from(step.attempt).unwrap_or(i32::MAX))
    }
    /// What it would change, as the dry run read it; empty where nothing, or before the dry run.
    async fn changes(&self) -> Vec<Change> {
        let changes = self.preview().map(|preview| preview.changes.iter()).into_iter().flatten();
        changes
            .map(|change| Change {
                summary: change.summary.clone(),
                subject: change.subject.clone(),
                from: change.from.clone().map(Json),
                to: change.to.clone().map(Json),
            })
            .collect()
    }
    /// How many further changes were left out.
    async fn changes_omitted(&self) -> i32 {
        self.preview().map_or(0, |preview| i32::try_from(preview.omitted).unwrap_or(i32::MAX))
    }
    /// Why it can not be said yet what it would change.
    async fn undetermined(&self) -> Option<&str> {
        self.preview().and_then(|preview| preview.undetermined.as_deref())
    }
    /// Whether it can be taken back.
    async fn undo(&self) -> Option<UndoKind> {
        self.planned().map(|step| match step.undo {
            Undoing::FromBeforeImage => UndoKind::FromBeforeImage,
            Undoing::Nothing { .. } => UndoKind::Nothing,
            Undoing::Impossible { .. } => UndoKind::Impossible,
        })
    }
    /// Why it can not be taken back, or need not be.
    async fn undo_reason(&self) -> Option<&str> {
        match &self.planned()?.undo {
            Undoing::FromBeforeImage => None,
            Undoing::Nothing { reason } | Undoing::Impossible { reason } => Some(reason),
        }
    }
    /// How far it has come back.
    async fn undo_status(&self) -> UndoStatus {
        let Some(step) = self.state() else { return UndoStatus::NotBegun };
        match &step.undone {
            UndoState::Not => UndoStatus::NotBegun,
            UndoState::UnderWay { .. } => UndoStatus::UnderWay,
            UndoState::Failed { .. } => UndoStatus::Failed,
            UndoState::Done { state: None } => UndoStatus::NothingToCompare,
            UndoState::Done { .. } if self.view.state.is_restored(&self.name) => UndoStatus::Restored,
            UndoState::Done { .. } => UndoStatus::Different,
        }
    }
    /// Why it failed, or could not be taken back.
    async fn error(&self) -> Option<&str> {
        let step = self.state()?;
        match &step.undone {
            UndoState::Failed { error } => Some(error),
            _ => step.error.as_deref(),
        }
    }
    /// Whether it was found done by whoever took over after a crash.
    async fn found_done(&self) -> bool {
        self.state().is_some_and(|step| step.found_done)
    }
    /// The hash of the state before it, once it was read.
    async fn state_before(&self) -> Option<&str> {
        self.state()?.image.as_ref().map(|image| image.state.as_str())
    }
    /// The hash of the state after it was taken back.
    async fn state_after_undo(&self) -> Option<&str> {
        match &self.state()?.undone {
            UndoState::Done { state } => state.as_ref().map(domain::ContentHash::as_str),
            _ => None,
        }
    }
}
