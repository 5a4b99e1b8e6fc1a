//! The web tier answers with an error where a page should be.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "web-errors",
    title: "The web tier answers with errors",
    breaks: "The page answers with status 500; the ServiceAPI is an application of its own and works; a restart of web cures it",
    expects: &[must("WEB-STATUS", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebStatus { status: 500 }]).await
}
