//! What may have happened to the sample policy, for the tests of its commands.

use super::{
    AdmissionRequest, Approval, Automatic, Mode, Policy, PolicyCommand, PolicyDefinition, PolicyEvent, Rule,
    Settlement, Share,
};
use crate::ids::{ActionName, PolicyId, PolicyName, RemediationId, TenantId};
use crate::outcome::Outcome;
use crate::remediation::{BlastRadius, Trigger};
use crate::testing::{DEPLOYMENT, Given, check, context, given, start};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn name() -> PolicyName {
    "default".parse().unwrap()
}

pub(super) fn id() -> Uuid {
    PolicyId::of(&TenantId::default(), &name()).0
}

pub(super) fn remediation(number: u32) -> RemediationId {
    RemediationId(Uuid::from_u128(0x0190_0000_0000_7000_b000_0000_0000_0000 + u128::from(number)))
}

pub(super) fn action(text: &str) -> ActionName {
    text.parse().unwrap()
}

/// The plan of this number: its own resource, one action, one document.
pub(super) fn request(number: u32) -> AdmissionRequest {
    AdmissionRequest {
        policy: name(),
        remediation: remediation(number),
        binding: format!("{number:064x}").parse().unwrap(),
        deployment: DEPLOYMENT,
        deployment_name: "records".to_owned(),
        labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        check: check("CM-PG-STATISTICS-STALE"),
        check_version: "0123456789ab".to_owned(),
        runbook: "analyze-table".parse().unwrap(),
        runbook_version: "ba9876543210".to_owned(),
        actions: vec![(action("postgres.analyze"), 1)],
        severity: Outcome::Warning,
        resource: format!("table-{number}").parse().unwrap(),
        blast: BlastRadius { documents: 1, ..BlastRadius::default() },
        reversible: true,
        always_approve: false,
        flapping: false,
        trigger: Trigger::Policy,
    }
}

/// Another plan of the same remediation.
pub(super) fn planned_again(request: &AdmissionRequest) -> AdmissionRequest {
    AdmissionRequest { binding: "f".repeat(64).parse().unwrap(), ..request.clone() }
}

pub(super) fn admit(request: AdmissionRequest) -> PolicyCommand {
    PolicyCommand::Admit { request: Box::new(request) }
}

pub(super) fn settle(number: u32, outcome: Settlement) -> PolicyCommand {
    let remediation = remediation(number);
    PolicyCommand::Settle { remediation, outcome, attributable: true, failed_actions: Vec::new() }
}

pub(super) fn rule(name: &str, mode: Mode) -> Rule {
    Rule {
        name: name.to_owned(),
        actions: Vec::new(),
        checks: Vec::new(),
        deployments: Vec::new(),
        severities: Vec::new(),
        windows: Vec::new(),
        mode,
    }
}

pub(super) fn approval(people: u8) -> Mode {
    Mode::Approval(Approval { people })
}

/// Earned by 5 samples and a lower bound of 0.6.
pub(super) fn automatic() -> Automatic {
    Automatic {
        min_lower_bound: Share::millionths(600_000),
        confidence: Share::millionths(950_000),
        min_samples: 5,
        probation: 2,
        otherwise_people: 1,
    }
}

pub(super) fn with_rules(rules: Vec<Rule>) -> PolicyDefinition {
    PolicyDefinition { rules, ..PolicyDefinition::default() }
}

pub(super) fn defined(definition: PolicyDefinition) -> PolicyEvent {
    definition.check().unwrap();
    let by = context(id(), start()).actor;
    PolicyEvent::PolicyDefined { policy: name(), definition: Arc::new(definition), revision: 1, by, at: start() }
}

pub(super) fn policy(definition: PolicyDefinition) -> Given<Policy> {
    given(id(), [defined(definition)])
}

pub(super) fn built_in() -> Given<Policy> {
    given(id(), [])
}

/// As many remediations succeed as are named.
pub(super) fn succeeded(mut story: Given<Policy>, numbers: std::ops::Range<u32>) -> Given<Policy> {
    for number in numbers {
        story = story.and(admit(request(number))).and(settle(number, Settlement::Succeeded));
    }
    story
}
