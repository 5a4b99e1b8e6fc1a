//! What people do with findings.

use super::{command_id, payload, send};
use crate::schema::ids::local;
use crate::schema::query;
use crate::schema::types::Finding as FindingNode;
use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::{DateTime, Utc};
use domain::FindingId;
use domain::finding::{Finding, FindingCommand};

payload! {
    /// What became of `acknowledgeFinding`.
    AcknowledgeFindingPayload,
    /// Somebody has taken the finding on.
    AcknowledgeFindingAccepted, finding_id, finding: FindingNode, FindingId, query::finding
}
payload! {
    /// What became of `muteFinding`.
    MuteFindingPayload,
    /// The finding does not alert for a while.
    MuteFindingAccepted, finding_id, finding: FindingNode, FindingId, query::finding
}
payload! {
    /// What became of `unmuteFinding`.
    UnmuteFindingPayload,
    /// The finding alerts again.
    UnmuteFindingAccepted, finding_id, finding: FindingNode, FindingId, query::finding
}
payload! {
    /// What became of `markFindingFalsePositive`.
    MarkFindingFalsePositivePayload,
    /// The finding is said to be no problem.
    MarkFindingFalsePositiveAccepted, finding_id, finding: FindingNode, FindingId, query::finding
}
payload! {
    /// What became of `withdrawFindingFalsePositive`.
    WithdrawFindingFalsePositivePayload,
    /// The finding may be a problem after all.
    WithdrawFindingFalsePositiveAccepted, finding_id, finding: FindingNode, FindingId, query::finding
}

/// What to take on.
#[derive(InputObject)]
pub struct AcknowledgeFindingInput {
    /// This finding.
    finding_id: ID,
    /// A word to others.
    #[graphql(default)]
    comment: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// What to mute, and how long.
#[derive(InputObject)]
pub struct MuteFindingInput {
    /// This finding.
    finding_id: ID,
    /// It does not alert until then; at most a year ahead.
    until: DateTime<Utc>,
    /// Why.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// What to unmute.
#[derive(InputObject)]
pub struct UnmuteFindingInput {
    /// This finding.
    finding_id: ID,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// What is no problem, or is one after all.
#[derive(InputObject)]
pub struct FindingFalsePositiveInput {
    /// This finding.
    finding_id: ID,
    /// Why.
    reason: String,
    /// The same key again returns what happened the first time.
    idempotency_key: Option<String>,
}

/// Findings.
#[derive(Default)]
pub struct FindingMutation;

#[Object]
impl FindingMutation {
    /// Takes a finding on.
    async fn acknowledge_finding(
        &self,
        ctx: &Context<'_>,
        input: AcknowledgeFindingInput,
    ) -> Result<AcknowledgeFindingPayload> {
        let id: FindingId = local(&input.finding_id)?;
        let command_id = command_id(ctx, "acknowledgeFinding", input.idempotency_key.as_deref())?;
        let command = FindingCommand::Acknowledge { comment: input.comment };
        Ok(AcknowledgeFindingPayload::of(id, send::<Finding>(ctx, id.0, command_id, command).await?))
    }

    /// Keeps a finding from alerting for a while.
    async fn mute_finding(&self, ctx: &Context<'_>, input: MuteFindingInput) -> Result<MuteFindingPayload> {
        let id: FindingId = local(&input.finding_id)?;
        let command_id = command_id(ctx, "muteFinding", input.idempotency_key.as_deref())?;
        let command = FindingCommand::Mute { until: input.until, reason: input.reason };
        Ok(MuteFindingPayload::of(id, send::<Finding>(ctx, id.0, command_id, command).await?))
    }

    /// Lets a finding alert again.
    async fn unmute_finding(&self, ctx: &Context<'_>, input: UnmuteFindingInput) -> Result<UnmuteFindingPayload> {
        let id: FindingId = local(&input.finding_id)?;
        let command_id = command_id(ctx, "unmuteFinding", input.idempotency_key.as_deref())?;
        Ok(UnmuteFindingPayload::of(id, send::<Finding>(ctx, id.0, command_id, FindingCommand::Unmute).await?))
    }

    /// Says that a finding is no problem: it no longer opens until that is taken back.
    async fn mark_finding_false_positive(
        &self,
        ctx: &Context<'_>,
        input: FindingFalsePositiveInput,
    ) -> Result<MarkFindingFalsePositivePayload> {
        let id: FindingId = local(&input.finding_id)?;
        let command_id = command_id(ctx, "markFindingFalsePositive", input.idempotency_key.as_deref())?;
        let command = FindingCommand::MarkFalsePositive { reason: input.reason };
        Ok(MarkFindingFalsePositivePayload::of(id, send::<Finding>(ctx, id.0, command_id, command).await?))
    }

    /// Takes back that a finding is no problem.
    async fn withdraw_finding_false_positive(
        &self,
        ctx: &Context<'_>,
        input: FindingFalsePositiveInput,
    ) -> Result<WithdrawFindingFalsePositivePayload> {
        let id: FindingId = local(&input.finding_id)?;
        let command_id = command_id(ctx, "withdrawFindingFalsePositive", input.idempotency_key.as_deref())?;
        let command = FindingCommand::WithdrawFalsePositive { reason: input.reason };
        Ok(WithdrawFindingFalsePositivePayload::of(id, send::<Finding>(ctx, id.0, command_id, command).await?))
    }
}
