//! A check measured the resource: good or bad.
//!
//! - One run counts once. A second observation by the newest run counts only where it is worse: worse than good, it
//!   takes the place of the good one; critical after warning, only the severity changes. An older run's second
//!   observation has been overtaken by newer measurements.
//! - Good measurements of something absent or resolved give nothing.
//! - Flapping holds back resolving and reopening, not the first opening: while it lasts, a finding that is open stays
//!   open, and one that is resolved becomes suspected, where good and bad both count until it settles.
//! - A false positive neither opens nor resolves nor changes severity. That it is still seen is recorded at most once
//!   in 24 hours: enough for a person to see that the mark still matters, and the log does not fill.
//! - A mute that ran out is announced by the next observation that counts.

use super::state::{Seen, is_bad};
use super::{FindingEvent, FindingPhase, FindingRefusal, FindingState, Fingerprint, Hysteresis, Sighting};
use crate::decider::Context;
use crate::diagnostic_run::RESULT_TEXT_CHARS_MAX;
use crate::ids::FindingId;
use crate::outcome::Outcome;
use crate::text::bounded;
use chrono::TimeDelta;

/// How often a false positive that is still seen is recorded, in hours.
const FALSE_POSITIVE_SEEN_HOURS: i64 = 24;

pub(super) fn decide(
    state: &FindingState,
    fingerprint: Fingerprint,
    sighting: Sighting,
    hysteresis: Hysteresis,
    context: &Context,
) -> Result<Vec<FindingEvent>, FindingRefusal> {
    let id = FindingId::of(fingerprint.deployment, &fingerprint.check, &fingerprint.resource);
    if id.0 != context.id {
        return Err(FindingRefusal::Misaddressed);
    }
    if sighting.outcome == Outcome::Unknown {
        return Err(FindingRefusal::UnknownOutcome);
    }
    hysteresis.check()?;
    for (field, text) in [
        ("the symptom", &sighting.symptom),
        ("the cause", &sighting.cause),
        ("the impact", &sighting.impact),
        ("the advice", &sighting.advice),
    ] {
        bounded(field, text, RESULT_TEXT_CHARS_MAX)?;
    }
    let observing = Observing { state, hysteresis, context };
    let observed =
        if is_bad(sighting.outcome) { observing.bad(id, fingerprint, sighting) } else { observing.good(&sighting) };
    Ok(observing.announce_expired_mute(observed))
}

struct Observing<'a> {
    state: &'a FindingState,
    hysteresis: Hysteresis,
    context: &'a Context,
}

impl Observing<'_> {
    fn bad(&self, id: FindingId, fingerprint: Fingerprint, sighting: Sighting) -> Vec<FindingEvent> {
        let (state, at) = (self.state, self.context.now);
        if let Some(earlier) = state.window.of_run(sighting.run) {
            let is_newest = state.window.newest().is_some_and(|newest| newest.run == sighting.run);
            if !is_newest || sighting.outcome.rank() <= earlier.outcome.rank() {
                return Vec::new();
            }
            if is_bad(earlier.outcome) {
                return if state.false_positive { Vec::new() } else { self.severity_change(sighting.outcome) };
            }
        }
        if state.false_positive {
            return self.false_positive_seen(sighting);
        }
        let mut window = state.window.clone();
        window.count(Seen { run: sighting.run, outcome: sighting.outcome });
        let in_a_row = window.in_a_row(true);
        let changes = window.changes();
        let flaps = self.flaps(changes);
        let occurrences = state.occurrences + 1;
        let mut events = Vec::with_capacity(2);
        if state.phase == FindingPhase::Open {
            let severity_change = self.severity_change(sighting.outcome);
            events.push(FindingEvent::FindingSeenAgain { sighting, occurrences, at });
            events.extend(severity_change);
        } else if state.first_opened_at.is_some() && in_a_row >= self.hysteresis.open_after && !flaps {
            let regressions = state.regressions + 1;
            events.push(FindingEvent::FindingRegressed { sighting, occurrences, regressions, at });
        } else if state.first_opened_at.is_none() && in_a_row >= self.hysteresis.open_after {
            events.push(FindingEvent::FindingOpened { id, fingerprint, sighting, at });
        } else {
            events.push(FindingEvent::FindingSuspected { id, fingerprint, sighting, in_a_row, at });
        }
        events.extend(self.flapping_change(flaps, changes));
        events
    }

    fn good(&self, sighting: &Sighting) -> Vec<FindingEvent> {
        let (state, at, run) = (self.state, self.context.now, sighting.run);
        if !state.is_unresolved() || state.false_positive || state.window.of_run(run).is_some() {
            return Vec::new();
        }
        let mut window = state.window.clone();
        window.count(Seen { run, outcome: Outcome::Ok });
        let in_a_row = window.in_a_row(false);
        let changes = window.changes();
        let flaps = self.flaps(changes);
        let mut events = Vec::with_capacity(2);
        events.extend(self.flapping_change(flaps, changes));
        if in_a_row >= self.hysteresis.resolve_after && !flaps {
            let open_seconds = state.opened_at.map_or(0, |opened| (at - opened).num_seconds().max(0));
            events.push(FindingEvent::FindingResolved { run, open_seconds, at });
        } else {
            events.push(FindingEvent::FindingRecovering { run, in_a_row, at });
        }
        events
    }

    fn severity_change(&self, to: Outcome) -> Vec<FindingEvent> {
        match self.state.severity {
            Some(from) if from != to => {
                vec![FindingEvent::FindingSeverityChanged { from, to, at: self.context.now }]
            }
            _ => Vec::new(),
        }
    }

    fn false_positive_seen(&self, sighting: Sighting) -> Vec<FindingEvent> {
        let at = self.context.now;
        let is_recent = |seen| at - seen < TimeDelta::hours(FALSE_POSITIVE_SEEN_HOURS);
        // Occurrences count from the first opening.
        if self.state.first_opened_at.is_none() || self.state.last_seen_at.is_some_and(is_recent) {
            return Vec::new();
        }
        vec![FindingEvent::FindingSeenAgain { sighting, occurrences: self.state.occurrences + 1, at }]
    }

    /// Whether it flaps with so many changes: between the two bounds it does what it did before.
    fn flaps(&self, changes: u32) -> bool {
        if self.state.flapping { changes > self.hysteresis.flap_until } else { changes >= self.hysteresis.flap_from }
    }

    fn flapping_change(&self, flaps: bool, changes: u32) -> Option<FindingEvent> {
        let at = self.context.now;
        match (self.state.flapping, flaps) {
            (false, true) => Some(FindingEvent::FindingFlappingStarted { changes, at }),
            (true, false) => Some(FindingEvent::FindingFlappingStopped { changes, at }),
            _ => None,
        }
    }

    fn announce_expired_mute(&self, mut observed: Vec<FindingEvent>) -> Vec<FindingEvent> {
        let at = self.context.now;
        if !observed.is_empty() && self.state.muted_until.is_some_and(|until| until <= at) {
            observed.insert(0, FindingEvent::FindingUnmuted { expired: true, at });
        }
        observed
    }
}

#[cfg(test)]
mod tests;
