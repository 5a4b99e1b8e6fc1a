//! SQL on PostgreSQL: one statement in a read-only transaction, under the server's own time limits, its rows and bytes
//! bounded; cancelled on the server when the measurement ends early.

mod columns;
mod connections;
mod errors;

pub(crate) use connections::SqlTargets;

use super::rows::Measured;
use super::{ProbeError, Run, Target};
use crate::check::{SqlSpec, SqlText};
use connections::Lease;
use domain::deployment::Component;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Either, Executor, Row as _, Statement, TypeInfo, ValueRef};
use std::time::Duration;
use tracing::Instrument as _;
use tracing::field::Empty;

/// The most bytes of one measurement's values.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The longest wait for a lock: a probe must not stand in a queue of locks, where others then stand behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn measure(targets: &SqlTargets, spec: &SqlSpec, run: &Run<'_>) -> Result<Measured, ProbeError> {
    let connection = run.target.connection(run.on)?;
    query(targets, connection, &spec.query, run, Limits { rows: spec.max_rows, bytes: MAX_BYTES }).await
}

/// How much of an answer is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub rows: usize,
    pub bytes: usize,
}

/// Runs a statement on a component's database and gives its rows as JSON.
pub(crate) async fn query(
    targets: &SqlTargets,
    on: &Component,
    sql: &SqlText,
    run: &Run<'_>,
    limits: Limits,
) -> Result<Measured, ProbeError> {
    let mut measured = Measured::default();
    let mut bytes = 0;
    let truncated = each_row(targets, on, sql, run, &mut |row| {
        if measured.rows.len() == limits.rows {
            return Ok(false);
        }
        bytes += size_of(row)?;
        if bytes > limits.bytes {
            return Ok(false);
        }
        measured.rows.push(columns::to_json(row)?);
        Ok(true)
    })
    .await?;
    measured.truncated = truncated;
    Ok(measured)
}

/// What is done with each row; false says that it is enough.
pub(crate) type Take<'t> = dyn FnMut(&PgRow) -> Result<bool, ProbeError> + Send + 't;

/// Runs a statement and hands each row over until `take` says that it is enough; gives whether it did.
pub(crate) async fn each_row(
    targets: &SqlTargets,
    on: &Component,
    sql: &SqlText,
    run: &Run<'_>,
    take: &mut Take<'_>,
) -> Result<bool, ProbeError> {
    // Named by its check, whose file has the statement: neither texts nor parameters leave for the collector.
    let span = tracing::debug_span!(
        "sql.query",
        otel.kind = "client",
        db.system.name = "postgresql",
        db.query.summary = %run.target.check,
        component = %on.name,
        error.type = Empty,
        otel.status_code = Empty,
    );
    let answer = in_transaction(targets, on, sql, run, take).instrument(span.clone()).await;
    if let Err(error) = &answer {
        span.record("error.type", error.kind.as_str()).record("otel.status_code", "ERROR");
    }
    answer
}

async fn in_transaction(
    targets: &SqlTargets,
    on: &Component,
    sql: &SqlText,
    run: &Run<'_>,
    take: &mut Take<'_>,
) -> Result<bool, ProbeError> {
    let mut lease = targets.lease(on).await?;
    if let Err(error) = begin(&mut lease, run.timeout).await {
        if !lease.was_idle {
            return Err(lease.discard(&error));
        }
        // An idle connection may have died with its server: once more on a fresh one.
        lease.discard(&error);
        lease = targets.connect(on).await?;
        if let Err(error) = begin(&mut lease, run.timeout).await {
            return Err(lease.discard(&error));
        }
    }
    match fetch(lease.connection()?, sql, run.target, take).await {
        Ok(false) => {
            if rollback(lease.connection()?).await {
                lease.give_back();
            }
            Ok(false)
        }
        // More rows may be on their way: dropping the lease cancels them on the server.
        Ok(true) => Ok(true),
        Err(Failure::Sql(error)) => Err(lease.discard(&error)),
        Err(Failure::Probe(error)) => Err(error),
    }
}

/// Begins a transaction that can only read, under the server's own limits.
fn begin(lease: &mut Lease, timeout: Duration) -> BoxFuture<'_, Result<(), sqlx::Error>> {
    async move {
        let statement_ms = timeout.as_millis().max(1);
        let lock_ms = LOCK_TIMEOUT.min(timeout).as_millis().max(1);
        let begin = format!(
            "BEGIN READ ONLY; SET LOCAL statement_timeout = {statement_ms}; SET LOCAL lock_timeout = {lock_ms}; \
             SET LOCAL idle_in_transaction_session_timeout = {statement_ms}; SELECT pg_backend_pid()"
        );
        let rows = lease.raw()?.fetch_all(begin.as_str()).await?;
        let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
        let pid: i32 = row.try_get(0)?;
        lease.arm(pid);
        Ok(())
    }
    .boxed()
}

/// Ends the transaction; only a connection on which that went well may be used again.
fn rollback(connection: &mut PgConnection) -> BoxFuture<'_, bool> {
    async move { connection.execute("ROLLBACK").await.is_ok() }.boxed()
}

enum Failure {
    Sql(sqlx::Error),
    Probe(ProbeError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        Self::Probe(error)
    }
}

fn fetch<'a>(
    connection: &'a mut PgConnection,
    sql: &'a SqlText,
    target: &'a Target,
    take: &'a mut Take<'_>,
) -> BoxFuture<'a, Result<bool, Failure>> {
    async move {
        let statement = connection.prepare(&sql.text).await?;
        let mut prepared = statement.query();
        if let Some(Either::Left(types)) = statement.parameters() {
            for (name, kind) in sql.parameters.iter().zip(types) {
                let value = target.setting(name)?;
                prepared = columns::bind(prepared, kind.name(), name, value)?;
            }
        }
        let mut rows = prepared.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            if !take(&row)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
    .boxed()
}

/// How many bytes the server sent for a row.
fn size_of(row: &PgRow) -> Result<usize, ProbeError> {
    let mut bytes = 0;
    for index in 0..row.len() {
        let value = row.try_get_raw(index).map_err(|error| ProbeError::malformed(error.to_string()))?;
        if !value.is_null() {
            bytes += value.as_bytes().map_or(0, <[u8]>::len);
        }
    }
    Ok(bytes)
}

/// A column of a row that is read by its type, for the probes that know their own statements.
pub(crate) fn column<'r, T>(row: &'r PgRow, name: &str) -> Result<T, ProbeError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(name).map_err(|error| ProbeError::malformed(format!("column {name:?} of the dataset: {error}")))
}
