//! Failure mode 34: dead rows that no vacuum removes.

use crate::context::FaultContext;
use crate::database::report_changes;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "dead-tuples",
    title: "tsexfieldv is mostly dead rows",
    breaks: "Autovacuum is off for tsexfieldv, and rows were added and deleted again",
    expects: &[must("PG-DEAD-TUPLES", ""), may("PG-STALE-STATISTICS")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: Some(|context| Box::pin(refresh(context))),
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.leave_untidy();
    context.without_autovacuum("tsexfieldv").await?;
    let (keys, count) = (context.keys(), (context.records() * 3).max(12_000));
    let statement = "INSERT INTO tsexfieldv SELECT $1 + n, 1 + n % 400, 1, 'double' FROM generate_series(0, $2 - 1) n";
    context.insert(("tsexfieldv", "uri"), count, statement).await?;
    let pool = context.db().await?;
    sqlx::query("DELETE FROM tsexfieldv WHERE uri >= $1")
        .bind(keys)
        .execute(pool)
        .await
        .map_err(LabError::db("make dead rows"))?;
    analyse(context).await?;
    context.wait_for_statistics("tsexfieldv", DEAD).await
}

/// A server that crashed has forgotten its counters; the dead rows are still there to be counted.
async fn refresh(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    if !context.statistics_show("tsexfieldv", DEAD, Duration::ZERO).await? {
        analyse(context).await?;
    }
    Ok(())
}

/// Counts the dead rows, so that the statistics are right and only the dead rows are wrong.
async fn analyse(context: &FaultContext<'_>) -> Result<(), LabError> {
    let pool = context.db().await?;
    report_changes(pool).await?;
    sqlx::query("ANALYZE tsexfieldv").execute(pool).await.map_err(LabError::db("count dead rows")).map(drop)
}

const DEAD: &str = "n_dead_tup > 5000 AND n_dead_tup > n_live_tup";
