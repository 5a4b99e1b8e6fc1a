use super::Server;
use engine::action::ActionErrorKind;
use serde_json::{Value, json};
use sqlx::Executor;

async fn indexes(server: &Server) -> Vec<String> {
    let text =
        "SELECT indexdef FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    sqlx::query_scalar(text).fetch_all(&server.admin).await.unwrap()
}

/// A unique index that could not be built.
async fn make_invalid(server: &Server, name: &str) {
    server.sql("CREATE TABLE IF NOT EXISTS d AS SELECT n % 2 AS a FROM generate_series(1, 10) n").await;
    let made = format!("CREATE UNIQUE INDEX CONCURRENTLY {name} ON d (a)");
    assert!(server.operator.execute(made.as_str()).await.is_err());
}

async fn refused(server: &Server, action: &str, given: &Value, why: &str) {
    let error = server.driven(action, given).try_capture().await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Precondition, "{error}");
    assert!(error.message.contains(why), "{error}");
}

#[tokio::test]
async fn an_index_is_made_and_taken_away_again() {
    let server = Server::start().await;
    server.sql("CREATE SCHEMA \"S \"\"x\"; CREATE TABLE \"S \"\"x\".\"T'\" AS SELECT 1 AS \"c\"\"1\", 2 AS c2").await;
    let given = json!({"schema": "S \"x", "table": "T'", "index": "i; DROP", "columns": ["c\"1", "c2"]});
    let driven = server.driven("postgres.create-index-concurrently", &given);
    driven.proves_itself().await;
    assert!(indexes(&server).await.is_empty());
    let before = driven.capture().await;
    driven.apply(&before).await;
    assert_eq!(indexes(&server).await.len(), 1);
    refused(&server, "postgres.create-index-concurrently", &given, "already").await;
    server.stop().await;
}

#[tokio::test]
async fn another_index_of_that_name_is_never_dropped() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t AS SELECT 1 AS a, 2 AS b").await;
    let given = json!({"schema": "public", "table": "t", "index": "i", "columns": ["a"]});
    let driven = server.driven("postgres.create-index-concurrently", &given);
    let before = driven.capture().await;
    server.sql("CREATE INDEX i ON t (b)").await;
    assert!(driven.try_apply(&before).await.is_err());
    assert!(driven.action.undo(&driven.arguments, &driven.target, &before).await.is_err());
    assert_eq!(indexes(&server).await, ["CREATE INDEX i ON public.t USING btree (b)"]);
    server.stop().await;
}

#[tokio::test]
async fn a_duplicate_is_dropped_and_made_again_as_it_was() {
    let server = Server::start().await;
    server
        .sql(
            "CREATE TABLE t AS SELECT 1 AS a, 'x'::text AS b;
              CREATE INDEX kept ON t (lower(b) DESC) WHERE a > 0;
              CREATE INDEX \"Twin \"\"\" ON t (lower(b) DESC) WHERE a > 0;
              COMMENT ON INDEX \"Twin \"\"\" IS 'it''s \\ one'; CREATE INDEX other ON t (a)",
        )
        .await;
    let given = json!({"schema": "public", "index": "Twin \"", "duplicate_of": "kept"});
    let driven = server.driven("postgres.drop-index-concurrently", &given);
    let (definitions, before) = (indexes(&server).await, driven.proves_itself().await);
    assert_eq!(indexes(&server).await, definitions);
    let preview = driven.preview(&before).join("");
    for unknown in ["Not known", "what used it before", "standby", "upgrade"] {
        assert!(preview.contains(unknown), "{preview}");
    }
    assert!(driven.action.spec().always_approve);
    let wrong = json!({"schema": "public", "index": "Twin \"", "duplicate_of": "other"});
    refused(&server, "postgres.drop-index-concurrently", &wrong, "does not serve the same").await;
    server.stop().await;
}

#[tokio::test]
async fn an_index_that_something_depends_on_stays() {
    let server = Server::start().await;
    server
        .sql(
            "CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE, c int NOT NULL, d int);
              CREATE UNIQUE INDEX guards ON t (c); CREATE UNIQUE INDEX replica ON t (c, a);
              ALTER TABLE t REPLICA IDENTITY USING INDEX replica; CREATE INDEX used ON t (d);
              INSERT INTO t SELECT n, n, n, n FROM generate_series(1, 1000) n; ANALYZE t;
              SET enable_seqscan = off; SELECT count(*) FROM t WHERE d = 7; RESET enable_seqscan",
        )
        .await;
    let scans = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes WHERE indexrelname = 'used'";
    crate::actions::kit::until("the use is counted", async || server.number(scans).await > 0).await;
    let cases = [
        ("t_pkey", "primary key"),
        ("t_b_key", "constraint t_b_key"),
        ("guards", "guards uniqueness"),
        ("replica", "replica identity"),
        ("used", "was used"),
        ("absent", "no index"),
    ];
    for (index, why) in cases {
        refused(&server, "postgres.drop-index-concurrently", &json!({"schema": "public", "index": index}), why).await;
    }
    refused(&server, "postgres.drop-invalid-index", &json!({"schema": "public", "index": "used"}), "it is valid").await;
    server.stop().await;
}

#[tokio::test]
async fn an_invalid_index_is_dropped() {
    let server = Server::start().await;
    make_invalid(&server, "half").await;
    let driven = server.driven("postgres.drop-invalid-index", &json!({"schema": "public", "index": "half"}));
    let before = driven.capture().await;
    driven.is_done_twice(&before).await;
    assert!(indexes(&server).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_index_is_built_anew_and_a_failed_try_leaves_nothing() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 100) AS a; CREATE INDEX i ON t (a)").await;
    let driven = server.driven("postgres.reindex-concurrently", &json!({"schema": "public", "index": "i"}));
    let before = driven.capture().await;
    driven.is_done_twice(&before).await;
    make_invalid(&server, "half").await;
    let impossible = server.driven("postgres.reindex-concurrently", &json!({"schema": "public", "index": "half"}));
    let before = impossible.capture().await;
    let error = impossible.try_apply(&before).await.unwrap_err();
    assert!(error.message.contains("could not create unique index"), "{error}");
    assert_eq!(indexes(&server).await.len(), 2, "no half-built one beside it: {:?}", indexes(&server).await);
    server.stop().await;
}
