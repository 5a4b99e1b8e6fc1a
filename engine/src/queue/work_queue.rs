//! The queue's statements: each one set-based, whatever the number of items.

use super::item::{ItemKey, NewItem, NewRun, WorkItem, priority_number, priority_of, rank};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::CheckKey;
use domain::{CheckCode, ComponentName, CorrelationId, RunId, TenantId};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Postgres, QueryBuilder, Row};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// The most items that one claim returns.
pub const CLAIM_MAX: usize = 256;

/// How the queue hands out work.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// How many checks of one component may run at the same time, over all processes; at most 1,000.
    pub per_target: u16,
    /// How long a claim holds unless it is extended.
    pub lease: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { per_target: 4, lease: Duration::from_secs(15) }
    }
}

/// Why the queue did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The database can not be reached, or refused; to be tried again.
    #[error("the work queue's database failed")]
    Database(#[from] sqlx::Error),
    /// A row holds what the platform never writes.
    #[error("an item of the work queue is not readable")]
    Damaged(#[from] domain::ids::InvalidName),
}

/// What a worker asks for.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Who asks.
    pub worker: Uuid,
    /// How many items at most (never more than [`CLAIM_MAX`]).
    pub most: usize,
    /// How many items may be put into one slot of a target, to be run one after another.
    pub depth: u16,
    /// Now.
    pub now: DateTime<Utc>,
}

/// An item in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub key: ItemKey,
    /// By which claim.
    pub attempt: i32,
}

/// How much work there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Items that wait.
    pub waiting: u64,
    /// Items in some worker's hands.
    pub leased: u64,
    /// Runs that have not ended.
    pub runs: u64,
    /// When the longest-waiting item was queued.
    pub oldest: Option<DateTime<Utc>>,
}

/// The queue of work.
#[derive(Debug)]
pub struct WorkQueue {
    pool: PgPool,
    options: QueueOptions,
    arrived: Notify,
}

impl WorkQueue {
    /// The queue in a migrated database.
    pub fn new(pool: PgPool, options: QueueOptions) -> Arc<Self> {
        Arc::new(Self { pool, options, arrived: Notify::new() })
    }

    /// How it hands out work.
    pub fn options(&self) -> &QueueOptions {
        &self.options
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Wakes this process's workers: there may be work.
    pub fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Completes at the next [`Self::wake`].
    pub async fn woken(&self) {
        self.arrived.notified().await;
    }

    /// Queues items; those that are queued already stay as they are. Returns how many were new.
    pub async fn enqueue(&self, items: &[NewItem]) -> Result<u64, QueueError> {
        let mut connection = self.pool.acquire().await?;
        let added = insert_items(&mut connection, items).await?;
        self.wake();
        Ok(added)
    }

    /// Notes runs that have been asked for; those noted already stay as they are.
    pub async fn note_runs(&self, runs: &[NewRun]) -> Result<(), QueueError> {
        let mut connection = self.pool.acquire().await?;
        insert_runs(&mut connection, runs).await
    }

    /// Claims the items that are due and whose targets have room, lowest rank first.
    pub async fn claim(&self, claim: Claim) -> Result<Vec<WorkItem>, QueueError> {
        let rows = sqlx::query("SELECT * FROM cmdiag.claim_work($1, $2, $3, $4, $5, $6)")
            .bind(claim.worker)
            .bind(claim.most.min(CLAIM_MAX) as i32)
            .bind(i32::from(self.options.per_target.clamp(1, 1_000)))
            .bind(i32::from(claim.depth.max(1)))
            .bind(claim.now)
            .bind(claim.now + self.options.lease)
            .fetch_all(&self.pool)
            .await?;
        let mut items = rows.iter().map(item_of).collect::<Result<Vec<_>, _>>()?;
        items.sort_by_key(|item| (item.rank, item.key.run));
        Ok(items)
    }

    /// Extends leases; returns the items that are still the worker's. The others were taken from it, or dropped.
    pub async fn extend(&self, worker: Uuid, held: &[Held], now: DateTime<Utc>) -> Result<Vec<ItemKey>, QueueError> {
        let mut statement = with_held(held);
        statement.push("UPDATE cmdiag.work_items w SET leased_until = ").push_bind(now + self.options.lease);
        statement.push(" FROM mine m WHERE ").push(SAME_ITEM).push(" AND w.leased_by = ").push_bind(worker);
        statement.push(" RETURNING w.run_id, w.check_code, w.component");
        let rows = statement.build().fetch_all(&self.pool).await?;
        rows.iter().map(key_of).collect()
    }

    /// Deletes finished items; one whose attempt is not the given one is somebody else's by now and stays. Returns how
    /// many were deleted.
    pub async fn finish(&self, held: &[Held]) -> Result<u64, QueueError> {
        let mut statement = with_held(held);
        statement.push("DELETE FROM cmdiag.work_items w USING mine m WHERE ").push(SAME_ITEM);
        Ok(statement.build().execute(&self.pool).await?.rows_affected())
    }

    /// Gives items back, to be claimed again from a moment on. Returns how many were still the caller's.
    pub async fn release(&self, held: &[Held], not_before: DateTime<Utc>) -> Result<u64, QueueError> {
        let mut statement = with_held(held);
        statement.push("UPDATE cmdiag.work_items w SET leased_by = NULL, leased_until = NULL, slot = NULL");
        statement.push(", not_before = greatest(w.not_before, ").push_bind(not_before);
        statement.push(") FROM mine m WHERE ").push(SAME_ITEM).push(" AND w.leased_by IS NOT NULL");
        let released = statement.build().execute(&self.pool).await?.rows_affected();
        self.wake();
        Ok(released)
    }

    /// Forgets a run and its items, in whosever hands. Returns how many items there were.
    pub async fn drop_run(&self, run: RunId) -> Result<u64, QueueError> {
        let mut connection = self.pool.acquire().await?;
        delete_runs(&mut connection, &[run]).await
    }

    /// Forgets waiting items past their deadline: nothing may take them up any more, and they are in the way. Their run
    /// times out, and names them as missing.
    pub async fn drop_overdue(&self, now: DateTime<Utc>) -> Result<u64, QueueError> {
        let statement = "DELETE FROM cmdiag.work_items w USING ( \
             SELECT run_id, check_code, component FROM cmdiag.work_items \
              WHERE leased_until IS NULL AND deadline <= $1 FOR UPDATE SKIP LOCKED) m \
             WHERE (w.run_id, w.check_code, w.component) = (m.run_id, m.check_code, m.component)";
        Ok(sqlx::query(statement).bind(now).execute(&self.pool).await?.rows_affected())
    }

    /// How much work there is. Reads the whole queue: for metrics, not for decisions.
    pub async fn depth(&self) -> Result<QueueDepth, QueueError> {
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE leased_until IS NULL) AS waiting, \
                    count(*) FILTER (WHERE leased_until IS NOT NULL) AS leased, \
                    min(queued_at) FILTER (WHERE leased_until IS NULL) AS oldest, \
                    (SELECT count(*) FROM cmdiag.work_runs) AS runs FROM cmdiag.work_items",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(QueueDepth {
            waiting: row.try_get::<i64, _>("waiting")? as u64,
            leased: row.try_get::<i64, _>("leased")? as u64,
            runs: row.try_get::<i64, _>("runs")? as u64,
            oldest: row.try_get("oldest")?,
        })
    }
}

const SAME_ITEM: &str = "w.run_id = m.run_id AND w.check_code = m.check_code AND w.component = m.component \
                         AND w.attempt = m.attempt";

/// Starts a statement with the items that are still held by these attempts, locked in key order: two statements over
/// the same items then wait for each other, and never deadlock.
fn with_held(held: &[Held]) -> QueryBuilder<'static, Postgres> {
    let mut statement = QueryBuilder::new(
        "WITH mine AS (SELECT i.run_id, i.check_code, i.component, i.attempt FROM cmdiag.work_items i JOIN UNNEST(",
    );
    statement.push_bind(held.iter().map(|one| one.key.run.0).collect::<Vec<_>>());
    statement.push(", ").push_bind(held.iter().map(|one| one.key.check.check.to_string()).collect::<Vec<_>>());
    statement.push(", ").push_bind(held.iter().map(|one| one.key.check.component.to_string()).collect::<Vec<_>>());
    statement.push(", ").push_bind(held.iter().map(|one| one.attempt).collect::<Vec<_>>());
    statement.push(
        ") AS k (run_id, check_code, component, attempt) ON i.run_id = k.run_id AND i.check_code = k.check_code \
         AND i.component = k.component AND i.attempt = k.attempt \
         ORDER BY i.run_id, i.check_code, i.component FOR UPDATE OF i) ",
    );
    statement
}

pub(super) async fn insert_runs(connection: &mut PgConnection, runs: &[NewRun]) -> Result<(), QueueError> {
    if runs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO cmdiag.work_runs \
           (run_id, deployment_id, tenant, priority, deadline, correlation_id, causation_id, traceparent) \
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::timestamptz[], $6::uuid[], \
                              $7::uuid[], $8::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(runs.iter().map(|one| one.run.0).collect::<Vec<_>>())
    .bind(runs.iter().map(|one| one.deployment.0).collect::<Vec<_>>())
    .bind(runs.iter().map(|one| one.tenant.to_string()).collect::<Vec<_>>())
    .bind(runs.iter().map(|one| priority_number(one.priority)).collect::<Vec<_>>())
    .bind(runs.iter().map(|one| one.deadline).collect::<Vec<_>>())
    .bind(runs.iter().map(|one| one.correlation.0).collect::<Vec<_>>())
    .bind(runs.iter().map(|one| one.causation).collect::<Vec<_>>())
    .bind(runs.iter().map(|one| one.traceparent.clone()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_items(connection: &mut PgConnection, items: &[NewItem]) -> Result<u64, QueueError> {
    if items.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query(
        "INSERT INTO cmdiag.work_items \
           (run_id, check_code, component, deployment_id, version, priority, queued_at, rank, not_before, deadline, \
            timeout_ms) \
         SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::smallint[], \
                              $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::int[]) \
         ON CONFLICT DO NOTHING",
    )
    .bind(items.iter().map(|one| one.key.run.0).collect::<Vec<_>>())
    .bind(items.iter().map(|one| one.key.check.check.to_string()).collect::<Vec<_>>())
    .bind(items.iter().map(|one| one.key.check.component.to_string()).collect::<Vec<_>>())
    .bind(items.iter().map(|one| one.deployment.0).collect::<Vec<_>>())
    .bind(items.iter().map(|one| one.version.clone()).collect::<Vec<_>>())
    .bind(items.iter().map(|one| priority_number(one.priority)).collect::<Vec<_>>())
    .bind(items.iter().map(|one| one.queued_at).collect::<Vec<_>>())
    .bind(items.iter().map(|one| rank(one.queued_at, one.priority)).collect::<Vec<_>>())
    .bind(items.iter().map(|one| one.not_before).collect::<Vec<_>>())
    .bind(items.iter().map(|one| one.deadline).collect::<Vec<_>>())
    .bind(items.iter().map(|one| i32::try_from(one.timeout_ms.max(1)).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn delete_runs(connection: &mut PgConnection, runs: &[RunId]) -> Result<u64, QueueError> {
    if runs.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = runs.iter().map(|run| run.0).collect();
    // Locked in key order, as everywhere: workers finish items of these runs at the same time.
    let row = sqlx::query(
        "WITH gone AS (SELECT run_id, check_code, component FROM cmdiag.work_items WHERE run_id = ANY($1) \
                        ORDER BY run_id, check_code, component FOR UPDATE), \
              items AS (DELETE FROM cmdiag.work_items w USING gone g \
                         WHERE (w.run_id, w.check_code, w.component) = (g.run_id, g.check_code, g.component) \
                        RETURNING 1), \
              runs AS (DELETE FROM cmdiag.work_runs WHERE run_id = ANY($1)) \
         SELECT count(*) AS items FROM items",
    )
    .bind(ids)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get::<i64, _>("items")? as u64)
}

fn key_of(row: &PgRow) -> Result<ItemKey, QueueError> {
    Ok(ItemKey {
        run: RunId(row.try_get("run_id")?),
        check: CheckKey {
            check: CheckCode::new(row.try_get::<String, _>("check_code")?)?,
            component: ComponentName::new(row.try_get::<String, _>("component")?)?,
        },
    })
}

fn item_of(row: &PgRow) -> Result<WorkItem, QueueError> {
    let key = key_of(row)?;
    // An item queued without its run (by hand, in a test) belongs to the default tenant and to no request.
    let tenant = row.try_get::<Option<String>, _>("tenant")?.map(TenantId::new).transpose()?.unwrap_or_default();
    let correlation = row.try_get::<Option<Uuid>, _>("correlation_id")?.unwrap_or(key.run.0);
    Ok(WorkItem {
        deployment: row.try_get::<Uuid, _>("deployment_id")?.into(),
        version: row.try_get("version")?,
        priority: priority_of(row.try_get("priority")?),
        queued_at: row.try_get("queued_at")?,
        rank: row.try_get("rank")?,
        deadline: row.try_get("deadline")?,
        timeout: Duration::from_millis(row.try_get::<i32, _>("timeout_ms")?.unsigned_abs().into()),
        attempt: row.try_get("attempt")?,
        crashes: row.try_get("crashes")?,
        slot: row.try_get("slot")?,
        tenant,
        correlation: CorrelationId(correlation),
        causation: row.try_get("causation_id")?,
        traceparent: row.try_get("traceparent")?,
        started: row.try_get::<Option<bool>, _>("started")?.unwrap_or_default(),
        key,
    })
}
