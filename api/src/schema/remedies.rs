//! The queries about remediations, policies and the emergency stop.

use super::as_of::{AsOfInput, Told, begin};
use super::context::{FIRST, connection, list_cost, named, page_request, queries, query_error, tenant};
use super::ids::{local, optional};
use super::scalars::PositionScalar;
use super::types::{EmergencyStop, Policy, Remediation, RemediationStatus};
use async_graphql::connection::Connection;
use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::{PolicyId, RemediationId};
use query_side::RemediationFilter;
use std::sync::Arc;

/// Which remediations.
#[derive(InputObject, Default)]
pub struct RemediationFilterInput {
    /// Of this deployment.
    deployment_id: Option<ID>,
    /// Of this finding.
    finding_id: Option<ID>,
    /// In any of these states; none: any.
    #[graphql(default)]
    statuses: Vec<RemediationStatus>,
    /// Only those that nothing more happens to by itself, or only those that something does.
    at_rest: Option<bool>,
}

/// Remediations and what governs them.
#[derive(Default)]
pub struct Remedies;

#[Object]
impl Remedies {
    /// One remediation, by its global id or its UUID.
    async fn remediation(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Remediation>> {
        begin(ctx, as_of, at_least).await?;
        remediation(ctx, local(&id)?).await
    }

    /// Remediations, newest first.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn remediations(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] filter: RemediationFilterInput,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Connection<String, Remediation, Told>> {
        begin(ctx, as_of, at_least).await?;
        let filter = RemediationFilter {
            tenant: Some(tenant(ctx)?.to_string()),
            deployment: optional(filter.deployment_id.as_ref())?,
            finding: optional(filter.finding_id.as_ref())?,
            phases: filter.statuses.into_iter().map(Into::into).collect(),
            at_rest: filter.at_rest,
        };
        let later = after.is_some();
        let page = queries(ctx)?.remediations(&filter, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, Told, |view| Remediation(Arc::new(view))))
    }

    /// The policies that were ever defined or asked, by name.
    #[graphql(complexity = "50 * child_complexity")]
    async fn policies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Vec<Policy>> {
        begin(ctx, as_of, at_least).await?;
        let found = queries(ctx)?.policies(tenant(ctx)?).await;
        Ok(found.map_err(|error| query_error(&error))?.into_iter().map(Policy).collect())
    }

    /// One policy, by its name; null where it was never defined or asked: then the built-in one decides under it.
    async fn policy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name; `default` is for deployments without the label `policy`.")] name: String,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<Option<Policy>> {
        begin(ctx, as_of, at_least).await?;
        let tenant = tenant(ctx)?;
        let id = PolicyId::of(tenant, &named(&name)?);
        let found = queries(ctx)?.policies(tenant).await.map_err(|error| query_error(&error))?;
        Ok(found.into_iter().find(|view| view.id == id.0).map(Policy))
    }

    /// Whether everything stops.
    async fn emergency_stop(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Wait until the views show this position.")] at_least: Option<PositionScalar>,
        #[graphql(desc = "As it was at this moment.")] as_of: Option<AsOfInput>,
    ) -> Result<EmergencyStop> {
        begin(ctx, as_of, at_least).await?;
        let found = queries(ctx)?.emergency_stop(tenant(ctx)?).await;
        Ok(found.map_err(|error| query_error(&error))?.into())
    }
}

/// A remediation of the caller's.
pub(super) async fn remediation(ctx: &Context<'_>, id: RemediationId) -> Result<Option<Remediation>> {
    let found = queries(ctx)?.remediation(id).await.map_err(|error| query_error(&error))?;
    let tenant = tenant(ctx)?;
    Ok(found.filter(|view| view.tenant == tenant.as_str()).map(|view| Remediation(Arc::new(view))))
}
