//! The Merkle tree over all events, as RFC 9162 (certificate transparency) shapes it: the leaf of position `p` has the
//! index `p - 1`.

mod proof;

pub use proof::{
    Range, Subtree, consistency_ranges, fold_right, inclusion_ranges, subtrees, verify_consistency, verify_inclusion,
};

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// Only subtrees of every eighth level are stored: a proof needs at most 128 of them for each of its hashes.
pub const STORED_LEVELS: u32 = 8;

/// The hash of a leaf.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A subtree that is complete: `2^level` leaves from `index · 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complete {
    /// Its height.
    pub level: u32,
    /// Which of its level.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A tree as it grows: of each complete part only the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that make up the tree, the largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The tree that consists of these complete subtrees, the largest first.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; tells of each subtree above the leaves that it completes.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(Complete)) {
        let (mut hash, mut level) = (leaf, 0);
        while self.size >> level & 1 == 1 {
            // There is a peak for each bit of the size.
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            completed(Complete { level, index: self.size >> level, hash });
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        fold_right(&self.peaks).unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The leaves and roots of the reference tests of certificate transparency.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// The definition of RFC 9162, 2.1.1, word for word.
    pub fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
            }
        }
    }

    pub fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_the_reference() {
        let mut frontier = Frontier::default();
        assert_eq!(hex::encode(frontier.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (leaf, root) in LEAVES.iter().zip(ROOTS) {
            frontier.push(leaf_hash(&hex::decode(leaf).unwrap()), |_| {});
            assert_eq!(hex::encode(frontier.root()), root, "of {} leaves", frontier.size());
        }
    }

    proptest! {
        #[test]
        fn a_growing_tree_has_the_roots_of_the_definition(count in 0_usize..600) {
            let leaves = leaves(count);
            let mut frontier = Frontier::default();
            let mut complete = Vec::new();
            for leaf in &leaves {
                frontier.push(*leaf, |one| complete.push(one));
            }
            prop_assert_eq!(frontier.root(), naive_root(&leaves));
            for one in complete {
                let from = (one.index << one.level) as usize;
                prop_assert_eq!(one.hash, naive_root(&leaves[from..from + (1 << one.level)]));
            }
        }
    }
}
