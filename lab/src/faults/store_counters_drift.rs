//! Failure mode 14: what the dataset counts is not what lies in the store.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "store-counters-drift",
    title: "The counters of the archive store are wrong",
    breaks: "Items and bytes of store 2 are counted a tenth too high",
    expects: &[must("CM-STORE-COUNTERS", "store-2")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let set = "esitems = t.esitems + GREATEST(t.esitems / 10, 40), esbytes = t.esbytes + t.esbytes / 10";
    context.change(("tselecstor", "uri"), &["esitems", "esbytes"], "uri = 2", set).await?;
    Ok(())
}
