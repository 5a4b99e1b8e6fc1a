//! Which place in `$all` has which position: the newest part in memory, the rest read in blocks and kept a while.
//!
//! Places rise with positions, so any of them is found by halving. A block of links never changes once it is full.

use eventstore::Position as Place;
use moka::sync::Cache;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many of the newest places are kept: 2 MiB.
const RECENT_MAX: usize = 131_072;
/// Links of one block.
pub(super) const BLOCK: i64 = 512;
/// Blocks kept: 4 MiB.
const BLOCKS_MAX: u64 = 512;

/// The places of positions, as far as this process knows them.
pub(super) struct Index {
    recent: Mutex<Recent>,
    blocks: Cache<i64, Arc<[Place]>>,
}

#[derive(Default)]
struct Recent {
    /// The newest position that is numbered.
    end: i64,
    last: Option<Place>,
    /// The places of the positions up to `end`.
    places: VecDeque<Place>,
}

/// Where a place stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// At this position.
    At(i64),
    /// It has no position yet.
    NotYet,
    /// In one of the blocks 0 up to this one.
    Older(i64),
    /// Between two numbered places: it is no event of the log.
    Nowhere,
}

impl Index {
    /// Knows only that `last` stands at position `end`.
    pub fn new(end: i64, last: Option<Place>) -> Self {
        let places = last.into_iter().collect();
        Self { recent: Mutex::new(Recent { end, last, places }), blocks: Cache::new(BLOCKS_MAX) }
    }

    /// The newest numbered position, and its place.
    pub fn end(&self) -> (i64, Option<Place>) {
        let recent = self.lock();
        (recent.end, recent.last)
    }

    /// Adds the places of the positions that follow on the newest; gives the newest then.
    pub fn push(&self, places: impl IntoIterator<Item = Place>) -> i64 {
        let mut recent = self.lock();
        for place in places {
            recent.end += 1;
            recent.last = Some(place);
            recent.places.push_back(place);
            if recent.places.len() > RECENT_MAX {
                recent.places.pop_front();
            }
        }
        recent.end
    }

    /// Looks a place up among the newest.
    pub fn find(&self, place: Place) -> Found {
        let recent = self.lock();
        if recent.last.is_none_or(|last| place > last) {
            return Found::NotYet;
        }
        let first = recent.end - recent.places.len() as i64 + 1;
        if recent.places.front().is_none_or(|front| place < *front) {
            // Position 1 is the first of block 0.
            return if first <= 1 { Found::Nowhere } else { Found::Older((first - 2) / BLOCK) };
        }
        recent.places.binary_search(&place).map_or(Found::Nowhere, |index| Found::At(first + index as i64))
    }

    /// A block that is kept.
    pub fn block(&self, number: i64) -> Option<Arc<[Place]>> {
        self.blocks.get(&number)
    }

    /// Keeps a block, if it is full.
    pub fn keep(&self, number: i64, places: Vec<Place>) -> Arc<[Place]> {
        let places: Arc<[Place]> = places.into();
        if places.len() as i64 == BLOCK {
            self.blocks.insert(number, Arc::clone(&places));
        }
        places
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(commit: u64) -> Place {
        Place { commit, prepare: commit }
    }

    #[test]
    fn places_are_found_where_they_stand() {
        let index = Index::new(0, None);
        assert_eq!(index.find(place(5)), Found::NotYet);
        assert_eq!(index.push([place(10), place(20), place(30)]), 3);
        for (at, found) in [
            (10, Found::At(1)),
            (20, Found::At(2)),
            (30, Found::At(3)),
            (31, Found::NotYet),
            (25, Found::Nowhere),
            (5, Found::Nowhere),
        ] {
            assert_eq!(index.find(place(at)), found, "{at}");
        }
    }

    #[test]
    fn what_is_older_is_sent_to_the_blocks() {
        let index = Index::new(1_000, Some(place(10_000)));
        assert_eq!(index.find(place(10_000)), Found::At(1_000));
        assert_eq!(index.find(place(9_999)), Found::Older(1), "position 999 is the 487th of block 1");
        assert_eq!(index.push([place(10_010)]), 1_001);
        assert_eq!(index.find(place(10_010)), Found::At(1_001));
        let index = Index::new(513, Some(place(10_000)));
        assert_eq!(index.find(place(9_000)), Found::Older(0), "position 512 is the last of block 0");
    }

    #[test]
    fn memory_is_bounded() {
        let index = Index::new(0, None);
        let count = RECENT_MAX as u64 + 10;
        index.push((1..=count).map(place));
        assert_eq!(index.lock().places.len(), RECENT_MAX);
        assert_eq!(index.find(place(count)), Found::At(count as i64));
        assert_eq!(index.find(place(1)), Found::Older(0));
        assert_eq!(index.keep(0, vec![place(1)]).len(), 1);
        assert!(index.block(0).is_none(), "it was not full");
    }
}
