//! A deployment under care.

use super::enums::{ComponentKind, Outcome, SecretPlace};
use super::{FindingList, Label, Run, Totals, labels};
use crate::schema::as_of::{AsOfMoment, load, told};
use crate::schema::context::{FIRST, FIRST_NESTED, connection, list_cost, page_request, queries, query_error};
use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use crate::schema::types::totals::TotalOf;
use async_graphql::connection::Connection;
use async_graphql::{Context, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::deployment::SecretRef;
use query_side::loaders::FirstOf;
use query_side::{DeploymentView, FindingsByDeploymentLoader, RunFilter, RunLoader};
use std::sync::Arc;
use uuid::Uuid;

/// A Content Manager installation under care, with its health.
pub struct Deployment(pub Arc<DeploymentView>);

/// A Content Manager installation under care, with its health.
#[Object]
impl Deployment {
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
    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }
    /// Whose data it is.
    async fn tenant(&self) -> &str {
        &self.0.tenant
    }
    /// The product's version.
    async fn product_version(&self) -> &str {
        &self.0.product_version
    }
    /// Whether it is a double of a deployment, such as the lab.
    async fn is_double(&self) -> bool {
        self.0.is_double
    }
    /// Free labels.
    async fn labels(&self) -> Vec<Label> {
        labels(&self.0.labels)
    }
    /// Its parts.
    async fn components(&self) -> Vec<Component> {
        self.0.components.iter().map(Component::from).collect()
    }
    /// Thresholds that differ from the checks' own.
    async fn threshold_overrides(&self) -> Vec<ThresholdOverride> {
        self.0.overrides.iter().map(ThresholdOverride::from).collect()
    }
    /// Announced maintenance: findings are expected then.
    async fn maintenance(&self) -> Vec<MaintenanceWindow> {
        self.0.maintenance.iter().map(Into::into).collect()
    }
    /// The worst open finding that is not muted; UNKNOWN where there is none and nothing was measured last.
    async fn health(&self) -> Outcome {
        self.0.health.into()
    }
    /// Open critical findings that are not muted.
    async fn open_critical(&self) -> i64 {
        self.0.open_critical
    }
    /// Open warnings that are not muted.
    async fn open_warning(&self) -> i64 {
        self.0.open_warning
    }
    /// Open findings that are muted.
    async fn open_muted(&self) -> i64 {
        self.0.open_muted
    }
    /// The last run that ended.
    async fn last_run(&self, ctx: &Context<'_>) -> Result<Option<Run>> {
        let Some(id) = self.0.last_run_id else { return Ok(None) };
        Ok(load::<RunLoader, _>(ctx, id).await?.map(Run))
    }
    /// When the last run ended.
    async fn last_run_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_run_at
    }
    /// The last run's verdict; null where it was cut short.
    async fn last_run_outcome(&self) -> Option<Outcome> {
        self.0.last_run_outcome.map(Into::into)
    }
    /// How many of the last run's checks could not be measured.
    async fn last_run_unknown(&self) -> i32 {
        self.0.last_run_unknown
    }
    /// The present findings, critical ones first; `findings` of the query pages through all.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 200.", default_with = "FIRST_NESTED")] first: i32,
    ) -> Result<FindingList> {
        let key = FirstOf { id: self.0.id, first: i64::from(first) };
        let few = load::<FindingsByDeploymentLoader, _>(ctx, key).await?;
        Ok(FindingList::of(few.as_deref()))
    }
    /// Its runs, newest first.
    #[graphql(complexity = "list_cost(first, child_complexity)")]
    async fn runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 500.", default_with = "FIRST")] first: i32,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
    ) -> Result<Connection<String, Run, Totals>> {
        let filter = RunFilter { deployment: Some(self.0.id), ..RunFilter::default() };
        let later = after.is_some();
        let page = queries(ctx)?.runs(&filter, &page_request(first, after)).await;
        let page = page.map_err(|error| query_error(&error))?;
        Ok(connection(page, later, Totals(TotalOf::Runs(filter)), |run| Run(Arc::new(run))))
    }
    /// When it came under care.
    async fn registered_at(&self) -> DateTime<Utc> {
        self.0.registered_at
    }
    /// When the care ended.
    async fn retired_at(&self) -> Option<DateTime<Utc>> {
        self.0.retired_at
    }
    /// Why the care ended.
    async fn retire_reason(&self) -> Option<&str> {
        self.0.retire_reason.as_deref()
    }
    /// The position of the last event that changed this.
    async fn position(&self) -> PositionScalar {
        self.0.last_position.into()
    }
}

/// One part of a deployment.
#[derive(SimpleObject)]
pub struct Component {
    /// Its name within the deployment.
    name: String,
    /// What it is.
    kind: ComponentKind,
    /// How to reach it.
    settings: Vec<Label>,
    /// Where its secrets are kept; never the secrets.
    secrets: Vec<Secret>,
    /// Free labels.
    labels: Vec<Label>,
}

impl From<&domain::deployment::Component> for Component {
    fn from(component: &domain::deployment::Component) -> Self {
        Self {
            name: component.name.to_string(),
            kind: component.kind.into(),
            settings: labels(&component.settings),
            secrets: component.secrets.iter().map(|(purpose, place)| Secret::of(purpose, place)).collect(),
            labels: labels(&component.labels),
        }
    }
}

/// Where a secret is kept.
#[derive(SimpleObject)]
pub struct Secret {
    /// What it is for, such as `password`.
    purpose: String,
    /// In what it is kept.
    place: SecretPlace,
    /// The variable's name or the file's path.
    name: String,
}

impl Secret {
    fn of(purpose: &str, place: &SecretRef) -> Self {
        let (place, name) = match place {
            SecretRef::Env(name) => (SecretPlace::Env, name.clone()),
            SecretRef::File(path) => (SecretPlace::File, path.clone()),
        };
        Self { purpose: purpose.to_owned(), place, name }
    }
}

/// A threshold that differs from the check's own.
#[derive(SimpleObject)]
pub struct ThresholdOverride {
    /// Of this check.
    check_code: String,
    /// This threshold.
    threshold: String,
    /// The range outside of which it warns, where it is another one.
    warning: Option<String>,
    /// The range outside of which it is critical, where it is another one.
    critical: Option<String>,
    /// Why.
    reason: String,
    /// Since when.
    at: DateTime<Utc>,
}

impl From<&query_side::ThresholdOverride> for ThresholdOverride {
    fn from(other: &query_side::ThresholdOverride) -> Self {
        Self {
            check_code: other.check.to_string(),
            threshold: other.threshold.clone(),
            warning: other.warning.clone(),
            critical: other.critical.clone(),
            reason: other.reason.clone(),
            at: other.at,
        }
    }
}

/// A time in which findings are expected and do not alert.
#[derive(SimpleObject)]
pub struct MaintenanceWindow {
    /// From (inclusive).
    from: DateTime<Utc>,
    /// Until (exclusive).
    until: DateTime<Utc>,
    /// Why.
    reason: String,
}

impl From<&domain::deployment::MaintenanceWindow> for MaintenanceWindow {
    fn from(window: &domain::deployment::MaintenanceWindow) -> Self {
        Self { from: window.from, until: window.until, reason: window.reason.clone() }
    }
}
