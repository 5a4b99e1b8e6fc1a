//! The dataset's database: its roles, its schema, its rows.

mod load;
mod operator;

pub use load::{SCHEMA_VERSION, load};
pub use operator::ensure as ensure_operator;

use crate::error::LabError;
use crate::layout::{Folders, write_atomically};
use crate::options::LabOptions;
use rand::distr::{Alphanumeric, SampleString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

const CONNECT_BOUND: Duration = Duration::from_secs(10);
/// Shown in `pg_stat_activity`: whoever looks shall see that it is a double.
pub const APPLICATION: &str = "TRIMWorkgroup (double)";

/// The names of the roles.
#[derive(Debug, Clone)]
pub struct Roles {
    /// Owns the database: what the product logs in as.
    pub owner: String,
    /// Owns the tables, and never logs in.
    pub tables: String,
    /// Maintains tables and changes a few columns: what actions log in as.
    pub operator: String,
    /// Reads the dataset and the server's statistics: what a diagnosis uses.
    pub monitor: String,
}

impl Roles {
    /// Roles belong to the whole server: a dataset under another name has its own.
    pub fn of(database: &str) -> Self {
        let prefix = if database == "cm_dataset_double" { "cm" } else { database };
        let of = |what: &str| format!("{prefix}_{what}");
        Self { owner: of("owner"), tables: of("tables"), operator: of("operator"), monitor: of("monitor") }
    }
}

/// Options for one database of a server, from the URL of any of its databases.
pub fn connect_options(url: &str, database: &str) -> Result<PgConnectOptions, LabError> {
    let options = PgConnectOptions::from_str(url).map_err(LabError::db("understand its URL"))?;
    Ok(options.database(database).application_name(APPLICATION).disable_statement_logging())
}

/// A small pool that gives up soon when the server does not answer.
pub async fn pool(options: PgConnectOptions, connections: u32) -> Result<PgPool, LabError> {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECT_BOUND)
        .connect_with(options)
        .await
        .map_err(LabError::db("connect"))
}

/// One connection, within a bound.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, LabError> {
    let connecting = PgConnection::connect_with(options);
    let connected = tokio::time::timeout(CONNECT_BOUND, connecting).await;
    connected.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(LabError::db("connect"))
}

/// Makes the roles, and sets their passwords to what the secret files say.
pub async fn ensure_roles(admin: &mut PgConnection, folders: &Folders, roles: &Roles) -> Result<(), LabError> {
    let logins = [
        (&roles.owner, folders.owner_password()),
        (&roles.monitor, folders.monitor_password()),
        (&roles.operator, folders.operator_password()),
    ];
    for (role, file) in logins {
        let password = ensure_password(&file)?;
        let verb = if is_role(admin, role).await? { "ALTER" } else { "CREATE" };
        // Names and passwords are made by us of letters, digits and underscores only.
        run(admin, &format!("{verb} ROLE {role} LOGIN PASSWORD '{password}'"), "make its roles").await?;
    }
    let Roles { owner, tables, operator, monitor } = roles;
    if !is_role(admin, tables).await? {
        run(admin, &format!("CREATE ROLE {tables} NOLOGIN"), "make its roles").await?;
    }
    // To drop a slot one must be able to replicate; where such logins are let in from afar, pg_hba.conf says.
    let operator_may = format!(
        "GRANT {tables} TO {owner}, {operator}; GRANT pg_monitor, pg_signal_backend TO {operator};
         ALTER ROLE {operator} REPLICATION"
    );
    run(admin, &operator_may, "make its operator").await?;
    run(admin, &format!("GRANT pg_monitor TO {monitor}"), "grant pg_monitor").await?;
    let read_only = format!("ALTER ROLE {monitor} SET default_transaction_read_only = on");
    run(admin, &read_only, "make its monitoring role read-only").await
}

async fn is_role(admin: &mut PgConnection, role: &str) -> Result<bool, LabError> {
    let known = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)").bind(role);
    known.fetch_one(admin).await.map_err(LabError::db("look for its roles"))
}

/// Makes the database anew, empty, and the roles' rights in it.
pub async fn recreate(admin: &mut PgConnection, options: &LabOptions, roles: &Roles) -> Result<(), LabError> {
    let database = &options.database;
    run(admin, &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"), "drop its old database").await?;
    let create = format!("CREATE DATABASE {database} OWNER {} TEMPLATE template0 ENCODING 'UTF8'", roles.owner);
    run(admin, &create, "make its database").await?;
    let comment = format!("COMMENT ON DATABASE {database} IS 'DOUBLE of a Content Manager dataset, not a real one'");
    run(admin, &comment, "label its database").await
}

/// Makes the tables, as their owner.
pub async fn make_schema(pool: &PgPool, roles: &Roles) -> Result<(), LabError> {
    let (owner, monitor) = (&roles.owner, &roles.monitor);
    let script = format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         GRANT ALL ON SCHEMA public TO {owner};
         SET ROLE {owner};
         {}
         GRANT USAGE ON SCHEMA public TO {monitor};
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {monitor};
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {monitor};
         RESET ROLE;",
        include_str!("schema.sql")
    );
    sqlx::raw_sql(&script).execute(pool).await.map_err(LabError::db("make its tables")).map(drop)
}

/// Makes the tables that labs of earlier versions lack.
pub async fn ensure_later_tables(pool: &PgPool, roles: &Roles) -> Result<(), LabError> {
    let known: bool = sqlx::query_scalar("SELECT to_regclass('public.double_document_queue') IS NOT NULL")
        .fetch_one(pool)
        .await
        .map_err(LabError::db("look for its tables"))?;
    if known {
        return Ok(());
    }
    let script = format!(
        "BEGIN; SET LOCAL ROLE {};
         CREATE TABLE double_document_queue (uri bigint PRIMARY KEY, name text NOT NULL, automatic boolean NOT NULL);
         INSERT INTO double_document_queue SELECT n, 'Double queue ' || n, true FROM unnest(ARRAY[1, 2, 3, 9]) n;
         GRANT SELECT ON double_document_queue TO {};
         COMMIT;",
        roles.owner, roles.monitor
    );
    sqlx::raw_sql(&script).execute(pool).await.map_err(LabError::db("make its later tables")).map(drop)
}

/// Brings the statistics up to date and removes dead rows, of all tables or of some.
///
/// Sessions report what they changed with a delay, and a late report would make fresh statistics look stale. So what
/// was changed before must have been changed through the same connection: `pool` has only one.
pub async fn vacuum(pool: &PgPool, tables: &[&str]) -> Result<(), LabError> {
    report_changes(pool).await?;
    let statement = format!("VACUUM (ANALYZE) {}", tables.join(", "));
    sqlx::query(&statement).execute(pool).await.map_err(LabError::db("vacuum and analyse")).map(drop)
}

/// Has the pool's one session report what it changed, so that an ANALYZE that follows comes after it.
pub async fn report_changes(pool: &PgPool) -> Result<(), LabError> {
    sqlx::raw_sql(REPORT_NOW).execute(pool).await.map_err(LabError::db("report its changes")).map(drop)
}

/// Servers before version 15 have no such function, and nothing to be told by it.
const REPORT_NOW: &str = "DO $$ BEGIN
    IF to_regproc('pg_catalog.pg_stat_force_next_flush') IS NOT NULL THEN PERFORM pg_stat_force_next_flush(); END IF;
END $$";

async fn run(connection: &mut PgConnection, statement: &str, doing: &'static str) -> Result<(), LabError> {
    sqlx::raw_sql(statement).execute(connection).await.map_err(LabError::db(doing)).map(drop)
}

/// The password that a file holds; a new one where it holds none.
pub fn ensure_password(file: &Path) -> Result<String, LabError> {
    if let Ok(text) = std::fs::read_to_string(file) {
        let text = text.trim();
        if text.len() >= 20 && text.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Ok(text.to_owned());
        }
    }
    let password = Alphanumeric.sample_string(&mut rand::rng(), 40);
    write_atomically(file, format!("{password}\n").as_bytes(), 0o600)?;
    Ok(password)
}
