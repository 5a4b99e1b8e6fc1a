//! Failure mode 35: a replication slot that nobody reads keeps the write-ahead log for ever.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "abandoned-slot",
    title: "A replication slot was abandoned",
    breaks: "A physical replication slot is made that nobody reads",
    expects: &[must("PG-SLOT-RETAINS-WAL", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let pool = context.db().await?;
    let failed = LabError::db;
    // Slots belong to the whole server: the name must not meet that of another lab.
    let database: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(pool).await.map_err(failed("ask for its name"))?;
    let slot = format!("{database}_abandoned");
    context.undo_sql(format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active"
    ))?;
    sqlx::query("SELECT pg_create_physical_replication_slot($1, true)")
        .bind(&slot)
        .execute(pool)
        .await
        .map_err(failed("make a replication slot"))?;
    // Something to retain.
    sqlx::query("SELECT pg_switch_wal()").execute(pool).await.map_err(failed("switch the write-ahead log"))?;
    Ok(())
}
