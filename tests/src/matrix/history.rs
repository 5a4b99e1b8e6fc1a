//! Replays a remediation's history: whatever was decided must be decided again.

use domain::policy::{Policy, PolicyEvent, PolicyState, standing};
use domain::remediation::{Next, Remediation, RemediationEvent, RemediationState, StepWork, next};
use domain::{AnyEvent, Decider as _, StepName, StreamVersion};
use event_store::{EventLog, StreamId};
use serde_json::Value;

/// How many events are read at once.
const BATCH: usize = 500;

/// Reads a stream whole, decoded.
pub async fn read(log: &dyn EventLog, kind: &str, id: &str) -> Result<Vec<AnyEvent>, String> {
    let mut events = Vec::new();
    loop {
        let after = StreamVersion(events.len() as i64);
        let batch = log.read_stream(StreamId::new(kind, id), after, BATCH).await.map_err(|error| error.to_string())?;
        for recorded in &batch {
            events.push(recorded.decode().map_err(|error| error.to_string())?);
        }
        if batch.len() < BATCH {
            return Ok(events);
        }
    }
}

/// The remediation's own stream: at every event, what happened is what `next` said was to be done; at the end the state
/// is the one that the view shows.
pub fn remediation(events: &[AnyEvent], shown: &Value) -> Result<(), String> {
    let mut state = RemediationState::default();
    let mut replayed = 0;
    for told in events {
        let AnyEvent::Remediation(event) = told else { continue };
        follows(&state, event)?;
        Remediation::evolve(&mut state, event);
        replayed += 1;
    }
    if replayed == 0 {
        return Err("the remediation has no history".to_owned());
    }
    let folded = serde_json::to_value(&state).map_err(|error| error.to_string())?;
    if folded == *shown { Ok(()) } else { Err("the history does not fold to the state that the view shows".to_owned()) }
}

/// Whether the event is what was to be done next. People's own wishes may come at any time.
fn follows(state: &RemediationState, event: &RemediationEvent) -> Result<(), String> {
    let begins = |work: &[StepWork], step: &StepName| work.iter().any(|one| one.step == *step);
    let is_next = match event {
        RemediationEvent::RemediationPlanned { at, .. } => next(state, *at) == Next::Plan,
        RemediationEvent::DryRunRecorded { at, .. } => next(state, *at) == Next::DryRun,
        RemediationEvent::RemediationAdmitted { at, .. } | RemediationEvent::RemediationDeferred { at, .. } => {
            next(state, *at) == Next::Admit
        }
        RemediationEvent::ExecutionStarted { at, .. } => next(state, *at) == Next::Confirm,
        RemediationEvent::StepStarted { step, at, .. }
        | RemediationEvent::BeforeImageCaptured { step, at, .. }
        | RemediationEvent::StepSucceeded { step, at, .. }
        | RemediationEvent::StepFailed { step, at, .. } => {
            matches!(next(state, *at), Next::Steps(work) if begins(&work, step))
        }
        RemediationEvent::PostCheckPassed { at, .. } | RemediationEvent::PostCheckFailed { at, .. } => {
            next(state, *at) == Next::PostCheck
        }
        RemediationEvent::StepUndoStarted { step, at, .. } | RemediationEvent::StepUndone { step, at, .. } => {
            next(state, *at) == Next::Undo(step.clone())
        }
        _ => true,
    };
    if is_next { Ok(()) } else { Err(format!("{} is not what was to be done next", event.name())) }
}

/// The policy's stream: every reservation is what the policy said at that moment, and says again.
pub fn policy(events: &[AnyEvent]) -> Result<(), String> {
    let mut state = PolicyState::default();
    for told in events {
        let AnyEvent::Policy(event) = told else { continue };
        if let PolicyEvent::RemediationReserved { request, admission, at, .. } = event {
            let (again, reason) = standing(&state, request, *at);
            if again != *admission {
                return Err(format!("the policy says {again:?} ({reason}) where it said {admission:?}"));
            }
        }
        Policy::evolve(&mut state, event);
    }
    Ok(())
}

/// The event's stable name.
pub fn name(event: &AnyEvent) -> &'static str {
    match event {
        AnyEvent::Remediation(event) => event.name(),
        AnyEvent::Policy(event) => event.name(),
        _ => "",
    }
}
