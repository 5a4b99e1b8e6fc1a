//! Failure mode 23: files that can not be deleted pile up.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "delete-retries",
    title: "Deletions pile up in the main store",
    breaks: "Store 1 has 540 deletions to try again",
    expects: &[must("CM-DELETE-RETRIES", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.change(("tselecstor", "uri"), &["esdeleteretries"], "uri = 1", "esdeleteretries = 540").await?;
    Ok(())
}
