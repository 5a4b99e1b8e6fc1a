//! Any sequence of commands, by anybody, at any time.

use super::invariants;
use crate::replay::Story;
use chrono::{DateTime, TimeDelta, Utc};
use domain::remediation::{
    Admission, Next, Remediation, RemediationCommand as Command, RemediationState, StepStage, StepWork, next,
};
use domain::testing::{
    REMEDIATION, content_hash, context, post_check_results, remediation_binding, remediation_plan,
    remediation_previews, remediation_states, request_remediation, step_image, step_name,
};
use domain::{Actor, Context, Decider as _, Outcome, StepName};
use proptest::prelude::*;
use serde_json::json;

const VERSION: &str = "0123456789ab";

fn text() -> String {
    "because".to_owned()
}

fn actor() -> impl Strategy<Value = Actor> {
    let names = ["a@example.org", "A@example.org", "b@example.org", "c@example.org", "d@example.org", "system:x"];
    prop::sample::select(names.to_vec()).prop_map(|name| name.parse().expect("a name"))
}

fn step() -> impl Strategy<Value = StepName> {
    prop::sample::select(vec!["find-copy", "restore-file", "recount", "elsewhere"]).prop_map(step_name)
}

/// What a command that records something says: chosen where it is sent.
#[derive(Debug, Clone)]
enum Ask {
    /// What `next` proposes, in one of its variants.
    Next(u8),
    Any(Box<Command>),
}

fn people_command() -> impl Strategy<Value = Command> {
    let binding = prop_oneof![5 => Just(remediation_binding()), 1 => Just(content_hash("x"))];
    prop_oneof![
        4 => (binding, prop::option::weighted(0.3, actor()))
            .prop_map(|(binding, on_behalf_of)| Command::Approve { binding, comment: text(), on_behalf_of }),
        2 => actor().prop_map(|to| Command::Delegate { to, comment: text() }),
        3 => Just(Command::Execute),
        1 => Just(Command::Reject { comment: text() }),
        1 => Just(Command::Undo { reason: text() }),
        1 => Just(Command::Cancel { reason: text() }),
        1 => any::<bool>().prop_map(|undo| Command::Halt { undo, reason: text() }),
        1 => Just(Command::Release { comment: text() }),
    ]
}

fn step_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        step().prop_map(|step| Command::StartStep { step }),
        step().prop_map(|step| Command::RecordBeforeImage { image: step_image(step.as_str()), step }),
        (step(), any::<bool>()).prop_map(|(step, found_done)| succeed(step, found_done)),
        step().prop_map(|step| Command::RecordStepFailed { step, error: text() }),
        step().prop_map(|step| Command::StartUndo { step }),
        step().prop_map(|step| Command::RecordStepUndone { state: Some(content_hash(step.as_str())), step }),
        step().prop_map(|step| Command::RecordUndoFailed { step, error: text() }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    prop_oneof![
        8 => people_command(),
        6 => step_command(),
        1 => Just(request_remediation()),
        1 => Just(Command::ExpireApproval),
        1 => Just(Command::RecordPlan { plan: remediation_plan(), check_version: VERSION.to_owned() }),
        1 => Just(Command::RecordDryRun { previews: remediation_previews() }),
        1 => Just(Command::Begin { states: remediation_states(), check_version: "2".to_owned() }),
        1 => outcome.prop_map(|outcome| Command::RecordPostCheck { results: post_check_results(outcome) }),
    ]
}

fn succeed(step: StepName, found_done: bool) -> Command {
    Command::RecordStepSucceeded { step, outputs: [("copy".to_owned(), json!("x"))].into(), found_done }
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        3 => any::<u8>().prop_map(Ask::Next),
        2 => command().prop_map(|command| Ask::Any(Box::new(command))),
    ]
}

/// All that may be sent for what `next` proposes.
fn proposed(state: &RemediationState, now: DateTime<Utc>) -> Vec<Command> {
    let admit = |admission| Command::Admit { policy: "default".parse().expect("a name"), admission, reason: text() };
    let later = now + TimeDelta::seconds(300);
    match next(state, now) {
        Next::Nothing => vec![request_remediation()],
        Next::Plan => vec![
            Command::RecordPlan { plan: remediation_plan(), check_version: VERSION.to_owned() },
            Command::FailPlanning { reason: text() },
        ],
        Next::DryRun => {
            vec![Command::RecordDryRun { previews: remediation_previews() }, Command::FailDryRun { reason: text() }]
        }
        Next::Admit => vec![
            admit(Admission::Approval { people: 2, expires_at: later }),
            admit(Admission::Approval { people: 1, expires_at: later }),
            admit(Admission::Automatic),
            admit(Admission::Unattended),
            admit(Admission::Deferred { retry_at: now }),
            admit(Admission::Forbidden),
        ],
        Next::AwaitApproval { until } if until <= now => vec![Command::ExpireApproval],
        Next::AwaitExecution { until: Some(until) } if until <= now => vec![Command::ExpireApproval],
        Next::AwaitApproval { .. } | Next::AwaitExecution { .. } | Next::Retry { .. } | Next::Rest(_) => Vec::new(),
        Next::Confirm => {
            let mut drifted = remediation_states();
            drifted[2] = None;
            let begin = |states| Command::Begin { states, check_version: VERSION.to_owned() };
            vec![begin(remediation_states()), begin(drifted), Command::FailDryRun { reason: text() }]
        }
        Next::Steps(work) => work.into_iter().flat_map(of_step).collect(),
        Next::PostCheck => [Outcome::Ok, Outcome::Critical, Outcome::Unknown]
            .map(|outcome| Command::RecordPostCheck { results: post_check_results(outcome) })
            .into(),
        Next::Undo(step) => vec![Command::StartUndo { step }],
        Next::GiveUpUndo(step) => vec![Command::RecordUndoFailed { step, error: text() }],
    }
}

fn of_step(work: StepWork) -> Vec<Command> {
    let StepWork { step, from } = work;
    let start = Command::StartStep { step: step.clone() };
    let fail = Command::RecordStepFailed { step: step.clone(), error: text() };
    match from {
        StepStage::Intent => vec![start],
        StepStage::Capture => {
            let image = step_image(step.as_str());
            vec![Command::RecordBeforeImage { step, image }, start, fail]
        }
        StepStage::Decide => vec![succeed(step, false), start, fail],
        StepStage::GiveUp => vec![fail],
    }
}

/// After `Undo` is begun, what may be recorded of it.
fn of_undo(state: &RemediationState, now: DateTime<Utc>) -> Vec<Command> {
    let Next::Undo(step) = next(state, now) else { return Vec::new() };
    let (good, bad) = (content_hash(step.as_str()), content_hash("not as it was"));
    vec![
        Command::RecordStepUndone { step: step.clone(), state: Some(good) },
        Command::RecordStepUndone { step: step.clone(), state: Some(bad) },
        Command::RecordUndoFailed { step, error: text() },
    ]
}

/// The platform's part, whatever variant: accepted, all of it, in every state.
fn check_proposals(story: &Story<Remediation>) {
    let context = Context { actor: "system:x".parse().expect("a name"), ..context(REMEDIATION.0, story.now) };
    for command in proposed(&story.state, story.now) {
        let name = Remediation::command_name(&command);
        let decided = Remediation::decide(&story.state, command.clone(), &context);
        assert!(decided.is_ok(), "next proposes {name}, refused: {:?}", decided.err());
        if let Command::StartUndo { .. } = command {
            let mut ahead = story.state.clone();
            decided.iter().flatten().for_each(|event| Remediation::evolve(&mut ahead, event));
            for command in of_undo(&ahead, story.now) {
                let decided = Remediation::decide(&ahead, command, &context);
                assert!(decided.is_ok(), "refused after its intent: {:?}", decided.err());
            }
        }
    }
}

fn perform(story: &mut Story<Remediation>, by: Actor, ask: Ask) {
    let command = match ask {
        Ask::Any(command) => *command,
        Ask::Next(variant) => {
            let mut all = of_undo(&story.state, story.now);
            let is_begun = |command: &Command| {
                Remediation::decide(&story.state, command.clone(), &context(REMEDIATION.0, story.now)).is_ok()
            };
            all.retain(is_begun);
            all.extend(proposed(&story.state, story.now));
            // The first ones are what goes well: more often than not.
            let place = usize::from(variant / 24).min(all.len());
            match all.into_iter().cycle().nth(place) {
                Some(command) => command,
                None => return,
            }
        }
    };
    story.send_by(by, command);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_life_replays_and_keeps_its_rules(
        asks in prop::collection::vec(
            (
                actor(),
                ask(),
                0..40_i64,
            ),
            0..90,
        ),
    ) {
        let mut story = Story::<Remediation>::of(REMEDIATION.0);
        for (by, ask, seconds) in asks {
            story.wait(seconds);
            perform(&mut story, by, ask);
            check_proposals(&story);
        }
        invariants::check_all(&story.events);
        story.check_replay();
    }
}
