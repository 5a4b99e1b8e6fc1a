//! Proofs of RFC 9162: that a leaf is in a tree (2.1.3), and that a larger tree goes on from a smaller one (2.1.4).
//!
//! Which hashes a proof consists of follows from numbers alone: the ranges of leaves that they stand for. Whoever has
//! the tree looks the ranges up; nothing here knows where it is kept.

use super::{Hash, node_hash};

/// Leaves from the first to before the second index.
pub type Range = (u64, u64);

/// A complete subtree by its place: `2^level` leaves from `index · 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtree {
    /// Its height.
    pub level: u32,
    /// Which of its level.
    pub index: u64,
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The ranges whose hashes prove that leaf `index` is in the tree of `size` leaves, from the leaf upwards.
pub fn inclusion_ranges(index: u64, size: u64) -> Vec<Range> {
    let (mut from, mut to, mut ranges) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            ranges.push((middle, to));
            to = middle;
        } else {
            ranges.push((from, middle));
            from = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges whose hashes prove that the tree of `second` leaves goes on from the tree of its `first` ones.
pub fn consistency_ranges(first: u64, second: u64) -> Vec<Range> {
    let (mut from, mut to, mut whole, mut ranges) = (0, second, true, Vec::new());
    if first == 0 || first >= second {
        return ranges;
    }
    while first != to {
        let middle = from + split(to - from);
        if first <= middle {
            ranges.push((middle, to));
            to = middle;
        } else {
            ranges.push((from, middle));
            from = middle;
            whole = false;
        }
    }
    if !whole {
        ranges.push((from, to));
    }
    ranges.reverse();
    ranges
}

/// The complete subtrees that a range of a proof consists of, from left to right.
pub fn subtrees((from, to): Range) -> Vec<Subtree> {
    let (mut at, mut parts) = (from, Vec::new());
    let length = to - from;
    for level in (0..64).rev() {
        if length >> level & 1 == 1 {
            parts.push(Subtree { level, index: at >> level });
            at += 1 << level;
        }
    }
    parts
}

/// The hash of neighbouring subtrees, the largest first; none of none.
pub fn fold_right(hashes: &[Hash]) -> Option<Hash> {
    let (last, others) = hashes.split_last()?;
    Some(others.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}

/// Whether the proof shows that `leaf` has this index in the tree of this size and root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for other in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(other, &hash);
            skip_up(&mut place, &mut last);
        } else {
            hash = node_hash(&hash, other);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether the proof shows that the tree of the second size and root goes on from the one of the first.
pub fn verify_consistency((first, first_root): (u64, &Hash), (second, root): (u64, &Hash), proof: &[Hash]) -> bool {
    if first == second {
        return proof.is_empty() && first_root == root;
    }
    if first == 0 || first > second {
        return false;
    }
    let with_first: Vec<Hash>;
    let proof = if first.is_power_of_two() {
        with_first = std::iter::once(*first_root).chain(proof.iter().copied()).collect();
        &with_first
    } else {
        proof
    };
    let Some((start, rest)) = proof.split_first() else { return false };
    let (mut place, mut last) = (first - 1, second - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*start, *start);
    for other in rest {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            old = node_hash(other, &old);
            new = node_hash(other, &new);
            skip_up(&mut place, &mut last);
        } else {
            new = node_hash(&new, other);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old == *first_root && new == *root
}

/// At the right edge of an incomplete tree, levels without a right neighbour are passed over.
fn skip_up(place: &mut u64, last: &mut u64) {
    while *place & 1 == 0 && *place != 0 {
        *place >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{leaves, naive_root};
    use super::*;
    use proptest::prelude::*;

    fn hashes(leaves: &[Hash], ranges: &[Range]) -> Vec<Hash> {
        ranges.iter().map(|(from, to)| naive_root(&leaves[*from as usize..*to as usize])).collect()
    }

    /// Every proof of every small tree.
    #[test]
    fn small_trees_prove_all_they_hold() {
        for size in 1..40_u64 {
            let leaves = leaves(size as usize);
            let root = naive_root(&leaves);
            for index in 0..size {
                let proof = hashes(&leaves, &inclusion_ranges(index, size));
                assert!(verify_inclusion(&leaves[index as usize], index, size, &proof, &root), "{index} of {size}");
            }
            for first in 1..=size {
                let proof = hashes(&leaves, &consistency_ranges(first, size));
                let first_root = naive_root(&leaves[..first as usize]);
                assert!(verify_consistency((first, &first_root), (size, &root), &proof), "{first} to {size}");
            }
        }
    }

    /// RFC 9162, 2.1.5: the example with seven leaves, by what its proofs stand for.
    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(inclusion_ranges(0, 7), [(1, 2), (2, 4), (4, 7)]);
        assert_eq!(inclusion_ranges(3, 7), [(2, 3), (0, 2), (4, 7)]);
        assert_eq!(inclusion_ranges(4, 7), [(5, 6), (6, 7), (0, 4)]);
        assert_eq!(inclusion_ranges(6, 7), [(4, 6), (0, 4)]);
        assert_eq!(consistency_ranges(3, 7), [(2, 3), (3, 4), (0, 2), (4, 7)]);
        assert_eq!(consistency_ranges(4, 7), [(4, 7)]);
        assert_eq!(consistency_ranges(6, 7), [(4, 6), (6, 7), (0, 4)]);
    }

    #[test]
    fn ranges_are_made_of_complete_subtrees() {
        assert_eq!(subtrees((4, 7)), [Subtree { level: 1, index: 2 }, Subtree { level: 0, index: 6 }]);
        assert_eq!(subtrees((0, 8)), [Subtree { level: 3, index: 0 }]);
        assert!(subtrees((5, 5)).is_empty());
    }

    #[test]
    fn nonsense_proves_nothing() {
        let hash = [1; 32];
        assert!(!verify_inclusion(&hash, 5, 5, &[], &hash));
        assert!(!verify_consistency((0, &hash), (5, &hash), &[hash]));
        assert!(!verify_consistency((6, &hash), (5, &hash), &[hash]));
        assert!(!verify_consistency((3, &hash), (5, &hash), &[]));
        assert!(verify_consistency((5, &hash), (5, &hash), &[]));
    }

    proptest! {
        #[test]
        fn what_is_altered_does_not_verify(size in 2_u64..2_000, index in any::<prop::sample::Index>(),
                                           which in any::<prop::sample::Index>(), bit in 0_usize..256) {
            let leaves = leaves(size as usize);
            let root = naive_root(&leaves);
            let index = index.index(size as usize) as u64;
            let leaf = leaves[index as usize];
            let proof = hashes(&leaves, &inclusion_ranges(index, size));
            prop_assert!(verify_inclusion(&leaf, index, size, &proof, &root));
            let flip = |hash: &Hash| { let mut hash = *hash; hash[bit / 8] ^= 1 << (bit % 8); hash };
            let mut other = proof.clone();
            let at = which.index(proof.len());
            other[at] = flip(&proof[at]);
            prop_assert!(!verify_inclusion(&leaf, index, size, &other, &root));
            prop_assert!(!verify_inclusion(&flip(&leaf), index, size, &proof, &root));
            prop_assert!(!verify_inclusion(&leaf, index, size, &proof, &flip(&root)));
            prop_assert!(!verify_inclusion(&leaf, (index + 1) % size, size, &proof, &root));
            prop_assert!(!verify_inclusion(&leaf, index, size, &proof[1..], &root));
            let mut longer = proof.clone();
            longer.push([0; 32]);
            prop_assert!(!verify_inclusion(&leaf, index, size, &longer, &root));
        }

        #[test]
        fn a_tree_that_does_not_go_on_does_not_verify(second in 2_u64..2_000, first in any::<prop::sample::Index>(),
                                                      which in any::<prop::sample::Index>(), bit in 0_usize..256) {
            let leaves = leaves(second as usize);
            let first = first.index(second as usize - 1) as u64 + 1;
            let (old, new) = (naive_root(&leaves[..first as usize]), naive_root(&leaves));
            let proof = hashes(&leaves, &consistency_ranges(first, second));
            prop_assert!(verify_consistency((first, &old), (second, &new), &proof));
            let flip = |hash: &Hash| { let mut hash = *hash; hash[bit / 8] ^= 1 << (bit % 8); hash };
            let mut other = proof.clone();
            let at = which.index(proof.len());
            other[at] = flip(&proof[at]);
            prop_assert!(!verify_consistency((first, &old), (second, &new), &other));
            prop_assert!(!verify_consistency((first, &flip(&old)), (second, &new), &proof));
            prop_assert!(!verify_consistency((first, &old), (second, &flip(&new)), &proof));
            prop_assert!(!verify_consistency((first, &old), (second, &new), &proof[1..]));
        }

        #[test]
        fn every_range_of_a_proof_is_a_row_of_aligned_subtrees(size in 1_u64..5_000_000_000,
                                                               index in any::<u64>(), first in any::<u64>()) {
            let ranges = [inclusion_ranges(index % size, size), consistency_ranges(1 + first % size, size)].concat();
            for range in ranges {
                let mut at = range.0;
                for part in subtrees(range) {
                    prop_assert_eq!(part.index << part.level, at);
                    at += 1 << part.level;
                }
                prop_assert_eq!(at, range.1);
            }
        }
    }
}
