//! Failure mode 5: the configuration was saved and never deployed.

use crate::config::ConfigEdit;
use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "config-not-deployed",
    title: "The configuration was edited but not deployed",
    breaks: "The administrators' TRIMConfig.tcfg has a newer version than the servers'",
    expects: &[must("CM-CONFIG-NOT-DEPLOYED", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.configure(vec![ConfigEdit::NotDeployed])
}
