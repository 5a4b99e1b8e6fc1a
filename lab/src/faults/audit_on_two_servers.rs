//! Failure mode 9: a processor that must keep the order of events runs on two servers.

use crate::config::ConfigEdit;
use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use crate::layout::WORKGROUP_SERVERS;
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "audit-on-two-servers",
    title: "The audit log processor runs on both servers",
    breaks: "The configuration runs AuditLog on wgs-1 and wgs-2",
    expects: &[must("CM-PROCESSOR-TWICE", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let (processor, servers) = ("AuditLog".to_owned(), WORKGROUP_SERVERS.map(str::to_owned).to_vec());
    context.configure(vec![ConfigEdit::RunOn { processor, servers }])
}
