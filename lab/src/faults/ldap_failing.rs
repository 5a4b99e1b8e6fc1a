//! Failure mode 41: the synchronisation with the directory fails.

use crate::context::FaultContext;
use crate::control::Switch;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "ldap-failing",
    title: "The directory synchronisation fails",
    breaks: "The LDAP logs repeat a line that begins with Failed",
    expects: &[must("CM-LDAP-FAILING", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let flood = |log: &str| Switch::LogFlood { log: log.to_owned(), burst: 40, message: MESSAGE.to_owned() };
    context.switch(vec![flood("ldap-wgs-1"), flood("ldap-events")]).await
}

/// Nothing else in the logs contains this: its lines are taken out again by it.
const MESSAGE: &str = "to bind to directory DOUBLE: invalid credentials";
