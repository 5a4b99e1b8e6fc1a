//! Failure mode 25: a shard that failed too often stays away although nothing is wrong any more.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use crate::index::IndexEdit;
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "index-red",
    title: "The content index is red",
    breaks: "The primary shard failed to be allocated five times, and nobody tries again",
    expects: &[must("CM-INDEX-RED", ""), may("CM-INDEX-LAG")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.edit_index(&IndexEdit::Failed { on: true }, IndexEdit::Failed { on: false })
}
