//! Failure mode 26: replicas on a single node, which can never be allocated.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use crate::index::IndexEdit;
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "index-replicas",
    title: "The content index wants a replica that has no place",
    breaks: "The content index has one node, and is to keep one replica",
    expects: &[must("CM-INDEX-YELLOW-SINGLE-NODE", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.edit_index(&IndexEdit::Replicas { count: 1 }, IndexEdit::Replicas { count: 0 })
}
