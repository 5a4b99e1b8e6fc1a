//! Failure mode 36: a session was left open in its transaction.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "idle-in-transaction",
    title: "A session is idle in its transaction",
    breaks: "One session has begun a transaction and does nothing",
    expects: &[must("PG-IDLE-IN-TRANSACTION", "")],
    ripe_after: Duration::from_secs(5),
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::IdleTransaction]).await
}
