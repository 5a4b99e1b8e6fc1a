//! Reading the log in blocks, and decoding them: several at a time, handed on in order.

use super::ReplayError;
use crate::decoded::Decoded;
use domain::Position;
use event_store::{EventLog, RecordedEvent};
use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// A block of decoded events, shared by all projections.
pub(super) struct Block {
    pub last: Position,
    pub events: Vec<Arc<Decoded>>,
    /// Those that do not decode, and why: what becomes of them is for each projection to say, which may have been told
    /// to pass over them.
    pub spoilt: Vec<(Arc<RecordedEvent>, String)>,
}

/// How many blocks are read at a time.
const READS_AHEAD: usize = 2;
/// How many blocks are decoded at a time.
const DECODES_AHEAD: usize = 2;

/// Of each projection: what it wants, and what of that it takes as it is recorded.
pub(super) type Wants = Vec<(Filter, Filter)>;
type Filter = fn(&RecordedEvent) -> bool;

/// Reads blocks, the next while the one before is being taken apart: the log is dense, so each one's place is known.
pub(super) async fn read(
    log: Arc<dyn EventLog>,
    from: Position,
    until: Position,
    block: usize,
    out: mpsc::Sender<Vec<RecordedEvent>>,
) -> Result<(), ReplayError> {
    let starts = (from.0..until.0).step_by(block.max(1));
    let read = |after: i64| {
        let log = Arc::clone(&log);
        let count = block.min((until.0 - after) as usize);
        tokio::spawn(async move { read_block(log.as_ref(), Position(after), count).await })
    };
    let mut blocks = futures::stream::iter(starts).map(read).buffered(READS_AHEAD);
    while let Some(block) = blocks.next().await {
        if out.send(block.map_err(|_| ReplayError::Ended)??).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Exactly so many events: a log may give fewer at once than it was asked for.
async fn read_block(log: &dyn EventLog, after: Position, count: usize) -> Result<Vec<RecordedEvent>, ReplayError> {
    let mut events = log.read_all(after, count).await?;
    while events.len() < count {
        let last = events.last().map_or(after, |event| event.position);
        let more = log.read_all(last, count - events.len()).await?;
        if more.is_empty() {
            let reason = "the log ends before its head".to_owned();
            return Err(ReplayError::Event { position: last.next(), reason });
        }
        events.extend(more);
    }
    Ok(events)
}

pub(super) async fn decode(
    blocks: mpsc::Receiver<Vec<RecordedEvent>>,
    from: Position,
    wants: Wants,
    outlets: Vec<mpsc::Sender<Arc<Block>>>,
    progress: Option<watch::Sender<Position>>,
) -> Result<(), ReplayError> {
    let wants = Arc::new(wants);
    let blocks = futures::stream::unfold(blocks, |mut blocks| async move { Some((blocks.recv().await?, blocks)) });
    let decode = |events| {
        let wants = Arc::clone(&wants);
        tokio::task::spawn_blocking(move || decode_block(events, &wants))
    };
    let mut decoded = std::pin::pin!(blocks.map(decode).buffered(DECODES_AHEAD));
    let mut after = from;
    while let Some(block) = decoded.next().await {
        let (first, block) = block.map_err(|_| ReplayError::Ended)??;
        if first != after.next() {
            let reason = format!("the log goes on at position {first}");
            return Err(ReplayError::Event { position: after.next(), reason });
        }
        after = block.last;
        let block = Arc::new(block);
        for outlet in &outlets {
            if outlet.send(Arc::clone(&block)).await.is_err() {
                return Ok(());
            }
        }
        if let Some(progress) = &progress {
            progress.send_replace(after);
        }
    }
    Ok(())
}

/// The block, and the position that it begins with. A block is never empty.
fn decode_block(events: Vec<RecordedEvent>, wants: &Wants) -> Result<(Position, Block), ReplayError> {
    let first = events.first().map(|event| event.position).unwrap_or_default();
    let mut next = first;
    let (mut decoded, mut spoilt) = (Vec::with_capacity(events.len()), Vec::new());
    for event in events {
        if event.position != next {
            let reason = format!("the log goes on at position {}", event.position);
            return Err(ReplayError::Event { position: next, reason });
        }
        next = event.position.next();
        let mut take = |part, event: Arc<RecordedEvent>| {
            let mut is_wanted = (false, false);
            for (_, takes_raw) in wants.iter().filter(|(wants, _)| wants(&event)) {
                if takes_raw(&event) { is_wanted.0 = true } else { is_wanted.1 = true }
            }
            let mut keep = |one: Decoded| decoded.push(Arc::new(Decoded { part, ..one }));
            let (raw, whole) = is_wanted;
            if whole {
                match Decoded::new(Arc::clone(&event)) {
                    Ok(one) => return keep(one),
                    Err(reason) => spoilt.push((Arc::clone(&event), reason)),
                }
            }
            if raw {
                match Decoded::raw(Arc::clone(&event)) {
                    Ok(one) => keep(one),
                    Err(reason) => spoilt.push((event, reason)),
                }
            }
        };
        if event.is_packed() {
            let parts = RecordedEvent::shared_parts(&Arc::new(event));
            parts.into_iter().enumerate().for_each(|(part, event)| take(part, event));
        } else {
            take(0, Arc::new(event));
        }
    }
    Ok((first, Block { last: Position(next.0 - 1), events: decoded, spoilt }))
}
