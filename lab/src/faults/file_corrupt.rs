//! Failure mode 16: a file has its size, but not its content.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use crate::store::FILE_MODE;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "file-corrupt",
    title: "Two documents have other content than was recorded",
    breaks: "Bytes in the middle of two files of store 1 are changed; their size stays",
    expects: &[must("CM-FILE-CORRUPT", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    for victim in context.victims(20, 2).await? {
        let mut bytes = std::fs::read(&victim.path).map_err(LabError::io("read", &victim.path))?;
        let middle = bytes.len() / 2;
        for byte in bytes.iter_mut().skip(middle).take(16) {
            *byte ^= 0x15;
        }
        context.stash(&victim.path)?;
        context.create(&victim.path, &bytes, FILE_MODE, context.now().into())?;
    }
    Ok(())
}
