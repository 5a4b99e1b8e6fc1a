//! Failure mode 4: a server has rejected the last deployment and runs an older configuration.

use crate::config::ConfigEdit;
use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "wgs-config-behind",
    title: "Workgroup server wgs-2 runs an older configuration",
    breaks: "TRIMConfig.tcfg of wgs-2 has the previous version",
    expects: &[must("CM-CONFIG-BEHIND", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.configure(vec![ConfigEdit::Behind { wgs: "wgs-2".to_owned() }])
}
