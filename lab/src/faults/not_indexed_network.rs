//! Failure mode 29: documents that the content index never received.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "not-indexed-network",
    title: "An eighth of the documents failed to be indexed",
    breaks: "The index status of documents is NetworkError",
    expects: &[must("CM-INDEX-NETWORK-ERRORS", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let count = (context.documents() / 8).max(25);
    let condition = format!("uri IN (SELECT uri FROM tsrecelec ORDER BY uri DESC LIMIT {count})");
    context.change(("tsrecelec", "uri"), &["reindexstatus"], &condition, "reindexstatus = 'NetworkError'").await?;
    Ok(())
}
