//! The stored tree: roots, frontiers and proofs of any size from the few nodes that are kept.

use crate::AuditError;
use crate::merkle::{
    Frontier, Hash, Range, STORED_LEVELS, Subtree, consistency_ranges, empty_root, fold_right, inclusion_ranges,
    node_hash, subtrees,
};
use crate::store;
use sqlx::PgConnection;

/// The hash of a complete subtree.
pub async fn subtree(db: &mut PgConnection, Subtree { level, index }: Subtree) -> Result<Hash, AuditError> {
    let stored = level / STORED_LEVELS * STORED_LEVELS;
    let (first, count) = (index << (level - stored), 1 << (level - stored));
    let mut hashes = match stored {
        0 => store::leaves(db, first, count).await?,
        _ => store::nodes(db, stored, first, count).await?,
    };
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes.pop().ok_or_else(|| AuditError::Missing("a subtree without leaves".to_owned()))
}

async fn range(db: &mut PgConnection, range: Range) -> Result<Hash, AuditError> {
    let mut hashes = Vec::new();
    for part in subtrees(range) {
        hashes.push(subtree(db, part).await?);
    }
    fold_right(&hashes).ok_or_else(|| AuditError::Missing("a proof of nothing".to_owned()))
}

async fn ranges(db: &mut PgConnection, wanted: Vec<Range>) -> Result<Vec<Hash>, AuditError> {
    let mut hashes = Vec::with_capacity(wanted.len());
    for one in wanted {
        hashes.push(range(db, one).await?);
    }
    Ok(hashes)
}

/// The tree of this size, ready to grow.
pub async fn frontier(db: &mut PgConnection, size: u64) -> Result<Frontier, AuditError> {
    let mut peaks = Vec::new();
    for part in subtrees((0, size)) {
        peaks.push(subtree(db, part).await?);
    }
    Frontier::from_peaks(size, peaks).ok_or_else(|| AuditError::Missing("a part of the tree".to_owned()))
}

/// The root of the tree of this size.
pub async fn root(db: &mut PgConnection, size: u64) -> Result<Hash, AuditError> {
    if size == 0 { Ok(empty_root()) } else { range(db, (0, size)).await }
}

/// The proof that the event at a position is in the tree of this size.
pub async fn inclusion(db: &mut PgConnection, position: u64, size: u64) -> Result<Vec<Hash>, AuditError> {
    if position == 0 || position > size {
        return Err(AuditError::Missing(format!("position {position} is not among the {size} of the checkpoint")));
    }
    ranges(db, inclusion_ranges(position - 1, size)).await
}

/// The proof that the tree of the second size goes on from the one of the first.
pub async fn consistency(db: &mut PgConnection, first: u64, second: u64) -> Result<Vec<Hash>, AuditError> {
    ranges(db, consistency_ranges(first, second)).await
}
