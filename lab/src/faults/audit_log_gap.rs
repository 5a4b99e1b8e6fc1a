//! Failure mode 11: a day is missing from the audit log.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use crate::live::audit::AuditLog;
use chrono::TimeDelta;
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "audit-log-gap",
    title: "The audit log of one day is missing",
    breaks: "The Date_*.log of five days ago is moved away",
    expects: &[must("CM-AUDIT-GAP", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: Some(|context| Box::pin(ready(refresh(context)))),
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let day = context.now().date_naive() - TimeDelta::days(DAYS_AGO);
    let path = AuditLog::file(&context.folders().audit_logs(), day);
    context.stash(&path)
}

/// After a long pause the gap lies too far back for anybody to look for it.
fn refresh(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let today = context.now().date_naive();
    let folder = context.folders().audit_logs();
    let mut days = (1..=2 * DAYS_AGO).map(|ago| AuditLog::file(&folder, today - TimeDelta::days(ago)));
    if days.any(|path| !path.exists()) { Ok(()) } else { inject(context) }
}

/// How far back the gap is made.
const DAYS_AGO: i64 = 5;
