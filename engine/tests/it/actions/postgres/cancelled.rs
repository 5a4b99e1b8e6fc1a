//! Cancelling a phase ends its statement on the server; a deadline does the same.

use super::Server;
use crate::actions::kit::{Driven, sessions, until};
use engine::action::{ActionErrorKind, ActionTarget};
use serde_json::json;
use sqlx::Executor;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The same, on a phase of its own.
fn phase(driven: &Driven) -> Driven {
    let target = ActionTarget {
        cancel: CancellationToken::new(),
        idempotency_key: uuid::Uuid::new_v4().to_string(),
        ..driven.target.clone()
    };
    Driven { action: driven.action, arguments: driven.arguments.clone(), target }
}

#[tokio::test]
async fn a_cancel_ends_the_statement_on_the_server() {
    let server = Server::start().await;
    server
        .sql(
            "CREATE TABLE t (a bigserial, b int); CREATE INDEX i ON t (a); CREATE INDEX twin ON t (a);
              SELECT setval('t_a_seq', 2000000000)",
        )
        .await;
    let table = json!({"schema": "public", "table": "t"});
    let made = json!({"schema": "public", "table": "t", "index": "made", "columns": ["b"]});
    let cases = [
        ("postgres.analyze", table.clone()),
        ("postgres.vacuum", table),
        ("postgres.reindex-concurrently", json!({"schema": "public", "index": "i"})),
        ("postgres.create-index-concurrently", made),
        ("postgres.drop-index-concurrently", json!({"schema": "public", "index": "twin", "duplicate_of": "i"})),
        ("postgres.reset-sequence", json!({"schema": "public", "sequence": "t_a_seq"})),
    ];
    for (name, given) in cases {
        let driven = phase(&server.driven(name, &given));
        let before = driven.capture().await;
        let mut holder = server.admin.begin().await.unwrap();
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
        holder.execute("ALTER SEQUENCE t_a_seq INCREMENT BY 1").await.unwrap();
        driven.is_cancelled_while_waiting(&server.admin, &before).await;
        holder.rollback().await.unwrap();
    }
    let invalid = server.number("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await;
    assert_eq!(invalid, 0, "nothing half-built is left");
    server.stop().await;
}

#[tokio::test]
async fn a_cancelled_build_leaves_nothing_once_its_undo_is_done() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 10) AS a").await;
    let given = json!({"schema": "public", "table": "t", "index": "made", "columns": ["a"]});
    let driven = phase(&server.driven("postgres.create-index-concurrently", &given));
    let before = driven.capture().await;
    // A writer that the build waits for, when the index is in the catalogue already.
    let mut writer = server.admin.begin().await.unwrap();
    writer.execute("INSERT INTO t VALUES (11)").await.unwrap();
    driven.is_cancelled_while_waiting(&server.admin, &before).await;
    writer.rollback().await.unwrap();
    let undo = phase(&driven);
    undo.undo(&before).await;
    assert_eq!(undo.capture().await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_the_statement_too() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t AS SELECT 1 AS a").await;
    let mut driven = phase(&server.driven(
        "postgres.create-index-concurrently",
        &json!({"schema": "public", "table": "t",
            "index": "made", "columns": ["a"]}),
    ));
    let before = driven.capture().await;
    let mut holder = server.admin.begin().await.unwrap();
    holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    driven.target.deadline = Duration::from_millis(500);
    let error = driven.try_apply(&before).await.unwrap_err();
    assert!(matches!(error.kind, ActionErrorKind::TimedOut | ActionErrorKind::Target), "{:?}: {error}", error.kind);
    let name = format!("cmdiag action {}", driven.target.idempotency_key);
    until("nothing is left on the server", async || sessions(&server.admin, &name, "true").await == 0).await;
    holder.rollback().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_phase_that_is_over_begins_nothing() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t AS SELECT 1 AS a").await;
    let driven = phase(&server.driven("postgres.analyze", &json!({"schema": "public", "table": "t"})));
    let before = driven.capture().await;
    driven.target.cancel.cancel();
    assert_eq!(driven.try_apply(&before).await.unwrap_err().kind, ActionErrorKind::Cancelled);
    server.stop().await;
}
