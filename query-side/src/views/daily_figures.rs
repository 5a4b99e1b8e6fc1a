//! Daily figures for analysts: by day, deployment, check and severity.

use super::{Conditions, id, outcome};
use crate::error::QueryError;
use crate::page::{Cursor, Keyset, PageRequest};
use chrono::NaiveDate;
use domain::{DeploymentId, Outcome};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

/// The figures of one day, deployment, check and severity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DailyFigure {
    /// The UTC date.
    pub day: NaiveDate,
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The check.
    pub check_code: String,
    /// The outcome of results, the severity of findings.
    pub severity: Outcome,
    /// How many results.
    pub results: i64,
    /// How many findings opened.
    pub findings_opened: i64,
    /// How many came back.
    pub findings_regressed: i64,
    /// How many were resolved.
    pub findings_resolved: i64,
    /// How long measuring and judging took in all.
    pub duration_ms_sum: i64,
    /// The longest.
    pub duration_ms_max: i64,
    /// Seconds from the first bad measurement to the opening, in all.
    pub detect_seconds_sum: i64,
    /// Of how many findings.
    pub detect_count: i64,
    /// Seconds from the opening to the resolving, in all.
    pub resolve_seconds_sum: i64,
    /// Of how many findings.
    pub resolve_count: i64,
    /// The position of the last event that changed this row.
    pub last_position: i64,
}

/// Which figures. The days are a must: they bound what is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyFigureFilter {
    /// Of this tenant's deployments.
    pub tenant: Option<String>,
    /// From this day on.
    pub from: NaiveDate,
    /// Until this day, inclusive.
    pub until: NaiveDate,
    /// Of this deployment.
    pub deployment: Option<DeploymentId>,
    /// Of this check.
    pub check: Option<String>,
    /// Of any of these outcomes; empty means any.
    pub severities: Vec<Outcome>,
}

const LIST: &str = "daily";
pub(crate) const COLUMNS: &str = "day, deployment_id, check_code, severity, results, findings_opened, \
    findings_regressed, findings_resolved, duration_ms_sum, duration_ms_max, detect_seconds_sum, detect_count, \
    resolve_seconds_sum, resolve_count, last_position";

impl Keyset for DailyFigure {
    fn cursor(&self) -> Cursor {
        Cursor::pack(LIST, &(self.day, self.deployment_id.0, &self.check_code, self.severity.as_str()))
    }
}

/// By day, deployment, check and severity.
pub(crate) fn page(
    filter: &DailyFigureFilter,
    page: &PageRequest,
) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<(NaiveDate, Uuid, String, String)>(LIST)?;
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_daily_figures"));
    let mut all = Conditions::new(&mut sql);
    if let Some(deployment) = filter.deployment {
        all.and().push("deployment_id = ").push_bind(deployment.0);
    }
    all.and().push("day >= ").push_bind(filter.from);
    all.and().push("day <= ").push_bind(filter.until);
    if let Some(check) = &filter.check {
        all.and().push("check_code = ").push_bind(check.clone());
    }
    if let Some(tenant) = &filter.tenant {
        let sql = all.and().push("EXISTS (SELECT FROM view_deployments d WHERE d.id = deployment_id AND d.tenant = ");
        sql.push_bind(tenant.clone()).push(")");
    }
    all.words("severity", &mut filter.severities.iter().map(|severity| severity.as_str()));
    if let Some((day, deployment, check, severity)) = after {
        all.and().push("(day, deployment_id, check_code, severity) > (").push_bind(day).push(", ");
        sql.push_bind(deployment).push(", ").push_bind(check).push(", ").push_bind(severity).push(")");
    }
    sql.push(" ORDER BY day, deployment_id, check_code, severity LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

impl FromRow<'_, PgRow> for DailyFigure {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            day: row.try_get("day")?,
            deployment_id: id(row, "deployment_id")?,
            check_code: row.try_get("check_code")?,
            severity: outcome(row, "severity")?,
            results: row.try_get("results")?,
            findings_opened: row.try_get("findings_opened")?,
            findings_regressed: row.try_get("findings_regressed")?,
            findings_resolved: row.try_get("findings_resolved")?,
            duration_ms_sum: row.try_get("duration_ms_sum")?,
            duration_ms_max: row.try_get("duration_ms_max")?,
            detect_seconds_sum: row.try_get("detect_seconds_sum")?,
            detect_count: row.try_get("detect_count")?,
            resolve_seconds_sum: row.try_get("resolve_seconds_sum")?,
            resolve_count: row.try_get("resolve_count")?,
            last_position: row.try_get("last_position")?,
        })
    }
}
