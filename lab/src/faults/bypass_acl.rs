//! Failure mode 40: somebody gave themselves rights past all access controls.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "bypass-acl",
    title: "Access controls were bypassed",
    breaks: "Five events 196 (bypass of access controls added) within a minute",
    expects: &[must("CM-BYPASS-ACL", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: Some(|context| Box::pin(refresh(context))),
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let statement = "INSERT INTO double_audit_event
        SELECT $1 + n, 196, $3 - n * interval '5 seconds', 'DOUBLE\\user44' FROM generate_series(0, $2 - 1) n";
    context.insert(("double_audit_event", "uri"), 5, statement).await
}

/// Such events would soon be too old to matter.
async fn refresh(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let (from, now) = (context.keys(), context.now());
    sqlx::query(
        "UPDATE double_audit_event SET at = $2 - (uri - $1) * interval '5 seconds'
         WHERE uri BETWEEN $1 AND $1 + 4 AND at < $2 - interval '12 minutes'",
    )
    .bind(from)
    .bind(now)
    .execute(context.db().await?)
    .await
    .map_err(LabError::db("renew the events of a fault"))
    .map(drop)
}
