//! The newest part of the log, in memory: batches as they were read, bounded by count and bytes.

use crate::log::RecordedEvent;
use domain::Position;
use std::collections::VecDeque;
use std::sync::Arc;

/// Events in order, shared by all who read them.
pub type EventBatch = Arc<[Arc<RecordedEvent>]>;

/// What a reader finds behind its position.
#[derive(Debug)]
pub(super) enum Found {
    /// The next events.
    Events(EventBatch),
    /// Nothing yet: it has read all there is.
    Nothing,
    /// Its next event is older than what is kept here: it is to be read from the log.
    Older,
}

/// How much the ring keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingBounds {
    pub events: usize,
    pub bytes: usize,
}

pub(super) struct Ring {
    bounds: RingBounds,
    batches: VecDeque<(EventBatch, usize)>,
    events: usize,
    bytes: usize,
    /// The position before the oldest event kept.
    floor: Position,
    /// The position of the newest event kept.
    end: Position,
}

impl Ring {
    /// An empty ring whose first event will stand after `floor`.
    pub fn new(floor: Position, bounds: RingBounds) -> Self {
        Self { bounds, batches: VecDeque::new(), events: 0, bytes: 0, floor, end: floor }
    }

    pub fn end(&self) -> Position {
        self.end
    }

    /// Adds what follows on the newest event, and lets the oldest go where the bounds ask for it.
    pub fn push(&mut self, batch: EventBatch) {
        let Some(last) = batch.last() else { return };
        debug_assert_eq!(batch[0].position, self.end.next());
        self.end = last.position;
        let bytes = batch.iter().map(|event| size(event)).sum();
        self.events += batch.len();
        self.bytes += bytes;
        self.batches.push_back((batch, bytes));
        while self.events > self.bounds.events || self.bytes > self.bounds.bytes {
            let Some((oldest, bytes)) = self.batches.pop_front() else { break };
            self.events -= oldest.len();
            self.bytes -= bytes;
            self.floor = oldest.last().map_or(self.floor, |event| event.position);
        }
    }

    /// The events that follow on `after`: a whole batch where it starts there (then nothing is copied), else its
    /// rest.
    pub fn after(&self, after: Position) -> Found {
        if after >= self.end {
            return Found::Nothing;
        }
        if after < self.floor {
            return Found::Older;
        }
        let index = self.batches.partition_point(|(batch, _)| batch.last().is_none_or(|last| last.position <= after));
        let Some((batch, _)) = self.batches.get(index) else { return Found::Older };
        let seen = batch.partition_point(|event| event.position <= after);
        Found::Events(if seen == 0 { Arc::clone(batch) } else { batch[seen..].into() })
    }
}

/// About what an event takes in memory.
fn size(event: &RecordedEvent) -> usize {
    512 + event.payload.get().len() + event.event_type.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::testing::event;

    fn batch(positions: std::ops::RangeInclusive<i64>) -> EventBatch {
        positions.map(|position| Arc::new(event("Thing", "1", position, position))).collect()
    }

    fn positions(found: Found) -> Vec<i64> {
        match found {
            Found::Events(events) => events.iter().map(|event| event.position.0).collect(),
            Found::Nothing => vec![],
            Found::Older => vec![-1],
        }
    }

    #[test]
    fn gives_what_follows() {
        let mut ring = Ring::new(Position(10), RingBounds { events: 100, bytes: 1 << 20 });
        assert_eq!(positions(ring.after(Position(10))), Vec::<i64>::new());
        ring.push(batch(11..=13));
        ring.push(batch(14..=14));
        for (after, expected) in
            [(9, vec![-1]), (10, vec![11, 12, 13]), (12, vec![13]), (13, vec![14]), (14, vec![]), (20, vec![])]
        {
            assert_eq!(positions(ring.after(Position(after))), expected, "after {after}");
        }
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let mut ring = Ring::new(Position(0), RingBounds { events: 5, bytes: 1 << 20 });
        ring.push(batch(1..=3));
        ring.push(batch(4..=6));
        assert_eq!(positions(ring.after(Position(2))), vec![-1]);
        assert_eq!(positions(ring.after(Position(3))), vec![4, 5, 6]);
        let mut small = Ring::new(Position(0), RingBounds { events: 100, bytes: 10 });
        small.push(batch(1..=3));
        assert_eq!(positions(small.after(Position(0))), vec![-1]);
        assert_eq!(small.end(), Position(3));
    }
}
