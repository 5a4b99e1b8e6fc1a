//! What an operator decides when a projection stands still. That it passes over an event is an event itself
//! (`PoisonEventSkipped`), which runners, replays and rebuilds read; that it tries again needs no record, for it
//! changes nothing.

use sqlx::PgPool;

/// Lets a projection try again what it could not take, after what was wrong has been mended.
pub async fn retry(pool: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE projection_checkpoints SET failed_position = NULL, failure = NULL WHERE name = $1")
        .bind(name)
        .execute(pool)
        .await
        .map(drop)
}
