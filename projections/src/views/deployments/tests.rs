use super::super::testing::{at, deployment, fingerprint, log_of, run, sighting};
use super::*;
use domain::deployment::{Component, ComponentKind, DeploymentEvent, MaintenanceWindow};
use domain::diagnostic_run::Tally;
use domain::{FindingId, Outcome};
use std::collections::BTreeMap;

const FINDING: Uuid = Uuid::from_u128(3);
const OTHER: Uuid = Uuid::from_u128(4);

fn component(name: &str, port: &str) -> Component {
    Component {
        name: name.parse().unwrap(),
        kind: ComponentKind::WorkgroupServer,
        settings: BTreeMap::from([("port".to_owned(), port.to_owned())]),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn care(event: DeploymentEvent) -> (Uuid, AnyEvent) {
    (deployment().0, AnyEvent::Deployment(event))
}

fn registered() -> (Uuid, AnyEvent) {
    care(DeploymentEvent::DeploymentRegistered {
        id: deployment(),
        name: "Main".to_owned(),
        product_version: "10.1".to_owned(),
        is_double: true,
        labels: BTreeMap::new(),
        components: vec![component("wgs-2", "1137"), component("wgs-1", "1137")],
        at: at(0),
    })
}

fn completed(tally: Tally) -> (Uuid, AnyEvent) {
    let outcome = tally.worst();
    (run().0, AnyEvent::Run(RunEvent::RunCompleted { deployment: deployment(), outcome, tally, at: at(5) }))
}

fn ok_run() -> (Uuid, AnyEvent) {
    completed(Tally { ok: 3, unknown: 1, ..Tally::default() })
}

fn opened(id: Uuid, outcome: Outcome) -> (Uuid, AnyEvent) {
    let (fingerprint, sighting) = (fingerprint(), sighting(outcome, 6));
    (id, AnyEvent::Finding(FindingEvent::FindingOpened { id: FindingId(id), fingerprint, sighting, at: at(6) }))
}

fn then(event: FindingEvent) -> (Uuid, AnyEvent) {
    (FINDING, AnyEvent::Finding(event))
}

fn resolved() -> (Uuid, AnyEvent) {
    then(FindingEvent::FindingResolved { run: run(), open_seconds: 1, at: at(9) })
}

fn muted() -> (Uuid, AnyEvent) {
    then(FindingEvent::FindingMuted { by: "ann".into(), until: at(90), reason: "known".into(), at: at(7) })
}

fn given(events: Vec<(Uuid, AnyEvent)>) -> DeploymentRow {
    let mut view = Deployments::default();
    for event in log_of(events) {
        view.fold_one(&event).unwrap();
    }
    view.deployments.get(deployment().0).unwrap().clone()
}

fn health(events: Vec<(Uuid, AnyEvent)>) -> String {
    given(events).health
}

#[test]
fn nothing_measured_is_unknown_and_never_ok() {
    assert_eq!(health(vec![registered()]), "unknown");
    assert_eq!(health(vec![registered(), completed(Tally { unknown: 4, ..Tally::default() })]), "unknown");
    assert_eq!(health(vec![registered(), completed(Tally::default())]), "unknown");
    assert_eq!(health(vec![registered(), ok_run()]), "ok");
    let failed =
        RunEvent::RunFailed { deployment: deployment(), reason: "no pack".into(), tally: Tally::default(), at: at(8) };
    assert_eq!(health(vec![registered(), ok_run(), (OTHER, AnyEvent::Run(failed))]), "unknown");
}

#[test]
fn the_worst_open_finding_is_the_health() {
    let both = vec![registered(), ok_run(), opened(FINDING, Outcome::Critical), opened(OTHER, Outcome::Warning)];
    let row = given(both.clone());
    assert_eq!((row.health.as_str(), row.open_critical, row.open_warning), ("critical", 1, 1));
    let with = |event| both.iter().cloned().chain([event]).collect::<Vec<_>>();
    assert_eq!(health(with(resolved())), "warning");
    let milder = FindingEvent::FindingSeverityChanged { from: Outcome::Critical, to: Outcome::Warning, at: at(8) };
    let row = given(with(then(milder)));
    assert_eq!((row.health.as_str(), row.open_critical, row.open_warning), ("warning", 0, 2));
    // A problem outranks that nothing was measured.
    assert_eq!(health(vec![registered(), opened(FINDING, Outcome::Warning)]), "warning");
}

#[test]
fn what_is_muted_or_no_problem_does_not_count() {
    let critical = || vec![registered(), ok_run(), opened(FINDING, Outcome::Critical)];
    let with = |events: Vec<(Uuid, AnyEvent)>| critical().into_iter().chain(events).collect::<Vec<_>>();
    let row = given(with(vec![muted()]));
    assert_eq!((row.health.as_str(), row.open_critical, row.open_muted), ("ok", 0, 1));
    let unmuted = then(FindingEvent::FindingUnmuted { expired: true, at: at(91) });
    let row = given(with(vec![muted(), unmuted]));
    assert_eq!((row.health.as_str(), row.open_critical, row.open_muted), ("critical", 1, 0));
    assert_eq!(given(with(vec![muted(), resolved()])).open_muted, 0);
    let marked = then(FindingEvent::FindingMarkedFalsePositive { by: "ann".into(), reason: "meant".into(), at: at(7) });
    let withdrawn =
        then(FindingEvent::FindingFalsePositiveWithdrawn { by: "ann".into(), reason: "real".into(), at: at(8) });
    assert_eq!(health(with(vec![marked.clone()])), "ok");
    assert_eq!(health(with(vec![marked, withdrawn])), "critical");
}

#[test]
fn components_overrides_and_maintenance_are_as_last_said() {
    let overridden = |warning: &str, seconds| {
        care(DeploymentEvent::ThresholdOverridden {
            check: "CM-STORE-NEAR-CAPACITY".parse().unwrap(),
            threshold: "used_percent".into(),
            warning: Some(warning.into()),
            critical: None,
            reason: "small store".into(),
            at: at(seconds),
        })
    };
    let window = |from, until| {
        let window = MaintenanceWindow { from: at(from), until: at(until), reason: "upgrade".into() };
        care(DeploymentEvent::MaintenanceScheduled { window, at: at(from) })
    };
    let row = given(vec![
        registered(),
        care(DeploymentEvent::ComponentChanged { component: component("wgs-1", "1138"), at: at(1) }),
        care(DeploymentEvent::ComponentAttached { component: component("store", "1"), at: at(1) }),
        care(DeploymentEvent::ComponentDetached { name: "wgs-2".parse().unwrap(), at: at(2) }),
        overridden("70", 3),
        overridden("75", 4),
        window(10, 20),
        window(30, 40),
        care(DeploymentEvent::DeploymentRetired { reason: "gone".into(), at: at(50) }),
    ]);
    let parts: Vec<_> = row.components.iter().map(|part| format!("{}:{}", part.name, part.settings["port"])).collect();
    assert_eq!(parts, ["store:1", "wgs-1:1138"]);
    let ranges: Vec<_> = row.overrides.iter().map(|one| one.warning.as_deref()).collect();
    assert_eq!(ranges, [Some("75")]);
    assert_eq!(row.maintenance.len(), 1);
    assert_eq!((row.retired_at, row.last_position), (Some(at(50)), 9));
}

#[test]
fn a_run_of_what_was_never_registered_is_passed_over() {
    let mut view = Deployments::default();
    for event in log_of(vec![ok_run(), opened(FINDING, Outcome::Critical), resolved()]) {
        view.fold_one(&event).unwrap();
    }
    assert!(view.deployments.get(deployment().0).is_none());
}
