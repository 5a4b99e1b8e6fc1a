//! Failure mode 18: two records claim the same file.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "duplicate-resid",
    title: "Two records claim the same file",
    breaks: "A record is added whose document has the store id of another",
    expects: &[must("CM-RESID-DUPLICATE", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let record =
        "INSERT INTO tsrecord SELECT $1, 'DBL-DUPLICATE', 'Double: record of a fault', 2, $3 - interval '9 days'";
    context.insert(("tsrecord", "uri"), 1, record).await?;
    // Any document far enough from those that other faults choose.
    let document = "INSERT INTO tsrecelec
        SELECT $1, resid, restore, refilename, 1, NULL, rebytes, rehash, redatemod, 'OK'
        FROM tsrecelec WHERE restore = 1 ORDER BY uri OFFSET 40 LIMIT 1";
    context.insert(("tsrecelec", "uri"), 1, document).await
}
