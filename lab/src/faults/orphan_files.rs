//! Failure mode 17: files that no record knows, left by the order in which the product writes.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use crate::store::FILE_MODE;
use chrono::TimeDelta;
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "orphan-files",
    title: "Five files in the main store belong to no record",
    breaks: "Five files, three days old, are added to store 1 without rows",
    expects: &[must("CM-FILE-ORPHAN", ""), may("CM-STORE-COUNTERS")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let folder = context.folders().store(1).join("000");
    let changed = context.now() - TimeDelta::days(3);
    for n in 1..=5 {
        let text = format!("DOUBLE: orphan {n} of the fault orphan-files.\n");
        context.create(&folder.join(format!("ORPHAN{n:02}.TIF")), text.as_bytes(), FILE_MODE, changed.into())?;
    }
    Ok(())
}
