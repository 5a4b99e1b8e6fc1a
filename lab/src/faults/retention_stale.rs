//! Failure mode 43: retention was not recalculated, so that records never come due.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "retention-stale",
    title: "Retention is not recalculated",
    breaks: "A fiftieth of the records have a trigger date that their last recalculation does not know",
    expects: &[must("CM-RETENTION-STALE", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let count = (context.records() / 50).max(20);
    let condition = format!("uri IN (SELECT uri FROM tsrecord WHERE rctriggerdate IS NULL ORDER BY uri LIMIT {count})");
    let set = "rctriggerdate = now() - interval '60 days', rcrecalcdate = now() - interval '400 days'";
    context.change(("tsrecord", "uri"), &["rctriggerdate", "rcrecalcdate"], &condition, set).await?;
    Ok(())
}
