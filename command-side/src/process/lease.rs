//! One active instance of all processes, by the database's clock.

use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Giving up a lease must not hold up the end of the process.
const RELEASE_WAIT: Duration = Duration::from_secs(2);

/// A lease that is held and renewed.
pub(crate) struct Lease {
    pool: PgPool,
    name: &'static str,
    holder: String,
    epoch: i64,
    /// Cancelled when it is lost, or when the process is to end.
    stop: CancellationToken,
    _renewing: DropGuard,
}

impl Lease {
    /// Takes a lease that nobody holds; `None` where somebody does.
    pub async fn acquire(
        pool: &PgPool,
        name: &'static str,
        holder: &str,
        lasts: Duration,
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, sqlx::Error> {
        let asked = Instant::now();
        let epoch: Option<i64> = sqlx::query_scalar(
            "INSERT INTO process_leases AS held (name, holder, until, epoch)
             VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond', 1)
             ON CONFLICT (name) DO UPDATE
                SET holder = excluded.holder, until = excluded.until, epoch = held.epoch + 1
              WHERE held.until <= clock_timestamp()
             RETURNING epoch",
        )
        .bind(name)
        .bind(holder)
        .bind(milliseconds(lasts))
        .fetch_optional(pool)
        .await?;
        let Some(epoch) = epoch else { return Ok(None) };
        let stop = cancel.child_token();
        let renewing = Renewing { pool: pool.clone(), name, holder: holder.to_owned(), epoch, lasts, asked };
        tokio::spawn(renewing.run(stop.clone()));
        let lease = Self {
            pool: pool.clone(),
            name,
            holder: holder.to_owned(),
            epoch,
            _renewing: stop.clone().drop_guard(),
            stop,
        };
        Ok(Some(lease))
    }

    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Within a transaction: makes sure that the lease is still held, until the transaction ends.
    pub async fn fence(&self, connection: &mut sqlx::PgConnection) -> Result<bool, sqlx::Error> {
        let held: Option<i32> =
            sqlx::query_scalar("SELECT 1 FROM process_leases WHERE name = $1 AND holder = $2 AND epoch = $3 FOR SHARE")
                .bind(self.name)
                .bind(&self.holder)
                .bind(self.epoch)
                .fetch_optional(connection)
                .await?;
        Ok(held.is_some())
    }

    /// Gives it up, so that others need not wait for it to run out.
    pub async fn release(self) {
        self.stop.cancel();
        let given_up = sqlx::query(
            "UPDATE process_leases SET until = clock_timestamp() WHERE name = $1 AND holder = $2 AND epoch = $3",
        )
        .bind(self.name)
        .bind(&self.holder)
        .bind(self.epoch)
        .execute(&self.pool);
        match tokio::time::timeout(RELEASE_WAIT, given_up).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, lease = self.name, "a lease is left to run out"),
            Err(_) => tracing::debug!(lease = self.name, "a lease is left to run out: the database does not answer"),
        }
    }
}

/// Renews a lease three times as often as needed.
struct Renewing {
    pool: PgPool,
    name: &'static str,
    holder: String,
    epoch: i64,
    lasts: Duration,
    /// When the last successful renewal was asked for: the database counts from no earlier moment.
    asked: Instant,
}

impl Renewing {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.lasts / 3) => {}
            }
            let asked = Instant::now();
            let left = self.lasts.saturating_sub(self.asked.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => self.asked = asked,
                Ok(Err(_)) if self.asked.elapsed() < self.lasts => {}
                Ok(Ok(false) | Err(_)) | Err(_) => {
                    tracing::warn!(lease = self.name, "a lease was lost");
                    return stop.cancel();
                }
            }
        }
    }

    async fn renew(&self) -> Result<bool, sqlx::Error> {
        let renewed = sqlx::query(
            "UPDATE process_leases SET until = clock_timestamp() + $4 * interval '1 millisecond'
              WHERE name = $1 AND holder = $2 AND epoch = $3",
        )
        .bind(self.name)
        .bind(&self.holder)
        .bind(self.epoch)
        .bind(milliseconds(self.lasts))
        .execute(&self.pool)
        .await?;
        Ok(renewed.rows_affected() == 1)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
