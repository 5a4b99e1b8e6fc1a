//! What an operator decides when a projection stands still.

use sqlx::{Executor, PgPool, Row};

/// Why a decision could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The projection does not stand still at this position: the decision was made on an old state.
    #[error("projection {name} does not stand still at position {position}")]
    NotFailedThere {
        /// The projection.
        name: String,
        /// The position that was named.
        position: i64,
    },
    /// A skip needs a reason and somebody who answers for it.
    #[error("a skip needs a reason and an actor")]
    NoReason,
    /// The database failed.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
}

/// Passes over the event that a projection can not take. The view then lacks what the event would have changed; who
/// decided that, and why, stays on record in `projection_skips`.
pub async fn skip(pool: &PgPool, name: &str, position: i64, reason: &str, actor: &str) -> Result<(), OperatorError> {
    if reason.trim().is_empty() || actor.trim().is_empty() {
        return Err(OperatorError::NoReason);
    }
    let mut transaction = pool.begin().await?;
    let failed =
        sqlx::query("SELECT failure FROM projection_checkpoints WHERE name = $1 AND failed_position = $2 FOR UPDATE")
            .bind(name)
            .bind(position)
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(failed) = failed else {
        return Err(OperatorError::NotFailedThere { name: name.to_owned(), position });
    };
    sqlx::query(
        "INSERT INTO projection_skips (name, position, reason, actor, failure) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (name, position) DO NOTHING",
    )
    .bind(name)
    .bind(position)
    .bind(reason)
    .bind(actor)
    .bind(failed.try_get::<Option<String>, _>("failure")?)
    .execute(&mut *transaction)
    .await?;
    transaction.execute(release(name)).await?;
    transaction.commit().await?;
    tracing::warn!(projection = name, position, actor, reason, "projections.skipped: an event is passed over");
    Ok(())
}

/// Lets a projection try again what it could not take, after what was wrong has been mended.
pub async fn retry(pool: &PgPool, name: &str) -> Result<(), OperatorError> {
    pool.execute(release(name)).await?;
    Ok(())
}

fn release(name: &str) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
    sqlx::query("UPDATE projection_checkpoints SET failed_position = NULL, failure = NULL WHERE name = $1").bind(name)
}
