//! The queries.

#![allow(clippy::too_many_arguments, reason = "a field has as many arguments as its question")]

use super::as_of::{AsOfInput, Told, begin, load};
use super::codes::{BAD_USER_INPUT, coded};
use super::context::{FIRST, connection, connection_by, list_cost, owner, page_request, queries, query_error, tenant};
use super::explanations::Explanations;
use super::filters::{
    CheckResultHistoryFilter, DailyFigureFilterInput, DeploymentFilterInput, FindingFilterInput, RunFilterInput,
    StreamInput,
};
use super::ids::{Identified, local, parse_global};
use super::projections::Projections;
use super::remedies::{Remedies, remediation};
use super::scalars::PositionScalar;
use super::types::{
    Check, CheckResult, DailyFigure, Deployment, Finding, HistoryEvent, Node, Outcome, Platform, Run, TotalOf, Totals,
    event_of,
};
use crate::catalogue::CheckCatalogue;
use async_graphql::connection::Connection;
use async_graphql::{Context, ID, MergedObject, Object, Result};
use domain::{DeploymentId, FindingId, RemediationId, RunId, StreamVersion};
use query_side::{CheckResultView, DeploymentLoader, FindingLoader, RunLoader};
use std::sync::Arc;

/// The most ids of one `nodes`.
const NODES_MAX: usize = 100;

/// The queries.
#[derive(MergedObject, Default)]
pub struct Query(Things, Measurements, Remedies, Explanations, Projections, Workings);

/// Deployments, runs and findings.
#[derive(Default)]
pub struct Things;

#[Object]
impl Things {
    /// Whatever has this global id; null where nothing has.
    async fn node(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Node>> {
        begin(ctx, as_of, None).await?;
        node(ctx, &id).await
    }

    /// Whatever has these global ids, at most 100; null in the place of those that nothing has.
    #[graphql(complexity = "list_cost(ids.len() as i32, child_complexity)")]
    async fn nodes(&self, ctx: &Context<'_>, ids: Vec<ID>) -> Result<Vec<Option<Node>>> {
        if ids.len() > NODES_MAX {
            return Err(coded(BAD_USER_INPUT, format!("at most {NODES_MAX} ids are taken")));
        }
        futures::future::try_join_all(ids.iter().map(|id| node(ctx, id))).await
    }

    /// One deployment, by its global id or its UUID.
    async fn deployment(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Deployment>> {
        begin(ctx, as_of, at_least).await?;
        deployment(ctx, local(&id)?).await
    }

    /// The deployment that a person means by a name or a UUID: those under care before retired ones, then the newest.
    async fn deployment_named(
        &self,
        ctx: &Context<'_>,
        name: String,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Deployment>> {
        begin(ctx, as_of, at_least).await?;
        let found = queries(ctx)?.deployment_named(&name, Some(tenant(ctx)?.as_str())).await;
        Ok(found.map_err(|error| query_error(&error))?.map(|view| Deployment(Arc::new(view))))
    }

    /// Deployments by name.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn deployments(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] filter: DeploymentFilterInput,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Connection<String, Deployment, Totals>> {
        begin(ctx, as_of, at_least).await?;
        let filter = filter.into_filter(Some(tenant(ctx)?.to_string()));
        let later = after.is_some();
        let page = queries(ctx)?.deployments(&filter, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, Totals(TotalOf::Deployments(filter)), |view| Deployment(Arc::new(view))))
    }

    /// One run, by its global id or its UUID.
    async fn run(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Run>> {
        begin(ctx, as_of, at_least).await?;
        run(ctx, local(&id)?).await
    }

    /// Runs, newest first.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] filter: RunFilterInput,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Connection<String, Run, Totals>> {
        begin(ctx, as_of, at_least).await?;
        let filter = filter.into_filter(Some(tenant(ctx)?.to_string()))?;
        let later = after.is_some();
        let page = queries(ctx)?.runs(&filter, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, Totals(TotalOf::Runs(filter)), |view| Run(Arc::new(view))))
    }

    /// One finding, by its global id or its UUID.
    async fn finding(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Finding>> {
        begin(ctx, as_of, at_least).await?;
        finding(ctx, local(&id)?).await
    }

    /// Findings, last seen first.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] filter: FindingFilterInput,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Connection<String, Finding, Totals>> {
        begin(ctx, as_of, at_least).await?;
        let filter = filter.into_filter(Some(tenant(ctx)?.to_string()))?;
        let later = after.is_some();
        let page = queries(ctx)?.findings(&filter, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, Totals(TotalOf::Findings(filter)), |view| Finding(Arc::new(view))))
    }
}

/// Results, figures and history.
#[derive(Default)]
pub struct Measurements;

#[Object]
impl Measurements {
    /// The results of a run, by check and component.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn check_results(
        &self,
        ctx: &Context<'_>,
        run_id: ID,
        #[graphql(desc = "Of any of these outcomes; all where there are none.", default)] outcomes: Vec<Outcome>,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Connection<String, CheckResult, Told>> {
        begin(ctx, as_of, at_least).await?;
        let outcomes: Vec<domain::Outcome> = outcomes.into_iter().map(Into::into).collect();
        let later = after.is_some();
        let id: RunId = local(&run_id)?;
        // Results carry no tenant of their own: a stranger's run has none to show.
        if run(ctx, id).await?.is_none() {
            return Ok(Connection::with_additional_fields(later, false, Told));
        }
        let page = queries(ctx)?.check_results(id, &outcomes, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, Told, CheckResult))
    }

    /// The results of one check on one component over time, newest first.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn check_result_history(
        &self,
        ctx: &Context<'_>,
        filter: CheckResultHistoryFilter,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Connection<String, CheckResult, Told>> {
        begin(ctx, as_of, None).await?;
        let filter = filter.into_filter()?;
        let later = after.is_some();
        if deployment(ctx, filter.deployment).await?.is_none() {
            return Ok(Connection::with_additional_fields(later, false, Told));
        }
        let page = queries(ctx)?.check_result_history(&filter, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection_by(page, later, Told, CheckResultView::cursor_over_time, CheckResult))
    }

    /// Daily figures, by day, deployment, check and severity.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn daily_figures(
        &self,
        ctx: &Context<'_>,
        filter: DailyFigureFilterInput,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Connection<String, DailyFigure, Told>> {
        begin(ctx, as_of, None).await?;
        let filter = filter.into_filter(Some(tenant(ctx)?.to_string()))?;
        let later = after.is_some();
        let page = queries(ctx)?.daily_figures(&filter, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, Told, DailyFigure))
    }

    /// A stream's events in order, as the log holds them.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn history(
        &self,
        ctx: &Context<'_>,
        stream: StreamInput,
        #[graphql(desc = "After this version of the stream.", default)] after: i64,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Vec<HistoryEvent>> {
        begin(ctx, as_of, None).await?;
        if !(1..=500).contains(&first) {
            return Err(coded(BAD_USER_INPUT, "first must be between 1 and 500"));
        }
        let stream = stream.into_stream()?;
        if owner(ctx, stream.clone()).await?.as_ref() != Some(tenant(ctx)?) {
            return Ok(Vec::new());
        }
        let events = queries(ctx)?.stream_history(stream, StreamVersion(after.max(0)), first as usize).await;
        events.map_err(|error| query_error(&error))?.iter().map(event_of).collect()
    }
}

/// What the platform knows and how it is.
#[derive(Default)]
pub struct Workings;

#[Object]
impl Workings {
    /// One check of the catalogue; null where no pack declares it.
    async fn check(&self, ctx: &Context<'_>, code: String) -> Result<Option<Check>> {
        Ok(ctx.data::<Arc<dyn CheckCatalogue>>()?.check(&code).map(Check::from))
    }

    /// The catalogue of checks, by code.
    #[graphql(complexity = "list_cost(100, child_complexity)")]
    async fn checks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this pack.")] pack: Option<String>,
        #[graphql(desc = "Of this profile.")] profile: Option<String>,
    ) -> Result<Vec<Check>> {
        let all = ctx.data::<Arc<dyn CheckCatalogue>>()?.checks();
        let chosen = all.into_iter().filter(|check| {
            pack.as_ref().is_none_or(|pack| check.pack == *pack)
                && profile.as_ref().is_none_or(|profile| check.profiles.contains(profile))
        });
        Ok(chosen.map(Check::from).collect())
    }

    /// How the platform itself is.
    async fn platform(&self, ctx: &Context<'_>) -> Result<Platform> {
        Ok(ctx.data::<Arc<crate::state::Platform>>()?.health().await.into())
    }
}

async fn node(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    let Some((kind, uuid)) = parse_global(id) else { return Err(coded(BAD_USER_INPUT, "not a global id")) };
    Ok(match kind.as_str() {
        DeploymentId::TYPE => deployment(ctx, uuid.into()).await?.map(Node::Deployment),
        RunId::TYPE => run(ctx, uuid.into()).await?.map(Node::Run),
        FindingId::TYPE => finding(ctx, uuid.into()).await?.map(Node::Finding),
        RemediationId::TYPE => remediation(ctx, uuid.into()).await?.map(Node::Remediation),
        _ => None,
    })
}

/// A deployment of the caller's.
pub(super) async fn deployment(ctx: &Context<'_>, id: DeploymentId) -> Result<Option<Deployment>> {
    let found = load::<DeploymentLoader, _>(ctx, id).await?;
    let tenant = tenant(ctx)?;
    Ok(found.filter(|view| view.tenant == tenant.as_str()).map(Deployment))
}

/// A run of the caller's.
pub(super) async fn run(ctx: &Context<'_>, id: RunId) -> Result<Option<Run>> {
    let found = load::<RunLoader, _>(ctx, id).await?;
    let tenant = tenant(ctx)?;
    Ok(found.filter(|view| view.tenant == tenant.as_str()).map(Run))
}

/// A finding of the caller's.
pub(super) async fn finding(ctx: &Context<'_>, id: FindingId) -> Result<Option<Finding>> {
    let found = load::<FindingLoader, _>(ctx, id).await?;
    let tenant = tenant(ctx)?;
    Ok(found.filter(|view| view.tenant == tenant.as_str()).map(Finding))
}
