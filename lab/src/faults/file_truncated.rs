//! Failure mode 16: a file was cut off.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use crate::store::FILE_MODE;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "file-truncated",
    title: "Two documents are cut off",
    breaks: "Two files of store 1 are half as long as recorded",
    expects: &[must("CM-FILE-CORRUPT", ""), may("CM-STORE-COUNTERS")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    for victim in context.victims(30, 2).await? {
        let mut bytes = std::fs::read(&victim.path).map_err(LabError::io("read", &victim.path))?;
        bytes.truncate(bytes.len() / 2);
        context.stash(&victim.path)?;
        context.create(&victim.path, &bytes, FILE_MODE, context.now().into())?;
    }
    Ok(())
}
