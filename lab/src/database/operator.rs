//! The role that remedies: what actions log in as. It maintains tables and changes a few columns, and no more.
//!
//! Before version 17, whoever vacuums a table or makes an index must own it, and an owner can grant itself anything. So
//! nobody who logs in owns the tables: a role without a login does, from which the rights to change rows are taken; and
//! an event trigger, which an owner of tables can not touch, refuses the operator every other change of the schema.

use super::{Roles, run};
use crate::error::LabError;
use sqlx::{PgConnection, PgPool};

/// Settings that actions may change; the engine's list holds no others.
const SETTINGS: [&str; 28] = [
    "autovacuum",
    "autovacuum_analyze_scale_factor",
    "autovacuum_analyze_threshold",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "checkpoint_warning",
    "default_statistics_target",
    "effective_cache_size",
    "fsync",
    "full_page_writes",
    "log_autovacuum_min_duration",
    "log_checkpoints",
    "log_lock_waits",
    "log_min_duration_statement",
    "log_temp_files",
    "maintenance_work_mem",
    "max_slot_wal_keep_size",
    "max_wal_size",
    "random_page_cost",
    "temp_file_limit",
    "track_counts",
    "wal_compression",
    "work_mem",
];

/// Makes what the operator needs, in a new lab or one of an earlier version. `pool` is a superuser's, on the dataset.
pub async fn ensure(pool: &PgPool, roles: &Roles) -> Result<(), LabError> {
    let script = include_str!("operator.sql")
        .replace("$tables", &roles.tables)
        .replace("$owner", &roles.owner)
        .replace("$monitor", &roles.monitor)
        .replace("$operator", &roles.operator);
    let mut connection = pool.acquire().await.map_err(LabError::db("connect"))?;
    run(&mut connection, &script, "make its operator's rights").await?;
    let version: i32 = sqlx::query_scalar("SELECT CAST(current_setting('server_version_num') AS int)")
        .fetch_one(&mut *connection)
        .await
        .map_err(LabError::db("ask for its version"))?;
    // Earlier servers let superusers only change settings: there the action says so.
    if version >= 150_000 {
        let grant = format!("GRANT ALTER SYSTEM ON PARAMETER {} TO {}", SETTINGS.join(", "), roles.operator);
        run(&mut connection, &grant, "let its operator change settings").await?;
    }
    care_for_later_tables(&mut connection).await
}

/// Tables that were made after the rows were loaded: these may not look neglected from the start. Others may, by a
/// fault.
async fn care_for_later_tables(connection: &mut PgConnection) -> Result<(), LabError> {
    let find = "SELECT quote_ident(relname) FROM pg_stat_user_tables
                WHERE starts_with(relname, 'double_document_') AND last_vacuum IS NULL AND last_autovacuum IS NULL";
    let neglected: Vec<String> =
        sqlx::query_scalar(find).fetch_all(&mut *connection).await.map_err(LabError::db("look at its tables"))?;
    if neglected.is_empty() {
        return Ok(());
    }
    run(connection, &format!("VACUUM (ANALYZE) {}", neglected.join(", ")), "vacuum and analyse").await
}
