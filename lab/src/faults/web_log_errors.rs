//! Failure mode 39: the web application's log fills with errors.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "web-log-errors",
    title: "The web tier's log fills with errors",
    breaks: "log-file.txt repeats one ERROR hundreds of times",
    expects: &[must("CM-WEBLOG-ERRORS", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let flood = |log: &str| Switch::LogFlood { log: log.to_owned(), burst: 300, message: MESSAGE.to_owned() };
    context.switch(vec![flood("web")]).await
}

/// Nothing else in the logs contains this: its lines are taken out again by it.
const MESSAGE: &str =
    "Double: unhandled exception in the ServiceAPI: object reference not set to an instance of an object";
