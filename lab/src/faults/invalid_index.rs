//! Failure mode 34: an index whose building failed, and which is kept up for nothing.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "invalid-index",
    title: "An index is invalid",
    breaks: "A unique index on tsrecord could not be built and was left invalid",
    expects: &[must("PG-INVALID-INDEX", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.undo_sql(format!("DROP INDEX IF EXISTS {INDEX}"))?;
    let pool = context.db().await?;
    let statement = format!("CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON tsrecord (rcrectypeuri)");
    match sqlx::query(&statement).execute(pool).await {
        // Many records have the same type: that is what leaves it invalid.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        Err(error) => Err(LabError::db("make an invalid index")(error)),
        Ok(_) => Err(LabError::Options("the index that should be invalid is valid".to_owned())),
    }
}

const INDEX: &str = "tsrecord_rcrectypeuri_double";
