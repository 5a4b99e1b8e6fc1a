//! Putting findings right: asking, approving, having it done, taking it back.

use super::{command_id, new_stream_id, payload, send};
use crate::schema::codes::{INTERNAL, NOT_FOUND, coded};
use crate::schema::context::named;
use crate::schema::ids::local;
use crate::schema::types::Remediation as RemediationNode;
use crate::schema::{query, remedies};
use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::remediation::{Problem, Remediation, RemediationCommand, Trigger};
use domain::{FindingId, RemediationId};

macro_rules! remediation_payloads {
    ($($(#[$doc:meta])* $payload:ident, $(#[$accepted_doc:meta])* $accepted:ident;)+) => {$(
        payload! {
            $(#[$doc])*
            $payload,
            $(#[$accepted_doc])*
            $accepted, remediation_id, remediation: RemediationNode, RemediationId, remedies::remediation
        }
    )+};
}

remediation_payloads! {
    /// What became of `requestRemediation`.
    RequestRemediationPayload,
    /// The remediation is asked for; follow it with `remediationProgress`.
    RequestRemediationAccepted;
    /// What became of `approveRemediation`.
    ApproveRemediationPayload,
    /// The approval counts.
    ApproveRemediationAccepted;
    /// What became of `rejectRemediation`.
    RejectRemediationPayload,
    /// It is not going to be done.
    RejectRemediationAccepted;
    /// What became of `delegateApproval`.
    DelegateApprovalPayload,
    /// Somebody else is asked to decide.
    DelegateApprovalAccepted;
    /// What became of `executeRemediation`.
    ExecuteRemediationPayload,
    /// It is going to be done, if the target still is what was approved.
    ExecuteRemediationAccepted;
    /// What became of `cancelRemediation`.
    CancelRemediationPayload,
    /// It goes no further; what was done is taken back.
    CancelRemediationAccepted;
    /// What became of `undoRemediation`.
    UndoRemediationPayload,
    /// What was done is going to be taken back.
    UndoRemediationAccepted;
    /// What became of `releaseRemediation`.
    ReleaseRemediationPayload,
    /// A person has seen to it by hand.
    ReleaseRemediationAccepted;
}

/// What to put right.
#[derive(InputObject)]
pub struct RequestRemediationInput {
    /// This finding.
    finding_id: ID,
    /// By this runbook; none: by the one that the policy chooses.
    runbook: Option<String>,
    /// Only say what would be changed.
    #[graphql(default)]
    dry_run: bool,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// What to approve.
#[derive(InputObject)]
pub struct ApproveRemediationInput {
    /// This remediation.
    remediation_id: ID,
    /// The `binding` of what was looked at: an approval of anything else is refused.
    binding: String,
    /// A word to others.
    #[graphql(default)]
    comment: String,
    /// Instead of this person, who has asked for it.
    on_behalf_of: Option<String>,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// Who is to decide instead.
#[derive(InputObject)]
pub struct DelegateApprovalInput {
    /// About this remediation.
    remediation_id: ID,
    /// This person.
    to: String,
    /// A word to them.
    #[graphql(default)]
    comment: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// A remediation, and why.
#[derive(InputObject)]
pub struct RemediationReasonInput {
    /// This remediation.
    remediation_id: ID,
    /// Why.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// A remediation.
#[derive(InputObject)]
pub struct ExecuteRemediationInput {
    /// This remediation.
    remediation_id: ID,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// Remediations.
#[derive(Default)]
pub struct RemediationMutation;

#[Object]
impl RemediationMutation {
    /// Asks for a finding to be put right: it is planned, run dry, and then goes on as the policy says.
    async fn request_remediation(
        &self,
        ctx: &Context<'_>,
        input: RequestRemediationInput,
    ) -> Result<RequestRemediationPayload> {
        let key = input.idempotency_key.as_deref();
        let command_id = command_id(ctx, "requestRemediation", key)?;
        let id = new_stream_id(command_id, key);
        let command = RemediationCommand::Request {
            problem: problem(ctx, local(&input.finding_id)?).await?,
            runbook: input.runbook.as_deref().map(named).transpose()?,
            trigger: Trigger::Person,
            dry_run: input.dry_run,
        };
        Ok(RequestRemediationPayload::of(id.into(), send::<Remediation>(ctx, id, command_id, command).await?))
    }

    /// Approves what was looked at. Who approves can not have it done.
    async fn approve_remediation(
        &self,
        ctx: &Context<'_>,
        input: ApproveRemediationInput,
    ) -> Result<ApproveRemediationPayload> {
        let id: RemediationId = local(&input.remediation_id)?;
        let command_id = command_id(ctx, "approveRemediation", input.idempotency_key.as_deref())?;
        let command = RemediationCommand::Approve {
            binding: named(&input.binding)?,
            comment: input.comment,
            on_behalf_of: input.on_behalf_of.as_deref().map(named).transpose()?,
        };
        Ok(ApproveRemediationPayload::of(id, send::<Remediation>(ctx, id.0, command_id, command).await?))
    }

    /// Says no.
    async fn reject_remediation(
        &self,
        ctx: &Context<'_>,
        input: RemediationReasonInput,
    ) -> Result<RejectRemediationPayload> {
        let id: RemediationId = local(&input.remediation_id)?;
        let command_id = command_id(ctx, "rejectRemediation", input.idempotency_key.as_deref())?;
        let command = RemediationCommand::Reject { comment: input.reason };
        Ok(RejectRemediationPayload::of(id, send::<Remediation>(ctx, id.0, command_id, command).await?))
    }

    /// Asks somebody else to decide instead.
    async fn delegate_approval(
        &self,
        ctx: &Context<'_>,
        input: DelegateApprovalInput,
    ) -> Result<DelegateApprovalPayload> {
        let id: RemediationId = local(&input.remediation_id)?;
        let command_id = command_id(ctx, "delegateApproval", input.idempotency_key.as_deref())?;
        let command = RemediationCommand::Delegate { to: named(&input.to)?, comment: input.comment };
        Ok(DelegateApprovalPayload::of(id, send::<Remediation>(ctx, id.0, command_id, command).await?))
    }

    /// Has it done. Who approved can not.
    async fn execute_remediation(
        &self,
        ctx: &Context<'_>,
        input: ExecuteRemediationInput,
    ) -> Result<ExecuteRemediationPayload> {
        let id: RemediationId = local(&input.remediation_id)?;
        let command_id = command_id(ctx, "executeRemediation", input.idempotency_key.as_deref())?;
        let command = RemediationCommand::Execute;
        Ok(ExecuteRemediationPayload::of(id, send::<Remediation>(ctx, id.0, command_id, command).await?))
    }

    /// Lets it go no further; what was done is taken back.
    async fn cancel_remediation(
        &self,
        ctx: &Context<'_>,
        input: RemediationReasonInput,
    ) -> Result<CancelRemediationPayload> {
        let id: RemediationId = local(&input.remediation_id)?;
        let command_id = command_id(ctx, "cancelRemediation", input.idempotency_key.as_deref())?;
        let command = RemediationCommand::Cancel { reason: input.reason };
        Ok(CancelRemediationPayload::of(id, send::<Remediation>(ctx, id.0, command_id, command).await?))
    }

    /// Takes back what was done by a remediation that has succeeded, and proves it.
    async fn undo_remediation(
        &self,
        ctx: &Context<'_>,
        input: RemediationReasonInput,
    ) -> Result<UndoRemediationPayload> {
        let id: RemediationId = local(&input.remediation_id)?;
        let command_id = command_id(ctx, "undoRemediation", input.idempotency_key.as_deref())?;
        let command = RemediationCommand::Undo { reason: input.reason };
        Ok(UndoRemediationPayload::of(id, send::<Remediation>(ctx, id.0, command_id, command).await?))
    }

    /// Says that a person has seen to a stuck or halted one by hand, and what was done.
    async fn release_remediation(
        &self,
        ctx: &Context<'_>,
        input: RemediationReasonInput,
    ) -> Result<ReleaseRemediationPayload> {
        let id: RemediationId = local(&input.remediation_id)?;
        let command_id = command_id(ctx, "releaseRemediation", input.idempotency_key.as_deref())?;
        let command = RemediationCommand::Release { comment: input.reason };
        Ok(ReleaseRemediationPayload::of(id, send::<Remediation>(ctx, id.0, command_id, command).await?))
    }
}

/// The problem that a finding of the caller's tells of.
async fn problem(ctx: &Context<'_>, id: FindingId) -> Result<Problem> {
    let Some(finding) = query::finding(ctx, id).await? else {
        return Err(coded(NOT_FOUND, format!("there is no finding {id}")));
    };
    finding.0.problem().map_err(|error| coded(INTERNAL, error.to_string()))
}
