use super::super::definition::Mode;
use super::super::glob::Glob;
use super::super::standing::standing;
use super::super::story::{action, approval, automatic, policy, request, rule, succeeded, with_rules};
use super::super::{AdmissionRequest, PolicyDefinition, Rule};
use crate::outcome::Outcome;
use crate::remediation::{Admission, Trigger};
use crate::testing::{after, start};

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::new(*pattern).unwrap()).collect()
}

fn of_actions(name: &str, actions: &[&str], mode: Mode) -> Rule {
    Rule { actions: globs(actions), ..rule(name, mode) }
}

fn said(definition: &PolicyDefinition, request: &AdmissionRequest) -> (Admission, String) {
    let story = policy(PolicyDefinition {
        rate: super::super::RateLimit { per_resource: 100, ..definition.rate },
        ..definition.clone()
    });
    // Nine successes: enough to run by itself.
    standing(&succeeded(story, 100..109).at(after(120)).state(), request, after(120))
}

fn people(definition: &PolicyDefinition, request: &AdmissionRequest) -> u8 {
    match said(definition, request).0 {
        Admission::Approval { people, expires_at } => {
            assert_eq!(expires_at, after(120) + definition.approval_ttl.delta());
            people
        }
        other => panic!("{other:?}"),
    }
}

fn does(actions: &[&str]) -> AdmissionRequest {
    AdmissionRequest { actions: actions.iter().map(|name| (action(name), 1)).collect(), ..request(1) }
}

#[test]
fn the_first_rule_that_applies_decides_for_an_action() {
    let rules = vec![
        of_actions("indexes", &["postgres.*-index"], approval(2)),
        of_actions("postgres", &["postgres.*"], Mode::Unattended),
        rule("rest", approval(1)),
    ];
    let definition = with_rules(rules);
    assert_eq!(people(&definition, &does(&["postgres.drop-index"])), 2);
    assert_eq!(said(&definition, &does(&["postgres.analyze"])).0, Admission::Unattended);
    assert_eq!(people(&definition, &does(&["redis.save"])), 1);
}

#[test]
fn of_several_actions_the_strictest_mode_decides() {
    let rules = vec![
        of_actions("never", &["service.kill"], Mode::Never),
        of_actions("service", &["service.*"], approval(2)),
        of_actions("redis", &["redis.*"], Mode::Unattended),
        of_actions("postgres", &["postgres.*"], Mode::Automatic(automatic())),
    ];
    let definition = with_rules(rules);
    assert_eq!(said(&definition, &does(&["postgres.analyze"])).0, Admission::Automatic);
    assert_eq!(said(&definition, &does(&["postgres.analyze", "redis.save"])).0, Admission::Unattended);
    assert_eq!(people(&definition, &does(&["postgres.analyze", "redis.save", "service.restart"])), 2);
    for actions in [["service.kill", "postgres.analyze"], ["postgres.analyze", "service.kill"]] {
        let (admission, reason) = said(&definition, &does(&actions));
        assert_eq!((admission, reason.contains("forbids service.kill")), (Admission::Forbidden, true));
    }
    let (admission, reason) = said(&definition, &does(&["postgres.analyze", "file.move"]));
    assert_eq!((admission, reason.contains("no rule is about file.move")), (Admission::Forbidden, true));
}

#[test]
fn rules_are_about_checks_deployments_and_severities() {
    let all = || rule("some", Mode::Unattended);
    for (rule, applies) in [
        (Rule { checks: globs(&["CM-PG-*"]), ..all() }, true),
        (Rule { checks: globs(&["CM-STORE-*"]), ..all() }, false),
        (Rule { deployments: globs(&["other", "rec*"]), ..all() }, true),
        (Rule { deployments: globs(&["label:site=north"]), ..all() }, true),
        (Rule { deployments: globs(&["label:site=south"]), ..all() }, false),
        (Rule { severities: vec![Outcome::Warning], ..all() }, true),
        (Rule { severities: vec![Outcome::Critical], ..all() }, false),
    ] {
        let expected = if applies { Admission::Unattended } else { Admission::Forbidden };
        let state = policy(with_rules(vec![rule.clone()])).state();
        assert_eq!(standing(&state, &request(1), start()).0, expected, "{rule:?}");
    }
}

#[test]
fn what_can_not_be_taken_back_is_always_approved() {
    let definition = with_rules(vec![rule("all", Mode::Automatic(automatic()))]);
    assert_eq!(said(&definition, &request(1)).0, Admission::Automatic);
    assert_eq!(people(&definition, &AdmissionRequest { reversible: false, ..request(1) }), 2);
    assert_eq!(people(&definition, &AdmissionRequest { always_approve: true, ..request(1) }), 2);
    let one = PolicyDefinition { irreversible_people: 1, ..with_rules(vec![rule("all", Mode::Unattended)]) };
    assert_eq!(people(&one, &AdmissionRequest { always_approve: true, ..request(1) }), 1);
    let two = PolicyDefinition { irreversible_people: 1, ..with_rules(vec![rule("all", approval(2))]) };
    assert_eq!(people(&two, &AdmissionRequest { reversible: false, ..request(1) }), 2);
}

#[test]
fn another_version_of_anything_has_earned_nothing() {
    let definition = with_rules(vec![rule("all", Mode::Automatic(automatic()))]);
    let other = || "other".to_owned();
    for request in [
        AdmissionRequest { runbook_version: other(), ..request(1) },
        AdmissionRequest { check_version: other(), ..request(1) },
        AdmissionRequest { runbook: "other".parse().unwrap(), ..request(1) },
        AdmissionRequest { check: "CM-OTHER".parse().unwrap(), ..request(1) },
    ] {
        assert_eq!(people(&definition, &request), 1);
    }
    assert!(said(&definition, &AdmissionRequest { runbook_version: other(), ..request(1) }).1.contains("not yet 5"));
}

#[test]
fn outside_of_its_hours_a_rule_does_not_apply() {
    // The story begins on a Monday at 08:00 UTC.
    let night: super::super::Weekly = serde_json::from_str(r#"{"from": "22:00", "until": "06:00"}"#).unwrap();
    let at_night = Rule { windows: vec![night], ..rule("night", Mode::Unattended) };
    let alone = policy(with_rules(vec![at_night.clone()])).state();
    let opening = after(14 * 3_600);
    assert_eq!(standing(&alone, &request(1), start()).0, Admission::Deferred { retry_at: opening });
    assert_eq!(standing(&alone, &request(1), opening).0, Admission::Unattended);
    let with_day = policy(with_rules(vec![at_night, rule("day", approval(1))])).state();
    assert!(matches!(standing(&with_day, &request(1), start()).0, Admission::Approval { people: 1, .. }));
    assert_eq!(standing(&with_day, &request(1), opening).0, Admission::Unattended);
}

#[test]
fn what_changes_to_and_fro_does_not_run_by_itself() {
    let definition = with_rules(vec![rule("all", Mode::Automatic(automatic()))]);
    let flapping = AdmissionRequest { flapping: true, ..request(1) };
    assert!(matches!(said(&definition, &flapping).0, Admission::Deferred { .. }));
    assert_eq!(people(&definition, &AdmissionRequest { trigger: Trigger::Person, ..flapping }), 1);
}

#[test]
fn nothing_is_done_about_what_is_no_problem() {
    let definition = with_rules(vec![rule("all", Mode::Unattended)]);
    for severity in [Outcome::Ok, Outcome::Unknown] {
        assert_eq!(said(&definition, &AdmissionRequest { severity, ..request(1) }).0, Admission::Forbidden);
    }
    assert_eq!(said(&definition, &does(&[])).0, Admission::Forbidden);
}
