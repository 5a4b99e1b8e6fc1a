//! Commands as the command log has them.

use crate::error::QueryError;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row};
use uuid::Uuid;

/// One command on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandView {
    /// Its id.
    pub id: Uuid,
    /// Whose data it was about.
    pub tenant: String,
    /// Who sent it.
    pub actor: String,
    /// Its name, such as `request_run`.
    pub name: String,
    /// The aggregate's type that it went to.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// Why it was refused: the code and the words. `None` where it was accepted.
    pub refusal: Option<(String, String)>,
    /// Where its events are, first and last; `None` where it has none.
    pub positions: Option<(i64, i64)>,
    /// The request that it was part of, where it has no events that say so.
    pub correlation_id: Option<Uuid>,
    /// The event that it answered, where it has no events that say so.
    pub causation_id: Option<Uuid>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

const COLUMNS: &str = "command_id, tenant, actor, name, aggregate_type, aggregate_id, first_position, last_position, \
    refusal_code, refusal_message, correlation_id, causation_id, recorded_at";

/// By their ids. `$1` the ids.
pub(crate) fn by_ids() -> String {
    format!("SELECT {COLUMNS} FROM commands WHERE command_id = ANY($1)")
}

/// Those without events that answered events. `$1` the events' ids, `$2` the most.
pub(crate) fn without_events() -> String {
    format!("SELECT {COLUMNS} FROM commands WHERE causation_id = ANY($1) ORDER BY recorded_at, command_id LIMIT $2")
}

/// The commands with these ids, as far as they are on record.
pub(super) async fn read(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<CommandView>, QueryError> {
    Ok(sqlx::query_as(&by_ids()).bind(ids).fetch_all(pool).await?)
}

impl FromRow<'_, PgRow> for CommandView {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let code: Option<String> = row.try_get("refusal_code")?;
        let message: Option<String> = row.try_get("refusal_message")?;
        let first: Option<i64> = row.try_get("first_position")?;
        let last: Option<i64> = row.try_get("last_position")?;
        Ok(Self {
            id: row.try_get("command_id")?,
            tenant: row.try_get("tenant")?,
            actor: row.try_get("actor")?,
            name: row.try_get("name")?,
            aggregate_type: row.try_get("aggregate_type")?,
            aggregate_id: row.try_get("aggregate_id")?,
            refusal: code.map(|code| (code, message.unwrap_or_default())),
            positions: first.zip(last),
            correlation_id: row.try_get("correlation_id")?,
            causation_id: row.try_get("causation_id")?,
            recorded_at: row.try_get("recorded_at")?,
        })
    }
}
