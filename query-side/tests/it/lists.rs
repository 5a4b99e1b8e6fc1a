//! Lists, filters, pages, owners.

use crate::support::World;
use async_graphql::dataloader::Loader;
use chrono::{NaiveDate, TimeDelta, Utc};
use domain::{DeploymentId, Outcome, RunId, StreamVersion};
use event_store::StreamId;
use query_side::loaders::FirstOf;
use query_side::{
    CheckResultFilter, Cursor, DailyFigureFilter, DeploymentFilter, FindingFilter, FindingStatus, FindingView,
    FindingsByDeploymentLoader, FindingsByRunLoader, Keyset, Page, PageRequest, Queries, QueryError,
    ResultsByRunLoader, RunFilter, RunLoader, RunStatus, RunView, query_pool,
};
use std::collections::HashSet;
use std::time::Duration;

/// Whether a run belongs to a filter that names this deployment and this moment.
type Belongs = fn(&RunView, DeploymentId, chrono::DateTime<Utc>) -> bool;

/// Reads a whole list in pages of a few rows.
async fn walk<T: Keyset>(first: i64, read: impl AsyncFn(PageRequest) -> Result<Page<T>, QueryError>) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = read(PageRequest { first, after: after.take() }).await.unwrap();
        assert!(page.items.len() as i64 <= first);
        assert_eq!(page.end_cursor, page.items.last().map(Keyset::cursor));
        let has_next = page.has_next;
        assert!(!has_next || page.items.len() as i64 == first);
        after = page.end_cursor;
        all.extend(page.items);
        if !has_next {
            return all;
        }
    }
}

async fn all_runs(queries: &Queries, filter: RunFilter) -> Vec<RunView> {
    walk(7, async |page| queries.runs(&filter, &page).await).await
}

async fn all_findings(queries: &Queries, filter: FindingFilter) -> Vec<FindingView> {
    walk(7, async |page| queries.findings(&filter, &page).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_runs_join_to_the_whole_list_under_any_filter() {
    let world = World::of(21, 1_500).await;
    let queries = world.queries();
    let all = all_runs(&queries, RunFilter::default()).await;
    assert!(all.len() > 50, "{}", all.len());
    assert!(all.is_sorted_by_key(|run| std::cmp::Reverse((run.requested_at, run.id))));
    assert_eq!(all.iter().map(|run| run.id).collect::<HashSet<_>>().len(), all.len());
    let deployment = world.story.deployments()[1];
    let since = all[all.len() / 3].requested_at;
    let cases: [(RunFilter, Belongs); 5] = [
        (RunFilter { deployment: Some(deployment), ..RunFilter::default() }, |run, deployment, _| {
            run.deployment_id == deployment
        }),
        (
            RunFilter { statuses: vec![RunStatus::Completed, RunStatus::TimedOut], ..RunFilter::default() },
            |run, _, _| matches!(run.status, RunStatus::Completed | RunStatus::TimedOut),
        ),
        (RunFilter { profile: Some("full".into()), ..RunFilter::default() }, |run, _, _| run.profile == "full"),
        (RunFilter { since: Some(since), ..RunFilter::default() }, |run, _, since| run.requested_at >= since),
        (
            RunFilter {
                deployment: Some(deployment),
                statuses: RunStatus::UNDER_WAY.to_vec(),
                until: Some(since),
                ..RunFilter::default()
            },
            |run, deployment, since| {
                run.deployment_id == deployment && !run.status.has_ended() && run.requested_at < since
            },
        ),
    ];
    for (filter, belongs) in cases {
        let found = all_runs(&queries, filter.clone()).await;
        let expected: Vec<_> = all.iter().filter(|run| belongs(run, deployment, since)).cloned().collect();
        assert_eq!(found, expected, "{filter:?}");
        let count = queries.count_runs(&filter).await.unwrap();
        assert_eq!((count.value, count.at_least), (expected.len() as i64, false));
    }
    let nobody = RunFilter { tenant: Some("somebody-else".into()), ..RunFilter::default() };
    assert!(all_runs(&queries, nobody).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_findings_join_to_the_whole_list_under_any_filter() {
    let world = World::of(22, 1_500).await;
    let queries = world.queries();
    let all = all_findings(&queries, FindingFilter::default()).await;
    assert!(all.is_sorted_by_key(|finding| std::cmp::Reverse((finding.last_seen_at, finding.id))));
    let (deployment, now) = (world.story.deployments()[0], Utc::now());
    let since = all[all.len() / 3].last_seen_at;
    let check = all[0].check_code.clone();
    let filters = [
        FindingFilter { deployment: Some(deployment), ..FindingFilter::default() },
        FindingFilter {
            deployment: Some(deployment),
            statuses: FindingStatus::PRESENT.to_vec(),
            severities: vec![Outcome::Critical],
            ..FindingFilter::default()
        },
        FindingFilter { check: Some(check.clone()), component: Some("store-1".into()), ..FindingFilter::default() },
        FindingFilter { muted: Some(false), since: Some(since), ..FindingFilter::default() },
        FindingFilter { muted: Some(true), ..FindingFilter::default() },
    ];
    for filter in filters {
        let found = all_findings(&queries, filter.clone()).await;
        let belongs = |finding: &&FindingView| {
            filter.deployment.is_none_or(|id| finding.deployment_id == id)
                && (filter.statuses.is_empty() || filter.statuses.contains(&finding.status))
                && (filter.severities.is_empty() || filter.severities.contains(&finding.severity))
                && filter.check.as_ref().is_none_or(|check| &finding.check_code == check)
                && filter.muted.is_none_or(|muted| finding.is_muted(now) == muted)
                && filter.since.is_none_or(|since| finding.last_seen_at >= since)
        };
        let expected: Vec<_> = all.iter().filter(belongs).cloned().collect();
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(queries.count_findings(&filter).await.unwrap().value, expected.len() as i64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_bounded_and_its_cursor_belongs_to_its_list() {
    let world = World::of(23, 300).await;
    let queries = world.queries();
    let runs = |page| {
        let queries = queries.clone();
        async move { queries.runs(&RunFilter::default(), &page).await }
    };
    for first in [0, -1, PageRequest::MAX + 1] {
        assert!(matches!(runs(PageRequest::first(first)).await, Err(QueryError::OutOfBounds { .. })));
    }
    let foreign = queries.deployments(&DeploymentFilter::default(), &PageRequest::first(1)).await.unwrap().end_cursor;
    assert!(matches!(runs(PageRequest::after(5, foreign.unwrap())).await, Err(QueryError::BadCursor)));
    let nonsense = Cursor("%%%".to_owned());
    assert!(matches!(runs(PageRequest::after(5, nonsense)).await, Err(QueryError::BadCursor)));
    let many: Vec<RunId> = (0..1_001).map(|number| RunId(uuid::Uuid::from_u128(number))).collect();
    assert!(matches!(queries.runs_by_ids(&many).await, Err(QueryError::OutOfBounds { .. })));
    assert!(matches!(queries.results_of_runs(&many[..1], 201).await, Err(QueryError::OutOfBounds { .. })));
    assert!(queries.runs_by_ids(&many[..10]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_with_their_owners() {
    let world = World::of(24, 2_000).await;
    let queries = world.queries();
    let runs = all_runs(&queries, RunFilter::default()).await;
    let ids: Vec<RunId> = runs.iter().map(|run| run.id).take(400).collect();
    let loaded = RunLoader(queries.clone()).load(&ids).await.unwrap();
    assert!(ids.iter().zip(&runs).all(|(id, run)| *loaded[id] == *run));
    let keys: Vec<_> = ids.iter().map(|id| FirstOf { id: *id, first: 3 }).collect();
    let results = ResultsByRunLoader(queries.clone()).load(&keys).await.unwrap();
    let mut with_results = 0;
    for (key, run) in keys.iter().zip(&runs) {
        let all = walk(4, async |page| queries.check_results(run.id, &[], &page).await).await;
        assert_eq!(all.len() as i32, run.done, "{run:?}");
        let Some(few) = results.get(key) else {
            assert!(all.is_empty());
            continue;
        };
        with_results += 1;
        assert_eq!((few.items.as_slice(), few.has_more), (&all[..all.len().min(3)], all.len() > 3));
        let unknown = queries.check_results(run.id, &[Outcome::Unknown], &PageRequest::default()).await.unwrap();
        assert_eq!(unknown.items.len() as u32, run.tally.unknown);
        assert!(unknown.items.iter().all(|result| result.unknown_cause.is_some()));
    }
    assert!(with_results > 10, "the story is too dull");
    // A finding names the run that saw it, also after later runs have seen it.
    let finding = all_findings(&queries, FindingFilter::default()).await.remove(0);
    let history = walk(3, async |page| queries.finding_history(finding.id, &page).await).await;
    assert!(history.iter().map(|entry| entry.version).eq(1..=history.len() as i64));
    let seen_by: Vec<_> = history.iter().filter_map(|entry| entry.run_id).collect();
    let keys: Vec<_> = seen_by.iter().map(|id| FirstOf { id: *id, first: 5 }).collect();
    let found = FindingsByRunLoader(queries.clone()).load(&keys).await.unwrap();
    assert!(keys.iter().all(|key| found[key].items == [finding.clone()]));
    let deployments: Vec<_> = world.story.deployments().into_iter().map(|id| FirstOf { id, first: 200 }).collect();
    let present = FindingsByDeploymentLoader(queries.clone()).load(&deployments).await.unwrap();
    for (key, few) in &present {
        let filter = FindingFilter {
            deployment: Some(key.id),
            statuses: FindingStatus::PRESENT.to_vec(),
            ..FindingFilter::default()
        };
        let mut expected = all_findings(&queries, filter).await;
        expected.sort_by_key(|finding| finding.severity == Outcome::Warning);
        assert_eq!(few.items, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_are_found_by_name_and_id() {
    let world = World::of(25, 400).await;
    let queries = world.queries();
    let all = walk(3, async |page| queries.deployments(&DeploymentFilter::default(), &page).await).await;
    let names: Vec<_> = all.iter().map(|deployment| deployment.name.as_str()).collect();
    assert_eq!(names, ["Deployment 0", "Deployment 1", "Deployment 2", "Deployment 3"]);
    let filter = DeploymentFilter::default();
    let search = async |text: &str| queries.search_deployments(text, &filter, 10).await.unwrap();
    assert_eq!(search("dePLOY").await, all);
    assert_eq!(search("deployment 2").await, all[2..3]);
    assert_eq!(search(&all[1].id.to_string()).await, all[1..2]);
    for nothing in ["%", "_eployment", "\\", "no such"] {
        assert!(search(nothing).await.is_empty(), "{nothing}");
    }
    let named = async |text: &str, tenant| queries.deployment_named(text, tenant).await.unwrap();
    assert_eq!(named("DEPLOYMENT 3", Some("default")).await.as_ref(), Some(&all[3]));
    assert_eq!(named(&all[3].id.to_string(), None).await.as_ref(), Some(&all[3]));
    assert_eq!(named("deployment", None).await, None);
    assert_eq!(named("Deployment 3", Some("other")).await, None);
    assert_eq!(queries.deployment(all[0].id).await.unwrap().as_deref(), Some(&all[0]));
    assert_eq!(queries.count_deployments(&DeploymentFilter::default()).await.unwrap().value, 4);
}

/// The story plays in the past, so every mute has run out by now: what was muted counts, without an event.
#[tokio::test(flavor = "multi_thread")]
async fn a_mute_that_ran_out_counts_again() {
    let world = World::of(26, 1_500).await;
    let queries = world.queries();
    let stored: Vec<(uuid::Uuid, i32)> =
        sqlx::query_as("SELECT id, open_muted FROM view_deployments").fetch_all(&world.pool).await.unwrap();
    assert!(stored.iter().any(|(_, muted)| *muted > 0), "the story is too dull");
    let page = queries.deployments(&DeploymentFilter::default(), &PageRequest::default()).await.unwrap();
    for deployment in &page.items {
        let filter = FindingFilter {
            deployment: Some(deployment.id),
            statuses: FindingStatus::PRESENT.to_vec(),
            ..FindingFilter::default()
        };
        let present = all_findings(&queries, filter).await;
        let of = |severity| present.iter().filter(|finding| finding.severity == severity).count() as i64;
        let expected = (of(Outcome::Critical), of(Outcome::Warning), 0);
        assert_eq!((deployment.open_critical, deployment.open_warning, deployment.open_muted), expected);
    }
    // A mute that still holds, and says when it ends.
    let until = Utc::now() + TimeDelta::hours(1);
    let held = page.items.iter().find(|deployment| deployment.open_critical > 0).unwrap();
    sqlx::query(
        "UPDATE view_deployment_findings SET muted_until = $1 WHERE finding_id = (SELECT finding_id FROM \
         view_deployment_findings WHERE open AND NOT false_positive AND muted_until < now() LIMIT 1)",
    )
    .bind(until)
    .execute(&world.pool)
    .await
    .unwrap();
    let again = queries.deployments(&DeploymentFilter::default(), &PageRequest::default()).await.unwrap();
    let muted: Vec<_> = again.items.iter().filter(|deployment| deployment.open_muted == 1).collect();
    assert_eq!(muted.len(), 1, "{held:?}");
    assert_eq!(muted[0].next_unmute_at.unwrap().timestamp_millis(), until.timestamp_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_histories_are_read_in_bounds() {
    let world = World::of(27, 1_500).await;
    let queries = world.queries();
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let filter = DailyFigureFilter {
        tenant: None,
        from: day("2026-01-01"),
        until: day("2026-12-31"),
        deployment: None,
        check: None,
        severities: vec![],
    };
    let all = walk(9, async |page| queries.daily_figures(&filter, &page).await).await;
    let results: i64 = all.iter().map(|figure| figure.results).sum();
    let recorded: i64 =
        sqlx::query_scalar("SELECT count(*) FROM view_check_results").fetch_one(&world.pool).await.unwrap();
    assert_eq!(results, recorded);
    let narrow = DailyFigureFilter {
        tenant: None,
        deployment: Some(all[0].deployment_id),
        check: Some(all[0].check_code.clone()),
        severities: vec![Outcome::Critical],
        until: all[0].day,
        ..filter
    };
    let found = walk(9, async |page| queries.daily_figures(&narrow, &page).await).await;
    let belongs = |figure: &&query_side::DailyFigure| {
        figure.day == all[0].day
            && figure.deployment_id == all[0].deployment_id
            && figure.check_code == all[0].check_code
            && figure.severity == Outcome::Critical
    };
    assert!(found.iter().eq(all.iter().filter(belongs)));
    let over_time = CheckResultFilter {
        deployment: world.story.deployments()[0],
        check: "CM-CHECK-1".to_owned(),
        component: "store-1".to_owned(),
        since: None,
        until: None,
    };
    let first = queries.check_result_history(&over_time, &PageRequest::first(2)).await.unwrap();
    assert!(first.has_next);
    let next = PageRequest::after(500, first.end_cursor.unwrap());
    let rest = queries.check_result_history(&over_time, &next).await.unwrap();
    let whole = queries.check_result_history(&over_time, &PageRequest::first(500)).await.unwrap();
    assert!(first.items.iter().chain(&rest.items).eq(&whole.items));
    assert!(whole.items.is_sorted_by_key(|result| std::cmp::Reverse((result.measured_at, result.run_id))));
    let stream = StreamId::new("Deployment", &world.story.deployments()[0].to_string());
    let history = queries.stream_history(stream.clone(), StreamVersion(0), 10).await.unwrap();
    assert_eq!(history[0].event_type, "DeploymentRegistered");
    let too_much = queries.stream_history(stream, StreamVersion(0), 1_001).await;
    assert!(matches!(too_much, Err(QueryError::OutOfBounds { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_a_time_limit() {
    let world = World::of(28, 50).await;
    let options = world.pool.connect_options().as_ref().clone();
    let pool = query_pool(options, 2, Duration::from_millis(200));
    let slow = sqlx::query("SELECT pg_sleep(30)").execute(&pool).await.map_err(QueryError::from);
    assert!(matches!(slow, Err(QueryError::TimedOut)), "{slow:?}");
}
