//! Policies: what may be done, what is reserved for it now, what was learned; and the emergency stop.

use super::{Timed, json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};
use uuid::Uuid;

/// One policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it says; `None`: the built-in one decides under its name.
    pub definition: Option<Value>,
    /// How often it was defined or revised; 0 for the built-in one.
    pub revision: i32,
    /// Who changed it last.
    pub changed_by: Option<String>,
    /// When.
    pub changed_at: Option<DateTime<Utc>>,
    /// What open remediations hold, by remediation: deployment, blast radius, since when.
    pub reservations: Value,
    /// The circuit breakers that are open: until when, after how many failures.
    pub breakers: Value,
    /// The position of the last event that changed this row.
    pub last_position: i64,
}

impl Timed for PolicyView {}

impl FromRow<'_, PgRow> for PolicyView {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            definition: row.try_get::<Option<Json<Value>>, _>("definition")?.map(|json| json.0),
            revision: row.try_get("revision")?,
            changed_by: row.try_get("changed_by")?,
            changed_at: row.try_get("changed_at")?,
            reservations: json(row, "reservations")?,
            breakers: json(row, "breakers")?,
            last_position: row.try_get("last_position")?,
        })
    }
}

/// A tenant's policies by name. `$1` tenant, `$2` how many.
pub(crate) const LIST: &str = "SELECT id, name, definition, revision, changed_by, changed_at, reservations, breakers, \
    last_position FROM view_policies WHERE tenant = $1 ORDER BY name, id LIMIT $2";

/// What has been learned of a runbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FromRow)]
pub struct StatisticView {
    /// The runbook,
    pub runbook: String,
    /// in this version,
    pub runbook_version: String,
    /// for findings of this check,
    pub check_code: String,
    /// in this version.
    pub check_version: String,
    /// How often it put the finding right.
    pub successes: i32,
    /// How often it did not.
    pub failures: i32,
    /// Whether it may run by itself, as far as success goes; `None`: no rule ever asked.
    pub automatic: Option<bool>,
    /// The lower bound of its success when that was last asked.
    pub lower_bound: Option<f64>,
    /// Why it may not.
    pub reason: Option<String>,
    /// When it was last counted.
    pub changed_at: DateTime<Utc>,
}

/// What a policy has learned. `$1` policy, `$2` how many.
pub(crate) const STATISTICS: &str = "SELECT runbook, runbook_version, check_code, check_version, successes, failures, \
    automatic, lower_bound, reason, changed_at FROM view_policy_statistics WHERE policy_id = $1 \
    ORDER BY runbook, check_code, id LIMIT $2";

/// Whether everything stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct EmergencyStopView {
    /// Whether it does.
    pub engaged: bool,
    /// Whether what had been done is taken back.
    pub undo: bool,
    /// Why, or why not any more.
    pub reason: String,
    /// Who changed it last.
    pub changed_by: String,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// The position of the last event that changed this row.
    pub last_position: i64,
}

/// A tenant's emergency stop. `$1` its id.
pub(crate) const STOP: &str = "SELECT engaged, undo, reason, changed_by, changed_at, last_position \
    FROM view_emergency_stops WHERE id = $1";
