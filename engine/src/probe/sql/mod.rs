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
use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Either, Executor, Row as _, Statement, TypeInfo, ValueRef};
use std::time::Duration;

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
    let truncated = each_row(targets, on, sql, run, |row| {
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

/// Runs a statement and hands each row over until `take` says that it is enough; gives whether it did.
pub(crate) async fn each_row(
    targets: &SqlTargets,
    on: &Component,
    sql: &SqlText,
    run: &Run<'_>,
    mut take: impl FnMut(&PgRow) -> Result<bool, ProbeError>,
) -> Result<bool, ProbeError> {
    let mut lease = targets.lease(on).await?;
    if begin(&mut lease, run).await.is_err() && lease.was_idle {
        // An idle connection may have died with its server: once more on a fresh one.
        lease.discard();
        lease = targets.connect(on).await?;
        begin(&mut lease, run).await.map_err(|error| lease.explain(&error))?;
    }
    let outcome = fetch(lease.connection()?, sql, run.target, &mut take).await;
    match outcome {
        Ok(enough) => {
            // Only a transaction that ended well may be used again; what is unread is read off with it.
            if !enough && lease.connection()?.execute("ROLLBACK").await.is_ok() {
                lease.give_back();
            }
            Ok(enough)
        }
        Err(Failure::Sql(error)) => {
            let explained = lease.explain(&error);
            lease.discard();
            Err(explained)
        }
        Err(Failure::Probe(error)) => Err(error),
    }
}

async fn begin(lease: &mut Lease, run: &Run<'_>) -> Result<(), sqlx::Error> {
    let statement_ms = run.timeout.as_millis().max(1);
    let lock_ms = LOCK_TIMEOUT.min(run.timeout).as_millis().max(1);
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {statement_ms}; SET LOCAL lock_timeout = {lock_ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {statement_ms}; SELECT pg_backend_pid()"
    );
    let connection = lease.raw()?;
    let row = sqlx::raw_sql(&begin).fetch_all(&mut *connection).await?.pop();
    let pid: i32 = row.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    lease.arm(pid);
    Ok(())
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

async fn fetch(
    connection: &mut PgConnection,
    sql: &SqlText,
    target: &Target,
    take: &mut impl FnMut(&PgRow) -> Result<bool, ProbeError>,
) -> Result<bool, Failure> {
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
