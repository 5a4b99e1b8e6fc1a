//! Failure mode 19: a record that must have a document has none.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "record-without-document",
    title: "Five records lack their document",
    breaks: "Five records of a type that needs a document are added without one",
    expects: &[must("CM-RECORD-NO-DOCUMENT", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let statement = "INSERT INTO tsrecord
        SELECT $1 + n, 'DBL-EMPTY-' || n, 'Double: record of a fault', 1, $3 - interval '9 days'
        FROM generate_series(0, $2 - 1) n";
    context.insert(("tsrecord", "uri"), 5, statement).await
}
