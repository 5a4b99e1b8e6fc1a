//! The views as they stood: the very folds that write them, over a part of the log, in memory.

use crate::decoded::Decoded;
use crate::projection::{ApplyError, TableRows};
use event_store::RecordedEvent;
use std::sync::Arc;

/// Types of events that need not be read for a projection.
pub fn passed_over(projection: &str) -> &'static [&'static str] {
    crate::all().iter().find(|one| one.name() == projection).map_or(&[], |one| one.passes_over())
}

/// The rows that a projection makes of these events, and of no others. They are in the order of the log; of a stream
/// that is among them, none before the last one may be missing. What the projection does not want is left out.
pub fn as_of(projection: &str, events: impl IntoIterator<Item = RecordedEvent>) -> Result<Vec<TableRows>, ApplyError> {
    let Some(mut projection) = crate::all().into_iter().find(|one| one.name() == projection) else {
        return Ok(Vec::new());
    };
    let wants = projection.wants();
    let mut wanted = Vec::new();
    for event in events {
        let position = event.position;
        let parts = Decoded::parts(&Arc::new(event), wants);
        wanted.extend(parts.map_err(|reason| ApplyError::Event { position, reason })?);
    }
    projection.fold_known(&wanted)?;
    Ok(projection.rows())
}
