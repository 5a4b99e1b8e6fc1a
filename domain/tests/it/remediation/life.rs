//! Whole lives, from the request to the rest.

use domain::remediation::{Admission, Remediation, RemediationCommand as Command, RemediationEvent, RemediationPhase};
use domain::testing::{
    Given, REMEDIATION, after, approver, content_hash, executor, fold, given, remediation_binding, remediation_plan,
    remediation_previews, remediation_rolled_back, remediation_states, remediation_stuck, remediation_succeeded,
    request_remediation, second_approver,
};

fn names(events: &[RemediationEvent]) -> Vec<&'static str> {
    events.iter().map(RemediationEvent::name).collect()
}

const TO_EXECUTION: [&str; 8] = [
    "RemediationRequested",
    "RemediationPlanned",
    "DryRunRecorded",
    "RemediationAdmitted",
    "ApprovalRequested",
    "RemediationApproved",
    "ExecutionRequested",
    "ExecutionStarted",
];
const FORWARD: [&str; 9] = [
    "StepStarted",
    "BeforeImageCaptured",
    "StepSucceeded",
    "StepStarted",
    "BeforeImageCaptured",
    "StepSucceeded",
    "StepStarted",
    "BeforeImageCaptured",
    "StepSucceeded",
];
const BACK: [&str; 7] = [
    "RollbackStarted",
    "StepUndoStarted",
    "StepUndone",
    "StepUndoStarted",
    "StepUndone",
    "StepUndoStarted",
    "StepUndone",
];

#[test]
fn a_problem_is_put_right() {
    let end = ["PostCheckPassed", "RemediationSucceeded"];
    assert_eq!(names(&remediation_succeeded()), [&TO_EXECUTION[..], &FORWARD, &end].concat());
}

#[test]
fn what_did_not_help_is_taken_back_and_that_is_proven() {
    let proven = ["RollbackProven", "RemediationFailed"];
    assert_eq!(
        names(&remediation_rolled_back()),
        [&TO_EXECUTION[..], &FORWARD, &["PostCheckFailed"], &BACK, &proven].concat()
    );
}

#[test]
fn what_can_not_be_proven_needs_a_person() {
    let incomplete = ["RollbackIncomplete", "RemediationStuck"];
    assert_eq!(
        names(&remediation_stuck()),
        [&TO_EXECUTION[..], &FORWARD, &["PostCheckFailed"], &BACK, &incomplete].concat()
    );
}

fn plan() -> Command {
    Command::RecordPlan { plan: remediation_plan(), check_version: "0123456789ab".to_owned() }
}

fn asked(story: Given<Remediation>) -> Given<Remediation> {
    let admission = Admission::Approval { people: 2, expires_at: after(3_600) };
    let policy = "default".parse().expect("a name");
    story
        .by("system:remediator".parse().expect("a name"))
        .and(plan())
        .and(Command::RecordDryRun { previews: remediation_previews() })
        .and(Command::Admit { policy, admission, reason: "two people for this one".to_owned() })
}

fn approved(story: Given<Remediation>) -> Given<Remediation> {
    let approve =
        |on_behalf_of| Command::Approve { binding: remediation_binding(), comment: "fine".to_owned(), on_behalf_of };
    let delegate = Command::Delegate { to: second_approver(), comment: "I am away".to_owned() };
    let third = "third@example.org".parse().expect("a name");
    story.by(approver()).and(delegate).by(second_approver()).and(approve(Some(approver()))).by(third).and(approve(None))
}

#[test]
fn drift_after_two_approvals_asks_both_again() {
    let requested = given::<Remediation>(REMEDIATION.0, []).by(executor()).and(request_remediation());
    let mut states = remediation_states();
    states[2] = Some(content_hash("changed by somebody else"));
    let drifted = Command::Begin { states, check_version: "0123456789ab".to_owned() };
    let begin = Command::Begin { states: remediation_states(), check_version: "0123456789ab".to_owned() };
    let voided = approved(asked(requested)).by(executor()).and(Command::Execute).and(drifted);
    assert_eq!(voided.state().phase, RemediationPhase::Requested);
    let again = approved(asked(voided)).by(executor()).and(Command::Execute).and(begin);
    assert_eq!(again.state().phase, RemediationPhase::Executing);
    let events = again.into_events();
    let approvals = names(&events).into_iter().filter(|name| *name == "RemediationApproved").count();
    assert_eq!((approvals, fold::<Remediation>(&events).approvals.len()), (4, 2));
}

#[test]
fn every_event_of_the_log_has_its_name() {
    for event in remediation_rolled_back().into_iter().chain(remediation_stuck()) {
        let stored = serde_json::to_value(&event).expect("an event is storable");
        assert_eq!(stored.as_object().and_then(|tag| tag.keys().next()).map(String::as_str), Some(event.name()));
    }
}
