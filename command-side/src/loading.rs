//! Folds states from the log, page by page.

use crate::cache::Known;
use crate::error::CommandError;
use crate::snapshots::Snapshots;
use domain::{Decider, StreamVersion};
use event_store::{EventLog, RecordedEvent, StreamId};
use std::sync::Arc;

/// How many events one read of a stream takes.
pub(crate) const PAGE: usize = 256;

/// Folds a whole stream, a long one from its snapshot where there is one; `None` where it does not exist. An error on
/// the way is an error: half a state is none.
pub(crate) async fn load<D: Decider>(
    log: &dyn EventLog,
    stream: &StreamId,
    snapshots: Option<&Snapshots>,
) -> Result<Option<Known<D>>, CommandError> {
    let Some(snapshots) = snapshots else { return load_whole(log, stream).await };
    // A short stream costs one read, snapshots or not.
    let least = snapshots.after_events().min(PAGE);
    let page = log.read_stream(stream.clone(), StreamVersion(0), least).await?;
    let Some(last) = page.last() else { return Ok(None) };
    if page.len() < least {
        let mut known = Known { state: Arc::default(), version: StreamVersion(0), last_event: last.event_id };
        fold::<D>(&mut known, &page)?;
        return Ok(Some(known));
    }
    let mut begun = StreamVersion(0);
    let mut found = None;
    if let Some(snapshot) = snapshots.get::<D>(stream).await {
        begun = snapshot.version;
        found = verify::<D>(log, stream, snapshot).await?;
        match &found {
            Some(_) => snapshots.note_taken_up(),
            None => {
                begun = StreamVersion(0);
                snapshots.report(stream, "the log does not hold the last event that it is folded from");
            }
        }
    }
    let known = match found {
        Some(known) => Some(known),
        None => load_whole(log, stream).await?,
    };
    if let Some(known) = &known
        && known.version.0 - begun.0 >= snapshots.after_events() as i64
    {
        snapshots.offer::<D>(stream, known);
    }
    Ok(known)
}

async fn load_whole<D: Decider>(log: &dyn EventLog, stream: &StreamId) -> Result<Option<Known<D>>, CommandError> {
    let page = log.read_stream(stream.clone(), StreamVersion(0), PAGE).await?;
    let Some(last) = page.last() else { return Ok(None) };
    let mut known = Known { state: Arc::default(), version: StreamVersion(0), last_event: last.event_id };
    fold::<D>(&mut known, &page)?;
    follow(log, stream, known, page.len()).await.map(Some)
}

/// Brings a state up to date; `None` where the log does not hold what the state is folded from.
pub(crate) async fn verify<D: Decider>(
    log: &dyn EventLog,
    stream: &StreamId,
    mut known: Known<D>,
) -> Result<Option<Known<D>>, CommandError> {
    // The last event known is read again: a log that was restored from a backup may have lost it.
    let page = log.read_stream(stream.clone(), StreamVersion(known.version.0 - 1), PAGE).await?;
    match page.split_first() {
        Some((first, newer)) if first.version == known.version && first.event_id == known.last_event => {
            fold::<D>(&mut known, newer)?;
            follow(log, stream, known, page.len()).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Reads on until a page is not full.
async fn follow<D: Decider>(
    log: &dyn EventLog,
    stream: &StreamId,
    mut known: Known<D>,
    mut read: usize,
) -> Result<Known<D>, CommandError> {
    while read >= PAGE {
        let page = log.read_stream(stream.clone(), known.version, PAGE).await?;
        fold::<D>(&mut known, &page)?;
        read = page.len();
    }
    Ok(known)
}

fn fold<D: Decider>(known: &mut Known<D>, events: &[RecordedEvent]) -> Result<(), CommandError> {
    if events.is_empty() {
        return Ok(());
    }
    let state = Arc::make_mut(&mut known.state);
    for event in events {
        let damaged = |reason: String| CommandError::Damaged {
            reason: format!("{} version {}: {reason} (position {})", event.stream, event.version, event.position),
        };
        if event.version.0 != known.version.0 + 1 {
            return Err(damaged(format!("expected version {}", known.version.0 + 1)));
        }
        for part in event.parts() {
            let decoded: D::Event =
                serde_json::from_str(part.payload.get()).map_err(|error| damaged(error.to_string()))?;
            D::evolve(state, &decoded);
        }
        known.version = event.version;
        known.last_event = event.event_id;
    }
    Ok(())
}
