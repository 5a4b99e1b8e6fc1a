//! The table of subjects and their wrapped keys. Every question is one statement, however many are asked for.

use crate::error::VaultError;
use chrono::{DateTime, Utc};
use domain::{ContentHash, SubjectId, TenantId};
use sqlx::{FromRow, PgPool};
use std::time::Duration;
use uuid::Uuid;

/// No question may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A subject as found by its id or by its text.
#[derive(Debug, FromRow)]
pub(crate) struct FoundKey {
    pub subject_id: Uuid,
    pub lookup: Option<Vec<u8>>,
    pub wrapped_key: Option<Vec<u8>>,
}

/// A subject about to be added.
pub(crate) struct NewKey {
    pub subject: SubjectId,
    pub lookup: Vec<u8>,
    pub wrapped: Vec<u8>,
    pub fingerprint: Vec<u8>,
}

/// A subject as listed: nothing in it tells who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectRecord {
    /// Which.
    pub subject: SubjectId,
    /// Of its key; it stays when the key is gone.
    pub key_fingerprint: ContentHash,
    /// When it was first met.
    pub created_at: DateTime<Utc>,
    /// When its key was destroyed.
    pub erased_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct ListedRow {
    subject_id: Uuid,
    fingerprint: Vec<u8>,
    created_at: DateTime<Utc>,
    erased_at: Option<DateTime<Utc>>,
}

impl ListedRow {
    fn record(self) -> Result<SubjectRecord, VaultError> {
        let subject = SubjectId(self.subject_id);
        let key_fingerprint =
            ContentHash::new(hex::encode(&self.fingerprint)).map_err(|_| VaultError::Damaged(subject))?;
        Ok(SubjectRecord { subject, key_fingerprint, created_at: self.created_at, erased_at: self.erased_at })
    }
}

/// The master key's fingerprint on record.
pub(crate) async fn master_on_record(pool: &PgPool) -> Result<Option<Vec<u8>>, VaultError> {
    in_time(sqlx::query_scalar("SELECT fingerprint::bytea FROM cmdiag.vault").fetch_optional(pool)).await
}

/// Puts the first master key on record.
pub(crate) async fn record_master(pool: &PgPool, fingerprint: &[u8]) -> Result<(), VaultError> {
    let insert = sqlx::query(
        "INSERT INTO cmdiag.vault (fingerprint, since_position) \
         SELECT $1, coalesce(max(position), 0) FROM cmdiag.events ON CONFLICT DO NOTHING",
    );
    in_time(insert.bind(fingerprint).execute(pool)).await.map(|_| ())
}

/// Up to where the log may hold names openly: it was written before they were sealed.
pub(crate) async fn sealed_since(pool: &PgPool) -> Result<Option<i64>, VaultError> {
    in_time(sqlx::query_scalar("SELECT since_position FROM cmdiag.vault").fetch_optional(pool)).await
}

/// Those that are known by these texts.
pub(crate) async fn by_lookup(
    pool: &PgPool,
    tenant: &TenantId,
    lookups: &[Vec<u8>],
) -> Result<Vec<FoundKey>, VaultError> {
    let query = sqlx::query_as(
        "SELECT subject_id, lookup, wrapped_key FROM cmdiag.subjects \
         WHERE tenant = $1 AND lookup = ANY($2) AND lookup IS NOT NULL",
    );
    in_time(query.bind(tenant.as_str()).bind(lookups).fetch_all(pool)).await
}

/// Those with these ids.
pub(crate) async fn by_id(
    pool: &PgPool,
    tenant: &TenantId,
    subjects: &[SubjectId],
) -> Result<Vec<FoundKey>, VaultError> {
    let ids: Vec<Uuid> = subjects.iter().map(|subject| subject.0).collect();
    let query = sqlx::query_as(
        "SELECT subject_id, lookup, wrapped_key FROM cmdiag.subjects WHERE tenant = $1 AND subject_id = ANY($2)",
    );
    in_time(query.bind(tenant.as_str()).bind(ids).fetch_all(pool)).await
}

/// Adds subjects. Where another process has just added the same person, theirs stands.
pub(crate) async fn add(pool: &PgPool, tenant: &TenantId, new: &[NewKey]) -> Result<(), VaultError> {
    let ids: Vec<Uuid> = new.iter().map(|key| key.subject.0).collect();
    let lookups: Vec<&[u8]> = new.iter().map(|key| key.lookup.as_slice()).collect();
    let wrapped: Vec<&[u8]> = new.iter().map(|key| key.wrapped.as_slice()).collect();
    let fingerprints: Vec<&[u8]> = new.iter().map(|key| key.fingerprint.as_slice()).collect();
    // In the order of the lookups: two processes that add the same people do not wait for each other in a circle.
    let insert = sqlx::query(
        "INSERT INTO cmdiag.subjects (subject_id, tenant, lookup, wrapped_key, fingerprint) \
         SELECT n.subject_id, $1, n.lookup, n.wrapped_key, n.fingerprint \
         FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[]) \
             AS n (subject_id, lookup, wrapped_key, fingerprint) ORDER BY n.lookup \
         ON CONFLICT (tenant, lookup) WHERE lookup IS NOT NULL DO NOTHING",
    );
    let insert = insert.bind(tenant.as_str()).bind(ids).bind(lookups).bind(wrapped).bind(fingerprints);
    in_time(insert.execute(pool)).await.map(|_| ())
}

/// The next subjects of a tenant, oldest first.
pub(crate) async fn list(
    pool: &PgPool,
    tenant: &TenantId,
    after: Option<(DateTime<Utc>, SubjectId)>,
    limit: u32,
) -> Result<Vec<SubjectRecord>, VaultError> {
    let (at, id) = after.map_or((DateTime::UNIX_EPOCH, Uuid::nil()), |(at, subject)| (at, subject.0));
    let query = sqlx::query_as::<_, ListedRow>(
        "SELECT subject_id, fingerprint::bytea AS fingerprint, created_at, erased_at FROM cmdiag.subjects \
         WHERE tenant = $1 AND (created_at, subject_id) > ($2, $3) ORDER BY created_at, subject_id LIMIT $4",
    );
    let rows = in_time(query.bind(tenant.as_str()).bind(at).bind(id).bind(i64::from(limit)).fetch_all(pool)).await?;
    rows.into_iter().map(ListedRow::record).collect()
}

/// One of a tenant's.
pub(crate) async fn get_of(
    pool: &PgPool,
    tenant: &TenantId,
    subject: SubjectId,
) -> Result<Option<SubjectRecord>, VaultError> {
    let query = sqlx::query_as::<_, ListedRow>(
        "SELECT subject_id, fingerprint::bytea AS fingerprint, created_at, erased_at FROM cmdiag.subjects \
         WHERE tenant = $1 AND subject_id = $2",
    );
    in_time(query.bind(tenant.as_str()).bind(subject.0).fetch_optional(pool)).await?.map(ListedRow::record).transpose()
}

/// Nulls the key and what finds it; nothing to do where that is done.
pub(crate) async fn forget(pool: &PgPool, tenant: &TenantId, subject: SubjectId) -> Result<(), VaultError> {
    let update = sqlx::query(
        "UPDATE cmdiag.subjects SET lookup = NULL, wrapped_key = NULL, erased_at = clock_timestamp() \
         WHERE tenant = $1 AND subject_id = $2 AND wrapped_key IS NOT NULL",
    );
    in_time(update.bind(tenant.as_str()).bind(subject.0).execute(pool)).await.map(|_| ())
}

/// How many commands on record name somebody openly. Looks at all of them.
pub(crate) async fn openly_named(pool: &PgPool, tenant: &TenantId, text: &str) -> Result<i64, VaultError> {
    let query = sqlx::query_scalar(
        "SELECT count(*) FROM cmdiag.commands WHERE tenant = $1 AND lower(btrim(actor)) = lower(btrim($2))",
    );
    in_time(query.bind(tenant.as_str()).bind(text).fetch_one(pool)).await
}

async fn in_time<T>(question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, VaultError> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(VaultError::Unavailable(format!("no answer within {PATIENCE:?}"))),
    }
}
