//! How the database answers: for benchmarks, which want to see an index in it.

use super::Queries;
use crate::error::QueryError;
use crate::page::PageRequest;
use crate::past::Statement;
use crate::views::runs::{self, RunFilter};
use sqlx::Row;

impl Queries {
    /// The plan of a page of runs, as PostgreSQL explains it.
    pub async fn runs_plan(&self, filter: &RunFilter, page: &PageRequest) -> Result<String, QueryError> {
        let mut statement = Statement::of(runs::page(filter, page)?)?;
        statement.sql.insert_str(0, "EXPLAIN ");
        let rows = statement.rows(&self.pool).await?;
        let lines = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.join("\n"))
    }
}
