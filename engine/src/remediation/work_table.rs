//! The work table's statements: which remediations may have something to do, and who has them in hand.

use super::lease::{Lease, LeaseTime};
use chrono::{DateTime, Utc};
use domain::{CorrelationId, RemediationId, TenantId};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A remediation to be looked at, as the log says.
#[derive(Debug, Clone)]
pub(super) struct Wake {
    pub remediation: RemediationId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub cause: Uuid,
    pub traceparent: Option<String>,
}

/// A remediation in hand.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub remediation: RemediationId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub cause: Uuid,
    pub traceparent: Option<String>,
    pub wakes: i64,
    /// Whether somebody else's lease had run out.
    pub adopted: bool,
    pub lease: Lease,
}

/// The work table, as one process uses it.
#[derive(Debug, Clone)]
pub(super) struct WorkTable {
    pool: PgPool,
    worker: Uuid,
    lasts: Duration,
    time: LeaseTime,
}

impl WorkTable {
    pub fn new(pool: PgPool, lasts: Duration, time: LeaseTime) -> Self {
        Self { pool, worker: Uuid::new_v4(), lasts, time }
    }

    /// Now, by the time that leases run out by.
    pub fn now(&self) -> Instant {
        self.time.now()
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Claims what is due and free, or whose holder has not extended its lease.
    pub async fn claim(
        &self,
        most: usize,
        now: DateTime<Utc>,
        parent: &CancellationToken,
    ) -> Result<Vec<Held>, sqlx::Error> {
        let asked = self.now();
        let rows = sqlx::query(
            "WITH dead AS MATERIALIZED (
                SELECT remediation_id FROM cmdiag.remediation_work
                 WHERE leased_by IS NOT NULL AND leased_until <= clock_timestamp()
                 ORDER BY leased_until LIMIT $3 FOR UPDATE SKIP LOCKED),
             ready AS MATERIALIZED (
                SELECT remediation_id FROM cmdiag.remediation_work
                 WHERE leased_by IS NULL AND due <= $2 ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED),
             chosen AS (
                SELECT remediation_id, true AS adopted FROM dead
                UNION ALL SELECT remediation_id, false FROM ready LIMIT $3)
             UPDATE cmdiag.remediation_work w
                SET leased_by = $1, leased_until = clock_timestamp() + $4 * interval '1 millisecond', epoch = epoch + 1
               FROM chosen c WHERE w.remediation_id = c.remediation_id
             RETURNING w.*, c.adopted",
        )
        .bind(self.worker)
        .bind(now)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(self.lasts.as_secs_f64() * 1_000.0)
        .fetch_all(&self.pool)
        .await?;
        let held = |row: &sqlx::postgres::PgRow| {
            let tenant = row.try_get::<String, _>("tenant")?;
            Ok(Held {
                remediation: RemediationId(row.try_get("remediation_id")?),
                tenant: tenant.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                correlation: CorrelationId(row.try_get("correlation_id")?),
                cause: row.try_get("causation_id")?,
                traceparent: row.try_get("traceparent")?,
                wakes: row.try_get("wakes")?,
                adopted: row.try_get("adopted")?,
                lease: Lease::new(self.until(asked), self.time.clone(), row.try_get("epoch")?, parent.child_token()),
            })
        };
        rows.iter().map(held).collect()
    }

    /// Until when a lease surely holds that was asked for then: a little less than the database grants, so that what
    /// runs under it has ended before somebody else begins.
    pub fn until(&self, asked: Instant) -> Instant {
        asked + self.lasts.mul_f64(0.8)
    }

    /// Extends leases; gives those that are still this process's.
    pub async fn extend(&self, held: &[(RemediationId, i64)]) -> Result<Vec<RemediationId>, sqlx::Error> {
        let rows = sqlx::query_scalar(
            "UPDATE cmdiag.remediation_work w SET leased_until = clock_timestamp() + $2 * interval '1 millisecond'
               FROM (SELECT i.remediation_id FROM cmdiag.remediation_work i
                       JOIN UNNEST($3::uuid[], $4::bigint[]) AS k (id, epoch)
                         ON i.remediation_id = k.id AND i.epoch = k.epoch
                      WHERE i.leased_by = $1 ORDER BY i.remediation_id FOR UPDATE OF i) mine
              WHERE w.remediation_id = mine.remediation_id RETURNING w.remediation_id",
        )
        .bind(self.worker)
        .bind(self.lasts.as_secs_f64() * 1_000.0)
        .bind(held.iter().map(|(id, _)| id.0).collect::<Vec<Uuid>>())
        .bind(held.iter().map(|(_, epoch)| *epoch).collect::<Vec<i64>>())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(RemediationId).collect())
    }

    /// Gives one back, to be looked at again from then on (`None`: when something happens to it); at once where
    /// something has happened since it was claimed.
    pub async fn release(
        &self,
        held: &Held,
        due: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE cmdiag.remediation_work SET leased_by = NULL, leased_until = NULL,
                    due = CASE WHEN wakes = $4 THEN coalesce($5, 'infinity'::timestamptz) ELSE $6 END
              WHERE remediation_id = $1 AND leased_by = $2 AND epoch = $3",
        )
        .bind(held.remediation.0)
        .bind(self.worker)
        .bind(held.lease.epoch)
        .bind(held.wakes)
        .bind(due)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets one that rests, unless something has happened to it since it was claimed.
    pub async fn forget(&self, held: &Held, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let gone = sqlx::query(
            "DELETE FROM cmdiag.remediation_work
              WHERE remediation_id = $1 AND leased_by = $2 AND epoch = $3 AND wakes = $4",
        )
        .bind(held.remediation.0)
        .bind(self.worker)
        .bind(held.lease.epoch)
        .bind(held.wakes)
        .execute(&self.pool)
        .await?;
        if gone.rows_affected() == 0 {
            self.release(held, Some(now), now).await?;
        }
        Ok(())
    }
}

/// Notes remediations to be looked at now.
pub(super) async fn wake(connection: &mut PgConnection, wakes: &[Wake], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO cmdiag.remediation_work AS w
           (remediation_id, tenant, correlation_id, causation_id, traceparent, due)
         SELECT id, tenant, correlation, cause, trace, $6
           FROM UNNEST($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[])
             AS n (id, tenant, correlation, cause, trace)
          ORDER BY id
         ON CONFLICT (remediation_id) DO UPDATE
            SET due = least(w.due, excluded.due), wakes = w.wakes + 1, causation_id = excluded.causation_id,
                traceparent = excluded.traceparent",
    )
    .bind(wakes.iter().map(|one| one.remediation.0).collect::<Vec<_>>())
    .bind(wakes.iter().map(|one| one.tenant.to_string()).collect::<Vec<_>>())
    .bind(wakes.iter().map(|one| one.correlation.0).collect::<Vec<_>>())
    .bind(wakes.iter().map(|one| one.cause).collect::<Vec<_>>())
    .bind(wakes.iter().map(|one| one.traceparent.clone()).collect::<Vec<_>>())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Has all remediations of tenants looked at now.
pub(super) async fn wake_tenants(
    connection: &mut PgConnection,
    tenants: &[String],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE cmdiag.remediation_work w SET due = least(w.due, $2), wakes = w.wakes + 1
           FROM (SELECT remediation_id FROM cmdiag.remediation_work WHERE tenant = ANY($1)
                  ORDER BY remediation_id FOR UPDATE) t
          WHERE w.remediation_id = t.remediation_id",
    )
    .bind(tenants)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
