//! Sample data of tests: one deployment, one run, one finding.

use crate::deployment::{Component, ComponentKind, DeploymentCommand, DeploymentEvent};
use crate::diagnostic_run::{
    CheckKey, CheckResult, Evidence, Observation, PlannedCheck, Priority, RunCommand, RunEvent,
};
use crate::finding::{Fingerprint, Sighting};
use crate::ids::InvalidName;
use crate::{Actor, CheckCode, ComponentName, DeploymentId, Outcome, ResourceName, RunId};
use std::collections::BTreeMap;
use std::str::FromStr;
use uuid::Uuid;

use super::{after, start};

/// The sample deployment.
pub const DEPLOYMENT: DeploymentId = DeploymentId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
/// The sample run.
pub const RUN: RunId = RunId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002));
/// The sample check.
pub const CHECK: &str = "CM-FILE-MISSING";
/// The sample component.
pub const COMPONENT: &str = "store-1";
/// The sample resource.
pub const RESOURCE: &str = "store-1/000/rec_0000012.docx";

pub(super) fn name<N: FromStr<Err = InvalidName>>(text: &str) -> N {
    // Sample data of tests: a malformed name must stop the test that uses it.
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn person() -> Actor {
    name("operator@example.org")
}

/// A check's code.
pub fn check(code: &str) -> CheckCode {
    name(code)
}

/// The sample component under another name.
pub fn component_named(text: &str) -> Component {
    Component {
        name: name(text),
        kind: ComponentKind::DocumentStore,
        settings: BTreeMap::from([
            ("path".to_owned(), "/srv/store".to_owned()),
            ("store_number".to_owned(), "1".to_owned()),
        ]),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

/// The sample component.
pub fn component() -> Component {
    component_named(COMPONENT)
}

/// Takes the sample deployment under care.
pub fn register() -> DeploymentCommand {
    DeploymentCommand::Register {
        name: "records".to_owned(),
        product_version: "10.1".to_owned(),
        is_double: true,
        labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        components: vec![component()],
    }
}

/// The sample deployment is under care.
pub fn registered() -> DeploymentEvent {
    DeploymentEvent::DeploymentRegistered {
        id: DEPLOYMENT,
        name: "records".to_owned(),
        product_version: "10.1".to_owned(),
        is_double: true,
        labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        components: vec![component()],
        at: start(),
    }
}

/// The sample deployment's events.
pub fn deployment() -> Vec<DeploymentEvent> {
    vec![registered()]
}

/// Asks for the sample run.
pub fn request_run() -> RunCommand {
    RunCommand::Request {
        run: RUN,
        deployment: DEPLOYMENT,
        profile: "full".to_owned(),
        checks: Vec::new(),
        priority: Priority::Normal,
        deadline: after(3_600),
    }
}

/// The sample run was asked for.
pub fn run_requested() -> RunEvent {
    RunEvent::RunRequested {
        run: RUN,
        deployment: DEPLOYMENT,
        profile: "full".to_owned(),
        checks: Vec::new(),
        priority: Priority::Normal,
        deadline: after(3_600),
        at: start(),
    }
}

/// The key of one of the sample checks, by its number.
pub fn check_key(number: u32) -> CheckKey {
    CheckKey { check: name(&format!("SAMPLE-{number}")), component: name(COMPONENT) }
}

/// One of the sample checks as planned.
pub fn planned_check(number: u32) -> PlannedCheck {
    PlannedCheck { key: check_key(number), version: "0123456789ab".to_owned(), timeout_ms: 5_000 }
}

/// The sample checks 0 to `count` are planned.
pub fn run_planned(count: u32) -> RunEvent {
    RunEvent::RunPlanned { checks: (0..count).map(planned_check).collect(), at: start() }
}

/// A result of one of the sample checks; `Unknown` with a cause, a problem with one observation.
pub fn check_result(number: u32, outcome: Outcome) -> CheckResult {
    let observations = match outcome {
        Outcome::Ok | Outcome::Unknown => Vec::new(),
        Outcome::Warning | Outcome::Critical => vec![observation(&format!("{COMPONENT}/{number}"), outcome)],
    };
    CheckResult {
        key: check_key(number),
        version: "0123456789ab".to_owned(),
        outcome,
        summary: format!("check {number} is {outcome}"),
        unknown_cause: (outcome == Outcome::Unknown).then(|| "connection refused".to_owned()),
        observations,
        omitted: 0,
        metrics: BTreeMap::new(),
        evidence: None,
        measured_at: start(),
        duration_ms: 3,
    }
}

/// A result with problems on these resources.
pub fn problem_result(number: u32, outcome: Outcome, resources: &[&str]) -> CheckResult {
    let observations = resources.iter().map(|resource| observation(resource, outcome)).collect();
    CheckResult { observations, ..check_result(number, outcome) }
}

fn observation(resource: &str, outcome: Outcome) -> Observation {
    Observation {
        resource: name(resource),
        outcome,
        symptom: format!("{resource} is not as it should be"),
        cause: "a fault was planted".to_owned(),
        impact: "readers wait".to_owned(),
        advice: "mend it".to_owned(),
        evidence: Evidence::default(),
    }
}

/// The sample finding's fingerprint.
pub fn fingerprint() -> Fingerprint {
    Fingerprint { deployment: DEPLOYMENT, check: check(CHECK), resource: name::<ResourceName>(RESOURCE) }
}

/// A sighting of the sample finding by the run of this number.
pub fn sighting(run: u32, outcome: Outcome) -> Sighting {
    Sighting {
        component: name::<ComponentName>(COMPONENT),
        run: RunId(Uuid::from_u128(0x0190_0000_0000_7000_9000_0000_0000_0000 + u128::from(run))),
        outcome,
        symptom: format!("{RESOURCE} is missing"),
        cause: "deleted outside the product".to_owned(),
        impact: "the record can not be opened".to_owned(),
        advice: "restore it from the backup".to_owned(),
        evidence: Evidence::default(),
        measured_at: after(i64::from(run)),
    }
}

/// A good measurement of the sample finding by the run of this number.
pub fn ok_sighting(run: u32) -> Sighting {
    Sighting {
        symptom: String::new(),
        cause: String::new(),
        impact: String::new(),
        advice: String::new(),
        ..sighting(run, Outcome::Ok)
    }
}
