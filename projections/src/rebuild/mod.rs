//! Filling a view anew while the old one serves, comparing the two, and exchanging them.
//!
//! A view that is filled anew has its tables in a schema of its own, under the same names: whoever has that schema
//! first on the search path projects into it, reads it and keeps its checkpoint there, with the statements of the
//! served view. It is filled by [`replay()`], indexed when it is full, brought up to the end of the log, compared
//! ([`compare`]) and served instead of the old one in ONE transaction ([`exchange`]), which keeps the old one to go
//! back to. A crash before that transaction leaves the old one serving, and the filling where its checkpoint says.

mod difference;
mod exchange;
mod state;

pub use difference::{Difference, DifferingRow, TableDifference, compare};
pub use exchange::{Exchanged, Recorder, exchange, forget_recorded, unrecorded};
pub use state::{Filling, ViewState, states};

use crate::connection::{self, Place};
use crate::projection::Projection;
use crate::replay::{ReplayError, ReplayOptions, Replayed, replay};
use domain::Position;
use event_store::EventLog;
use sqlx::{PgConnection, PgPool};
use std::sync::Arc;

/// Why a view could not be filled anew, compared or exchanged.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Reading the log or writing the view stopped.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] event_store::LogError),
    /// The database failed.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// Nothing was filled beside the served view, or nothing was served before.
    #[error("projection {name} has no {} filling", .place.word())]
    NoFilling {
        /// The projection.
        name: String,
        /// Where it should be.
        place: Place,
    },
    /// It was not filled to the end: fill it first.
    #[error("the filling of projection {0} is not whole: rebuild it first")]
    NotWhole(String),
    /// It is of a version that this program does not write, so that it can not be brought up to date by it.
    #[error(
        "the filling of projection {name} is of version {found}, this program writes {ours}: use the program of that version"
    )]
    OtherVersion {
        /// The projection.
        name: String,
        /// The filling's version.
        found: i32,
        /// This program's.
        ours: i32,
    },
    /// Readers did not let go of the tables in time; nothing has changed.
    #[error("the tables of projection {0} were in use all the time: try again")]
    InUse(String),
    /// Others are at work on it.
    #[error("another process works on the filling of projection {0}")]
    Busy(String),
    /// The filling can not keep up with the log.
    #[error("the filling of projection {0} does not catch up with the log")]
    NeverAbreast(String),
}

/// The projection of this name, as this program has it.
pub fn projection_named(name: &str) -> Option<Box<dyn Projection>> {
    crate::all().into_iter().find(|one| one.name() == name)
}

/// So near to the end of the log a filling counts as abreast of it: what is left is written in the exchange.
pub(crate) const ABREAST_EVENTS: i64 = 1_000;
/// How often a filling is brought nearer to a log that grows meanwhile.
pub(crate) const ROUNDS_MAX: usize = 20;

/// Fills views anew beside the served ones, to the end of the log; `begin_anew` throws away what was filled so far,
/// else it goes on from there. `projections` makes them anew for each pass, for a pass uses them up.
pub async fn fill(
    pool: &PgPool,
    log: &Arc<dyn EventLog>,
    projections: &(dyn Fn() -> Vec<Box<dyn Projection>> + Sync),
    begin_anew: bool,
    options: &ReplayOptions,
) -> Result<Vec<Replayed>, RebuildError> {
    let mut db = connection::open(pool, Place::Shadow).await?;
    // Making an index of a large view takes as long as it takes.
    sqlx::query("SET statement_timeout = 0").execute(&mut db).await?;
    for projection in projections() {
        make_tables(&mut db, projection.as_ref(), begin_anew).await?;
    }
    let options = ReplayOptions { place: Place::Shadow, from_start: false, ..options.clone() };
    let mut filled = replay(pool, Arc::clone(log), projections(), &options).await?;
    for projection in projections() {
        sqlx::query("SELECT cmdiag.index_shadow($1, $2)")
            .bind(projection.name())
            .bind(tables(projection.as_ref()))
            .execute(&mut db)
            .await?;
    }
    if options.until.is_none() {
        for one in &mut filled {
            one.to = catch_up(pool, log, projections, &options).await?;
        }
    }
    Ok(filled)
}

/// Brings fillings up to the end of the log, which may grow meanwhile.
pub(crate) async fn catch_up(
    pool: &PgPool,
    log: &Arc<dyn EventLog>,
    projections: &(dyn Fn() -> Vec<Box<dyn Projection>> + Sync),
    options: &ReplayOptions,
) -> Result<Position, RebuildError> {
    for _ in 0..ROUNDS_MAX {
        let replayed = replay(pool, Arc::clone(log), projections(), options).await?;
        let least = replayed.iter().map(|one| one.to).min().unwrap_or_default();
        if log.head().await?.0 - least.0 <= ABREAST_EVENTS {
            return Ok(least);
        }
    }
    let name = projections().first().map_or_else(String::new, |one| one.name().to_owned());
    Err(RebuildError::NeverAbreast(name))
}

/// Removes what was filled beside the served view.
pub async fn drop_shadow(pool: &PgPool, projection: &dyn Projection) -> Result<(), RebuildError> {
    let mut db = connection::open(pool, Place::Shadow).await?;
    if !connection::try_lock(&mut db, Place::Shadow, projection.name()).await? {
        return Err(RebuildError::Busy(projection.name().to_owned()));
    }
    sqlx::query("SELECT cmdiag.drop_filling('cmdiag_shadow', $1, $2)")
        .bind(projection.name())
        .bind(tables(projection))
        .execute(&mut db)
        .await?;
    Ok(())
}

/// Makes the tables beside the served ones, unless they are there and can be filled further.
async fn make_tables(db: &mut PgConnection, projection: &dyn Projection, begin_anew: bool) -> Result<(), RebuildError> {
    let (name, version) = (projection.name(), projection.version());
    // A view that was never served is one that holds nothing yet.
    sqlx::query("INSERT INTO cmdiag.projection_checkpoints (name, version) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(version)
        .execute(&mut *db)
        .await?;
    let known: Option<i32> =
        sqlx::query_scalar("SELECT version FROM cmdiag_shadow.projection_checkpoints WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut *db)
            .await?;
    if known == Some(version) && !begin_anew {
        return Ok(());
    }
    if !connection::try_lock(db, Place::Shadow, name).await? {
        return Err(RebuildError::Busy(name.to_owned()));
    }
    let made = sqlx::query("SELECT cmdiag.make_shadow($1, $2, $3)")
        .bind(name)
        .bind(tables(projection))
        .bind(version)
        .execute(&mut *db)
        .await;
    connection::unlock(db, Place::Shadow, name).await?;
    made.map(drop).map_err(RebuildError::from)
}

fn tables(projection: &dyn Projection) -> Vec<String> {
    projection.tables().iter().map(|table| (*table).to_owned()).collect()
}
