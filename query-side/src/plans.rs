//! Every query, on filled tables, is answered from an index.

use crate::page::{Cursor, Keyset, PageRequest, micros};
use crate::queries::by_ids_of;
use crate::views::check_results::{self, CheckResultFilter};
use crate::views::daily_figures::{self, DailyFigureFilter};
use crate::views::deployments::{self, DeploymentFilter, DeploymentView};
use crate::views::findings::{self, FindingFilter, FindingStatus, FindingView};
use crate::views::policies;
use crate::views::remediations::{self, RemediationFilter};
use crate::views::runs::{self, RunFilter, RunStatus, RunView};
use crate::views::{finding_history, finding_history::FindingHistoryEntry};
use chrono::{DateTime, NaiveDate, Utc};
use domain::remediation::RemediationPhase;
use domain::{DeploymentId, FindingId, Outcome, RunId};
use private_servers::testing::TestDatabase;
use sqlx::{Execute, Executor, PgPool, Postgres, QueryBuilder, Row};
use uuid::Uuid;

/// Some 20,000 rows of each, of 200 deployments, most findings resolved.
const FILL: &str = "
    INSERT INTO view_deployments SELECT id(n), 'default', 'Deployment ' || n, '10', false, '{}', '[]', '[]', '[]',
        now(), NULL, NULL, 'ok', 0, 0, 0, NULL, NULL, NULL, 0, 0, n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_deployment_findings SELECT id(n), id(n % 200), 'warning', n % 10 = 0, false,
        CASE WHEN n % 50 = 0 THEN now() END, n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_runs SELECT id(n), id(n % 200), 'default', CASE WHEN n % 9 = 0 THEN 'full' ELSE 'quick' END,
        CASE WHEN n % 100 = 0 THEN 'running' ELSE 'completed' END, 'normal', 4, 4, 'ok', 4, 0, 0, 0, 'ann',
        now() - n * interval '1 minute', NULL, NULL, NULL, now(), NULL, n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_check_results SELECT id(n / 10), 'CHECK-' || n % 10, 'store-1', id(n / 10 % 200), 'v', 'ok', '',
        NULL, '[]', 0, '{}', now() - n * interval '1 minute', 1, now(), n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_findings SELECT id(n), id(n % 200), 'default', 'CHECK-' || n % 10, 'store-1', 'r' || n,
        CASE WHEN n % 20 = 0 THEN 'open' ELSE 'resolved' END, CASE WHEN n % 20 = 0 THEN 'open' ELSE 'resolved' END,
        CASE WHEN n % 3 = 0 THEN 'critical' ELSE 'warning' END, NULL, NULL, false, 1, 0, '', '', '', '', '{}',
        now(), now() - n * interval '1 minute', now(), NULL, NULL, NULL, id(n), n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_finding_history SELECT id(n / 5), n % 5 + 1, n, 'FindingSeenAgain', now(), 'ann', id(n / 3), '{}',
        n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_daily_figures SELECT '2026-01-01'::date + n / 200, id(n % 200), 'CHECK-1', 'ok', 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_remediations SELECT id(n), 'default', id(n % 200), id(n % 5000), 'CHECK-' || n % 10, 'store-1',
        'r' || n, 'warning', 'restore', CASE WHEN n % 100 = 0 THEN 'awaiting_approval' ELSE 'succeeded' END,
        n % 100 <> 0, 'person', 'ann', now() - n * interval '1 minute', NULL, NULL, 3, 0, NULL, '{}', n, 1
        FROM generate_series(1, 20000) n;
    INSERT INTO view_policies SELECT id(n), 'tenant-' || n % 200, 'policy-' || n, '{}', 1, 'ann', now(), '{}', '{}',
        n, 1
        FROM generate_series(1, 20000) n;
    INSERT INTO view_policy_statistics SELECT id(n), id(n % 200), 'default', 'runbook-' || n, 'v', 'CHECK-' || n % 10,
        'v', 1, 0, NULL, NULL, NULL, now(), n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO view_emergency_stops SELECT id(n), 'tenant-' || n, false, false, '', 'ann', now(), n, 1
        FROM generate_series(1, 20000) n;
    ANALYZE;";

pub(crate) async fn filled() -> (TestDatabase, PgPool) {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let id = "CREATE FUNCTION id(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS \
        $$SELECT lpad(to_hex(n), 32, '0')::uuid$$; \
        CREATE FUNCTION id(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT id(n::bigint)$$";
    sqlx::raw_sql(id).execute(&pool).await.unwrap();
    sqlx::raw_sql(FILL).execute(&pool).await.unwrap();
    (database, pool)
}

/// The plan of a query with its arguments.
async fn plan(pool: &PgPool, mut query: impl Execute<'_, Postgres>) -> String {
    let arguments = query.take_arguments().unwrap().unwrap_or_default();
    let rows = pool.fetch_all(sqlx::query_with(&format!("EXPLAIN {}", query.sql()), arguments)).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

/// Asserts that no view is read from end to end, and that only a few rows are ever sorted (the planner likes to sort
/// the ten rows that an index gives better than to read another index in order).
async fn assert_indexed(pool: &PgPool, name: &str, mut sql: QueryBuilder<'static, Postgres>) {
    let plan = plan(pool, sql.build()).await;
    assert!(plan.contains("Index"), "{name}:\n{plan}");
    assert!(!plan.contains("Seq Scan on view"), "{name}:\n{plan}");
    for sort in plan.lines().filter(|line| line.contains("Sort  (")) {
        let rows: f64 = sort.split("rows=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(rows <= 200.0, "{name} sorts:\n{plan}");
    }
}

fn some_page<T: Keyset>(row: Option<&T>) -> PageRequest {
    PageRequest { first: 20, after: row.map(Keyset::cursor) }
}

fn deployment() -> DeploymentId {
    DeploymentId(Uuid::from_u128(7))
}

#[tokio::test]
async fn lists_are_read_in_their_order_from_an_index() {
    let (_database, pool) = filled().await;
    let run: RunView = runs::page(&RunFilter::default(), &PageRequest::first(100))
        .unwrap()
        .build_query_as()
        .fetch_one(&pool)
        .await
        .unwrap();
    let of_deployment = RunFilter { deployment: Some(deployment()), ..RunFilter::default() };
    let full = RunFilter { profile: Some("full".to_owned()), ..RunFilter::default() };
    let since = RunFilter { since: Some(run.requested_at), ..RunFilter::default() };
    let under_way = RunFilter { statuses: RunStatus::UNDER_WAY.to_vec(), ..RunFilter::default() };
    let completed = RunFilter { statuses: vec![RunStatus::Completed], ..of_deployment.clone() };
    for filter in [RunFilter::default(), of_deployment, full, since, under_way, completed] {
        for after in [None, Some(&run)] {
            let sql = runs::page(&filter, &some_page(after)).unwrap();
            assert_indexed(&pool, &format!("{filter:?}"), sql).await;
        }
    }
    let finding: FindingView = findings::page(&FindingFilter::default(), &PageRequest::first(100))
        .unwrap()
        .build_query_as()
        .fetch_one(&pool)
        .await
        .unwrap();
    let of_deployment = FindingFilter { deployment: Some(deployment()), ..FindingFilter::default() };
    let check = FindingFilter { check: Some("CHECK-3".to_owned()), ..of_deployment.clone() };
    let unmuted = FindingFilter { muted: Some(false), ..of_deployment.clone() };
    for filter in [FindingFilter::default(), of_deployment, check, unmuted] {
        for after in [None, Some(&finding)] {
            let sql = findings::page(&filter, &some_page(after)).unwrap();
            assert_indexed(&pool, &format!("{filter:?}"), sql).await;
        }
    }
    let deployments_sql = deployments::page(&DeploymentFilter::default(), &PageRequest::first(20)).unwrap();
    assert_indexed(&pool, "deployments", deployments_sql).await;
    let retired = DeploymentFilter { include_retired: true, ..DeploymentFilter::default() };
    assert_indexed(&pool, "search", deployments::search("deployment 12", &retired, 20)).await;
    assert_indexed(&pool, "named", deployments::named("Deployment 12", None)).await;
    let id = deployment().to_string();
    assert_indexed(&pool, "named by id", deployments::named(&id, Some("default"))).await;
}

#[tokio::test]
async fn present_findings_come_from_the_small_index() {
    let (_database, pool) = filled().await;
    let present = FindingFilter {
        deployment: Some(deployment()),
        statuses: FindingStatus::PRESENT.to_vec(),
        ..FindingFilter::default()
    };
    let critical = FindingFilter { severities: vec![Outcome::Critical], ..present.clone() };
    for filter in [present, critical] {
        let mut sql = findings::page(&filter, &PageRequest::first(20)).unwrap();
        let plan = plan(&pool, sql.build()).await;
        assert!(plan.contains("view_findings_open"), "{filter:?}:\n{plan}");
    }
}

#[tokio::test]
async fn rows_of_one_owner_come_from_an_index() {
    let (_database, pool) = filled().await;
    let page = PageRequest::first(20);
    let run = RunId(Uuid::from_u128(3));
    assert_indexed(&pool, "results", check_results::of_run(run, &[], &page).unwrap()).await;
    let filter = CheckResultFilter {
        deployment: deployment(),
        check: "CHECK-3".to_owned(),
        component: "store-1".to_owned(),
        since: None,
        until: None,
    };
    assert_indexed(&pool, "results over time", check_results::over_time(&filter, &page).unwrap()).await;
    let finding = FindingId(Uuid::from_u128(3));
    let history: FindingHistoryEntry =
        finding_history::page(finding, &page).unwrap().build_query_as().fetch_one(&pool).await.unwrap();
    for after in [None, Some(&history)] {
        let sql = finding_history::page(finding, &some_page(after)).unwrap();
        assert_indexed(&pool, "history", sql).await;
    }
    let day = |number| NaiveDate::from_ymd_opt(2026, 2, number).unwrap();
    let (from, until, tenant) = (day(1), day(7), None);
    let week = DailyFigureFilter { tenant, from, until, deployment: None, check: None, severities: vec![] };
    let of_deployment = DailyFigureFilter { deployment: Some(deployment()), ..week.clone() };
    let of_tenant = DailyFigureFilter { tenant: Some("default".to_owned()), ..week.clone() };
    for filter in [week, of_deployment, of_tenant] {
        assert_indexed(&pool, "daily", daily_figures::page(&filter, &page).unwrap()).await;
    }
}

#[tokio::test]
async fn rows_by_ids_and_by_owners_come_from_an_index() {
    let (_database, pool) = filled().await;
    let ids: Vec<Uuid> = (1..=50).map(Uuid::from_u128).collect();
    for (name, sql) in [
        ("runs", by_ids_of("runs", runs::COLUMNS)),
        ("findings", by_ids_of("findings", findings::COLUMNS)),
        ("deployments", deployments::by_ids()),
        ("remediations", by_ids_of("remediations", remediations::COLUMNS)),
    ] {
        let plan = plan(&pool, sqlx::query(&sql).bind(&ids)).await;
        assert!(plan.contains("Index") && !plan.contains("Seq Scan on view"), "{name}:\n{plan}");
    }
    for (name, sql) in [
        ("results of runs", check_results::of_runs()),
        ("findings of runs", findings::of_runs()),
        ("findings of deployments", findings::of_deployments()),
    ] {
        let plan = plan(&pool, sqlx::query(&sql).bind(&ids).bind(11_i64)).await;
        assert!(plan.contains("Index") && !plan.contains("Seq Scan on view"), "{name}:\n{plan}");
    }
}

#[tokio::test]
async fn remediations_are_read_in_their_order_from_an_index() {
    let (_database, pool) = filled().await;
    let everything = RemediationFilter::default();
    let of_deployment = RemediationFilter { deployment: Some(deployment()), ..everything.clone() };
    let finding = Some(FindingId(Uuid::from_u128(7)));
    let of_finding = RemediationFilter { tenant: Some("default".to_owned()), finding, ..everything.clone() };
    let open = RemediationFilter { at_rest: Some(false), ..everything.clone() };
    let open_here = RemediationFilter { at_rest: Some(false), ..of_deployment.clone() };
    let ended_here = RemediationFilter { at_rest: Some(true), ..of_deployment.clone() };
    let waiting = RemediationFilter { phases: vec![RemediationPhase::AwaitingApproval], ..open.clone() };
    let two_days_ago: DateTime<Utc> =
        sqlx::query_scalar("SELECT now() - interval '2 days'").fetch_one(&pool).await.unwrap();
    let after = Cursor::pack(remediations::LIST, &(micros(two_days_ago), Uuid::from_u128(9)));
    for filter in [everything, of_deployment, of_finding, open, open_here, ended_here, waiting] {
        for after in [None, Some(after.clone())] {
            let sql = remediations::page(&filter, &PageRequest { first: 20, after }).unwrap();
            assert_indexed(&pool, &format!("{filter:?}"), sql).await;
        }
    }
    let mut open = remediations::page(
        &RemediationFilter { at_rest: Some(false), ..RemediationFilter::default() },
        &PageRequest::first(20),
    )
    .unwrap();
    let plan = plan(&pool, open.build()).await;
    assert!(plan.contains("view_remediations_open"), "{plan}");
}

#[tokio::test]
async fn policies_and_stops_come_from_an_index() {
    let (_database, pool) = filled().await;
    let one = Uuid::from_u128(7);
    for (name, plan) in [
        ("policies", plan(&pool, sqlx::query(policies::LIST).bind("tenant-7").bind(1_000_i64)).await),
        ("statistics", plan(&pool, sqlx::query(policies::STATISTICS).bind(one).bind(500_i64)).await),
        ("emergency stop", plan(&pool, sqlx::query(policies::STOP).bind(one)).await),
    ] {
        assert!(plan.contains("Index") && !plan.contains("Seq Scan on view"), "{name}:\n{plan}");
    }
}

#[tokio::test]
async fn every_column_of_the_filled_tables_is_understood() {
    let (_database, pool) = filled().await;
    let page = PageRequest::first(5);
    let rows: Vec<DeploymentView> = deployments::page(&DeploymentFilter::default(), &page)
        .unwrap()
        .build_query_as()
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(rows.len(), 6);
}
