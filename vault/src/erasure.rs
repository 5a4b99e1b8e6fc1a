//! Destroying a subject's key. May be repeated by whoever finds it unfinished: the first time counts.

use crate::error::VaultError;
use crate::table;
use chrono::{DateTime, Utc};
use domain::{ContentHash, SubjectId, TenantId};
use sqlx::PgPool;

/// A key that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// Which key it was.
    pub key_fingerprint: ContentHash,
    /// When the database let it go.
    pub destroyed_at: DateTime<Utc>,
}

/// Destroys the key of a subject, and what finds the subject by name. `None` where the
/// tenant has no such subject. Needs no
/// master key.
pub async fn destroy(pool: &PgPool, tenant: &TenantId, subject: SubjectId) -> Result<Option<Destroyed>, VaultError> {
    table::forget(pool, tenant, subject).await?;
    let Some(record) = table::get_of(pool, tenant, subject).await? else { return Ok(None) };
    let destroyed_at = record.erased_at.ok_or(VaultError::Damaged(subject))?;
    Ok(Some(Destroyed { key_fingerprint: record.key_fingerprint, destroyed_at }))
}

/// Whether the tenant has such a subject, erased or not.
pub async fn exists(pool: &PgPool, tenant: &TenantId, subject: SubjectId) -> Result<bool, VaultError> {
    Ok(table::get_of(pool, tenant, subject).await?.is_some())
}
