//! Failure mode 6: a processor is too slow for what comes in.

use crate::context::FaultContext;
use crate::control::{ProcessorMode, Switch};
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "queue-backlog",
    title: "The content index processor falls behind",
    breaks: "ContentIndex has 48,000 queued events and more every second; a second server cures it",
    expects: &[must("CM-EVENT-BACKLOG", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::Processor { name: "ContentIndex".to_owned(), mode: ProcessorMode::Backlog }]).await
}
