//! One message floods a workgroup server's log.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "error-burst",
    title: "One error floods the log of wgs-1",
    breaks: "The log of wgs-1 repeats one error hundreds of times",
    expects: &[must("CM-LOG-ERROR-BURST", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let flood = |log: &str| Switch::LogFlood { log: log.to_owned(), burst: 400, message: MESSAGE.to_owned() };
    context.switch(vec![flood("wgs-1")]).await
}

/// Nothing else in the logs contains this: its lines are taken out again by it.
const MESSAGE: &str = "Document store Main (double) does not answer: the network path was not found";
