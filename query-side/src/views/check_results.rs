//! What each check of each run gave.

use super::{Conditions, id, json, outcome};
use crate::error::QueryError;
use crate::page::{Cursor, Keyset, PageRequest, from_micros, micros};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::Observation;
use domain::{DeploymentId, Outcome, RunId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What one check of one component gave in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResultView {
    /// The run.
    pub run_id: RunId,
    /// The check.
    pub check_code: String,
    /// The component that it looked at.
    pub component: String,
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The version of the check's definition that judged.
    pub version: String,
    /// The outcome.
    pub outcome: Outcome,
    /// One line.
    pub summary: String,
    /// Why it could not be measured.
    pub unknown_cause: Option<String>,
    /// The problems, worst first.
    pub observations: Vec<Observation>,
    /// How many further problems were left out.
    pub omitted: i32,
    /// Measured figures by name.
    pub metrics: BTreeMap<String, f64>,
    /// When the measurement began.
    pub measured_at: DateTime<Utc>,
    /// How long measuring and judging took.
    pub duration_ms: i32,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The position of the event that recorded it.
    pub last_position: i64,
}

/// Which results over time: of one check, maybe on one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResultFilter {
    /// Of this deployment.
    pub deployment: DeploymentId,
    /// Of this check.
    pub check: String,
    /// On this component.
    pub component: String,
    /// Measured at or after.
    pub since: Option<DateTime<Utc>>,
    /// Measured before.
    pub until: Option<DateTime<Utc>>,
}

pub(crate) const COLUMNS: &str = "run_id, check_code, component, deployment_id, version, outcome, summary, \
    unknown_cause, observations, omitted, metrics, measured_at, duration_ms, recorded_at, last_position";
const LIST_OF_RUN: &str = "results";
const LIST_OVER_TIME: &str = "results-over-time";

impl Keyset for CheckResultView {
    /// Its place in the list of its run.
    fn cursor(&self) -> Cursor {
        Cursor::pack(LIST_OF_RUN, &(&self.check_code, &self.component))
    }
}

impl CheckResultView {
    /// Its place in the list of one check over time.
    pub fn cursor_over_time(&self) -> Cursor {
        Cursor::pack(LIST_OVER_TIME, &(micros(self.measured_at), self.run_id.0))
    }
}

/// Of one run, by check and component.
pub(crate) fn of_run(
    run: RunId,
    outcomes: &[Outcome],
    page: &PageRequest,
) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<(String, String)>(LIST_OF_RUN)?;
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_check_results"));
    let mut all = Conditions::new(&mut sql);
    all.and().push("run_id = ").push_bind(run.0);
    all.words("outcome", &mut outcomes.iter().map(|outcome| outcome.as_str()));
    if let Some((check, component)) = after {
        all.and().push("(check_code, component) > (").push_bind(check).push(", ").push_bind(component).push(")");
    }
    sql.push(" ORDER BY check_code, component LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

/// Of one check on one component, newest first.
pub(crate) fn over_time(
    filter: &CheckResultFilter,
    page: &PageRequest,
) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<(i64, Uuid)>(LIST_OVER_TIME)?;
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_check_results"));
    let mut all = Conditions::new(&mut sql);
    all.and().push("deployment_id = ").push_bind(filter.deployment.0);
    all.and().push("check_code = ").push_bind(filter.check.clone());
    all.and().push("component = ").push_bind(filter.component.clone());
    if let Some(since) = filter.since {
        all.and().push("measured_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        all.and().push("measured_at < ").push_bind(until);
    }
    if let Some((at, run)) = after {
        let at = from_micros(at)?;
        all.and().push("(measured_at, run_id) < (").push_bind(at).push(", ").push_bind(run).push(")");
    }
    sql.push(" ORDER BY measured_at DESC, run_id DESC LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

/// Of several runs at once. `$1` run ids, `$2` how many of each.
pub(crate) fn of_runs() -> String {
    format!(
        "SELECT k.id AS of_id, r.* FROM unnest($1::uuid[]) AS k(id) CROSS JOIN LATERAL ( \
             SELECT {COLUMNS} FROM view_check_results v WHERE v.run_id = k.id \
             ORDER BY v.check_code, v.component LIMIT $2) r"
    )
}

impl FromRow<'_, PgRow> for CheckResultView {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            run_id: id(row, "run_id")?,
            check_code: row.try_get("check_code")?,
            component: row.try_get("component")?,
            deployment_id: id(row, "deployment_id")?,
            version: row.try_get("version")?,
            outcome: outcome(row, "outcome")?,
            summary: row.try_get("summary")?,
            unknown_cause: row.try_get("unknown_cause")?,
            observations: json(row, "observations")?,
            omitted: row.try_get("omitted")?,
            metrics: json(row, "metrics")?,
            measured_at: row.try_get("measured_at")?,
            duration_ms: row.try_get("duration_ms")?,
            recorded_at: row.try_get("recorded_at")?,
            last_position: row.try_get("last_position")?,
        })
    }
}
