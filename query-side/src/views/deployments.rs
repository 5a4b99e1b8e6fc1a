//! Deployments under care, with their health.

use super::{Conditions, id, json, optional_id, optional_outcome, outcome};
use crate::error::QueryError;
use crate::page::{Cursor, Keyset, PageRequest};
use chrono::{DateTime, Utc};
use domain::deployment::{Component, MaintenanceWindow};
use domain::{CheckCode, DeploymentId, Outcome, RunId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A threshold that differs from the check's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdOverride {
    /// Of this check.
    pub check: CheckCode,
    /// This threshold.
    pub threshold: String,
    /// The range that warns, where it is another one.
    pub warning: Option<String>,
    /// The range that is critical, where it is another one.
    pub critical: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// Its id.
    pub id: DeploymentId,
    /// Whose data it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// The product's version.
    pub product_version: String,
    /// Whether it is a double of a deployment, such as the lab.
    pub is_double: bool,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Its parts.
    pub components: Vec<Component>,
    /// Thresholds that differ from the checks' own.
    pub overrides: Vec<ThresholdOverride>,
    /// Announced maintenance.
    pub maintenance: Vec<MaintenanceWindow>,
    /// When it came under care.
    pub registered_at: DateTime<Utc>,
    /// When the care ended.
    pub retired_at: Option<DateTime<Utc>>,
    /// Why.
    pub retire_reason: Option<String>,
    /// The worst open finding that is not muted at the moment of reading; `Unknown` where there is none and the last
    /// run measured nothing, or there was no run.
    pub health: Outcome,
    /// Open critical findings that are not muted.
    pub open_critical: i64,
    /// Open warnings that are not muted.
    pub open_warning: i64,
    /// Open findings that are muted.
    pub open_muted: i64,
    /// The last run that ended.
    pub last_run_id: Option<RunId>,
    /// When it ended.
    pub last_run_at: Option<DateTime<Utc>>,
    /// Its verdict; none where it was cut short.
    pub last_run_outcome: Option<Outcome>,
    /// How many of its checks were measured.
    pub last_run_measured: i32,
    /// How many could not be.
    pub last_run_unknown: i32,
    /// When the next mute of an open finding runs out, and the health may change without an event.
    pub next_unmute_at: Option<DateTime<Utc>>,
    /// The position of the last event that changed this row.
    pub last_position: i64,
}

/// Which deployments; an empty filter is all that are under care.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentFilter {
    /// Whose.
    pub tenant: Option<String>,
    /// Also those whose care has ended.
    pub include_retired: bool,
    /// Of any of these healths, as of the last event; empty means any.
    pub healths: Vec<Outcome>,
}

const LIST: &str = "deployments";

/// Mutes run out by the clock, not by an event: what has run out since is added up here, from a small partial index.
const SELECT: &str = "SELECT d.id, d.tenant, d.name, d.product_version, d.is_double, d.labels, d.components, \
    d.overrides, d.maintenance, d.registered_at, d.retired_at, d.retire_reason, d.health, d.last_run_id, \
    d.last_run_at, d.last_run_outcome, d.last_run_measured, d.last_run_unknown, d.last_position, \
    d.open_critical + m.ended_critical AS open_critical, d.open_warning + m.ended_warning AS open_warning, \
    d.open_muted - m.ended_critical - m.ended_warning AS open_muted, m.next_unmute_at \
    FROM view_deployments d CROSS JOIN LATERAL ( \
        SELECT count(*) FILTER (WHERE f.severity = 'critical' AND f.muted_until <= now()) AS ended_critical, \
            count(*) FILTER (WHERE f.severity = 'warning' AND f.muted_until <= now()) AS ended_warning, \
            min(f.muted_until) FILTER (WHERE f.muted_until > now()) AS next_unmute_at \
        FROM view_deployment_findings f \
        WHERE f.deployment_id = d.id AND f.open AND NOT f.false_positive AND f.muted_until IS NOT NULL) m";

impl Keyset for DeploymentView {
    fn cursor(&self) -> Cursor {
        Cursor::pack(LIST, &(&self.name, self.id.0))
    }
}

pub(crate) fn conditions(sql: &mut QueryBuilder<'_, Postgres>, filter: &DeploymentFilter) {
    conditions_after(sql, filter, None);
}

fn conditions_after(sql: &mut QueryBuilder<'_, Postgres>, filter: &DeploymentFilter, after: Option<(String, Uuid)>) {
    let mut all = Conditions::new(sql);
    if let Some(tenant) = &filter.tenant {
        all.and().push("d.tenant = ").push_bind(tenant.clone());
    }
    if !filter.include_retired {
        all.and().push("d.retired_at IS NULL");
    }
    all.words("d.health", &mut filter.healths.iter().map(|health| health.as_str()));
    if let Some((name, id)) = after {
        all.and().push("(d.name, d.id) > (").push_bind(name).push(", ").push_bind(id).push(")");
    }
}

/// By name.
pub(crate) fn page(
    filter: &DeploymentFilter,
    page: &PageRequest,
) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<(String, Uuid)>(LIST)?;
    let mut sql = QueryBuilder::new(SELECT);
    conditions_after(&mut sql, filter, after);
    sql.push(" ORDER BY d.name, d.id LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

/// `$1` ids.
pub(crate) fn by_ids() -> String {
    format!(
        "SELECT v.*, (SELECT position FROM projection_checkpoints WHERE name = 'deployments') AS as_of \
         FROM ({SELECT} WHERE d.id = ANY($1)) v"
    )
}

/// Whose name begins with a text, whatever its case; or whose id it is.
pub(crate) fn search(text: &str, filter: &DeploymentFilter, limit: i64) -> QueryBuilder<'static, Postgres> {
    let mut sql = QueryBuilder::new(SELECT);
    conditions_after(&mut sql, filter, None);
    // The conditions above may be none: this one stands by itself either way.
    sql.push(if filter.tenant.is_none() && filter.include_retired && filter.healths.is_empty() {
        " WHERE "
    } else {
        " AND "
    });
    if let Ok(id) = Uuid::parse_str(text) {
        sql.push("d.id = ").push_bind(id);
    } else {
        let escaped = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        sql.push("lower(d.name) LIKE ").push_bind(format!("{escaped}%"));
    }
    sql.push(" ORDER BY lower(d.name) USING ~<~, d.id LIMIT ").push_bind(limit);
    sql
}

/// By exact name (whatever its case) or id: one, those under care first, then the newest.
pub(crate) fn named(name_or_id: &str, tenant: Option<&str>) -> QueryBuilder<'static, Postgres> {
    let mut sql = QueryBuilder::new(SELECT);
    if let Ok(id) = Uuid::parse_str(name_or_id) {
        sql.push(" WHERE d.id = ").push_bind(id);
    } else {
        sql.push(" WHERE lower(d.name) = ").push_bind(name_or_id.to_lowercase());
    }
    if let Some(tenant) = tenant {
        sql.push(" AND d.tenant = ").push_bind(tenant.to_owned());
    }
    sql.push(" ORDER BY d.retired_at IS NOT NULL, d.registered_at DESC LIMIT 1");
    sql
}

impl FromRow<'_, PgRow> for DeploymentView {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (open_critical, open_warning): (i64, i64) = (row.try_get("open_critical")?, row.try_get("open_warning")?);
        let last_run_measured: i32 = row.try_get("last_run_measured")?;
        let stored = outcome(row, "health")?;
        Ok(Self {
            id: id(row, "id")?,
            tenant: row.try_get("tenant")?,
            name: row.try_get("name")?,
            product_version: row.try_get("product_version")?,
            is_double: row.try_get("is_double")?,
            labels: json(row, "labels")?,
            components: json(row, "components")?,
            overrides: json(row, "overrides")?,
            maintenance: json(row, "maintenance")?,
            registered_at: row.try_get("registered_at")?,
            retired_at: row.try_get("retired_at")?,
            retire_reason: row.try_get("retire_reason")?,
            health: match (open_critical, open_warning) {
                (1.., _) => Outcome::Critical,
                (_, 1..) => Outcome::Warning,
                _ => stored,
            },
            open_critical,
            open_warning,
            open_muted: row.try_get("open_muted")?,
            last_run_id: optional_id(row, "last_run_id")?,
            last_run_at: row.try_get("last_run_at")?,
            last_run_outcome: optional_outcome(row, "last_run_outcome")?,
            last_run_measured,
            last_run_unknown: row.try_get("last_run_unknown")?,
            next_unmute_at: row.try_get("next_unmute_at")?,
            last_position: row.try_get("last_position")?,
        })
    }
}
