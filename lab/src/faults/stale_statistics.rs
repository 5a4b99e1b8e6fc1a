//! Failure mode 34: the planner works with statistics of another time.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "stale-statistics",
    title: "The statistics of tsrecloc are stale",
    breaks: "Autovacuum is off for tsrecloc, and more than half of its rows are new since its last ANALYZE",
    expects: &[must("PG-STALE-STATISTICS", ""), may("PG-DEAD-TUPLES")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: Some(|context| Box::pin(refresh(context))),
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.leave_untidy();
    context.without_autovacuum("tsrecloc").await?;
    add_rows(context).await
}

/// A server that crashed has forgotten its counters.
async fn refresh(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    if context.statistics_show("tsrecloc", STALE, Duration::ZERO).await? {
        return Ok(());
    }
    let keys = context.keys();
    let pool = context.db().await?;
    for statement in [format!("DELETE FROM tsrecloc WHERE uri >= {keys}"), "VACUUM tsrecloc".to_owned()] {
        sqlx::query(&statement).execute(pool).await.map_err(LabError::db("make statistics stale again"))?;
    }
    add_rows(context).await
}

async fn add_rows(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let count = (context.records() * 3 / 2).max(12_000);
    let statement = "INSERT INTO tsrecloc SELECT $1 + n, 1 + n % 400, 1 + n % 200 FROM generate_series(0, $2 - 1) n";
    context.insert(("tsrecloc", "uri"), count, statement).await?;
    context.wait_for_statistics("tsrecloc", STALE).await
}

const STALE: &str = "n_mod_since_analyze > 5000 AND n_mod_since_analyze > n_live_tup / 2";
