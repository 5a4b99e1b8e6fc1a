//! What proves an export: the signed checkpoint of the sealed log that covers it.

use crate::error::ExportError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// A checkpoint of the log's Merkle tree, as the sealer signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Which log.
    pub log_id: Uuid,
    /// The checkpoint's number.
    pub number: i64,
    /// The tree's size: it covers the positions 1 to this one.
    pub tree_size: i64,
    /// The tree's root, in hex.
    pub root: String,
    /// When it was signed.
    pub signed_at: DateTime<Utc>,
    /// Which key signed it.
    pub key_id: String,
    /// The signed note itself.
    pub note: String,
    /// The last position of the export that the checkpoint covers; what follows is not sealed by it.
    pub covers_through: i64,
}

#[derive(FromRow)]
struct Checkpoint {
    log_id: Uuid,
    number: i64,
    tree_size: i64,
    root: Vec<u8>,
    signed_at: DateTime<Utc>,
    key_id: String,
    note: String,
}

/// The first checkpoint that covers all, else the newest one.
const COVERING: &str = "SELECT l.log_id, c.number, c.tree_size, c.root::bytea AS root, c.signed_at, c.key_id, c.note \
    FROM cmdiag.audit_checkpoints c CROSS JOIN cmdiag.audit_log l WHERE c.number = coalesce( \
        (SELECT number FROM cmdiag.audit_checkpoints WHERE tree_size >= $1 ORDER BY tree_size LIMIT 1), \
        (SELECT number FROM cmdiag.audit_checkpoints ORDER BY tree_size DESC LIMIT 1))";

/// The newest checkpoint that an export up to `last` holds all events of: whoever has the export from position 1 on
/// can compute its root. Where each covers more, the first one.
const WITHIN: &str = "SELECT l.log_id, c.number, c.tree_size, c.root::bytea AS root, c.signed_at, c.key_id, c.note \
    FROM cmdiag.audit_checkpoints c CROSS JOIN cmdiag.audit_log l WHERE c.number = coalesce( \
        (SELECT number FROM cmdiag.audit_checkpoints WHERE tree_size <= $1 ORDER BY tree_size DESC LIMIT 1), \
        (SELECT number FROM cmdiag.audit_checkpoints ORDER BY tree_size LIMIT 1))";

/// The checkpoint that an export up to `last` is proven by; `None` where the log is not sealed, or not yet.
pub async fn within(pool: &PgPool, last: i64) -> Result<Option<Proof>, ExportError> {
    find(pool, WITHIN, last).await
}

/// The checkpoint that covers positions 1 to `last`, or as many of them as any does; `None` where the log is not
/// sealed, or not yet.
pub async fn covering(pool: &PgPool, last: i64) -> Result<Option<Proof>, ExportError> {
    find(pool, COVERING, last).await
}

async fn find(pool: &PgPool, sql: &'static str, last: i64) -> Result<Option<Proof>, ExportError> {
    let found = sqlx::query_as::<_, Checkpoint>(sql).bind(last).fetch_optional(pool).await?;
    Ok(found.map(|checkpoint| Proof {
        log_id: checkpoint.log_id,
        number: checkpoint.number,
        tree_size: checkpoint.tree_size,
        root: hex::encode(checkpoint.root),
        signed_at: checkpoint.signed_at,
        key_id: checkpoint.key_id,
        note: checkpoint.note,
        covers_through: checkpoint.tree_size.min(last),
    }))
}
