//! Reads ahead of the writing: checks that positions are contiguous, leaves out what the projection does not want, and
//! decodes the rest while the batch before is being written.

use super::Halt;
use crate::decoded::{DecodeRing, Decoded};
use crate::projection::Projection;
use chrono::{DateTime, Utc};
use domain::Position;
use event_store::{FeedSubscription, LogError, RecordedEvent};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events read together.
pub struct Chunk {
    /// The last one's position, wanted or not.
    pub last: Position,
    /// How many there were, wanted or not.
    pub count: usize,
    /// When the first was recorded.
    pub first_recorded_at: DateTime<Utc>,
    /// Those that the projection wants.
    pub wanted: Vec<Arc<Decoded>>,
}

/// How many chunks may wait for the writing.
pub const CHUNKS_AHEAD: usize = 8;

/// What a pump needs to know of its projection.
pub struct Sieve {
    wants: fn(&RecordedEvent) -> bool,
    takes_raw: fn(&RecordedEvent) -> bool,
    ring: Arc<DecodeRing>,
    skips: BTreeSet<i64>,
    after: Position,
}

impl Sieve {
    pub fn new(projection: &dyn Projection, ring: Arc<DecodeRing>, after: Position, skips: Vec<i64>) -> Self {
        let (wants, takes_raw) = (projection.wants(), projection.takes_raw());
        Self { wants, takes_raw, ring, skips: skips.into_iter().collect(), after }
    }

    /// Takes the next events; what can not be taken is returned beside what came before it.
    pub fn take(&mut self, events: &[Arc<RecordedEvent>]) -> (Option<Chunk>, Option<Halt>) {
        let Some(first) = events.first() else { return (None, None) };
        let before = self.after;
        let mut wanted = Vec::with_capacity(events.len());
        let mut halt = None;
        for event in events {
            if let Err(why) = self.take_one(event, &mut wanted) {
                halt = Some(why);
                break;
            }
        }
        let chunk = (self.after > before).then(|| Chunk {
            last: self.after,
            count: (self.after.0 - before.0) as usize,
            first_recorded_at: first.recorded_at,
            wanted,
        });
        (chunk, halt)
    }

    fn take_one(&mut self, event: &Arc<RecordedEvent>, wanted: &mut Vec<Arc<Decoded>>) -> Result<(), Halt> {
        let expected = self.after.next();
        if event.position != expected {
            let reason = format!("the log goes on at position {} where {expected} was due", event.position);
            return Err(Halt::Event { position: expected, reason });
        }
        if !self.skips.contains(&event.position.0) {
            let halt = |reason| Halt::Event { position: event.position, reason };
            if event.is_packed() {
                wanted.extend(Decoded::parts_for(event, self.wants, self.takes_raw).map_err(halt)?);
            } else if (self.wants)(event) && (self.takes_raw)(event) {
                wanted.push(Arc::new(Decoded::raw(Arc::clone(event)).map_err(halt)?));
            } else if (self.wants)(event) {
                wanted.push(self.ring.decode(event).map_err(halt)?);
            }
        }
        self.after = event.position;
        Ok(())
    }
}

/// Pumps until something is in the way; the last thing sent says what.
pub async fn pump(mut feed: FeedSubscription, mut sieve: Sieve, chunks: mpsc::Sender<Result<Chunk, Halt>>) {
    loop {
        let halt = match feed.next().await {
            Ok(events) => {
                let (chunk, halt) = sieve.take(&events);
                if let Some(chunk) = chunk
                    && chunks.send(Ok(chunk)).await.is_err()
                {
                    return;
                }
                halt
            }
            Err(LogError::Damaged { position, reason }) => Some(Halt::Event { position, reason }),
            Err(LogError::Closed) => Some(Halt::Closed),
            Err(LogError::Unavailable(reason)) => Some(Halt::Retry(reason)),
        };
        if let Some(halt) = halt {
            // The receiver may be gone already: then nobody needs to know.
            let _ = chunks.send(Err(halt)).await;
            return;
        }
    }
}
