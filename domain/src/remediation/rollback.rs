//! Taking back: in which order, how far, and what it comes to.

use super::{RemediationEvent, RemediationState, RollbackEnd, StepState, UndoState, Undoing};
use crate::ids::{Actor, StepName};
use chrono::{DateTime, Utc};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Why and how it is taken back.
pub(super) struct Turn {
    pub(super) reason: String,
    pub(super) by: Actor,
    pub(super) end: RollbackEnd,
    pub(super) at: DateTime<Utc>,
}

/// These events, and then: all that has been done is taken back. Where nothing (more) can be taken back, it is also
/// said what that comes to.
pub(super) fn turn_back(
    state: &RemediationState,
    mut events: Vec<RemediationEvent>,
    turn: Turn,
) -> Vec<RemediationEvent> {
    let ahead = state.after(&events);
    let Turn { reason, by, end, at } = turn;
    events.push(RemediationEvent::RollbackStarted { reason, by, steps: order(&ahead), end, at });
    conclude(state, events, at)
}

/// These events, and where after them nothing (more) can be taken back: what it comes to.
pub(super) fn conclude(
    state: &RemediationState,
    mut events: Vec<RemediationEvent>,
    at: DateTime<Utc>,
) -> Vec<RemediationEvent> {
    let ahead = state.after(&events);
    let Some(rollback) = &ahead.rollback else { return events };
    if next_undo(&ahead).is_some() {
        return events;
    }
    let left: Vec<StepName> = rollback.steps.iter().filter(|step| !ahead.is_restored(step)).cloned().collect();
    if !left.is_empty() {
        let reason = format!("{}; not taken back: {}", rollback.reason, why(&ahead, &left));
        events.push(RemediationEvent::RollbackIncomplete { steps: left, reason: reason.clone(), at });
        events.push(RemediationEvent::RemediationStuck { reason, at });
        return events;
    }
    events.push(RemediationEvent::RollbackProven { at });
    let (reason, by) = (rollback.reason.clone(), rollback.by.clone());
    events.push(match rollback.end {
        RollbackEnd::Failed => RemediationEvent::RemediationFailed { reason, at },
        RollbackEnd::Undone => RemediationEvent::RemediationUndone { at },
        RollbackEnd::Cancelled => RemediationEvent::RemediationCancelled { reason, by, at },
    });
    events
}

/// The steps of which something may have been done and is not taken back: those without an outcome first, then the last
/// outcome first. So none is taken back before those that came after it.
pub(super) fn order(state: &RemediationState) -> Vec<StepName> {
    let mut steps: Vec<(usize, &StepName, &StepState)> = state
        .planned_steps()
        .enumerate()
        .filter(|(_, (planned, step))| step.image.is_some() && !state.is_restored(&planned.name))
        .map(|(place, (planned, step))| (place, &planned.name, step))
        .collect();
    steps.sort_by_key(|(place, _, step)| Reverse((step.outcome_at.unwrap_or(u32::MAX), *place)));
    steps.into_iter().map(|(_, name, _)| name.clone()).collect()
}

/// The step to be taken back next; `None` where no more can be.
pub(super) fn next_undo(state: &RemediationState) -> Option<&StepName> {
    let rollback = state.rollback.as_ref()?;
    let kept = kept(state);
    rollback.steps.iter().find(|name| {
        let is_open = |step: &StepState| matches!(step.undone, UndoState::Not | UndoState::UnderWay { .. });
        !kept.contains(*name) && state.steps.get(*name).is_some_and(is_open)
    })
}

/// The steps that stay as they are: what can not be or was not taken back, and all that it came after: it may rely on
/// that.
fn kept(state: &RemediationState) -> BTreeSet<StepName> {
    let mut kept = BTreeSet::new();
    let (Some(rollback), Some(plan)) = (&state.rollback, &state.plan) else { return kept };
    for name in &rollback.steps {
        let is_impossible = plan.step(name).is_some_and(|step| matches!(step.undo, Undoing::Impossible { .. }));
        let was_tried = state
            .steps
            .get(name)
            .is_some_and(|step| matches!(step.undone, UndoState::Done { .. } | UndoState::Failed { .. }));
        if is_impossible || (was_tried && !state.is_restored(name)) {
            kept.extend(plan.before(name));
            kept.insert(name.clone());
        }
    }
    kept
}

fn why(state: &RemediationState, left: &[StepName]) -> String {
    let one = |name: &StepName| {
        let undo = state.plan.as_deref().and_then(|plan| plan.step(name)).map(|step| &step.undo);
        let step = state.steps.get(name);
        match (step.map(|step| &step.undone), undo) {
            (_, Some(Undoing::Impossible { reason })) => format!("{name} (can not be: {reason})"),
            (Some(UndoState::Failed { error }), _) => format!("{name} ({error})"),
            (Some(UndoState::Done { .. }), _) => format!("{name} (is not as it was)"),
            _ => format!("{name} (a later step that was not taken back may rely on it)"),
        }
    };
    left.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl RemediationState {
    /// Whether the failure that was recorded can be acted upon: no step may be changing something.
    pub(super) fn can_turn_back(&self) -> bool {
        self.failure.is_some() && !self.any_under_way()
    }

    /// The outcome of a step, and where it was the last one waited for after a failure: the way back.
    pub(super) fn with_outcome(
        &self,
        outcome: RemediationEvent,
        by: &Actor,
        at: DateTime<Utc>,
    ) -> Vec<RemediationEvent> {
        let ahead = self.after(std::slice::from_ref(&outcome));
        if !ahead.can_turn_back() {
            return vec![outcome];
        }
        let reason = ahead.failure.unwrap_or_default();
        turn_back(self, vec![outcome], Turn { reason, by: by.clone(), end: RollbackEnd::Failed, at })
    }
}
