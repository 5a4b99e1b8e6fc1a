//! The web tier answers, but slowly.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "web-slow",
    title: "The web tier is slow",
    breaks: "Every response takes three seconds longer; a restart of web cures it",
    expects: &[must("WEB-LATENCY", ""), may("CM-WEB-NO-WGS")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebDelay { ms: 3000 }]).await
}
