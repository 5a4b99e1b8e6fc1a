//! Remediations: what is being put right, how far it has come, and what waits for a person.

use super::{Conditions, Timed, id, json, outcome};
use crate::error::QueryError;
use crate::page::{Cursor, Keyset, PageRequest, from_micros, micros};
use chrono::{DateTime, Utc};
use domain::remediation::{RemediationPhase, RemediationState};
use domain::{DeploymentId, FindingId, Outcome, RemediationId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

/// One remediation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemediationView {
    /// Its id.
    pub id: RemediationId,
    /// Whose data it is.
    pub tenant: String,
    /// Where.
    pub deployment_id: DeploymentId,
    /// What it puts right.
    pub finding_id: FindingId,
    /// The check that raised the finding.
    pub check_code: String,
    /// The component that the check looked at.
    pub component: String,
    /// What the finding is about.
    pub resource: String,
    /// `Warning` or `Critical`.
    pub severity: Outcome,
    /// By which runbook, where that is known.
    pub runbook: Option<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// When its first step could begin.
    pub started_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub ended_at: Option<DateTime<Utc>>,
    /// How many steps it has; 0 before it is planned.
    pub steps: i32,
    /// How many of them are done and verified.
    pub steps_done: i32,
    /// Why it rests as it does.
    pub reason: Option<String>,
    /// All that is known of it, as the aggregate folds it.
    pub state: RemediationState,
    /// The position of the last event that changed this row.
    pub last_position: i64,
}

impl RemediationView {
    /// Where it is in its life.
    pub const fn phase(&self) -> RemediationPhase {
        self.state.phase
    }
}

impl Timed for RemediationView {}

/// Which remediations; an empty filter is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemediationFilter {
    /// Whose.
    pub tenant: Option<String>,
    /// Of which deployment.
    pub deployment: Option<DeploymentId>,
    /// Of which finding.
    pub finding: Option<FindingId>,
    /// In any of these phases; empty means any.
    pub phases: Vec<RemediationPhase>,
    /// Only those that nothing more happens to by itself, or only those that something does.
    pub at_rest: Option<bool>,
}

pub(crate) const LIST: &str = "remediations";
pub(crate) const COLUMNS: &str = "id, tenant, deployment_id, finding_id, check_code, component, resource, severity, \
    runbook, requested_by, requested_at, started_at, ended_at, steps, steps_done, reason, state, last_position";

impl Keyset for RemediationView {
    fn cursor(&self) -> Cursor {
        Cursor::pack(LIST, &(micros(self.requested_at), self.id.0))
    }
}

/// Newest first.
pub(crate) fn page(
    filter: &RemediationFilter,
    page: &PageRequest,
) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<(i64, Uuid)>(LIST)?;
    let after = after.map(|(at, id)| Ok::<_, QueryError>((from_micros(at)?, id))).transpose()?;
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_remediations"));
    conditions(&mut sql, filter, after);
    sql.push(" ORDER BY requested_at DESC, id DESC LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

fn conditions(sql: &mut QueryBuilder<'_, Postgres>, filter: &RemediationFilter, after: Option<(DateTime<Utc>, Uuid)>) {
    let mut all = Conditions::new(sql);
    if let Some(finding) = filter.finding {
        all.and().push("finding_id = ").push_bind(finding.0);
    }
    if let Some(deployment) = filter.deployment {
        all.and().push("deployment_id = ").push_bind(deployment.0);
    }
    match filter.at_rest {
        // As the partial index says it.
        Some(false) => {
            all.and().push("NOT at_rest");
        }
        Some(true) => {
            all.and().push("at_rest");
        }
        None => {}
    }
    all.words("status", &mut filter.phases.iter().map(|phase| phase.as_str()));
    if let Some(tenant) = &filter.tenant {
        all.and().push("tenant = ").push_bind(tenant.clone());
    }
    if let Some((at, id)) = after {
        all.and().push("(requested_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
}

impl FromRow<'_, PgRow> for RemediationView {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: id(row, "id")?,
            tenant: row.try_get("tenant")?,
            deployment_id: id(row, "deployment_id")?,
            finding_id: id(row, "finding_id")?,
            check_code: row.try_get("check_code")?,
            component: row.try_get("component")?,
            resource: row.try_get("resource")?,
            severity: outcome(row, "severity")?,
            runbook: row.try_get("runbook")?,
            requested_by: row.try_get("requested_by")?,
            requested_at: row.try_get("requested_at")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            steps: row.try_get("steps")?,
            steps_done: row.try_get("steps_done")?,
            reason: row.try_get("reason")?,
            state: json(row, "state")?,
            last_position: row.try_get("last_position")?,
        })
    }
}
