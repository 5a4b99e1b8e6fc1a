//! A policy's rows, from its definition over what it lets on and learns to its end.

use super::super::testing::{Told, log};
use super::Policies;
use crate::decoded::Decoded;
use domain::policy::{
    AdmissionRequest, Automatic, BreakerKey, BreakerSettings, Mode, Policy, PolicyCommand, PolicyDefinition,
    PolicyEvent, Rule, Settlement, Share, Span,
};
use domain::remediation::{BlastRadius, Trigger};
use domain::testing::{DEPLOYMENT, Given, after, check, given};
use domain::{AnyEvent, DeploymentId, Outcome, PolicyId, RemediationId, TenantId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn id() -> Uuid {
    PolicyId::of(&TenantId::default(), &"default".parse().unwrap()).0
}

fn remediation(number: u32) -> RemediationId {
    RemediationId(Uuid::from_u128(0x0190_0000_0000_7000_b000_0000_0000_0000 + u128::from(number)))
}

fn other_deployment() -> DeploymentId {
    DeploymentId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0009))
}

/// Each has its own resource, and all the same action.
fn request(number: u32, deployment: DeploymentId) -> AdmissionRequest {
    AdmissionRequest {
        policy: "default".parse().unwrap(),
        remediation: remediation(number),
        binding: format!("{number:064x}").parse().unwrap(),
        deployment,
        deployment_name: "records".to_owned(),
        labels: BTreeMap::new(),
        check: check("CM-PG-STATISTICS-STALE"),
        check_version: "0123456789ab".to_owned(),
        runbook: "analyze-table".parse().unwrap(),
        runbook_version: "ba9876543210".to_owned(),
        actions: vec![("postgres.analyze".parse().unwrap(), 1)],
        severity: Outcome::Warning,
        resource: format!("table-{number}").parse().unwrap(),
        blast: BlastRadius { documents: 1, ..BlastRadius::default() },
        reversible: true,
        always_approve: false,
        flapping: false,
        trigger: Trigger::Policy,
    }
}

/// Runs by itself once a lower bound of one half is seen; a breaker opens after two failures.
fn definition() -> PolicyDefinition {
    let automatic = Automatic {
        min_lower_bound: Share::millionths(500_000),
        confidence: Share::millionths(950_000),
        min_samples: 3,
        probation: 1,
        otherwise_people: 1,
    };
    let rule = Rule {
        name: "all".to_owned(),
        actions: Vec::new(),
        checks: Vec::new(),
        deployments: Vec::new(),
        severities: Vec::new(),
        windows: Vec::new(),
        mode: Mode::Automatic(automatic),
    };
    let breaker = BreakerSettings { open_after: 2, within: Span::seconds(86_400), half_open_after: Span::seconds(600) };
    PolicyDefinition { rules: vec![rule], breaker, ..PolicyDefinition::default() }
}

fn admit(story: Given<Policy>, number: u32, deployment: DeploymentId) -> Given<Policy> {
    let request = Box::new(request(number, deployment));
    story.at(after(i64::from(number) * 120)).and(PolicyCommand::Admit { request })
}

fn settled(story: Given<Policy>, number: u32, outcome: Settlement) -> Given<Policy> {
    let (remediation, failed_actions) = (remediation(number), Vec::new());
    admit(story, number, DEPLOYMENT).and(PolicyCommand::Settle {
        remediation,
        outcome,
        attributable: true,
        failed_actions,
    })
}

/// Five successes, two failures, one that is held back, one that is let through to try, and the end.
fn life() -> Vec<PolicyEvent> {
    let define = PolicyCommand::Define { policy: "default".parse().unwrap(), definition: definition() };
    let mut story = given::<Policy>(id(), []).and(define);
    for number in 1..=5 {
        story = settled(story, number, Settlement::Succeeded);
    }
    for number in 6..=7 {
        story = settled(story, number, Settlement::Failed);
    }
    story = admit(story, 8, DEPLOYMENT);
    story = settled(story, 20, Settlement::Succeeded);
    let revised = PolicyDefinition { irreversible_people: 1, ..definition() };
    story = story.and(PolicyCommand::Revise { definition: revised, reason: "one will do".to_owned() });
    story.and(PolicyCommand::Retire { reason: "the built-in one will do".to_owned() }).into_events()
}

fn told(events: Vec<PolicyEvent>) -> Vec<Arc<Decoded>> {
    log(id(), events.into_iter().map(AnyEvent::Policy))
}

/// The events up to the `nth` (from 1) one of this name.
fn up_to(name: &str, nth: usize) -> Vec<Arc<Decoded>> {
    let events = life();
    let names: Vec<_> = events.iter().map(PolicyEvent::name).collect();
    let places = events.iter().enumerate().filter(|(_, event)| event.name() == name);
    let place = places.map(|(place, _)| place).nth(nth - 1).unwrap_or_else(|| panic!("{name} is not among {names:?}"));
    told(events.into_iter().take(place + 1).collect())
}

const POLICY: &str = "SELECT name, definition IS NOT NULL AS defined, revision, changed_by, reservations, breakers \
    FROM view_policies";
const LEARNED: &str = "SELECT runbook, check_code, successes, failures, automatic, lower_bound > 0.5 AS enough, \
    reason IS NOT NULL AS says_why FROM view_policy_statistics";

async fn policy_after(views: &Told, events: &[Arc<Decoded>]) -> Value {
    let mut rows = views.then::<Policies>(events, POLICY).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["name"], &rows[0]["changed_by"]), (&json!("default"), &json!("test")));
    rows.remove(0)
}

#[tokio::test]
async fn what_it_says_and_holds_is_shown() {
    let views = Told::new().await;
    let row = policy_after(&views, &up_to("PolicyDefined", 1)).await;
    assert_eq!((&row["defined"], &row["revision"], &row["reservations"]), (&json!(true), &json!(1), &json!({})));
    let row = policy_after(&views, &up_to("RemediationReserved", 1)).await;
    let held = &row["reservations"][remediation(1).to_string()];
    assert_eq!((&held["deployment"], &held["blast"]["documents"]), (&json!(DEPLOYMENT), &json!(1)), "{row:#}");
    let row = policy_after(&views, &up_to("ReservationReleased", 1)).await;
    assert_eq!(row["reservations"], json!({}));
    let row = policy_after(&views, &up_to("PolicyRevised", 1)).await;
    assert_eq!((&row["defined"], &row["revision"]), (&json!(true), &json!(2)));
    let row = policy_after(&views, &up_to("PolicyRetired", 1)).await;
    assert_eq!((&row["defined"], &row["revision"]), (&json!(false), &json!(0)));
}

#[tokio::test]
async fn open_breakers_are_shown_until_they_close() {
    let views = Told::new().await;
    let name = format!("action postgres.analyze in {DEPLOYMENT}");
    let row = policy_after(&views, &up_to("BreakerOpened", 1)).await;
    assert_eq!(row["breakers"].as_object().map(serde_json::Map::len), Some(1), "{row:#}");
    let open = &row["breakers"][&name];
    assert_eq!((&open["failures"], &open["half_open"]), (&json!(2), &json!(false)), "{row:#}");
    let row = policy_after(&views, &up_to("AdmissionDeferred", 1)).await;
    assert_eq!(row["reservations"], json!({}), "who is held back holds nothing");
    let row = policy_after(&views, &up_to("BreakerHalfOpened", 1)).await;
    assert_eq!(row["breakers"][&name]["half_open"], json!(true));
    assert_eq!(policy_after(&views, &up_to("BreakerClosed", 1)).await["breakers"], json!({}));
}

#[tokio::test]
async fn breakers_of_deployments_are_told_apart() {
    let views = Told::new().await;
    let breaker = |deployment| BreakerKey::Action { deployment, action: "postgres.analyze".parse().unwrap() };
    let open = |deployment| PolicyEvent::BreakerOpened {
        breaker: breaker(deployment),
        failures: 2,
        until: after(9_000),
        at: after(2_000),
    };
    let reason = "it was seen to".to_owned();
    let close = PolicyEvent::BreakerClosed { breaker: breaker(DEPLOYMENT), by: None, reason, at: after(2_001) };
    let mut events = life();
    events.truncate(1);
    events.extend([open(DEPLOYMENT), open(other_deployment())]);
    let both = policy_after(&views, &told(events.clone())).await;
    assert_eq!(both["breakers"].as_object().map(serde_json::Map::len), Some(2), "{both:#}");
    events.push(close);
    let left = policy_after(&views, &told(events)).await;
    let name = format!("action postgres.analyze in {}", other_deployment());
    assert!(left["breakers"].get(&name).is_some(), "{left:#}");
}

#[tokio::test]
async fn what_was_learned_is_shown() {
    let views = Told::new().await;
    let learned = |successes: u32, failures: u32, right: Option<bool>| {
        let (enough, says_why) = (right, right == Some(false));
        json!({ "runbook": "analyze-table", "check_code": "CM-PG-STATISTICS-STALE", "successes": successes,
            "failures": failures, "automatic": right, "enough": enough, "says_why": says_why })
    };
    let row = views.then::<Policies>(&up_to("ReservationReleased", 1), LEARNED).await;
    assert_eq!(row, [learned(1, 0, None)]);
    let row = views.then::<Policies>(&up_to("AutomaticRightGained", 1), LEARNED).await;
    assert_eq!((&row[0]["automatic"], &row[0]["enough"]), (&json!(true), &json!(true)), "{row:#?}");
    let row = views.then::<Policies>(&up_to("AutomaticRightLost", 1), LEARNED).await;
    let [row] = row.as_slice() else { panic!("{row:#?}") };
    assert_eq!((&row["successes"], &row["failures"]), (&json!(5), &json!(1)));
    assert_eq!((&row["automatic"], &row["says_why"]), (&json!(false), &json!(true)), "{row:#}");
}

#[tokio::test]
async fn all_of_it_goes_on_after_the_rows_were_forgotten() {
    Told::new().await.survives_being_forgotten::<Policies>(&told(life())).await;
}
