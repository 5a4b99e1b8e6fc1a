//! Failure mode 34: a sequence is nearly used up; then no row can be added any more.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "sequence-near-end",
    title: "A sequence is nearly used up",
    breaks: "The sequence of tsreclink is set to 97 % of what an integer can hold",
    expects: &[must("PG-SEQUENCE-EXHAUSTION", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let pool = context.db().await?;
    let (last, called): (i64, bool) = sqlx::query_as("SELECT last_value, is_called FROM tsreclink_uri_seq")
        .fetch_one(pool)
        .await
        .map_err(LabError::db("read a sequence"))?;
    context.undo_sql(format!("SELECT setval('tsreclink_uri_seq', {last}, {called})"))?;
    sqlx::query("SELECT setval('tsreclink_uri_seq', 2083059138)")
        .execute(pool)
        .await
        .map_err(LabError::db("set a sequence"))
        .map(drop)
}
