//! Failure mode 10: the audit log processor is off: there is no audit trail.

use crate::context::FaultContext;
use crate::control::{ProcessorMode, Switch};
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "audit-disabled",
    title: "The audit log processor is disabled",
    breaks: "AuditLog is Ignored since six hours and writes no audit log",
    expects: &[must("CM-AUDIT-DISABLED", ""), may("CM-AUDIT-GAP")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let mode = ProcessorMode::Status { status: "Ignored".to_owned(), hours: 6, queued: 0 };
    context.switch(vec![Switch::Processor { name: "AuditLog".to_owned(), mode }, Switch::AuditSilent]).await
}
