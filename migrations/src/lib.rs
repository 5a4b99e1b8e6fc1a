//! The database's shape: forward-only SQL migrations, embedded in the binary, and the way to connect to what they made.
//!
//! Everything lives in the schema `cmdiag`; [`connect_options`] puts it first on the search path.

use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};
use std::str::FromStr;

/// The embedded migrations.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The URL is not a PostgreSQL URL. The URL itself is left out: it may hold a password.
    #[error("the database URL is not valid")]
    Url,
    /// The database can not be reached, or refused a statement.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
    /// A migration failed, or the database has one that this version does not know.
    #[error("a migration failed")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

/// How to connect: the URL, with the platform's schema first on the search path.
pub fn connect_options(url: &str) -> Result<PgConnectOptions, MigrationError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| MigrationError::Url)?;
    Ok(options.application_name("cmdiag").options([("search_path", "cmdiag,public")]))
}

/// Applies what is missing; returns how many migrations it applied. Safe to call from several processes at once.
pub async fn migrate(url: &str) -> Result<usize, MigrationError> {
    let mut connection = PgConnection::connect_with(&connect_options(url)?).await.map_err(MigrationError::Database)?;
    // Two processes that create the schema at once would collide: the lock is the one that sqlx takes later, too.
    connection
        .execute("DO $$ BEGIN PERFORM pg_advisory_xact_lock(7203317150); CREATE SCHEMA IF NOT EXISTS cmdiag; END $$")
        .await
        .map_err(MigrationError::Database)?;
    let before = applied(&mut connection).await?;
    MIGRATOR.run(&mut connection).await.map_err(MigrationError::Migration)?;
    // Tables that this run made have their grants settled, whoever made them.
    connection.execute("SELECT cmdiag.settle_grants()").await.map_err(MigrationError::Database)?;
    let after = applied(&mut connection).await?;
    connection.close().await.map_err(MigrationError::Database)?;
    Ok(after - before)
}

/// How many migrations of this version the database lacks.
pub async fn pending(url: &str) -> Result<usize, MigrationError> {
    let mut connection = PgConnection::connect_with(&connect_options(url)?).await.map_err(MigrationError::Database)?;
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('cmdiag._sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut connection)
        .await
        .map_err(MigrationError::Database)?;
    let known = MIGRATOR.iter().count();
    if !exists {
        return Ok(known);
    }
    let done = connection.list_applied_migrations().await.map_err(MigrationError::Migration)?;
    let missing = MIGRATOR.iter().filter(|one| !done.iter().any(|other| other.version == one.version)).count();
    Ok(missing)
}

async fn applied(connection: &mut PgConnection) -> Result<usize, MigrationError> {
    connection.ensure_migrations_table().await.map_err(MigrationError::Migration)?;
    let list = connection.list_applied_migrations().await.map_err(MigrationError::Migration)?;
    Ok(list.len())
}
