//! Sample data of tests: a remediation of the sample finding, with a plan of three steps.

use super::samples::{CHECK, COMPONENT, DEPLOYMENT, RESOURCE, check, fingerprint, name};
use super::{Given, after, given};
use crate::diagnostic_run::CheckKey;
use crate::remediation::{
    Admission, Argument, BeforeImage, BlastRadius, Change, Outputs, Plan, PlannedStep, PostCheck, PostCheckResult,
    Problem, Remediation, RemediationCommand, RemediationEvent, StepPreview, Trigger, Undoing,
};
use crate::{Actor, ContentHash, FindingId, Outcome, RemediationId, StepName};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The sample remediation.
pub const REMEDIATION: RemediationId = RemediationId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0003));
const CHECK_VERSION: &str = "0123456789ab";

/// Somebody who approves.
pub fn approver() -> Actor {
    name("approver@example.org")
}

/// Somebody else who approves.
pub fn second_approver() -> Actor {
    name("second-approver@example.org")
}

/// Somebody who has it done: the sample person.
pub fn executor() -> Actor {
    super::samples::person()
}

/// A step's name.
pub fn step_name(text: &str) -> StepName {
    name(text)
}

/// The hash of a text: the states of sample targets.
pub fn content_hash(text: &str) -> ContentHash {
    // A text can always be hashed.
    ContentHash::of(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// What is to be put right: the sample finding.
pub fn problem() -> Problem {
    Problem {
        finding: FindingId::of(DEPLOYMENT, &check(CHECK), &fingerprint().resource),
        deployment: DEPLOYMENT,
        check: check(CHECK),
        component: name(COMPONENT),
        resource: name(RESOURCE),
        severity: Outcome::Critical,
    }
}

fn step(text: &str, action: &str, undo: Undoing) -> PlannedStep {
    PlannedStep {
        name: name(text),
        title: format!("{action} of {RESOURCE}"),
        action: name(action),
        action_version: 1,
        component: name(COMPONENT),
        after: BTreeSet::new(),
        arguments: BTreeMap::from([("resource".to_owned(), Argument::Value(json!(RESOURCE)))]),
        undo,
        always_approve: false,
        deadline_ms: 5_000,
    }
}

/// Three steps: `find-copy`, then `restore-file`, which is told what the first one found; and beside both `recount`.
pub fn remediation_plan() -> Plan {
    let nothing = Undoing::Nothing { reason: "it only reads".to_owned() };
    let output = Argument::OutputOf { step: name("find-copy"), output: "copy".to_owned() };
    let mut restore = step("restore-file", "store.restore-file", Undoing::FromBeforeImage);
    restore.after.insert(name("find-copy"));
    restore.arguments.insert("from".to_owned(), output);
    Plan {
        runbook: name("restore-missing-file"),
        version: "ba9876543210".to_owned(),
        title: format!("restore {RESOURCE} from the backup"),
        steps: vec![
            step("find-copy", "store.find-copy", nothing),
            restore,
            step("recount", "store.recount", Undoing::FromBeforeImage),
        ],
        post_check: PostCheck {
            checks: vec![CheckKey { check: check(CHECK), component: name(COMPONENT) }],
            within_ms: 1_000,
        },
    }
}

/// What the sample plan would change; each target's state is the hash of its step's name.
pub fn remediation_previews() -> Vec<StepPreview> {
    previews_of(&remediation_plan())
}

fn previews_of(plan: &Plan) -> Vec<StepPreview> {
    let preview = |step: &PlannedStep| StepPreview {
        step: step.name.clone(),
        changes: vec![Change {
            summary: format!("{} changes {RESOURCE}", step.name),
            subject: RESOURCE.to_owned(),
            from: None,
            to: Some(json!({"bytes": 12})),
        }],
        omitted: 0,
        state: Some(content_hash(step.name.as_str())),
        blast: BlastRadius { deployments: 1, stores: 1, documents: 1, users: 0, bytes: 12 },
        undetermined: None,
    };
    plan.steps.iter().map(preview).collect()
}

/// What the targets are like while nobody has changed them.
pub fn remediation_states() -> Vec<Option<ContentHash>> {
    remediation_previews().into_iter().map(|preview| preview.state).collect()
}

/// What was there before a step of the sample plan.
pub fn step_image(step: &str) -> BeforeImage {
    BeforeImage { state: content_hash(step), inline: Some(json!({"was": step})), kept: None }
}

/// What the post-check of the sample plan gives.
pub fn post_check_results(outcome: Outcome) -> Vec<PostCheckResult> {
    vec![PostCheckResult {
        key: CheckKey { check: check(CHECK), component: name(COMPONENT) },
        version: CHECK_VERSION.to_owned(),
        outcome,
        summary: format!("{RESOURCE} is {outcome}"),
    }]
}

/// Asks for the sample remediation.
pub fn request_remediation() -> RemediationCommand {
    RemediationCommand::Request { problem: problem(), runbook: None, trigger: Trigger::Person, dry_run: false }
}

/// The sample remediation was asked for.
pub fn remediation_requested() -> RemediationEvent {
    RemediationEvent::RemediationRequested {
        remediation: REMEDIATION,
        problem: problem(),
        runbook: None,
        trigger: Trigger::Person,
        dry_run: false,
        by: super::samples::person(),
        at: super::start(),
    }
}

fn previewed() -> Given<Remediation> {
    given::<Remediation>(REMEDIATION.0, [remediation_requested()])
        .and(RemediationCommand::RecordPlan { plan: remediation_plan(), check_version: CHECK_VERSION.to_owned() })
        .and(RemediationCommand::RecordDryRun { previews: remediation_previews() })
}

/// What an approval of the sample plan is bound to.
pub fn remediation_binding() -> ContentHash {
    // The sample story has a dry run.
    previewed().state().binding().cloned().unwrap_or_else(|| panic!("no binding"))
}

fn waiting(people: u8) -> Given<Remediation> {
    let admission = Admission::Approval { people, expires_at: after(3_600) };
    previewed().and(RemediationCommand::Admit { policy: name("default"), admission, reason: "by rule 1".to_owned() })
}

/// So many people are asked for the sample remediation.
pub fn remediation_waiting(people: u8) -> Vec<RemediationEvent> {
    waiting(people).into_events()
}

fn executing() -> Given<Remediation> {
    let comment = "looks right".to_owned();
    let approve = RemediationCommand::Approve { binding: remediation_binding(), comment, on_behalf_of: None };
    let begin = RemediationCommand::Begin { states: remediation_states(), check_version: CHECK_VERSION.to_owned() };
    waiting(1).by(approver()).and(approve).by(executor()).and(RemediationCommand::Execute).and(begin)
}

/// The sample remediation is approved and has begun; no step is under way.
pub fn remediation_executing() -> Vec<RemediationEvent> {
    executing().into_events()
}

fn do_step(given: Given<Remediation>, step: &str) -> Given<Remediation> {
    let outputs = match step {
        "find-copy" => Outputs::from([("copy".to_owned(), json!("/backup/rec_0000012.docx"))]),
        _ => Outputs::new(),
    };
    given
        .and(RemediationCommand::StartStep { step: name(step) })
        .and(RemediationCommand::RecordBeforeImage { step: name(step), image: step_image(step) })
        .and(RemediationCommand::RecordStepSucceeded { step: name(step), outputs, found_done: false })
}

fn done() -> Given<Remediation> {
    ["find-copy", "recount", "restore-file"].into_iter().fold(executing(), do_step)
}

/// The sample remediation has succeeded.
pub fn remediation_succeeded() -> Vec<RemediationEvent> {
    done().and(RemediationCommand::RecordPostCheck { results: post_check_results(Outcome::Ok) }).into_events()
}

fn take_back(given: Given<Remediation>, step: &str, state: Option<ContentHash>) -> Given<Remediation> {
    given
        .and(RemediationCommand::StartUndo { step: name(step) })
        .and(RemediationCommand::RecordStepUndone { step: name(step), state })
}

fn rolling_back() -> Given<Remediation> {
    let failed = done().and(RemediationCommand::RecordPostCheck { results: post_check_results(Outcome::Critical) });
    take_back(failed, "restore-file", Some(content_hash("restore-file")))
}

/// The sample remediation's post-check has failed, and all is proven to be as it was.
pub fn remediation_rolled_back() -> Vec<RemediationEvent> {
    let last_but_one = take_back(rolling_back(), "recount", Some(content_hash("recount")));
    take_back(last_but_one, "find-copy", None).into_events()
}

/// The same, but what `recount` has changed is not as it was: a person is needed.
pub fn remediation_stuck() -> Vec<RemediationEvent> {
    let last_but_one = take_back(rolling_back(), "recount", Some(content_hash("changed by somebody else")));
    take_back(last_but_one, "find-copy", None).into_events()
}
