//! Rows that a living system keeps changing: the render queue, the audit events, the licence. And their vacuum, so
//! that the lab's own traffic never looks like neglect.

use crate::database;
use crate::error::LabError;
use chrono::{DateTime, Duration, Utc};
use sqlx::PgPool;

/// The render queue's own rows; what faults add has higher numbers.
const RENDER_ROWS: i64 = 3;
/// Events that a living system writes: logon, record viewed, modified, document opened, printed.
const COMMON_EVENTS: &str = "ARRAY[1, 3, 5, 8, 13, 21, 34]";
/// How far back events are kept.
const AUDIT_DAYS: i64 = 14;
/// Tables that the lab itself keeps changing.
const LIVE_TABLES: [&str; 4] = ["double_event_processor", "tsrendqueu", "double_audit_event", "double_licence"];

/// At each start: what a pause has made old becomes new again.
pub async fn refresh_after_pause(pool: &PgPool, now: DateTime<Utc>) -> Result<(), LabError> {
    // The licence ends far in the future, whenever the lab is started.
    sqlx::query("UPDATE double_licence SET expires = $1 WHERE expires < $1")
        .bind(now + Duration::days(300))
        .execute(pool)
        .await
        .map_err(LabError::db("renew the licence"))?;
    refresh_render_queue(pool, now).await?;
    let newest: Option<DateTime<Utc>> = sqlx::query_scalar("SELECT max(at) FROM double_audit_event")
        .fetch_one(pool)
        .await
        .map_err(LabError::db("look for the newest audit event"))?;
    let earliest = now - Duration::days(AUDIT_DAYS);
    let from = newest.unwrap_or(earliest).max(earliest);
    // Two an hour; a failed logon (30) once every two days: people mistype.
    sqlx::query(&format!(
        "INSERT INTO double_audit_event (event, at, login)
         SELECT CASE WHEN n % 96 = 50 THEN 30 ELSE ({COMMON_EVENTS})[1 + n % 7] END, at, 'DOUBLE\\user' || 21 + n % 200
         FROM (SELECT at, CAST(extract(epoch FROM at) / 1800 AS bigint) AS n
               FROM generate_series($1, $2, interval '30 minutes') at) moments"
    ))
    .bind(from + Duration::minutes(30))
    .bind(now)
    .execute(pool)
    .await
    .map_err(LabError::db("add audit events"))?;
    add_event(pool, now).await
}

/// Every few seconds: the queue moves on and somebody does something.
pub async fn tick(pool: &PgPool, now: DateTime<Utc>) -> Result<(), LabError> {
    refresh_render_queue(pool, now).await?;
    add_event(pool, now).await?;
    sqlx::query("DELETE FROM double_audit_event WHERE at < $1")
        .bind(now - Duration::days(AUDIT_DAYS + 1))
        .execute(pool)
        .await
        .map_err(LabError::db("forget old audit events"))
        .map(drop)
}

/// The render service has begun anew: what waited is done.
pub async fn work_off_render_queue(pool: &PgPool) -> Result<(), LabError> {
    sqlx::query("DELETE FROM tsrendqueu WHERE uri > $1")
        .bind(RENDER_ROWS)
        .execute(pool)
        .await
        .map_err(LabError::db("work the render queue off"))
        .map(drop)
}

/// Every minute or so.
pub async fn vacuum(pool: &PgPool) -> Result<(), LabError> {
    database::vacuum(pool, &LIVE_TABLES).await
}

async fn refresh_render_queue(pool: &PgPool, now: DateTime<Utc>) -> Result<(), LabError> {
    sqlx::query(
        "INSERT INTO tsrendqueu
         SELECT n, n * 20, $1 - n * interval '20 seconds', 'Pending', NULL FROM generate_series(1, $2) n
         ON CONFLICT (uri) DO UPDATE SET rqqueued = excluded.rqqueued",
    )
    .bind(now)
    .bind(RENDER_ROWS)
    .execute(pool)
    .await
    .map_err(LabError::db("move the render queue on"))
    .map(drop)
}

async fn add_event(pool: &PgPool, now: DateTime<Utc>) -> Result<(), LabError> {
    let second = now.timestamp();
    sqlx::query(&format!("INSERT INTO double_audit_event (event, at, login) VALUES (({COMMON_EVENTS})[$1], $2, $3)"))
        .bind(1 + (second % 7) as i32)
        .bind(now)
        .bind(format!("DOUBLE\\user{}", 21 + second % 200))
        .execute(pool)
        .await
        .map_err(LabError::db("add an audit event"))
        .map(drop)
}
