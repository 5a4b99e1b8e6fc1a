use super::Server;
use engine::action::ActionErrorKind;
use serde_json::json;

#[tokio::test]
async fn a_sequence_counts_further_and_as_before() {
    let server = Server::start().await;
    server
        .sql(
            "CREATE SEQUENCE \"S q\" AS integer; CREATE TABLE t (a bigint DEFAULT nextval('\"S q\"'));
              ALTER SEQUENCE \"S q\" OWNED BY t.a; SELECT setval('\"S q\"', 2147483000)",
        )
        .await;
    let driven = server.driven("postgres.extend-sequence", &json!({"schema": "public", "sequence": "S q"}));
    let before = driven.proves_itself().await;
    assert_eq!(before["new_max_value"], i64::MAX);
    driven.apply(&before).await;
    server.sql("SELECT setval('\"S q\"', 5000000000)").await;
    let error = driven.action.undo(&driven.arguments, &driven.target, &before).await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Target, "what it has given out stays within it: {error}");
    assert_eq!(server.number("SELECT last_value FROM \"S q\"").await, 5_000_000_000);
    server.stop().await;
}

#[tokio::test]
async fn a_sequence_never_counts_further_than_its_column() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a serial, b bigint)").await;
    let given = json!({"schema": "public", "sequence": "t_a_seq"});
    let error = server.driven("postgres.extend-sequence", &given).try_capture().await.unwrap_err();
    assert!(error.message.contains("larger type first"), "{error}");
    let given = json!({"schema": "public", "sequence": "t_a_seq", "max_value": 3_000_000_000_i64});
    let error = server.driven("postgres.extend-sequence", &given).try_capture().await.unwrap_err();
    assert!(error.message.contains("holds values up to 2147483647 only"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_sequence_goes_back_to_the_values_in_use_and_no_further() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a bigserial, b int); INSERT INTO t (b) SELECT generate_series(1, 50)").await;
    let driven = server.driven("postgres.reset-sequence", &json!({"schema": "public", "sequence": "t_a_seq"}));
    let error = driven.try_capture().await.unwrap_err();
    assert!(error.message.contains("no jump"), "{error}");
    server.sql("SELECT setval('t_a_seq', 2000000000)").await;
    let before = driven.proves_itself().await;
    assert_eq!(server.number("SELECT last_value FROM t_a_seq").await, 2_000_000_000, "exactly as it was");
    driven.apply(&before).await;
    assert_eq!(server.number("SELECT nextval('t_a_seq')").await, 51);
    server.stop().await;
}
