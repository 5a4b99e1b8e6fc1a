//! A present's statement over the rows of the past.
//!
//! The statement's tables are shadowed by common table expressions of the same names, made of the rows as they stood;
//! their columns and types are the tables' own. `now()` becomes the moment.

use super::{AsOf, Past};
use crate::error::QueryError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Arguments, Execute, FromRow, PgPool, Postgres, QueryBuilder, Row};

/// What stands in the place of a table.
pub(crate) enum Stand {
    /// These rows, each as a JSON object.
    Rows(Vec<String>),
    /// What the table holds up to the position: for tables that are only added to.
    Added,
    /// What was there at the position, as it is today, up to a time where that bounds it: the rows of aggregates of
    /// this type whose first event is not after it. For columns that never change.
    Begun {
        /// The aggregate's type.
        aggregate: &'static str,
        /// The column that says when it began, by the clock of whoever asked for it.
        dated: Option<&'static str>,
    },
}

/// A view's table and what stands in its place.
pub(crate) type Stands = Vec<(&'static str, Stand)>;

/// A statement with its arguments.
pub(crate) struct Statement {
    pub(crate) sql: String,
    arguments: PgArguments,
}

impl Statement {
    /// As the present has it.
    pub(crate) fn of(mut builder: QueryBuilder<'static, Postgres>) -> Result<Self, QueryError> {
        let mut query = builder.build();
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
        Ok(Self { sql: query.sql().to_owned(), arguments })
    }

    /// As the present has it, in words.
    pub(crate) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), arguments: PgArguments::default() }
    }

    /// Adds the next argument; its number.
    pub(crate) fn bind<T>(&mut self, value: T) -> Result<usize, QueryError>
    where
        T: for<'q> sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres> + Send + 'static,
    {
        self.arguments.add(value).map_err(sqlx::Error::Encode)?;
        Ok(self.arguments.len())
    }

    /// Over these rows.
    pub(crate) fn over(mut self, stands: Stands, as_of: &AsOf) -> Result<Self, QueryError> {
        let mut shadows = Vec::with_capacity(stands.len());
        for (table, stand) in stands {
            shadows.push(self.shadow(table, stand, as_of)?);
        }
        if self.sql.contains("now()") {
            let now = self.bind(as_of.now)?;
            self.sql = self.sql.replace("now()", &format!("${now}::timestamptz"));
        }
        if !shadows.is_empty() {
            self.sql = format!("WITH {} {}", shadows.join(", "), self.sql);
        }
        Ok(self)
    }

    fn shadow(&mut self, table: &str, stand: Stand, as_of: &AsOf) -> Result<String, QueryError> {
        match stand {
            Stand::Rows(rows) => {
                let rows = self.bind(format!("[{}]", rows.join(",")))?;
                Ok(format!("{table} AS (SELECT * FROM json_populate_recordset(NULL::cmdiag.{table}, ${rows}::json))"))
            }
            Stand::Added => {
                let until = self.bind(as_of.position.0)?;
                Ok(format!(
                    "{table} AS NOT MATERIALIZED (SELECT * FROM cmdiag.{table} WHERE last_position <= ${until})"
                ))
            }
            Stand::Begun { aggregate, dated } => {
                let until = self.bind(as_of.position.0)?;
                let dated = match dated {
                    Some(column) => {
                        let latest = self.bind(as_of.now + super::CLOCKS_APART)?;
                        format!("v.{column} < ${latest} AND ")
                    }
                    None => String::new(),
                };
                // A scalar subquery, not EXISTS: that the planner would like to hash, from all of the log up to there.
                Ok(format!(
                    "{table} AS NOT MATERIALIZED (SELECT * FROM cmdiag.{table} v WHERE {dated}\
                     (v.last_position <= ${until} OR (SELECT e.position FROM cmdiag.events e \
                     WHERE e.aggregate_type = '{aggregate}' AND e.aggregate_id = v.id::text AND e.sequence = 1) \
                     <= ${until}))"
                ))
            }
        }
    }

    /// Ready to be sent.
    pub(crate) fn query(&self) -> Query<'_, Postgres, PgArguments> {
        sqlx::query_with(&self.sql, self.arguments.clone())
    }

    /// How the database would answer.
    pub(crate) async fn plan(mut self, pool: &PgPool) -> Result<String, QueryError> {
        self.sql.insert_str(0, "EXPLAIN ");
        let rows = self.rows(pool).await?;
        let lines = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.join("\n"))
    }

    pub(crate) async fn rows(&self, pool: &PgPool) -> Result<Vec<PgRow>, QueryError> {
        Ok(self.query().fetch_all(pool).await?)
    }
}

impl Past<'_> {
    /// The rows of a present's statement, over the rows of the past.
    pub(super) async fn over(&self, statement: Statement, stands: Stands) -> Result<Vec<PgRow>, QueryError> {
        statement.over(stands, &self.as_of)?.rows(self.queries.pool()).await
    }

    /// [`Self::over`], understood.
    pub(super) async fn views<T>(&self, statement: Statement, stands: Stands) -> Result<Vec<T>, QueryError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let rows = self.over(statement, stands).await?;
        rows.iter().map(|row| T::from_row(row).map_err(QueryError::from)).collect()
    }
}
