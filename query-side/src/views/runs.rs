//! Runs and their progress.

use super::{Conditions, id, optional_outcome, word, words};
use crate::error::QueryError;
use crate::page::{Cursor, Keyset, PageRequest, from_micros, micros};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::{Priority, Tally};
use domain::{DeploymentId, Outcome, RunId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

words! {
    /// Where a run is in its life.
    RunStatus {
        /// Asked for.
        Requested = "requested",
        /// Its checks are fixed.
        Planned = "planned",
        /// Under way.
        Running = "running",
        /// All its checks have ended.
        Completed = "completed",
        /// Stopped.
        Cancelled = "cancelled",
        /// Its deadline passed.
        TimedOut = "timed_out",
        /// It could not be carried on.
        Failed = "failed",
    }
}

impl RunStatus {
    /// The statuses of a run that has not ended.
    pub const UNDER_WAY: [Self; 3] = [Self::Requested, Self::Planned, Self::Running];

    /// Whether it has ended.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Requested | Self::Planned | Self::Running)
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// What it looks at.
    pub deployment_id: DeploymentId,
    /// Whose data it is.
    pub tenant: String,
    /// Which checks, by name.
    pub profile: String,
    /// Where it is in its life.
    pub status: RunStatus,
    /// How soon its work is taken up.
    pub priority: Priority,
    /// How many checks it consists of; 0 before it is planned.
    pub planned: i32,
    /// How many have ended.
    pub done: i32,
    /// The verdict, of a completed run only.
    pub outcome: Option<Outcome>,
    /// How many checks ended how.
    pub tally: Tally,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When its checks were fixed.
    pub planned_at: Option<DateTime<Utc>>,
    /// When its first check was under way.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, however it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When it times out.
    pub deadline: DateTime<Utc>,
    /// Why it was cancelled, timed out or failed.
    pub reason: Option<String>,
    /// The position of the last event that changed this row.
    pub last_position: i64,
}

/// Which runs; an empty filter is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Whose.
    pub tenant: Option<String>,
    /// Of which deployment.
    pub deployment: Option<DeploymentId>,
    /// In any of these states; empty means any.
    pub statuses: Vec<RunStatus>,
    /// Of this profile.
    pub profile: Option<String>,
    /// Asked for at or after.
    pub since: Option<DateTime<Utc>>,
    /// Asked for before.
    pub until: Option<DateTime<Utc>>,
}

pub(crate) const LIST: &str = "runs";
pub(crate) const COLUMNS: &str = "id, deployment_id, tenant, profile, status, priority, planned, done, outcome, ok, \
    warning, critical, unknown, requested_by, requested_at, planned_at, started_at, ended_at, deadline, reason, \
    last_position";

impl Keyset for RunView {
    fn cursor(&self) -> Cursor {
        Cursor::pack(LIST, &(micros(self.requested_at), self.id.0))
    }
}

pub(crate) fn conditions(sql: &mut QueryBuilder<'_, Postgres>, filter: &RunFilter) {
    conditions_after(sql, filter, None);
}

fn conditions_after(sql: &mut QueryBuilder<'_, Postgres>, filter: &RunFilter, after: Option<(DateTime<Utc>, Uuid)>) {
    let mut all = Conditions::new(sql);
    if let Some(deployment) = filter.deployment {
        all.and().push("deployment_id = ").push_bind(deployment.0);
    }
    all.words("status", &mut filter.statuses.iter().map(|status| status.as_str()));
    if let Some(tenant) = &filter.tenant {
        all.and().push("tenant = ").push_bind(tenant.clone());
    }
    if let Some(profile) = &filter.profile {
        all.and().push("profile = ").push_bind(profile.clone());
    }
    if let Some(since) = filter.since {
        all.and().push("requested_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        all.and().push("requested_at < ").push_bind(until);
    }
    if let Some((at, id)) = after {
        all.and().push("(requested_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
}

/// Newest first.
pub(crate) fn page(filter: &RunFilter, page: &PageRequest) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<(i64, Uuid)>(LIST)?;
    let after = after.map(|(at, id)| Ok::<_, QueryError>((from_micros(at)?, id))).transpose()?;
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_runs"));
    conditions_after(&mut sql, filter, after);
    sql.push(" ORDER BY requested_at DESC, id DESC LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

/// A deployment's runs, oldest first: what is read through once from the beginning.
pub(crate) fn oldest_first(
    filter: &RunFilter,
    after: Option<(DateTime<Utc>, RunId)>,
    limit: i64,
) -> QueryBuilder<'static, Postgres> {
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_runs"));
    conditions(&mut sql, filter);
    if let Some((at, id)) = after {
        sql.push(if filter == &RunFilter::default() { " WHERE " } else { " AND " });
        sql.push("(requested_at, id) > (").push_bind(at).push(", ").push_bind(id.0).push(")");
    }
    sql.push(" ORDER BY requested_at, id LIMIT ").push_bind(limit);
    sql
}

impl FromRow<'_, PgRow> for RunView {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let count = |column: &str| row.try_get::<i32, _>(column).map(|count| count.max(0) as u32);
        Ok(Self {
            id: id(row, "id")?,
            deployment_id: id(row, "deployment_id")?,
            tenant: row.try_get("tenant")?,
            profile: row.try_get("profile")?,
            status: word(row, "status")?,
            priority: match row.try_get::<&str, _>("priority")? {
                "low" => Priority::Low,
                "high" => Priority::High,
                _ => Priority::Normal,
            },
            planned: row.try_get("planned")?,
            done: row.try_get("done")?,
            outcome: optional_outcome(row, "outcome")?,
            tally: Tally {
                ok: count("ok")?,
                warning: count("warning")?,
                critical: count("critical")?,
                unknown: count("unknown")?,
            },
            requested_by: row.try_get("requested_by")?,
            requested_at: row.try_get("requested_at")?,
            planned_at: row.try_get("planned_at")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            deadline: row.try_get("deadline")?,
            reason: row.try_get("reason")?,
            last_position: row.try_get("last_position")?,
        })
    }
}
