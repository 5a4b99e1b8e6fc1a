//! Failure mode 33: a session holds a lock that another waits for.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "blocking-lock",
    title: "A session blocks another",
    breaks: "One session holds the lock of a row of tslocation, another waits for it",
    expects: &[must("PG-BLOCKED-QUERY", ""), may("PG-LONG-QUERY")],
    ripe_after: Duration::from_secs(3),
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::BlockingLock]).await
}
