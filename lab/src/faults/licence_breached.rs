//! Failure mode 37: more users than the licence allows.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "licence-breached",
    title: "More users than licences",
    breaks: "More core users are in use than there are seats; some fifty of them had no logon for 400 days",
    expects: &[must("CM-LICENCE-BREACHED", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let unused = "lclogin IS NOT NULL AND NOT lclogindisabled AND lcusertype <> 'Administrator' AND uri > 160";
    let set = "lclastlogon = now() - interval '400 days'";
    context.change(("tslocation", "uri"), &["lclastlogon"], unused, set).await?;
    let table = ("double_licence", "module");
    context.change(table, &["used"], "module LIKE 'Core users%'", "used = t.seats + 12").await?;
    Ok(())
}
