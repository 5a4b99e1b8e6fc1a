//! How many there are in all: counted only when asked for.

use crate::schema::as_of::{AsOfMoment, told};
use crate::schema::context::{queries, query_error};
use async_graphql::{Context, Object, Result, SimpleObject};
use query_side::{DeploymentFilter, FindingFilter, RunFilter};

/// What is counted.
pub enum TotalOf {
    /// Deployments.
    Deployments(DeploymentFilter),
    /// Runs.
    Runs(RunFilter),
    /// Findings.
    Findings(FindingFilter),
}

/// A connection's total.
pub struct Totals(pub TotalOf);

#[Object(name = "ConnectionTotals")]
impl Totals {
    /// The moment that the answer is of; null: the present.
    async fn as_of(&self, ctx: &Context<'_>) -> Option<AsOfMoment> {
        told(ctx)
    }

    /// How many there are in all pages. Counted only when asked for, and no further than 10,000.
    #[graphql(complexity = 50)]
    async fn total(&self, ctx: &Context<'_>) -> Result<Total> {
        let queries = queries(ctx)?;
        let count = match &self.0 {
            TotalOf::Deployments(filter) => queries.count_deployments(filter).await,
            TotalOf::Runs(filter) => queries.count_runs(filter).await,
            TotalOf::Findings(filter) => queries.count_findings(filter).await,
        };
        let count = count.map_err(|error| query_error(&error))?;
        Ok(Total { count: count.value, at_least: count.at_least })
    }
}

/// A count that stops at a bound.
#[derive(SimpleObject)]
pub struct Total {
    /// How many.
    count: i64,
    /// Whether there are more than that: the counting stopped.
    at_least: bool,
}
