//! The hash chain of a stream: each link holds the one before, so one stream can be proven without the others.

use crate::merkle::Hash;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What stands before a stream's first link.
pub const START: Hash = [0; 32];

/// The next link: SHA-256 of the link before and the event's leaf.
pub fn link(previous: &Hash, leaf: &Hash) -> Hash {
    Sha256::new().chain_update(previous).chain_update(leaf).finalize().into()
}

/// A stream's name in few bytes: half of a SHA-256 is still beyond anybody's reach.
pub type StreamDigest = [u8; 16];

/// The digest of a stream's name.
pub fn stream_digest(aggregate_type: &str, aggregate_id: &str) -> StreamDigest {
    let whole = Sha256::new().chain_update(aggregate_type).chain_update([0]).chain_update(aggregate_id).finalize();
    let mut half = StreamDigest::default();
    half.copy_from_slice(&whole[..16]);
    half
}

/// The last link of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its event's place in the stream.
    pub sequence: i64,
    /// The link.
    pub link: Hash,
}

/// Heads of the streams that were written last; those of others are looked up. Bounded: two generations, of which the
/// older goes when the younger is full.
#[derive(Debug)]
pub struct RecentHeads {
    young: HashMap<StreamDigest, Head>,
    old: HashMap<StreamDigest, Head>,
    generation: usize,
}

impl RecentHeads {
    /// Keeps at most twice this many.
    pub fn new(generation: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation }
    }

    /// The head of a stream, where it is known.
    pub fn get(&self, stream: &StreamDigest) -> Option<Head> {
        self.young.get(stream).or_else(|| self.old.get(stream)).copied()
    }

    /// Notes a stream's head.
    pub fn put(&mut self, stream: StreamDigest, head: Head) {
        if self.young.len() >= self.generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream, head);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

/// The heads of all streams, as a verifier needs them, in bounded memory: where there are more streams than it may
/// hold, it keeps those of one part only, and the others are for further passes over the same events.
#[derive(Debug)]
pub struct VerifiedHeads {
    map: HashMap<StreamDigest, Head>,
    streams_max: usize,
    part: Part,
}

/// A part of all streams: those whose digest ends in these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// How many bits of the digest decide.
    pub bits: u32,
    /// What they are.
    pub index: u64,
}

impl Part {
    fn holds(self, stream: &StreamDigest) -> bool {
        let mut low = [0; 8];
        low.copy_from_slice(&stream[8..]);
        u64::from_be_bytes(low) & ((1 << self.bits) - 1) == self.index
    }

    /// What is left of this part where only `covered` of it was gone through.
    pub fn without(self, covered: Self) -> Vec<Self> {
        (self.bits..covered.bits).map(|bits| Self { bits: bits + 1, index: covered.index | (1 << bits) }).collect()
    }
}

impl VerifiedHeads {
    /// Begins a pass over one part.
    pub fn new(part: Part, streams_max: usize) -> Self {
        Self { map: HashMap::new(), streams_max: streams_max.max(1), part }
    }

    /// The part that this pass covers by now.
    pub fn part(&self) -> Part {
        self.part
    }

    /// How many streams it holds.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Takes the next event of a stream; says what is wrong with its link, if anything.
    pub fn take(&mut self, stream: StreamDigest, sequence: i64, leaf: &Hash, sealed: &Hash) -> Result<(), String> {
        if !self.part.holds(&stream) {
            return Ok(());
        }
        let before = self.map.get(&stream).copied().unwrap_or(Head { sequence: 0, link: START });
        // What was sealed goes on, so that one break is told once.
        self.map.insert(stream, Head { sequence, link: *sealed });
        while self.map.len() > self.streams_max && self.part.bits < 60 {
            // Of the two halves it keeps the one whose next bit is 0, which has the same index.
            self.part.bits += 1;
            let part = self.part;
            self.map.retain(|stream, _| part.holds(stream));
        }
        if sequence != before.sequence + 1 {
            return Err(format!("its stream goes on with event {sequence} after event {}", before.sequence));
        }
        if link(&before.link, leaf) != *sealed {
            return Err("the link of its stream's chain does not follow from the one before".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_heads_are_bounded_and_newest_first() {
        let mut heads = RecentHeads::new(2);
        for number in 0..10_u8 {
            heads.put([number; 16], Head { sequence: i64::from(number), link: START });
        }
        assert!(heads.get(&[9; 16]).is_some() && heads.get(&[8; 16]).is_some());
        assert!(heads.get(&[0; 16]).is_none());
        assert!(heads.young.len() + heads.old.len() <= 4);
    }

    /// Every stream is in exactly one of the parts that the passes cover, however often a pass had to narrow itself.
    #[test]
    fn passes_cover_every_stream_once() {
        let streams: Vec<StreamDigest> = (0..1_000).map(|number| stream_digest("Thing", &number.to_string())).collect();
        let (mut parts, mut covered) = (vec![Part::default()], Vec::new());
        while let Some(part) = parts.pop() {
            let mut heads = VerifiedHeads::new(part, 60);
            for stream in &streams {
                let leaf = [1; 32];
                heads.take(*stream, 1, &leaf, &link(&START, &leaf)).unwrap();
                assert!(heads.len() <= 60);
            }
            parts.extend(part.without(heads.part()));
            covered.push(heads.part());
        }
        assert!(covered.len() > 8);
        for stream in &streams {
            assert_eq!(covered.iter().filter(|part| part.holds(stream)).count(), 1);
        }
    }

    #[test]
    fn a_broken_link_is_told_once() {
        let mut heads = VerifiedHeads::new(Part::default(), 10);
        let stream = stream_digest("Thing", "1");
        let (first, second, third) = ([1; 32], [2; 32], [3; 32]);
        let one = link(&START, &first);
        heads.take(stream, 1, &first, &one).unwrap();
        let forged = [9; 32];
        assert!(heads.take(stream, 2, &second, &forged).unwrap_err().contains("does not follow"));
        heads.take(stream, 3, &third, &link(&forged, &third)).unwrap();
        assert!(heads.take(stream, 5, &third, &START).unwrap_err().contains("event 5 after event 3"));
    }
}
