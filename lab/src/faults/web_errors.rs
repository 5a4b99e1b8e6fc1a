//! The web tier answers every request with an error.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "web-errors",
    title: "The web tier answers with errors",
    breaks: "Every response has the status 500",
    expects: &[must("WEB-STATUS", ""), may("CM-WEB-NO-WGS")],
    conflicts: &[],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebStatus { status: 500 }]).await
}
