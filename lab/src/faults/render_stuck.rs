//! Failure mode 42: the render queue stands still.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "render-stuck",
    title: "The render queue is stuck",
    breaks: "Thirty rendering requests, two days old, wait with time-outs; a restart of render works them off",
    expects: &[must("CM-RENDER-STUCK", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    let statement = "INSERT INTO tsrendqueu
        SELECT $1 + n, 1 + n * 20, $3 - interval '2 days' + n * interval '1 minute', 'Pending',
               'DOUBLE: AppGPF: the rendering application did not answer (Timeout)'
        FROM generate_series(0, $2 - 1) n";
    context.insert(("tsrendqueu", "uri"), 30, statement).await
}
