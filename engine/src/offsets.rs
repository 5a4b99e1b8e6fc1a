//! How far log probes have read, in PostgreSQL: whichever worker reads next goes on where the last one stopped.

use crate::probe::{OffsetError, OffsetKey, OffsetStore};
use command_side::Clock;
use futures::future::BoxFuture;
use serde_json::Value;
use sqlx::postgres::PgPool;
use std::sync::Arc;

/// Keeps states in the table `log_offsets`.
pub struct PostgresOffsets {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl PostgresOffsets {
    /// The store in a migrated database.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock }
    }
}

impl OffsetStore for PostgresOffsets {
    fn load<'a>(&'a self, key: &'a OffsetKey) -> BoxFuture<'a, Result<Option<Value>, OffsetError>> {
        Box::pin(async move {
            sqlx::query_scalar(
                "SELECT state FROM cmdiag.log_offsets WHERE deployment_id = $1 AND component = $2 AND probe_key = $3",
            )
            .bind(key.deployment.0)
            .bind(key.component.as_str())
            .bind(&key.probe)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)
        })
    }

    fn save<'a>(&'a self, key: &'a OffsetKey, state: Value) -> BoxFuture<'a, Result<(), OffsetError>> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO cmdiag.log_offsets (deployment_id, component, probe_key, state, updated_at) \
                 VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (deployment_id, component, probe_key) \
                 DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
            )
            .bind(key.deployment.0)
            .bind(key.component.as_str())
            .bind(&key.probe)
            .bind(state)
            .bind(self.clock.now())
            .execute(&self.pool)
            .await
            .map_err(failed)?;
            Ok(())
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn failed(error: sqlx::Error) -> OffsetError {
    OffsetError(error.to_string())
}
