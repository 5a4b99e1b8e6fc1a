//! Failure mode 1: a workgroup server is down.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "wgs-down",
    title: "Workgroup server wgs-2 is down",
    breaks: "The port of wgs-2 is closed; a start of wgs-2 cures it",
    expects: &[must("CM-WGS-DOWN", "wgs-2")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::CloseWgs { wgs: "wgs-2".to_owned() }]).await
}
