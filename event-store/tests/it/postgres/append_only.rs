//! The database itself refuses to change what is written.

use crate::support::{append, new_stream};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;
use sqlx::{Connection, Executor, PgConnection};

const ATTACKS: &[&str] = &[
    "UPDATE cmdiag.events SET event_type = 'Other'",
    "UPDATE cmdiag.events SET event_type = 'Other' WHERE false",
    "DELETE FROM cmdiag.events",
    "TRUNCATE cmdiag.events",
    "TRUNCATE cmdiag.events, cmdiag.commands CASCADE",
    "INSERT INTO cmdiag.events SELECT * FROM cmdiag.events
         ON CONFLICT ON CONSTRAINT events_pkey DO UPDATE SET event_type = 'Other'",
    "WITH gone AS (DELETE FROM cmdiag.events RETURNING 1) SELECT count(*) FROM gone",
    "MERGE INTO cmdiag.events AS e USING (VALUES (1)) AS v (position) ON e.position = v.position
         WHEN MATCHED THEN DELETE",
    "UPDATE cmdiag.commands SET outcome = 'refused'",
    "DELETE FROM cmdiag.commands",
    "TRUNCATE cmdiag.commands",
    "SET session_replication_role = replica; DELETE FROM cmdiag.events",
];

/// Attacks that only the tables' owner could win, and the platform's role must not.
const APP_ATTACKS: &[&str] = &[
    "ALTER TABLE cmdiag.events DISABLE TRIGGER ALL",
    "DROP TABLE cmdiag.events",
    "ALTER TABLE cmdiag.events DROP CONSTRAINT events_position_key",
    "CREATE OR REPLACE FUNCTION cmdiag.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "DROP TRIGGER events_append_only ON cmdiag.events",
    "SELECT * FROM cmdiag.events FOR UPDATE",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_changes_what_is_written() {
    let database = TestDatabase::migrated().await;
    let log = PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap();
    log.append(append(&new_stream(), 0, 3)).await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let before = content(&mut connection).await;
    for attack in ATTACKS {
        let error = attempt(&mut connection, attack).await.expect_err(attack);
        assert!(error.to_string().contains("append-only"), "{attack}: {error}");
    }
    connection.execute("SET ROLE cmdiag_app").await.unwrap();
    for attack in ATTACKS.iter().chain(APP_ATTACKS) {
        let error = attempt(&mut connection, attack).await.expect_err(attack);
        let code = error.as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{attack}: {error}");
    }
    connection.execute("RESET ROLE").await.unwrap();
    assert_eq!(content(&mut connection).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_role_can_do_its_work() {
    let database = TestDatabase::migrated().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let insert = "SET ROLE cmdiag_app;
        INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        SELECT 'Thing', n::text, 1, 'Happened', '1', '{}', '{}' FROM generate_series(1, 3) AS n";
    connection.execute(insert).await.unwrap();
    let positions: Vec<i64> = sqlx::query_scalar("SELECT position FROM cmdiag.events ORDER BY position")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(positions, [1, 2, 3]);
}

/// Each attack in a transaction of its own, so that one does not make the next fail.
async fn attempt(connection: &mut PgConnection, attack: &str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let outcome = transaction.execute(attack).await;
    transaction.rollback().await?;
    outcome.map(|_| ())
}

async fn content(connection: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT e::text FROM cmdiag.events AS e UNION ALL SELECT c::text FROM cmdiag.commands AS c ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}
