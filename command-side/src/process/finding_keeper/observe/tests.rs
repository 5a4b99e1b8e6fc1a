use super::*;
use crate::process::PlanError;
use domain::deployment::DeploymentState;
use domain::diagnostic_run::PlannedCheck;
use domain::testing::{COMPONENT, DEPLOYMENT, RUN, check, check_key, check_result, problem_result};
use domain::{Position, StreamVersion};
use event_store::StreamId;
use std::collections::HashSet;
use uuid::Uuid;

struct Catalog(Hysteresis);

impl CheckCatalog for Catalog {
    fn plan(&self, _: &DeploymentState, _: &str, _: &[CheckCode]) -> Result<Vec<PlannedCheck>, PlanError> {
        Err(PlanError::Other("not asked for here".to_owned()))
    }

    fn hysteresis(&self, _: &CheckCode) -> Hysteresis {
        self.0
    }
}

fn event() -> RecordedEvent {
    RecordedEvent {
        position: Position(7),
        stream: StreamId::new("DiagnosticRun", &RUN.to_string()),
        version: StreamVersion(3),
        event_id: Uuid::from_u128(42),
        event_type: "ChecksCompleted".to_owned(),
        event_version: "1".to_owned(),
        payload: serde_json::value::to_raw_value(&()).unwrap(),
        metadata: crate::testing::metadata(),
        recorded_at: domain::testing::start(),
    }
}

/// What is observed: resource, outcome.
fn observe(open: &mut OpenFindings, results: &[CheckResult]) -> Vec<(String, Outcome)> {
    let work = work(open, results, Hysteresis::default());
    work.iter().map(|work| (work.fingerprint.resource.to_string(), work.sighting.outcome)).collect()
}

fn work(open: &mut OpenFindings, results: &[CheckResult], hysteresis: Hysteresis) -> Vec<Observe> {
    let event = event();
    let batch = Batch { event: &event, run: RUN, deployment: DEPLOYMENT };
    batch.observe(results, open, &Catalog(hysteresis))
}

fn seen(resource: &str, outcome: Outcome) -> (String, Outcome) {
    (resource.to_owned(), outcome)
}

fn bad(resources: &[&str]) -> CheckResult {
    problem_result(0, Outcome::Warning, resources)
}

#[test]
fn good_results_with_nothing_open_say_nothing() {
    let results: Vec<CheckResult> = (0..100).map(|number| check_result(number, Outcome::Ok)).collect();
    assert_eq!(observe(&mut OpenFindings::default(), &results), []);
}

#[test]
fn what_is_no_longer_shown_is_seen_good() {
    let mut open = OpenFindings::default();
    assert_eq!(observe(&mut open, &[bad(&["a", "b"])]), [seen("a", Outcome::Warning), seen("b", Outcome::Warning)]);
    assert_eq!(observe(&mut open, &[bad(&["b"])]), [seen("b", Outcome::Warning), seen("a", Outcome::Ok)]);
    // Only of the same check, component and deployment.
    assert_eq!(observe(&mut open, &[check_result(1, Outcome::Ok)]), []);
    let both = observe(&mut open, &[check_result(0, Outcome::Ok)]);
    assert_eq!(HashSet::from_iter(both), HashSet::from([seen("a", Outcome::Ok), seen("b", Outcome::Ok)]));
}

#[test]
fn what_was_not_wholly_measured_is_not_seen_good() {
    let mut open = OpenFindings::default();
    observe(&mut open, &[bad(&["a"])]);
    assert_eq!(observe(&mut open, &[check_result(0, Outcome::Unknown)]), []);
    let cut = CheckResult { omitted: 1, ..bad(&["b"]) };
    assert_eq!(observe(&mut open, &[cut]), [seen("b", Outcome::Warning)]);
}

#[test]
fn a_resource_counts_once_with_its_worst() {
    let mut result = bad(&["a", "a", "a"]);
    result.observations[1].outcome = Outcome::Critical;
    assert_eq!(observe(&mut OpenFindings::default(), &[result]), [seen("a", Outcome::Critical)]);
}

#[test]
fn paused_and_removed_findings_are_left_alone() {
    let mut open = OpenFindings::default();
    observe(&mut open, &[bad(&["a"])]);
    let finding = FindingId::of(DEPLOYMENT, &check_key(0).check, &"a".parse().unwrap());
    open.pause(finding, true);
    assert_eq!(observe(&mut open, &[check_result(0, Outcome::Ok)]), []);
    // Still seen bad while paused: the aggregate decides what that means.
    assert_eq!(observe(&mut open, &[bad(&["a"])]), [seen("a", Outcome::Warning)]);
    open.pause(finding, false);
    assert_eq!(observe(&mut open, &[check_result(0, Outcome::Ok)]), [seen("a", Outcome::Ok)]);
    open.remove(finding);
    assert_eq!(observe(&mut open, &[check_result(0, Outcome::Ok)]), []);
    assert_eq!(open.waiting_at(&place(COMPONENT)).count(), 0);
}

fn place(component: &str) -> Place {
    Place { deployment: DEPLOYMENT, check: check_key(0).check, component: component.parse().unwrap() }
}

#[test]
fn a_finding_is_looked_for_where_it_was_last_seen() {
    let mut open = OpenFindings::default();
    observe(&mut open, &[bad(&["a"])]);
    let mut elsewhere = bad(&["a"]);
    elsewhere.key.component = "store-2".parse().unwrap();
    assert_eq!(observe(&mut open, &[elsewhere]), [seen("a", Outcome::Warning)]);
    assert_eq!(observe(&mut open, &[check_result(0, Outcome::Ok)]), []);
    assert_eq!(open.waiting_at(&place("store-2")).count(), 1);
}

#[test]
fn the_same_event_gives_the_same_command_ids_and_each_its_own() {
    let mut other = bad(&["a"]);
    other.key.component = "store-2".parse().unwrap();
    let results = [bad(&["a", "b"]), other];
    let ids = || {
        let work = work(&mut OpenFindings::default(), &results, Hysteresis::default());
        let actor = crate::process::system_actor("system:finding-keeper");
        work.iter().map(|work| work.cause.metadata(&actor, &work.purpose).command_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(), ids());
    assert_eq!(ids().into_iter().collect::<HashSet<_>>().len(), 3);
}

#[test]
fn hysteresis_out_of_bounds_loses_no_finding() {
    let wrong = Hysteresis { open_after: 0, ..Hysteresis::default() };
    let observed = work(&mut OpenFindings::default(), &[bad(&["a"])], wrong);
    assert_eq!(observed[0].hysteresis, Hysteresis::default());
    assert_eq!(observed[0].fingerprint.check, check("SAMPLE-0"));
}
