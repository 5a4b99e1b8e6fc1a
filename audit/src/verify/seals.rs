//! A row of seals against the events that wait for it.

use super::{FaultKind, Pending, Verifier};
use crate::merkle::{Complete, Hash};
use crate::store::Seal;

impl Verifier {
    /// Takes the next row of seals, after the events that it seals. Each node of the tree that it completes is told.
    pub fn seal(&mut self, seal: &Seal, mut completed: impl FnMut(Complete)) {
        let due = self.frontier.size() + 1;
        if seal.first != due && !self.tree_ends {
            let (from, to) = (due.min(seal.first), due.max(seal.first).max(1) - 1);
            let what = format!("the seals go on at position {} where {due} was due", seal.first);
            self.faults.add(FaultKind::SealMissing, (from, to.max(from)), what);
            self.tree_ends = true;
        }
        let whole =
            seal.last >= seal.first && (seal.last - seal.first + 1).checked_mul(32) == Some(seal.leaves.len() as u64);
        if !whole || seal.chains.len() != seal.leaves.len() {
            let what = "a row of seals has not the length that it should have".to_owned();
            self.faults.add(FaultKind::SealDamaged, (seal.first, seal.last.max(seal.first)), what);
            self.tree_ends = true;
            return;
        }
        let pairs = seal.leaves.chunks_exact(32).zip(seal.chains.chunks_exact(32));
        for (position, (leaf, link)) in (seal.first..).zip(pairs) {
            let (leaf, link) = (hash(leaf), hash(link));
            self.unsealed_before(position);
            match self.pending.pop_front_if(|event| event.position == position) {
                Some(event) => self.compare(&event, &leaf, &link),
                None => {
                    let what = format!("the event at position {position} was sealed, and is not there");
                    self.faults.add(FaultKind::EventMissing, (position, position), what);
                }
            }
            if !self.tree_ends {
                self.frontier.push(leaf, &mut completed);
                let (size, root) = (self.frontier.size(), || self.frontier.root());
                if let Some((span, what)) = self.published.reached(size, root) {
                    self.faults.add(FaultKind::PublishedDiffers, span, what);
                }
            }
        }
    }

    /// Events that stand before the seals that follow were never sealed.
    fn unsealed_before(&mut self, position: u64) {
        while let Some(stray) = self.pending.pop_front_if(|event| event.position < position) {
            let what = format!("the event at position {} has no seal", stray.position);
            self.faults.add(FaultKind::SealMissing, (stray.position, stray.position), what);
        }
    }

    fn compare(&mut self, event: &Pending, leaf: &Hash, link: &Hash) {
        let at = (event.position, event.position);
        if event.leaf != *leaf {
            let what = format!("the event at position {} is not the one that was sealed", event.position);
            self.faults.add(FaultKind::EventChanged, at, what);
            // Nor can be believed what stream it is of. The key in it may be right all the same, and is needed.
            if let Some(payload) = &event.key {
                let _ = self.keys.apply(event.position, payload);
            }
            return;
        }
        if let Err(what) = self.heads.take(event.stream, event.sequence, leaf, link) {
            let what = format!("at position {}: {what}", event.position);
            self.faults.add(FaultKind::ChainBroken, at, what);
        }
        if let Some(payload) = &event.key
            && let Err(what) = self.keys.apply(event.position, payload)
        {
            let what = format!("at position {}: {what}", event.position);
            self.faults.add(FaultKind::KeyReplaced, at, what);
        }
    }

    /// Takes a stored node of the tree beside the one that was computed.
    pub fn node(&mut self, computed: &Complete, stored: Option<&Hash>) {
        if stored == Some(&computed.hash) {
            return;
        }
        let (from, to) = (computed.index << computed.level, (computed.index + 1) << computed.level);
        let what = format!("the stored node {} of level {} is not that of its seals", computed.index, computed.level);
        self.faults.add(FaultKind::NodeDiffers, (from + 1, to), what);
    }
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(bytes);
    hash
}
