//! Where queries look: at the present, or at a moment of the past.

use super::{EACH_MAX, FirstFew, IDS_MAX, Queries};
use crate::error::QueryError;
use crate::page::bounded;
use crate::past::{AsOf, Past, Statement};
use event_store::{EventLog, LogError};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

impl Queries {
    /// The moment that these queries look at; none: the present.
    pub fn looks_at(&self) -> Option<&AsOf> {
        self.as_of.as_ref()
    }

    /// The same queries, as of a moment.
    pub(crate) fn at(&self, as_of: AsOf) -> Self {
        Self { as_of: Some(as_of), ..self.clone() }
    }

    /// The past, where that is looked at. Of such an answer nothing is kept.
    pub(super) fn past(&self) -> Option<Past<'_>> {
        let as_of = self.as_of?;
        self.note(None);
        Some(Past::new(self, as_of))
    }

    pub(super) fn past_of_each(&self, ids: &[Uuid], each: i64) -> Result<Option<Past<'_>>, QueryError> {
        bounded("ids", ids.len().max(1) as i64, IDS_MAX as i64)?;
        bounded("first", each, EACH_MAX)?;
        Ok(self.past())
    }

    pub(crate) fn the_log(&self) -> Result<&Arc<dyn EventLog>, QueryError> {
        Ok(self.log.as_ref().ok_or(LogError::Closed)?)
    }
}

/// The end of a statement that counts, no further than needed: one more than [`Count::MAX`].
pub(super) const COUNTED: &str = " LIMIT 10001) counted";

pub(super) fn counted(mut sql: QueryBuilder<'static, Postgres>) -> Result<Statement, QueryError> {
    sql.push(COUNTED);
    Statement::of(sql)
}

/// At most so many rows of each owner, which is named `of_id`.
pub(crate) fn first_few<T>(rows: &[PgRow], each: i64) -> Result<HashMap<Uuid, FirstFew<T>>, QueryError>
where
    T: for<'r> FromRow<'r, PgRow>,
{
    let mut lists: HashMap<Uuid, FirstFew<T>> = HashMap::new();
    for row in rows {
        let list =
            lists.entry(row.try_get("of_id")?).or_insert_with(|| FirstFew { items: Vec::new(), has_more: false });
        if (list.items.len() as i64) < each {
            list.items.push(T::from_row(row)?);
        } else {
            list.has_more = true;
        }
    }
    Ok(lists)
}
