//! The law of the past: asked as of a position, every query answers what it had answered when the views stood there.

use crate::support::{PATIENCE, Recorded};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::remediation::RemediationPhase;
use domain::{Position, StreamVersion, TenantId};
use event_store::{EventLog, StreamId};
use query_side::{
    AsOf, Behind, CheckResultFilter, DailyFigureFilter, DeploymentFilter, FindingFilter, FindingStatus, Moment,
    PageRequest, Queries, QueryError, RemediationFilter, RunFilter, RunStatus,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::collections::BTreeSet;

const EVENTS: usize = 1_500;
const POSITIONS: usize = 250;

/// What was asked and what was answered.
type Answers = Vec<(&'static str, String)>;

fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap()
}

/// Answers of every kind; `number` chooses between some, so that all come up.
async fn ask(queries: &Queries, number: usize) -> Answers {
    let mut answers = lists(queries, number).await;
    answers.extend(things(queries, number).await);
    answers
}

async fn lists(queries: &Queries, number: usize) -> Answers {
    let all = PageRequest::first(PageRequest::MAX);
    let some = PageRequest::first(7);
    let runs = queries.runs(&RunFilter::default(), &all).await.unwrap();
    let deployment = runs.items.get(number % runs.items.len().max(1)).map(|run| run.deployment_id);
    let statuses = if number.is_multiple_of(2) { RunStatus::UNDER_WAY.to_vec() } else { vec![RunStatus::Completed] };
    let narrow = RunFilter { deployment, statuses, ..RunFilter::default() };
    let cut = PageRequest { after: runs.items.get(number % 11).map(query_side::Keyset::cursor), ..some.clone() };
    let findings = FindingFilter { deployment, ..FindingFilter::default() };
    let present = FindingFilter {
        statuses: FindingStatus::PRESENT.to_vec(),
        muted: Some(number.is_multiple_of(3)),
        ..findings.clone()
    };
    let retired = DeploymentFilter { include_retired: true, ..DeploymentFilter::default() };
    let open = RemediationFilter { at_rest: Some(false), deployment, ..RemediationFilter::default() };
    let failed = RemediationFilter { phases: vec![RemediationPhase::Failed], ..RemediationFilter::default() };
    let day = |day| NaiveDate::from_ymd_opt(2026, 1, day).unwrap();
    let (from, until) = (day(1 + (number % 3) as u32), day(31));
    let figures =
        DailyFigureFilter { tenant: None, from, until, deployment: None, check: None, severities: Vec::new() };
    vec![
        ("runs", text(&runs)),
        ("runs of a deployment in a state", text(&queries.runs(&narrow, &some).await.unwrap())),
        ("runs after a cursor", text(&queries.runs(&RunFilter::default(), &cut).await.unwrap())),
        ("how many runs", text(&queries.count_runs(&RunFilter::default()).await.unwrap())),
        ("how many in a state", text(&queries.count_runs(&narrow).await.unwrap())),
        ("findings", text(&queries.findings(&findings, &all).await.unwrap())),
        ("present findings", text(&queries.findings(&present, &some).await.unwrap())),
        ("how many findings", text(&queries.count_findings(&present).await.unwrap())),
        ("deployments", text(&queries.deployments(&retired, &all).await.unwrap())),
        ("how many deployments", text(&queries.count_deployments(&DeploymentFilter::default()).await.unwrap())),
        ("remediations", text(&queries.remediations(&RemediationFilter::default(), &all).await.unwrap())),
        ("open remediations", text(&queries.remediations(&open, &some).await.unwrap())),
        ("failed remediations", text(&queries.remediations(&failed, &some).await.unwrap())),
        ("figures", text(&queries.daily_figures(&figures, &all).await.unwrap())),
    ]
}

async fn things(queries: &Queries, number: usize) -> Answers {
    let some = PageRequest::first(20);
    let tenant = TenantId::default();
    let mut answers: Answers = vec![
        ("emergency stop", text(&queries.emergency_stop(&tenant).await.unwrap())),
        ("policies", text(&queries.policies(&tenant).await.unwrap())),
    ];
    for policy in queries.policies(&tenant).await.unwrap() {
        answers.push(("learned", text(&queries.policy_statistics(policy.id, 500).await.unwrap())));
    }
    let runs = queries.runs(&RunFilter::default(), &PageRequest::first(5)).await.unwrap().items;
    if let Some(run) = runs.get(number % 5) {
        answers.push(("run", text(&queries.run(run.id).await.unwrap())));
        answers.push(("results", text(&queries.check_results(run.id, &[], &some).await.unwrap())));
        answers.push(("deployment", text(&queries.deployment(run.deployment_id).await.unwrap())));
        let ids = [run.id];
        answers.push(("results of runs", few(queries.results_of_runs(&ids, 5).await.unwrap().remove(&run.id))));
        answers.push(("seen by runs", few(queries.findings_of_runs(&ids, 5).await.unwrap().remove(&run.id))));
        let of = [run.deployment_id];
        let found = queries.findings_of_deployments(&of, 5).await.unwrap().remove(&run.deployment_id);
        answers.push(("findings of deployments", few(found)));
        let (check, component) = ("CM-CHECK-1".to_owned(), domain::testing::COMPONENT.to_owned());
        let filter = CheckResultFilter { deployment: run.deployment_id, check, component, since: None, until: None };
        answers.push(("results over time", text(&queries.check_result_history(&filter, &some).await.unwrap())));
    }
    let findings = queries.findings(&FindingFilter::default(), &some).await.unwrap().items;
    if let Some(finding) = findings.get(number % 20) {
        answers.push(("finding", text(&queries.finding(finding.id).await.unwrap())));
        answers.push(("its life", text(&queries.finding_history(finding.id, &some).await.unwrap())));
    }
    let remediations = queries.remediations(&RemediationFilter::default(), &some).await.unwrap().items;
    if let Some(remediation) = remediations.get(number % 20) {
        answers.push(("remediation", text(&queries.remediation(remediation.id).await.unwrap())));
    }
    answers
}

fn few<T: Serialize>(few: Option<query_side::FirstFew<T>>) -> String {
    text(&few.map(|few| (few.items, few.has_more)))
}

/// As of where the views stand: no row has changed since, so that each comes straight from its view.
async fn at(queries: &Queries, position: usize) -> Queries {
    queries.as_of(Moment::Position(Position(position as i64)), PATIENCE).await.unwrap()
}

async fn answers_are_what_they_were(seed: u64) {
    let mut world = Recorded::of(seed, EVENTS).await;
    let queries = world.queries();
    let mut random = StdRng::seed_from_u64(seed);
    let mut positions = BTreeSet::new();
    while positions.len() < POSITIONS {
        positions.insert(random.random_range(1..EVENTS));
    }
    let mut snapshots = Vec::new();
    for (number, position) in positions.into_iter().enumerate() {
        world.project_to(position).await;
        let live = ask(&at(&queries, position).await, number).await;
        if number % 50 == 0 {
            // The moment changes nothing but what counts as now.
            let present = queries.runs(&RunFilter::default(), &PageRequest::first(PageRequest::MAX)).await.unwrap();
            assert_eq!(live[0].1, text(&present));
        }
        snapshots.push((number, position, live));
    }
    world.project_to(EVENTS).await;
    for (number, position, live) in snapshots {
        let then = ask(&at(&queries, position).await, number).await;
        for (then, live) in then.iter().zip(&live) {
            assert_eq!(then, live, "at {position} of {seed}");
        }
        assert_eq!(then.len(), live.len(), "at {position} of {seed}");
    }
}

macro_rules! laws {
    ($($name:ident: $seed:literal;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            answers_are_what_they_were($seed).await;
        }
    )+};
}

// A thousand positions in all.
laws! {
    every_answer_of_the_past_is_what_it_was_in_a_first_story: 821;
    every_answer_of_the_past_is_what_it_was_in_a_second_story: 822;
    every_answer_of_the_past_is_what_it_was_in_a_third_story: 823;
    every_answer_of_the_past_is_what_it_was_in_a_fourth_story: 824;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_is_found_or_refused_and_never_guessed() {
    let mut world = Recorded::of(825, 300).await;
    world.project_to(300).await;
    let queries = world.queries();
    let beyond = queries.as_of(Moment::Position(Position(301)), PATIENCE).await;
    assert!(matches!(beyond, Err(Behind::Query(QueryError::BeyondEnd { asked: Position(301), end: Position(300) }))));
    let to_come = queries.as_of(Moment::Time(Utc::now() + TimeDelta::hours(1)), PATIENCE).await;
    assert!(matches!(to_come, Err(Behind::Query(QueryError::InFuture { .. }))));
    let events = world.log.read_all(Position::START, 300).await.unwrap();
    let of = |found: &Queries| -> AsOf { *found.looks_at().unwrap() };
    // Before anything was recorded there was nothing.
    let before = queries.as_of(Moment::Time(events[0].recorded_at - TimeDelta::seconds(1)), PATIENCE).await.unwrap();
    assert_eq!((of(&before).position, of(&before).recorded_at), (Position::START, None));
    for (what, answer) in ask(&before, 1).await {
        assert!(
            ["null", "[]"].contains(&&*answer) || answer.contains("\"items\":[]") || answer.contains(":0"),
            "{what}: {answer}"
        );
    }
    let nothing = at(&queries, 0).await;
    assert_eq!(ask(&nothing, 1).await, ask(&before, 1).await);
    // Just before, at, and just after what was recorded.
    for index in [0, 17, 150, 299] {
        let recorded = events[index].recorded_at;
        let last_at = |time: DateTime<Utc>| events.iter().rposition(|event| event.recorded_at <= time);
        for time in [recorded - TimeDelta::microseconds(1), recorded, recorded + TimeDelta::microseconds(1)] {
            let found = of(&queries.as_of(Moment::Time(time), PATIENCE).await.unwrap());
            let expected = last_at(time).map_or(0, |index| index as i64 + 1);
            assert_eq!((found.position, found.now), (Position(expected), time));
            assert_eq!(found.recorded_at, last_at(time).map(|index| events[index].recorded_at));
        }
    }
    let stream = events.iter().rfind(|event| event.version.0 > 2).unwrap().stream.clone();
    let whole = queries.stream_history(stream.clone(), StreamVersion(0), 500).await.unwrap();
    let cut = at(&queries, whole[1].position.0 as usize).await;
    assert_eq!(cut.stream_history(stream, StreamVersion(0), 500).await.unwrap().len(), 2);
    let search = cut.search_deployments("d", &DeploymentFilter::default(), 5).await;
    assert!(matches!(search, Err(QueryError::PresentOnly(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_has_not_come_so_far_is_waited_for_and_then_refused() {
    let mut world = Recorded::of(826, 100).await;
    world.project_to(60).await;
    let moment = Moment::Position(Position(61));
    let behind = world.queries().as_of(moment, std::time::Duration::from_millis(30)).await;
    assert!(matches!(behind, Err(Behind::Late { position: Position(61), .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_skipped_is_skipped_in_the_past_as_well() {
    let mut world = Recorded::of(827, 400).await;
    world.project_to(400).await;
    let events = world.log.read_all(Position::START, 400).await.unwrap();
    let stops = |event: &&event_store::RecordedEvent| event.event_type == "EmergencyStopEngaged";
    let skipped = events.iter().filter(stops).map(|event| event.position.0).next().unwrap();
    let later = events.iter().rev().find(|event| &*event.stream.aggregate_type == "EmergencyStop").unwrap();
    assert!(later.position.0 > skipped);
    let queries = at(&world.queries(), skipped as usize).await;
    let tenant = TenantId::default();
    assert!(queries.emergency_stop(&tenant).await.unwrap().is_some_and(|stop| stop.engaged));
    world.decide_to_skip("emergency_stops", Position(skipped)).await;
    assert!(queries.emergency_stop(&tenant).await.unwrap().is_none_or(|stop| !stop.engaged));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_take_too_much_is_refused() {
    let mut world = Recorded::of(828, 50).await;
    // One stream with more events than are folded for one answer.
    let stop = domain::emergency_stop::EmergencyStop::of(&TenantId::default());
    let end =
        world.lengthen(&StreamId::new("EmergencyStop", &stop.to_string()), query_side::past::EVENTS_MAX + 10).await;
    world.stand_at(end).await;
    sqlx::query("INSERT INTO view_emergency_stops VALUES ($1, 'default', true, false, '', 'ann', now(), $2, 1)")
        .bind(stop)
        .bind(end as i64)
        .execute(&world.pool)
        .await
        .unwrap();
    let refused = at(&world.queries(), end - 1).await.emergency_stop(&TenantId::default()).await;
    assert!(matches!(refused, Err(QueryError::TooMuch { what: "events", .. })), "{refused:?}");
}
