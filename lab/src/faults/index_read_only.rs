//! Failure mode 27: the disk was full, and the block that this brought was never taken off.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use crate::index::IndexEdit;
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "index-read-only",
    title: "The content index takes no documents",
    breaks: "The content index has the block of the flood-stage watermark; its disk has room again",
    expects: &[must("CM-INDEX-READ-ONLY", ""), may("CM-INDEX-LAG")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.edit_index(&IndexEdit::ReadOnly { on: true }, IndexEdit::ReadOnly { on: false })
}
