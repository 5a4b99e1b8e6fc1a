//! What may be done, what is reserved for it, what was learned; and the emergency stop.

use crate::schema::as_of::{AsOfMoment, told};
use crate::schema::context::{queries, query_error};
use crate::schema::scalars::PositionScalar;
use async_graphql::{ComplexObject, Context, Json, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use query_side::{EmergencyStopView, PolicyView, StatisticView};
use serde_json::Value;

/// How many runbooks are listed at most.
const STATISTICS_LISTED: i64 = 500;

/// A policy.
pub struct Policy(pub PolicyView);

/// Which actions may run by themselves, on what, when, and how much at a time.
#[Object]
impl Policy {
    /// The moment that this is as of; null: the present.
    async fn as_of(&self, ctx: &Context<'_>) -> Option<AsOfMoment> {
        told(ctx)
    }
    /// Its name: a deployment's label `policy` names it; `default` is for all others.
    async fn name(&self) -> &str {
        &self.0.name
    }
    /// What it says; null: the built-in one decides under its name.
    async fn definition(&self) -> Option<Json<Value>> {
        self.0.definition.clone().map(Json)
    }
    /// How often it was defined or revised; 0 for the built-in one.
    async fn revision(&self) -> i32 {
        self.0.revision
    }
    /// Who changed it last.
    async fn changed_by(&self) -> Option<&str> {
        self.0.changed_by.as_deref()
    }
    /// When.
    async fn changed_at(&self) -> Option<DateTime<Utc>> {
        self.0.changed_at
    }
    /// What open remediations hold, by remediation.
    async fn reservations(&self) -> Json<Value> {
        Json(self.0.reservations.clone())
    }
    /// The circuit breakers that are open.
    async fn open_breakers(&self) -> Json<Value> {
        Json(self.0.breakers.clone())
    }
    /// What has been learned of runbooks.
    #[graphql(complexity = "100 * child_complexity")]
    async fn statistics(&self, ctx: &Context<'_>) -> Result<Vec<RunbookStatistic>> {
        let learned = queries(ctx)?.policy_statistics(self.0.id, STATISTICS_LISTED).await;
        Ok(learned.map_err(|error| query_error(&error))?.into_iter().map(Into::into).collect())
    }
    /// The position of the last event that changed this.
    async fn position(&self) -> PositionScalar {
        self.0.last_position.into()
    }
}

/// Successes and failures of a runbook for findings of a check, each in one version.
#[derive(SimpleObject)]
pub struct RunbookStatistic {
    /// The runbook.
    runbook: String,
    /// Its version.
    runbook_version: String,
    /// The check.
    check_code: String,
    /// Its version.
    check_version: String,
    /// How often it put the finding right.
    successes: i32,
    /// How often it did not.
    failures: i32,
    /// Whether it may run by itself, as far as success goes; null: no rule ever asked.
    automatic: Option<bool>,
    /// The lower bound of its success when that was last asked.
    lower_bound: Option<f64>,
    /// Why it may not.
    reason: Option<String>,
    /// When it was last counted.
    changed_at: DateTime<Utc>,
}

impl From<StatisticView> for RunbookStatistic {
    fn from(view: StatisticView) -> Self {
        Self {
            runbook: view.runbook,
            runbook_version: view.runbook_version,
            check_code: view.check_code,
            check_version: view.check_version,
            successes: view.successes,
            failures: view.failures,
            automatic: view.automatic,
            lower_bound: view.lower_bound,
            reason: view.reason,
            changed_at: view.changed_at,
        }
    }
}

/// Whether everything stops.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct EmergencyStop {
    /// Whether it does: no step of any remediation begins.
    engaged: bool,
    /// Whether what had been done is taken back.
    undo: bool,
    /// Why, or why not any more; null where it was never engaged.
    reason: Option<String>,
    /// Who changed it last.
    changed_by: Option<String>,
    /// When.
    changed_at: Option<DateTime<Utc>>,
}

#[ComplexObject]
impl EmergencyStop {
    /// The moment that this is as of; null: the present.
    async fn as_of(&self, ctx: &Context<'_>) -> Option<AsOfMoment> {
        told(ctx)
    }
}

impl From<Option<EmergencyStopView>> for EmergencyStop {
    fn from(view: Option<EmergencyStopView>) -> Self {
        view.map_or(Self { engaged: false, undo: false, reason: None, changed_by: None, changed_at: None }, |view| {
            Self {
                engaged: view.engaged,
                undo: view.undo,
                reason: Some(view.reason),
                changed_by: Some(view.changed_by),
                changed_at: Some(view.changed_at),
            }
        })
    }
}
