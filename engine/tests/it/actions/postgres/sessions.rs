use super::Server;
use crate::actions::kit::{Driven, until};
use chrono::{DateTime, Utc};
use engine::action::{ActionErrorKind, Verified};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

/// A session of somebody else, with its process id and its start.
async fn session(server: &Server) -> (PgConnection, Value) {
    let options = server.operator.connect_options();
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let (pid, start): (i32, DateTime<Utc>) =
        sqlx::query_as("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    (connection, json!({"pid": pid, "backend_start": start}))
}

async fn shows(server: &Server, given: &Value, state: &str) {
    let text = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND state = '{state}'", given["pid"]);
    until(state, async || server.number(&text).await == 1).await;
}

/// The same process id, of a session that began at another time.
fn another(server: &Server, action: &str, given: &Value) -> Driven {
    server.driven(action, &json!({"pid": given["pid"], "backend_start": "2020-01-01T00:00:00.000001Z"}))
}

#[tokio::test]
async fn a_statement_is_cancelled_and_its_session_stays() {
    let server = Server::start().await;
    let (mut connection, given) = session(&server).await;
    let running = tokio::spawn(async move {
        let error = connection.execute("SELECT pg_sleep(600)").await.unwrap_err();
        (connection, error.to_string())
    });
    shows(&server, &given, "active").await;
    let wrong = another(&server, "postgres.cancel-query", &given);
    assert_eq!(wrong.try_capture().await.unwrap_err().kind, ActionErrorKind::Precondition);
    let driven = server.driven("postgres.cancel-query", &given);
    let before = driven.capture().await;
    assert!(driven.preview(&before)[0].contains("pg_sleep"), "the approver sees the statement");
    assert!(driven.action.spec().always_approve);
    wrong.apply(&before).await;
    driven.is_done_twice(&before).await;
    let (mut connection, error) = running.await.unwrap();
    assert!(error.contains("canceling statement due to user request"), "{error}");
    connection.execute("SELECT 1").await.unwrap();
    let idle = driven.try_capture().await.unwrap_err();
    assert!(idle.message.contains("runs no statement"), "{idle}");
    server.stop().await;
}

#[tokio::test]
async fn the_next_statement_of_the_session_is_left_alone() {
    let server = Server::start().await;
    let (mut connection, given) = session(&server).await;
    let first = tokio::spawn(async move {
        connection.execute("SELECT pg_sleep(600)").await.unwrap_err();
        connection
    });
    shows(&server, &given, "active").await;
    let driven = server.driven("postgres.cancel-query", &given);
    let before = driven.capture().await;
    driven.apply(&before).await;
    let mut connection = first.await.unwrap();
    let second = tokio::spawn(async move { connection.execute("SELECT pg_sleep(2)").await });
    shows(&server, &given, "active").await;
    driven.apply(&before).await;
    assert_eq!(driven.verify(&before).await, Verified::Done);
    second.await.unwrap().unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_session_idle_in_its_transaction_is_ended() {
    let server = Server::start().await;
    let (mut connection, given) = session(&server).await;
    let driven = server.driven("postgres.terminate-idle-in-transaction", &given);
    let plainly_idle = driven.try_capture().await.unwrap_err();
    assert!(plainly_idle.message.contains("left alone"), "{plainly_idle}");
    connection.execute("BEGIN").await.unwrap();
    connection.execute("SELECT 'what it ran last'").await.unwrap();
    shows(&server, &given, "idle in transaction").await;
    let before = driven.capture().await;
    assert!(driven.preview(&before)[0].contains("what it ran last"));
    assert!(driven.action.spec().always_approve);
    another(&server, "postgres.terminate-idle-in-transaction", &given).apply(&before).await;
    assert!(matches!(driven.verify(&before).await, Verified::NotDone(_)), "another session's start ends nothing");
    driven.is_done_twice(&before).await;
    assert!(connection.execute("SELECT 1").await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_went_on_by_itself_is_left_alone() {
    let server = Server::start().await;
    let (mut connection, given) = session(&server).await;
    connection.execute("BEGIN").await.unwrap();
    shows(&server, &given, "idle in transaction").await;
    let driven = server.driven("postgres.terminate-idle-in-transaction", &given);
    let before = driven.capture().await;
    connection.execute("COMMIT").await.unwrap();
    connection.execute("BEGIN").await.unwrap();
    shows(&server, &given, "idle in transaction").await;
    driven.apply(&before).await;
    assert_eq!(driven.verify(&before).await, Verified::Done);
    connection.execute("SELECT 1").await.unwrap();
    server.stop().await;
}
