//! Every query that explains, on filled tables, is answered from an index.

use super::{commands, walk};
use crate::comparison;
use crate::views::runs::{self, RunFilter};
use domain::{DeploymentId, RunId};
use private_servers::testing::TestDatabase;
use sqlx::{Execute, Executor, PgPool, Postgres, Row};
use uuid::Uuid;

/// 20,000 events that answer each other, 20,000 commands of which each tenth has no events, and the views behind them.
const FILL: &str = "
    CREATE FUNCTION id(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT lpad(to_hex(n), 32, '0')::uuid$$;
    CREATE FUNCTION id(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT id(n::bigint)$$;
    INSERT INTO view_causation
        SELECT id(n), CASE WHEN n % 3 > 0 THEN id(n / 5) END, n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO commands (command_id, tenant, actor, name, aggregate_type, aggregate_id, body_hash, outcome,
            first_position, last_position, stream_version, events, refusal_code, refusal_message, recorded_at,
            correlation_id, causation_id)
        SELECT id(n), 'default', 'ann', 'request_run', 'DiagnosticRun', id(n)::text, decode(repeat('07', 32), 'hex'),
        CASE WHEN n % 10 = 0 THEN 'refused' ELSE 'accepted' END, CASE WHEN n % 10 > 0 THEN n END, n, 1,
        CASE WHEN n % 10 > 0 THEN 1 ELSE 0 END, CASE WHEN n % 10 = 0 THEN 'no' END, NULL, now(),
        CASE WHEN n % 10 = 0 THEN id(n) END, CASE WHEN n % 20 = 0 THEN id(n / 5) END FROM generate_series(1, 20000) n;
    INSERT INTO view_runs (id, deployment_id, tenant, profile, status, priority, planned, done, ok, warning, critical,
            unknown, requested_by, requested_at, deadline, last_position, projection_version)
        SELECT id(n), id(n % 200), 'default', 'full', 'completed', 'normal', 4, 4, 4, 0, 0, 0, 'ann',
        now() - n * interval '1 minute', now(), n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_finding_history (finding_id, version, position, event_type, at, actor, detail, last_position,
            projection_version)
        SELECT id(n / 5), n % 5 + 1, n, CASE n % 5 WHEN 0 THEN 'FindingOpened' ELSE 'FindingSeenAgain' END, now(),
        'ann', '{}', n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_remediations (id, tenant, deployment_id, finding_id, check_code, component, resource, severity,
            status, at_rest, trigger, requested_by, requested_at, steps, steps_done, state, last_position,
            projection_version)
        SELECT id(n), 'default', id(n % 200), id(n % 5000), 'C-1', 'store-1', 'r', 'warning', 'succeeded', true,
        'person', 'ann', now() - n * interval '1 minute', 3, 0, '{}', n, 1 FROM generate_series(1, 20000) n;
    ANALYZE;";

async fn assert_indexed(pool: &PgPool, name: &str, mut query: impl Execute<'_, Postgres>) {
    let arguments = query.take_arguments().unwrap().unwrap_or_default();
    let rows = pool.fetch_all(sqlx::query_with(&format!("EXPLAIN {}", query.sql()), arguments)).await.unwrap();
    let plan = rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n");
    assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{name}:\n{plan}");
}

#[tokio::test]
async fn explanations_come_from_an_index() {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    sqlx::raw_sql(FILL).execute(&pool).await.unwrap();
    let ids: Vec<Uuid> = (1..=50).map(Uuid::from_u128).collect();
    let one = Uuid::from_u128(7);
    let now = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(40_000);
    assert_indexed(&pool, "positions", sqlx::query(walk::POSITIONS).bind(&ids)).await;
    assert_indexed(&pool, "answers", sqlx::query(walk::ANSWERS).bind(&ids).bind(200_i64)).await;
    let remediations = sqlx::query(walk::REMEDIATIONS).bind(one).bind("default").bind(10_i64);
    assert_indexed(&pool, "remediations", remediations).await;
    assert_indexed(&pool, "commands", sqlx::query(&commands::by_ids()).bind(&ids)).await;
    assert_indexed(&pool, "without events", sqlx::query(&commands::without_events()).bind(&ids).bind(200_i64)).await;
    assert_indexed(&pool, "opened", sqlx::query(comparison::OPENED_BEFORE).bind(&ids).bind(9_000_i64)).await;
    let between = sqlx::query(comparison::REMEDIATIONS).bind(one).bind(now).bind(10_000_i64).bind(100_i64);
    assert_indexed(&pool, "between", between).await;
    let filter = RunFilter { deployment: Some(DeploymentId(one)), ..RunFilter::default() };
    for after in [None, Some((now, RunId(one)))] {
        let mut sql = runs::oldest_first(&filter, after, 100);
        assert_indexed(&pool, "oldest first", sql.build()).await;
    }
}
