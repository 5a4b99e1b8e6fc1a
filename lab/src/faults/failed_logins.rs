//! Failure mode 40: somebody tries passwords.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "failed-logins",
    title: "Many logons fail",
    breaks: "Sixty failed logons (event 30) of one account within minutes",
    expects: &[must("CM-LOGIN-FAILURES", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: Some(|context| Box::pin(refresh(context))),
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let statement = "INSERT INTO double_audit_event
        SELECT $1 + n, 30, $3 - n * interval '5 seconds', 'DOUBLE\\guessed' FROM generate_series(0, $2 - 1) n";
    context.insert(("double_audit_event", "uri"), 60, statement).await
}

/// Such events would soon be too old to matter.
async fn refresh(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let (from, now) = (context.keys(), context.now());
    sqlx::query(
        "UPDATE double_audit_event SET at = $2 - (uri - $1) * interval '5 seconds'
         WHERE uri BETWEEN $1 AND $1 + 59 AND at < $2 - interval '12 minutes'",
    )
    .bind(from)
    .bind(now)
    .execute(context.db().await?)
    .await
    .map_err(LabError::db("renew the events of a fault"))
    .map(drop)
}
