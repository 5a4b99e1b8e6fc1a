//! Daily figures for analysts.

use super::Deployment;
use super::enums::Outcome;
use crate::schema::as_of::load;
use crate::schema::ids::global;
use async_graphql::{Context, ID, Object, Result};
use chrono::NaiveDate;
use query_side::DeploymentLoader;

/// The figures of one day, deployment, check and severity.
pub struct DailyFigure(pub query_side::DailyFigure);

/// The figures of one day, deployment, check and severity.
#[Object]
impl DailyFigure {
    /// The UTC date.
    async fn day(&self) -> NaiveDate {
        self.0.day
    }
    /// The deployment's id.
    async fn deployment_id(&self) -> ID {
        global(self.0.deployment_id)
    }
    /// The deployment.
    async fn deployment(&self, ctx: &Context<'_>) -> Result<Option<Deployment>> {
        Ok(load::<DeploymentLoader, _>(ctx, self.0.deployment_id).await?.map(Deployment))
    }
    /// The check.
    async fn check_code(&self) -> &str {
        &self.0.check_code
    }
    /// The outcome of results, the severity of findings.
    async fn severity(&self) -> Outcome {
        self.0.severity.into()
    }
    /// How many results.
    async fn results(&self) -> i64 {
        self.0.results
    }
    /// How many findings opened.
    async fn findings_opened(&self) -> i64 {
        self.0.findings_opened
    }
    /// How many findings came back.
    async fn findings_regressed(&self) -> i64 {
        self.0.findings_regressed
    }
    /// How many findings were resolved.
    async fn findings_resolved(&self) -> i64 {
        self.0.findings_resolved
    }
    /// How long measuring and judging took on average, in milliseconds.
    async fn duration_ms_mean(&self) -> Option<f64> {
        mean(self.0.duration_ms_sum, self.0.results)
    }
    /// How long it took at most, in milliseconds.
    async fn duration_ms_max(&self) -> i64 {
        self.0.duration_ms_max
    }
    /// Seconds from the first bad measurement to the opening, on average.
    async fn detect_seconds_mean(&self) -> Option<f64> {
        mean(self.0.detect_seconds_sum, self.0.detect_count)
    }
    /// Of how many findings that is the average.
    async fn detect_count(&self) -> i64 {
        self.0.detect_count
    }
    /// Seconds from the opening to the resolving, on average.
    async fn resolve_seconds_mean(&self) -> Option<f64> {
        mean(self.0.resolve_seconds_sum, self.0.resolve_count)
    }
    /// Of how many findings that is the average.
    async fn resolve_count(&self) -> i64 {
        self.0.resolve_count
    }
}

fn mean(sum: i64, count: i64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}
