//! For tests and benchmarks, here and in the rooms that build on the views: a log in memory, and stories to fill it
//! with.

mod memory_log;
mod story;

pub use memory_log::MemoryLog;
pub use story::{Story, recorded};

use sqlx::{PgPool, Row};

/// Every table of the views as sorted lines of text: equal if and only if all rows are.
pub async fn dump(pool: &PgPool) -> Result<Vec<(String, Vec<String>)>, sqlx::Error> {
    let mut tables = Vec::new();
    for projection in crate::all() {
        for table in projection.tables() {
            let rows =
                sqlx::query(&format!("SELECT t::text AS line FROM {table} t ORDER BY 1")).fetch_all(pool).await?;
            let lines = rows.iter().map(|row| row.try_get("line")).collect::<Result<_, _>>()?;
            tables.push(((*table).to_owned(), lines));
        }
    }
    Ok(tables)
}
