//! One problem's life, per fingerprint: deployment, check and resource.

mod acknowledge_finding;
mod mark_false_positive;
mod mute_finding;
mod observe_finding;
mod refusal;
mod state;
#[cfg(test)]
mod story;
mod unmute_finding;
mod withdraw_false_positive;

use crate::decider::{Context, Decider, DomainEvent, ExpectedStream, RefusalCode};
use crate::diagnostic_run::Evidence;
use crate::ids::{CheckCode, ComponentName, DeploymentId, FindingId, ResourceName, RunId};
use crate::outcome::Outcome;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use refusal::FindingRefusal;
pub use state::{FindingPhase, FindingState, Seen, Window};

/// How many observations in a row open and resolve a finding, and when it counts as flapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hysteresis {
    /// Problems in a row before it opens.
    pub open_after: u32,
    /// Good measurements in a row before it resolves.
    pub resolve_after: u32,
    /// Changes between good and bad among the last [`Hysteresis::WINDOW`] observations from which on it flaps.
    pub flap_from: u32,
    /// Changes at or below which it no longer flaps.
    pub flap_until: u32,
}

impl Hysteresis {
    /// How many of the last observations are looked at for flapping.
    pub const WINDOW: usize = 20;

    /// Refuses figures that could never be met within the window.
    pub fn check(&self) -> Result<(), FindingRefusal> {
        let out_of_bounds = |reason| Err(FindingRefusal::HysteresisOutOfBounds { reason });
        let window = Self::WINDOW as u32;
        if !(1..=window).contains(&self.open_after) {
            return out_of_bounds("open_after is not between 1 and 20");
        }
        if !(1..=window).contains(&self.resolve_after) {
            return out_of_bounds("resolve_after is not between 1 and 20");
        }
        // Twenty observations change nineteen times at most.
        if !(1..window).contains(&self.flap_from) {
            return out_of_bounds("flap_from is not between 1 and 19");
        }
        if self.flap_until >= self.flap_from {
            return out_of_bounds("flap_until is not below flap_from");
        }
        Ok(())
    }
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { open_after: 1, resolve_after: 2, flap_from: 8, flap_until: 3 }
    }
}

/// What the finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The check.
    pub check: CheckCode,
    /// The resource.
    pub resource: ResourceName,
}

/// What was seen, in words and as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The component that the check looked at.
    pub component: ComponentName,
    /// The run that saw it.
    pub run: RunId,
    /// `Ok`, `Warning` or `Critical`; never `Unknown` (what was not measured says nothing of a finding).
    pub outcome: Outcome,
    /// What is seen.
    pub symptom: String,
    /// Why.
    pub cause: String,
    /// What it means.
    pub impact: String,
    /// What to do.
    pub advice: String,
    /// What was measured.
    pub evidence: Evidence,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
}

/// What can be asked of a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly all commands are observations, and none lives long")]
pub enum FindingCommand {
    /// A check measured the resource: good or bad. One run counts once.
    Observe { fingerprint: Fingerprint, sighting: Sighting, hysteresis: Hysteresis },
    /// Somebody takes it on.
    Acknowledge { comment: String },
    /// Do not alert until then. Needs a reason and an expiry in the future, at most a year ahead.
    Mute { until: DateTime<Utc>, reason: String },
    /// Alert again.
    Unmute,
    /// It is not a problem. Needs a reason. It no longer opens until the mark is taken back.
    MarkFalsePositive { reason: String },
    /// It may be a problem after all.
    WithdrawFalsePositive { reason: String },
}

/// What can have happened to a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FindingEvent {
    /// Seen bad, not often enough in a row to open (only where `open_after` is above 1).
    FindingSuspected { id: FindingId, fingerprint: Fingerprint, sighting: Sighting, in_a_row: u32, at: DateTime<Utc> },
    /// It is a problem.
    FindingOpened { id: FindingId, fingerprint: Fingerprint, sighting: Sighting, at: DateTime<Utc> },
    /// Seen again; `occurrences` counts all bad sightings since it first opened.
    FindingSeenAgain { sighting: Sighting, occurrences: u32, at: DateTime<Utc> },
    /// Its severity changed between warning and critical.
    FindingSeverityChanged { from: Outcome, to: Outcome, at: DateTime<Utc> },
    /// Measured good, not often enough in a row to resolve.
    FindingRecovering { run: RunId, in_a_row: u32, at: DateTime<Utc> },
    /// Somebody took it on.
    FindingAcknowledged { by: String, comment: String, at: DateTime<Utc> },
    /// It does not alert until then.
    FindingMuted { by: String, until: DateTime<Utc>, reason: String, at: DateTime<Utc> },
    /// It alerts again: by hand, or because the mute ran out.
    FindingUnmuted { expired: bool, at: DateTime<Utc> },
    /// Marked as no problem.
    FindingMarkedFalsePositive { by: String, reason: String, at: DateTime<Utc> },
    /// The mark was taken back.
    FindingFalsePositiveWithdrawn { by: String, reason: String, at: DateTime<Utc> },
    /// It is gone.
    FindingResolved { run: RunId, open_seconds: i64, at: DateTime<Utc> },
    /// It came back.
    FindingRegressed { sighting: Sighting, occurrences: u32, regressions: u32, at: DateTime<Utc> },
    /// It changes to and fro: resolving and reopening are held back until it settles.
    FindingFlappingStarted { changes: u32, at: DateTime<Utc> },
    /// It has settled.
    FindingFlappingStopped { changes: u32, at: DateTime<Utc> },
}

impl FindingEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FindingSuspected { .. } => "FindingSuspected",
            Self::FindingOpened { .. } => "FindingOpened",
            Self::FindingSeenAgain { .. } => "FindingSeenAgain",
            Self::FindingSeverityChanged { .. } => "FindingSeverityChanged",
            Self::FindingRecovering { .. } => "FindingRecovering",
            Self::FindingAcknowledged { .. } => "FindingAcknowledged",
            Self::FindingMuted { .. } => "FindingMuted",
            Self::FindingUnmuted { .. } => "FindingUnmuted",
            Self::FindingMarkedFalsePositive { .. } => "FindingMarkedFalsePositive",
            Self::FindingFalsePositiveWithdrawn { .. } => "FindingFalsePositiveWithdrawn",
            Self::FindingResolved { .. } => "FindingResolved",
            Self::FindingRegressed { .. } => "FindingRegressed",
            Self::FindingFlappingStarted { .. } => "FindingFlappingStarted",
            Self::FindingFlappingStopped { .. } => "FindingFlappingStopped",
        }
    }
}

impl DomainEvent for FindingEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// Decides a finding's life.
#[derive(Debug, Clone, Copy)]
pub struct Finding;

impl Decider for Finding {
    const TYPE: &'static str = crate::any_event::FINDING;
    type State = FindingState;
    type Command = FindingCommand;
    type Event = FindingEvent;
    type Refusal = FindingRefusal;

    fn decide(
        state: &FindingState,
        command: FindingCommand,
        context: &Context,
    ) -> Result<Vec<FindingEvent>, FindingRefusal> {
        match command {
            FindingCommand::Observe { fingerprint, sighting, hysteresis } => {
                observe_finding::decide(state, fingerprint, sighting, hysteresis, context)
            }
            FindingCommand::Acknowledge { comment } => acknowledge_finding::decide(state, comment, context),
            FindingCommand::Mute { until, reason } => mute_finding::decide(state, until, reason, context),
            FindingCommand::Unmute => unmute_finding::decide(state, context),
            FindingCommand::MarkFalsePositive { reason } => mark_false_positive::decide(state, reason, context),
            FindingCommand::WithdrawFalsePositive { reason } => withdraw_false_positive::decide(state, reason, context),
        }
    }

    fn evolve(state: &mut FindingState, event: &FindingEvent) {
        state.evolve(event);
    }

    fn refusal_code(refusal: &FindingRefusal) -> RefusalCode {
        refusal.code()
    }

    fn command_name(command: &FindingCommand) -> &'static str {
        match command {
            FindingCommand::Observe { .. } => "observe_finding",
            FindingCommand::Acknowledge { .. } => "acknowledge_finding",
            FindingCommand::Mute { .. } => "mute_finding",
            FindingCommand::Unmute => "unmute_finding",
            FindingCommand::MarkFalsePositive { .. } => "mark_false_positive",
            FindingCommand::WithdrawFalsePositive { .. } => "withdraw_false_positive",
        }
    }

    fn expected_stream(_command: &FindingCommand) -> ExpectedStream {
        ExpectedStream::Any
    }
}
