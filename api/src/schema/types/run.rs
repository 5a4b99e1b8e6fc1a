//! A diagnostic run.

use super::enums::{Outcome, Priority, RunStatus};
use super::{CheckResult, CheckResultList, Deployment, FindingList};
use crate::schema::as_of::{AsOfMoment, load, told};
use crate::schema::context::{FIRST_NESTED, list_cost};
use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use async_graphql::{Context, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use query_side::loaders::FirstOf;
use query_side::{DeploymentLoader, FindingsByRunLoader, ResultsByRunLoader, RunView};
use std::sync::Arc;
use uuid::Uuid;

/// One diagnosis of one deployment.
pub struct Run(pub Arc<RunView>);

/// One diagnosis of one deployment.
#[Object]
impl Run {
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
    /// The deployment's id.
    async fn deployment_id(&self) -> ID {
        global(self.0.deployment_id)
    }
    /// What it looks at.
    async fn deployment(&self, ctx: &Context<'_>) -> Result<Option<Deployment>> {
        Ok(load::<DeploymentLoader, _>(ctx, self.0.deployment_id).await?.map(Deployment))
    }
    /// Which checks, by name.
    async fn profile(&self) -> &str {
        &self.0.profile
    }
    /// Where it is in its life.
    async fn status(&self) -> RunStatus {
        self.0.status.into()
    }
    /// Whether nothing more can happen to it.
    async fn ended(&self) -> bool {
        self.0.status.has_ended()
    }
    /// How soon its work is taken up.
    async fn priority(&self) -> Priority {
        self.0.priority.into()
    }
    /// How many checks it consists of; 0 before it is planned.
    async fn planned(&self) -> i32 {
        self.0.planned
    }
    /// How many have ended.
    async fn done(&self) -> i32 {
        self.0.done
    }
    /// The verdict, of a completed run only: one that was cut short has none.
    async fn outcome(&self) -> Option<Outcome> {
        self.0.outcome.map(Into::into)
    }
    /// How many checks ended how.
    async fn tally(&self) -> Tally {
        self.0.tally.into()
    }
    /// The results, by check and component.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn results(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 200.", default_with = "FIRST_NESTED")] first: i32,
    ) -> Result<CheckResultList> {
        let key = FirstOf { id: self.0.id, first: i64::from(first) };
        let few = load::<ResultsByRunLoader, _>(ctx, key).await?;
        Ok(few.map_or_else(
            || CheckResultList { nodes: Vec::new(), has_more: false },
            |few| CheckResultList {
                nodes: few.items.iter().cloned().map(CheckResult).collect(),
                has_more: few.has_more,
            },
        ))
    }
    /// The findings that it saw, as they are now, critical ones first.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 200.", default_with = "FIRST_NESTED")] first: i32,
    ) -> Result<FindingList> {
        let key = FirstOf { id: self.0.id, first: i64::from(first) };
        let few = load::<FindingsByRunLoader, _>(ctx, key).await?;
        Ok(FindingList::of(few.as_deref()))
    }
    /// Who asked for it.
    async fn requested_by(&self) -> &str {
        &self.0.requested_by
    }
    /// When it was asked for.
    async fn requested_at(&self) -> DateTime<Utc> {
        self.0.requested_at
    }
    /// When its checks were fixed.
    async fn planned_at(&self) -> Option<DateTime<Utc>> {
        self.0.planned_at
    }
    /// When its first check was under way.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }
    /// When it ended, however it ended.
    async fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.0.ended_at
    }
    /// When it times out.
    async fn deadline(&self) -> DateTime<Utc> {
        self.0.deadline
    }
    /// Why it was cancelled, timed out or failed.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
    /// The position of the last event that changed this.
    async fn position(&self) -> PositionScalar {
        self.0.last_position.into()
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct Tally {
    /// Measured, and within bounds.
    ok: u32,
    /// Measured, and to be looked at.
    warning: u32,
    /// Measured, and to be acted upon now.
    critical: u32,
    /// Could not be measured.
    unknown: u32,
}

impl From<domain::diagnostic_run::Tally> for Tally {
    fn from(tally: domain::diagnostic_run::Tally) -> Self {
        let domain::diagnostic_run::Tally { ok, warning, critical, unknown } = tally;
        Self { ok, warning, critical, unknown }
    }
}
