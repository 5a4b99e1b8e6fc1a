//! Failure mode 31: the SQL text index lacks what was registered lately.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "word-index-stale",
    title: "The word index lacks the newest records",
    breaks: "The words of the newest tenth of the records are deleted from tstxtidx",
    expects: &[must("CM-WORD-INDEX-STALE", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let (from, to) = (context.records() * 9 / 10, context.records());
    context.delete(("tstxtidx", "uri"), &format!("recuri > {from} AND recuri <= {to}")).await?;
    Ok(())
}
