//! Failure mode 39: the page works, but nothing behind it.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "web-cannot-reach-wgs",
    title: "The web tier can not reach a workgroup server",
    breaks: "The page at / works, every query of the ServiceAPI fails; a restart of web cures it",
    expects: &[must("CM-WEB-NO-WGS", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebNoWgs]).await
}
