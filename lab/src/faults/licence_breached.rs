//! Failure mode 37: more users than the licence allows.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "licence-breached",
    title: "More users than licences",
    breaks: "More core users are in use than there are seats",
    expects: &[must("CM-LICENCE-BREACHED", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let table = ("double_licence", "module");
    context.change(table, &["used"], "module LIKE 'Core users%'", "used = t.seats + 12").await?;
    Ok(())
}
