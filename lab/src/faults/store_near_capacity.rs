//! Failure mode 13: a store is nearly full.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "store-near-capacity",
    title: "The main store is 97 % full",
    breaks: "The capacity of store 1 is set to hardly more than it holds",
    expects: &[must("CM-STORE-NEAR-CAPACITY", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.change(("tselecstor", "uri"), &["escapacity"], "uri = 1", "escapacity = t.esbytes * 100 / 97").await?;
    Ok(())
}
