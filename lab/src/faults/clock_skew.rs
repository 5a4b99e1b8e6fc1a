//! Failure mode 45: a clock is off.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "clock-skew",
    title: "The clock of the web tier is off",
    breaks: "The Date header of the web double is a quarter of an hour fast",
    expects: &[must("CM-CLOCK-SKEW", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebDateSkew { seconds: 900 }]).await
}
