//! A finding's life, event by event.

use super::{id, optional_id};
use crate::error::QueryError;
use crate::page::{Cursor, Keyset, PageRequest};
use chrono::{DateTime, Utc};
use domain::{FindingId, RunId, StreamVersion};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};

/// One event of a finding's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingHistoryEntry {
    /// The finding.
    pub finding_id: FindingId,
    /// Its place in the finding's life, from 1.
    pub version: i64,
    /// Its place in the log.
    pub position: i64,
    /// What happened, such as `FindingOpened`.
    pub event_type: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// The run that saw it, where one did.
    pub run_id: Option<RunId>,
    /// What the event says beyond that.
    pub detail: serde_json::Value,
}

const LIST: &str = "history";

/// The place right after the entry of this version.
pub(crate) fn after(version: StreamVersion) -> Cursor {
    Cursor::pack(LIST, &version.0)
}
pub(crate) const COLUMNS: &str = "finding_id, version, position, event_type, at, actor, run_id, detail";

impl Keyset for FindingHistoryEntry {
    fn cursor(&self) -> Cursor {
        Cursor::pack(LIST, &self.version)
    }
}

/// Oldest first.
pub(crate) fn page(finding: FindingId, page: &PageRequest) -> Result<QueryBuilder<'static, Postgres>, QueryError> {
    let after = page.key::<i64>(LIST)?.unwrap_or(0);
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM view_finding_history WHERE finding_id = "));
    sql.push_bind(finding.0).push(" AND version > ").push_bind(after);
    sql.push(" ORDER BY version LIMIT ").push_bind(page.limit()?);
    Ok(sql)
}

impl FromRow<'_, PgRow> for FindingHistoryEntry {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            finding_id: id(row, "finding_id")?,
            version: row.try_get("version")?,
            position: row.try_get("position")?,
            event_type: row.try_get("event_type")?,
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            run_id: optional_id(row, "run_id")?,
            detail: row.try_get("detail")?,
        })
    }
}
