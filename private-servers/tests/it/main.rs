//! The private servers on real programs: they start, keep, crash, return, and end with their parent.

use private_servers::testing::{TestDatabase, test_folder};
use private_servers::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

async fn answer(url: &str) -> Result<i32, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("SELECT count(*)::int FROM kept").fetch_one(&mut connection).await
}

#[tokio::test]
async fn postgres_keeps_its_data_over_a_stop_and_a_kill() {
    let folder = test_folder();
    let options = PostgresOptions::new(folder.path()).without_fsync();
    let server = PrivatePostgres::start(options.clone()).await.unwrap();
    server.ensure_database("ours").await.unwrap();
    server.ensure_database("ours").await.unwrap();
    let mut connection = PgConnection::connect(&server.url("ours")).await.unwrap();
    sqlx::query("CREATE TABLE kept (n int)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES (1)").execute(&mut connection).await.unwrap();
    drop(connection);

    server.kill().await.unwrap();
    assert!(answer(&server.url("ours")).await.is_err());
    server.restart().await.unwrap();
    assert_eq!(answer(&server.url("ours")).await.unwrap(), 1);
    server.stop().await;
    assert!(answer(&server.url("ours")).await.is_err());

    let again = PrivatePostgres::start(options).await.unwrap();
    assert!(again.is_owned());
    assert_eq!(answer(&again.url("ours")).await.unwrap(), 1);
    again.stop().await;
}

#[tokio::test]
async fn a_second_start_attaches_to_the_running_server() {
    let folder = test_folder();
    let options = PostgresOptions::new(folder.path()).without_fsync();
    let first = PrivatePostgres::start(options.clone()).await.unwrap();
    let second = PrivatePostgres::start(options).await.unwrap();
    assert!(first.is_owned() && !second.is_owned());
    assert_eq!(first.port(), second.port());
    first.stop().await;
}

#[tokio::test]
async fn a_role_of_its_own_has_the_rights_of_its_group_and_no_others() {
    let folder = test_folder();
    let server = PrivatePostgres::start(PostgresOptions::new(folder.path()).without_fsync()).await.unwrap();
    server.ensure_database("ours").await.unwrap();
    let password = server.ensure_login("service", "workers").await.unwrap();
    assert_eq!(server.ensure_login("service", "workers").await.unwrap(), password);
    let mut connection = PgConnection::connect(&server.url_as("service", &password, "ours")).await.unwrap();
    let rights: (bool, bool, bool, bool) = sqlx::query_as(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, pg_has_role(rolname, 'workers', 'USAGE') \
         FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(rights, (false, false, false, true));
    assert!(sqlx::query("CREATE ROLE another").execute(&mut connection).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_dropped_server_stops_by_itself() {
    let folder = test_folder();
    let server = PrivatePostgres::start(PostgresOptions::new(folder.path()).without_fsync()).await.unwrap();
    let pid_file = folder.path().join("data/postmaster.pid");
    assert!(pid_file.exists());
    drop(server);
    let deadline = Instant::now() + Duration::from_secs(20);
    while pid_file.exists() {
        assert!(Instant::now() < deadline, "the server outlives its handle");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_server_never_runs_as_root() {
    let folder = test_folder();
    let server = PrivatePostgres::start(PostgresOptions::new(folder.path()).without_fsync()).await.unwrap();
    let pid_file = std::fs::read_to_string(folder.path().join("data/postmaster.pid")).unwrap();
    let pid = pid_file.lines().next().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().split_whitespace().next().unwrap();
    assert_ne!(uid, "0");
    server.stop().await;
}

#[tokio::test]
async fn redis_starts_stops_and_returns_on_its_port() {
    let folder = test_folder();
    let redis = PrivateRedis::start(RedisOptions { folder: folder.path().into(), settings: Vec::new() }).await.unwrap();
    let url = redis.url();
    redis.stop().await;
    redis.restart().await.unwrap();
    assert_eq!(url, redis.url());
    redis.stop().await;
}

#[tokio::test]
async fn test_databases_are_apart_and_migrated() {
    let (one, two) = (TestDatabase::migrated().await, TestDatabase::migrated().await);
    assert_ne!(one.name(), two.name());
    let pool = one.pool().await;
    let found: bool =
        sqlx::query_scalar("SELECT to_regclass('cmdiag._sqlx_migrations') IS NOT NULL").fetch_one(&pool).await.unwrap();
    assert!(found);
    assert_eq!(migrations::pending(one.url()).await.unwrap(), 0);
    pool.close().await;
}
