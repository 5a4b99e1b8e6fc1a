//! The sample remediation's commands, short, for the tests of each of them.

use super::{Admission, PostCheckResult, Remediation, RemediationCommand, RemediationEvent, RemediationState, Undoing};
use crate::ids::Actor;
use crate::testing::{
    Given, REMEDIATION, approver, content_hash, executor, given, post_check_results, remediation_binding,
    remediation_executing, remediation_plan, remediation_previews, remediation_requested, remediation_states,
    remediation_waiting, step_image, step_name,
};
use crate::{ContentHash, Outcome, PolicyName};
use chrono::{DateTime, Utc};
use serde_json::json;

pub(super) type Command = RemediationCommand;

pub(super) fn story(events: Vec<RemediationEvent>) -> Given<Remediation> {
    given::<Remediation>(REMEDIATION.0, events)
}

pub(super) fn actor(text: &str) -> Actor {
    text.parse().unwrap()
}

pub(super) fn policy() -> PolicyName {
    "default".parse().unwrap()
}

pub(super) fn plan() -> Command {
    Command::RecordPlan { plan: remediation_plan(), check_version: "0123456789ab".to_owned() }
}

pub(super) fn dry_run() -> Command {
    Command::RecordDryRun { previews: remediation_previews() }
}

pub(super) fn admit(admission: Admission) -> Command {
    Command::Admit { policy: policy(), admission, reason: "by rule 1".to_owned() }
}

pub(super) fn ask(people: u8, expires_at: DateTime<Utc>) -> Command {
    admit(Admission::Approval { people, expires_at })
}

pub(super) fn approve() -> Command {
    Command::Approve { binding: remediation_binding(), comment: String::new(), on_behalf_of: None }
}

pub(super) fn approve_for(principal: &Actor) -> Command {
    let on_behalf_of = Some(principal.clone());
    Command::Approve { binding: remediation_binding(), comment: String::new(), on_behalf_of }
}

pub(super) fn delegate(to: &Actor) -> Command {
    Command::Delegate { to: to.clone(), comment: "I am away".to_owned() }
}

pub(super) fn begin() -> Command {
    Command::Begin { states: remediation_states(), check_version: "0123456789ab".to_owned() }
}

pub(super) fn start_step(step: &str) -> Command {
    Command::StartStep { step: step_name(step) }
}

pub(super) fn image(step: &str) -> Command {
    Command::RecordBeforeImage { step: step_name(step), image: step_image(step) }
}

pub(super) fn succeed(step: &str) -> Command {
    let outputs = match step {
        "find-copy" => [("copy".to_owned(), json!("/backup/rec_0000012.docx"))].into(),
        _ => super::Outputs::new(),
    };
    Command::RecordStepSucceeded { step: step_name(step), outputs, found_done: false }
}

pub(super) fn fail(step: &str) -> Command {
    Command::RecordStepFailed { step: step_name(step), error: "disk full".to_owned() }
}

pub(super) fn post_check(results: Vec<PostCheckResult>) -> Command {
    Command::RecordPostCheck { results }
}

pub(super) fn start_undo(step: &str) -> Command {
    Command::StartUndo { step: step_name(step) }
}

pub(super) fn undone(step: &str) -> Command {
    let state = (step != "find-copy").then(|| content_hash(step));
    Command::RecordStepUndone { step: step_name(step), state }
}

pub(super) fn undo_failed(step: &str) -> Command {
    Command::RecordUndoFailed { step: step_name(step), error: "no route to host".to_owned() }
}

pub(super) fn cancel() -> Command {
    Command::Cancel { reason: "enough".to_owned() }
}

pub(super) fn halt(undo: bool) -> Command {
    Command::Halt { undo, reason: "fire".to_owned() }
}

pub(super) fn undo() -> Command {
    Command::Undo { reason: "not what we meant".to_owned() }
}

pub(super) fn release() -> Command {
    Command::Release { comment: "put back by hand".to_owned() }
}

pub(super) fn requested() -> Given<Remediation> {
    story(vec![remediation_requested()])
}

pub(super) fn waiting(people: u8) -> Given<Remediation> {
    story(remediation_waiting(people))
}

pub(super) fn executable() -> Given<Remediation> {
    waiting(1).by(approver()).and(approve()).by(executor())
}

pub(super) fn executing() -> Given<Remediation> {
    story(remediation_executing())
}

/// The sample remediation in execution, of which one step is taken back otherwise than in the sample plan.
pub(super) fn executing_with(step: &str, undo: &Undoing) -> Given<Remediation> {
    let mut plan = remediation_plan();
    plan.steps
        .iter_mut()
        .filter(|planned| planned.name.as_str() == step)
        .for_each(|planned| planned.undo = undo.clone());
    requested()
        .and(Command::RecordPlan { plan, check_version: "0123456789ab".to_owned() })
        .and(dry_run())
        .and(admit(Admission::Automatic))
        .and(begin())
}

/// The story with these steps begun and captured.
pub(super) fn with_captured(story: Given<Remediation>, steps: &[&str]) -> Given<Remediation> {
    steps.iter().fold(story, |story, step| story.and(start_step(step)).and(image(step)))
}

/// The story with these steps done.
pub(super) fn with_done(story: Given<Remediation>, steps: &[&str]) -> Given<Remediation> {
    steps.iter().fold(story, |story, step| with_captured(story, &[step]).and(succeed(step)))
}

/// The story with these steps taken back.
pub(super) fn with_undone(story: Given<Remediation>, steps: &[&str]) -> Given<Remediation> {
    steps.iter().fold(story, |story, step| story.and(start_undo(step)).and(undone(step)))
}

/// All steps of the sample plan are done.
pub(super) fn done() -> Given<Remediation> {
    with_done(executing(), &["find-copy", "recount", "restore-file"])
}

pub(super) fn succeeded() -> Given<Remediation> {
    done().and(post_check(post_check_results(Outcome::Ok)))
}

pub(super) fn failing() -> Given<Remediation> {
    done().and(post_check(post_check_results(Outcome::Warning)))
}

/// The hashes of a state's before-images, for what was found after an undo.
pub(super) fn image_hash(state: &RemediationState, step: &str) -> Option<ContentHash> {
    state.steps[&step_name(step)].image.as_ref().map(|image| image.state.clone())
}
