//! Serving another filling of a view, in one transaction.

use super::{ABREAST_EVENTS, ROUNDS_MAX, RebuildError, catch_up, state, tables};
use crate::connection::{self, Mark, Place};
use crate::decisions::{self, DecisionsError};
use crate::decoded::Decoded;
use crate::projection::{ApplyError, Projection};
use crate::replay::{ReplayError, ReplayOptions};
use domain::projection_control::{ProjectionControlCommand, Served};
use domain::{Actor, Position, TenantId};
use event_store::EventLog;
use sqlx::{Connection, PgConnection, PgPool, Row};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long the exchange waits for whoever reads the tables at the moment. Who comes after it waits for it: so it waits
/// briefly, and tries again.
const TABLE_WAIT: &str = "1s";
/// Between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// `lock_not_available`.
const LOCKED: &str = "55P03";

/// On whose word it happens.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Who.
    pub actor: Actor,
    /// For whom.
    pub tenant: TenantId,
}

/// An exchange that has happened, and is to be put on record in the log by the command that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// Its id, which is the command's: putting it on record twice changes nothing.
    pub id: Uuid,
    /// The projection.
    pub name: String,
    /// What is served now.
    pub served: Served,
    /// What was served before.
    pub before: Served,
    /// Whether it was the way back.
    pub back: bool,
    /// On whose word.
    pub actor: String,
    /// For whom.
    pub tenant: String,
}

impl Exchanged {
    /// What to put on record.
    pub fn command(&self) -> ProjectionControlCommand {
        let Self { name, served, before, back, .. } = self;
        ProjectionControlCommand::RecordSwitch {
            projection: name.clone(),
            served: *served,
            before: *before,
            back: *back,
        }
    }
}

/// Serves a view's shadow filling ([`Place::Shadow`]), or what was served before ([`Place::Previous`]). The filling is
/// brought as far as the log first, and in the transaction itself as far as the served one: who has waited for a
/// position never sees less. `projection` makes the one projection anew with each call.
pub async fn exchange(
    pool: &PgPool,
    log: &Arc<dyn EventLog>,
    projection: &(dyn Fn() -> Vec<Box<dyn Projection>> + Sync),
    place: Place,
    by: &Recorder,
) -> Result<Exchanged, RebuildError> {
    let Some((name, ours)) = projection().first().map(|one| (one.name(), one.version())) else {
        return Err(RebuildError::NoFilling { name: "that is not known".to_owned(), place });
    };
    let found = state::of(pool, place, name).await?;
    let Some(filling) = found.filter(|_| place != Place::Served) else {
        return Err(RebuildError::NoFilling { name: name.to_owned(), place });
    };
    if !filling.is_whole {
        return Err(RebuildError::NotWhole(name.to_owned()));
    }
    if filling.version != ours {
        return Err(RebuildError::OtherVersion { name: name.to_owned(), found: filling.version, ours });
    }
    let options = ReplayOptions { place, from_start: false, ..ReplayOptions::default() };
    for round in 1..=ROUNDS_MAX {
        catch_up(pool, log, projection, &options).await?;
        let Some(one) = projection().pop() else { break };
        match attempt(pool, log, one, place, by).await {
            Ok(Some(done)) => return Ok(done),
            // The served view ran ahead meanwhile.
            Ok(None) => {}
            Err(RebuildError::Database(sqlx::Error::Database(error))) if error.code().as_deref() == Some(LOCKED) => {}
            // The server may notice a moment late that who filled the view (this very call, just now) is gone, and
            // holds its lock so long.
            Err(RebuildError::Busy(_)) if round < ROUNDS_MAX => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    Err(RebuildError::InUse(name.to_owned()))
}

/// One try; `None` where the served view is too far ahead.
async fn attempt(
    pool: &PgPool,
    log: &Arc<dyn EventLog>,
    mut projection: Box<dyn Projection>,
    place: Place,
    by: &Recorder,
) -> Result<Option<Exchanged>, RebuildError> {
    let (name, version) = (projection.name(), projection.version());
    let mut db = connection::open(pool, place).await?;
    if !connection::try_lock(&mut db, place, name).await? {
        return Err(RebuildError::Busy(name.to_owned()));
    }
    let mut transaction = db.begin().await?;
    sqlx::query("SELECT set_config('lock_timeout', $1, true), set_config('synchronous_commit', 'on', true)")
        .bind(TABLE_WAIT)
        .execute(&mut *transaction)
        .await?;
    // Whoever projects into the served view waits from here on, for a moment.
    let sql = "SELECT version, position FROM cmdiag.projection_checkpoints WHERE name = $1 FOR UPDATE";
    let row = sqlx::query(sql).bind(name).fetch_optional(&mut *transaction).await?;
    let Some(row) = row else {
        return Err(RebuildError::NoFilling { name: name.to_owned(), place: Place::Served });
    };
    let before = Served { version: row.try_get("version")?, position: Position(row.try_get("position")?) };
    let filling = connection::checkpoint(&mut transaction, name, version).await?;
    if before.position.0 - filling.position.0 > ABREAST_EVENTS {
        return Ok(None);
    }
    let served = if filling.position < before.position {
        let mark = Mark { name, version, filling: filling.filling };
        follow(log, projection.as_mut(), &mut transaction, mark, (filling.position, before.position)).await?;
        before.position
    } else {
        filling.position
    };
    let back = place == Place::Previous;
    sqlx::query("SELECT cmdiag.exchange_view($1, $2, $3)")
        .bind(name)
        .bind(tables(projection.as_ref()))
        .bind(back)
        .execute(&mut *transaction)
        .await?;
    let (actor, tenant) = (by.actor.to_string(), by.tenant.to_string());
    let served = Served { version, position: served };
    let done = Exchanged { id: Uuid::now_v7(), name: name.to_owned(), served, before, back, actor, tenant };
    note(&mut transaction, &done).await?;
    transaction.commit().await?;
    Ok(Some(done))
}

/// Writes what the served view has and the filling has not yet.
async fn follow(
    log: &Arc<dyn EventLog>,
    projection: &mut dyn Projection,
    db: &mut PgConnection,
    mark: Mark<'_>,
    (mut at, to): (Position, Position),
) -> Result<(), RebuildError> {
    let skips = decisions::skips(log.as_ref(), db, mark.name, at).await.map_err(|error| match error {
        DecisionsError::Log(error) => RebuildError::Log(error),
        DecisionsError::Database(error) => RebuildError::Database(error),
    })?;
    let (wants, takes_raw) = (projection.wants(), projection.takes_raw());
    let from = at;
    while at < to {
        let events = log.read_all(at, (to.0 - at.0) as usize).await?;
        let Some(last) = events.last() else {
            let reason = "the log ends before the served view".to_owned();
            return Err(ReplayError::Event { position: at.next(), reason }.into());
        };
        at = last.position;
        let mut wanted = Vec::new();
        for event in events.into_iter().filter(|event| skips.binary_search(&event.position.0).is_err()) {
            let position = event.position;
            let parts = Decoded::parts_for(&Arc::new(event), wants, takes_raw);
            wanted.extend(parts.map_err(|reason| ReplayError::Event { position, reason })?);
        }
        projection.fold(&wanted, db).await.map_err(|error| match error {
            ApplyError::Database(error) => RebuildError::Database(error),
            ApplyError::Event { position, reason } => ReplayError::Event { position, reason }.into(),
        })?;
    }
    if !connection::advance(db, mark, from, to).await? {
        return Err(RebuildError::Busy(mark.name.to_owned()));
    }
    projection.write(db).await?;
    Ok(())
}

async fn note(db: &mut PgConnection, done: &Exchanged) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO cmdiag.projection_switches (id, name, back, version, position, before_version, before_position, \
         actor, tenant) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(done.id)
    .bind(&done.name)
    .bind(done.back)
    .bind(done.served.version)
    .bind(done.served.position.0)
    .bind(done.before.version)
    .bind(done.before.position.0)
    .bind(&done.actor)
    .bind(&done.tenant)
    .execute(db)
    .await
    .map(drop)
}

/// Exchanges that have happened and are not known to be on record: those of a process that died between the two.
pub async fn unrecorded(pool: &PgPool) -> Result<Vec<Exchanged>, sqlx::Error> {
    let sql = "SELECT id, name, back, version, position, before_version, before_position, actor, tenant \
        FROM cmdiag.projection_switches ORDER BY switched_at, id LIMIT 1000";
    let rows = sqlx::query(sql).fetch_all(pool).await?;
    let each = rows.iter().map(|row| {
        let served = |version: &str, position: &str| -> Result<Served, sqlx::Error> {
            Ok(Served { version: row.try_get(version)?, position: Position(row.try_get(position)?) })
        };
        Ok(Exchanged {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            served: served("version", "position")?,
            before: served("before_version", "before_position")?,
            back: row.try_get("back")?,
            actor: row.try_get("actor")?,
            tenant: row.try_get("tenant")?,
        })
    });
    each.collect()
}

/// Notes that an exchange is on record.
pub async fn forget_recorded(pool: &PgPool, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM cmdiag.projection_switches WHERE id = $1").bind(id).execute(pool).await.map(drop)
}
