use super::*;
use domain::diagnostic_run::Evidence;
use domain::{DeploymentId, RunId};
use std::collections::BTreeMap as Map;

fn seen(resource: &str, outcome: Outcome, symptom: &str) -> Observation {
    Observation {
        resource: resource.parse().unwrap(),
        outcome,
        symptom: symptom.to_owned(),
        cause: String::new(),
        impact: String::new(),
        advice: String::new(),
        evidence: Evidence::default(),
    }
}

fn result(check: &str, outcome: Outcome, observations: Vec<Observation>) -> CheckResultView {
    CheckResultView {
        run_id: RunId(Uuid::nil()),
        check_code: check.to_owned(),
        component: "store-1".to_owned(),
        deployment_id: DeploymentId(Uuid::from_u128(1)),
        version: "v".to_owned(),
        outcome,
        summary: String::new(),
        unknown_cause: (outcome == Outcome::Unknown).then(|| "no route".to_owned()),
        observations,
        omitted: 0,
        metrics: Map::new(),
        measured_at: DateTime::UNIX_EPOCH,
        duration_ms: 1,
        recorded_at: DateTime::UNIX_EPOCH,
        last_position: 1,
    }
}

fn results(all: Vec<CheckResultView>) -> Results {
    all.into_iter().map(|result| (key(&result), result)).collect()
}

fn told(base: Vec<CheckResultView>, head: Vec<CheckResultView>) -> Vec<(String, Change, BaselineState)> {
    let mut told: Vec<_> = compared(&results(base), &results(head))
        .into_iter()
        .map(|problem| (problem.resource, problem.change, problem.baseline_state))
        .collect();
    told.sort();
    told
}

#[test]
fn each_problem_becomes_what_both_runs_say() {
    use Outcome::{Critical, Warning};
    let base = vec![result(
        "C-1",
        Critical,
        vec![
            seen("a", Warning, "80 %"),
            seen("b", Warning, "80 %"),
            seen("c", Critical, "99 %"),
            seen("d", Warning, "80 %"),
            seen("e", Warning, "80 %"),
        ],
    )];
    let head = vec![result(
        "C-1",
        Critical,
        vec![
            seen("a", Warning, "80 %"),
            seen("b", Warning, "81 %"),
            seen("c", Warning, "85 %"),
            seen("d", Critical, "99 %"),
            seen("f", Warning, "80 %"),
        ],
    )];
    let expected = [
        ("a", Change::Unchanged, BaselineState::Unchanged),
        ("b", Change::Updated, BaselineState::Updated),
        ("c", Change::Better, BaselineState::Updated),
        ("d", Change::Worse, BaselineState::Updated),
        ("e", Change::Fixed, BaselineState::Absent),
        ("f", Change::New, BaselineState::New),
    ];
    let expected: Vec<_> = expected.map(|(name, change, state)| (name.to_owned(), change, state)).into();
    assert_eq!(told(base, head), expected);
}

#[test]
fn what_one_run_did_not_measure_is_undecided() {
    use Outcome::{Ok, Unknown, Warning};
    let bad = || result("C-1", Warning, vec![seen("a", Warning, "s")]);
    let crowded = CheckResultView { omitted: 3, ..result("C-1", Warning, vec![seen("z", Warning, "s")]) };
    let unknown = || result("C-1", Unknown, vec![]);
    let undecided = |state| ("a".to_owned(), Change::Undecided, state);
    assert_eq!(told(vec![bad()], vec![unknown()]), [undecided(BaselineState::Absent)]);
    assert_eq!(told(vec![bad()], vec![]), [undecided(BaselineState::Absent)]);
    assert_eq!(told(vec![unknown()], vec![bad()]), [undecided(BaselineState::New)]);
    assert_eq!(told(vec![], vec![bad()]), [undecided(BaselineState::New)]);
    assert!(told(vec![bad()], vec![crowded.clone()]).contains(&undecided(BaselineState::Absent)));
    assert!(told(vec![crowded], vec![bad()]).contains(&undecided(BaselineState::New)));
    let good = result("C-1", Ok, vec![]);
    assert_eq!(told(vec![bad()], vec![good]), [("a".to_owned(), Change::Fixed, BaselineState::Absent)]);
}

#[test]
fn checks_of_another_version_are_told() {
    let newer = CheckResultView { version: "w".to_owned(), ..result("C-1", Outcome::Ok, vec![]) };
    let base = results(vec![result("C-1", Outcome::Ok, vec![]), result("C-2", Outcome::Ok, vec![])]);
    let head = results(vec![newer, result("C-3", Outcome::Ok, vec![])]);
    let told: Vec<_> = changed_checks(&base, &head)
        .into_iter()
        .map(|check| (check.check_code, check.base_version, check.head_version))
        .collect();
    let some = |text: &str| Some(text.to_owned());
    let expected = [
        ("C-1".to_owned(), some("v"), some("w")),
        ("C-2".to_owned(), some("v"), None),
        ("C-3".to_owned(), None, some("v")),
    ];
    assert_eq!(told, expected);
}
