//! Looking back, on any log: what stood where at a moment. A backend that can do it in one statement has its own way;
//! both mean the same.

use crate::log::{EventLog, LogError, RecordedEvent, StreamId};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Position, StreamVersion};

/// By how much the clock that records may have stepped back without an answer to "when" becoming wrong: events are
/// recorded by the database's clock, one after another, so that only a step of that clock (or a change to another
/// server) can make a later position carry an earlier time.
pub const CLOCK_STEP: TimeDelta = TimeDelta::seconds(5);

/// How much is read at a time.
const BLOCK: usize = 500;

/// Stream by stream. `None` as soon as there are more than `limit`.
pub(crate) async fn read_streams<L: EventLog + ?Sized>(
    log: &L,
    mut streams: Vec<StreamId>,
    without: &[&str],
    until: Position,
    limit: usize,
) -> Result<Option<Vec<RecordedEvent>>, LogError> {
    streams.sort_unstable();
    streams.dedup();
    let mut events = Vec::new();
    for stream in streams {
        let mut after = StreamVersion(0);
        loop {
            let block = log.read_stream(stream.clone(), after, BLOCK).await?;
            let Some(last) = block.last() else { break };
            after = last.version;
            let is_whole = block.len() < BLOCK || last.position > until;
            let is_asked = |event: &RecordedEvent| event.position <= until && !without.contains(&&*event.event_type);
            events.extend(block.into_iter().filter(is_asked));
            if events.len() > limit {
                return Ok(None);
            }
            if is_whole {
                break;
            }
        }
    }
    events.sort_unstable_by_key(|event| event.position);
    Ok(Some(events))
}

pub(crate) async fn recorded_at<L: EventLog + ?Sized>(
    log: &L,
    position: Position,
) -> Result<Option<DateTime<Utc>>, LogError> {
    if position < Position(1) {
        return Ok(None);
    }
    let found = log.read_all(Position(position.0 - 1), 1).await?;
    Ok(found.first().filter(|event| event.position == position).map(|event| event.recorded_at))
}

/// Halves the log until it stands where the moment lies; then looks at what was recorded within a clock's step of it.
pub(crate) async fn position_at<L: EventLog + ?Sized>(log: &L, at: DateTime<Utc>) -> Result<Position, LogError> {
    let head = log.head().await?;
    let mut found = halve(log, head, at).await?;
    let furthest = halve(log, head, at.checked_add_signed(CLOCK_STEP).unwrap_or(at)).await?;
    let mut after = found;
    while after < furthest {
        let block = log.read_all(after, BLOCK).await?;
        let Some(last) = block.last() else { break };
        after = last.position;
        let within = block.iter().filter(|event| event.position <= furthest && event.recorded_at <= at);
        found = within.map(|event| event.position).max().unwrap_or(found);
    }
    Ok(found)
}

async fn halve<L: EventLog + ?Sized>(log: &L, head: Position, at: DateTime<Utc>) -> Result<Position, LogError> {
    let (mut low, mut high) = (0, head.0);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        match recorded_at(log, Position(middle)).await? {
            Some(recorded) if recorded <= at => low = middle,
            _ => high = middle - 1,
        }
    }
    Ok(Position(low))
}
