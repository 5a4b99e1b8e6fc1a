//! Failure mode 8: a processor was suspended for maintenance and forgotten.

use crate::context::FaultContext;
use crate::control::{ProcessorMode, Switch};
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "processor-suspended",
    title: "The word indexing processor was left suspended",
    breaks: "WordIndexing is Suspended for two days with 350 events queued; resuming it cures it",
    expects: &[must("CM-EVENT-SUSPENDED", ""), may("CM-EVENT-BACKLOG")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let mode = ProcessorMode::Status { status: "Suspended".to_owned(), hours: 50, queued: 350 };
    context.switch(vec![Switch::Processor { name: "WordIndexing".to_owned(), mode }]).await
}
