//! The analysts' schema: every view answers, says what it is, and is all that their role sees.

use crate::support::World;
use sqlx::{Executor, PgPool, Row};

async fn views(pool: &PgPool) -> Vec<String> {
    let sql = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'analytics' ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

/// What a statement gives to an analyst: the error's code where it is refused.
async fn as_analyst(pool: &PgPool, statement: &str) -> Result<u64, String> {
    let mut analyst = pool.begin().await.unwrap();
    analyst.execute("SET LOCAL ROLE cmdiag_analyst").await.unwrap();
    match analyst.execute(statement).await {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) => Err(error.as_database_error().unwrap().code().unwrap().into_owned()),
    }
}

const DENIED: &str = "42501";

#[tokio::test(flavor = "multi_thread")]
async fn every_view_answers_an_analyst_from_real_rows() {
    let world = World::of(61, 5_000).await;
    let all = views(&world.pool).await;
    let expected = [
        "approvals",
        "check_results",
        "commands",
        "daily_figures",
        "deployments",
        "emergency_stops",
        "event_counts",
        "events",
        "finding_history",
        "findings",
        "measurements",
        "problems",
        "refused_commands",
        "remediations",
        "runs",
    ];
    assert_eq!(all, expected);
    sqlx::query(
        "INSERT INTO cmdiag.commands (command_id, tenant, actor, name, aggregate_type, aggregate_id, body_hash, outcome, \
         events, refusal_code, refusal_message) VALUES (gen_random_uuid(), 'default', 'mara', 'cancel_run', \
         'DiagnosticRun', 'x', decode(repeat('00', 32), 'hex'), 'refused', 0, 'run_unknown', 'there is no such run')",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    for view in &all {
        let rows = as_analyst(&world.pool, &format!("SELECT * FROM analytics.{view} LIMIT 5")).await.unwrap();
        // The story's checks measure no figures.
        assert!(rows > 0 || view == "measurements", "{view} shows nothing of a story of 5,000 events");
    }
    let counted: i64 = sqlx::query_scalar("SELECT sum(events)::bigint FROM analytics.event_counts")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(counted, 5_000);
    for (view, table) in [("findings", "view_findings"), ("runs", "view_runs"), ("check_results", "view_check_results")]
    {
        let sql = format!("SELECT (SELECT count(*) FROM analytics.{view}) = (SELECT count(*) FROM cmdiag.{table})");
        assert!(sqlx::query_scalar::<_, bool>(&sql).fetch_one(&world.pool).await.unwrap(), "{view}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_sees_that_schema_and_nothing_else() {
    let world = World::of(62, 300).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        for statement in [
            format!("SELECT * FROM {table} LIMIT 1"),
            format!("INSERT INTO {table} DEFAULT VALUES"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            assert_eq!(as_analyst(&world.pool, &statement).await, Err(DENIED.to_owned()), "{statement}");
        }
    }
    for view in views(&world.pool).await {
        let denied = as_analyst(&world.pool, &format!("DELETE FROM analytics.{view}")).await;
        // A view over a grouping or a join can not be written by anybody (55000).
        let code = denied.unwrap_err();
        assert!([DENIED, "55000"].contains(&code.as_str()), "{view}: {code}");
        assert_eq!(as_analyst(&world.pool, &format!("DROP VIEW analytics.{view}")).await, Err(DENIED.to_owned()));
    }
    for statement in [
        "UPDATE analytics.runs SET status = 'completed'",
        "INSERT INTO analytics.commands (name) VALUES ('x')",
        "CREATE TABLE analytics.mine (a int)",
        "CREATE TABLE cmdiag.mine (a int)",
        "CREATE FUNCTION analytics.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT cmdiag.define_analytics()",
        "SELECT cmdiag.next_position()",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "GRANT cmdiag_app TO cmdiag_analyst",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
    ] {
        assert_eq!(as_analyst(&world.pool, statement).await, Err(DENIED.to_owned()), "{statement}");
    }
    let roles: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_auth_members WHERE member = 'cmdiag_analyst'::regrole")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(roles, 0, "the role is in no other one");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_and_column_says_what_it_is() {
    let world = World::empty().await;
    let rows = sqlx::query(
        "SELECT c.relname::text, a.attname::text, obj_description(c.oid, 'pg_class') IS NOT NULL, \
         col_description(c.oid, a.attnum) IS NOT NULL FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
         WHERE c.relnamespace = 'analytics'::regnamespace AND a.attnum > 0",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(rows.len() > 100);
    for row in rows {
        let (view, column): (String, String) = (row.get(0), row.get(1));
        assert!(row.get::<bool, _>(2), "{view} has no comment");
        assert!(row.get::<bool, _>(3), "{view}.{column} has no comment");
    }
}

/// A table may be put in the place of another one: the views follow, and keep grants and comments.
#[tokio::test(flavor = "multi_thread")]
async fn the_views_follow_a_table_that_takes_the_place_of_another() {
    let world = World::of(63, 800).await;
    for statement in [
        "ALTER TABLE cmdiag.view_runs RENAME TO view_runs_old",
        "CREATE TABLE cmdiag.view_runs (LIKE cmdiag.view_runs_old)",
        "SELECT cmdiag.define_analytics()",
        "DROP TABLE cmdiag.view_runs_old",
    ] {
        sqlx::query(statement).execute(&world.pool).await.unwrap();
    }
    assert_eq!(as_analyst(&world.pool, "SELECT * FROM analytics.runs").await, Ok(0), "the new table is empty");
    let comment: Option<String> =
        sqlx::query_scalar("SELECT obj_description('analytics.runs'::regclass)").fetch_one(&world.pool).await.unwrap();
    assert!(comment.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_commands_are_asked_for_by_an_index() {
    let world = World::empty().await;
    let mut db = world.pool.acquire().await.unwrap();
    db.execute("SET enable_seqscan = off").await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT * FROM analytics.refused_commands WHERE recorded_at >= now() - interval '1 day'",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    assert!(plan.iter().any(|line| line.contains("commands_refused")), "{plan:?}");
}
