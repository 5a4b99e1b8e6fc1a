//! Failure mode 12: nobody receives alerts, and nobody is told so.

use crate::config::ConfigEdit;
use crate::context::FaultContext;
use crate::control::{ProcessorMode, Switch};
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "mail-processor-down",
    title: "The mail notification processor is off",
    breaks: "MailNotification is Ignored, in its counters and in the configuration, with 120 events queued",
    expects: &[must("CM-MAIL-DOWN", "")],
    conflicts: &[],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let status = "Ignored".to_owned();
    let processor = "MailNotification".to_owned();
    context.configure(vec![ConfigEdit::Status { processor: processor.clone(), status: status.clone() }])?;
    let mode = ProcessorMode::Status { status, hours: 6, queued: 120 };
    context.switch(vec![Switch::Processor { name: processor, mode }]).await
}
