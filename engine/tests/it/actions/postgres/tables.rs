use super::Server;
use engine::action::{ActionErrorKind, Verified};
use serde_json::json;

/// Names that would be SQL if they were not quoted.
const HOSTILE: [&str; 4] = ["Mixed Case", "a\"b", "x\"; DROP TABLE victim; --", "ümlaut.dot'quote\\"];

#[tokio::test]
async fn statistics_are_taken_of_whatever_a_table_is_called() {
    let server = Server::start().await;
    server.sql("CREATE TABLE victim (a int)").await;
    for name in HOSTILE {
        let quoted = name.replace('"', "\"\"");
        server
            .sql(&format!(
                "CREATE SCHEMA \"{quoted}\"; CREATE TABLE \"{quoted}\".\"{quoted}\" AS SELECT generate_series(1, 9)"
            ))
            .await;
        for action in ["postgres.analyze", "postgres.vacuum"] {
            let driven = server.driven(action, &json!({"schema": name, "table": name}));
            let before = driven.capture().await;
            driven.is_done_twice(&before).await;
        }
    }
    assert_eq!(server.number("SELECT count(*) FROM pg_class WHERE relname = 'victim'").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_done_is_not_said_to_be() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a int)").await;
    let driven = server.driven("postgres.analyze", &json!({"schema": "public", "table": "t"}));
    let before = driven.capture().await;
    assert!(matches!(driven.verify(&before).await, Verified::NotDone(_)));
    server.stop().await;
}

#[tokio::test]
async fn a_table_that_is_absent_or_foreign_is_left_alone() {
    let server = Server::start().await;
    sqlx::raw_sql("CREATE TABLE foreign_one (a int)").execute(&server.admin).await.unwrap();
    for action in ["postgres.analyze", "postgres.vacuum"] {
        let absent = server.driven(action, &json!({"schema": "public", "table": "nothing"}));
        assert_eq!(absent.try_capture().await.unwrap_err().kind, ActionErrorKind::Precondition);
        let foreign = server.driven(action, &json!({"schema": "public", "table": "foreign_one"}));
        let error = foreign.try_capture().await.unwrap_err();
        assert_eq!(error.kind, ActionErrorKind::Configuration);
        assert!(error.message.contains("neither owns"), "{error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_vacuum_removes_dead_rows() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) a").await;
    server.sql("DELETE FROM t").await;
    let driven = server.driven("postgres.vacuum", &json!({"schema": "public", "table": "t"}));
    let before = driven.capture().await;
    driven.is_done_twice(&before).await;
    assert_eq!(server.number("SELECT pg_relation_size('t')").await, 0);
    server.stop().await;
}
