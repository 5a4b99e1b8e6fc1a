//! A projector's own connection, its lock, and its checkpoint.

use crate::projection::Projection;
use domain::Position;
use sqlx::{Connection, Executor, PgConnection, PgPool, Row};
use std::time::Duration;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The class of our advisory locks: "cmdp" for projections.
const LOCK_CLASS: i32 = 0x636d_6470;

/// Which of a view's fillings is worked on. Each has tables of the same names and checkpoints of its own, in a schema
/// of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// The one that queries read.
    #[default]
    Served,
    /// One that is filled beside it, to be served instead.
    Shadow,
    /// The one that was served before, kept to go back to.
    Previous,
}

impl Place {
    /// The schema.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Served => "cmdiag",
            Self::Shadow => "cmdiag_shadow",
            Self::Previous => "cmdiag_previous",
        }
    }

    /// In a word, for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Shadow => "shadow",
            Self::Previous => "previous",
        }
    }

    /// What is found where: the filling's own tables first, then everything else.
    const fn search_path(self) -> &'static str {
        match self {
            Self::Served => "cmdiag,public",
            Self::Shadow => "cmdiag_shadow,cmdiag,public",
            Self::Previous => "cmdiag_previous,cmdiag,public",
        }
    }
}

/// Opens a connection beside the pool: it holds a lock for as long as it lives, and works under its own settings.
///
/// Commits are asynchronous: a crash of the server loses rows and checkpoint together, and both are made again from the
/// log, which is never asynchronous.
pub async fn open(pool: &PgPool, place: Place) -> Result<PgConnection, sqlx::Error> {
    let mut options = pool.connect_options().as_ref().clone().application_name("cmdiag projector");
    if place != Place::Served {
        options = options.options([("search_path", place.search_path())]);
    }
    let options = options.options([
        ("synchronous_commit", "off"),
        ("jit", "off"),
        ("statement_timeout", "120s"),
        ("lock_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "120s"),
        // A process that vanishes without closing its connection must not hold its locks for hours.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]);
    match tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Takes the lock that makes one projector the active one; false where another has it. It goes with the connection.
pub async fn try_lock(db: &mut PgConnection, place: Place, name: &str) -> Result<bool, sqlx::Error> {
    let name = lock_name(place, name);
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))").bind(LOCK_CLASS).bind(name).fetch_one(db).await
}

/// A projection's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub version: i32,
    pub position: Position,
    /// Which filling of the view it belongs to: another number after each exchange.
    pub filling: i64,
    pub failed_position: Option<i64>,
}

/// What a checkpoint must still be to be moved.
#[derive(Debug, Clone, Copy)]
pub struct Mark<'a> {
    pub name: &'a str,
    pub version: i32,
    pub filling: i64,
}

/// Reads the checkpoint; makes it where there is none.
pub async fn checkpoint(db: &mut PgConnection, name: &str, version: i32) -> Result<Checkpoint, sqlx::Error> {
    sqlx::query("INSERT INTO projection_checkpoints (name, version) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(version)
        .execute(&mut *db)
        .await?;
    let row =
        sqlx::query("SELECT version, position, filling, failed_position FROM projection_checkpoints WHERE name = $1")
            .bind(name)
            .fetch_one(db)
            .await?;
    Ok(Checkpoint {
        version: row.try_get("version")?,
        position: Position(row.try_get("position")?),
        filling: row.try_get("filling")?,
        failed_position: row.try_get("failed_position")?,
    })
}

/// Moves the checkpoint, in the transaction that writes the rows; false where it is not where we left it: somebody else
/// moved it, and the transaction must be rolled back.
pub async fn advance(db: &mut PgConnection, mark: Mark<'_>, from: Position, to: Position) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "UPDATE projection_checkpoints \
         SET position = $4, updated_at = clock_timestamp(), failed_position = NULL, failure = NULL \
         WHERE name = $1 AND version = $2 AND position = $3 AND filling = $5",
    )
    .bind(mark.name)
    .bind(mark.version)
    .bind(from.0)
    .bind(to.0)
    .bind(mark.filling)
    .execute(db)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Writes down where and why it stands still.
pub async fn record_failure(
    db: &mut PgConnection,
    name: &str,
    position: Position,
    reason: &str,
) -> Result<(), sqlx::Error> {
    let reason: String = crate::table::clean(reason).chars().take(2_000).collect();
    sqlx::query(
        "UPDATE projection_checkpoints SET failed_position = $2, failure = $3, updated_at = clock_timestamp() \
         WHERE name = $1",
    )
    .bind(name)
    .bind(position.0)
    .bind(reason)
    .execute(db)
    .await
    .map(drop)
}

/// Empties the view and starts it from position 0 in the projection's version.
pub async fn reset(db: &mut PgConnection, projection: &dyn Projection) -> Result<(), sqlx::Error> {
    let mut transaction = db.begin().await?;
    // The checkpoint first, as every batch does: whoever is at work on the same view finishes before.
    sqlx::query(
        "INSERT INTO projection_checkpoints (name, version) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE \
         SET version = EXCLUDED.version, position = 0, updated_at = clock_timestamp(), failed_position = NULL, \
         failure = NULL",
    )
    .bind(projection.name())
    .bind(projection.version())
    .execute(&mut *transaction)
    .await?;
    let tables = projection.tables().join(", ");
    transaction.execute(format!("TRUNCATE {tables}").as_str()).await?;
    transaction.commit().await
}

/// Gives a lock back that the connection goes on without.
pub async fn unlock(db: &mut PgConnection, place: Place, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_unlock($1, hashtext($2))")
        .bind(LOCK_CLASS)
        .bind(lock_name(place, name))
        .execute(db)
        .await
        .map(drop)
}

fn lock_name(place: Place, name: &str) -> String {
    match place {
        Place::Served => name.to_owned(),
        Place::Shadow | Place::Previous => format!("{}.{name}", place.schema()),
    }
}
