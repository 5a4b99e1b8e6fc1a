//! Failure mode 22: the server's account may no longer write to a store.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::future::ready;
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "store-access-lost",
    title: "The archive store may not be written to",
    breaks: "The folders of store 2 lose their write permission",
    expects: &[must("CM-STORE-ACCESS", "store-2")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(ready(inject(context))),
    refresh: None,
};

fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let root = context.folders().store_root("store-2");
    let store = context.folders().store(2);
    // The deepest first: afterwards nothing below could be changed.
    for folder in store.ancestors().take_while(|folder| folder.starts_with(&root)) {
        context.chmod(folder, 0o555)?;
    }
    Ok(())
}
