//! What a check of a run gave.

use super::enums::Outcome;
use super::{Deployment, Run};
use crate::schema::as_of::{AsOfMoment, load, told};
use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use async_graphql::{Context, ID, Json, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::Evidence as DomainEvidence;
use query_side::{CheckResultView, DeploymentLoader, RunLoader};

/// What one check of one component gave in one run.
pub struct CheckResult(pub CheckResultView);

/// What one check of one component gave in one run.
#[Object]
impl CheckResult {
    /// The moment that this is as of; null: the present.
    async fn as_of(&self, ctx: &Context<'_>) -> Option<AsOfMoment> {
        told(ctx)
    }
    /// The run's id.
    async fn run_id(&self) -> ID {
        global(self.0.run_id)
    }
    /// The run.
    async fn run(&self, ctx: &Context<'_>) -> Result<Option<Run>> {
        Ok(load::<RunLoader, _>(ctx, self.0.run_id).await?.map(Run))
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
    /// The component that it looked at.
    async fn component(&self) -> &str {
        &self.0.component
    }
    /// The version of the check's definition that judged.
    async fn version(&self) -> &str {
        &self.0.version
    }
    /// The outcome.
    async fn outcome(&self) -> Outcome {
        self.0.outcome.into()
    }
    /// One line.
    async fn summary(&self) -> &str {
        &self.0.summary
    }
    /// Why it could not be measured; of UNKNOWN ones only.
    async fn unknown_cause(&self) -> Option<&str> {
        self.0.unknown_cause.as_deref()
    }
    /// The problems, worst first.
    async fn observations(&self) -> Vec<Observation> {
        self.0.observations.iter().map(Observation::from).collect()
    }
    /// How many further problems were left out.
    async fn omitted(&self) -> i32 {
        self.0.omitted
    }
    /// Measured figures.
    async fn metrics(&self) -> Vec<Metric> {
        self.0.metrics.iter().map(|(name, value)| Metric { name: name.clone(), value: *value }).collect()
    }
    /// When the measurement began.
    async fn measured_at(&self) -> DateTime<Utc> {
        self.0.measured_at
    }
    /// How long measuring and judging took, in milliseconds.
    async fn duration_ms(&self) -> i32 {
        self.0.duration_ms
    }
    /// When it was recorded.
    async fn recorded_at(&self) -> DateTime<Utc> {
        self.0.recorded_at
    }
    /// The position of the event that recorded it.
    async fn position(&self) -> PositionScalar {
        self.0.last_position.into()
    }
}

/// The first results of a run.
#[derive(SimpleObject)]
pub struct CheckResultList {
    /// The results, by check and component.
    pub nodes: Vec<CheckResult>,
    /// Whether there are more: `checkResults` pages through all of them.
    pub has_more: bool,
}

/// A measured figure.
#[derive(SimpleObject)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// One problem that a check saw on one resource.
#[derive(SimpleObject)]
pub struct Observation {
    /// What it is about, within the deployment.
    resource: String,
    /// WARNING or CRITICAL.
    outcome: Outcome,
    /// What is seen.
    symptom: String,
    /// Why, as far as is known.
    cause: String,
    /// What it means for users and records.
    impact: String,
    /// What to do.
    advice: String,
    /// What was measured.
    evidence: Evidence,
}

impl From<&domain::diagnostic_run::Observation> for Observation {
    fn from(seen: &domain::diagnostic_run::Observation) -> Self {
        Self {
            resource: seen.resource.to_string(),
            outcome: seen.outcome.into(),
            symptom: seen.symptom.clone(),
            cause: seen.cause.clone(),
            impact: seen.impact.clone(),
            advice: seen.advice.clone(),
            evidence: Evidence::from(&seen.evidence),
        }
    }
}

/// What was measured: a small value itself, a large one by the SHA-256 under which it is stored.
#[derive(SimpleObject)]
pub struct Evidence {
    /// The measured row.
    inline: Option<Json<serde_json::Value>>,
    /// Where the whole measurement is stored.
    hash: Option<String>,
}

impl From<&DomainEvidence> for Evidence {
    fn from(evidence: &DomainEvidence) -> Self {
        Self { inline: evidence.inline.clone().map(Json), hash: evidence.hash.as_ref().map(ToString::to_string) }
    }
}
