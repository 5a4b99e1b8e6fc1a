//! What is remembered of a finding, and how its events change it.

use super::{FindingEvent, FindingRefusal, Fingerprint, Hysteresis, Sighting};
use crate::ids::RunId;
use crate::outcome::Outcome;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a finding is in its life. Acknowledged, muted, flapping and false positive are beside it, not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum FindingPhase {
    /// Never seen.
    #[default]
    Absent,
    /// Seen bad, not often enough in a row to open (again).
    Suspected,
    /// It is a problem.
    Open,
    /// It is gone.
    Resolved,
}

/// One observation that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The run that observed.
    pub run: RunId,
    /// What it saw: `Ok`, `Warning` or `Critical`.
    pub outcome: Outcome,
}

/// The last observations that counted, at most [`Hysteresis::WINDOW`], oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Window(Vec<Seen>);

impl Window {
    /// The newest observation.
    pub fn newest(&self) -> Option<&Seen> {
        self.0.last()
    }

    /// What a run saw, where it is among the observations.
    pub fn of_run(&self, run: RunId) -> Option<&Seen> {
        self.0.iter().rev().find(|seen| seen.run == run)
    }

    /// Counts an observation; a second one of the newest run takes the place of its first.
    pub fn count(&mut self, seen: Seen) {
        match self.0.last_mut() {
            Some(newest) if newest.run == seen.run => *newest = seen,
            _ => {
                if self.0.len() >= Hysteresis::WINDOW {
                    self.0.remove(0);
                }
                self.0.push(seen);
            }
        }
    }

    /// How many of the newest observations in a row are bad (or good).
    pub fn in_a_row(&self, bad: bool) -> u32 {
        let row = self.0.iter().rev().take_while(|seen| is_bad(seen.outcome) == bad).count();
        u32::try_from(row).unwrap_or(u32::MAX)
    }

    /// How often good and bad followed each other.
    pub fn changes(&self) -> u32 {
        let changes = self.0.windows(2).filter(|pair| is_bad(pair[0].outcome) != is_bad(pair[1].outcome)).count();
        u32::try_from(changes).unwrap_or(u32::MAX)
    }
}

/// Whether an outcome is a problem.
pub(super) const fn is_bad(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Warning | Outcome::Critical)
}

/// A finding as folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct FindingState {
    /// What it is about; `None` while absent.
    pub fingerprint: Option<Arc<Fingerprint>>,
    /// Where it is in its life.
    pub phase: FindingPhase,
    /// Its severity when it was last seen bad.
    pub severity: Option<Outcome>,
    /// All bad sightings since it first opened.
    pub occurrences: u32,
    /// How often it came back.
    pub regressions: u32,
    /// The last observations that counted.
    pub window: Window,
    /// Whether it changes to and fro.
    pub flapping: bool,
    /// Whether somebody took it on.
    pub acknowledged: bool,
    /// Until when it does not alert; kept past that moment until the next observation says so.
    pub muted_until: Option<DateTime<Utc>>,
    /// Why it does not alert.
    pub muted_reason: Option<String>,
    /// Whether it is marked as no problem.
    pub false_positive: bool,
    /// When it first opened.
    pub first_opened_at: Option<DateTime<Utc>>,
    /// When it last opened or reopened.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it was last seen bad.
    pub last_seen_at: Option<DateTime<Utc>>,
}

impl FindingState {
    /// Whether good measurements are of use to it: it is suspected or open.
    pub const fn is_unresolved(&self) -> bool {
        matches!(self.phase, FindingPhase::Suspected | FindingPhase::Open)
    }

    /// Refuses what needs a finding that was seen.
    pub(super) fn require_known(&self) -> Result<(), FindingRefusal> {
        if self.phase == FindingPhase::Absent { Err(FindingRefusal::Unknown) } else { Ok(()) }
    }

    /// Refuses what makes no sense of a false positive.
    pub(super) fn require_genuine(&self) -> Result<(), FindingRefusal> {
        self.require_known()?;
        if self.false_positive { Err(FindingRefusal::FalsePositive) } else { Ok(()) }
    }

    pub(super) fn evolve(&mut self, event: &FindingEvent) {
        match event {
            FindingEvent::FindingSuspected { fingerprint, sighting, at, .. } => {
                self.identify(fingerprint);
                self.phase = FindingPhase::Suspected;
                self.severity = Some(sighting.outcome);
                // Before it first opened there is nothing to count.
                self.occurrences += u32::from(self.first_opened_at.is_some());
                self.see(sighting, *at);
            }
            FindingEvent::FindingOpened { fingerprint, sighting, at, .. } => {
                self.identify(fingerprint);
                self.occurrences = 1;
                self.first_opened_at = Some(*at);
                self.open(sighting, *at);
            }
            FindingEvent::FindingSeenAgain { sighting, occurrences, at } => {
                self.occurrences = *occurrences;
                self.see(sighting, *at);
            }
            FindingEvent::FindingRegressed { sighting, occurrences, regressions, at } => {
                self.occurrences = *occurrences;
                self.regressions = *regressions;
                self.open(sighting, *at);
            }
            FindingEvent::FindingSeverityChanged { to, .. } => {
                self.severity = Some(*to);
                if let Some(newest) = self.window.0.last_mut().filter(|newest| is_bad(newest.outcome)) {
                    newest.outcome = *to;
                }
            }
            FindingEvent::FindingRecovering { run, .. } => self.window.count(Seen { run: *run, outcome: Outcome::Ok }),
            FindingEvent::FindingResolved { run, .. } => {
                self.window.count(Seen { run: *run, outcome: Outcome::Ok });
                self.phase = FindingPhase::Resolved;
                self.acknowledged = false;
                self.opened_at = None;
            }
            FindingEvent::FindingFlappingStarted { .. } => self.flapping = true,
            FindingEvent::FindingFlappingStopped { .. } => self.flapping = false,
            FindingEvent::FindingAcknowledged { .. } => self.acknowledged = true,
            FindingEvent::FindingMuted { until, reason, .. } => {
                self.muted_until = Some(*until);
                self.muted_reason = Some(reason.clone());
            }
            FindingEvent::FindingUnmuted { .. } => {
                self.muted_until = None;
                self.muted_reason = None;
            }
            FindingEvent::FindingMarkedFalsePositive { .. } => self.false_positive = true,
            FindingEvent::FindingFalsePositiveWithdrawn { .. } => self.false_positive = false,
        }
    }

    fn identify(&mut self, fingerprint: &Fingerprint) {
        if self.fingerprint.is_none() {
            self.fingerprint = Some(Arc::new(fingerprint.clone()));
        }
    }

    fn open(&mut self, sighting: &Sighting, at: DateTime<Utc>) {
        self.phase = FindingPhase::Open;
        self.severity = Some(sighting.outcome);
        self.opened_at = Some(at);
        self.acknowledged = false;
        self.see(sighting, at);
    }

    fn see(&mut self, sighting: &Sighting, at: DateTime<Utc>) {
        self.last_seen_at = Some(at);
        self.window.count(Seen { run: sighting.run, outcome: sighting.outcome });
    }
}
