//! Failure mode 15: a document's file is gone.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "file-missing",
    title: "Three documents have lost their files",
    breaks: "Three files of store 1 are moved away",
    expects: &[must("CM-FILE-MISSING", ""), may("CM-STORE-COUNTERS")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    for victim in context.victims(10, 3).await? {
        context.stash(&victim.path)?;
    }
    Ok(())
}
