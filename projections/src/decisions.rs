//! What operators decided about a projection, as the log has it: a replay, a rebuild and a live runner pass over the
//! same events.

use domain::any_event::{AnyEvent, PROJECTION_CONTROL};
use domain::projection_control::{ProjectionControl, ProjectionControlEvent};
use domain::{Position, StreamVersion};
use event_store::{EventLog, LogError, StreamId};
use sqlx::PgConnection;

/// Events of one read.
const PAGE: usize = 500;

/// Why it can not be told what was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecisionsError {
    /// The log can not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database failed.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
}

/// The positions after `after` that the projection passes over, in order: by decisions in the log, and by older ones,
/// from before decisions were events.
pub async fn skips(
    log: &dyn EventLog,
    db: &mut PgConnection,
    name: &str,
    after: Position,
) -> Result<Vec<i64>, DecisionsError> {
    let sql = "SELECT position FROM projection_skips WHERE name = $1 AND position > $2";
    let mut skips: Vec<i64> = sqlx::query_scalar(sql).bind(name).bind(after.0).fetch_all(db).await?;
    let stream = StreamId::new(PROJECTION_CONTROL, &ProjectionControl::of(name).to_string());
    let mut read = StreamVersion(0);
    loop {
        let page = log.read_stream(stream.clone(), read, PAGE).await?;
        for event in page.iter().flat_map(event_store::RecordedEvent::parts) {
            let decoded = event.decode().map_err(|error| LogError::Damaged {
                position: event.position,
                reason: format!("a decision about a projection can not be read: {error}"),
            })?;
            if let AnyEvent::ProjectionControl(ProjectionControlEvent::PoisonEventSkipped { position, .. }) = decoded
                && position > after
            {
                skips.push(position.0);
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => read = last.version,
            _ => break,
        }
    }
    skips.sort_unstable();
    skips.dedup();
    Ok(skips)
}
