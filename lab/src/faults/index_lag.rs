//! Failure mode 28: the content index holds fewer documents than the dataset says.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use crate::index::IndexEdit;
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "index-lag",
    title: "The content index lacks documents",
    breaks: "Every fifth document is gone from the content index, and its events are lost",
    expects: &[must("CM-INDEX-LAG", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.edit_index(&IndexEdit::Lose { every: 5 }, IndexEdit::Restore)
}
