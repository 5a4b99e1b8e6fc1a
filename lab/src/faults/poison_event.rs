//! Failure mode 7: one event fails for ever and blocks those behind it.

use crate::context::FaultContext;
use crate::control::{ProcessorMode, Switch};
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "poison-event",
    title: "One event blocks the subscriptions processor",
    breaks: "Subscriptions processes nothing, fails every second, and its queue grows; skipping the event cures it",
    expects: &[must("CM-EVENT-BLOCKED", ""), may("CM-EVENT-BACKLOG")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::Processor { name: "Subscriptions".to_owned(), mode: ProcessorMode::Poison }]).await
}
