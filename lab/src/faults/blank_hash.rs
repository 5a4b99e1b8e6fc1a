//! Failure mode 20: documents without a recorded hash, whose integrity can not be proven.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "blank-hash",
    title: "Documents in the archive store have no hash",
    breaks: "The hashes of a tenth of the documents of store 2 are blank",
    expects: &[must("CM-HASH-BLANK", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let count = (context.documents() / 25).max(10);
    let condition = format!("uri IN (SELECT uri FROM tsrecelec WHERE restore = 2 ORDER BY uri LIMIT {count})");
    context.change(("tsrecelec", "uri"), &["rehash"], &condition, "rehash = NULL").await?;
    Ok(())
}
