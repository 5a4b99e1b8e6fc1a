use super::{component, measure, only, probes, target, until};
use domain::deployment::{Component, ComponentKind, SecretRef};
use engine::probe::{ProbeErrorKind, Probes, Target};
use private_servers::testing::TestDatabase;
use serde_json::json;
use sqlx::{Executor, PgPool};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn dataset(url: &str) -> Component {
    component("dataset", ComponentKind::DatasetDatabase, &[("url", url), ("store_number", "7"), ("since", "x'; --")])
}

fn sql(query: &str, more: &str) -> String {
    format!("kind = \"sql\"\nquery = '''{query}'''\n{more}")
}

async fn running(pool: &PgPool, marker: &str) -> i64 {
    let text =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1 AND pid <> pg_backend_pid()";
    sqlx::query_scalar(text).bind(format!("%{marker}%")).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn reads_every_type_as_itself() {
    let database = TestDatabase::create().await;
    let query = "SELECT true AS a_bool, 2::int2 AS two, 3 AS three, 9007199254740993 AS big, 1.5::float4 AS f4,
        2::float8 AS f8, 12.340::numeric AS num, 5::numeric AS whole_num, 'NaN'::float8 AS nan, 'x' AS txt,
        'c'::\"char\" AS ch, 'n'::name AS nm, 'v'::varchar(9) AS vc, '2026-11-24T10:00:00Z'::timestamptz AS at,
        '2026-11-24'::date AS day, interval '1 day 2 s' AS span, NULL::int AS nothing, ARRAY[1, NULL, 3] AS ints,
        ARRAY['a', 'b'] AS texts, '{\"k\": [1]}'::jsonb AS js, 16::oid AS oid, '0/16B3748'::pg_lsn AS lsn,
        '6f1c2ad4-9d3f-4e0b-8a53-c1e847b09e21'::uuid AS id";
    let row = only(measure(&probes(), &sql(query, ""), &target(&[dataset(database.url())])).await);
    let expected = json!({
        "a_bool": true, "two": 2, "three": 3, "big": 9_007_199_254_740_993_i64, "f4": 1.5, "f8": 2.0, "num": 12.34,
        "whole_num": 5.0, "nan": null, "txt": "x", "ch": "c", "nm": "n", "vc": "v", "at": "2026-11-24T10:00:00.000000Z",
        "day": "2026-11-24", "span": 86_402.0, "nothing": null, "ints": [1, null, 3], "texts": ["a", "b"],
        "js": {"k": [1]}, "oid": 16, "lsn": "0/16B3748", "id": "6f1c2ad4-9d3f-4e0b-8a53-c1e847b09e21"
    });
    assert_eq!(json!(row), expected);
}

#[tokio::test]
async fn parameters_come_from_settings_and_can_not_become_sql() {
    let database = TestDatabase::create().await;
    let query = "SELECT 1 + :store_number AS n, :since::text AS s, :store_number::bigint * 2 AS twice";
    let (probes, target) = (probes(), target(&[dataset(database.url())]));
    let row = only(measure(&probes, &sql(query, ""), &target).await);
    assert_eq!(json!(row), json!({"n": 8, "s": "x'; --", "twice": 14}));

    let error = measure(&probes, &sql("SELECT :since::bigint AS x", ""), &target).await.unwrap_err();
    assert_eq!(error.kind, ProbeErrorKind::Configuration);
    let error = measure(&probes, &sql("SELECT :absent::text AS x", ""), &target).await.unwrap_err();
    assert!(error.cause.contains("no setting \"absent\""), "{error}");
}

#[tokio::test]
async fn nothing_can_be_written() {
    let database = TestDatabase::create().await;
    let pool = database.pool().await;
    pool.execute("CREATE SEQUENCE s; CREATE TABLE t (a int)").await.unwrap();
    for query in ["SELECT nextval('s')", "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM x"] {
        let error = measure(&probes(), &sql(query, ""), &target(&[dataset(database.url())])).await.unwrap_err();
        assert!(error.cause.contains("read-only"), "{error}");
    }
}

#[tokio::test]
async fn rows_and_bytes_are_bounded_and_the_server_does_not_go_on() {
    let database = TestDatabase::create().await;
    let pool = database.pool().await;
    let (probes, target) = (probes(), target(&[dataset(database.url())]));
    let many = sql("SELECT 'bounded' AS m, generate_series(1, 100000000) AS n", "max_rows = 10");
    let measured = measure(&probes, &many, &target).await.unwrap();
    assert_eq!((measured.rows.len(), measured.truncated), (10, true));
    let wide =
        sql("SELECT 'bounded' AS m, generate_series(1, 1000000) AS n, repeat('x', 1000000) AS w", "max_rows = 1000");
    let measured = measure(&probes, &wide, &target).await.unwrap();
    assert!(measured.truncated && measured.rows.len() < 10, "{}", measured.rows.len());
    until("the statements end on the server", async || running(&pool, "bounded").await == 0).await;
}

/// Sleeps on the server until it is stopped by `stop`, and shows that it has ended there.
async fn is_stopped_on_the_server(stop: impl AsyncFnOnce(&Probes, &Target, &str)) {
    let database = TestDatabase::create().await;
    let pool = database.pool().await;
    let probes = probes();
    let target = target(&[dataset(database.url())]);
    let begin = Instant::now();
    stop(&probes, &target, &sql("SELECT 'sleeper' AS m, pg_sleep(120)", "timeout = \"60s\"")).await;
    until("the query ends on the server", async || running(&pool, "sleeper").await == 0).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    probes.close().await;
}

#[tokio::test]
async fn cancelling_cancels_the_query_on_its_server() {
    is_stopped_on_the_server(async |probes, target, probe| {
        let cancel = CancellationToken::new();
        let check = super::check(probe);
        let measuring = probes.measure(&check.probe, target, &cancel);
        let cancelling = async {
            let pool = PgPool::connect(&target.component.settings["url"]).await.unwrap();
            until("the query runs", async || running(&pool, "sleeper").await == 1).await;
            cancel.cancel();
        };
        let (measured, ()) = tokio::join!(measuring, cancelling);
        assert_eq!(measured.unwrap_err().kind, ProbeErrorKind::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn dropping_cancels_the_query_on_its_server() {
    is_stopped_on_the_server(async |probes, target, probe| {
        let check = super::check(probe);
        let never = CancellationToken::new();
        let pool = PgPool::connect(&target.component.settings["url"]).await.unwrap();
        tokio::select! {
            measured = probes.measure(&check.probe, target, &never) => panic!("{measured:?}"),
            () = until("the query runs", async || running(&pool, "sleeper").await == 1) => {}
        }
    })
    .await;
}

#[tokio::test]
async fn the_time_limit_ends_the_query_on_its_server() {
    is_stopped_on_the_server(async |probes, target, probe| {
        let error = measure(probes, &probe.replace("60s", "500ms"), target).await.unwrap_err();
        assert_eq!(error.kind, ProbeErrorKind::TimedOut);
    })
    .await;
}

#[tokio::test]
async fn a_lock_is_not_waited_for() {
    let database = TestDatabase::create().await;
    let pool = database.pool().await;
    pool.execute("CREATE TABLE locked (a int)").await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    holder.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let begin = Instant::now();
    let target = target(&[dataset(database.url())]);
    let error = measure(&probes(), &sql("SELECT a FROM locked", "timeout = \"30s\""), &target).await.unwrap_err();
    assert_eq!(error.kind, ProbeErrorKind::TimedOut);
    assert!(error.cause.contains("lock") && begin.elapsed() < Duration::from_secs(5), "{error} {:?}", begin.elapsed());
}

#[tokio::test]
async fn what_is_wrong_with_the_target_is_told_and_the_password_never() {
    let database = TestDatabase::create().await;
    let url = reqwest::Url::parse(database.url()).unwrap();
    let password = url.password().unwrap().to_owned();
    let with = |change: &dyn Fn(&mut reqwest::Url)| {
        let mut url = url.clone();
        url.set_password(None).unwrap();
        change(&mut url);
        url.to_string()
    };
    let good = with(&|_| {});
    let shown = format!("SELECT '{password}'::int AS a");
    let table = [
        (good.clone(), "wrong-word", "SELECT 1 AS a", ProbeErrorKind::Denied, "refuses the login"),
        (with(&|url| url.set_path("no_such")), &password, "SELECT 1 AS a", ProbeErrorKind::Configuration, "not exist"),
        (good.clone(), &password, "SELECT a FROM tsrecord", ProbeErrorKind::Malformed, "tsrecord"),
        (good.clone(), &password, "SELECT no_such FROM pg_class", ProbeErrorKind::Malformed, "schema"),
        (
            with(&|url| url.set_port(Some(1)).unwrap()),
            &password,
            "SELECT 1 AS a",
            ProbeErrorKind::Unreachable,
            "reached",
        ),
        ("mysql://u@127.0.0.1/x".to_owned(), &password, "SELECT 1 AS a", ProbeErrorKind::Configuration, "PostgreSQL"),
        (good.clone(), &password, &shown, ProbeErrorKind::Malformed, "***"),
        (good, &password, "SELECT point(1, 2) AS p", ProbeErrorKind::Malformed, "cast it to text"),
    ];
    let file = tempfile::NamedTempFile::new().unwrap();
    for (url, secret, query, kind, words) in table {
        std::fs::write(file.path(), secret).unwrap();
        let mut component = dataset(&url);
        component.secrets.insert("password".to_owned(), SecretRef::File(file.path().display().to_string()));
        let error = measure(&probes(), &sql(query, ""), &target(&[component])).await.unwrap_err();
        assert_eq!(error.kind, kind, "{query}: {error}");
        assert!(error.cause.contains(words) && !error.cause.contains(secret), "{error}");
    }
}

#[tokio::test]
async fn connections_are_reused_and_a_dead_one_is_replaced() {
    let database = TestDatabase::create().await;
    let pool = database.pool().await;
    let (probes, target) = (probes(), target(&[dataset(database.url())]));
    let pid = async || only(measure(&probes, &sql("SELECT pg_backend_pid() AS pid", ""), &target).await)["pid"].clone();
    let (first, second) = (pid().await, pid().await);
    assert_eq!(first, second);
    let id = first.as_i64().unwrap() as i32;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(id).execute(&pool).await.unwrap();
    assert_ne!(pid().await, first);
    let ours = async || -> i64 {
        let text = "SELECT count(*) FROM pg_stat_activity \
                    WHERE application_name = 'cmdiag probe' AND datname = current_database()";
        sqlx::query_scalar(text).fetch_one(&pool).await.unwrap()
    };
    assert_eq!(ours().await, 1);
    probes.close().await;
    until("idle connections are closed", async || ours().await == 0).await;
}
