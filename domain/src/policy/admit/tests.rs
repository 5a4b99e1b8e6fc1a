use crate::policy::story::{
    action, admit, approval, built_in, defined, id, planned_again, policy, remediation, request, rule, settle,
    with_rules,
};
use crate::policy::{
    AdmissionRequest, Blackout, Budget, Mode, NOTES_MAX, Policy, PolicyCommand, PolicyDefinition, PolicyEvent,
    RateLimit, Settlement, Span, StormGuard, answer, held_back, standing,
};
use crate::remediation::{Admission, BlastRadius};
use crate::testing::{Given, after, given, refuses, start};
use chrono::TimeDelta;

fn unattended() -> PolicyDefinition {
    with_rules(vec![rule("all", Mode::Unattended)])
}

fn blackout(text: &str) -> Blackout {
    serde_json::from_str(text).unwrap()
}

fn deferred(story: &Given<Policy>, request: &AdmissionRequest, seconds: i64) -> (String, i64) {
    match standing(&story.state(), request, after(seconds)) {
        (Admission::Deferred { retry_at }, reason) => (reason, (retry_at - start()).num_seconds()),
        other => panic!("not held back but {other:?}"),
    }
}

#[test]
fn an_undefined_policy_decides_as_the_built_in_one() {
    let state = built_in().when(admit(request(1))).then_types(&["RemediationReserved"]);
    let reservation = state.reservation(remediation(1)).unwrap();
    let expires_at = after(8 * 3_600);
    assert_eq!(reservation.admission, Admission::Approval { people: 1, expires_at });
    assert_eq!(state.name, Some(request(1).policy));
    let state = built_in()
        .when(admit(AdmissionRequest { reversible: false, ..request(1) }))
        .then_types(&["RemediationReserved"]);
    assert!(matches!(state.reservation(remediation(1)).unwrap().admission, Admission::Approval { people: 2, .. }));
}

#[test]
fn the_same_plan_is_admitted_once() {
    built_in().and(admit(request(1))).when(admit(request(1))).then_nothing();
    let state = built_in().and(admit(request(1))).state();
    // What would be answered otherwise: the resource is busy. The answer that was given stands.
    assert!(matches!(answer(&state, &request(1), after(60)).0, Admission::Approval { people: 1, .. }));
    // An approval that has expired is asked for again.
    let again = built_in().and(admit(request(1))).at(after(8 * 3_600)).when(admit(request(1)));
    assert_eq!(again.then_types(&["RemediationReserved"]).open.len(), 1);
}

#[test]
fn another_plan_of_the_same_remediation_takes_its_place() {
    let budget = Budget { documents: 10, max_open: 1, ..Budget::default() };
    let story = || policy(PolicyDefinition { budget, ..unattended() });
    let much = |documents| AdmissionRequest {
        blast: BlastRadius { documents, ..BlastRadius::default() },
        ..planned_again(&request(1))
    };
    let state = story().and(admit(request(1))).when(admit(much(10))).then_types(&["RemediationReserved"]);
    assert_eq!((state.open.len(), state.reserved().documents), (1, 10));
    story().and(admit(request(1))).when(admit(much(11))).then_types(&["AdmissionForbidden"]);
}

#[test]
fn a_blackout_holds_everything_back_until_it_ends() {
    let monday = blackout(r#"{"reason": "month's end", "when": {"weekly": {"days": ["monday"], "until": "09:00"}}}"#);
    let story = || policy(PolicyDefinition { blackouts: vec![monday.clone()], ..unattended() });
    assert_eq!(deferred(&story(), &request(1), 0), ("blackout: month's end".to_owned(), 3_600));
    let state = story().when(admit(request(1))).then_types(&["AdmissionDeferred"]);
    assert!(state.open.is_empty());
    let state = story().at(after(3_600)).when(admit(request(1))).then_types(&["RemediationReserved"]);
    // A week later the blackout is there again: what was let on by then does not begin within it.
    assert_eq!(held_back(&state, remediation(1), after(3_600)), None);
    let week = TimeDelta::days(7);
    let (admission, _) = held_back(&state, remediation(1), start() + week).unwrap();
    assert_eq!(admission, Admission::Deferred { retry_at: after(3_600) + week });
    assert!(held_back(&state, remediation(2), after(3_600)).is_some());
}

#[test]
fn one_resource_is_in_one_hand() {
    let story = || policy(unattended()).and(admit(request(1)));
    let same = AdmissionRequest { resource: request(1).resource, ..request(2) };
    assert!(deferred(&story(), &same, 0).0.contains("at the same resource"));
    let elsewhere = AdmissionRequest { deployment: uuid::Uuid::from_u128(7).into(), ..same.clone() };
    story().when(admit(elsewhere)).then_types(&["RemediationReserved"]);
    story().and(settle(1, Settlement::Succeeded)).when(admit(same)).then_types(&["RemediationReserved"]);
}

#[test]
fn a_resource_is_touched_so_often_and_no_more() {
    let rate = RateLimit { per_resource: 2, per: Span::seconds(600) };
    let again = |number| AdmissionRequest { resource: request(1).resource, ..request(number) };
    let mut story = policy(PolicyDefinition { rate, ..unattended() });
    for (number, seconds) in [(1, 0), (2, 100)] {
        story = story.at(after(seconds)).and(admit(again(number))).and(settle(number, Settlement::Succeeded));
    }
    assert_eq!(deferred(&story, &again(3), 100).1, 600);
    assert_eq!(deferred(&story, &again(3), 599).1, 604, "nobody is told to ask again at once");
    story = story.at(after(600)).and(admit(again(3))).and(settle(3, Settlement::Failed));
    assert_eq!(deferred(&story, &again(4), 600).1, 700);
    story.at(after(600)).when(admit(request(5))).then_types(&["RemediationReserved"]);
}

#[test]
fn a_deployment_is_touched_so_often_a_minute() {
    let storm = StormGuard { per_deployment_minute: 3, ..PolicyDefinition::default().storm };
    let mut story = policy(PolicyDefinition { storm, ..unattended() });
    for number in 0..3 {
        story = story.at(after(i64::from(number))).and(admit(request(number)));
    }
    assert_eq!(deferred(&story, &request(3), 30).1, 60);
    let elsewhere = AdmissionRequest { deployment: uuid::Uuid::from_u128(7).into(), ..request(3) };
    assert_eq!(standing(&story.state(), &elsewhere, after(30)).0, Admission::Unattended);
    story.at(after(60)).when(admit(request(3))).then_types(&["RemediationReserved"]);
}

#[test]
fn two_plans_do_not_spend_the_same() {
    let budget = Budget { documents: 10, ..Budget::default() };
    let of = |number, documents| AdmissionRequest {
        blast: BlastRadius { documents, ..BlastRadius::default() },
        ..request(number)
    };
    let story = || policy(PolicyDefinition { budget, ..unattended() }).and(admit(of(1, 6)));
    assert_eq!(
        deferred(&story(), &of(2, 5), 0),
        ("with it, open remediations would touch 11 documents; the budget is 10".to_owned(), 15)
    );
    story().when(admit(of(2, 4))).then_types(&["RemediationReserved"]);
    story().and(settle(1, Settlement::Stuck)).when(admit(of(2, 5))).then_types(&["RemediationReserved"]);
    story().when(admit(of(2, 11))).then_types(&["AdmissionForbidden"]);
    // What can not be added up is too much.
    story().when(admit(of(2, u64::MAX))).then_types(&["AdmissionForbidden"]);
}

#[test]
fn only_so_many_are_open() {
    let budget = Budget { max_open: 1, ..Budget::default() };
    let story = policy(PolicyDefinition { budget, ..unattended() }).and(admit(request(1)));
    assert_eq!(deferred(&story, &request(2), 0), ("1 remediations are open already".to_owned(), 15));
}

#[test]
fn that_it_is_held_back_is_recorded_once() {
    let busy = |number| AdmissionRequest { resource: request(1).resource, ..request(number) };
    let story = || policy(unattended()).and(admit(request(1))).and(admit(busy(2)));
    story().when(admit(busy(2))).then_nothing();
    story().at(after(14)).when(admit(busy(3))).then_nothing();
    story().at(after(15)).when(admit(busy(3))).then_types(&["AdmissionDeferred"]);
    // Nothing was recorded, and nothing is let on that holds no reservation.
    let state = story().and(settle(1, Settlement::Succeeded)).state();
    assert_eq!(standing(&state, &busy(3), after(1)).0, Admission::Unattended);
    assert_eq!(answer(&state, &busy(3), after(1)).0, Admission::Deferred { retry_at: after(6) });
    // It is let on as soon as it asks again, whatever was recorded.
    story().and(settle(1, Settlement::Succeeded)).when(admit(busy(3))).then_types(&["RemediationReserved"]);
}

#[test]
fn that_it_is_forbidden_is_recorded_once() {
    let story = || policy(with_rules(vec![rule("none", Mode::Never)]));
    let state = story().when(admit(request(1))).then_types(&["AdmissionForbidden"]);
    assert_eq!(answer(&state, &request(1), start()).0, Admission::Forbidden);
    story().and(admit(request(1))).at(after(3_599)).when(admit(request(1))).then_nothing();
    story().and(admit(request(1))).at(after(3_600)).when(admit(request(1))).then_types(&["AdmissionForbidden"]);
}

#[test]
fn no_more_is_recorded_than_is_remembered() {
    let many = NOTES_MAX as u32;
    let forbidden = |number| PolicyEvent::AdmissionForbidden {
        policy: request(number).policy,
        remediation: remediation(number),
        deployment: request(number).deployment,
        resource: request(number).resource,
        reason: "no".to_owned(),
        noted_until: after(3_600),
        at: start(),
    };
    let events = std::iter::once(defined(with_rules(vec![rule("none", Mode::Never)]))).chain((0..many).map(forbidden));
    given::<Policy>(id(), events).when(admit(request(many))).then_nothing();
}

#[test]
fn refusals() {
    let all = || vec![defined(with_rules(vec![rule("all", approval(1))]))];
    let other = AdmissionRequest { policy: "other".parse().unwrap(), ..request(1) };
    let nameless = AdmissionRequest { deployment_name: String::new(), ..request(1) };
    let unversioned = AdmissionRequest { runbook_version: " ".to_owned(), ..request(1) };
    let long = AdmissionRequest { check_version: "x".repeat(65), ..request(1) };
    let many = AdmissionRequest { actions: (0..65).map(|n| (action("a.b"), n)).collect(), ..request(1) };
    let rows: Vec<(&str, Vec<PolicyEvent>, PolicyCommand, &'static str)> = vec![
        ("another policy's", all(), admit(other), "policy_misaddressed"),
        ("no name", all(), admit(nameless), "text_empty"),
        ("no version", all(), admit(unversioned), "text_empty"),
        ("a long version", all(), admit(long), "text_too_long"),
        ("too many actions", all(), admit(many), "too_many_actions"),
    ];
    refuses::<Policy>(id(), rows);
}
