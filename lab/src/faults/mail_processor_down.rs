//! Failure mode 12: nobody receives alerts, and nobody is told so.

use crate::context::FaultContext;
use crate::control::{ProcessorMode, Switch};
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "mail-processor-down",
    title: "The mail notification processor is off",
    breaks: "MailNotification is Ignored since six hours with 120 events queued; resuming it, or a restart of mail, cures it",
    expects: &[must("CM-MAIL-DOWN", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let mode = ProcessorMode::Status { status: "Ignored".to_owned(), hours: 6, queued: 120 };
    context.switch(vec![Switch::Processor { name: "MailNotification".to_owned(), mode }]).await
}
