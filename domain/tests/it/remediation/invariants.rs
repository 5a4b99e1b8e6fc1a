//! What holds in every accepted history.

use domain::remediation::{
    Next, Plan, Remediation, RemediationEvent, RemediationPhase, RemediationState, Rest, RollbackEnd, next,
};
use domain::testing::fold;
use domain::{Actor, StepName};
use std::collections::BTreeSet;

fn person(actor: &Actor) -> String {
    actor.as_str().trim().to_lowercase()
}

/// Approvers (and those on whose behalf, and who asked others to) are never executors, and never the platform.
pub fn nobody_approves_and_executes(events: &[RemediationEvent]) {
    let (mut approvers, mut executors) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        match event {
            RemediationEvent::RemediationApproved { by, on_behalf_of, .. } => {
                approvers.insert(person(by));
                approvers.extend(on_behalf_of.as_ref().map(person));
            }
            RemediationEvent::ApprovalDelegated { by, .. } => {
                approvers.insert(person(by));
            }
            RemediationEvent::ExecutionRequested { by, .. } | RemediationEvent::ExecutionStarted { by, .. } => {
                executors.insert(person(by));
            }
            _ => {}
        }
    }
    assert_eq!(approvers.intersection(&executors).count(), 0, "{approvers:?} approved, {executors:?} executed");
    assert!(approvers.iter().all(|name| !name.starts_with("system:")), "{approvers:?}");
}

/// Where people were asked, execution begins only after as many different ones as were asked for have approved exactly
/// what was bound then.
pub fn nothing_begins_unapproved(events: &[RemediationEvent]) {
    let (mut needed, mut bound, mut people) = (0, None, BTreeSet::new());
    for event in events {
        match event {
            RemediationEvent::RemediationPlanned { .. } => (needed, bound) = (0, None),
            RemediationEvent::ApprovalRequested { people: asked, binding, .. } => {
                (needed, bound) = (usize::from(*asked), Some(binding.clone()));
                people.clear();
            }
            RemediationEvent::RemediationApproved { by, on_behalf_of, binding, .. } => {
                assert_eq!(Some(binding), bound.as_ref(), "something else was approved than asked for");
                assert!(people.insert(person(on_behalf_of.as_ref().unwrap_or(by))), "{by} counted twice");
            }
            RemediationEvent::ExecutionRequested { .. } => {
                assert!(people.len() >= needed, "{} of {needed} approved", people.len());
            }
            RemediationEvent::ApprovalVoided { .. } => people.clear(),
            _ => {}
        }
    }
}

/// No step starts before those that it comes after have succeeded; nothing is applied without a recorded before-image;
/// nothing goes on once it is taken back.
pub fn steps_are_in_order(events: &[RemediationEvent]) {
    let mut plan: Option<&Plan> = None;
    let (mut started, mut captured, mut ended, mut succeeded): (
        BTreeSet<&StepName>,
        BTreeSet<&StepName>,
        BTreeSet<&StepName>,
        BTreeSet<&StepName>,
    ) = Default::default();
    let mut turned_back = false;
    for event in events {
        match event {
            RemediationEvent::RemediationPlanned { plan: made, .. } => plan = Some(made),
            RemediationEvent::StepStarted { step, .. } => {
                let planned = plan.and_then(|plan| plan.step(step)).expect("a planned step");
                assert!(planned.after.iter().all(|name| succeeded.contains(name)), "{step} started too early");
                assert!(!turned_back && !ended.contains(step), "{step} started too late");
                started.insert(step);
            }
            RemediationEvent::BeforeImageCaptured { step, .. } => {
                assert!(started.contains(step) && captured.insert(step) && !turned_back, "an image of {step}");
            }
            RemediationEvent::StepSucceeded { step, .. } => {
                assert!(captured.contains(step), "{step} was applied without a before-image");
                assert!(ended.insert(step) && succeeded.insert(step) && !turned_back, "an outcome of {step}");
            }
            RemediationEvent::StepFailed { step, .. } => {
                assert!(started.contains(step) && ended.insert(step) && !turned_back, "an outcome of {step}");
            }
            RemediationEvent::RollbackStarted { reason, end: RollbackEnd::Failed, .. } => {
                // Whoever cancels or halts has ended what was under way; a failure waits for it.
                let is_failure = !reason.contains("; then: ");
                let is_waited_for = captured.iter().all(|step| ended.contains(step));
                assert!(!is_failure || is_waited_for, "taken back while a step may be changing something");
                turned_back = true;
            }
            RemediationEvent::RollbackStarted { .. } => turned_back = true,
            _ => {}
        }
    }
}

/// What comes after a step is taken back before it; only what has a before-image is.
pub fn undo_is_in_reverse(events: &[RemediationEvent]) {
    let mut state = RemediationState::default();
    for event in events {
        if let RemediationEvent::StepUndoStarted { step, .. } = event {
            assert!(state.steps[step].image.is_some(), "{step} is taken back and was not captured");
            for (later, reached) in state.planned_steps() {
                let relies = later.after.contains(step) && reached.image.is_some();
                assert!(!relies || state.is_restored(&later.name), "{step} is taken back before {}", later.name);
            }
        }
        <Remediation as domain::Decider>::evolve(&mut state, event);
    }
}

/// At rest it is exactly one thing, and the log's last word says which.
pub fn rest_is_one_thing(events: &[RemediationEvent]) {
    let state = fold::<Remediation>(events);
    let Next::Rest(rest) = next(&state, domain::testing::start()) else {
        assert!(!state.phase.is_at_rest(), "{:?} rests without saying so", state.phase);
        return;
    };
    let word = match rest {
        Rest::Succeeded => "RemediationSucceeded",
        Rest::Failed => "RemediationFailed",
        Rest::Undone => "RemediationUndone",
        Rest::Cancelled => "RemediationCancelled",
        Rest::Stuck => "RemediationStuck",
        Rest::Halted => "RemediationHalted",
    };
    assert!(state.phase.is_at_rest());
    assert_eq!(events.last().map(RemediationEvent::name), Some(word));
    let has_ended = !matches!(rest, Rest::Stuck | Rest::Halted);
    assert_eq!(state.ended_at.is_some(), has_ended, "{rest:?}");
    // Whatever was done and is not a success is taken back, unless a person has to see to it or has seen to it.
    let is_clean = state.steps.iter().all(|(name, step)| step.image.is_none() || state.is_restored(name));
    let was_released = events.iter().any(|event| matches!(event, RemediationEvent::RemediationReleased { .. }));
    let may_leave = matches!(rest, Rest::Succeeded | Rest::Stuck | Rest::Halted) || was_released;
    assert!(is_clean || may_leave, "{rest:?} leaves something behind");
    if rest == Rest::Stuck {
        assert!(!is_clean, "stuck with nothing left behind");
    }
}

pub fn check_all(events: &[RemediationEvent]) {
    nobody_approves_and_executes(events);
    nothing_begins_unapproved(events);
    steps_are_in_order(events);
    undo_is_in_reverse(events);
    rest_is_one_thing(events);
    let phase = fold::<Remediation>(events).phase;
    assert_eq!(phase == RemediationPhase::Absent, events.is_empty());
}
