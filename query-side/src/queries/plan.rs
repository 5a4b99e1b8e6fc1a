//! How the database answers: for benchmarks, which want to see an index in it.

use super::Queries;
use crate::error::QueryError;
use crate::page::PageRequest;
use crate::past::Statement;
use crate::views::runs::{self, RunFilter};

impl Queries {
    /// The plan of a page of runs, as PostgreSQL explains it.
    pub async fn runs_plan(&self, filter: &RunFilter, page: &PageRequest) -> Result<String, QueryError> {
        Statement::of(runs::page(filter, page)?)?.plan(&self.pool).await
    }
}
