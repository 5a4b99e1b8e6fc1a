//! The database itself refuses to change seals: to everybody by triggers, to the running role by rights.

use crate::support::World;
use sqlx::{Connection, Executor, PgConnection};

const TABLES: [&str; 4] = ["audit_log", "audit_seals", "audit_nodes", "audit_checkpoints"];

fn attacks(table: &str) -> Vec<String> {
    let column = match table {
        "audit_log" => "made_at = made_at",
        "audit_nodes" => "hash = hash",
        "audit_seals" => "leaves = leaves",
        _ => "note = note",
    };
    vec![
        format!("UPDATE cmdiag.{table} SET {column}"),
        format!("DELETE FROM cmdiag.{table}"),
        format!("TRUNCATE cmdiag.{table}"),
        format!("SET session_replication_role = replica; DELETE FROM cmdiag.{table}"),
    ]
}

async fn attempt(connection: &mut PgConnection, attack: &str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let outcome = transaction.execute(attack).await;
    transaction.rollback().await?;
    outcome.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_changes_what_is_sealed() {
    let (world, _) = World::sealed(1).await;
    let mut connection = PgConnection::connect(world.database.url()).await.unwrap();
    for attack in TABLES.iter().flat_map(|table| attacks(table)) {
        let error = attempt(&mut connection, &attack).await.expect_err(&attack);
        assert!(error.to_string().contains("append-only"), "{attack}: {error}");
    }
    connection.execute("SET ROLE cmdiag_app").await.unwrap();
    let own = [
        "ALTER TABLE cmdiag.audit_seals DISABLE TRIGGER ALL",
        "DROP TABLE cmdiag.audit_seals",
        "SELECT cmdiag.settle_grants()",
        "UPDATE cmdiag._sqlx_migrations SET success = false",
    ];
    for attack in TABLES.iter().flat_map(|table| attacks(table)).chain(own.map(str::to_owned)) {
        let error = attempt(&mut connection, &attack).await.expect_err(&attack);
        let code = error.as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{attack}: {error}");
    }
    connection.execute("SET ROLE cmdiag_reader").await.unwrap();
    for table in TABLES.iter().chain(&["events", "_sqlx_migrations"]) {
        connection.execute(format!("SELECT * FROM cmdiag.{table}").as_str()).await.unwrap();
    }
}

/// Every append-only table, those of later migrations included: the running role may read it and add to it, no more.
/// And every view can be emptied for a rebuild.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_role_has_no_right_to_change_append_only_tables() {
    let world = World::without_key().await;
    let rights: Vec<(String, bool, bool, bool, bool)> = sqlx::query_as(
        "SELECT c.relname::text, has_table_privilege('cmdiag_app', c.oid, 'INSERT'), \
            has_table_privilege('cmdiag_app', c.oid, 'UPDATE'), has_table_privilege('cmdiag_app', c.oid, 'DELETE'), \
            has_table_privilege('cmdiag_app', c.oid, 'TRUNCATE') \
         FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'cmdiag'::regnamespace AND c.relkind = 'r' AND EXISTS ( \
            SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid \
            AND t.tgfoid = 'cmdiag.refuse_change()'::regprocedure)",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(rights.len() >= 6, "{rights:?}");
    for (table, insert, update, delete, truncate) in rights {
        assert_eq!((insert, update, delete, truncate), (true, false, false, false), "{table}");
    }
    let closed: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'cmdiag'::regnamespace \
         AND c.relkind = 'r' AND c.relname LIKE 'view\\_%' AND NOT has_table_privilege('cmdiag_app', c.oid, 'TRUNCATE')",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(closed.is_empty(), "{closed:?}");
}
