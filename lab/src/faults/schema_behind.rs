//! Failure mode 32: the dataset was not upgraded with the binaries.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "schema-behind",
    title: "The dataset's schema is older than the binaries",
    breaks: "The schema version is set to 1098",
    expects: &[must("CM-SCHEMA-BEHIND", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let table = ("double_schema_info", "dbid");
    context.change(table, &["schemaversion"], "true", "schemaversion = 1098").await?;
    Ok(())
}
