//! A finding and its life.

use super::check_result::Evidence;
use super::enums::{FindingStatus, Outcome};
use super::{Deployment, Run};
use crate::schema::as_of::{AsOfMoment, load, now_then, told};
use crate::schema::context::{FIRST_NESTED, connection, list_cost, page_request, queries, query_error};
use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use async_graphql::connection::Connection;
use async_graphql::{Context, ID, Json, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use command_side::Clock;
use query_side::queries::FirstFew;
use query_side::{DeploymentLoader, FindingView, RunLoader};
use std::sync::Arc;
use uuid::Uuid;

/// One problem, by its fingerprint: deployment, check and resource.
pub struct Finding(pub Arc<FindingView>);

impl From<&FindingView> for Finding {
    fn from(view: &FindingView) -> Self {
        Self(Arc::new(view.clone()))
    }
}

/// One problem, by its fingerprint: deployment, check and resource.
#[Object]
impl Finding {
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
    /// Where it is.
    async fn deployment(&self, ctx: &Context<'_>) -> Result<Option<Deployment>> {
        Ok(load::<DeploymentLoader, _>(ctx, self.0.deployment_id).await?.map(Deployment))
    }
    /// Which check found it.
    async fn check_code(&self) -> &str {
        &self.0.check_code
    }
    /// Which component the check looked at.
    async fn component(&self) -> &str {
        &self.0.component
    }
    /// What it is about, within the deployment.
    async fn resource(&self) -> &str {
        &self.0.resource
    }
    /// Where it is in its life.
    async fn status(&self) -> FindingStatus {
        self.0.status.into()
    }
    /// WARNING or CRITICAL.
    async fn severity(&self) -> Outcome {
        self.0.severity.into()
    }
    /// Whether it does not alert at this moment.
    async fn muted(&self, ctx: &Context<'_>) -> Result<bool> {
        let now = match now_then(ctx) {
            Some(then) => then,
            None => ctx.data::<Arc<dyn Clock>>()?.now(),
        };
        Ok(self.0.is_muted(now))
    }
    /// It does not alert until then. May lie in the past: the mute has then run out.
    async fn muted_until(&self) -> Option<DateTime<Utc>> {
        self.0.muted_until
    }
    /// Why it was muted.
    async fn mute_reason(&self) -> Option<&str> {
        self.0.mute_reason.as_deref()
    }
    /// Whether it changes to and fro: resolving and reopening are held back until it settles.
    async fn flapping(&self) -> bool {
        self.0.flapping
    }
    /// How often it was seen bad since it first opened.
    async fn occurrences(&self) -> i32 {
        self.0.occurrences
    }
    /// How often it came back.
    async fn regressions(&self) -> i32 {
        self.0.regressions
    }
    /// What is seen, in one line with the measured value.
    async fn symptom(&self) -> &str {
        &self.0.symptom
    }
    /// Why, as far as is known.
    async fn cause(&self) -> &str {
        &self.0.cause
    }
    /// What it means for users and records.
    async fn impact(&self) -> &str {
        &self.0.impact
    }
    /// What to do.
    async fn advice(&self) -> &str {
        &self.0.advice
    }
    /// What was measured last.
    async fn evidence(&self) -> Evidence {
        Evidence::from(&self.0.evidence)
    }
    /// When it was first measured.
    async fn first_seen_at(&self) -> DateTime<Utc> {
        self.0.first_seen_at
    }
    /// When it was last measured bad.
    async fn last_seen_at(&self) -> DateTime<Utc> {
        self.0.last_seen_at
    }
    /// When it last opened.
    async fn opened_at(&self) -> Option<DateTime<Utc>> {
        self.0.opened_at
    }
    /// When it was resolved, if it is.
    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }
    /// Who has taken it on.
    async fn acknowledged_by(&self) -> Option<&str> {
        self.0.acknowledged_by.as_deref()
    }
    /// When it was taken on.
    async fn acknowledged_at(&self) -> Option<DateTime<Utc>> {
        self.0.acknowledged_at
    }
    /// The run that last measured it.
    async fn last_run(&self, ctx: &Context<'_>) -> Result<Option<Run>> {
        Ok(load::<RunLoader, _>(ctx, self.0.last_run_id).await?.map(Run))
    }
    /// Its life, oldest first.
    #[graphql(complexity = "list_cost(first, child_complexity) + 50")]
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST_NESTED")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
    ) -> Result<Connection<String, FindingHistoryEntry>> {
        let later = after.is_some();
        let page = queries(ctx)?.finding_history(self.0.id, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, async_graphql::connection::EmptyFields, FindingHistoryEntry::from))
    }
    /// The position of the last event that changed this.
    async fn position(&self) -> PositionScalar {
        self.0.last_position.into()
    }
}

/// The first findings of a run or a deployment.
#[derive(SimpleObject)]
pub struct FindingList {
    /// The findings, critical ones first.
    pub nodes: Vec<Finding>,
    /// Whether there are more.
    pub has_more: bool,
}

impl FindingList {
    /// Of the rows of one owner; empty where there are none.
    pub fn of(few: Option<&FirstFew<FindingView>>) -> Self {
        few.map_or_else(
            || Self { nodes: Vec::new(), has_more: false },
            |few| Self { nodes: few.items.iter().map(Finding::from).collect(), has_more: few.has_more },
        )
    }
}

/// One event of a finding's life.
#[derive(SimpleObject)]
pub struct FindingHistoryEntry {
    /// Its place in the finding's life, from 1.
    version: i64,
    /// Its place in the log.
    position: PositionScalar,
    /// What happened, such as `FindingOpened`.
    event_type: String,
    /// When.
    at: DateTime<Utc>,
    /// Who.
    actor: String,
    /// The run that saw it, where one did.
    run_id: Option<ID>,
    /// What the event says beyond that.
    detail: Json<serde_json::Value>,
}

impl From<query_side::FindingHistoryEntry> for FindingHistoryEntry {
    fn from(entry: query_side::FindingHistoryEntry) -> Self {
        Self {
            version: entry.version,
            position: entry.position.into(),
            event_type: entry.event_type,
            at: entry.at,
            actor: entry.actor,
            run_id: entry.run_id.map(global),
            detail: Json(entry.detail),
        }
    }
}
