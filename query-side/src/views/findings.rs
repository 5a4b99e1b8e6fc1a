//! Findings: what is wrong, since when, and who looks after it.

use super::{Conditions, id, json, outcome, word, words};
use crate::error::QueryError;
use crate::page::{Cursor, Keyset, PageRequest, from_micros, micros};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::Evidence;
use domain::ids::InvalidName;
use domain::remediation::Problem;
use domain::{DeploymentId, FindingId, Outcome, RunId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

words! {
    /// Where a finding is in its life.
    FindingStatus {
        /// Seen bad, not often enough to be called a problem.
        Suspected = "suspected",
        /// A problem that nobody has taken on.
        Open = "open",
        /// A problem that somebody has taken on.
        Acknowledged = "acknowledged",
        /// Gone.
        Resolved = "resolved",
        /// Said to be no problem.
        FalsePositive = "false_positive",
    }
}

impl FindingStatus {
    /// The statuses of a problem that is there now.
    pub const PRESENT: [Self; 2] = [Self::Open, Self::Acknowledged];
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingView {
    /// Its id, of its fingerprint.
    pub id: FindingId,
    /// Where.
    pub deployment_id: DeploymentId,
    /// Whose data it is.
    pub tenant: String,
    /// Which check found it.
    pub check_code: String,
    /// Which component the check looked at.
    pub component: String,
    /// What it is about.
    pub resource: String,
    /// Where it is in its life.
    pub status: FindingStatus,
    /// `Warning` or `Critical`.
    pub severity: Outcome,
    /// It does not alert until then. May lie in the past: the mute has then run out.
    pub muted_until: Option<DateTime<Utc>>,
    /// Why it was muted.
    pub mute_reason: Option<String>,
    /// Whether it changes to and fro.
    pub flapping: bool,
    /// How often it was seen bad since it first opened.
    pub occurrences: i32,
    /// How often it came back.
    pub regressions: i32,
    /// What is seen.
    pub symptom: String,
    /// Why.
    pub cause: String,
    /// What it means.
    pub impact: String,
    /// What to do.
    pub advice: String,
    /// What was measured last.
    pub evidence: Evidence,
    /// When it was first measured.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last measured bad.
    pub last_seen_at: DateTime<Utc>,
    /// When it (last) opened.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it was resolved, if it is.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who has taken it on.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// The run that last measured it.
    pub last_run_id: RunId,
    /// The position of the last event that changed this row.
    pub last_position: i64,
}

impl FindingView {
    /// What a remediation of it is to put right. Fails only where the view holds a name that is none.
    pub fn problem(&self) -> Result<Problem, InvalidName> {
        Ok(Problem {
            finding: self.id,
            deployment: self.deployment_id,
            check: self.check_code.parse()?,
            component: self.component.parse()?,
            resource: self.resource.parse()?,
            severity: self.severity,
        })
    }

    /// Whether it does not alert at this moment.
    pub fn is_muted(&self, now: DateTime<Utc>) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }
}

/// Which findings; an empty filter is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// Whose.
    pub tenant: Option<String>,
    /// Of which deployment.
    pub deployment: Option<DeploymentId>,
    /// In any of these states; empty means any.
    pub statuses: Vec<FindingStatus>,
    /// Of any of these severities; empty means any.
    pub severities: Vec<Outcome>,
    /// Found by this check.
    pub check: Option<String>,
    /// On this component.
    pub component: Option<String>,
    /// Muted at this moment, or not.
    pub muted: Option<bool>,
    /// Last seen at or after.
    pub since: Option<DateTime<Utc>>,
}

pub(crate) const LIST: &str = "findings";
pub(crate) const COLUMNS: &str = "id, deployment_id, tenant, check_code, component, resource, status, severity, \
    muted_until, mute_reason, flapping, occurrences, regressions, symptom, cause, impact, advice, evidence, \
    first_seen_at, last_seen_at, opened_at, resolved_at, acknowledged_by, acknowledged_at, last_run_id, last_position";

impl Keyset for FindingView {
    fn cursor(&self) -> Cursor {
        Cursor::pack(LIST, &(micros(self.last_seen_at), self.id.0))
    }
}

pub(crate) fn conditions(sql: &mut QueryBuilder<'_, Postgres>, filter: &FindingFilter) {
    conditions_after(sql, filter, None);
}

fn conditions_after(
    sql: &mut QueryBuilder<'_, Postgres>,
    filter: &FindingFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
) {
    let mut all = Conditions::new(sql);
    if let Some(deployment) = filter.deployment {
        all.and().push("deployment_id = ").push_bind(deployment.0);
    }
    all.words("status", &mut filter.statuses.iter().map(|status| status.as_str()));
    all.words("severity", &mut filter.severities.iter().map(|severity| severity.as_str()));
    if let Some(tenant) = &filter.tenant {
        all.and().push("tenant = ").push_bind(tenant.clone());
    }
    if let Some(check) = &filter.check {
        all.and().push("check_code = ").push_bind(check.clone());
    }
    if let Some(component) = &filter.component {
        all.and().push("component = ").push_bind(component.clone());
    }
    match filter.muted {
        Some(true) => {
            all.and().push("muted_until > now()");
        }
        Some(false) => {
            all.and().push("(muted_until IS NULL OR muted_until <= now())");
        }
        None => {}
    }
    if let Some(since) = filter.since {
        all.and().push("last_seen_at >= ").push_bind(since);
    }
    if let Some((at, id)) = after {
        all.and().push("(last_seen_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
}

/// Last seen first.
pub(crate) fn page(filter: &FindingFilter, page: &PageRequest) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<(i64, Uuid)>(LIST)?;
    let after = after.map(|(at, id)| Ok::<_, QueryError>((from_micros(at)?, id))).transpose()?;
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_findings"));
    conditions_after(&mut sql, filter, after);
    sql.push(" ORDER BY last_seen_at DESC, id DESC LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

/// The findings that each of several runs saw, worst and newest first. `$1` run ids, `$2` how many of each.
pub(crate) fn of_runs() -> String {
    let columns = qualified("f");
    format!(
        "SELECT k.id AS of_id, f.* FROM unnest($1::uuid[]) AS k(id) CROSS JOIN LATERAL ( \
             SELECT {columns} FROM (SELECT DISTINCT finding_id FROM view_finding_history h WHERE h.run_id = k.id \
                 ORDER BY finding_id LIMIT 5000) seen \
             JOIN view_findings f ON f.id = seen.finding_id \
             ORDER BY f.severity, f.last_seen_at DESC, f.id DESC LIMIT $2) f"
    )
}

/// The present findings of each of several deployments, last seen first. `$1` deployment ids, `$2` how many of each.
pub(crate) fn of_deployments() -> String {
    let columns = qualified("f");
    format!(
        "SELECT k.id AS of_id, f.* FROM unnest($1::uuid[]) AS k(id) CROSS JOIN LATERAL ( \
             SELECT {columns} FROM view_findings f \
             WHERE f.deployment_id = k.id AND f.status IN ('open', 'acknowledged') \
             ORDER BY f.severity, f.last_seen_at DESC, f.id DESC LIMIT $2) f"
    )
}

fn qualified(table: &str) -> String {
    COLUMNS.split(", ").map(|column| format!("{table}.{}", column.trim())).collect::<Vec<_>>().join(", ")
}

impl FromRow<'_, PgRow> for FindingView {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: id(row, "id")?,
            deployment_id: id(row, "deployment_id")?,
            tenant: row.try_get("tenant")?,
            check_code: row.try_get("check_code")?,
            component: row.try_get("component")?,
            resource: row.try_get("resource")?,
            status: word(row, "status")?,
            severity: outcome(row, "severity")?,
            muted_until: row.try_get("muted_until")?,
            mute_reason: row.try_get("mute_reason")?,
            flapping: row.try_get("flapping")?,
            occurrences: row.try_get("occurrences")?,
            regressions: row.try_get("regressions")?,
            symptom: row.try_get("symptom")?,
            cause: row.try_get("cause")?,
            impact: row.try_get("impact")?,
            advice: row.try_get("advice")?,
            evidence: json(row, "evidence")?,
            first_seen_at: row.try_get("first_seen_at")?,
            last_seen_at: row.try_get("last_seen_at")?,
            opened_at: row.try_get("opened_at")?,
            resolved_at: row.try_get("resolved_at")?,
            acknowledged_by: row.try_get("acknowledged_by")?,
            acknowledged_at: row.try_get("acknowledged_at")?,
            last_run_id: id(row, "last_run_id")?,
            last_position: row.try_get("last_position")?,
        })
    }
}
